r"""Padding, resizing and sampling of images.

Padding copies entries. Resizing takes means with weights that depend on the geometry alone: non-negative ones for nearest
and linear modes, so both bounds are resized alike; signed ones for bicubic, where $W x$ ranges over $W c \pm |W| r$.

Torch computes the weights with rounding errors. A place in the source is wrong by at most a few units of roundoff times the
size n of the image, and the interpolant is continuous with a slope of at most 2 max|x| in each dimension (4 for bicubic). In
outward mode resizing is therefore done in float64, with an error of at most $c\,u_{64}(1 + \sum n)\max|x|$, and then rounded
outward to the dtype of the image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import rounding
from .._registry import Box, spellings
from ..errors import UnsupportedOpError
from ._families import both, rule, structural
from .affine import finite
from .arithmetic import operand

# --- padding ----------------------------------------------------------------------------------------------------------

structural(
    "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d", "replication_pad2d",
    "replication_pad3d", "_pad_circular", functional=False,
)  # fmt: skip


def _pad(function: Any, input: Box, *places: Any, value: Any) -> Box:
    """Pad both bounds; a number that the dtype cannot hold becomes the interval around it in outward mode."""
    ends = operand(0 if value is None else value, input)
    return Box(*(function(x, *places, value=float(end)) for x, end in zip(input, ends)))


_RECORD: dict[str, Any] = {"formula": "x", "family": "structural", "proven": True}


@rule("pad", functional=True, **_RECORD)
def pad(input: Box, pad: Any, mode: str = "constant", value: Any = None) -> Box:
    """Entries of both bounds, or a number."""
    function = torch.nn.functional.pad
    if mode == "constant":
        return _pad(function, input, pad, mode, value=value)
    return both(function, input, pad, mode)


@rule("constant_pad_nd", **_RECORD)
def constant_pad_nd(input: Box, pad: Any, value: Any = 0) -> Box:
    """A number around both bounds."""
    return _pad(torch.constant_pad_nd, input, pad, value=value)


# --- resizing ---------------------------------------------------------------------------------------------------------

structural(
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d", "_upsample_nearest_exact3d", functional=False,
)  # fmt: skip


def _averaged(function: Callable[[Tensor], Tensor], x: Box, dims: int, zero: bool = False) -> Box:
    """Bound interpolation with non-negative weights of sum 1; with `zero`, also towards zeros around the image."""
    if not rounding.outward():
        return finite(function(x.lower), function(x.upper))
    dtype, axes = x.lower.dtype, tuple(range(-dims, 0))
    lower, upper = function(x.lower.double()), function(x.upper.double())
    low_error, high_error = (_error(bound, axes, 32).expand(lower.shape) for bound in x)
    lower, upper = rounding.cast(*finite(lower - low_error, upper + high_error), dtype)
    with torch.no_grad():  # a mean lies between the least and the greatest entry
        least, greatest = x.lower.amin(axes, keepdim=True), x.upper.amax(axes, keepdim=True)
        if zero:
            least, greatest = least.clamp(max=0), greatest.clamp(min=0)
        low_gap, high_gap = (least - lower).clamp_(min=0), (greatest - upper).clamp_(max=0)
        low_gap.nan_to_num_(nan=0.0, posinf=0.0), high_gap.nan_to_num_(nan=0.0, neginf=0.0)
    return Box(lower + low_gap, upper + high_gap)


@torch.no_grad()
def _error(bound: Tensor, axes: tuple[int, ...], factor: float) -> Tensor:
    """The error of interpolation in float64: `factor`·u (16 + sum of sizes)·max|x|."""
    size = 16 + sum(bound.shape[axis] for axis in axes)
    return bound.double().abs().amax(axes, keepdim=True) * (factor * size * rounding.unit(torch.float64))


def _register_linear(name: str, dims: int) -> None:
    function: Any = spellings(name, functional=False)[0]

    def enclose(input: Box, *places: Any, **geometry: Any) -> Box:
        """Non-negative weights: the hull."""
        return _averaged(lambda x: function(x, *places, **geometry), input, dims)

    rule(name, formula=r"W x", family="interpolation", proven=True)(enclose)


_register_linear("upsample_linear1d", 1)
_register_linear("upsample_bilinear2d", 2)
_register_linear("upsample_trilinear3d", 3)
_register_linear("_upsample_bilinear2d_aa", 2)


def _register_cubic(name: str) -> None:
    function: Any = spellings(name, functional=False)[0]

    def enclose(input: Box, output_size: Any, align_corners: bool, *scales: Any, **named: Any) -> Box:
        """Signed weights, in centre and radius: the hull."""
        factors = named.get("scale_factors", scales[0] if len(scales) == 1 else None)
        if output_size is None:
            output_size = [int(n * s) for n, s in zip(input.lower.shape[-2:], factors)]
        pair = list(factors) if factors is not None else list(scales) or [named.get("scales_h"), named.get("scales_w")]
        dtype = torch.float64 if rounding.outward() else input.lower.dtype
        lower, upper = input.lower.to(dtype), input.upper.to(dtype)
        rows, columns = (
            _weights(function, n, size, align_corners, scale, lower)
            for n, size, scale in zip(lower.shape[-2:], output_size, pair)
        )
        centre, radius = (lower + upper) / 2, (upper - lower) / 2
        centre, radius = rows @ centre @ columns.mT, rows.abs() @ radius @ columns.abs().mT
        if not rounding.outward():
            return finite(centre - radius, centre + radius)
        radius = radius + torch.maximum(*(_error(bound, (-2, -1), 256) for bound in input))
        return Box(*rounding.cast(*finite(centre - radius, centre + radius), input.lower.dtype))

    rule(name, formula=r"W c \pm |W| r", family="interpolation", proven=True)(enclose)


@torch.no_grad()
def _weights(function: Any, inputs: int, outputs: int, align_corners: bool, scale: Any, like: Tensor) -> Tensor:
    """The matrix that resizes one dimension, `(outputs, inputs)`: the images of the unit vectors."""
    units = torch.eye(inputs, dtype=like.dtype, device=like.device).reshape(1, inputs, inputs, 1)
    return function(units, [outputs, 1], align_corners, scale, None)[0, :, :, 0].mT


_register_cubic("upsample_bicubic2d")
_register_cubic("_upsample_bicubic2d_aa")


# --- sampling ---------------------------------------------------------------------------------------------------------


@rule("grid_sampler", "grid_sampler_2d", "grid_sampler_3d", formula="W x", family="interpolation", proven=True)
def grid_sampler(input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Box:
    """Samples at fixed places: non-negative weights, so the hull. Places that are intervals are refused."""
    parameters = (interpolation_mode, padding_mode, align_corners)
    if isinstance(grid, Box) or interpolation_mode == 2:
        raise UnsupportedOpError(
            "grid_sample has interval rules for bilinear and nearest sampling at fixed places",
            "pass a plain grid (for a box of grids, X.lower, X.upper or X.center is a plain tensor) and mode='bilinear'",
        )
    if interpolation_mode == 1:
        return both(torch.grid_sampler, input, grid, *parameters)
    dims = grid.shape[-1]
    return _averaged(lambda x: torch.grid_sampler(x, grid.to(x.dtype), *parameters), input, dims, zero=padding_mode == 0)
