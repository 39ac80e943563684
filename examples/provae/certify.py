"""Certified bounds of the ELBO on a ball: the model's own `elbo`, evaluated on a box."""

from __future__ import annotations

import torch
from torch import Tensor

from examples.provae.model import VAE
from intervaltorch import IntervalTensor


def ball(x: Tensor, eps: float, clip: bool = True) -> IntervalTensor:
    """All images within `eps` of `x` in the maximum norm, and inside [0, 1] unless `clip` is false."""
    return IntervalTensor.from_ball(x, eps, clip=(0.0, 1.0) if clip else None)


def elbo_bounds(model: VAE, x: Tensor, eps: float, noise: Tensor, clip: bool = True) -> IntervalTensor:
    """The interval that contains the ELBO of every image of the ball.

    Args:
        model: The VAE.
        x: `(B, C, H, W)` centres.
        eps: Radius of the ball.
        noise: `(K, B, J)`. The interval is exact for the K-sample ELBO of these samples, chosen in advance.
        clip: Whether the ball is intersected with [0, 1].

    Returns:
        A box of shape `(B,)`: `lower` says that no image of the ball scores less, `upper` that none scores
        more.
    """
    with torch.no_grad():
        return model.elbo(ball(x, eps, clip), noise)
