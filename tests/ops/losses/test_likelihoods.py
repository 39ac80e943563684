"""Losses that are negative log-likelihoods: sound, differentiable, and the hull where an argument occurs twice."""

from __future__ import annotations

import math
import warnings

import mpmath
import pytest
import torch
import torch.nn.functional as F

from intervaltorch import DomainError, IntervalTensor, rounding, testing

REDUCTIONS = ["none", "mean", "sum"]


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that kl_div's mean is not the mathematical one
        yield


def boxes(low, high, width, seed=0, count=60, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    centre = low + (high - low) * torch.rand(count, generator=generator)
    radius = width * (0.3 + torch.rand(count, generator=generator))
    return IntervalTensor((centre - radius).clamp(min=low + 0.01 * (width > 0)), centre + radius + 0.02).to(dtype)


def gaussian(x, v, **kwargs):
    return F.gaussian_nll_loss(x, torch.ones(()), v, **kwargs)


LOSSES = {
    "kl_div": (lambda x, y, **k: F.kl_div(x, y, **k), (-5, 3), (0, 2)),
    "kl_div of logarithms": (lambda x, y, **k: F.kl_div(x, y, log_target=True, **k), (-5, 3), (-5, 2)),
    "poisson": (lambda x, y, **k: F.poisson_nll_loss(x, y, **k), (-3, 3), (-2, 4)),
    "poisson of rates": (lambda x, y, **k: F.poisson_nll_loss(x, y, log_input=False, **k), (0, 3), (-2, 4)),
    "gaussian": (lambda x, v, **k: gaussian(*torch.broadcast_tensors(x, v), **k), (-2, 2), (0, 2)),
}  # fmt: skip
each_loss = pytest.mark.parametrize("loss, inputs, targets", LOSSES.values(), ids=LOSSES)


@each_loss
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("width", [0.3, 3.0])
def test_contract(loss, inputs, targets, reduction, width):
    count = 60 if reduction == "none" else 8
    x, y = boxes(*inputs, width, count=count), boxes(*targets, width, 1, count)
    testing.check_op(loss, x, y, reduction=reduction, samples=12)


@each_loss
def test_points(loss, inputs, targets):
    x, y = boxes(*inputs, 0.0), boxes(*targets, 0.0, 1)
    testing.check_thin(loss, x, y, reduction="none")
    testing.check_sound(loss, x, y, reduction="none")


@each_loss
@pytest.mark.parametrize("width", [1e-3, 0.3, 3.0])
def test_hull(loss, inputs, targets, width):
    """A grid of each pair of intervals comes close to both bounds."""
    x, y = (boxes(*r, width, i, dtype=torch.float64) for i, r in enumerate((inputs, targets)))
    t = torch.linspace(0, 1, 301, dtype=torch.float64)[:, None]
    across, along = (box.lower + box.width * t for box in (x, y))
    values = loss(across[:, None], along[None], reduction="none")
    result = loss(x, y, reduction="none")
    slack = 1e-9 + 2e-3 * result.width
    assert bool((values.amin((0, 1)) <= result.lower + slack).all())
    assert bool((values.amax((0, 1)) >= result.upper - slack).all())


@pytest.mark.parametrize("log_input", [True, False])
def test_stirling_term_of_poisson(log_input):
    x = boxes(0, 3, 0.3)
    for target in (boxes(0, 4, 0.5, 1), boxes(0, 4, 0.5, 1).lower):
        testing.check_sound(
            lambda x, y: F.poisson_nll_loss(x, y, log_input=log_input, full=True, reduction="none"), x, target
        )
    at_one = IntervalTensor(torch.tensor([0.5, 1.0]), torch.tensor([1.0, 1.0001]))  # the term jumps there, downwards
    testing.check_sound(lambda y: F.poisson_nll_loss(torch.zeros(2), y, full=True, reduction="none"), at_one)


def test_variance_of_another_shape():
    x, v = boxes(-2, 2, 0.3, count=6), boxes(0, 2, 0.3, count=2)
    x = IntervalTensor(x.lower.reshape(2, 3), x.upper.reshape(2, 3))
    for variance in (v, IntervalTensor(v.lower[:, None], v.upper[:, None]), v.lower):
        testing.check_sound(lambda x, v: F.gaussian_nll_loss(x, torch.zeros(2, 3), v, full=True), x, variance)
    with pytest.raises(ValueError, match="incorrect size"):
        F.gaussian_nll_loss(x, torch.zeros(2, 3), boxes(0, 2, 0.3, count=3))
    with pytest.raises(ValueError, match="not valid"):
        F.gaussian_nll_loss(x, torch.zeros(2, 3), x.square(), reduction="batchmean")


def test_variance_below_eps_counts_as_eps():
    v = IntervalTensor(torch.zeros(1), torch.full((1,), 1e-3))
    y = F.gaussian_nll_loss(torch.zeros(1), torch.zeros(1), v, eps=1e-2, reduction="none")
    assert y.lower.item() == y.upper.item() == pytest.approx(0.5 * math.log(1e-2))


@pytest.mark.parametrize(
    "call, what",
    [
        (lambda x: F.kl_div(torch.zeros(1), x), "kl_div"),
        (lambda x: F.gaussian_nll_loss(torch.zeros(1), torch.zeros(1), x), "gaussian_nll_loss"),
        (lambda x: F.poisson_nll_loss(x, torch.ones(1), log_input=False), "poisson_nll_loss"),
    ],
)
def test_outside_the_domain(call, what):
    with pytest.raises(DomainError, match=what):
        call(IntervalTensor(torch.full((1,), -0.5), torch.ones(1)))


def test_zero_probabilities():
    """0 log 0 is 0; an impossible event costs infinitely much."""
    x = IntervalTensor(torch.tensor([-math.inf, -1.0]), torch.tensor([-1.0, 0.0]))
    y = F.kl_div(x, torch.tensor([0.5, 0.0]), reduction="none")
    assert y.upper.tolist() == [math.inf, 0.0]
    assert y.lower.tolist() == pytest.approx([0.5 * math.log(0.5) + 0.5, 0.0])


def test_an_exponential_that_underflows_may_be_multiplied_by_much():
    x, y = torch.tensor([1e30, -1e37]), torch.tensor([-104.0, -104.0])
    with rounding("outward"):
        loss = F.kl_div(IntervalTensor.point(x), y, reduction="none", log_target=True)
    with mpmath.workdps(40):
        for low, high, a, b in zip(*(t.tolist() for t in (loss.lower, loss.upper, x, y))):
            assert low <= mpmath.exp(b) * (mpmath.mpf(b) - mpmath.mpf(a)) <= high


@pytest.mark.parametrize("eps", [0.1, 1e-8, 0.3, 1.0])
def test_a_rate_that_eps_nearly_cancels(eps):
    """What float32 rounds of eps is much of their sum, and so of its logarithm."""
    x = torch.tensor(-eps)
    while x.item() <= -eps:
        x = torch.nextafter(x, torch.tensor(1.0))
    y = IntervalTensor(torch.full((1,), 3.0), torch.full((1,), 3.5))
    with rounding("outward"):
        loss = F.poisson_nll_loss(IntervalTensor.point(x.reshape(1)), y, log_input=False, eps=eps, reduction="none")
    with mpmath.workdps(40):
        rate = mpmath.mpf(x.item())
        for target in (3.0, 3.25, 3.5):
            assert loss.lower.item() <= rate - target * mpmath.log(rate + mpmath.mpf(eps)) <= loss.upper.item()


@pytest.mark.parametrize(
    "loss, ends",
    [
        (lambda x, y: F.kl_div(x, y, reduction="sum"), (-3.0, -1.0, 0.0, 0.7)),
        (lambda x, y: F.kl_div(x, y, reduction="sum"), (1e4, 1e4, 0.5, 0.7)),
        (lambda x, y: F.poisson_nll_loss(x, y, reduction="sum"), (-1.0, 2.0, 0.0, 3.0)),
        (lambda x, y: F.poisson_nll_loss(x, y, reduction="sum"), (0.5, 0.5, 0.0, 0.0)),
    ],
)
def test_gradients_at_turning_points_out_of_reach(loss, ends):
    """A turning point at infinity, or one that is not chosen, adds no number that is none to a gradient."""
    leaves = [torch.tensor([end], requires_grad=True) for end in ends]
    y = loss(IntervalTensor(*leaves[:2]), IntervalTensor(*leaves[2:]))
    for bound in (y.lower, y.upper):
        gradients = torch.autograd.grad(bound, leaves, retain_graph=True, allow_unused=True)
        assert all(g is None or bool(g.isfinite().all()) for g in gradients)
