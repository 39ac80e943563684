"""Entries that may be equal, in everything that selects: what is answered holds at every point of the box.

Boxes have ends 0, 1 and 2, so that intervals touch, coincide and are points. Points with entries 0, 0.5, ..., 2 are
tried.
"""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from intervaltorch import IntervalError, IntervalTensor, UndecidedError
from intervaltorch._theorems.undecided import Undecided

EDGES = torch.tensor([0.0, 0.5, 1.0, 2.0])
SELECTIONS = {
    "max": lambda x: torch.max(x, 0),
    "min": lambda x: torch.min(x, 0, keepdim=True),
    "argmax": lambda x: x.argmax(),
    "argmax along": lambda x: x.argmax(0),
    "argmin": lambda x: x.argmin(-1, keepdim=True),
    "aminmax": lambda x: torch.aminmax(x, dim=0),
    "sort": lambda x: x.sort(),
    "sort descending": lambda x: x.sort(descending=True),
    "stable sort": lambda x: x.sort(stable=True),
    "argsort": lambda x: x.argsort(),
    "stable argsort": lambda x: x.argsort(descending=True, stable=True),
    "msort": torch.msort,
    "topk": lambda x: x.topk(2),
    "topk smallest": lambda x: x.topk(3, largest=False),
    "topk of one": lambda x: x.topk(1),
    "topk of all": lambda x: x.topk(4),
    "topk unsorted": lambda x: x.topk(2, sorted=False),
    "kthvalue": lambda x: x.kthvalue(2),
    "kthvalue, first": lambda x: x.kthvalue(1),
    "kthvalue, last": lambda x: x.kthvalue(4, keepdim=True),
    "median": lambda x: x.median(0),
    "nanmedian": lambda x: x.nanmedian(0),
    "mode": lambda x: x.mode(0),
    "cummax": lambda x: x.cummax(0),
    "cummin": lambda x: x.cummin(-1),
    "cummax of columns": lambda x: torch.stack([x, x.flip(0)], 1).cummax(0),
    "max of columns": lambda x: torch.stack([x, x.flip(0)], 1).max(0),
    "quantile": lambda x: x.quantile(0.4, interpolation="nearest"),
    "unique": lambda x: torch.unique(x, return_inverse=True, return_counts=True),
    "unique_consecutive": lambda x: torch.unique_consecutive(x, return_inverse=True, return_counts=True),
    "searchsorted": lambda x: torch.searchsorted(EDGES, x),
    "searchsorted right": lambda x: torch.searchsorted(EDGES, x, right=True),
    "searchsorted side": lambda x: torch.searchsorted(EDGES, x, side="right"),
    "searchsorted in boxes": lambda x: torch.searchsorted(x.sort()[0], EDGES),
    "searchsorted in boxes, right": lambda x: torch.searchsorted(x.sort()[0], EDGES, right=True),
    "searchsorted, both vary": lambda x: torch.searchsorted(x[:2].sort()[0], x[2:]),
    "bucketize": lambda x: torch.bucketize(x, EDGES),
    "bucketize right": lambda x: torch.bucketize(x, EDGES, right=True),
    "nonzero": lambda x: torch.nonzero(x),
    "argwhere": lambda x: torch.argwhere(x - 1),
    "count_nonzero": lambda x: torch.count_nonzero(x - 1),
    "isin": lambda x: torch.isin(x, EDGES),
    "histc": lambda x: torch.histc(x, 4, 0, 2),
    "max_pool1d": lambda x: F.max_pool1d(x[None, None], 2, 1, return_indices=True),
    "max_pool1d, padded": lambda x: F.max_pool1d(x[None, None], 3, 2, 1, return_indices=True),
    "max_pool1d, dilated": lambda x: F.max_pool1d(x[None, None], 2, 1, 0, 2, return_indices=True),
    "max_pool2d": lambda x: F.max_pool2d(x.view(1, 1, 2, 2), 2, 1, 1, return_indices=True),
    "max_pool3d": lambda x: F.max_pool3d(x.view(1, 1, 1, 2, 2), (1, 2, 2), return_indices=True),
    "adaptive_max_pool1d": lambda x: F.adaptive_max_pool1d(x[None, None], 3, return_indices=True),
    "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x.view(1, 1, 2, 2), (1, 2), return_indices=True),
    "adaptive_max_pool3d": lambda x: F.adaptive_max_pool3d(x.view(1, 1, 1, 2, 2), 1, return_indices=True),
    "max of two": lambda x: torch.max(x, x.flip(0)),
    "fmin": lambda x: torch.fmin(x, x.roll(1)),
    "comparisons": lambda x: (x > 1, x >= 1, x == 1, x != x.flip(0), x < x.roll(1), x <= x.roll(1)),
    "sign": lambda x: torch.sign(x - 1),
    "heaviside": lambda x: torch.heaviside(x - 1, torch.tensor(0.5)),
    "where": lambda x: torch.where(x >= 1, x, -x),
    "scatter_reduce": lambda x: x.scatter_reduce(0, torch.tensor([0, 0, 1, 1]), x, "amax"),
    "max of a bag": lambda x: F.embedding_bag(torch.tensor([[0, 1, 2, 3]]), x[:, None], mode="max"),
}
"""Values, or tuples of values and places."""
REFUSED = ("mode", "unique", "unique_consecutive", "histc")


