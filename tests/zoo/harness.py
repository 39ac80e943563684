"""What a model of the zoo must show: every layer's box is finite and contains that layer at points of the input box.

A check of one model, in float64:

1. `prepare` draws random weights. Whatever a model starts at a constant (layer scales, gates, zero-initialised heads,
   running statistics) is drawn anew, so that nothing is trivially constant. Boxes outgrow the true range where weights
   of both signs meet, so nine weights in ten are positive, and each weight is scaled, in the order of execution, until
   its output is about as wide as the input box. So boxes stay finite, no layer's values stand still, and a box that
   is too small shows.
2. The box of every layer is computed in nearest and in outward mode.
3. The model itself runs at random points, at random corners and at the corners to which the gradients of some outputs
   point, and each layer's value is compared with its box.

The comparison needs no tolerance of its own. A value computed at a point lies off the real one by rounding, and outward
mode bounds how much rounding can add up to in each entry of each layer: that is the distance between its box and the
nearest mode's. A value may leave the outward box by this distance, and by nothing more.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from intervaltorch import IntervalTensor, bound, layer_bounds, rounding
from intervaltorch.errors import UndecidedError

RADIUS = 1e-4
inf = float("inf")


@dataclasses.dataclass
class Result:
    """What a check found.

    Attributes:
        layers: outputs of submodules that were compared.
        entries: numbers in them.
        ratio: width of the model's box over the width of the values found, at the output where it is smallest.
        median: the same of each layer, median of all layers.
        seconds: of the whole check.
        problems: what was wrong, by layer; nothing if all is well.
    """

    layers: int = 0
    entries: int = 0
    ratio: float = inf
    median: float = inf
    seconds: float = 0.0
    problems: list[str] = dataclasses.field(default_factory=list)


def check(model: nn.Module, inputs: dict[str, Any], boxed: str, radius: float = RADIUS, seed: int = 0) -> Result:
    """Compare every layer of a model with its box.

    Args:
        model: the model.
        inputs: its keyword arguments; plain tensors.
        boxed: the argument that becomes a box around its value.
        radius: of that box.
        seed: of weights and points.
    """
    start = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    inputs = {k: v.double() if isinstance(v, Tensor) and v.is_floating_point() else v for k, v in inputs.items()}
    centre = inputs[boxed]
    box = IntervalTensor.from_ball(centre, radius)
    prepare(model, inputs | {boxed: box}, generator, 2 * radius)
    with torch.no_grad():
        nearest = layer_bounds(model, **inputs | {boxed: box})
        with rounding("outward"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*guessed error budget")
            outward = layer_bounds(model, **inputs | {boxed: box})
    problems = _Problems()
    _check_boxes(nearest, outward, problems)
    comparison = _Comparison(nearest, outward, problems)
    for point in points(model, inputs, boxed, radius, generator):
        comparison.add(layer_values(model, inputs | {boxed: point.clone().requires_grad_()}))
    ratios = comparison.ratios()
    finite = [ratio for ratio in ratios.values() if ratio < inf]
    return Result(
        layers=len(ratios),
        entries=comparison.entries,
        ratio=ratios.get("", inf),
        median=statistics.median(finite) if finite else inf,
        seconds=time.perf_counter() - start,
        problems=problems.found(),
    )


# --- weights ----------------------------------------------------------------------------------------------------------

_SCALED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)


@torch.no_grad()
def prepare(model: nn.Module, inputs: dict[str, Any], generator: torch.Generator, width: float) -> None:
    """Draw the weights of a model, then scale them so that the box of each layer that has any is about `width` wide."""
    model.double().eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        constant = bool((parameter == parameter.flatten()[:1]).all())
        if parameter.dim() < 2 and name.endswith("weight"):  # a factor, as of normalisations
            parameter.uniform_(0.5, 1.5, generator=generator)
        elif parameter.dim() < 2 or constant:
            parameter.normal_(0, 0.2, generator=generator)
        else:
            positive = torch.rand(parameter.shape, generator=generator) < 0.8
            parameter.copy_(torch.where(positive, parameter.abs(), parameter))
    for module in model.modules():
        if isinstance(getattr(module, "running_var", None), Tensor):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)

    def scale(module: nn.Module, args: Any, output: Any) -> Any:
        if not isinstance(output, IntervalTensor) or not output.numel():
            return None
        growth = output.width.mean().item() / width
        if not growth > 0:
            return None
        growth = max(growth, 0.01)
        getattr(module, "gain", module.weight).div_(growth)  # a standardised weight ignores its scale
        return module.forward(*args)

    with contextlib.ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, _SCALED) or (type(module).__name__ == "Conv1D"):
                stack.callback(module.register_forward_hook(scale).remove)
        bound(model, **inputs)


# --- points -----------------------------------------------------------------------------------------------------------


def points(
    model: nn.Module, inputs: dict[str, Any], boxed: str, radius: float, generator: torch.Generator, outputs: int = 4
) -> Iterator[Tensor]:
    """Points of the box: inside, at corners, and where gradients say that some outputs of layers are extreme."""
    centre = inputs[boxed]
    yield centre
    for _ in range(2):
        yield centre + radius * (2 * torch.rand(centre.shape, generator=generator, dtype=centre.dtype) - 1)
        sign = torch.randint(0, 2, centre.shape, generator=generator).to(centre) * 2 - 1
        yield centre + radius * sign
    x = centre.clone().requires_grad_()
    values = layer_values(model, inputs | {boxed: x})
    tensors = [leaf for output in values.values() for _, leaf in output if leaf.grad_fn is not None and leaf.numel()]
    inner = [tensors[int(torch.randint(0, len(tensors), (), generator=generator))] for _ in range(outputs)]
    for tensor in [tensors[-1]] * 2 + inner:
        flat = tensor.flatten()
        chosen = flat[int(torch.randint(0, len(flat), (), generator=generator))]
        (gradient,) = torch.autograd.grad(chosen, x, retain_graph=True)
        yield centre - radius * gradient.sign()
        yield centre + radius * gradient.sign()


# --- layers -----------------------------------------------------------------------------------------------------------


def layer_values(model: nn.Module, inputs: dict[str, Any]) -> dict[str, Any]:
    """Run a model on plain tensors and keep a copy of every submodule's output, under the names of `layer_bounds`."""
    names: dict[nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)
    calls = dict.fromkeys(names, 0)
    values: dict[str, Any] = {}

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        call = calls[module]
        calls[module] += 1
        known = names[module]
        values[known[call] if call < len(known) else f"{known[0]}#{call + 1}"] = [
            (path, leaf.clone()) for path, leaf in leaves(output)
        ]

    with contextlib.ExitStack() as stack:
        for module in names:
            if not isinstance(module, torch.jit.ScriptModule):
                stack.callback(module.register_forward_hook(keep).remove)
        model(**inputs)
    return values


