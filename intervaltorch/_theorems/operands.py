"""Before and after arithmetic: operands become boxes, and computed bounds are rounded outward."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from math import inf
from typing import Any

import torch
from torch import Tensor

from .. import _rounding as rounding
from .._compat import anywhere, behind, readable
from .._records.registry import Box
from .._rounding import CORRECTLY_ROUNDED, Budget, untracked
from .boxes import as_box, ordered, unbounded

Operand = Any  # Box, tensor or number

SUM = rounding.ieee_budget(0.5, absolute=-1)
"""Sums of floating-point numbers never underflow, and neither does the widening, itself a sum: no absolute
term for either. So an exact zero stays zero, and a sum of non-negative numbers stays non-negative."""


def widened(
    box: Box,
    budget: Budget = CORRECTLY_ROUNDED,
    image: tuple[float, float] = (-inf, inf),
    signs: Callable[[], tuple[Tensor, Tensor]] | None = None,
    at: tuple[Tensor | None, Tensor | None] = (None, None),
    of: tuple[Box, ...] = (),
) -> Box:
    """Round computed bounds outward in outward mode.

    Args:
        box: computed bounds, fresh. If the budget exceeds a correct rounding, nearest mode puts exchanged bounds in
            order.
        budget: the rounding error of the bounds.
        image: closed range of the function.
        signs: tells where the real values are known to be non-negative, and where non-positive; computed
            bounds of that sign are not moved across zero, and a zero keeps its sign.
        at: arguments whose size enters `Budget.input` at the lower and at the upper bound.
        of: operands that may be points at infinity, such as a mask of -inf. Where one is, the result is a point at
            infinity too, and not an overflow.
    """
    if not rounding.outward():
        return box if budget in (CORRECTLY_ROUNDED, SUM) else ordered(*box)
    low, high = rounding.widen(box.lower, box.upper, budget, image, *at)
    if signs is not None:
        above, below = (box.lower >= 0) & (low < 0), (box.upper <= 0) & (high > 0)
        if not readable(low) or anywhere(above | below):  # seldom: products near 0
            nonnegative, nonpositive = signs()
            for end, moved, crossed in ((box.lower, low, above & nonnegative), (box.upper, high, below & nonpositive)):
                zero = torch.zeros_like(end).copysign_(end.detach())
                untracked(moved).copy_(torch.where(crossed, zero, moved.detach()))
    if of:
        _keep_infinite_points(box, low, high, of)
    return Box(low, high)


def _keep_infinite_points(box: Box, low: Tensor, high: Tensor, operands: tuple[Box, ...]) -> None:
    """Undo the widening of results that are points at infinity because an operand is."""
    far_low, far_high = box.lower == inf, box.upper == -inf
    if readable(low) and not anywhere(far_low | far_high):
        return
    for x in operands:
        if isinstance(x.lower, Tensor):
            point = (x.lower == x.upper) & x.lower.isinf()
            untracked(low).masked_fill_(far_low & point, inf)
            untracked(high).masked_fill_(far_high & point, -inf)


def rounded(lower: Tensor, upper: Tensor, budget: Budget, image: tuple[float, float] = (-inf, inf)) -> Box:
    """Round a pair of computed bounds outward if the mode asks; see `widened`."""
    return widened(Box(lower, upper), budget, image)


# --- bounds at corners ------------------------------------------------------------------------------------------------


def corners(function: Any, x: Box, y: Box, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """The hull of a function that is monotone in each argument alone: its extremes lie at corners."""
    ll, lu = function(x.lower, y.lower, **kwargs), function(x.lower, y.upper, **kwargs)
    ul, uu = function(x.upper, y.lower, **kwargs), function(x.upper, y.upper, **kwargs)
    lower = torch.minimum(torch.minimum(ll, lu), torch.minimum(ul, uu))
    upper = torch.maximum(torch.maximum(ll, lu), torch.maximum(ul, uu))
    return lower, upper


def with_open_ends(function: Any, x: Box, y: Box, lower: Tensor, upper: Tensor, **kwargs: Any) -> Box:
    """Return computed bounds of x y or x / y, without the NaN that infinite ends cause in bounds or gradients.

    An infinite end is not a point of the box: 0 times every point is 0, and a number divided by larger and larger
    numbers goes to 0. NaN means that nothing is known only where both operands are points, as a box of no width at
    infinity is.
    """
    if not readable(lower):
        return unbounded(lower, upper)
    if not _has_nan_or_gradients_at_infinity(lower, upper):
        return Box(lower, upper)
    x_open, y_open = x.lower != x.upper, y.lower != y.upper

    def limit(a: Tensor, b: Tensor) -> Tensor:
        value = function(a.detach(), b.detach(), **kwargs)
        infinite = ~value.isfinite()
        zero = ((a.isinf() & x_open) | (b.isinf() & y_open)) & value.isnan()
        finite = function(a.masked_fill(infinite, 1.0), b.masked_fill(infinite, 1.0), **kwargs)
        return torch.where(infinite, value.masked_fill(zero, 0.0), finite)

    return unbounded(*(bound.to(lower.dtype) for bound in corners(limit, x, y)))


def _has_nan_or_gradients_at_infinity(lower: Tensor, upper: Tensor) -> bool:
    if not lower.numel():
        return False
    least = behind(lower.detach()).amin().item()  # NaN if there is one
    if not (lower.requires_grad or upper.requires_grad):
        return math.isnan(least)
    return not least > -inf or behind(upper.detach()).amax().item() == inf


# --- operands ---------------------------------------------------------------------------------------------------------


def operand(x: Operand, like: Operand) -> Box:
    """Return an operand as a box.

    In outward mode a Python number means its exact binary64 value, and a tensor means its exact values. A value that
    the dtype of the result cannot hold becomes the interval between its neighbours.

    Args:
        x: box, tensor or number.
        like: the other operand, which determines the dtype of the result.
    """
    box = as_box(x)
    if not rounding.outward():
        return box
    other = as_box(like).lower
    if not isinstance(other, Tensor):
        return box
    if isinstance(box.lower, Tensor):
        return _converted(box, other)
    if not isinstance(x, (int, float)) or not other.dtype.is_floating_point:
        return box
    low, high = (rounding.neighbour(x, other.dtype, towards) for towards in (-inf, inf))
    return box if low == high else Box(other.new_full((), low), other.new_full((), high))


def _converted(x: Box, other: Tensor) -> Box:
    """Convert a box to the dtype of its combination with another tensor, rounding outward."""
    before, after = x.lower.dtype, torch.result_type(x.lower, other)
    if before == after or before is torch.bool or not after.is_floating_point:
        return x
    if before.is_floating_point:
        return Box(*rounding.cast(x.lower, x.upper, after)) if rounding.narrows(before, after) else x
    if torch.equal(x.lower.to(after).to(before), x.lower):
        return x
    return Box(*rounding.widen(x.lower.to(after), x.upper.to(after), CORRECTLY_ROUNDED))


def operands(x: Operand, y: Operand) -> tuple[Box, Box]:
    """Return both operands as boxes."""
    return operand(x, y), operand(y, x)


def widest(*values: Operand) -> list[Box]:
    """Return operands as boxes of the widest of their floating dtypes, so that no step rounds more than the result."""
    boxes = [as_box(value) for value in values]
    tensors = [box.lower for box in boxes if isinstance(box.lower, Tensor) and box.lower.is_floating_point()]
    if len({x.dtype for x in tensors}) < 2:
        return boxes
    wide = functools.reduce(torch.promote_types, [x.dtype for x in tensors])
    real = [isinstance(box.lower, Tensor) and box.lower.is_floating_point() for box in boxes]
    return [Box(box.lower.to(wide), box.upper.to(wide)) if floats else box for box, floats in zip(boxes, real)]


def as_tensors(x: Box, like: Box) -> Box:
    """Return a number or integers as tensors of the dtype of `like`; `operand` leaves exact numbers as they are."""
    if isinstance(x.lower, Tensor):
        if x.lower.is_floating_point() or x.lower.is_complex() or not isinstance(like.lower, Tensor):
            return x
        dtype = torch.result_type(x.lower, like.lower)
        return Box(x.lower.to(dtype), x.upper.to(dtype)) if dtype.is_floating_point else x
    kind = like.lower.dtype if like.lower.is_floating_point() else torch.get_default_dtype()
    return as_box(torch.full((), x.lower, dtype=kind, device=like.lower.device))
