"""Boxes as sets."""

import math

import pytest
import torch

import intervaltorch as it
from intervaltorch import IntervalTensor
from tests.boxes import intervals

inf = math.inf


X = intervals((0.0, 1.0), (2.0, 4.0))


def test_relations():
    assert X.contains(torch.tensor([0.5, 5.0])).tolist() == [True, False]
    assert X.contains(1).tolist() == [True, False]
    assert X.contains(intervals((0.0, 1.0), (2.0, 5.0))).tolist() == [True, False]
    assert X.issubset(intervals((-1.0, 2.0), (3.0, 4.0))).tolist() == [True, False]
    assert X.isdisjoint(intervals((1.5, 2.0), (4.0, 5.0))).tolist() == [True, False]
    assert X.isdisjoint(3.0).tolist() == [True, False]
    assert not X.contains(math.nan).any()


def test_relations_compare_exact_values():
    point = IntervalTensor.point(torch.tensor(0.1))  # 0.100000001490116...
    assert not point.contains(0.1)
    assert point.contains(torch.tensor(0.1))
    assert point.isdisjoint(torch.tensor(0.1, dtype=torch.float64))
    assert point.issubset(IntervalTensor(0.0, 1.0).double())


def test_hull():
    Y = X.hull(intervals((2.0, 3.0), (3.0, 3.5)))
    assert Y.lower.tolist() == [0, 2]
    assert Y.upper.tolist() == [3, 4]
    assert it.hull(3.0, X, torch.tensor([-1.0, 2.5])).lower.tolist() == [-1, 2]
    assert X.hull(torch.tensor([[5.0], [6.0]])).shape == (2, 2)
    assert X.hull(0.5).dtype == torch.float32


def test_outward_a_hull_contains_the_number_itself():
    with it.rounding("outward"):
        Y = IntervalTensor.point(torch.tensor(1.0)).hull(0.1)
    assert Y.contains(0.1)


def test_intersection():
    Y = X.intersection(intervals((0.5, 3.0), (4.0, 5.0)))
    assert Y.lower.tolist() == [0.5, 4]
    assert Y.upper.tolist() == [1, 4]
    assert it.intersection(X, X, X).lower.equal(X.lower)
    with pytest.raises(ValueError, match=r"index \(1,\): one begins at 4.5, the other ends at 4"):
        X.intersection(intervals((0.0, 1.0), (4.5, 5.0)))


def test_nan_is_in_no_set():
    for operate in (X.hull, X.intersection):
        with pytest.raises(ValueError, match="NaN"):
            operate(torch.tensor([0.0, math.nan]))


def test_functions_need_a_box():
    for operate in (it.hull, it.intersection):
        with pytest.raises(TypeError, match=r"IntervalTensor\.point"):
            operate(torch.zeros(1), 1.0)


def test_booleans_are_sets_too():
    undecided = intervals((0.0, 2.0)) > 1
    true = torch.tensor([True])
    assert undecided.contains(true).all()
    assert undecided.intersection(true).item() is True
    hull = IntervalTensor.point(true).hull(~true)
    assert (hull.lower.item(), hull.upper.item()) == (False, True)


def test_gradients_flow_through_hulls():
    lower = torch.zeros(2, requires_grad=True)
    IntervalTensor(lower, torch.ones(2)).hull(torch.tensor([0.5, -1.0])).lower.sum().backward()
    assert lower.grad.tolist() == [1, 0]


def test_bisection_shares_only_the_splitting_point():
    low, high = X.bisect()
    assert low.upper.tolist() == [1, 3]
    assert high.lower.tolist() == [0, 3]
    assert it.hull(low, high).lower.equal(X.lower)
    low, high = X.bisect(0)
    assert low.upper[0] == high.lower[0] == 0.5
    matrix = IntervalTensor(torch.zeros(2, 2), torch.tensor([[1.0, 2.0], [5.0, 1.0]]))
    assert matrix.bisect()[0].upper[1, 0] == 2.5
    assert matrix.bisect((0, 1))[0].upper[0, 1] == 1
    assert IntervalTensor(0.0, 2.0).bisect()[1].lower == 1


def test_unbounded_boxes_can_be_bisected():
    low, high = intervals((-inf, inf), (0.0, 1.0)).bisect()
    assert low.upper[0] == high.lower[0] == 0
    low, high = intervals((0.0, inf), (0.0, 1.0)).bisect()
    assert low.upper[0].isfinite()


def test_bisection_needs_one_entry():
    with pytest.raises(IndexError, match="does not name one entry"):
        IntervalTensor(torch.zeros(2, 2), torch.ones(2, 2)).bisect(1)
    with pytest.raises(IndexError, match="without entries"):
        IntervalTensor([], []).bisect()
