"""Order statistics: values are hulls; a place is given only if it is the same at every point."""

import math
from fractions import Fraction

import pytest
import torch

import intervaltorch as it
from intervaltorch import IntervalTensor, UndecidedError, testing
from intervaltorch._theorems.undecided import Undecided
from tests.boxes import lopsided

VALUES = {
    "max": lambda x: torch.max(x),
    "min": lambda x: x.min(),
    "max dim": lambda x: x.max(1).values,
    "min keepdim": lambda x: torch.min(x, dim=-1, keepdim=True)[0],
    "max of two": lambda x: torch.max(x, x.flip(0)),
    "sort": lambda x: x.sort(1)[0],
    "sort descending": lambda x: torch.sort(x, dim=0, descending=True, stable=True).values,
    "msort": torch.msort,
    "topk": lambda x: x.topk(2)[0],
    "topk smallest": lambda x: torch.topk(x, 3, dim=1, largest=False).values,
    "kthvalue": lambda x: x.kthvalue(2, keepdim=True)[0],
    "median": torch.median,
    "median dim": lambda x: x.median(1)[0],
    "nanmedian": lambda x: x.nanmedian(1)[0],
    "cummax": lambda x: x.cummax(1)[0],
    "cummin": lambda x: torch.cummin(x, 0).values,
    "quantile of all": lambda x: x.quantile(0.3),
    "quantiles": lambda x: x.quantile(torch.tensor([0.0, 0.25, 0.6, 1.0], dtype=x.dtype), dim=1, keepdim=True),
    "nanquantile": lambda x: x.nanquantile(0.37, dim=0),
}
VALUES |= {
    f"quantile {how}": lambda x, how=how: torch.quantile(x, 0.35, 1, interpolation=how)
    for how in ("lower", "higher", "nearest", "midpoint")
}


@pytest.mark.parametrize("name", VALUES)
def test_values(name):
    testing.check_op(VALUES[name], lopsided(3, 6), samples=24)


def test_values_are_the_hull():
    x = lopsided(4)
    values = x.sort()[0]
    assert torch.equal(values.lower, x.lower.sort()[0]) and torch.equal(values.upper, x.upper.sort()[0])


def test_unsorted_topk_bounds_every_order():
    x = lopsided(8)
    values = x.topk(3, sorted=False).values
    points = torch.stack([x.lower + t * (x.upper - x.lower) for t in torch.rand(64, 8)])
    for found in points.topk(3, sorted=False).values:
        for order in (found, found.flip(0), found.roll(1)):
            testing.assert_encloses(values, order.clamp(x.lower.min(), x.upper.max()))


@pytest.mark.parametrize("largest", [True, False])
def test_unsorted_topk_gives_places_where_the_whole_order_is_certain(largest):
    """Entries apart, and equal ones that do not vary, as masked by -math.inf: the places are those at every point."""
    decided = 0
    for _ in range(60):
        lower = torch.randn(5, 6)
        x = IntervalTensor(lower, lower + torch.rand(5, 6) * 0.1)
        x = x.masked_fill(torch.rand(5, 6) < 0.3, -math.inf)
        for row in x:
            values, places = row.topk(3, largest=largest, sorted=False)
            if isinstance(places, Undecided):
                continue
            decided += 1
            for t in (0.0, 0.5, 1.0, torch.rand(6)):
                point = torch.where(row.lower == -math.inf, row.lower, row.lower + t * (row.upper - row.lower))
                found = point.clamp(row.lower, row.upper).topk(3, largest=largest, sorted=False)
                assert torch.equal(found.indices, places)
                testing.assert_encloses(values, found.values)
    assert 50 < decided < 250


def test_unsorted_topk_of_touching_entries_gives_no_places():
    for upper, certain in (([1.0, 2.0, 3.0], False), ([0.0, 1.5, 3.0], True), ([0.0, 1.0, 2.0], True)):
        x = IntervalTensor(torch.tensor([0.0, 1.0, 2.0]), torch.tensor(upper))
        assert isinstance(x.topk(2, sorted=False)[1], Undecided) != certain


@pytest.mark.parametrize("q", [0.1, 0.3, 0.7])
def test_quantiles_hold_at_the_exact_and_at_the_computed_rank(q):
    """The rank 0.3 · 10 is 3 in floating point, and below it in real arithmetic: floor(rank) differs."""
    values = torch.arange(11.0).square()
    exact = values[math.floor(Fraction(q) * 10)]
    with it.rounding("outward"):
        y = IntervalTensor.point(values).quantile(q, interpolation="lower")
    for value in (
        exact,
        values.quantile(q, interpolation="lower"),
        values.double().quantile(q, interpolation="lower"),
    ):
        testing.assert_encloses(y, value)


# --- places -------------------------------------------------------------------------------------------------

