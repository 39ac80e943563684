"""The hull of a range by brute force, in float64: what the search reaches lies inside the hull, and close to it.

Every point tried counts for every entry of the result. First come all corners (many of them, where there are too many),
random points, points whose entries are one number pulled into the box, and points near zero. From the best of them a
search climbs for each entry and each of its two extremes that does not attain its bound yet: along single coordinates,
along the gradient, to the corner to which the gradient points, in random directions, and to points with two equal
entries, by steps that shrink when nothing is gained.
"""

from __future__ import annotations

import dataclasses
import itertools

import torch
from torch import Tensor

from tests.tightness.problem import Problem, corners


@dataclasses.dataclass(frozen=True)
class Effort:
    """How hard to search.

    Attributes:
        corners: how many corners to try; all if the box has no more.
        random: how many random points to try.
        rounds: how many steps each ascent takes.
        directions: random directions tried in each step.
        starts: how many of the best points to climb from, for each extreme.
        evaluations: after so many no step begins, where points are evaluated one by one.
    """

    corners: int = 4096
    random: int = 1024
    rounds: int = 40
    directions: int = 12
    starts: int = 2
    evaluations: int = 3_000


THOROUGH = Effort()
QUICK = Effort(corners=256, random=128, rounds=12, directions=4, starts=1, evaluations=1000)


