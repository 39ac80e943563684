"""Indices that are undecided in part: every entry, however it is moved or compared, against points of the box."""

from __future__ import annotations

import copy
import itertools
import pickle

import pytest
import torch

from intervaltorch import IntervalTensor, UndecidedError, certainly, possibly
from intervaltorch._theorems.undecided import Undecided
from intervaltorch.testing import assert_encloses
from intervaltorch.testing.enclosure import _assert_possible

SELECTIONS = {
    "argmax": lambda x, dim: x.argmax(dim),
    "argmin": lambda x, dim: x.argmin(dim),
    "argmax keepdim": lambda x, dim: x.argmax(dim, keepdim=True),
    "max": lambda x, dim: x.max(dim)[1],
    "min": lambda x, dim: x.min(dim, keepdim=True)[1],
    "argmax of all": lambda x, dim: x.argmax(),
    "sort": lambda x, dim: x.sort(dim)[1],
    "argsort": lambda x, dim: x.argsort(dim, descending=True),
    "topk": lambda x, dim: x.topk(2, dim)[1],
    "kthvalue": lambda x, dim: x.kthvalue(2, dim)[1],
    "median": lambda x, dim: x.median(dim)[1],
    "cummax": lambda x, dim: x.cummax(dim)[1],
    "max_pool": lambda x, dim: torch.nn.functional.max_pool2d(x, 2, stride=1, return_indices=True)[1],
    "searchsorted": lambda x, dim: torch.bucketize(x, torch.tensor([0.5, 1.5, 2.5])),
    "frexp": lambda x, dim: torch.frexp(x)[1],
}
MOVES = {
    "first": lambda i: i.flatten()[0],
    "slice": lambda i: i[..., :2],
    "masked": lambda i: i.masked_select(torch.ones(i.shape, dtype=torch.bool)),
    "view": lambda i: i.reshape(-1, 1),
    "unsqueeze": lambda i: i.unsqueeze(-1),
    "expand": lambda i: i.expand(2, *i.shape),
    "flip": lambda i: i.flip(-1) if i.ndim else i,
    "movedim": lambda i: i.movedim(0, -1) if i.ndim else i,
    "unbind": lambda i: tuple(i.reshape(-1).unbind(0)),
    "iterate": lambda i: tuple(i.reshape(-1)),
    "split": lambda i: i.reshape(-1).split(2),
    "cat": lambda i: torch.cat([i.reshape(-1), torch.tensor([7]), i.reshape(-1)]),
    "stack": lambda i: torch.stack([torch.zeros_like(torch.empty(i.shape), dtype=i.dtype), i]),
    "where": lambda i: torch.where(torch.ones(i.shape, dtype=torch.bool), i, -1),
    "gather": lambda i: i.reshape(-1).gather(0, torch.tensor([0, 0])),
    "clone": lambda i: i.clone(),
    "deepcopy": copy.deepcopy,
    "pickle": lambda i: pickle.loads(pickle.dumps(i)),
    "int": lambda i: i.to(torch.int32),
}
COMPARISONS = {
    "eq": lambda i: i == 1,
    "eq reversed": lambda i: torch.arange(3).reshape(3, *[1] * i.ndim) == i,
    "ne": lambda i: i != torch.tensor(2),
    "lt": lambda i: i < 1,
    "le": lambda i: torch.le(i, 0),
    "gt": lambda i: torch.gt(input=i, other=1),
    "ge": lambda i: i.ge(2),
    "reversed": lambda i: torch.tensor(1) < i,
    "moved": lambda i: i.reshape(-1, 1) == torch.arange(3),
    "itself": lambda i: i == i,
    "any": lambda i: (i == 1).any(),
}


def boxes(seed: int) -> tuple[IntervalTensor, list[torch.Tensor]]:
    """Boxes of small integers, with ties and points, and points of them, corners included."""
    generator = torch.Generator().manual_seed(seed)
    lower = torch.randint(0, 4, (3, 4), generator=generator).float()
    upper = lower + torch.randint(0, 3, (3, 4), generator=generator) * torch.randint(0, 2, (3, 4), generator=generator)
    shares = [torch.randint(0, 3, (3, 4), generator=generator) / 2 for _ in range(12)]
    points = [lower + share * (upper - lower) for share in shares]
    return IntervalTensor(lower, upper), [lower, upper, *points]


