"""Projected gradient descent."""

import pytest
import torch

from examples.provae.attack import pgd
from examples.provae.certify import ball


def attack(model, few, noise, eps=0.05, seed=0, **options):
    return pgd(model, few[:], eps, noise, generator=torch.Generator().manual_seed(seed), **options)


@pytest.mark.parametrize("clip", [True, False])
def test_stays_in_the_ball_and_reports_what_it_found(model, few, noise, clip):
    found = attack(model, few, noise, clip=clip)
    box = ball(few[:], 0.05, clip)
    assert ((box.lower <= found.images) & (found.images <= box.upper)).all()
    with torch.no_grad():
        torch.testing.assert_close(model.elbo(found.images, noise), found.elbo, rtol=1e-6, atol=0)


def test_lowers_every_elbo_and_more_steps_lower_it_further(model, few, noise):
    with torch.no_grad():
        clean = model.elbo(few[:], noise)
    assert (attack(model, few, noise).elbo < clean).all()
    # in a small ball the first step already finds the worst corner
    weak, strong = (attack(model, few, noise, eps=0.4, steps=steps) for steps in (1, 40))
    assert strong.elbo.mean() < weak.elbo.mean()


def test_beats_random_images_of_the_ball(model, few, noise, rng):
    found = attack(model, few, noise)
    box = ball(few[:], 0.05)
    for _ in range(20):
        uniform = torch.rand(box.shape, generator=rng)
        with torch.no_grad():
            assert (found.elbo <= model.elbo(box.lower + uniform * box.width, noise)).all()


class Recorder:
    """A model that remembers every score it gives, and whose gradient steps overshoot."""

    def __init__(self):
        self.scores = []

    def elbo(self, x, noise):
        score = torch.cos(40 * x).flatten(1).sum(1)
        self.scores.append(score.detach())
        return score


@pytest.mark.parametrize("raise_elbo", [False, True])
def test_keeps_the_best_of_clean_image_start_and_all_iterates(few, noise, raise_elbo):
    recorder = Recorder()
    found = attack(recorder, few, noise, eps=0.3, raise_elbo=raise_elbo)
    scores = torch.stack(recorder.scores)
    assert len(scores) == 1 + 1 + 40
    best = scores.amax(0) if raise_elbo else scores.amin(0)
    assert torch.equal(found.elbo, best)
    assert not torch.equal(scores[-1], best)
    assert torch.equal(recorder.elbo(found.images, noise), best)


def test_raises_the_elbo_on_request(model, few, noise):
    with torch.no_grad():
        clean = model.elbo(few[:], noise)
    assert (attack(model, few, noise, raise_elbo=True).elbo > clean).all()


def test_radius_zero_changes_nothing(model, few, noise):
    found = attack(model, few, noise, eps=0.0)
    assert torch.equal(found.images, few[:])
    with torch.no_grad():
        assert torch.equal(found.elbo, model.elbo(few[:], noise))


def test_is_reproducible_and_leaves_no_gradients(model, few, noise):
    first, second = attack(model, few, noise), attack(model, few, noise)
    assert torch.equal(first.images, second.images)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not first.images.requires_grad
    assert not torch.equal(attack(model, few, noise, seed=1, steps=1).images, attack(model, few, noise, steps=1).images)
