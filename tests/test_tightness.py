"""Bounds are as tight as their records say: against hulls by brute force, of every op, on one box or call each.

The slow tests take all standard boxes and search harder, as `make tightness-table` does for the page in the docs.
"""

import pathlib

import pytest
import torch

from intervaltorch import IntervalTensor
from tests.boxes import box
from tests.tightness.by_hand import unmeasured
from tests.tightness.cases import COMPOSED, Call, several_first
from tests.tightness.measure import ratios
from tests.tightness.problem import Problem
from tests.tightness.search import QUICK, hull
from tests.tightness.table import OPS, SHARP, keyed, keys, reason, row_of, row_of_composed

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "reference" / "tightness.md"
MEASURED = [op for op in OPS if not unmeasured(op)]


def title(op):
    return f"{op.family.replace(' ', '_')}-{op.name}"


def check(op, *how):
    row = row_of(op, *how)
    assert row.measured.boxes, "no standard box: write a call by hand in tests/tightness/by_hand.py"
    assert row.measured.worst <= SHARP or not op.sharp, (
        f"{op.name} is recorded as the hull, but is {row.measured.worst:.3g} times as wide on a standard box: "
        "make it sharp, or record sharp=False and say what is loose"
    )


@pytest.mark.parametrize("op", MEASURED, ids=title)
def test_one_box_of_each_op(op):
    check(op, QUICK, 1, several_first)


@pytest.mark.slow
@pytest.mark.parametrize("op", MEASURED, ids=title)
def test_standard_boxes(op):
    check(op)


@pytest.mark.slow
@pytest.mark.parametrize("info", COMPOSED, ids=lambda info: info.full_name)
def test_no_value_outside_bounds_that_are_composed(info):
    row_of_composed(info)


def test_what_is_loose_is_said():
    assert [op.name for op in OPS if not op.sharp and not reason(op)] == []


def test_page_names_every_op_once():
    expected = [(op.name, op.family) for op in OPS] + [(info.full_name, "") for info in COMPOSED]
    assert list(keyed(PAGE.read_text().splitlines())) == keys(expected), (
        "run make tightness-table, or python -m tests.tightness --write docs/reference/tightness.md NAME..."
    )


# --- the measurement itself -------------------------------------------------------------------------------------------


def problem(function, *args):
    return Problem(function, args, {})


def test_search_finds_extremes_inside_and_at_corners():
    def valley(x):  # least at (0.3, -0.2), largest at a corner
        return ((x[0] - 0.3) ** 2 + 10 * (x[0] + x[1] - 0.1) ** 2)[None]

    low, high = hull(problem(valley, box([-1.0, -1.0], [1.0, 1.0])))
    assert low.item() < 1e-6
    assert high.item() == pytest.approx(1.3**2 + 10 * 2.1**2)


def test_loose_bounds_are_seen():
    x = box([1.0], [2.0])
    loose = problem(lambda x: x - x + 1.0 * x.square(), x)  # composed: [1, 4] widened by x - x
    found = ratios(loose.lower, loose.upper, *hull(loose))
    assert found.item() == pytest.approx(5 / 3, rel=1e-6)


def test_values_outside_are_an_error():
    def wrong(x):
        return IntervalTensor(x.lower, x.lower + 0.5) if isinstance(x, IntervalTensor) else x

    from tests.tightness.measure import measure_call

    with pytest.raises(AssertionError, match="values reach"):
        measure_call(Call("wrong", wrong, (box([0.0], [1.0]),), {}), QUICK)


def test_ratios_of_constant_and_infinite_entries():
    inf, zero = torch.inf, 0.0
    lower, upper = torch.tensor([zero, zero, -inf, zero, zero]), torch.tensor([zero, 1.0, inf, inf, inf])
    smallest, largest = torch.tensor([zero, zero, -inf, zero, zero]), torch.tensor([zero, zero, inf, 1.0, 1e9])
    assert ratios(lower, upper, smallest, largest).tolist() == [1.0, inf, 1.0, inf, 1.0]