def flat(result) -> list:
    return list(result) if isinstance(result, tuple) else [result]


def boxes(count: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        ends = torch.randint(0, 3, (2, 4), generator=generator).float().sort(0).values
        fixed = torch.rand(4, generator=generator) < 0.4
        yield IntervalTensor(ends[0], torch.where(fixed, ends[0], ends[1]))


def points(x: IntervalTensor):
    ranges = [torch.arange(low, high + 0.1, 0.5).tolist() for low, high in zip(x.lower.tolist(), x.upper.tolist())]
    every = list(itertools.product(*ranges))
    yield from (torch.tensor(point) for point in every[:: max(1, len(every) // 60)])
    yield from (x.lower, x.upper)


def holds_at(answer, value) -> bool:
    if isinstance(answer, IntervalTensor):
        return answer.shape == value.shape and bool(answer.contains(value).all())
    return torch.equal(answer, value)


@pytest.mark.parametrize("name", SELECTIONS)
def test_what_is_answered_holds_at_every_point(name):
    function, answers = SELECTIONS[name], 0
    if name in REFUSED:
        with pytest.raises(IntervalError):
            function(IntervalTensor(torch.zeros(4), torch.ones(4)))
        return
    for x in boxes(80, seed=len(name)):
        try:
            result = flat(function(x))
        except UndecidedError:
            continue
        decided = [position for position, answer in enumerate(result) if not isinstance(answer, Undecided)]
        for point in points(x):
            value = flat(function(point))
            for position in decided:
                if name == "topk unsorted" and position == 0 and len(decided) == 1:
                    value[0] = value[0].sort().values  # any order is one that torch may give
                assert holds_at(result[position], value[position]), (
                    f"{name} of {x} answers {result[position]}, at {point.tolist()} it is {value[position]}"
                )
                answers += 1
    assert answers, "nothing was answered"


@pytest.mark.parametrize("name", ["cummax", "cummin"])
def test_a_tie_opens_the_place_of_a_running_extreme_until_the_next_one_takes_over(name):
    sign = 1.0 if name == "cummax" else -1.0
    for lower, upper in (
        ([1, 0, 2], [1, 1, 2]),
        ([1, 1, 2], [1, 1, 2]),
        ([0, 1, 2], [1, 1, 2]),
        ([1, 0, 1], [1, 1, 1]),
    ):
        x = IntervalTensor(torch.tensor(lower).float(), torch.tensor(upper).float()) * sign
        places = {tuple(getattr(point, name)(0)[1].tolist()) for point in points(x)}
        found = getattr(x, name)(0)[1]
        assert isinstance(found, Undecided) or places == {tuple(found.tolist())}
