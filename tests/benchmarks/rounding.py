"""What outward rounding costs and how much width it adds; part of `make bench`, or by itself:

python -m tests.benchmarks.rounding
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

import intervaltorch as it
from intervaltorch import IntervalTensor

from . import models
from .timing import interleaved

Contenders = dict[str, Callable[[], object]]
MODELS = {"MLP": (models.mlp, (784,)), "CNN": (models.cnn, (1, 28, 28))}


def modes(program: Callable[[], object], double: bool) -> Iterator[Contenders]:
    """A program in nearest and outward mode, and again with sums in float64, without gradients.

    Two runs, because the large temporaries of the latter change what memory costs the former.
    """

    def outward() -> object:
        with it.rounding("outward"):
            return program()

    def accumulating() -> object:
        with it.rounding("outward", accumulate="float64"):
            return program()

    nearest = torch.no_grad()(program)
    yield {"nearest": nearest, "outward": torch.no_grad()(outward)}
    if double:
        yield {"nearest": nearest, "float64 sums": torch.no_grad()(accumulating)}


def elementwise(x: Tensor) -> Tensor:
    """A chain of ten elementwise operations."""
    for _ in range(2):
        x = torch.tanh(x * 1.5 + 0.1)
        x = torch.sigmoid(x) - torch.exp(-x)
    return x


def cases() -> Iterator[tuple[str, Iterator[Contenders]]]:
    """Every program that is timed."""
    for name, (make, shape) in MODELS.items():
        for dtype in (torch.float32, torch.float64):
            for batch in (1, 64):
                model = make().to(dtype)
                box = IntervalTensor.from_ball(torch.rand(batch, *shape, dtype=dtype), 1 / 255)
                kind = str(dtype).removeprefix("torch.")
                yield (
                    f"{name}, {kind}, batch {batch}",
                    modes(lambda model=model, box=box: model(box), dtype is torch.float32),
                )
    for count in (16, 100_000):
        box = IntervalTensor.from_ball(torch.rand(count), 0.01)
        yield f"10 elementwise operations, {count} numbers", modes(lambda box=box: elementwise(box), False)
    yield "proVAE evaluation, 20 images, 8 draws", modes(provae(), True)


def provae() -> Callable[[], object]:
    """Bounds of the ELBO at MNIST's size, as `evaluate` computes them."""
    from examples.provae.model import VAE

    vae = VAE(channels=1, size=28, latent=50)
    x, noise = torch.rand(20, 1, 28, 28), torch.randn(8, 20, 50)

    def evaluate() -> object:
        return vae.elbo(IntervalTensor.from_ball(x, 0.05, clip=(0, 1)), noise)

    return evaluate


@torch.no_grad()
def added_width(model: nn.Module, shape: tuple[int, ...], eps: float, accumulate: str | None) -> float:
    """How much wider float32 outward bounds are than those of the same model and box in float64, on average."""
    box = IntervalTensor.from_ball(torch.rand(16, *shape), eps)
    with it.rounding("outward"):
        true = copy.deepcopy(model).double()(box.double())
    with it.rounding("outward", accumulate=accumulate):  # type: ignore[arg-type]
        wide = model(box).double()
    if not bool(true.issubset(wide).all()):
        raise AssertionError("outward bounds in float32 do not contain those in float64")
    return (wide.width.sum() / true.width.sum()).item() - 1


def report() -> None:
    """Print times relative to nearest mode, then added widths."""
    for name, runs in cases():
        for contenders in runs:
            seconds = interleaved(contenders)
            nearest = seconds.pop("nearest")
            ((mode, time),) = seconds.items()
            print(f"{name:42} nearest {nearest * 1e3:8.3f} ms   {mode}/nearest {time / nearest:5.2f}", flush=True)
    for name, (make, shape) in MODELS.items():
        for eps, label in ((1 / 255, "1/255"), (1e-5, "1e-5")):
            model = make()
            plain, double = (added_width(model, shape, eps, how) for how in (None, "float64"))
            print(f"{f'{name}, float32, added width at radius {label}':48} {plain:.4%}   float64 sums {double:.4%}")


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    report()
