"""Values of high precision for the tests: bounds of outward mode contain them with no tolerance."""

from __future__ import annotations

import math

import mpmath
import torch

from intervaltorch import IntervalTensor, rounding
from intervaltorch.testing import sample_points

mp = mpmath.mp


def random_boxes(intervals, dtype, count=40, seed=0):
    """Boxes inside each of the intervals: points, thin ones, wide ones."""
    generator = torch.Generator().manual_seed(seed)
    boxes = []
    for low, high in intervals:
        a, b = low + (high - low) * torch.rand(2, count, generator=generator, dtype=torch.float64)
        share = 10.0 ** -(6 * torch.rand(count, generator=generator, dtype=torch.float64))
        b = torch.where(torch.arange(count) % 4 == 0, a, a + (b - a) * share)
        boxes.append(torch.stack([torch.minimum(a, b), torch.maximum(a, b)]).to(dtype))
    return IntervalTensor(*torch.cat(boxes, 1))


def assert_contains_exact_values(function, exact, boxes, *others, samples=6, digits=50):
    """Compare bounds of outward mode with mpmath, at points of each box.

    Args:
        function: of torch.
        exact: the same of mpmath, which takes numbers.
        boxes: first argument, of shape `(n,)`.
        *others: further boxes of that shape.
        samples: points of each box.
        digits: of the comparison.
    """
    with rounding("outward"):
        result = function(boxes, *others)
    generator = torch.Generator().manual_seed(1)
    points = [sample_points(box, samples, generator=generator) for box in (boxes, *others)]
    bounds = list(zip(result.lower.tolist(), result.upper.tolist()))
    assert not any(math.isnan(end) for pair in bounds for end in pair)
    with mpmath.workdps(digits):
        for sample in zip(*(p.tolist() for p in points)):
            for (low, high), *x in zip(bounds, *sample):
                value = exact(*map(mpmath.mpf, x))
                assert low <= value <= high, f"{x} has the value {value}, outside [{low!r}, {high!r}]"


def assert_hull(function, boxes, *, count=4000, slack=1e-3):
    """Compare bounds of nearest mode with the range found on a fine grid: they contain it and exceed it by little.

    Args:
        function: of torch.
        boxes: of shape `(n,)`.
        count: points of the grid.
        slack: what the bounds may exceed the range by, relative to its width.
    """
    result = function(boxes)
    t = torch.linspace(0, 1, count, dtype=boxes.dtype)[:, None]
    points = torch.minimum(boxes.lower + t * (boxes.upper - boxes.lower), boxes.upper)
    values = function(IntervalTensor.point(points)).lower
    low, high = values.amin(0), values.amax(0)
    rounding_error = 64 * torch.finfo(boxes.dtype).eps * (1 + high.abs() + low.abs())
    assert bool((result.lower <= low + rounding_error).all()), "the lower bound is above a value"
    assert bool((result.upper >= high - rounding_error).all()), "the upper bound is below a value"
    room = slack * (high - low) + rounding_error
    assert bool((result.lower >= low - room).all()), "the lower bound is loose"
    assert bool((result.upper <= high + room).all()), "the upper bound is loose"
