r"""Offsets of lines that hold in real arithmetic: the formulas of `lines.py` in outward rounding.

Slopes, and the points at which a function is evaluated, may be any floats. Each value of the function enters as an
outward box from its own rule. Let $h(x) = \pm f(x) - a x$.

- On a cell on which h is concave, h is least at an end.
- On a cell $[p, q]$ on which h is convex, h lies above secants extended beyond their two points. With $r < t < s$ in
  the cell, $h(x) \ge h(t) - \max(h(s) - h(t), 0) (t - p) / (s - t)$ for $x \le t$, and
  $h(x) \ge h(t) - \max(h(r) - h(t), 0) (q - t) / (t - r)$ for $x \ge t$. No derivative is needed.
- On any cell $h(x) \ge \min \pm f - \max(a p, a q)$, where the rule bounds f.

Every inflection point lies in a cell of its own, some floats wide. Inflection points are irrational or rounded, and
which way the function bends between the computed and the real point is not known. So in these cells only the last bound
is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .._records.registry import Box
from .._rounding import down, up

__all__ = ["Offsets", "bracketed"]

inf = math.inf
_EPS, _TINY = torch.finfo(torch.float64).eps, torch.finfo(torch.float64).tiny
_SHARE = 2.0**-8
"""How far the ends of the secants lie from the middle of a cell, as a part of half its width."""


def bracketed(inflections: tuple[float, ...]) -> list[float]:
    """Two numbers around each inflection point, sixteen roundings below and above, in increasing order."""
    around: list[float] = []
    for point in inflections:
        for sign in (-1.0, 1.0):
            end = point + sign * (abs(point) * 16 * _EPS + _TINY)
            around.append(max(end, around[-1]) if around else end)
    return around


class Offsets:
    """Boxes of a function's values on a grid, and the offsets that follow from them.

    Args:
        enclose: the rule, from boxes to boxes, in float64.
        ends: the ends of the cells, `(cells + 1, *shape)`, not decreasing.
        bends: for each cell, broadcasting to `(cells, *shape)`: 1 if the function is convex there, -1 if it is concave,
            0 if nothing is known; None if the function is linear on each cell.
        slack: how far the function may lie from one that bends as stated, of shape `shape`.
    """

    def __init__(self, enclose: Callable[[Box], Box], ends: Tensor, bends: Tensor | None, slack: Tensor) -> None:
        self.ends, self.bends, self.slack = ends, bends, slack
        left, right = ends[:-1], ends[1:]
        middle = torch.minimum(torch.maximum(left + (right - left) / 2, left), right)
        step = (right - left) * (_SHARE / 2)
        self.points = [middle, torch.minimum(middle + step, right), torch.maximum(middle - step, left)]
        places = torch.cat([ends, *self.points] if bends is not None else [ends])
        values = enclose(Box(places, places))
        lower, upper = values
        if bool(slack.any()):  # of the function that bends
            lower, upper = (
                move(end, slack + _EPS * (end.abs() + slack) + _TINY) for move, end in zip((down, up), values)
            )
        sizes = [len(ends), *[len(left)] * (3 if bends is not None else 0)]
        self.at_ends, *self.at_points = map(Box, lower.split(sizes), upper.split(sizes))
        self.over = enclose(Box(left, right)) if bends is not None else None

    def least(self, slope: Tensor, sign: int) -> Tensor:
        """A lower bound of `sign f(x) - slope x` between the first and the last end."""
        found = _less(_side(self.at_ends, sign)[0], slope, self.ends).amin(0)
        if self.bends is not None:
            assert self.over is not None
            left, right = self.ends[:-1], self.ends[1:]
            furthest = torch.where(slope > 0, right, left)
            by_box = _less(_side(self.over, sign)[0], slope, furthest)
            bends = self.bends * sign
            by_secants = torch.where(bends > 0, self._secants(slope, sign), -inf)
            needed = (right > left) & (bends >= 0)
            cells = torch.where(needed, torch.maximum(by_box, by_secants), inf)
            found = torch.minimum(found, cells.amin(0))
        return down(found, self.slack + _EPS * (found.abs() + self.slack) + _TINY) if bool(self.slack.any()) else found

    def _secants(self, slope: Tensor, sign: int) -> Tensor:
        """A lower bound of the values on each cell, by secants beside its middle; -inf where they give none."""
        t, s, r = self.points
        (least, _), (_, above), (_, below) = (_side(box, sign) for box in self.at_points)
        drops = []
        for end, other, value in ((self.ends[:-1], s, above), (self.ends[1:], r, below)):
            rise, run = value - least, other - t  # the line through t and `other`, followed from t to `end`
            change = rise - slope * run
            # One rounding each of `rise` and `change`, two of the product, and those of this sum of sizes.
            change = change + 4 * _EPS * (rise.abs() + (slope * run).abs() + change.abs()) + _TINY
            ratio = (t - end) / run * (1 + 8 * _EPS)
            drop = change.clamp(min=0.0) * ratio * (1 + 4 * _EPS) + _TINY
            drops.append(torch.where(run != 0, drop, inf).nan_to_num(inf, inf, inf))
        drop = torch.maximum(*drops)
        start = _less(least, slope, t)
        return down(start, drop + 2 * _EPS * (start.abs() + drop) + _TINY)


def _side(box: Box, sign: int) -> tuple[Tensor, Tensor]:
    """Bounds of `sign` times a value."""
    return (box.lower, box.upper) if sign > 0 else (-box.upper, -box.lower)


def _less(value: Tensor, slope: Tensor, x: Tensor) -> Tensor:
    """A lower bound of `value - slope x`."""
    product = slope * x
    found = value - product
    return down(found, 2 * _EPS * (product.abs() + found.abs()) + 2 * _TINY)
