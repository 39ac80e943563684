"""What a model of the zoo must show: every layer's box is finite and contains that layer at points of the input box.

A check of one model, in float64:

0. With the weights that the model is made with: how much wider than what points reach the boxes are. Most are so wide
   that no value could leave them, so nothing is checked there.
1. Random weights are drawn and scaled (`weights.prepare`), so that boxes stay narrow.
2. The box of every layer is computed in nearest and in outward mode.
3. The model itself runs at random points, at random corners and at the corners to which the gradients of some outputs
   point, and each layer's value is compared with its box.
4. Deep inside a model boxes are wider than what points reach. So steps 2 and 3 are repeated for one submodule of every
   class alone, with a new box around the arguments that the model gives to it: there a box that is too small shows.
5. While each of these runs alone, every function of torch that it calls on boxes is compared with that function at
   points of the boxes that it got (`calls.CheckedCalls`).

The comparison needs no tolerance of its own. A value computed at a point lies off the real one by rounding, and outward
mode bounds how much rounding can add up to in each entry of each layer: that is the distance between its box and the
nearest mode's. A value may leave the outward box by this distance, and by nothing more.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from intervaltorch import IntervalTensor, layer_bounds, rounding
from intervaltorch.errors import DomainError

from .calls import CheckedCalls
from .layers import Inputs, layer_values, leaves, small_submodules
from .weights import prepare

RADIUS = 1e-4
inf, nan = float("inf"), float("nan")


@dataclasses.dataclass
class Result:
    """What a check found.

    Attributes:
        layers: outputs of submodules that were compared.
        entries: numbers in them.
        ratio: width of the model's box over the width of the values found, at the output where it is smallest.
        median: the same of each layer, median of all layers.
        own_ratio: as `ratio`, with the weights that the model is made with; NaN if its points give one output.
        own_median: as `median`, with these.
        alone: number of submodules that were checked alone.
        ratio_alone: ratio of these, median.
        calls: number of function calls in them that were compared.
        seconds: of the whole check.
        problems: what was wrong, and where; nothing if all is well.
    """

    layers: int = 0
    entries: int = 0
    ratio: float = inf
    median: float = inf
    own_ratio: float = nan
    own_median: float = nan
    alone: int = 0
    ratio_alone: float = inf
    calls: int = 0
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
    whole = Inputs((), inputs | {boxed: inputs[boxed].clone().requires_grad_()}, radius)
    own_ratio, own_median = own_ratios(model, whole, seed)
    prepare(model, *whole.boxes(), generator, 2 * radius)
    problems = Problems()
    comparison = _compare(model, whole, problems, generator)
    ratios = comparison.ratios()
    alone, calls = [], 0
    for name, (module, given) in small_submodules(model, whole).items():
        problems.prefix = f"{name} ({type(module).__name__}) alone: "
        local = _compare(module, given, problems, generator)
        alone.append(local.ratios().get("", inf))
        comparison.entries += local.entries
        comparison.layers += local.layers
        calls += _check_calls(module, given, problems, generator)
    return Result(
        layers=comparison.layers,
        entries=comparison.entries,
        ratio=ratios.get("", inf),
        median=_median(ratios.values()),
        own_ratio=own_ratio,
        own_median=own_median,
        alone=len(alone),
        ratio_alone=_median(alone),
        calls=calls,
        seconds=time.perf_counter() - start,
        problems=problems.found(),
    )


def own_ratios(model: nn.Module, inputs: Inputs, seed: int) -> tuple[float, float]:
    """How much wider than what points reach the boxes are with the weights that a model is made with.

    Returns:
        The ratio of the output and the median of all layers: infinite for infinite boxes and where a box leaves the
        domain of a function, NaN where points give one value.
    """
    model.double().eval().requires_grad_(False)
    args, kwargs = inputs.boxes()
    try:
        with torch.no_grad():
            boxes = layer_bounds(model, *args, **kwargs)
    except DomainError:
        return inf, inf
    comparison = _Comparison(boxes, boxes, Problems())
    for value in _values(model, inputs, torch.Generator().manual_seed(seed), inner=0):
        comparison.add(value)
    ratios = comparison.ratios(still=nan)
    known = [ratio for ratio in ratios.values() if ratio == ratio]
    return ratios.get("", nan), statistics.median(known) if known else nan


def _median(numbers: Any) -> float:
    finite = [number for number in numbers if number < inf]
    return statistics.median(finite) if finite else inf


class Problems:
    """What is wrong, with the places."""

    def __init__(self) -> None:
        self.prefix = ""
        self._places: dict[str, list[str]] = {}

    def add(self, kind: str, layer: str) -> None:
        """Enter one."""
        places = self._places.setdefault(kind, [])
        if self.prefix + layer not in places:
            places.append(self.prefix + layer)

    def found(self) -> list[str]:
        """Each kind, with the number of layers and the first."""
        return [f"{kind} in {len(places)} layers, first {places[0]!r}" for kind, places in self._places.items()]


def _compare(module: nn.Module, inputs: Inputs, problems: Problems, generator: torch.Generator) -> _Comparison:
    """Bound every layer of a module in both modes, and compare with its values at points."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*guessed error budget")
        args, kwargs = inputs.boxes()
        nearest = layer_bounds(module, *args, **kwargs)
        with rounding("outward"):
            args, kwargs = inputs.boxes()
            outward = layer_bounds(module, *args, **kwargs)
    comparison = _Comparison(nearest, outward, problems)
    for value in _values(module, inputs, generator):
        comparison.add(value)
    return comparison


