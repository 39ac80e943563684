"""Sums whose terms all have one sign: outward rounding does not move their bounds across zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._compat import anywhere, readable
from .._records.registry import Box
from .._rounding import untracked
from .boxes import as_box


@torch.no_grad()
def keep_signs(
    product: Callable[[Tensor, Tensor, Any], Tensor], x: Box, weight: Box, bias: Any, box: Box, growth: float
) -> None:
    """Move bounds of sums of products back to zero where all products have one sign and only rounding crossed zero.

    Products of the other sign are counted where a bound lies beyond zero by no more than its rounding, that is by
    `growth` of itself and some subnormal numbers. A bound that this test misses is less tight, but sound.

    Args:
        product: adds products of an entry of `x` and an entry of `weight`, and the bias.
        x: one factor.
        weight: the other factor.
        bias: box, tensor or None.
        box: the bounds, fresh; they are changed.
        growth: how far rounding moves the bounds, relative to the sum of the absolute products.
    """
    low, high = untracked(box.lower), untracked(box.upper)
    if not readable(low):
        return
    info = torch.finfo(low.dtype)
    depth = -low
    reach = torch.maximum(depth, high).mul_(8 * growth + 256 * info.eps).add_(info.tiny / info.eps)
    least = torch.minimum(depth, high)  # positive where zero is inside
    near = (least > 0) & (least <= reach)
    if not anywhere(near):
        return
    below, above = near & (depth <= reach), near & (high <= reach)
    (xl, xu), (wl, wu) = x, weight
    bl, bu = (None, None) if bias is None else as_box(bias)
    for bound, moved, (first, second), offset in (
        (low, below, ((xl < 0, wu > 0), (xu > 0, wl < 0)), None if bl is None else bl < 0),
        (high, above, ((xu > 0, wu > 0), (xl < 0, wl < 0)), None if bu is None else bu > 0),
    ):
        if anywhere(moved):
            others = _count(product, *first, offset, low.dtype) + _count(product, *second, None, low.dtype)
            bound.masked_fill_(moved & (others == 0), 0.0)


def _count(product: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Any, dtype: torch.dtype) -> Tensor:
    """The number of marked products and biases."""
    return product(x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype))


@torch.no_grad()
def keep_sign(function: Callable[..., Tensor], ends: tuple, moved: Tensor, bound: Tensor, wrong: Any) -> None:
    """Move bounds of a weighted sum back to zero where rounding crossed it and no entry has the wrong sign.

    Args:
        function: sums entries with non-negative weights.
        ends: its arguments.
        moved: where rounding moved the bound across zero.
        bound: the bounds, fresh; they are changed.
        wrong: `torch.lt` or `torch.gt`, which finds entries of the wrong sign.
    """
    if readable(moved) and anywhere(moved):
        count = function(*[wrong(x, 0).to(x.dtype) for x in ends])  # of ones, since a mean of entries may underflow
        untracked(bound).masked_fill_(moved & (count == 0), 0.0)
