"""Print what bounds cost: ratios to the plain program and to a hand-written loop, measured in one run.

    make bench

Every number is a median over interleaved rounds. Ratios carry over between machines better than seconds do.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

import intervaltorch as it
from intervaltorch import IntervalTensor

from . import models
from . import rounding as modes
from .timing import interleaved

Contenders = dict[str, Callable[[], object]]


def forward(model: nn.Module, x: Tensor, hand: bool) -> Contenders:
    """One forward pass without gradients."""
    box = IntervalTensor.from_ball(x, 0.01)

    def outward() -> object:
        with it.rounding("outward"):
            return model(box)

    contenders: Contenders = {"plain": lambda: model(x), "box": lambda: model(box), "outward": outward}
    if hand:
        contenders["hand"] = lambda: models.by_hand(model, x - 0.01, x + 0.01)
    return {name: torch.no_grad()(run) for name, run in contenders.items()}


def training(model: nn.Module, x: Tensor, hand: bool) -> Contenders:
    """Forward and backward pass of a loss on both bounds."""
    box = IntervalTensor.from_ball(x, 0.01)

    def step(bounds: tuple[Tensor, Tensor]) -> None:
        model.zero_grad()
        (bounds[0].sum() + bounds[1].square().sum()).backward()

    def ends(y: IntervalTensor) -> tuple[Tensor, Tensor]:
        return y.lower, y.upper

    def plain() -> None:
        y = model(x)
        step((y, y))

    contenders: Contenders = {"plain": plain, "box": lambda: step(ends(model(box)))}
    if hand:
        contenders["hand"] = lambda: step(models.by_hand(model, x - 0.01, x + 0.01))
    return contenders


def cases() -> Iterator[tuple[str, Contenders]]:
    """Every benchmark by name."""
    sized: list[tuple[str, nn.Module, tuple[int, ...], bool]] = [
        ("MLP 784-1024-1024-10, batch 256", models.mlp(), (256, 784), True),
        ("MLP 784-1024-1024-10, batch 1", models.mlp(), (1, 784), True),
        ("CNN 32-64-fc, batch 128", models.cnn(), (128, 1, 28, 28), True),
        ("CNN 32-64-fc, batch 1", models.cnn(), (1, 1, 28, 28), True),
        ("ResNet-18, 8x3x32x32", models.resnet18(), (8, 3, 32, 32), False),
        ("transformer layer, 8x16x64", models.transformer_layer(), (8, 16, 64), False),
    ]
    for name, model, shape, hand in sized:
        yield f"{name}, forward", forward(model, torch.rand(shape), hand)
        yield f"{name}, training step", training(model, torch.rand(shape), hand)


def provae_case() -> Contenders:
    """A training step of the VAE on its ELBO and on its certified ELBO, at MNIST's size."""
    from examples.provae.model import VAE

    vae = VAE(channels=1, size=28, latent=50)
    x, noise = torch.rand(128, 1, 28, 28), torch.randn(1, 128, 50)

    def plain() -> None:
        vae.zero_grad()
        (-vae.elbo(x, noise).mean()).backward()

    def certified() -> None:
        vae.zero_grad()
        box = IntervalTensor.from_ball(x, 0.05, clip=(0, 1))
        (-vae.elbo(box, noise).lower.mean()).backward()

    return {"plain": plain, "box": certified}


def report(name: str, seconds: dict[str, float]) -> None:
    """Print one line of ratios."""
    plain, box = seconds["plain"], seconds["box"]
    line = f"{name:48} plain {plain * 1e3:9.3f} ms   box/plain {box / plain:5.2f}"
    if "hand" in seconds:
        line += f"   hand/plain {seconds['hand'] / plain:5.2f}   box/hand {box / seconds['hand']:5.2f}"
    if "outward" in seconds:
        line += f"   outward/box {seconds['outward'] / box:5.2f}"
    print(line, flush=True)


def main() -> None:
    """Run all benchmarks, or those whose name contains a word."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="run the benchmarks whose name contains this")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} thread(s), medians of interleaved rounds")
    for name, contenders in cases():
        if options.only in name:
            report(name, interleaved(contenders))
    if options.only in "op overhead":
        x = torch.rand(4)
        box = IntervalTensor.from_ball(x, 0.01)
        with torch.no_grad():
            seconds = interleaved({"plain": lambda: models.chain(x), "box": lambda: models.chain(box)})
        extra = (seconds["box"] - seconds["plain"]) / 100 * 1e6
        print(f"{'op overhead, chain of 100 tiny ops':48} {extra:.1f} us an op above plain torch")
    if options.only in "proVAE step":
        report("proVAE step against VAE step, batch 128", interleaved(provae_case()))
    if options.only in "rounding":
        modes.report()


if __name__ == "__main__":
    main()
