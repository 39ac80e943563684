"""Losses: those with a rule of their own and those that run through their bodies."""

import pytest
import torch
import torch.nn.functional as F

from intervaltorch import IntervalTensor, UnsupportedOpError
from intervaltorch.testing import check_op


def boxes(*shape, radius=0.5, low=-3.0, high=3.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ends = low + (high - low) * torch.rand((1, *shape), generator=generator)
    ends = torch.cat([ends, ends + radius * (0.1 + torch.rand((1, *shape), generator=generator))]).clamp(low, high)
    return IntervalTensor(ends.amin(0), ends.amax(0) + 1e-4)


def constant(x, *numbers):
    return torch.tensor(numbers, dtype=x.dtype)


LOSSES = {
    "mse_loss": lambda x, y, how: F.mse_loss(x, y, reduction=how),
    "l1_loss": lambda x, y, how: F.l1_loss(x, y, reduction=how),
    "smooth_l1_loss": lambda x, y, how: F.smooth_l1_loss(x, y, reduction=how, beta=0.5),
    "huber_loss": lambda x, y, how: F.huber_loss(x, y, reduction=how, delta=0.5),
    "logits": lambda x, y, how: F.binary_cross_entropy_with_logits(x, y.sigmoid(), reduction=how),
    "weighted logits": lambda x, y, how: F.binary_cross_entropy_with_logits(
        x, y.sigmoid(), constant(x, 1, 2, 0.5), pos_weight=constant(x, 2, 0.5, 1), reduction=how
    ),
    "binary": lambda x, y, how: F.binary_cross_entropy(x.sigmoid(), y.sigmoid(), reduction=how),
    "kl_div": lambda x, y, how: F.kl_div(x, y.softmax(-1), reduction=how),
}


@pytest.mark.parametrize("how", ["none", "mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
def test_rules_keep_their_contract(name, how):
    y = boxes(2, 3, seed=1).center
    check_op(lambda x: LOSSES[name](x, y.to(x.dtype), how), boxes(2, 3))


@pytest.mark.parametrize("name", ["smooth_l1_loss", "huber_loss", "logits", "weighted logits", "binary"])
def test_targets_may_vary(name):
    check_op(lambda x, y: LOSSES[name](x, y, "sum"), boxes(2, 3), boxes(2, 3, seed=1))


@pytest.mark.parametrize("radius", [0.05, 1.0, 6.0])
@pytest.mark.parametrize("name", [name for name in LOSSES if name != "kl_div"])
def test_hulls(name, radius):
    X, y = boxes(2, 3, radius=radius).double(), boxes(2, 3, seed=1).center.double()
    grid = torch.linspace(0, 1, 20001, dtype=torch.float64).reshape(-1, 1, 1)
    points = torch.cat([X.lower + grid * X.width, y.clamp(X.lower, X.upper)[None]])
    values = LOSSES[name](points, y.expand_as(points), "none")
    Y = LOSSES[name](X, y, "none")
    torch.testing.assert_close(Y.lower, values.amin(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(Y.upper, values.amax(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("target", [torch.tensor([0, 2]), torch.tensor([1, -100])])
@pytest.mark.parametrize("smoothing", [0.0, 0.25])
def test_cross_entropy(target, smoothing):
    check_op(lambda x: F.cross_entropy(x, target, label_smoothing=smoothing), boxes(2, 3))
    check_op(lambda x: F.nll_loss(x, target, reduction="sum"), boxes(2, 3))


def test_extreme_probabilities():
    X = IntervalTensor(torch.zeros(3), torch.tensor([0.0, 0.5, 1.0]))
    Y = F.binary_cross_entropy(X, torch.tensor([0.0, 1.0, 0.5]), reduction="none")
    assert Y.upper.tolist() == [0.0, 100.0, 50.0]
    assert Y.lower[1] == pytest.approx(0.6931472)
    with pytest.raises(ValueError, match=r"clamp"):
        F.binary_cross_entropy(boxes(3), torch.ones(3))


def test_weights_that_break_convexity_are_refused():
    with pytest.raises(UnsupportedOpError, match=r"\[0, 1\]"):
        F.binary_cross_entropy_with_logits(boxes(3), torch.full((3,), 3.0), pos_weight=torch.tensor(0.1))
