"""The VAE of Condessa and Kolter (2020), written once: the same `elbo` serves points and boxes."""

from __future__ import annotations

from math import inf
from typing import NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn

import intervaltorch as it

PointOrBox = TypeVar("PointOrBox", bound=Tensor)
"""A plain tensor, or the `IntervalTensor` of a box; what goes in comes out."""


# s and e^s grow together, so bounding them apart would add their ranges; one concave function with its
# maximum 0 at s = 0 has the exact range. |expm1(s)| <= |s| + |f(s)|, hence an error budget in both.
@it.register(
    formula=r"1 + s - e^s",
    critical=(0.0,),
    curvature="concave",
    image=(-inf, 0.0),
    budget=it.Budget(relative=2, input=2),
)
def kl_term(s: Tensor) -> Tensor:
    """The part of KL(N(mu, e^s) || N(0, 1)) that depends on the log variance `s`, times -2."""
    return s - torch.expm1(s)


class Terms(NamedTuple):
    """The two parts of -ELBO, each of shape `(B,)` and never negative."""

    reconstruction: Tensor
    kl: Tensor


class VAE(nn.Module):
    """A convolutional VAE with a Gaussian encoder and the decoder N(g(z), variance * I).

    Args:
        channels: Channels of an image.
        size: Height and width of an image, a multiple of 4.
        latent: Dimension J of the code.
        variance: The fixed variance of the decoder.
    """

    def __init__(self, channels: int, size: int, latent: int, variance: float = 0.5) -> None:
        super().__init__()
        if size < 4 or size % 4:
            raise ValueError(f"the image size must be a multiple of 4 (two halvings), got {size}")
        side, features = size // 4, 64 * (size // 4) ** 2
        self.latent = latent
        self.variance = variance
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, 32, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.mean = nn.Linear(features, latent)
        self.log_std = nn.Linear(features, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, features),
            nn.ReLU(),
            nn.Unflatten(1, (64, side, side)),
            nn.ConvTranspose2d(64, 32, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, channels, kernel_size=4, stride=2, padding=1),
            nn.Sigmoid(),
        )

    def encode(self, x: PointOrBox) -> tuple[PointOrBox, PointOrBox]:
        """Mean and log standard deviation of q(z | x), each `(B, J)`, of images `(B, C, H, W)`."""
        features = self.encoder(x)
        return self.mean(features), self.log_std(features)

    def decode(self, z: PointOrBox) -> PointOrBox:
        """Mean image g(z), `(*batch, C, H, W)` in [0, 1], of codes `(*batch, J)`."""
        batch = z.shape[:-1]
        return self.decoder(z.flatten(0, -2)).unflatten(0, batch)

    def terms(self, x: Tensor, noise: Tensor) -> Terms:
        """Reconstruction loss and KL divergence; see `elbo`."""
        mean, log_std = self.encode(x)
        z = mean + log_std.exp() * noise
        error = (x - self.decode(z)).square().flatten(2).sum(-1).mean(0)
        kl = (mean.square() - kl_term(2 * log_std)).sum(-1) / 2
        return Terms(reconstruction=error / (2 * self.variance), kl=kl)

    def elbo(self, x: PointOrBox, noise: Tensor) -> PointOrBox:
        """The evidence lower bound of each image, estimated with the given noise.

        -KL(q(z|x) || N(0, I)) - E ||x - g(z)||^2 / (2 variance) with z = mean + std * noise. The constant
        -(M/2) log(2 pi variance) of M pixels is left out, as in the paper's tables; add it for a statement
        about log p(x).

        Args:
            x: `(B, C, H, W)` images in [0, 1], or a box of them.
            noise: `(K, B, J)`, K samples for each image; the expectation is their mean.

        Returns:
            `(B,)`. For a box, an interval that contains the K-sample ELBO of every image of the box.
        """
        reconstruction, kl = self.terms(x, noise)
        return cast(PointOrBox, -kl - reconstruction)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The image g(mean(x)) of the code's mean, `(B, C, H, W)`."""
        return self.decode(self.encode(x)[0])
