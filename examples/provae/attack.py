"""Projected gradient descent on the ELBO, on the same ball and with the same noise as the certificate."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from examples.provae.certify import ball
from examples.provae.model import VAE


class Attack(NamedTuple):
    """The best images found, `(B, C, H, W)`, and their ELBO, `(B,)`."""

    images: Tensor
    elbo: Tensor


def pgd(
    model: VAE,
    x: Tensor,
    eps: float,
    noise: Tensor,
    *,
    generator: torch.Generator,
    steps: int = 40,
    clip: bool = True,
    raise_elbo: bool = False,
) -> Attack:
    """Search the ball around each image for the lowest ELBO.

    Signed gradient steps of size 2.5 eps / steps from a random start, projected on the ball after each step
    (Madry et al. 2018). The best of the clean image, the start and every iterate is kept, so the
    result is never above the clean ELBO.

    Args:
        model: The VAE.
        x: `(B, C, H, W)` images to attack.
        eps: Radius of the ball.
        noise: `(K, B, J)`; one sample would be overfitted, use 8 or more.
        generator: Source of the random start.
        steps: Number of gradient steps.
        clip: Whether the ball is intersected with [0, 1].
        raise_elbo: Search for the highest ELBO instead (an attack *into* the distribution).

    Returns:
        The best images and their ELBO under `noise`.
    """
    sign = -1.0 if raise_elbo else 1.0
    bounds = ball(x, eps, clip)
    lower, upper = bounds.lower, bounds.upper

    with torch.no_grad():
        best, best_score = x.clone(), sign * model.elbo(x, noise)
    uniform = torch.rand(x.shape, generator=generator, dtype=x.dtype).to(x.device)
    current = torch.clamp(lower + uniform * (upper - lower), lower, upper)
    for _ in range(steps + 1):
        current.requires_grad_()
        with torch.enable_grad():
            score = sign * model.elbo(current, noise)
            (gradient,) = torch.autograd.grad(score.sum(), current)
        current, score = current.detach(), score.detach()
        better = score < best_score
        best[better], best_score[better] = current[better], score[better]
        current = torch.clamp(current - 2.5 * eps / steps * gradient.sign(), lower, upper)
    return Attack(best, sign * best_score)
