"""What a program decides by its data: early exits, masks, buffers that it fills, places of maxima."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from intervaltorch import IntervalTensor, UndecidedError, UnsupportedOpError, bound
from tests.boxes import box
from tests.patterns.check import ball, check, refuses

NEGATIVE, EITHER, POSITIVE = ([-2.0], [-1.0]), ([-1.0], [1.0]), ([1.0], [2.0])


# --- early exits ------------------------------------------------------------------------------------------------------


class Exits(nn.Module):
    """Leaves after a layer that is sure of itself, as models with early exits do."""

    def __init__(self, threshold):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3)).double()
        self.threshold = threshold

    def forward(self, x):
        for depth, layer in enumerate(self.layers):
            x = layer(x).tanh()
            if x.max() > self.threshold:
                return x, depth
        return x, len(self.layers)


def test_early_exits_are_decided_for_all_points_or_for_none():
    X = ball(2, 4, radius=0.01)
    model = Exits(0.0).requires_grad_(False)
    for threshold, depth in ((-2.0, 0), (2.0, 3)):
        model.threshold = threshold
        check(lambda x: model(x)[0], X)
        assert model(X)[1] == depth
    model.threshold = float(model.layers[0](X).tanh().max().center)
    refuses(UndecidedError, lambda: bound(model, X), "in: (the model) (Exits)", "torch.where", "bisect the box")


BRANCHES = {
    "if": lambda x: 2 * x if x > 0 else -x,
    "not": lambda x: -x if not x > 0 else 2 * x,
    "and": lambda x: 2 * x if x > 0 and x < 9 else -x,
    "chain": lambda x: 2 * x if 0 < x < 9 else -x,
    "min and max": lambda x: max(2 * x, -x),
    "any": lambda x: 2 * x if any(x > 0) else -x,
    "item": lambda x: (-x, 2 * x)[(x > 0).item()],
    "tolist": lambda x: (-x, 2 * x)[(x > 0).tolist()[0]],
    "int": lambda x: (-x, 2 * x)[int(x > 0)],
    "sign": lambda x: (-x, -x, 2 * x)[int(x.sign().long()) + 1],
    "equality": lambda x: 2 * x if torch.equal(x, x.abs()) or x > 0 else -x,
}


@pytest.mark.parametrize("name", BRANCHES)
def test_branches(name):
    """Each is 2x for positive numbers and -x for negative ones."""
    if name != "equality":
        check(BRANCHES[name], box(*NEGATIVE))
    Y = (
        check(BRANCHES[name], box(*POSITIVE))
        if name != "equality"
        else BRANCHES[name](IntervalTensor.point(torch.ones(1)))
    )
    assert bool((Y.upper > 1.9).all())
    with pytest.raises(UndecidedError) as caught:
        BRANCHES[name](box(*EITHER))
    assert "point of the box" in str(caught.value) and ("where" in str(caught.value) or "bound" in str(caught.value))


def test_the_same_with_both_branches():
    X = box([-2.0, -1.0, 1.0], [-1.0, 1.0, 2.0])
    check(lambda x: torch.where(x > 0, 2 * x, -x), X)


# --- masks made of data -----------------------------------------------------------------------------------------------

MIXED = box([[-2.0, -1.0], [0.5, 1.0]], [[-1.0, 1.0], [0.75, 2.0]])
MASKS = {
    "where": lambda x: torch.where(x > 0, x, 0.1 * x),
    "where, method": lambda x: x.where(x > 0, x.exp()),
    "masked_fill": lambda x: x.masked_fill(x < 0, -1.0),
    "masked_fill_": lambda x: x.clone().masked_fill_(x < 0, 0.5),
    "product": lambda x: x * (x > 0),
    "float mask": lambda x: x * (x > 0).float() + (x <= 0).to(x.dtype),
    "two masks": lambda x: torch.where((x > 0) & (x < 1), x, -x),
    "written by a mask": lambda x: written_by_mask(x),
    "count": lambda x: (x > 0).double().sum(0),
    "fraction": lambda x: (x > 0).double().mean(),
    "any, all": lambda x: torch.stack([(x > 0).any(1), (x > -5).all(1)]),
    "clamp by a mask": lambda x: x - x * (x > 0.6),
    "attention": lambda x: x.masked_fill(x.detach() < -1.5, -torch.inf).softmax(-1),
}


def written_by_mask(x):
    y = x.clone()
    y[y < 0] = 0.25
    return y


@pytest.mark.parametrize("name", MASKS)
def test_masks_that_choose_values_enclose(name):
    Y = check(MASKS[name], MIXED)
    assert bool((Y.lower <= Y.upper).all())


SHAPES = {
    "index": lambda x: x[x > 0],
    "masked_select": lambda x: x.masked_select(x > 0),
    "nonzero": lambda x: (x > 0).nonzero(),
    "where of one argument": lambda x: torch.where(x > 0)[0],
    "count": lambda x: (x > 0).sum(0),
    "count as a size": lambda x: torch.zeros(int((x > 0).sum())),
    "integers": lambda x: torch.where(x > 0, 1, 2),
    "written one by one": lambda x: x.clone().__setitem__(x > 0, torch.ones(3, dtype=torch.float64)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_masks_that_choose_a_shape_are_decided_or_refused(name):
    refuses(UndecidedError, lambda: SHAPES[name](MIXED), "depend", "bo")
    decided = box([[-2.0, 0.25], [0.5, 1.0]], [[-1.0, 0.5], [0.75, 2.0]])
    result = SHAPES[name](decided)
    if isinstance(result, IntervalTensor):
        check(SHAPES[name], decided)
    elif result is not None:
        assert type(result) is torch.Tensor and result.equal(SHAPES[name](decided.lower))


# --- buffers that a program fills -------------------------------------------------------------------------------------


def filled(buffer):
    def run(x):
        out = buffer(x)
        for i in range(len(x)):
            out[i] = x[-1 - i] * i
        out[..., 0] += 1
        return out

    return run


POINTS = {
    "zeros_like": torch.zeros_like, "empty_like": torch.empty_like, "full_like": lambda x: torch.full_like(x, 2.0),
    "new_zeros": lambda x: x.new_zeros(x.shape), "new_full": lambda x: x.new_full(x.shape, 1.0),
    "clone": torch.clone, "a product": lambda x: x * 0,
}  # fmt: skip
PLAIN = {
    "zeros": lambda x: torch.zeros(x.shape, dtype=x.dtype), "ones": lambda x: torch.ones(len(x), 2, dtype=x.dtype),
    "rand_like": torch.rand_like, "a bound": lambda x: x.lower.clone(),
}  # fmt: skip


@pytest.mark.parametrize("name", POINTS)
def test_buffers_made_like_a_box_take_boxes(name):
    check(filled(POINTS[name]), MIXED)


@pytest.mark.parametrize("name", PLAIN)
def test_plain_buffers_refuse_boxes_and_stay_as_they_were(name):
    refuses(
        UnsupportedOpError, lambda: filled(PLAIN[name])(MIXED), "plain tensor", "IntervalTensor.point", "zeros_like"
    )


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(2, dtype=torch.float64))

    def forward(self, x):
        self.total += x.sum(0)
        return x


def test_a_buffer_of_a_module_refuses_until_it_is_a_box():
    model = Counting()
    refuses(UnsupportedOpError, lambda: bound(model, MIXED), "in: (the model) (Counting)", "IntervalTensor.point")
    assert model.total.eq(0).all()
    model.total = IntervalTensor.point(model.total)
    model(MIXED)
    assert model.total.lower.equal(MIXED.lower.sum(0))


# --- not a number -----------------------------------------------------------------------------------------------------


def test_a_box_holds_no_nan():
    x = MIXED
    assert not bool((x != x).any()) and not bool(x.isnan().any()) and bool(x.isfinite().all())
    check(torch.nan_to_num, x)
    check(lambda t: torch.where(t.isnan(), 0.0, t) + t.nan_to_num(nan=3.0, posinf=1.0), x)
    refuses(UndecidedError, lambda: bool((x != x.clone()).any()), "torch.where")  # another object, other points
    wide = IntervalTensor(torch.tensor([-torch.inf, 0.0]), torch.tensor([torch.inf, 1.0]))
    capped = torch.nan_to_num(wide, posinf=5.0, neginf=-5.0)
    assert bool(capped.contains(torch.tensor([5.0, 1.0])).all() & capped.contains(torch.tensor([-5.0, 0.0])).all())
    refuses(UndecidedError, lambda: bool(wide.isinf().any()), "where")


# --- places -----------------------------------------------------------------------------------------------------------

PLACES = {
    "argmax": lambda x: x.argmax(-1), "argmin": lambda x: (-x).argmin(-1), "max": lambda x: x.max(-1)[1],
    "sort": lambda x: x.sort(-1, descending=True)[1][..., 0], "topk": lambda x: x.topk(1, -1)[1][..., 0],
    "argsort": lambda x: x.argsort(-1)[..., -1],
}  # fmt: skip
USES = {
    "one_hot": lambda at, x: F.one_hot(at, 3) * x, "gather": lambda at, x: x.gather(-1, at[:, None]),
    "index": lambda at, x: x[torch.arange(2), at], "embedding": lambda at, x: F.embedding(at, x.mT),
    "compare": lambda at, x: x * (at[:, None] == torch.arange(3)), "int": lambda at, x: x * int(at[0]),
    "scatter": lambda at, x: torch.zeros(2, 3, dtype=x.dtype).scatter(1, at[:, None], x[:, :1]),
    "mask": lambda at, x: x[at == 1],
}  # fmt: skip


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("place", PLACES)
def test_places_are_decided_or_refused(place, use):
    def run(x):
        return USES[use](PLACES[place](x), x)

    lower = [[0.0, 2.0, 1.5], [3.0, 1.0, 0.0]]
    check(run, box(lower, [[1.0, 3.0, 1.75], [4.0, 2.0, 0.5]]))
    either = box(lower, [[1.0, 3.0, 2.5], [4.0, 2.0, 0.5]])
    if use == "compare":  # three-valued, by entry
        check(run, either)
    else:
        refuses(UndecidedError, lambda: run(either), "depends on the point", "bisect")
