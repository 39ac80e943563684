"""Pictures of trained models: the attack curve, reconstructions of clean and attacked images, samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from math import inf
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from matplotlib import pyplot as plt
from torch import Tensor

from examples.provae.data import Images
from examples.provae.evaluate import Finding, mean
from examples.provae.model import VAE
from examples.provae.randomness import normal

COLOURS = ("#c44e52", "#2b6ca3", "#55a868", "#8172b3", "#937860")
SHOWN = 10
"""Images in a row of reconstructions."""


def draw(models: Mapping[str, VAE], findings: Mapping[str, Sequence[Finding]], images: Images, folder: Path) -> None:
    """Write all figures of some models, given what was found at growing radii."""
    attack_curve(findings, folder / "attack_curve.png")
    attacked = {name: found[-1].images[:SHOWN] for name, found in findings.items()}
    eps = max(found[-1].eps for found in findings.values())
    reconstructions(models, images[:SHOWN], attacked, eps, folder / "reconstructions.png")
    samples(models, folder / "samples.png")


def attack_curve(findings: Mapping[str, Sequence[Finding]], path: Path) -> None:
    """Mean attacked and certified ELBO of each model against the radius.

    The picture reaches down to the lowest attack and to the tightest certificate; an ordinary VAE's
    certificate is lower by orders of magnitude and leaves it.
    """
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    best, lowest, certificates = -inf, inf, []
    for (name, found), colour in zip(findings.items(), cycle(COLOURS), strict=False):
        clean = mean(found[0].clean)
        radii = [0.0, *(point.eps for point in found)]
        attacked = [clean, *(mean(point.attacked) for point in found)]
        certified = [clean, *(mean(point.certified) for point in found)]
        axes.plot(radii, attacked, "o-", color=colour, label=f"{name}: attacked (PGD)", ms=4)
        axes.plot(radii, certified, "--", color=colour, label=f"{name}: certified")
        axes.fill_between(radii, certified, attacked, color=colour, alpha=0.12, lw=0)
        best, lowest = max(best, clean), min(lowest, *attacked)
        certificates.append(min(certified))
    floor = min(lowest, max(certificates))
    margin = 0.06 * (best - floor)
    axes.set(
        xlabel="radius of the ball (maximum norm)",
        ylabel="mean ELBO of the test images",
        xlim=(0, max(point.eps for found in findings.values() for point in found)),
        ylim=(floor - margin, best + margin),
    )
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    _save(figure, path)


def reconstructions(
    models: Mapping[str, VAE], x: Tensor, attacked: Mapping[str, Tensor], eps: float, path: Path
) -> None:
    """Images and their reconstructions, clean and attacked, a row each.

    Args:
        models: The models by name.
        x: `(N, C, H, W)` clean images.
        attacked: The images found by attacking each model.
        eps: Radius of the attack.
        path: The PNG file.
    """
    lines: list[tuple[str, Tensor | None]] = [("clean images and their reconstructions", None), ("clean", x)]
    lines += [(name, _reconstruct(model, x)) for name, model in models.items()]
    lines.append((f"attacked within {eps:g} of the clean images", None))
    for name, model in models.items():
        lines += [(f"attack on\n{name}", attacked[name]), (name, _reconstruct(model, attacked[name]))]

    heights = [0.35 if images is None else 1.0 for _, images in lines]
    figure, grid = plt.subplots(
        len(lines),
        len(x),
        figsize=(0.75 * len(x) + 1.0, 0.78 * sum(heights)),
        height_ratios=heights,
        layout="constrained",
        squeeze=False,
    )
    for (label, images), row in zip(lines, grid, strict=True):
        if images is None:
            for axes in row:
                axes.axis("off")
            row[0].text(0, 0, label, fontsize=9).set_in_layout(False)
            continue
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
        for image, axes in zip(images, row, strict=True):
            _show(axes, image)
    _save(figure, path)


def _reconstruct(model: VAE, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model.reconstruct(x.to(next(model.parameters()).device)).cpu()


def samples(models: Mapping[str, VAE], path: Path, *, count: int = 40, seed: int = 0) -> None:
    """Images decoded from standard normal codes, one panel for each model."""
    columns = 10
    size = (3.6 * len(models), 3.6 * count / columns**2 + 0.35)
    figure, grid = plt.subplots(
        1, len(models), figsize=size, layout="constrained", squeeze=False, gridspec_kw={"wspace": 0.08}
    )
    for (name, model), axes in zip(models.items(), grid[0], strict=True):
        code = normal((count, model.latent), seed, "sample")
        with torch.no_grad():
            images = model.decode(code.to(next(model.parameters()).device)).cpu()
        _show(axes, _mosaic(images, columns))
        axes.set_title(f"samples of {name}", fontsize=9)
    _save(figure, path)


def _mosaic(images: Tensor, columns: int) -> Tensor:
    """One image `(C, H', W')` with a white line of one pixel between the images `(N, C, H, W)`."""
    white = 1.0 if images.shape[1] > 1 else 0.0
    framed = torch.nn.functional.pad(images, (0, 1, 0, 1), value=white)
    count, channels, height, width = framed.shape
    rows = count // columns
    lattice = framed[: rows * columns].reshape(rows, columns, channels, height, width)
    return lattice.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width)[:, :-1, :-1]


def _show(axes: plt.Axes, image: Tensor) -> None:
    pixels: np.ndarray = image.permute(1, 2, 0).numpy()
    if pixels.shape[-1] == 1:
        axes.imshow(pixels[..., 0], cmap="gray_r", vmin=0, vmax=1)
    else:
        axes.imshow(pixels)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _save(figure: plt.Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)
