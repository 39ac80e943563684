r"""Padding, resizing and sampling of images.

Padding copies entries. Resizing takes means with weights that depend on the geometry alone: non-negative ones
for nearest and linear modes, so both bounds are resized alike; signed ones for bicubic, where
$W x \ge W^+ l + W^- u$.

Torch computes the weights with rounding errors. With u the unit roundoff and n the size of the image, a place
in the source is wrong by at most 4 n u. The interpolant is continuous; per unit of length it changes by at
most 2 max|x| in each dimension for the linear modes, and by at most 6 max|x| for the cubic one, whose weights
have absolute sum below 1.4. Together with the summation this is an error below c u (16 + sum of all n)
max|x|, with c = 16 and 64. In outward mode this is evaluated in float64 and rounded outward to the dtype of
the image. Which entry a *nearest* mode copies is part of the program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ... import _rounding as rounding
from ..._records.registry import Box, spellings
from ..._theorems.boxes import both
from ..._theorems.families import rule, structural
from ..._theorems.operands import operand
from ..._theorems.rectangles import unchanged
from ..._theorems.sums import finite
from ...errors import UnsupportedOpError

# --- padding ------------------------------------------------------------------------------------------------

structural(
    "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d", "replication_pad2d",
    "replication_pad3d", "_pad_circular", functional=False,
)  # fmt: skip


def _pad(function: Any, input: Box, *places: Any, value: Any) -> Box:
    """Pad both bounds; a number that the dtype cannot hold becomes the interval around it in outward mode."""
    ends = operand(0 if value is None else value, input)
    return Box(*(function(x, *places, value=float(end)) for x, end in zip(input, ends, strict=True)))


_RECORD: dict[str, Any] = {"formula": "x", "family": "structural", "proven": True}


@rule("pad", functional=True, complex=unchanged, **_RECORD)
def pad(input: Box, pad: Any, mode: str = "constant", value: Any = None) -> Box:
    """Entries of both bounds, or a number."""
    function = torch.nn.functional.pad
    if mode == "constant":
        return _pad(function, input, pad, mode, value=value)
    return both(function, input, pad, mode)


@rule("constant_pad_nd", complex=unchanged, **_RECORD)
def constant_pad_nd(input: Box, pad: Any, value: Any = 0) -> Box:
    """A number around both bounds."""
    return _pad(torch.constant_pad_nd, input, pad, value=value)


# --- resizing -----------------------------------------------------------------------------------------------

structural(
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d", "_upsample_nearest_exact3d", functional=False,
)  # fmt: skip


def _averaged(function: Callable[[Tensor], Tensor], x: Box, dims: int, zero: bool = False) -> Box:
    """Bound interpolation with non-negative weights of sum 1; with `zero`, also towards zeros around the
    image.
    """
    box = finite(function(x.lower), function(x.upper))
    if rounding.outward():
        with torch.no_grad():
            axes = tuple(range(-dims, 0))
            lower = function(x.lower.double()) - _error(x.lower, axes, 16)
            upper = function(x.upper.double()) + _error(x.upper, axes, 16)
            # A mean lies between the least and the greatest entry.
            least, greatest = x.lower.amin(axes, keepdim=True), x.upper.amax(axes, keepdim=True)
            if zero:
                least, greatest = least.clamp(max=0), greatest.clamp(min=0)
            _reach(box, torch.maximum(lower, least.double()), torch.minimum(upper, greatest.double()))
    return box


def _reach(box: Box, lower: Tensor, upper: Tensor) -> None:
    """Move bounds that torch computed outward to bounds in float64, as a constant shift for autograd."""
    wide = finite(lower, upper)
    lower, upper = rounding.cast(wide.lower, wide.upper, box.lower.dtype)
    box.lower.detach().copy_(torch.minimum(box.lower, lower))
    box.upper.detach().copy_(torch.maximum(box.upper, upper))


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
        """Signed weights, one dimension after the other: the hull, because |A ⊗ B| = |A| ⊗ |B|."""
        factors: Any = named.get("scale_factors", scales[0] if len(scales) == 1 else None)
        if output_size is None:
            output_size = [int(n * s) for n, s in zip(input.lower.shape[-2:], factors, strict=True)]
        pair = factors or (scales if len(scales) == 2 else (named.get("scales_h"), named.get("scales_w")))
        geometry = list(zip(input.lower.shape[-2:], output_size, pair, strict=True))

        def resize(x: Box) -> Box:
            rows, columns = (_weights(function, *numbers, align_corners, x.lower) for numbers in geometry)
            across = _signed_product(columns, both(lambda bound: bound.mT, x))
            return _signed_product(rows, both(lambda bound: bound.mT, across))

        box = finite(*resize(input))
        if rounding.outward():
            with torch.no_grad():
                exact = resize(both(Tensor.double, input))
                error = torch.maximum(*(_error(bound, (-2, -1), 64) for bound in input))
                _reach(box, exact.lower - error, exact.upper + error)
        return box

    rule(name, formula="W x", family="interpolation", proven=True)(enclose)


def _signed_product(matrix: Tensor, x: Box) -> Box:
    """Positive weights meet the bound of their own side, negative ones the other."""
    positive, negative = matrix.clamp(min=0), matrix.clamp(max=0)
    return Box(positive @ x.lower + negative @ x.upper, positive @ x.upper + negative @ x.lower)


@torch.no_grad()
def _weights(function: Any, inputs: int, outputs: int, scale: Any, align_corners: bool, like: Tensor) -> Tensor:
    """The matrix that resizes one dimension, `(outputs, inputs)`: the images of the unit vectors."""
    units = torch.zeros(inputs, 1, inputs, 2, dtype=like.dtype, device=like.device)
    units.diagonal(dim1=0, dim2=2).fill_(1)  # two columns: with one, torch may take the layout for channels-last
    return function(units, [outputs, 2], align_corners, scale, None)[:, 0, :, 0].mT


_register_cubic("upsample_bicubic2d")
_register_cubic("_upsample_bicubic2d_aa")


# --- sampling -----------------------------------------------------------------------------------------------


@rule(
    "grid_sampler",
    "grid_sampler_2d",
    "grid_sampler_3d",
    formula="W x",
    family="interpolation",
    proven=True,
    torch_checks=True,
)
def grid_sampler(input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Box:
    """Samples at fixed places: non-negative weights, so the hull. Places that are intervals are refused."""
    parameters = (interpolation_mode, padding_mode, align_corners)
    if isinstance(grid, Box) and torch.equal(*grid):
        grid = grid.lower
    if isinstance(grid, Box) or interpolation_mode == 2:
        raise UnsupportedOpError(
            "grid_sample has interval rules for bilinear and nearest sampling at fixed places",
            "of a grid that is a box, each sample lies between the least and the greatest entry of its channel (and 0,"
            " with padding_mode='zeros'): x.amin((-2, -1)) and x.amax((-2, -1)) bound it",
            "of mode='bicubic', mode='bilinear' has a rule",
        )
    if interpolation_mode not in (0, 1) or padding_mode not in (0, 1, 2):
        raise UnsupportedOpError("grid_sample has the modes that torch.nn.functional.grid_sample names", "use those")
    if interpolation_mode == 1:
        return both(torch.grid_sampler, input, grid, *parameters)
    dims = grid.shape[-1]
    return _averaged(
        lambda x: torch.grid_sampler(x, grid.to(x.dtype), *parameters), input, dims, zero=padding_mode == 0
    )
