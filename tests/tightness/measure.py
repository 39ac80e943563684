"""How much wider a bound is than the hull found by brute force."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import torch
from torch import Tensor

from intervaltorch import IntervalTensor, Op, rounding
from intervaltorch.testing import covering_boxes
from tests.tightness.cases import Call
from tests.tightness.problem import Problem, quietly
from tests.tightness.search import THOROUGH, Effort, elementwise_hull, hull

# What rounding in float64, and torch's own errors, explain of a width: this much of the size of the values.
SLACK = 2.0**-40


# How far torch's values in float64 are off, absolutely: its Bessel functions by 10^9 eps, sin(pi x) / (pi x) by one.
OWN_ERRORS = dict.fromkeys(("airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1"), 1e-5) | {"sinc": 1e-15}

# Where a bound is infinite, values beyond this count as infinite: no float is a pole.
HUGE = 1e8


@dataclasses.dataclass(frozen=True)
class Measured:
    """The ratios of one op, or of one function without a record.

    Attributes:
        boxes: how many calls (boxes, for elementwise functions of one argument) were measured.
        ratios: of all entries of all results.
    """

    boxes: int
    ratios: Tensor

    @property
    def worst(self) -> float:
        """The largest ratio; NaN if nothing that varies came back."""
        return float(self.ratios.max()) if len(self.ratios) else math.nan

    @property
    def median(self) -> float:
        """The median ratio; NaN if nothing that varies came back."""
        return float(self.ratios.median()) if len(self.ratios) else math.nan


def measure_elementwise(op: Op) -> Measured:
    """Ratios of a function of one argument, on the boxes that cover its domain."""
    box = elementwise_boxes(op)
    bound = op.function(box)
    poles = tuple(-float(k) for k in range(21)) if op.family == "gamma" else ()
    found = elementwise_hull(op.function, box, (*op.critical, *poles))
    error = OWN_ERRORS.get(op.name, 0.0)
    with rounding("outward"):
        assert_inside(*_ends(quietly(lambda: op.function(box))), *found, what=op.name, error=error)
    return Measured(len(box), ratios(bound.lower, bound.upper, *found, error=error))


def elementwise_boxes(op: Op) -> IntervalTensor:
    """The boxes that cover the domain, without those on which torch's values in float64 mean nothing.

    Those are of waves far from zero, where float64 cannot name the peaks, and of Bessel functions at
    subnormal numbers.
    """
    box = covering_boxes(op, torch.float64)
    if "periodic" in op.family or op.family == "waves":
        kept = box.magnitude <= 1e4
    elif "bessel_k" in op.name:
        tiny = torch.finfo(torch.float64).tiny
        kept = ((box.lower == 0) | (box.lower >= tiny)) & ((box.upper == 0) | (box.upper >= tiny))
    else:
        return box
    return IntervalTensor(box.lower[kept], box.upper[kept])


def measure_calls(calls: Iterable[Call], effort: Effort = THOROUGH, count: int = 1000) -> Measured:
    """Ratios of a function on the first few of some calls that return boxes."""
    measured: list[Tensor] = []
    for call in calls:
        found = quietly(lambda: measure_call(call, effort))  # noqa: B023
        measured += [found] if len(found) else []
        if len(measured) == count:
            break
    return Measured(len(measured), torch.cat([torch.zeros(0), *measured]))


def measure_call(call: Call, effort: Effort) -> Tensor:
    """The ratio of each entry of the result of one call; nothing if none is a box."""
    problem = Problem(call.function, call.args, call.kwargs)
    if not problem.varies:
        return torch.zeros(0)
    found = hull(problem, effort)
    assert_inside(*problem.outward, *found, what=call.name)
    return ratios(problem.lower, problem.upper, *found)


def ratios(lower: Tensor, upper: Tensor, smallest: Tensor, largest: Tensor, error: float = 0.0) -> Tensor:
    """Width of the bound over width of what was found: 1 where both are 0 or infinite alike."""
    slack = _slack(lower, upper, smallest, largest) + error
    nowhere = smallest > largest  # every value was NaN
    smallest = torch.where((lower == -torch.inf) & (smallest < -HUGE), lower, smallest)
    largest = torch.where((upper == torch.inf) & (largest > HUGE), upper, largest)
    excess = _gap(lower, smallest) + _gap(largest, upper)
    width = (largest - smallest).nan_to_num(0.0, torch.inf)
    ratio = torch.where(excess.isinf() | (width <= slack), torch.inf, 1 + excess / width)
    return torch.where((excess <= slack) | nowhere, 1.0, ratio)


def assert_inside(
    lower: Tensor, upper: Tensor, smallest: Tensor, largest: Tensor, what: str, error: float = 0.0
) -> None:
    """Raise AssertionError if a value was found outside the bounds of outward mode, by more than torch's own error."""
    slack = _slack(lower, upper, smallest, largest)
    slack = slack + 2.0**-10 * slack.amax() + error if len(slack) else slack
    outside = (smallest < lower - slack) | (largest > upper + slack)
    if bool(outside.any()):
        i = int(outside.nonzero()[0])
        raise AssertionError(
            f"{what} is wrong: entry {i} of the bound is [{lower[i]:.17g}, {upper[i]:.17g}], "
            f"but values reach [{smallest[i]:.17g}, {largest[i]:.17g}]"
        )


def _slack(*ends: Tensor) -> Tensor:
    """What rounding explains of a difference."""
    return SLACK * torch.stack([end.abs().nan_to_num(0.0, 0.0, 0.0) for end in ends]).amax(0)


def _ends(box: IntervalTensor) -> tuple[Tensor, Tensor]:
    return box.lower, box.upper


def _gap(low: Tensor, high: Tensor) -> Tensor:
    """How far two ends are apart; 0 between equal infinities."""
    return torch.where(low == high, 0.0, high - low).clamp(min=0)