@pytest.mark.parametrize("selection", SELECTIONS)
def test_every_entry_holds_at_every_point(selection):
    select, some = SELECTIONS[selection], 0
    for seed, dim in itertools.product(range(6), (0, -1)):
        x, points = boxes(seed)
        if selection in ("max_pool", "searchsorted"):
            x, points = x[None], [point[None] for point in points]
        found = select(x, dim)
        some += isinstance(found, Undecided) and bool(found.decided.any())
        for point in points:
            place = select(point, dim)
            assert_encloses(found, place)
            if isinstance(found, Undecided):
                assert torch.equal(found._like[found.decided], place[found.decided])
                for name in ("flip", "view", "cat", "stack"):
                    assert_encloses(MOVES[name](found), MOVES[name](place), what=name)
                for name, compare in COMPARISONS.items():
                    assert_encloses(compare(found), compare(place), what=name)
    assert some or selection == "argmax of all"


@pytest.mark.parametrize("move", MOVES)
def test_what_moves_entries_keeps_what_is_known_of_each(move):
    for seed in range(3):
        x, points = boxes(seed)
        for select in (SELECTIONS["argmax"], SELECTIONS["sort"], SELECTIONS["max"]):
            found = MOVES[move](select(x, 1))
            for point in points:
                assert_encloses(found, MOVES[move](select(point, 1)), what=move)


def test_decided_entries_are_plain():
    lower = torch.tensor([[0.0, 2.0, 1.0], [0.0, 0.0, 0.0]])
    places = IntervalTensor(lower, lower + torch.tensor([[0.5], [1.0]])).argmax(1)
    assert places.decided.tolist() == [True, False]
    for plain in (places[0], places[:1], places[places.decided], torch.where(places.decided, places, -1)):
        assert type(plain) is torch.Tensor
    assert (int(places[0]), places[0].item(), places[:1].tolist()) == (1, 1, [1])
    assert torch.where(places.decided, places, -1).tolist() == [1, -1]
    x = IntervalTensor(torch.zeros(2, 3), torch.ones(2, 3))
    assert x.gather(1, places[:1].unsqueeze(1)).shape == (1, 1)
    with pytest.raises(UndecidedError):
        x.gather(1, places.unsqueeze(1))


def test_places_out_of_the_question_are_certainly_not_the_place():
    x = IntervalTensor(torch.tensor([[0.0, 0.5, 3.0]]), torch.tensor([[1.0, 2.0, 4.0]]))
    least = x.argmin(1)
    assert isinstance(least, Undecided)
    assert (least == 2).upper.tolist() == [False]
    assert (least < 2).lower.tolist() == [True]
    assert (least == 1).lower.tolist() == [False] and (least == 1).upper.tolist() == [True]


def test_certified_accuracy_is_one_line():
    logits = torch.tensor([[0.0, 2.0], [0.0, 0.5], [3.0, 0.0]])
    labels = torch.tensor([1, 1, 1])
    right = IntervalTensor.from_ball(logits, 0.5).argmax(1) == labels
    assert certainly(right).tolist() == [True, False, False]
    assert possibly(right).tolist() == [True, True, False]
    assert right.lower.float().mean().item() == pytest.approx(1 / 3)
    decided = IntervalTensor.from_ball(logits, 0.1).argmax(1) == labels
    assert certainly(decided).equal(possibly(decided)) and type(decided) is torch.Tensor


def test_python_can_look_at_it():
    places = IntervalTensor(torch.zeros(2, 3), torch.ones(2, 3)).argmax(1)
    assert "decided" in dir(places) and hash(places) == hash(places) and places in [places]
    assert (places == places).lower.all() and not (places != places).upper.any()
    assert len(places) == 2 and not places.requires_grad and places.stride() == (1,)
    assert places != "a" and (places == None) is False  # noqa: E711
    assert repr(copy.deepcopy(places)) == repr(places)


def test_an_answer_that_is_wrong_is_caught():
    wrong = Undecided(torch.tensor([0, 1]), "argmax", torch.tensor([True, False]), torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(AssertionError, match=r"cannot be 1 at index \(0,\)"):
        _assert_possible(wrong, torch.tensor([1, 1]), "the place")
