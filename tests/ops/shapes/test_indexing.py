"""Reading and writing by index and mask: values, gradients, views; what is undecided gives a hull or a
refusal.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import intervaltorch as it
from intervaltorch import DomainError, IntervalTensor, UndecidedError, UnsupportedOpError, testing
from tests.boxes import lopsided

MASK = torch.tensor([[True, False, True], [False, False, True]])
INDICES = {
    "integer": 1,
    "negative": -1,
    "slice": slice(0, 2),
    "step": (slice(None), slice(0, None, 2)),
    "ellipsis": (..., 0),
    "new axis": (0, None, slice(1, 3)),
    "list": [0, 1],
    "array": np.array([1, 0]),
    "tensor": torch.tensor([1, 0]),
    "tensors": (torch.tensor([0, 1]), torch.tensor([2, 0])),
    "tensor and slice": (slice(None), torch.tensor([2, 0]), 1),
    "mask": MASK,
    "mask of a dimension": torch.tensor([True, False]),
    "empty": torch.zeros(0, dtype=torch.long),
    "truth": True,
    "all": (),
}
each_index = pytest.mark.parametrize("index", INDICES.values(), ids=list(INDICES))


@each_index
def test_getitem_reads_both_bounds(index):
    x = lopsided(2, 3, 4)
    y = x[index]
    assert torch.equal(y.lower, x.lower[index]) and torch.equal(y.upper, x.upper[index])


@each_index
def test_setitem_writes_both_bounds(index):
    for value in (
        0.5,
        torch.tensor(0.5),
        lopsided(2, 3, 4)[index].clone(),
        IntervalTensor(torch.tensor(0.0), torch.tensor(1.0)),
    ):
        x = lopsided(2, 3, 4)
        lower, upper = x.lower.clone(), x.upper.clone()
        lower[index] = getattr(value, "lower", value)
        upper[index] = getattr(value, "upper", value)
        x[index] = value
        assert torch.equal(x.lower, lower) and torch.equal(x.upper, upper)


PROGRAMS = {
    "integer": lambda x, y: _set(x, 1, y[1]),
    "slice": lambda x, y: _set(x, (slice(None), slice(0, 2)), y[:, :2]),
    "mask": lambda x, y: _set(x, MASK, y[MASK]),
    "chain of views": lambda x, y: _through(x, lambda x: x[1].T[0], y[0, :, 0]),
    "unbind": lambda x, y: _through(x, lambda x: x.view(6, 4)[2:4], y[0, :2]),
    "in-place arithmetic": lambda x, y: _add(x, (0, slice(1, 3)), y[1, :2]),
    "copy_": lambda x, y: _through(x, lambda x: x[0], y[1], "copy_"),
    "masked_fill_": lambda x, y: x.clone().masked_fill_(MASK[..., None], 2.0) * 3 + y,
    "masked_scatter_": lambda x, y: x.clone().masked_scatter_(MASK[..., None], y),
    "index_put_": lambda x, y: x.clone().index_put_((torch.tensor([0, 1]), torch.tensor([2, 1])), y[:, 0]),
    "index_fill_": lambda x, y: x.clone().index_fill_(1, torch.tensor([0]), 2.0) + y,
    "index_copy_": lambda x, y: x.clone().index_copy_(1, torch.tensor([2, 0]), y[:, :2]),
    "index_add_": lambda x, y: x.clone().index_add_(1, torch.tensor([2, 2]), y[:, :2]),
    "scatter_": lambda x, y: x.clone().scatter_(1, torch.ones(2, 1, 4, dtype=torch.long), y[:, :1]),
    "scatter_add_": lambda x, y: x.clone().scatter_add_(1, torch.ones(2, 3, 4, dtype=torch.long), y),
    "put_": lambda x, y: x.clone().put_(torch.tensor([3, 5]), y[0, 0, :2]),
    "fill_ and zero_": lambda x, y: _through(
        _through(x, lambda x: x[0], y[0, 0, 0], "fill_"), lambda x: x[1, 0], None, "zero_"
    ),
    "written twice": lambda x, y: _set(_set(x, 0, y[1]), (slice(None), 0), y[:, 1]),
}


def _set(x, index, value):
    x = x.clone()
    x[index] = value
    return x * 2


def _add(x, index, value):
    x = x.clone()
    x[index] += value
    return x * 2


def _through(x, take, value, how="__setitem__"):
    x = x.clone()
    view = take(x)
    if how == "__setitem__":
        view[:] = value
    else:
        getattr(view, how)(*([] if value is None else [value]))
    return x * 2


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_writing_program_does_on_each_bound_what_it_does_on_a_tensor(name):
    """All these programs are increasing in x and y, so the bounds are the values at the ends, with their
    gradients.
    """
    program = PROGRAMS[name]
    x, y = lopsided(2, 3, 4).requires_grad_(), lopsided(2, 3, 4).requires_grad_()
    result = program(x, y)
    for bound in ("lower", "upper"):
        a, b = (getattr(z, bound).detach().clone().requires_grad_() for z in (x, y))
        expected = program(a, b)
        assert torch.equal(getattr(result, bound), expected)
        weights = torch.randn_like(expected)
        (expected * weights).sum().backward()
        (getattr(result, bound) * weights).sum().backward()
        assert torch.equal(getattr(x, bound).grad, a.grad)
        assert b.grad is None or torch.equal(getattr(y, bound).grad, b.grad)


def test_parameters_written_into_a_box_get_their_gradient():
    x, bias = lopsided(3, 2), torch.zeros(2, requires_grad=True)
    x[0] = bias
    (x.upper.sum() + 2 * x.lower.sum()).backward()
    assert torch.equal(bias.grad, torch.full((2,), 3.0))


def test_leaves_refuse_writes_as_in_torch():
    x = lopsided(3).requires_grad_()
    with pytest.raises(RuntimeError, match="leaf"):
        x[0] = 1.0


def test_an_interval_is_not_written_into_a_plain_tensor():
    t = torch.zeros(2, 3)
    for write in (
        lambda: t.__setitem__(0, lopsided(3)),
        lambda: t.copy_(lopsided(2, 3)),
        lambda: t.masked_fill_(MASK, lopsided(1)[0]),
    ):
        with pytest.raises(UnsupportedOpError, match=r"IntervalTensor\.point"):
            write()
    assert not t.any()


def test_wider_values_round_outward_when_written():
    x, exact = lopsided(1), torch.tensor([0.1], dtype=torch.float64)
    with it.rounding("outward"):
        for value in (0.1, exact, IntervalTensor.point(exact)):
            x[:] = value
            assert x.dtype is torch.float32 and (x.lower.double() < exact).all() and (exact < x.upper.double()).all()


@pytest.mark.parametrize(
    "write",
    [
        lambda x: x.masked_fill(MASK, float("nan")),
        lambda x: torch.where(MASK, x, float("nan")),
        lambda x: torch.where(MASK, x, torch.tensor(float("nan"))),
        lambda x: x.fill_(float("nan")),
        lambda x: x.__setitem__(0, float("nan")),
    ],
)
def test_nan_is_in_no_box(write):
    with pytest.raises(DomainError, match="NaN"):
        write(lopsided(2, 3))


# --- masks that may be undecided ----------------------------------------------------------------------------

UNDECIDED = torch.tensor([-2.0, -1.0, 1.0]), torch.tensor([-1.0, 1.0, 2.0])  # negative, either, positive


def test_decided_masks_index():
    x = lopsided(3)
    mask = IntervalTensor(torch.tensor([-2.0, 1.0, 1.0]), torch.tensor([-1.0, 2.0, 2.0])) > 0
    assert torch.equal(x[mask].lower, x.lower[1:])
    assert torch.equal(torch.arange(3)[mask], torch.tensor([1, 2]))
    assert torch.equal(mask.nonzero(), torch.tensor([[1], [2]])) and torch.equal(
        torch.where(mask)[0], torch.tensor([1, 2])
    )


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x[x > 0],
        lambda x: torch.arange(3)[x > 0],
        lambda x: x.masked_select(x > 0),
        lambda x: x.masked_scatter(x > 0, x),
        lambda x: torch.where(x > 0),
        lambda x: x.nonzero(),
        lambda x: torch.argwhere(x),
        lambda x: x.__setitem__(x > 0, torch.ones(2)),
        lambda x: torch.where(x > 0, 1, 0),
    ],
)
def test_undecided_masks_that_decide_a_shape_are_refused(use):
    with pytest.raises(UndecidedError):
        use(IntervalTensor(*UNDECIDED))


@pytest.mark.parametrize(
    "clip",
    [
        lambda x: torch.where(x < 0, 0.0, x),
        lambda x: x.where(x >= 0, torch.tensor(0.0)),
        lambda x: x.masked_fill(x < 0, 0.0),
        lambda x: x.masked_fill(x < 0, x.detach()[0] * 0),
        lambda x: x.clone().masked_fill_(x < 0, 0),
        lambda x: _set_where_negative(x),
    ],
)
def test_undecided_masks_that_choose_give_the_hull(clip):
    y = clip(IntervalTensor(*UNDECIDED))
    assert torch.equal(y.lower, torch.tensor([0.0, -1.0, 1.0])) and torch.equal(y.upper, torch.tensor([0.0, 1.0, 2.0]))


def _set_where_negative(x):
    y = x.clone()
    y[y < 0] = 0
    return y


def test_where_by_an_undecided_condition_has_gradients():
    x = IntervalTensor(*UNDECIDED).requires_grad_()
    y = x * 1
    y[x < 0] = 5 * y[2].detach()
    y.upper.sum().backward()
    assert torch.equal(x.upper.grad, torch.tensor([0.0, 0.0, 1.0]))
    with torch.no_grad():
        for t in (0.0, 0.3, 1.0):
            point = (x.lower + t * (x.upper - x.lower)).clone()
            point[point < 0] = 5 * x.center[2]
            testing.assert_encloses(IntervalTensor(y.lower.clamp(max=5.0), y.upper), point)


def test_a_mask_of_the_first_dimensions_chooses_rows():
    x, mask = lopsided(3, 2), IntervalTensor(*UNDECIDED) > 0
    y = x.clone()
    y[mask] = torch.tensor([10.0, -10.0])
    assert torch.equal(
        y.lower,
        torch.stack([x.lower[0], torch.stack([x.lower[1, 0], torch.tensor(-10.0)]), torch.tensor([10.0, -10.0])]),
    )


# --- every rule with a box in any position ------------------------------------------------------------------

PLACES = torch.tensor([[2, 0, 1], [1, 1, 0]])
CASES = {
    "gather": (torch.gather, [lopsided(2, 3), 1, PLACES]),
    "take": (torch.take, [lopsided(2, 3), torch.tensor([0, 5])]),
    "take_along_dim": (torch.take_along_dim, [lopsided(2, 3), PLACES, 1]),
    "index_select": (torch.index_select, [lopsided(2, 3), 1, torch.tensor([2, 2])]),
    "masked_select": (torch.masked_select, [lopsided(2, 3), MASK]),
    "index_fill": (torch.index_fill, [lopsided(2, 3), 1, torch.tensor([0]), 0.1]),
    "index_copy into plain": (torch.index_copy, [torch.randn(2, 3), 1, torch.tensor([2]), lopsided(2, 1)]),
    "index_add": (
        lambda *a: torch.index_add(*a, alpha=-2),
        [lopsided(2, 3), 1, torch.tensor([2, 2, 2]), lopsided(2, 3)],
    ),
    "index_put accumulate": (torch.index_put, [lopsided(2, 3), (torch.tensor([0, 0]),), lopsided(2, 3), True]),
    "put accumulate": (torch.put, [lopsided(2, 3), torch.tensor([0, 0, 4]), lopsided(3), True]),
    "scatter": (torch.scatter, [lopsided(2, 3), 1, torch.tensor([[1], [2]]), lopsided(2, 1)]),
    "scatter number": (torch.scatter, [lopsided(2, 3), 1, PLACES, 0.1]),
    "scatter reduce": (lambda x, y: x.scatter(1, PLACES, y, reduce="add"), [lopsided(2, 3), lopsided(2, 3)]),
    "scatter_add": (torch.scatter_add, [lopsided(2, 3), 1, PLACES, lopsided(2, 3)]),
    "index_reduce": (torch.index_reduce, [lopsided(2, 3), 1, torch.tensor([1, 1, 0]), lopsided(2, 3), "mean"]),
    "masked_fill": (torch.masked_fill, [lopsided(2, 3), MASK, 0.1]),
    "masked_scatter": (torch.masked_scatter, [lopsided(2, 3), MASK, lopsided(3)]),
    "where": (torch.where, [MASK, lopsided(2, 3), lopsided(3)]),
    "where number": (torch.where, [MASK, 0.1, lopsided(2, 3)]),
    "where of itself": (lambda x: torch.where(x > 0, x, 0.25 * x), [lopsided(40, radius=0.01)]),
    "embedding": (lambda w: F.embedding(PLACES, w), [lopsided(3, 4)]),
    "select_scatter": (torch.select_scatter, [lopsided(2, 3), torch.randn(3), 0, 1]),
    "slice_scatter": (torch.slice_scatter, [torch.randn(2, 3), lopsided(1, 3), 0, 1]),
    "diagonal_scatter": (torch.diagonal_scatter, [lopsided(3, 3), lopsided(3)]),
    "fold": (lambda x: F.fold(x, (4, 5), 2), [lopsided(1, 8, 12)]),
    "unfold": (lambda x: F.unfold(x, 2, padding=1), [lopsided(1, 2, 4, 5)]),
}
CASES |= {
    f"scatter_reduce {how} {own}": (
        lambda x, y, how=how, own=own: torch.scatter_reduce(x, 1, PLACES, y, how, include_self=own),
        [lopsided(2, 3), lopsided(2, 3)],
    )
    for how in ("sum", "mean", "amax", "amin")
    for own in (True, False)
}


@pytest.mark.parametrize("name", CASES)
def test_rules(name):
    function, arguments = CASES[name]
    testing.check_op(function, *arguments, samples=12)


def test_a_long_sum_at_one_place_rounds_outward():
    """Ones added one by one to 2^24 are lost in float32: the bound must reach the real sum."""
    x, source = torch.zeros(1), IntervalTensor.point(torch.cat([torch.tensor([2.0**24]), torch.ones(64)]))
    with it.rounding("outward"):
        y = torch.index_add(x, 0, torch.zeros(65, dtype=torch.long), source)
    assert y.lower.item() <= 2**24 + 64 <= y.upper.item()
