"""A function of boxes as one of points: a vector of the entries that vary in, a vector of the entries bounded out."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from intervaltorch import IntervalTensor, rounding
from intervaltorch._theorems.undecided import Undecided
from intervaltorch.testing._trees import flatten, to_float64

CHUNK = 8192  # points evaluated at once


class Problem:
    """What is bounded, its bounds, and how to evaluate it at points of the box.

    Attributes:
        l, u: ends of the entries that vary, `(n,)`.
        lower, upper: bounds of the entries of the result that are compared, `(m,)`, in float64; Booleans as 0 and 1,
            complex numbers as two numbers, and a plain result, which claims not to vary, as a point.
        outward: the same bounds in outward mode.
        batched: whether points are evaluated together.
        evaluated: how many points were.
    """

    def __init__(self, function: Callable[..., Any], args: tuple, kwargs: dict[str, Any], most: int = 12) -> None:
        self.function = function
        leaves, self.rebuild = flatten(to_float64((args, kwargs)))
        leaves = _thinned(leaves, most)
        self.boxes = [i for i, leaf in enumerate(leaves) if isinstance(leaf, IntervalTensor)]
        self.fixed = [leaf.lower if i in self.boxes else leaf for i, leaf in enumerate(leaves)]
        ends = [(_numbers(leaves[i].lower).double(), _numbers(leaves[i].upper).double()) for i in self.boxes]
        self.places = [(l < u).nonzero().squeeze(1) for l, u in ends]
        self.l = torch.cat([l[place] for (l, _), place in zip(ends, self.places)] or [torch.zeros(0).double()])
        self.u = torch.cat([u[place] for (_, u), place in zip(ends, self.places)] or [torch.zeros(0).double()])
        with rounding("nearest"):
            results = flatten(self._call(leaves))[0]
        self.compared = [i for i, x in enumerate(results) if not isinstance(x, Undecided) and x.numel()]
        self.varies = any(isinstance(results[i], IntervalTensor) for i in self.compared)
        lower, upper = self._ends(results)
        self.entries = _some(upper > lower, most)
        self.lower, self.upper = lower[self.entries], upper[self.entries]
        with rounding("outward"):
            self.outward = tuple(end[self.entries] for end in self._ends(flatten(self._call(leaves))[0]))
        self.evaluated = 0
        self.batched = self._can_be_batched()

    def _ends(self, results: list[Any]) -> tuple[Tensor, Tensor]:
        """Both bounds of all entries that are compared."""
        bounds = [results[i] for i in self.compared]
        lower = torch.cat([_numbers(getattr(x, "lower", x)).double() for x in bounds] or [torch.zeros(0).double()])
        upper = torch.cat([_numbers(getattr(x, "upper", x)).double() for x in bounds] or [torch.zeros(0).double()])
        return lower, upper

    def _call(self, leaves: list[Any]) -> Any:
        """The function on copies, as it may write into its arguments."""
        args, kwargs = self.rebuild([leaf.clone() for leaf in leaves])
        return self.function(*args, **kwargs)

    def _placed(self, points: Tensor) -> list[Tensor]:
        """The arguments that vary, each of shape `(P, *shape)`, at points of shape `(P, n)`."""
        placed, parts = [], points.split([len(place) for place in self.places], 1)
        for i, place, part in zip(self.boxes, self.places, parts):
            leaf = self.fixed[i]
            numbers = _numbers(leaf).double().expand(len(points), -1)
            numbers = numbers.index_copy(1, place, part)
            if leaf.dtype is torch.bool:
                numbers = numbers > 0.5
            shape = (len(points), *leaf.shape)
            numbers = torch.view_as_complex(numbers.reshape(*shape, 2)) if leaf.is_complex() else numbers.reshape(shape)
            placed.append(numbers)
        return placed

    def _values(self, *varying: Tensor) -> Tensor:
        """The compared entries at one point, from the arguments that vary."""
        leaves = list(self.fixed)
        for i, leaf in zip(self.boxes, varying):
            leaves[i] = leaf
        results = flatten(self._call(leaves))[0]
        return torch.cat([_numbers(results[i]).double() for i in self.compared])[self.entries]

    def _can_be_batched(self) -> bool:
        """Whether torch's vmap runs the function and gives the same values."""
        if not self.compared or not len(self.l):
            return False
        torch.manual_seed(0)
        points = self.l + (self.u - self.l) * torch.rand(3, len(self.l), dtype=torch.float64)
        placed = self._placed(points)
        try:
            together = torch.func.vmap(self._values)(*placed)
        except Exception:  # whatever it is that vmap cannot do with this function
            return False
        one_by_one = torch.stack([self._values(*point) for point in zip(*placed)])
        return torch.allclose(together, one_by_one, rtol=1e-9, atol=1e-12, equal_nan=True)

    def __call__(self, points: Tensor) -> Tensor:
        """Values of shape `(P, m)` at points of shape `(P, n)`."""
        self.evaluated += len(points)
        found = []
        for chunk in points.split(CHUNK):
            placed = self._placed(chunk)
            if self.batched:
                found.append(torch.func.vmap(self._values)(*placed))
            else:
                found.append(torch.stack([self._values(*point) for point in zip(*placed)]))
        return torch.cat(found)

    def constants(self, most: int) -> Tensor:
        """Some of the numbers among the arguments that do not vary, which those that do may be compared with."""
        numbers = [_numbers(leaf).double() for leaf in self.fixed if leaf.is_floating_point()]
        return torch.cat([*numbers, torch.zeros(0).double()]).unique()[:most]

    def gradients(self, points: Tensor, outputs: Tensor) -> Tensor | None:
        """At each point the gradient of the entry that `outputs` names, or None if torch cannot differentiate."""
        x = points.clone().requires_grad_()
        try:
            (slope,) = torch.autograd.grad(self(x).gather(1, outputs[:, None]).sum(), x)
        except RuntimeError:
            return None
        return slope.nan_to_num(0.0, 0.0, 0.0)