def _values(module: nn.Module, inputs: Inputs, generator: torch.Generator, inner: int = 4) -> Iterator[dict[str, Any]]:
    """The values of all layers at points of the box."""
    for point in inputs.points(module, generator, inner):
        # The clone is a tensor that layers may write into.
        yield layer_values(module, *inputs.given([x.clone().requires_grad_().clone() for x in point]))


def _check_calls(module: nn.Module, inputs: Inputs, problems: Problems, generator: torch.Generator) -> int:
    """Compare every call that a module makes, and count the calls."""
    args, kwargs = inputs.boxes()
    with torch.no_grad(), warnings.catch_warnings(), CheckedCalls(problems.add, generator) as calls:
        warnings.filterwarnings("ignore", message=".*guessed error budget")
        module(*args, **kwargs)
    return calls.count


class _Comparison:
    """Values of all layers at some points, against their boxes."""

    def __init__(self, nearest: dict[str, Any], outward: dict[str, Any], problems: Problems) -> None:
        self._problems = problems
        near, out = ({(k, p): box for k, output in m.items() for p, box in leaves(output)} for m in (nearest, outward))
        for place in near.keys() ^ out.keys():
            problems.add("other layers in outward mode", place[0])
        self._boxes = {place: (near[place], out[place]) for place in near.keys() & out.keys()}
        self._hull: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
        self.entries = 0
        self.layers = len(nearest)
        for (layer, _), boxes in self._boxes.items():
            for box in boxes:
                if isinstance(box, IntervalTensor) and box.is_floating_point():
                    if not bool(torch.isfinite(box.lower).all() & torch.isfinite(box.upper).all()):
                        problems.add("infinite box", layer)
                    elif not bool((box.lower <= box.upper).all()):
                        problems.add("empty box", layer)

    def add(self, values: dict[str, Any]) -> None:
        """Compare the values of one more point."""
        found = {(layer, path): value for layer, output in values.items() for path, value in output}
        for place in found.keys() ^ self._boxes.keys():
            self._problems.add("a layer without box or value", place[0])
        for place in found.keys() & self._boxes.keys():
            problem = self._compare(place, found[place])
            if problem:
                self._problems.add(problem, place[0])

    def _compare(self, place: tuple[str, str], value: Tensor) -> str | None:
        near, out = self._boxes[place]
        varies, value = value.requires_grad, value.detach()
        if not isinstance(near, Tensor):  # an index that differs between points
            return None
        if value.shape != near.shape or value.dtype != near.dtype:
            return f"{value.dtype} {tuple(value.shape)} became {near.dtype} {tuple(near.shape)}"
        if not isinstance(near, IntervalTensor):
            stands = not varies and (value.is_floating_point() or torch.equal(value, near))
            return None if stands else "a plain tensor for a value that varies"
        below, above = near.lower, near.upper
        if near.is_floating_point():
            low, high = self._hull.get(place, (value, value))
            self._hull[place] = torch.minimum(low, value), torch.maximum(high, value)
            # Where a rule computes the nearest mode's box another way and finds a larger one, nothing is allowed.
            below = out.lower - (near.lower - out.lower).clamp(min=0)
            above = out.upper + (out.upper - near.upper).clamp(min=0)
        return None if bool(((below <= value) & (value <= above)).all()) else "a value outside its box"

    def ratios(self, still: float = inf) -> dict[str, float]:
        """Width of box over width of the values found, of each layer: the smallest of its entries.

        Args:
            still: the ratio of a layer whose values do not vary.
        """
        ratios: dict[str, float] = {}
        for (layer, path), (low, high) in self._hull.items():
            width = self._boxes[layer, path][0].width
            self.entries += low.numel()
            varying = (high > low) & (width > 1e6 * torch.finfo(low.dtype).eps * high.abs())
            smallest = (width[varying] / (high - low)[varying]).min().item() if bool(varying.any()) else still
            if not ratios.get(layer, inf) < inf:  # else a later part of the output: caches, inputs handed through
                ratios[layer] = smallest
        return ratios