def leaves(tree: Any, path: str = "") -> list[tuple[str, Any]]:
    """The tensors and undecided indices in an output, whatever holds them, with their places."""
    if isinstance(tree, Tensor) or type(tree).__name__ == "Undecided":
        return [(path, tree)]
    if isinstance(tree, dict):
        items: Any = tree.items()
    elif isinstance(tree, (tuple, list)):
        items = enumerate(tree)
    elif hasattr(tree, "__dict__") and not isinstance(tree, nn.Module):
        items = vars(tree).items()
    else:
        return []
    return [found for key, item in items for found in leaves(item, f"{path}.{key}")]


class _Problems:
    """What is wrong, with the first places only."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}

    def add(self, kind: str, layer: str) -> None:
        places = self._places.setdefault(kind, [])
        if layer not in places:
            places.append(layer)

    def found(self) -> list[str]:
        return [f"{kind} in {len(places)} layers, first {places[0]!r}" for kind, places in self._places.items()]


def _check_boxes(nearest: dict[str, Any], outward: dict[str, Any], problems: _Problems) -> None:
    """Every bound is finite, in order, and the outward box contains the nearest one."""
    if list(nearest) != list(outward):
        problems.add("other layers in outward mode", "")
    for name in nearest:
        for (_, near), (_, out) in zip(leaves(nearest[name]), leaves(outward[name])):
            for box in (near, out):
                if isinstance(box, IntervalTensor) and box.is_floating_point():
                    if not bool(torch.isfinite(box.lower).all() & torch.isfinite(box.upper).all()):
                        problems.add("infinite box", name)
                    elif not bool((box.lower <= box.upper).all()):
                        problems.add("empty box", name)


class _Comparison:
    """Values of all layers at some points, against their boxes."""

    def __init__(self, nearest: dict[str, Any], outward: dict[str, Any], problems: _Problems) -> None:
        self._boxes = {
            (layer, path): (box, dict(leaves(outward[layer])).get(path))
            for layer, output in nearest.items()
            for path, box in leaves(output)
        }
        self._problems = problems
        self._hull: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
        self.entries = 0

    def add(self, values: dict[str, Any]) -> None:
        """Compare the values of one more point."""
        found = {(layer, path): value for layer, output in values.items() for path, value in output}
        for place in found.keys() ^ self._boxes.keys():
            self._problems.add("a layer without box or value", place[0])
        for place in found.keys() & self._boxes.keys():
            self._compare(place, found[place])

    def _compare(self, place: tuple[str, str], value: Tensor) -> None:
        near, out = self._boxes[place]
        varies, value = value.requires_grad, value.detach()
        report: Callable[[str], None] = lambda kind: self._problems.add(kind, place[0])  # noqa: E731
        if not isinstance(near, Tensor):  # an index that differs between points
            return
        if value.shape != near.shape or value.dtype != near.dtype:
            report(f"{value.dtype} {tuple(value.shape)} became {near.dtype} {tuple(near.shape)}")
        elif not isinstance(near, IntervalTensor):
            if varies or (not value.is_floating_point() and not torch.equal(value, near)):
                report("a plain tensor for a value that varies")
        elif not near.is_floating_point():
            if not bool(((near.lower <= value) & (value <= near.upper)).all()):
                report("a value outside its box")
        else:
            # Where a rule computes the nearest mode's box another way and finds a larger one, nothing is allowed.
            below = out.lower - (near.lower - out.lower).clamp(min=0)
            above = out.upper + (out.upper - near.upper).clamp(min=0)
            if not bool(((below <= value) & (value <= above)).all()):
                report("a value outside its box")
            low, high = self._hull.get(place, (value, value))
            self._hull[place] = torch.minimum(low, value), torch.maximum(high, value)

    def ratios(self) -> dict[str, float]:
        """Width of box over width of the values found, of each layer: the smallest of its entries."""
        ratios: dict[str, float] = {}
        for (layer, path), (low, high) in self._hull.items():
            width = self._boxes[layer, path][0].width
            self.entries += low.numel()
            varying = (high > low) & (width > 1e6 * torch.finfo(low.dtype).eps * high.abs())
            smallest = (width[varying] / (high - low)[varying]).min().item() if bool(varying.any()) else inf
            if ratios.get(layer, inf) == inf:  # else a later part of the output: caches, inputs handed through
                ratios[layer] = smallest
        return ratios


def refusal(error: Exception) -> str:
    """The first line of an error of the library."""
    kind = "undecided: " if isinstance(error, UndecidedError) else ""
    return kind + str(error).splitlines()[0]
