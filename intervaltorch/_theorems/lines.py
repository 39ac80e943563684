r"""Lines below and above a function of one argument on a box.

A line of slope a lies below f on [l, u] iff its intercept is at most $\min_{l \le x \le u} f(x) - a x$. So any slope
may be chosen, and only the intercept has to be right.

Inflection points cut the box into pieces on which f is convex or concave, and a grid cuts each piece into cells. On a
cell of a concave piece, $f(x) - a x$ is least at an end. On a cell of a convex piece, f lies above its tangent at the
middle of the cell. So intercepts are computed from values and derivatives at the grid, and can be differentiated.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .._records.curves import Curve
from .._records.registry import Box
from .._rounding import untracked
from .offsets import Offsets, bracketed

__all__ = ["Free", "Lines", "constant_lines", "lines", "valued"]

inf = math.inf
Function = Callable[[Tensor], Tensor]
_CELLS = 9
"""Into how many cells a piece is cut: an odd number, so that the centre of one piece is the middle of a cell."""


class Lines(NamedTuple):
    """Slopes and intercepts: `lower_slope * x + lower_offset <= f(x) <= upper_slope * x + upper_offset`."""

    lower_slope: Tensor
    lower_offset: Tensor
    upper_slope: Tensor
    upper_offset: Tensor


class Free(NamedTuple):
    """Lines of any slopes.

    Attributes:
        at: lines of given slopes below and above.
        least: the least slope that makes sense.
        greatest: the greatest slope that makes sense.
    """

    at: Callable[[Tensor, Tensor], Lines]
    least: Tensor
    greatest: Tensor


def constant_lines(box: Box) -> Lines:
    """Lines of slope 0: the bounds of the box."""
    flat = torch.zeros_like(box.lower)
    return Lines(flat, box.lower, flat, box.upper)


def lines(
    function: Function, curve: Curve, x: Box, y: Box, enclose: Callable[[Box], Box] | None = None
) -> tuple[Lines, Free]:  # fmt: skip
    """Lines of a function on a box, and the lines of other slopes.

    Args:
        function: elementwise on plain tensors, differentiable.
        curve: where the function bends.
        x: the box of its argument.
        y: the box of its values. Entries with infinite ends get the constant lines of this box.
        enclose: the function's rule in outward rounding, for lines that hold in real arithmetic. Boxes are then in
            float64, and the function is not periodic.

    Returns:
        Lines that are nearly the tightest ones at the centre of the box, and the lines of other slopes.
    """
    usable = (x.lower.isfinite() & x.upper.isfinite() & y.lower.isfinite() & y.upper.isfinite()).detach()
    shift = None
    if curve.period is not None:
        shift = torch.round(x.lower.detach() / curve.period) * curve.period
        usable = usable & ((x.upper - x.lower).detach() < curve.period) & (shift.abs() < 2**10 * curve.period)
        shift = torch.where(usable, shift, 0.0)
        x, function, curve = _unwound(function, curve, x, shift)
    inside = curve.inflections[-1] + 0.5 if curve.inflections else 0.5  # where the function can be differentiated
    grid = _Grid(function, curve, Box(*(torch.where(usable, end, inside) for end in x)), enclose)
    slack = 0.0 if enclose is not None else curve.slack

    def finished(below: tuple[Tensor, Tensor], above: tuple[Tensor, Tensor]) -> Lines:
        parts = [below[0], below[1] - slack, -above[0], slack - above[1]]
        if shift is not None:
            parts[1], parts[3] = parts[1] - parts[0] * shift, parts[3] - parts[2] * shift
        good = usable & torch.stack([part.detach().isfinite() for part in parts]).all(0)
        return Lines(*(torch.where(good, part, flat) for part, flat in zip(parts, constant_lines(y), strict=True)))

    def at(lower_slope: Tensor, upper_slope: Tensor) -> Lines:
        below, above = grid.offset(lower_slope, 1), grid.offset(-upper_slope, -1)
        return finished((lower_slope, below), (-upper_slope, above))

    slopes = grid.slopes.detach().nan_to_num(0.0, 0.0, 0.0)
    found = _no_looser(finished(grid.line(1), grid.line(-1)), x, y)
    return found, Free(at, slopes.amin(0), slopes.amax(0))


def _no_looser(found: Lines, x: Box, y: Box) -> Lines:
    """Constant lines where they are better at the centre of the box."""
    centre = x.lower / 2 + x.upper / 2
    below = (found.lower_slope * centre + found.lower_offset < y.lower).detach()
    above = (found.upper_slope * centre + found.upper_offset > y.upper).detach()
    flat = constant_lines(y)
    return Lines(*(torch.where(below if k < 2 else above, flat[k], found[k]) for k in range(4)))


def _unwound(function: Function, curve: Curve, x: Box, shift: Tensor) -> tuple[Box, Function, Curve]:
    """A periodic function where its boxes lie around 0, with the inflection points that they can reach."""
    assert curve.period is not None
    points = sorted(point + k * curve.period for k in (-1, 0, 1) for point in curve.inflections)
    around = Curve(curve.curvature, tuple(points), slack=curve.slack)
    return Box(x.lower - shift, x.upper - shift), lambda t: function(t + shift), around


def valued(numbers: Tensor, like: Tensor) -> Tensor:
    """The given numbers, with the gradient of `like`, which is near them."""
    result = like + 0.0
    untracked(result).copy_(numbers)
    return result


def _cut(a: Tensor, b: Tensor, cells: int) -> list[Tensor]:
    """The ends of equal cells between a and b, without a and with b. None lies beyond b."""
    return [*(torch.minimum(a + (b - a) * (k / cells), b) for k in range(1, cells)), b]


def _slack(curve: Curve, x: Box) -> Tensor:
    """The slack of a curve, rounded up; 0 where the jump of the curve lies outside the box."""
    if not curve.slack and curve.jump is None:
        return torch.zeros((), dtype=x.lower.dtype, device=x.lower.device)
    room = torch.full_like(x.lower, curve.slack * (1 + 2.0**-40) + torch.finfo(x.lower.dtype).tiny)
    if curve.jump is None:
        return room
    margin = 2.0**-40 * abs(curve.jump)
    clear = (x.upper < curve.jump - margin) | (x.lower > curve.jump + margin)
    return torch.where(clear, 0.0, room)


class _Grid:
    """Values and derivatives of a function at points that cut each box into cells.

    Attributes:
        ends: the ends of the cells, `(cells + 1, *shape)`, in increasing order; the first and the last are the ends of
            the box.
        middles: the middles of the cells, `(cells, *shape)`.
        at_ends: the values at the ends.
        at_middles: the values at the middles.
        slopes: the derivatives at the middles.
        convex: whether the function is convex on each cell; None for a piecewise linear function.
        concave: whether the function is concave on each cell.
        exact: the offsets that hold in real arithmetic, if these are asked for.
    """

    def __init__(self, function: Function, curve: Curve, x: Box, enclose: Callable[[Box], Box] | None) -> None:
        l, u = x
        marks, first = curve.inflections, 1 if curve.curvature == "convex" else -1
        pieces = [(_CELLS, first * (-1) ** i) for i in range(len(marks) + 1)]  # cells, and how it bends
        if curve.kinks is not None:
            marks, pieces = curve.kinks, [(1, 0)] * (len(curve.kinks) + 1)
        elif enclose is not None:
            marks, pieces = tuple(bracketed(marks)), [part for piece in pieces for part in (piece, (1, 0))][:-1]
        edges = [l, *(torch.minimum(torch.clamp(l, min=mark), u) for mark in marks), u]
        cuts = zip(itertools.pairwise(edges), pieces, strict=True)
        self.ends = torch.stack([l, *(end for (a, b), (cells, _) in cuts for end in _cut(a, b, cells))])
        self.at_ends = function(self.ends)
        self.middles = (self.ends[1:] + self.ends[:-1]) / 2
        bends = torch.tensor([bend for cells, bend in pieces for _ in range(cells)], device=l.device)
        self.exact: Offsets | None = None
        if enclose is not None:
            kinds = None if curve.kinks is not None else bends.reshape(-1, *[1] * l.ndim)
            with torch.no_grad():
                self.exact = Offsets(enclose, self.ends.detach(), kinds, _slack(curve, x))
        if curve.kinks is not None:
            self.convex = None
            self.at_middles, self.slopes = (self.at_ends[1:] + self.at_ends[:-1]) / 2, self._secants()
            return
        self.convex, self.concave = bends > 0, bends < 0
        ones = torch.ones_like(self.middles)
        self.at_middles, self.slopes, *_ = torch.func.jvp(function, (self.middles,), (ones,))

    def _secants(self) -> Tensor:
        """The slopes of the cells, 0 of empty ones."""
        widths = self.ends[1:] - self.ends[:-1]
        some = widths > 0
        return torch.where(some, (self.at_ends[1:] - self.at_ends[:-1]) / torch.where(some, widths, 1.0), 0.0)

    def offset(self, slope: Tensor, sign: int) -> Tensor:
        """The least value of `sign f(x) - slope x` on the box, or a little less."""
        if self.exact is None:
            return self._offset(slope, sign)
        with torch.no_grad():
            least = self.exact.least(slope, sign)
        return valued(least, self._offset(slope, sign))

    def _offset(self, slope: Tensor, sign: int) -> Tensor:
        """As `offset`, without regard to rounding."""
        least = (sign * self.at_ends - slope * self.ends).amin(0)
        if self.convex is None:
            return least
        convex = self.convex if sign > 0 else self.concave
        if not bool(convex.any()):
            return least
        widths = (self.ends[1:] - self.ends[:-1])[convex]
        values = (sign * self.at_middles - slope * self.middles)[convex]
        tangents = values - (sign * self.slopes - slope)[convex].abs() * widths / 2
        tangents = torch.where(widths > 0, tangents.nan_to_num(-inf, inf, -inf), inf)
        return torch.minimum(least, tangents.amin(0))

    def line(self, sign: int) -> tuple[Tensor, Tensor]:
        """Slope and offset of a line below `sign f` that is nearly the highest one at the centre of the box."""
        centre = self.ends[0] / 2 + self.ends[-1] / 2
        slopes = [self._hull_slope(sign, centre), self._tangent_slope(sign, centre)]
        lines = [(slope, self.offset(slope, sign)) for slope in slopes]
        heights = [(slope * centre + offset).detach().nan_to_num(-inf, inf, -inf) for slope, offset in lines]
        first = heights[0] >= heights[1]
        return torch.where(first, slopes[0], slopes[1]), torch.where(first, lines[0][1], lines[1][1])

    def _tangent_slope(self, sign: int, centre: Tensor) -> Tensor:
        """The derivative near the centre: that at the middle of the cell that contains the centre."""
        with torch.no_grad():
            place = (self.ends[1:-1] <= centre).sum(0, keepdim=True)
        return sign * self.slopes.gather(0, place)[0]

    def _hull_slope(self, sign: int, centre: Tensor) -> Tensor:
        """The slope, at the centre, of the convex hull of the values of `sign f` at the ends of the cells.

        The search starts with a chord of two points on either side of the centre, and takes a lower chord while there
        is one.
        """
        values = sign * self.at_ends
        with torch.no_grad():
            left = torch.zeros_like(centre, dtype=torch.int64)
            right = torch.full_like(left, len(values) - 1)
            for _ in range(4 if len(values) > 2 else 0):
                slope, _apart = self._chord(values, left, right)
                low = (values - slope * self.ends).argmin(0)
                before = self.ends.gather(0, low[None])[0] < centre
                left, right = torch.where(before, low, left), torch.where(before, right, low)
        slope, apart = self._chord(values, left, right)
        return torch.where(apart, slope, self._tangent_slope(sign, centre))

    def _chord(self, values: Tensor, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """The slope between two ends of cells, and where the ends are far enough apart for a slope."""
        (a, b), (f, g) = ([x.gather(0, at[None])[0] for at in (left, right)] for x in (self.ends, values))
        apart = (b - a > 8 * torch.finfo(a.dtype).eps * torch.maximum(a.abs(), b.abs())).detach()
        return torch.where(apart, (g - f) / torch.where(apart, b - a, 1.0), 0.0), apart
