"""Three-valued comparisons and logic."""

import itertools
import math

import pytest
import torch

import intervaltorch as it
from intervaltorch import IntervalTensor
from tests.boxes import intervals

inf = math.inf


def verdicts(mask):
    """Each entry of a Boolean box as True, False or None."""
    assert mask.dtype == torch.bool
    return [low if low == high else None for low, high in zip(mask.lower.tolist(), mask.upper.tolist(), strict=True)]


COMPARISONS = {
    "lt": torch.lt, "le": torch.le, "gt": torch.gt, "ge": torch.ge, "eq": torch.eq, "ne": torch.ne,
    "<": lambda x, y: x < y, "<=": lambda x, y: x <= y, ">": lambda x, y: x > y, ">=": lambda x, y: x >= y,
    "==": lambda x, y: x == y, "!=": lambda x, y: x != y,
}  # fmt: skip

INTERVALS = [(a, b) for a, b in itertools.product((-1.0, 0.0, 1.0, 2.0), repeat=2) if a <= b]


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_are_certain_exactly_where_every_pair_of_points_agrees(name):
    compare = COMPARISONS[name]
    pairs = list(itertools.product(INTERVALS, repeat=2))
    X, Y = intervals(*(x for x, _ in pairs)), intervals(*(y for _, y in pairs))
    grid = torch.arange(-4, 9) / 4  # exact numbers, so that intervals that meet meet in one of them
    expected = []
    for (a, b), (c, d) in pairs:
        xs, ys = grid[(a <= grid) & (grid <= b)], grid[(c <= grid) & (grid <= d)]
        answers = compare(xs[:, None], ys).unique().tolist()
        expected.append(answers[0] if len(answers) == 1 else None)
    assert verdicts(compare(X, Y)) == expected


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_with_plain_tensors_and_numbers_on_either_side(name):
    compare = COMPARISONS[name]
    X, point = intervals((0.0, 1.0), (2.0, 3.0), (1.0, 1.0)), IntervalTensor.point(torch.ones(3))
    assert verdicts(compare(X, 1.0)) == verdicts(compare(X, torch.ones(3))) == verdicts(compare(X, point))
    assert verdicts(compare(torch.ones(3), X)) == verdicts(compare(point, X))


def test_one_object_compared_with_itself_is_decided():
    X = intervals((0.0, 1.0), (2.0, 2.0))
    for name, answer in {"==": True, "<=": True, ">=": True, "<": False, ">": False, "!=": False}.items():
        assert verdicts(COMPARISONS[name](X, X)) == [answer, answer]
    assert verdicts(X.clone() == X) == [None, True]


def test_outward_comparisons_take_numbers_exactly():
    X = IntervalTensor.point(torch.tensor([0.1]))  # the float32 next to 0.1 lies above it
    with it.rounding("outward"):
        assert verdicts(X <= 0.1) != [True]
        assert verdicts(X == 0.1) != [True]


# --- logic ------------------------------------------------------------------------------------------------------------

VALUES = {False: (False, False), None: (False, True), True: (True, True)}
CONNECTIVES = {
    "&": (lambda x, y: x & y, lambda x, y: x and y), "|": (lambda x, y: x | y, lambda x, y: x or y),
    "^": (lambda x, y: x ^ y, lambda x, y: x != y), "and": (torch.logical_and, lambda x, y: x and y),
    "or": (torch.logical_or, lambda x, y: x or y), "xor": (torch.logical_xor, lambda x, y: x != y),
}  # fmt: skip


@pytest.mark.parametrize("name", CONNECTIVES)
def test_logic_is_that_of_every_point(name):
    connect, truth = CONNECTIVES[name]
    pairs = list(itertools.product(VALUES, repeat=2))
    X, Y = (IntervalTensor(*map(torch.tensor, zip(*(VALUES[pair[i]] for pair in pairs), strict=True))) for i in (0, 1))
    expected = []
    for x, y in pairs:
        answers = {bool(truth(a, b)) for a in set(VALUES[x]) for b in set(VALUES[y])}
        expected.append(answers.pop() if len(answers) == 1 else None)
    assert verdicts(connect(X, Y)) == expected
    plain = torch.tensor([True])
    assert verdicts(connect(plain, X)) == verdicts(connect(X, IntervalTensor.point(plain)))


