"""In outward mode a box contains the real value at each of its points, with no tolerance."""

import itertools

import pytest
import torch
from flint import arb

import intervaltorch as it
from intervaltorch import rounding
from intervaltorch._records.registry import Box
from tests.budgets.cases import CASES, Case, arguments

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
each_dtype = pytest.mark.parametrize("dtype", (torch.float32, torch.float64), ids=lambda dtype: str(dtype)[6:])


def boxes(case, dtype, count, seed):
    """For each argument boxes one float wide, a thousandth of their size wide, and wide."""
    first, second = (arguments(case, count, dtype, seed + i) for i in (1, 2))
    generator = torch.Generator().manual_seed(seed)
    one, two = (torch.randperm(len(x[0]), generator=generator)[: 3 * count] for x in (first, second))
    size = min(len(one), len(two))
    kind = torch.randint(3, (size,), generator=generator)
    domains = [(max(case.op.domain[0], case.within[0]), min(case.op.domain[1], case.within[1]))]
    for position, (x, y) in enumerate(zip(first, second)):
        x, y = x[one[:size]], y[two[:size]]
        if position == 0 and case.op.name in ("pow", "float_power"):
            x, y = x.abs(), y.abs()
        other = torch.where(kind == 0, torch.nextafter(x, y), torch.where(kind == 1, x * (1 - 2.0**-10), y))
        other = other.clamp(*domains[position]) if position < len(domains) else other
        yield torch.minimum(x, other), torch.maximum(x, other)


def points(case, ends):
    """Corners of boxes, turning points, and numbers between: one tensor for each argument."""
    for corner in itertools.product((0, 1), repeat=len(ends)):
        yield [pair[i] for pair, i in zip(ends, corner)]
    for _ in range(4):
        t = [torch.rand_like(l) for l, _ in ends]
        yield [((1 - a) * l + a * u).clamp(l, u) for a, (l, u) in zip(t, ends)]
    for turn in case.op.critical if len(ends) == 1 else ():
        l, u = ends[0]
        period = 2 * torch.pi * torch.ceil((l - turn) / (2 * torch.pi)) if case.op.family == "periodic" else 0
        yield [(period + torch.full_like(l, turn)).clamp(l, u)]


def missed(case, dtype, count, seed=0):
    """Points whose real values the boxes do not contain."""
    ends = list(boxes(case, dtype, count, seed))
    with rounding("outward"):
        result = case.enclose(*ends)
    lower, upper = result.lower.tolist(), result.upper.tolist()
    assert len(lower) > count / 2
    for x in points(case, ends):
        for at, low, high in zip(zip(*[t.tolist() for t in x]), lower, upper):
            value = case.value(*at)
            if value.is_finite() and (value < arb(low) or value > arb(high)):
                yield at, value, low, high


@each_case
@each_dtype
def test_boxes_contain_real_values(case, dtype):
    assert list(missed(case, dtype, 20)) == []


@pytest.mark.slow
@each_case
@each_dtype
@pytest.mark.parametrize("seed", (10, 20))
def test_many_boxes_contain_real_values(case, dtype, seed):
    assert list(missed(case, dtype, 500, seed)) == []


@pytest.mark.parametrize("name", ["exp", "sqrt", "add", "hypot", "logaddexp"])
def test_nearest_mode_misses_some(name):
    """The test above does not pass for nothing."""
    (case,) = (case for case in CASES if case.name == name)
    ends = list(boxes(case, torch.float32, 20, 0))
    with rounding("nearest"):
        lower = case.enclose(*ends).lower.tolist()
    corners = zip(*[t.tolist() for t in next(points(case, ends))])
    values = [case.value(*at) for at in corners]
    assert any(value < arb(low) for value, low in zip(values, lower) if value.is_finite())


@each_dtype
@pytest.mark.parametrize("exponent", [2, 3, -1, -2, -3, 0.5, 1 / 3, -0.5, 1.5, 2.7, 10, 0, 1])
def test_powers_with_a_number(exponent, dtype):
    """A Python number means its exact binary64 value, in float32 too."""
    (case,) = (case for case in CASES if case.name == "pow")
    (op,) = (op for op in it.supported_ops() if op.name == "pow")
    for low, high in list(boxes(Case(op, case.real), dtype, 30, 5)):
        with rounding("outward"):
            result = op.enclose(Box(low, high), exponent)
        for x in (low, high, low / 2 + high / 2):
            for at, l, u in zip(x.tolist(), result.lower.tolist(), result.upper.tolist()):
                value = case.value(at, exponent)
                assert not value.is_finite() or not (value < arb(l) or value > arb(u)), (at, value, l, u)
