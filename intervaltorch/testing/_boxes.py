"""Other boxes made from the boxes among a function's arguments: smaller, larger, points."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._tensor.interval import IntervalTensor
from .points import sample_points

__all__ = [
    "STEP", "is_box", "is_real", "joined", "largest", "loosened", "lower_of", "moderate", "one_point", "shrunk",
    "stretched",
]  # fmt: skip


def is_box(x: Any) -> bool:
    """Whether this is an interval tensor."""
    return isinstance(x, IntervalTensor)


def is_real(x: Any) -> bool:
    """Whether this is a box of floating numbers, not of Booleans or integers."""
    return isinstance(x, IntervalTensor) and x.dtype.is_floating_point


def lower_of(x: Any) -> Tensor:
    """The lower bounds of a box; a plain tensor as it is."""
    return x.lower if is_box(x) else x


def one_point(x: Any) -> Any:
    """The box of a single point of a box, one that the function's kinks are unlikely to meet."""
    if is_box(x) and x.dtype is torch.bool:
        return IntervalTensor.point(x.lower)
    if not is_real(x):
        return x
    near, finite = moderate(x), x.width.isfinite()
    lower, upper = torch.where(finite, x.lower, near.lower), torch.where(finite, x.upper, near.upper)
    return IntervalTensor.point(lower + 0.375 * (upper - lower))


def joined(x: IntervalTensor, lower: Tensor, upper: Tensor) -> IntervalTensor:
    """The box of two ends that are those of `x`, or were moved by at most `STEP` each.

    Where they might cross, the upper end follows the lower one at the width of `x`. Infinite ends stay where they are.
    """
    if not is_real(x):
        return IntervalTensor(lower, upper)
    width = (x.upper - x.lower).detach()
    upper = torch.where(width <= 2 * STEP, lower + width, upper)
    ends = ((before.detach(), end) for before, end in ((x.lower, lower), (x.upper, upper)))
    return IntervalTensor(*(torch.where(before.isinf(), before, end) for before, end in ends))


STEP = 1e-6
"""By how much `check_gradient` moves the ends of boxes."""


def shrunk(x: Any) -> Any:
    """A random box inside a box: an end that is shared keeps the sign of its zero."""
    if is_box(x) and x.dtype is torch.bool:  # certainly what it may be, or as undecided as before
        points = sample_points(x, 6, generator=torch.Generator().manual_seed(0))[-2:]
        return IntervalTensor(points.all(0), points.any(0))
    if not is_real(x):
        return x
    points = sample_points(x, 6, generator=torch.Generator().manual_seed(0))[-2:]
    lower, upper = points.amin(0), points.amax(0)
    return IntervalTensor(torch.where(lower == x.lower, x.lower, lower), torch.where(upper == x.upper, x.upper, upper))


def stretched(x: Any, lower: float | None, upper: float | None) -> Any:
    """A box with all lower or upper ends replaced by a number."""
    if not is_real(x):
        return x
    return IntervalTensor(
        x.lower if lower is None else torch.full_like(x.lower, lower),
        x.upper if upper is None else torch.full_like(x.upper, upper),
    )


def moderate(x: Any) -> Any:
    """The part of a box within ±100, or where there is none its end nearest to zero."""
    if not is_real(x):
        return x
    return IntervalTensor(
        torch.maximum(x.lower, x.upper.clamp(max=-100)), torch.minimum(x.upper, x.lower.clamp(min=100))
    )


def loosened(x: Any) -> Any:
    """A float64 box, wider by what a plain evaluation in float64 may have lost."""
    if not is_real(x):
        return x
    loss = 2.0**-40 * largest(x)
    return IntervalTensor(x.lower - loss, x.upper + loss)


def largest(x: IntervalTensor) -> float:
    """The largest magnitude in a box."""
    return float(x.magnitude.max()) if x.numel() and is_real(x) else 0.0