def test_not_any_all():
    mask = intervals((1.0, 2.0), (-1.0, 1.0), (-2.0, -1.0)) > 0
    assert verdicts(mask) == [True, None, False]
    assert verdicts(~mask) == verdicts(torch.logical_not(mask)) == [False, None, True]
    assert mask.any().item() is True
    assert mask.all().item() is False
    assert verdicts(mask[1:].any()[None]) == [None]
    assert verdicts(mask[:2].all(dim=0, keepdim=True)) == [None]
    assert (mask & mask).shape == (3,)
    mask &= True
    mask |= torch.tensor([False, True, False])
    assert verdicts(mask) == [True, True, False]


def test_symbols_of_logic_are_not_those_of_sets():
    X = intervals((0.0, 1.0))
    for connect in (lambda: X & X, lambda: X | X, lambda: X ^ X, lambda: ~X, lambda: torch.bitwise_and(X, 1)):
        with pytest.raises(it.UnsupportedOpError, match=r"X\.hull\(Y\) and X\.intersection\(Y\)"):
            connect()


# --- single answers ---------------------------------------------------------------------------------------------------


def test_branches_are_answered_honestly():
    def program(x):
        return x if x > 0 else -x

    assert program(IntervalTensor(1.0, 2.0)).lower.item() == 1
    assert program(IntervalTensor(-2.0, -1.0)).lower.item() == 1
    with pytest.raises(it.UndecidedError, match=r"undecided\) depends on the point(.|\n)*torch\.where"):
        program(IntervalTensor(-1.0, 1.0))
    with pytest.raises(RuntimeError, match="more than one value"):
        program(intervals((0.0, 1.0), (0.0, 1.0)))


@pytest.mark.parametrize(
    ("ends", "answer"),
    [((0.0, 0.0), False), ((1.0, 2.0), True), ((-2.0, -1.0), True), ((0.0, 1.0), None), ((-1.0, 1.0), None)],
)
def test_the_truth_of_a_number(ends, answer):
    X = IntervalTensor(*ends)
    for ask in (bool, torch.is_nonzero):
        if answer is None:
            with pytest.raises(it.UndecidedError):
                ask(X)
        else:
            assert ask(X) is answer


def test_decided_booleans_can_be_read():
    mask = intervals((1.0, 2.0), (-2.0, -1.0)) > 0
    assert mask.tolist() == [True, False]
    assert mask[0].item() is True
    assert int(mask[1]) == 0
    assert float(mask[0]) == 1.0
    assert torch.tensor([mask[0]]).item() == 1
    undecided = IntervalTensor(-1.0, 1.0) > 0
    for read in (lambda x: x.item(), lambda x: x.tolist(), int, float, bool, lambda x: [1, 2][x]):
        with pytest.raises(it.UndecidedError):
            read(undecided)


def test_equal_and_allclose():
    X = intervals((0.0, 1.0), (2.0, 2.0))
    assert torch.equal(X, X)
    assert torch.allclose(X, X)
    assert not torch.equal(X, X + 5)
    assert not torch.equal(X, torch.zeros(3))
    assert not torch.allclose(X, X + 5)
    assert torch.allclose(X[1:], torch.tensor([2.0]))
    for ask in (torch.equal, torch.allclose):
        with pytest.raises(it.UndecidedError, match=ask.__name__):
            ask(X, torch.tensor([0.5, 2.0]))
    assert verdicts(torch.isclose(X, torch.tensor([0.5, 2.0]))) == [None, True]


def test_questions_about_infinity():
    X = intervals((0.0, 1.0), (0.0, inf), (inf, inf), (-inf, -1.0))
    assert verdicts(torch.isfinite(X)) == [True, None, False, None]
    assert verdicts(torch.isinf(X)) == [False, None, True, None]
    assert verdicts(torch.isnan(X)) == [False, None, None, None]
    assert verdicts(torch.signbit(X)) == [None, None, False, True]
    assert not torch.isnan(X[0]).any()


def test_masks_become_numbers():
    mask = intervals((1.0, 2.0), (-1.0, 1.0), (-2.0, -1.0)) > 0
    numbers = mask.float()
    assert numbers.lower.tolist() == [1, 0, 0]
    assert numbers.upper.tolist() == [1, 1, 0]
    share = mask.float().mean()
    assert share.lower.item() == pytest.approx(1 / 3)
    assert share.upper.item() == pytest.approx(2 / 3)


def test_undecided_choices_take_hulls():
    X = intervals((1.0, 2.0), (-1.0, 1.0))
    Y = torch.where(X > 0, X, torch.tensor(5.0))
    assert Y.lower.tolist() == [1, -1]
    assert Y.upper.tolist() == [2, 5]
    Z = X.masked_fill(X > 0, 9.0)
    assert Z.lower.tolist() == [9, -1]
    assert Z.upper.tolist() == [9, 9]