def _numbers(x: Tensor) -> Tensor:
    """All entries in one dimension; complex ones as pairs."""
    return (torch.view_as_real(x.resolve_conj()) if x.is_complex() else x.resolve_neg()).reshape(-1)


def _thinned(leaves: list[Any], most: int) -> list[Any]:
    """Let at most so many entries vary, spread over all boxes at random; the others become points."""
    boxes = [leaf for leaf in leaves if isinstance(leaf, IntervalTensor)]
    count = sum(int((box.lower != box.upper).sum()) for box in boxes)
    if count <= most:
        return leaves
    torch.manual_seed(count)
    chosen = torch.zeros(count, dtype=torch.bool)
    chosen[torch.randperm(count)[:most]] = True
    remaining = iter(chosen.tolist())

    def thin(box: IntervalTensor) -> IntervalTensor:
        wide = box.lower != box.upper
        keep = torch.tensor([next(remaining) if w else False for w in wide.reshape(-1).tolist()], dtype=torch.bool)
        keep = keep.reshape(wide.shape)
        return IntervalTensor(box.lower, torch.where(keep | ~wide, box.upper, box.lower))

    return [thin(leaf) if isinstance(leaf, IntervalTensor) else leaf for leaf in leaves]


def _some(wide: Tensor, most: int) -> Tensor:
    """Indices of at most so many entries that are wide, and of as many that are not, chosen at random."""
    torch.manual_seed(len(wide))
    return torch.cat(
        [kind[torch.randperm(len(kind))[:most]] for kind in (wide.nonzero()[:, 0], (~wide).nonzero()[:, 0])]
    )


def corners(l: Tensor, u: Tensor) -> Tensor:
    """All corners of a box of few entries."""
    picks = torch.tensor(list(itertools.product((False, True), repeat=len(l))), dtype=torch.bool)
    return torch.where(picks, u, l)


def quietly(call: Callable[[], Any]) -> Any:
    """Run without torch's warnings: vmap tells of every kernel that it runs in a loop."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()
