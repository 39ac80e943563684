"""Python control flow on boxes: a branch is taken only if every point of the box takes it."""

from functools import partial

import pytest
import torch

from intervaltorch import UndecidedError, bound
from tests import boxes

box = partial(boxes.box, dtype=None)


class Shrink(torch.nn.Module):
    """A module with a branch on its data, as a tracer would freeze it."""

    def forward(self, x):
        if x.sum() > 0:
            return x / 2
        return -x


def test_decided_branch():
    """On [-2, -1] the sum is negative at every point: the other branch, and its bounds."""
    result = bound(Shrink(), box([-2.0], [-1.0]))
    assert (result.lower.item(), result.upper.item()) == (1.0, 2.0)
    result = bound(Shrink(), box([2.0], [4.0]))
    assert (result.lower.item(), result.upper.item()) == (1.0, 2.0)


def test_undecided_branch_raises():
    with pytest.raises(UndecidedError) as caught:
        bound(Shrink(), box([-2.0], [1.0]))
    assert "point of the box" in str(caught.value) and "torch.where" in str(caught.value)


def test_undecided_branch_names_the_module():
    model = torch.nn.Sequential(torch.nn.ReLU(), Shrink())
    with pytest.raises(UndecidedError, match=r"in: 1 \(Shrink\)"):
        bound(model, box([-2.0], [1.0]))


def test_touching_the_threshold_is_undecided_only_where_it_matters():
    """[0, 1] > 0 is false at 0 and true elsewhere; [0, 1] >= 0 holds throughout."""
    with pytest.raises(UndecidedError):
        bool((box(0.0, 1.0) > 0).all())
    assert bool(box(0.0, 1.0) >= 0)
    assert not bool(box(0.0, 1.0) < 0)
    assert bool(box(1.0, 1.0) == 1) and not bool(box(1.0, 1.0) != 1)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_truth_of_a_single_number(shape):
    assert bool(box(1.0, 2.0).reshape(shape)) and not bool(box(0.0, 0.0).reshape(shape))
    with pytest.raises(UndecidedError):
        bool(box(0.0, 1.0).reshape(shape))


def test_truth_of_several_entries_is_as_ambiguous_as_in_torch():
    with pytest.raises(RuntimeError):
        bool(box([1.0, 1.0], [2.0, 2.0]))


def test_conditional_expression_and_short_circuit():
    x = box(-2.0, -1.0)
    assert (x if x > 0 else -x).lower.item() == 1.0
    assert x < 0 and not x > 0
    with pytest.raises(UndecidedError):
        box(-1.0, 1.0) > 0 and x < 0


def test_while_loop_ends_or_refuses():
    """Newton-like halving until all points are small: the number of steps is the same for all points, or unknown."""

    def halve(x):
        while (x > 1).any():
            x = x / 2
        return x

    assert halve(box([6.0], [7.0])).upper.item() == 0.875
    with pytest.raises(UndecidedError):
        halve(box([0.5], [7.0]))


def test_assert_on_the_data():
    def positive(x):
        assert (x > 0).all(), "x must be positive"
        return x.sqrt()

    assert positive(box([1.0], [4.0])).upper.item() == 2.0
    with pytest.raises(AssertionError):
        positive(box([-4.0], [-1.0]))
    with pytest.raises(UndecidedError):
        positive(box([-1.0], [4.0]))


def test_where_takes_both_branches():
    """The honest version of the branch: hulls where undecided, the chosen branch elsewhere."""
    x = box([-2.0, -2.0, 1.0], [-1.0, 1.0, 2.0])
    result = torch.where(x > 0, x / 2, -x)
    assert result.lower.tolist() == [1.0, -1.0, 0.5]
    assert result.upper.tolist() == [2.0, 2.0, 1.0]


def test_comparisons_are_three_valued():
    x = box([-2.0, -1.0, 1.0], [-1.0, 1.0, 2.0])
    truth = x > 0
    assert truth.lower.tolist() == [False, False, True] and truth.upper.tolist() == [False, True, True]
    for condition, expected in (
        (truth.any(), True),
        ((x > 5).any(), False),
        ((x > -3).all(), True),
        ((~truth).any(), True),
        ((truth | (x <= 0)).any(), True),
    ):
        assert bool(condition) is expected
    with pytest.raises(UndecidedError):
        bool(truth[1:].all())


def test_index_of_an_undecided_maximum_is_refused_on_use():
    scores = box([0.0, 0.5], [1.0, 2.0])
    with pytest.raises(UndecidedError):
        index = scores.argmax()
        [10, 20][int(index)]
    decided = box([0.0, 1.5], [1.0, 2.0])
    assert int(decided.argmax()) == 1


def test_equal_ends_do_not_decide_an_index():
    """The argmax is 0 at both corners of this box, and 1 at a point between them."""
    x = box([1.0, 0.0], [3.0, 2.0])
    with pytest.raises(UndecidedError):
        int(x.argmax())
