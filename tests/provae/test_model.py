"""The VAE as ordinary PyTorch."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from examples.provae.config import PRESETS, Config
from examples.provae.model import VAE, kl_term
from intervaltorch import IntervalTensor


@pytest.mark.parametrize("dataset", PRESETS)
def test_shapes(dataset):
    preset = PRESETS[dataset]
    model = Config.preset(dataset).build()
    x = torch.rand(3, preset.channels, preset.size, preset.size)
    assert model.elbo(x, torch.randn(2, 3, preset.latent)).shape == (3,)
    assert model.reconstruct(x).shape == x.shape
    assert model.decode(torch.randn(4, 5, preset.latent)).shape == (4, 5, *x.shape[1:])


def test_the_networks_of_the_paper():
    model = Config.preset("mnist").build()
    assert model.mean.in_features == model.log_std.in_features == 3136
    assert Config.preset("cifar10").build().decoder[0].out_features == 4096
    assert sum(parameter.numel() for parameter in model.encoder.parameters()) == 544 + 32_832


def test_elbo_is_the_textbook_formula(model, few, noise):
    x, model = few[:].double(), Config.preset("digits").build().double()
    noise = noise.double()
    mean, log_std = model.encode(x)
    posterior = Normal(mean, log_std.exp())
    kl = kl_divergence(posterior, Normal(0.0, 1.0)).sum(-1)
    log_likelihood = [
        Normal(model.decode(mean + log_std.exp() * sample), model.variance**0.5).log_prob(x).flatten(1).sum(1)
        for sample in noise
    ]
    pixels = 64
    constant = -pixels / 2 * torch.log(torch.tensor(2 * torch.pi * model.variance, dtype=torch.float64))
    expected = torch.stack(log_likelihood).mean(0) - kl - constant
    torch.testing.assert_close(model.elbo(x, noise), expected, rtol=1e-12, atol=0)


def test_kl_term_keeps_its_digits_near_zero():
    s = torch.tensor([1e-3, -1e-3, 1e-2])
    exact = 1 + s.double() - s.double().exp()
    # an error of eps |s| + 2 eps |f|, where 1 + s - e^s would lose everything
    budget = torch.finfo(torch.float32).eps * (s.abs() + 2 * exact.abs())
    assert ((kl_term(s) - exact).abs() <= budget).all()


def test_kl_term_has_its_exact_range_on_a_box():
    box = kl_term(IntervalTensor(torch.tensor([-1.0, 0.5, -2.0]), torch.tensor([2.0, 1.0, -1.0])))
    s = torch.linspace(0, 1, 1001).unsqueeze(1) * torch.tensor([3.0, 0.5, 1.0]) + torch.tensor([-1.0, 0.5, -2.0])
    values = kl_term(s)
    torch.testing.assert_close(box.lower, values.amin(0), rtol=1e-6, atol=0)
    assert box.upper[0] == 0
    torch.testing.assert_close(box.upper[1:], values.amax(0)[1:], rtol=1e-6, atol=0)


def test_an_image_size_that_cannot_be_halved_twice_is_refused():
    with pytest.raises(ValueError, match="multiple of 4"):
        VAE(channels=1, size=10, latent=2)


def test_building_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    first, second = Config.preset("digits", seed=4).build(), Config.preset("digits", seed=4).build()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
