"""Softmax, log-softmax and their relatives."""

import math

import pytest
import torch
import torch.nn.functional as F

import intervaltorch as it
from intervaltorch import DomainError, IntervalTensor
from intervaltorch.testing import assert_encloses, check_op
from tests.boxes import seeded_box as boxes

inf = math.inf


FUNCTIONS = {
    "softmax": lambda x: x.softmax(-1),
    "softmax over the first dim": lambda x: torch.softmax(x, 0),
    "softmax, dtype": lambda x: F.softmax(x, dim=1, dtype=torch.float64),
    "special.softmax": lambda x: torch.special.softmax(x, 1),
    "kernel": lambda x: torch.ops.aten._softmax(x, 1, False),
    "softmin": lambda x: F.softmin(x, dim=1),
    "log_softmax": lambda x: x.log_softmax(1),
    "log_softmax over the first dim": lambda x: F.log_softmax(x, 0),
    "log kernel": lambda x: torch.ops.aten._log_softmax(x, 1, False),
    "module": torch.nn.Softmax(dim=1),
    "cross_entropy": lambda x: F.cross_entropy(x, torch.zeros(x.shape[0], dtype=torch.long)),
}


@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize("radius", [1e-4, 0.5, 20.0])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_rules_keep_their_contract(name, radius, scale):
    check_op(FUNCTIONS[name], boxes(3, 5, radius=radius, scale=scale))


@pytest.mark.parametrize("function", [torch.softmax, torch.log_softmax])
def test_hull(function):
    X = boxes(4, 6, radius=3.0).double()
    Y = function(X, 1)
    for i in range(6):
        own = torch.nn.functional.one_hot(torch.tensor(i), 6).bool()
        highest = torch.where(own, X.upper, X.lower)
        lowest = torch.where(own, X.lower, X.upper)
        torch.testing.assert_close(Y.upper[:, i], function(highest, 1)[:, i], rtol=1e-12, atol=1e-300)
        torch.testing.assert_close(Y.lower[:, i], function(lowest, 1)[:, i], rtol=1e-12, atol=1e-300)


def test_no_cancellation_between_nearly_equal_sums():
    """The sum of the others vanishes beside the whole sum, where a subtraction would leave nothing."""
    X = IntervalTensor(torch.tensor([-100.0, -41.0]), torch.tensor([0.0, -40.0]))
    for mode in ("nearest", "outward"):
        with it.rounding(mode):
            Y = X.softmax(0)
        assert Y.upper[0] > 1 - 1e-6
        assert Y.upper[1] > 1 - 1e-6
        assert Y.lower[0] == pytest.approx(1 / (1 + math.exp(60.0)), rel=1e-4)
        assert Y.lower[1] == pytest.approx(1 / (1 + math.exp(41.0)), rel=1e-4)


def test_one_entry_gives_exactly_one():
    for mode in ("nearest", "outward"):
        with it.rounding(mode):
            for X in (IntervalTensor(torch.tensor([[-2.0]]), torch.tensor([[inf]])), boxes(3, 1, radius=1.0)):
                assert X.softmax(1).lower.eq(1).all()
                assert X.softmax(1).upper.eq(1).all()
                assert X.log_softmax(1).lower.eq(0).all()
    assert IntervalTensor.point(torch.tensor(3.0)).softmax(0).lower == 1


def test_masked_entries():
    X = boxes(3, 5, radius=1.0)
    mask = torch.tensor([[True, False, True, False, True], [False, True, False, False, False], [True] * 5])
    for mode in ("nearest", "outward"):
        with it.rounding(mode):
            masked = X.masked_fill(~mask, -inf)
            Y = masked.softmax(1)
            kept = X[:1][:, mask[0]].softmax(1)
        assert Y.lower[~mask].eq(0).all()
        assert Y.upper[~mask].eq(0).all()
        assert Y.lower[1, 1] == Y.upper[1, 1] == 1
        torch.testing.assert_close(Y.upper[0, mask[0]], kept.upper[0])
        assert (masked.log_softmax(1).upper[~mask] == -inf).all()


def test_fully_masked_rows_are_refused():
    X = boxes(2, 3, radius=1.0).masked_fill(torch.tensor([[False], [True]]), -inf)
    with pytest.raises(DomainError, match=r"index \(1,\)"):
        X.softmax(1)


@pytest.mark.parametrize("function", [torch.softmax, torch.log_softmax])
def test_infinite_entries_give_no_nan(function):
    ends = torch.tensor([-inf, -3.0, 0.0, inf])
    pairs = torch.combinations(torch.arange(4), 2, with_replacement=True)
    rows = torch.cartesian_prod(*[torch.arange(len(pairs))] * 3)
    lower, upper = ends[pairs[rows, 0]], ends[pairs[rows, 1]]
    possible = (upper > -inf).any(1)
    X = IntervalTensor(lower[possible], upper[possible])
    for mode in ("nearest", "outward"):
        with it.rounding(mode):
            Y = function(X, 1)
        assert (Y.lower <= Y.upper).all()
        if mode == "outward":
            for t in (0.0, 0.3, 0.9):
                l, u = X.lower.clamp(-30, 30), X.upper.clamp(-30, 30)
                inside = ((X.lower <= l) & (u <= X.upper)).all(1)
                x = l + t * (u - l)
                assert_encloses(Y[inside], function(x[inside].double(), 1))


def test_gradients_with_masks_are_finite():
    mask = torch.tensor([[True, False, False], [True, True, False]])
    lower = torch.randn(2, 3, requires_grad=True)
    upper = (lower.detach() + 1).requires_grad_()
    for function in (torch.softmax, torch.log_softmax):
        Y = function(IntervalTensor(lower, upper).masked_fill(~mask, -inf), 1)
        gradients = torch.autograd.grad(Y.lower[mask].sum() + Y.upper[mask].sum(), (lower, upper))
        assert all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("mode", ["nearest", "outward"])
def test_rows_of_minus_infinity_refuse_in_both_modes(mode):
    x, hidden = IntervalTensor(torch.zeros(2, 3), torch.ones(2, 3)), torch.tensor([[1, 1, 1], [0, 1, 0]]).bool()
    masks = torch.zeros(2, 3).masked_fill(hidden, -inf)
    with it.rounding(mode):
        masked = [x + masks, masks + x, x - -masks, x.masked_fill(hidden, -inf), (x + masks) * 0.3, (x + masks) / 3.0]
        masked += [(x + masks) * torch.full((3,), 0.3), 0.1 + (x + masks), (x + masks) / IntervalTensor.point(x.upper)]
        for scores in masked:
            for function in (torch.softmax, torch.log_softmax):
                with pytest.raises(DomainError, match="all -inf"):
                    function(scores, -1)
                row = function(scores[1], -1)
                assert row.lower[1] == row.upper[1] == function(masks[1], -1)[1]