def hull(problem: Problem, effort: Effort = THOROUGH) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest value found of each entry."""
    generator = torch.Generator().manual_seed(0)
    points = starting_points(problem, effort, generator)
    if not problem.batched:
        points = points[torch.randperm(len(points), generator=generator)[: effort.evaluations]]
    found = Extremes(problem, points, effort.starts)
    for _ in range(effort.rounds):
        exhausted = not problem.batched and problem.evaluated > effort.evaluations
        if exhausted or not found.climb(effort.directions, generator):
            break
    return found.smallest, found.largest


def starting_points(problem: Problem, effort: Effort, generator: torch.Generator) -> Tensor:
    """Corners, random points, the same number in all entries or in two of them, and small numbers."""
    l, u = problem.l, problem.u
    width, n = u - l, len(l)
    drawn = [torch.stack([l, u, l / 2 + u / 2])]
    if 2**n <= effort.corners:
        drawn.append(corners(l, u))
    else:
        picks = torch.rand(effort.corners, n, generator=generator, dtype=torch.float64) < 0.5
        drawn.append(torch.where(picks, u, l))
    uniform = torch.rand(effort.random, n, generator=generator, dtype=torch.float64)
    drawn.append(l + width * uniform)
    drawn.append(torch.where(uniform < 0.6, l + width * uniform.roll(1, 0), torch.where(uniform < 0.8, l, u)))
    if n:
        levels = torch.linspace(0, 1, effort.random // 4, dtype=torch.float64)[:, None]
        common = torch.cat(
            [l.min() + (u.max() - l.min()) * levels, l[:, None], u[:, None], problem.constants(64)[:, None]]
        )
        small = torch.tensor([0.0, 1e-300, -1e-300, 1e-12, -1e-12, 1e-6, -1e-6], dtype=torch.float64)[:, None]
        drawn += [
            _pairs(l, u),
            common.expand(-1, n),
            small.expand(-1, n),
            torch.where(uniform[:, :1] < 0.5, 0.0, uniform),
        ]
    return torch.minimum(torch.maximum(torch.cat(drawn), l), u)


def _pairs(l: Tensor, u: Tensor) -> Tensor:
    """For each pair of entries whose intervals meet, the point at which both are the least common number."""
    points = []
    for i, j in itertools.combinations(range(len(l)), 2):
        if torch.maximum(l[i], l[j]) <= torch.minimum(u[i], u[j]):
            points.append((l / 2 + u / 2).index_fill(0, torch.tensor([i, j]), float(torch.maximum(l[i], l[j]))))
    return torch.stack(points) if points else l[None]


class Extremes:
    """The extreme values found so far, and the points at which to look on.

    Ascents are rows: the first half seeks the smallest values, as the largest of their negatives.
    """

    def __init__(self, problem: Problem, points: Tensor, starts: int) -> None:
        self.problem = problem
        values = problem(points)
        self.smallest, self.largest = _nan_to(values, torch.inf).amin(0), _nan_to(values, -torch.inf).amax(0)
        m = values.shape[1]
        self.sign = torch.tensor([-1.0, 1.0], dtype=torch.float64).repeat_interleave(m).repeat(starts)
        self.output = torch.arange(m).repeat(2 * starts)
        both = _nan_to(torch.cat([-values, values], 1), -torch.inf)
        best = both.topk(min(starts, len(points)), 0).indices
        best = torch.cat([best, best[:1].expand(starts - len(best), -1)])
        self.at = points[best.reshape(-1)]
        self.value = both.gather(0, best).reshape(-1)
        self.step = torch.full((len(self.at),), 0.5, dtype=torch.float64)

    def climb(self, directions: int, generator: torch.Generator) -> bool:
        """Take one step in every row; False if there is nothing to climb."""
        live = (self.step > 2.0**-16) & ~self._attained()
        n = len(self.problem.l)
        if not n or not bool(live.any()):
            return False
        at, step, output, sign = self.at[live], self.step[live], self.output[live], self.sign[live]
        proposals = self._proposals(at, step[:, None, None], output, sign[:, None], directions, generator)
        rows, count, _ = proposals.shape
        values = self.problem(proposals.reshape(-1, n)).reshape(rows, count, -1)
        self.smallest = torch.minimum(self.smallest, _nan_to(values, torch.inf).amin((0, 1)))
        self.largest = torch.maximum(self.largest, _nan_to(values, -torch.inf).amax((0, 1)))
        own = values.gather(2, output[:, None, None].expand(-1, count, 1)).squeeze(2) * sign[:, None]
        value, which = _nan_to(own, -torch.inf).max(1)
        better = value > self.value[live]
        self.at[live] = torch.where(better[:, None], proposals[torch.arange(rows), which], at)
        self.value[live] = torch.where(better, value, self.value[live])
        self.step[live] = torch.where(better, step, step / 2)
        return True

    def _attained(self) -> Tensor:
        """The rows whose extreme has reached the bound: there is nothing beyond."""
        problem = self.problem
        slack = 2.0**-40 * torch.maximum(problem.lower.abs(), problem.upper.abs()).nan_to_num(0.0, 0.0, 0.0)
        both = torch.cat([self.smallest <= problem.lower + slack, self.largest >= problem.upper - slack])
        return both[self.output + len(slack) * (self.sign > 0)]

    def _proposals(
        self, at: Tensor, step: Tensor, output: Tensor, sign: Tensor, directions: int, generator: torch.Generator
    ) -> Tensor:
        """Points to try from each row, `(rows, count, n)`."""
        l, u = self.problem.l, self.problem.u
        width, (rows, n) = u - l, at.shape
        unit = torch.eye(n, dtype=torch.float64)
        drawn = torch.randn(rows, directions, n, generator=generator, dtype=torch.float64).clamp(-1, 1)
        moves = [unit.expand(rows, n, n), -unit.expand(rows, n, n), drawn]
        slope = self.problem.gradients(at, output)
        if slope is not None:
            uphill = slope * sign * width
            size = uphill.abs().amax(1, keepdim=True).clamp(min=1e-300)
            moves.append(torch.stack([uphill / size, uphill.sign(), 2 * uphill.sign()], 1))
        points = torch.cat(
            [at[:, None] + step * width * torch.cat(moves, 1), *self._copies(at, directions, generator)], 1
        )
        if slope is not None:
            corner = torch.where(uphill > 0, u, torch.where(uphill < 0, l, at))
            points = torch.cat([points, corner[:, None]], 1)
        return torch.minimum(torch.maximum(points, l), u)

    def _copies(self, at: Tensor, directions: int, generator: torch.Generator) -> list[Tensor]:
        """Each point with one of its entries written over another."""
        rows, n = at.shape
        if n < 2:
            return []
        source, target = torch.randint(n, (2, rows, directions, 1), generator=generator)
        repeated = at[:, None].expand(-1, directions, -1)
        return [repeated.scatter(2, target, repeated.gather(2, source))]


def _nan_to(x: Tensor, number: float) -> Tensor:
    return torch.where(x.isnan(), number, x)


def elementwise_hull(
    function, box, critical: tuple[float, ...] = (), count: int = 400, rounds: int = 8
) -> tuple[Tensor, Tensor]:
    """The same for an elementwise function of one argument, on many boxes at once.

    Points lie evenly in each box and geometrically close to its ends and to zero, at and next to critical points;
    the neighbourhood of the best is divided again and again.
    """
    l, u = box.lower, box.upper
    even = torch.linspace(0, 1, count, dtype=l.dtype)[:, None]
    tiny = torch.logspace(-320, 12, count, dtype=l.dtype)[:, None]
    # Waves are highest near 0, or near the end that is nearest to it.
    near = torch.arange(-50, 50, 0.125, dtype=l.dtype)[:, None].expand(-1, len(l))
    drawn = [
        l * (1 - even) + u * even,
        near,
        l + near.abs(),
        u - near.abs(),
        tiny.expand(-1, len(l)),
        -tiny.expand(-1, len(l)),
        l + tiny,
        u - tiny,
    ]
    for number in critical:
        ends = torch.tensor([number, -torch.inf, torch.inf], dtype=l.dtype)
        middle = ends[0]
        drawn.append(
            torch.stack([middle, middle.nextafter(ends[1]), middle.nextafter(ends[2])])[:, None].expand(-1, len(l))
        )
        drawn += [(number + tiny).expand(-1, len(l)), (number - tiny).expand(-1, len(l))]
    points = torch.minimum(torch.maximum(torch.cat(drawn), l), u).sort(0).values + 0.0
    smallest, largest = torch.full_like(l, torch.inf), torch.full_like(l, -torch.inf)
    around: dict[bool, Tensor] = {True: points, False: points}
    for _ in range(rounds):
        for highest in (True, False):
            points = torch.minimum(torch.maximum(around[highest], l), u) + 0.0
            values = function(points)
            smallest = torch.minimum(smallest, _nan_to(values, torch.inf).amin(0))
            largest = torch.maximum(largest, _nan_to(values, -torch.inf).amax(0))
            best = _nan_to(values if highest else -values, -torch.inf).argmax(0, keepdim=True)
            at = points.gather(0, best)
            low = torch.where(points < at, points, l).amax(0, keepdim=True)
            high = torch.where(points > at, points, u).amin(0, keepdim=True)
            around[highest] = low * (1 - even[::8]) + high * even[::8]
    return smallest, largest
