"""The CTC loss: sound for sequences of all kinds, infinite losses among them."""

import torch
import torch.nn.functional as F

from intervaltorch import IntervalTensor, testing
from tests.boxes import seeded_ball as ball


def test_ctc_loss_lies_between_its_values_at_both_ends():
    x = ball(6, 2, 4).log_softmax(-1)
    arguments = (torch.tensor([[1, 2], [3, 3]]), (6, 5), (2, 2))
    for reduction in ("none", "mean", "sum"):
        testing.check_sound(lambda x: F.ctc_loss(x, *arguments, reduction=reduction), x)  # noqa: B023
        y = F.ctc_loss(x, *arguments, reduction=reduction)
        torch.testing.assert_close(y.lower, F.ctc_loss(x.upper, *arguments, reduction=reduction))
        torch.testing.assert_close(y.upper, F.ctc_loss(x.lower, *arguments, reduction=reduction))
    testing.check_gradient(lambda x: F.ctc_loss(x, *arguments), x.double())


def test_ctc_loss_that_may_be_infinite():
    low = torch.full((1, 1, 2), -float("inf"))
    x = IntervalTensor(low, torch.full((1, 1, 2), -1.0))
    arguments = (torch.tensor([[1]]), (1,), (1,))
    y = F.ctc_loss(x, *arguments, reduction="none", zero_infinity=True)
    assert y.lower.item() == 0 and y.upper.item() == float("inf")
    never = F.ctc_loss(IntervalTensor.point(low), *arguments, reduction="none", zero_infinity=True)
    assert never.lower.item() == never.upper.item() == 0


def test_ctc_loss_of_sequences_of_all_kinds():
    x = ball(7, 3, 4).log_softmax(-1)
    testing.check_sound(lambda x: F.ctc_loss(x, torch.tensor([1, 1, 2, 3]), (7, 5, 3), (2, 2, 0)), x)
    testing.check_sound(lambda x: F.ctc_loss(x[:, 0], torch.tensor([3, 1]), (7,), (2,), blank=2, reduction="none"), x)
    testing.check_op(
        lambda x: F.ctc_loss(x, torch.tensor([[2, 2, 2]] * 3), (7, 7, 3), (3, 2, 3), zero_infinity=True), x
    )
