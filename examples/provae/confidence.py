"""A lower bound of the expected ELBO on every ball, at a stated level of confidence.

A certificate with fixed noise is about that noise. The ELBO itself is an expectation over all noise, and
the certificate's mean over fresh noise only *estimates* a bound of it. A confidence bound closes the gap:
whatever the model, it is wrong with probability at most 1 - level over the noise that is drawn.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor

import intervaltorch as it
from examples.provae.certify import ball
from examples.provae.data import Images
from examples.provae.evaluate import BATCH, Rounding
from examples.provae.model import VAE
from examples.provae.randomness import generator, normal

BETS = tuple(2.0**-k for k in range(12))


def upper_confidence_bound(values: Tensor, level: float) -> float:
    """A number that exceeds the mean of the distribution of `values` with probability at least `level`.

    If the mean were m, a player who stakes the fraction b of the capital on a small next value would
    multiply it by 1 + b (m - value), 1 on average and never negative. So the mean of the capitals of
    several such players has expectation 1 and exceeds 1 / (1 - level) with probability at most 1 - level
    (Markov). Every m with which the players would have become that rich is rejected. The capital grows with
    m, so what is left is an interval from 0. (Waudby-Smith and Ramdas 2024, section 4, with constant bets.)

    Args:
        values: Independent draws `(N,)` from one distribution on [0, 1].
        level: Confidence, below 1.

    Raises:
        ValueError: A value lies outside [0, 1], or the level is not between 0 and 1.

    >>> upper_confidence_bound(torch.zeros(1000), 0.999) < 0.01
    True
    """
    if not 0 < level < 1:
        raise ValueError(f"the confidence level must lie between 0 and 1, got {level}")
    draws = values.double().flatten()
    if draws.numel() == 0 or not bool(((draws >= 0) & (draws <= 1)).all()):
        raise ValueError("the draws must be at least one number in [0, 1]")
    bets = torch.tensor(BETS, dtype=torch.float64).unsqueeze(1)
    rich = -math.log1p(-level)

    def rejected(m: float) -> bool:
        log_capital = torch.log1p(bets * (m - draws)).sum(1)
        return (torch.logsumexp(log_capital, 0) - math.log(len(BETS))).item() >= rich

    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rejected(middle) else (middle, high)
    return high


def confident_elbo(
    model: VAE,
    images: Images,
    eps: float,
    *,
    level: float,
    draws: int,
    seed: int,
    rounding: Rounding = "outward",
    clip: bool = True,
) -> float:
    """Bound the mean over the images of the lowest *expected* ELBO on each image's ball.

    Each draw takes an image and one noise sample at random and bounds the ELBO on the ball under that
    noise. The expectation of the draws is a valid bound, since the worst image for each noise is at least
    as bad as the worst image for all. The KL part does not depend on the noise, so its bound is averaged
    over all images; the reconstruction loss lies in [0, H] with H = M / (2 variance), M (1 + eps)^2 / (2
    variance) if not clipped.

    Returns:
        A number that the mean exceeds with probability at least `level` over the draws.
    """
    device = next(model.parameters()).device
    rng = generator(seed, "confidence")
    chosen = torch.randint(len(images), (draws,), generator=rng)
    noise = normal((1, draws, model.latent), seed, "confidence", 1)
    kl, reconstruction = [], []
    with torch.no_grad(), it.rounding(rounding):
        for begin in range(0, len(images), BATCH):
            x = images[begin : begin + BATCH].to(device)
            any_noise = torch.zeros(1, len(x), model.latent, device=device)
            kl.append(_upper(model.terms(ball(x, eps, clip), any_noise).kl))
        for begin in range(0, draws, BATCH):
            part = slice(begin, begin + BATCH)
            box = ball(images[chosen[part]].to(device), eps, clip)
            reconstruction.append(_upper(model.terms(box, noise[:, part].to(device)).reconstruction))
    pixels = images.pixels[0].numel()
    largest = pixels * (1.0 if clip else (1 + eps) ** 2) / (2 * model.variance)
    share = (torch.cat(reconstruction).double() / largest).clamp(0, 1)
    bound = torch.cat(kl).double().mean().item() + largest * upper_confidence_bound(share, level)
    return -bound


def _upper(box: Tensor) -> Tensor:
    return cast(it.IntervalTensor, box).upper.cpu()