PLACES = {
    "max": lambda x: x.max(-1)[1],
    "min": lambda x: torch.min(x, -1).indices,
    "max keepdim": lambda x: x.max(-1, keepdim=True)[1],
    "argmax": lambda x: x.argmax(-1),
    "argmax of all": lambda x: torch.argmax(x),
    "argmin": lambda x: torch.argmin(x, dim=-1, keepdim=True),
    "sort": lambda x: x.sort()[1],
    "argsort": lambda x: x.argsort(descending=True),
    "topk": lambda x: x.topk(3)[1],
    "topk smallest": lambda x: x.topk(1, largest=False)[1],
    "kthvalue": lambda x: x.kthvalue(3)[1],
    "median": lambda x: x.median(-1)[1],
    "cummax": lambda x: x.cummax(-1)[1],
    "cummin": lambda x: x.cummin(-1)[1],
}
each_place = pytest.mark.parametrize("name", PLACES)


@each_place
def test_a_place_is_given_exactly_if_it_is_the_same_at_every_point(name):
    """On small boxes, all 3^n corners and centres are tried; overlaps decide, so nothing may be missed either
    way.
    """
    seen = set()
    for _ in range(60):
        x = lopsided(4, radius=0.5)
        grid = torch.cartesian_prod(*[torch.stack([l, (l + u) / 2, u]) for l, u in zip(x.lower, x.upper, strict=True)])
        found = torch.stack([PLACES[name](point) for point in grid])
        same = bool((found == found[0]).all())
        place = PLACES[name](x)
        seen.add(same)
        assert isinstance(place, Undecided) != same
        assert place.shape == found[0].shape and place.dtype == found.dtype
        if same:
            assert torch.equal(place, found[0])
    assert seen == {True, False}


@each_place
def test_a_point_gives_the_places_of_torch_ties_included(name):
    x = torch.tensor([[1.0, 2.0, 2.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    assert torch.equal(PLACES[name](IntervalTensor.point(x)), PLACES[name](x))


def test_equality_at_both_ends_is_not_enough():
    x = IntervalTensor(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0]))
    assert x.lower.argmax() == x.upper.argmax() and isinstance(x.argmax(), Undecided)
    touching = IntervalTensor(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]))
    assert isinstance(touching.argmax(), Undecided)


@pytest.mark.parametrize(
    "use",
    [
        lambda i: i + 1,
        lambda i: torch.arange(2)[i],
        lambda i: lopsided(2)[i],
        lambda i: lopsided(2).gather(0, i),
        lambda i: i.item(),
        lambda i: int(i),
        lambda i: i.tolist(),
        lambda i: torch.nn.functional.one_hot(i, 2),
        lambda i: torch.ops.aten.add(i, 1),
        lambda i: lopsided(2) < i,
        lambda i: lopsided(2) == i,
        lambda i: lopsided(2).gather(0, index=i),
        lambda i: i.float(),
    ],
)
def test_an_undecided_place_refuses_every_use(use):
    place = IntervalTensor(torch.zeros(1, 2), torch.ones(1, 2)).max(1)[1]
    with pytest.raises(UndecidedError, match="index from max"):
        use(place)


def test_the_truth_of_a_comparison_may_depend_on_the_point():
    place = IntervalTensor(torch.zeros(1, 2), torch.ones(1, 2)).max(1)[1]
    with pytest.raises(UndecidedError, match="the truth of"):
        bool(place == 0)
    assert not bool(place == 2)


def test_an_undecided_place_says_what_it_is():
    values, place = IntervalTensor(torch.zeros(3, 2), torch.ones(3, 2)).max(1)
    assert repr(place) == f"{place}" == "Undecided(shape=(3,), from='max')"
    assert place.shape == values.shape and place.dtype is torch.long and place.ndim == 1 and len(place.size()) == 1


@pytest.mark.parametrize("name", ["max", "min", "sort", "topk", "kthvalue", "median", "nanmedian", "cummax", "cummin"])
def test_named_results(name):
    more = {"topk": (2,), "kthvalue": (2,), "sort": ()}.get(name, (0,))
    for call in (getattr(torch, name), getattr(torch.Tensor, name), getattr(torch.ops.aten, name)):
        result = call(lopsided(3), *more)
        assert isinstance(result, tuple) and isinstance(result[0], IntervalTensor)
        assert call is getattr(torch.ops.aten, name) or isinstance(result, getattr(torch.return_types, name))


def test_a_scalar_is_its_own_extreme():
    x = lopsided(1)[0]
    for values, place in (x.max(0), x.sort(), x.topk(1), x.kthvalue(1), x.median(0), x.cummax(0)):
        assert torch.equal(values.lower.flatten(), x.lower.flatten()) and not place.any()
