"""The bound that holds with a stated confidence."""

import math

import pytest
import torch

from examples.provae.confidence import confident_elbo, upper_confidence_bound
from examples.provae.evaluate import certify, draw_noise, mean


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_fails_no_more_often_than_it_says(share):
    """400 experiments at 90 %: at most 40 failures are expected, 58 are three standard deviations more."""
    generator = torch.Generator().manual_seed(0)
    failures = sum(
        upper_confidence_bound((torch.rand(50, generator=generator) < share).double(), 0.9) < share for _ in range(400)
    )
    assert failures <= 58


def test_is_above_the_mean_and_better_than_hoeffding_when_the_draws_vary_little():
    draws = 0.1 + 0.01 * torch.rand(2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    bound = upper_confidence_bound(draws, 0.999)
    hoeffding = draws.mean() + math.sqrt(math.log(1000) / (2 * len(draws)))
    assert draws.mean() < bound < 0.2 * (hoeffding - draws.mean()) + draws.mean()


def test_more_draws_and_less_confidence_give_smaller_bounds():
    draws = torch.rand(400, generator=torch.Generator().manual_seed(0)) / 5
    assert upper_confidence_bound(draws, 0.9) < upper_confidence_bound(draws, 0.999)
    assert upper_confidence_bound(draws.repeat(4), 0.9) < upper_confidence_bound(draws, 0.9)


def test_nothing_but_ones_gives_one():
    assert upper_confidence_bound(torch.ones(10), 0.9) == 1


@pytest.mark.parametrize(
    "draws", [torch.tensor([0.5, 1.1]), torch.tensor([-0.1]), torch.tensor([math.nan]), torch.empty(0)]
)
def test_draws_must_lie_in_the_unit_interval(draws):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        upper_confidence_bound(draws, 0.9)


@pytest.mark.parametrize("level", [0.0, 1.0, 99.9])
def test_level_must_be_a_probability(level):
    with pytest.raises(ValueError, match="level"):
        upper_confidence_bound(torch.zeros(3), level)


def test_expected_elbo_is_bounded_below_what_is_estimated(model, few):
    noise = draw_noise(model, few, samples=64, seed=9)
    estimate = mean(certify(model, few, noise, 0.02).lower)
    tight, loose = (confident_elbo(model, few, 0.02, level=level, draws=2000, seed=0) for level in (0.5, 0.999))
    assert loose < tight < estimate
    assert estimate - loose < 10
