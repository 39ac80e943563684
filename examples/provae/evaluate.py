"""Clean, certified and attacked ELBO of a whole split, image by image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

import intervaltorch as it
from examples.provae.attack import Attack, pgd
from examples.provae.certify import elbo_bounds
from examples.provae.data import Images
from examples.provae.errors import SoundnessError
from examples.provae.model import VAE
from examples.provae.randomness import generator, normal

Rounding = Literal["outward", "nearest"]
BATCH = 100


class Scores(NamedTuple):
    """For each image: the ELBO, and the certified bounds of the ELBO on the ball. All of shape `(N,)`."""

    clean: Tensor
    lower: Tensor
    upper: Tensor


def draw_noise(model: VAE, images: Images, samples: int, seed: int, purpose: str = "evaluate") -> Tensor:
    """`(K, N, J)` noise, fixed before anything is evaluated: K samples for each of N images."""
    return normal((len(images), samples, model.latent), seed, purpose).transpose(0, 1)


def certify(
    model: VAE,
    images: Images,
    noise: Tensor,
    eps: float,
    *,
    rounding: Rounding = "outward",
    clip: bool = True,
) -> Scores:
    """Clean and certified ELBO of every image under the given noise.

    Args:
        model: The VAE.
        images: N images.
        noise: `(K, N, J)`.
        eps: Radius of the ball.
        rounding: `"outward"`: the bounds hold in real arithmetic. `"nearest"`: up to rounding, and faster.
        clip: Whether the ball is intersected with [0, 1].
    """
    parts = []
    with it.rounding(rounding):
        for x, sample in _batches(model, images, noise):
            with torch.no_grad():
                clean = model.elbo(x, sample)
            bounds = elbo_bounds(model, x, eps, sample, clip)
            parts.append(Scores(clean.cpu(), bounds.lower.cpu(), bounds.upper.cpu()))
    return Scores(*(torch.cat(column) for column in zip(*parts, strict=True)))


def rounding_moves(
    model: VAE, images: Images, noise: Tensor, eps: float, scores: Scores, *, rounding: Rounding, clip: bool = True
) -> float:
    """How far the rounding mode moves a certificate at the most, among the first `BATCH` images.

    Args:
        model: The VAE.
        images: N images.
        noise: `(K, N, J)`.
        eps: Radius of the ball.
        scores: What `certify` found with `rounding`.
        rounding: The mode of `scores`; the other one is evaluated here.
        clip: Whether the ball is intersected with [0, 1].
    """
    other: Rounding = "nearest" if rounding == "outward" else "outward"
    found = certify(model, images.first(BATCH), noise[:, :BATCH], eps, rounding=other, clip=clip)
    return (found.lower.double() - scores.lower[:BATCH].double()).abs().max().item()


def attack(
    model: VAE,
    images: Images,
    noise: Tensor,
    eps: float,
    *,
    seed: int = 0,
    steps: int = 40,
    clip: bool = True,
    raise_elbo: bool = False,
) -> Attack:
    """Attack every image by PGD under the given noise."""
    parts = []
    for index, (x, sample) in enumerate(_batches(model, images, noise)):
        start = generator(seed, "attack", index)
        found = pgd(model, x, eps, sample, generator=start, steps=steps, clip=clip, raise_elbo=raise_elbo)
        parts.append(Attack(found.images.cpu(), found.elbo.cpu()))
    return Attack(*(torch.cat(column) for column in zip(*parts, strict=True)))


class Finding(NamedTuple):
    """What certificate and attack say about each image at one radius, `(N,)`, and the attacked images."""

    eps: float
    clean: Tensor
    certified: Tensor
    attacked: Tensor
    images: Tensor


def examine(
    model: VAE,
    images: Images,
    noise: Tensor,
    eps: float,
    *,
    seed: int = 0,
    steps: int = 40,
    clip: bool = True,
) -> Finding:
    """Certify, in outward rounding, and attack every image on the same ball with the same noise.

    Raises:
        SoundnessError: An attack got below a certificate, or did not get below the clean image it starts
            from.
    """
    scores = certify(model, images, noise, eps, clip=clip)
    found = attack(model, images, noise, eps, seed=seed, steps=steps, clip=clip)
    wrong = ((scores.lower > found.elbo) | (found.elbo > scores.clean)).nonzero().flatten()
    if len(wrong):
        index = int(wrong[0])
        raise SoundnessError(
            f"certified <= attacked <= clean fails for {len(wrong)} images at eps {eps:g}, first "
            f"for image {index}: {scores.lower[index]} <= {found.elbo[index]} <= {scores.clean[index]}.\n"
            "A bound is wrong: please report it with the run's folder."
        )
    return Finding(eps, scores.clean, scores.lower, found.elbo, found.images)


def score(model: VAE, x: Tensor, noise: Tensor) -> Tensor:
    """`(N,)`, the plain ELBO of images `(N, C, H, W)` under `(K, N, J)` noise, in batches."""
    device = next(model.parameters()).device
    pairs = zip(x.split(BATCH), noise.split(BATCH, dim=1), strict=True)
    with torch.no_grad():
        return torch.cat([model.elbo(a.to(device), b.to(device)).cpu() for a, b in pairs])


def mean(values: Tensor) -> float:
    """Mean in double precision."""
    return values.double().mean().item()


def _batches(model: VAE, images: Images, noise: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    device = next(model.parameters()).device
    for begin in range(0, len(images), BATCH):
        part = slice(begin, begin + BATCH)
        yield images[part].to(device), noise[:, part].to(device)
