"""Every function that a module calls, compared with its box on a box of its own arguments.

The box of a whole module is wider than what points reach, so an error inside it may stay unseen. A single call shows
it: at the corners to which the gradient of one entry of its result points, that entry comes close to its bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as trees

from intervaltorch import IntervalTensor, rounding
from intervaltorch._records.registry import bare_name, spelled

_UNINITIALISED = {"empty_like", "new_empty", "new_empty_strided"}


class CheckedCalls(TorchFunctionMode):
    """While it is on, compares each call of a function of torch on boxes with the function at points of these boxes.

    Args:
        report: called with what is wrong and the name of the function.
        generator: of the points.

    Attributes:
        count: number of calls that were compared.
    """

    def __init__(self, report: Callable[[str, str], None], generator: torch.Generator) -> None:
        super().__init__()
        self.count = 0
        self._report, self._generator = report, generator

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function, then compare."""
        kwargs = kwargs or {}
        if bare_name(func) in _UNINITIALISED or not any(map(_varies, trees.tree_leaves((args, kwargs)))):
            return func(*args, **kwargs)
        call = Call(func, args, kwargs)  # before the function may write into its arguments
        result = func(*args, **kwargs)
        if any(map(_varies, trees.tree_leaves(result))):
            self.count += 1
            for problem in call.problems(result, self._generator):
                self._report(problem, f"a call of {spelled(func)}")
        return result


def _choose(size: int, count: int, generator: torch.Generator) -> list[int]:
    return torch.randint(0, size, (count,), generator=generator).tolist()


def _varies(leaf: Any) -> bool:
    return isinstance(leaf, IntervalTensor) and leaf.is_floating_point() and leaf.numel() > 0


class Call:
    """A function with arguments, some of them boxes."""

    def __init__(self, function: Any, args: Any, kwargs: Any) -> None:
        leaves, self._form = trees.tree_flatten((args, kwargs))
        first: dict[int, Any] = {}  # one object given twice stays one: x * x is a square
        self._leaves = [first.setdefault(id(x), x.clone() if isinstance(x, Tensor) else x) for x in leaves]
        self._boxes = {id(x): x for x in self._leaves if _varies(x)}
        self._function = function

    def problems(self, nearest: Any, generator: torch.Generator) -> Iterator[str]:
        """What is wrong with the boxes that the function returned."""
        with rounding("outward"):
            outward = self._at({})
        boxes = [(near, out) for near, out in zip(*map(trees.tree_leaves, (nearest, outward))) if _varies(near)]
        for point in self._points(generator):
            values = [value for value in trees.tree_leaves(self._at(point)) if isinstance(value, Tensor)]
            values = [value.detach() for value in values if value.is_floating_point() and value.numel()]
            if len(values) != len(boxes):
                yield "another number of results at a point"
                return
            for (near, out), value in zip(boxes, values):
                # As in `harness`, where two bounds at infinity differ by nothing; and the rounding of torch's kernel,
                # about 1e-12 of the width, which may cancel where the rule does not: x a + b for (x - m) a + c.
                below, above = (
                    (here - there).clamp(min=0).nan_to_num(0) + 1e-9 * near.width.nan_to_num(0, 0, 0)
                    for here, there in ((near.lower, out.lower), (out.upper, near.upper))
                )
                if not bool(((out.lower - below <= value) & (value <= out.upper + above)).all()):
                    yield "a value outside its box"

    def _at(self, point: dict[int, Tensor]) -> Any:
        """The function at a point, given by the boxes that it replaces; on the boxes themselves without."""
        copies: dict[int, Any] = {}
        leaves = [copies.setdefault(id(x), self._leaf(x, point)) for x in self._leaves]
        args, kwargs = trees.tree_unflatten(leaves, self._form)
        return self._function(*args, **kwargs)

    def _leaf(self, leaf: Any, point: dict[int, Tensor]) -> Any:
        if point and isinstance(leaf, IntervalTensor):
            leaf = point.get(id(leaf), leaf.lower)  # empty and Boolean ones: any point of theirs
        return leaf.clone() if isinstance(leaf, Tensor) else leaf

    def _points(self, generator: torch.Generator) -> Iterator[dict[int, Tensor]]:
        """The lower and the upper corner, a random one, and those where two entries of the result look extreme."""
        yield {key: box.lower for key, box in self._boxes.items()}
        yield {key: box.upper for key, box in self._boxes.items()}
        yield self._corner({key: torch.rand(box.shape, generator=generator) - 0.5 for key, box in self._boxes.items()})
        for gradients in self._gradients(generator):
            yield self._corner(gradients)
            yield self._corner({key: -gradient for key, gradient in gradients.items()})

    @torch.enable_grad()
    def _gradients(self, generator: torch.Generator) -> list[dict[int, Tensor]]:
        """Those of two entries of the first result, at the centre."""
        centre = {key: box.center.detach().requires_grad_() for key, box in self._boxes.items()}
        values = [value for value in trees.tree_leaves(self._at(centre)) if isinstance(value, Tensor)]
        value = next((value.flatten() for value in values if value.requires_grad and value.numel()), None)
        entries = [] if value is None else [value[i] for i in _choose(len(value), 2, generator)]
        options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
        return [
            dict(zip(centre, torch.autograd.grad(entry, list(centre.values()), **options), strict=True))
            for entry in entries
        ]

    def _corner(self, directions: dict[int, Tensor]) -> dict[int, Tensor]:
        return {
            key: torch.where(directions[key] > 0, box.upper, box.lower).detach() for key, box in self._boxes.items()
        }
