r"""Resizing and sampling of images.

Resizing takes means with weights that depend on the geometry alone. For nearest and linear modes the weights are
non-negative, so both bounds are resized alike. For the bicubic mode they have both signs, and
$W x \ge W^+ l + W^- u$.

*Rounding.* Torch computes the weights with rounding errors. Let u be the unit roundoff and n the size of the image. A
place in the source is wrong by at most 4 n u. The interpolant is continuous. In each dimension and per unit of length
it changes by at most 2 max|x| for the linear modes and by at most 6 max|x| for the cubic one, whose weights have an
absolute sum below 1.4. With the error of the summation, the error is below c u (16 + sum of all n) max|x|, where c = 16
for linear modes and c = 64 for the cubic one. In outward mode the bounds are computed in float64 and rounded outward to
the dtype of the image. Which entry a *nearest* mode copies is part of the program.
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
from ..._theorems.sums import finite
from ...errors import UnsupportedOpError

# --- resizing -----------------------------------------------------------------------------------------------

structural(
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d", "_upsample_nearest_exact3d", functional=False,
)  # fmt: skip


def _averaged(function: Callable[[Tensor], Tensor], x: Box, dims: int, zero: bool = False) -> Box:
    """Bound interpolation with non-negative weights of sum 1. With `zero`, zeros around the image take part too."""
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
    """Move bounds that torch computed outward to bounds in float64. The shift is a constant for autograd."""
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
    """Register a resizing function of a linear mode."""
    function: Any = spellings(name, functional=False)[0]

    def enclose(input: Box, *places: Any, **geometry: Any) -> Box:
        """The hull, since the weights are non-negative."""
        return _averaged(lambda x: function(x, *places, **geometry), input, dims)

    rule(name, formula=r"W x", family="interpolation", proven=True, affine_in=({"input"},))(enclose)


_register_linear("upsample_linear1d", 1)
_register_linear("upsample_bilinear2d", 2)
_register_linear("upsample_trilinear3d", 3)
_register_linear("_upsample_bilinear2d_aa", 2)


def _register_cubic(name: str) -> None:
    """Register a resizing function of the cubic mode."""
    function: Any = spellings(name, functional=False)[0]

    def enclose(input: Box, output_size: Any, align_corners: bool, *scales: Any, **named: Any) -> Box:
        """The hull, by one dimension after the other: weights have both signs, and |A ⊗ B| = |A| ⊗ |B|."""
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

    rule(name, formula="W x", family="interpolation", proven=True, affine_in=({"input"},))(enclose)


def _signed_product(matrix: Tensor, x: Box) -> Box:
    """Bound a product with a fixed matrix: positive weights take the same bound, negative weights the other one."""
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
    "grid_sampler", "grid_sampler_2d", "grid_sampler_3d", formula="W x", family="interpolation", proven=True,
    torch_checks=True, affine_in=({"input"},),
)  # fmt: skip
def grid_sampler(input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Box:
    """The hull for samples at fixed places, whose weights are non-negative. Places that are intervals are refused."""
    parameters = (interpolation_mode, padding_mode, align_corners)
    if isinstance(grid, Box) and torch.equal(*grid):
        grid = grid.lower
    if isinstance(grid, Box) or interpolation_mode == 2:
        raise UnsupportedOpError(
            "grid_sample has interval rules for bilinear and nearest sampling at fixed places",
            "if the grid is a box: each sample lies between the least and the greatest entry of its channel (and 0,"
            " with padding_mode='zeros'), so x.amin((-2, -1)) and x.amax((-2, -1)) bound it",
            "if the mode is 'bicubic': use mode='bilinear'",
        )
    if interpolation_mode not in (0, 1) or padding_mode not in (0, 1, 2):
        raise UnsupportedOpError(
            f"grid_sampler has no interval rule for interpolation_mode={interpolation_mode} with"
            f" padding_mode={padding_mode}",
            "call torch.nn.functional.grid_sample, which takes the modes by name",
        )
    if interpolation_mode == 1:
        return both(torch.grid_sampler, input, grid, *parameters)
    dims = grid.shape[-1]
    return _averaged(
        lambda x: torch.grid_sampler(x, grid.to(x.dtype), *parameters), input, dims, zero=padding_mode == 0
    )
