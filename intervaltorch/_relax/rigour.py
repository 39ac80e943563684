r"""Relaxations that hold in real arithmetic: which operations have them, and how their rules bound the rounding.

Passes run in float64. They use coefficients as computed, and each node pays for the difference to the real ones. Let
$y = f(p)$ be affine with Jacobian J, and let $m \ge |p|$. The computed rows $\tilde A$ of $A J$ obey

$$A f(p) \ge \tilde A p + A f(0) - \gamma_n |A|\, |J| m,$$

where n is the largest number of roundings that a term of $A J$ passes through. The rule of f in outward rounding gives
$f(0)$, and on the box $[-m, m]$ also $|J| m$. See *Rounding and the guarantee*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._records.registry import Box
from .._rounding import down, up
from .._tensor.interval import IntervalTensor
from .._theorems.lines import Lines, valued

__all__ = [
    "CASTS",
    "MOVES",
    "Spread",
    "distance",
    "doubled",
    "exactly",
    "has_planes",
    "planes",
    "reach",
    "spread",
    "stays_affine",
]

_EPS, _TINY = torch.finfo(torch.float64).eps, torch.finfo(torch.float64).tiny

MOVES = frozenset({
    "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "t", "T", "mT",
    "adjoint", "swapaxes", "swapdims", "movedim", "chunk", "split", "unbind", "narrow", "select", "flip",
    "_unsafe_view",
})  # fmt: skip
"""Operations that use every entry of their argument at most once and unchanged. So their rows are not rounded."""

CASTS = frozenset({"to", "_to_copy", "type", "type_as", "float", "double", "half", "bfloat16"})
"""Conversions, which are the identity in real arithmetic."""

_SCALED = frozenset({"addmm", "addmv", "baddbmm"})
_PLANES = frozenset({
    "mul", "matmul", "mm", "bmm", "mv", "dot", "outer", "linear", "conv1d", "conv2d", "conv3d", *_SCALED,
})  # fmt: skip
_AFFINE = _PLANES | frozenset({
    "add", "sub", "rsub", "div", "neg", "positive", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "convolution", "conv_tbc", "sum", "mean", "cumsum", "deg2rad", "rad2deg", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "col2im", "lerp", "__getitem__", "__setitem__",
    "masked_fill", "index_add", "index_copy", "index_fill", "scatter_add", "index", "masked_select", "copy",
    "index_put", "_unsafe_index_put", "where", "unfold",
})  # fmt: skip
"""Operations whose vector-Jacobian product is a sum of products, each of a row's entry and one stored number."""


def stays_affine(name: str, family: str, kwargs: dict[str, Any]) -> bool:
    """Whether torch's rows of an affine operation err by at most the bound at the top of this file."""
    if name in _SCALED and (kwargs.get("alpha", 1) != 1 or kwargs.get("beta", 1) != 1):
        return False
    if name == "div" and kwargs.get("rounding_mode") is not None:
        return False
    return family == "structural" or name in _AFFINE


def has_planes(name: str, kwargs: dict[str, Any]) -> bool:
    """Whether the same holds for an operation that multiplies two boxes, with either of them fixed."""
    return name in _PLANES and stays_affine(name, "", kwargs)


def exactly(tree: Any) -> Any:
    """Convert plain tensors and boxes in nested arguments to float64, which holds every float32 exactly."""
    if isinstance(tree, IntervalTensor):
        return tree
    if isinstance(tree, Tensor):
        return tree.double() if tree.is_floating_point() else tree
    if isinstance(tree, torch.dtype):
        return torch.float64 if tree.is_floating_point else tree
    if isinstance(tree, Box):
        return Box(exactly(tree.lower), exactly(tree.upper))
    if type(tree) in (tuple, list):
        return type(tree)([exactly(item) for item in tree])
    return {key: exactly(item) for key, item in tree.items()} if type(tree) is dict else tree


def doubled(box: Box) -> Box:
    """A box in float64."""
    return Box(box.lower.double(), box.upper.double())


@torch.no_grad()
def reach(box: Box) -> Tensor:
    """The largest absolute value of each entry."""
    return torch.maximum(box.lower.abs(), box.upper.abs()).double()


@torch.no_grad()
def distance(box: Box, other: Box) -> Tensor:
    """An upper bound of |x - y| for x and y of two boxes."""
    furthest = torch.maximum(box.upper - other.lower, other.upper - box.lower).clamp(min=0.0)
    return up(furthest, 2 * _EPS * furthest + _TINY)


class Spread(NamedTuple):
    """Bounds of an affine function on a box around a centre.

    Attributes:
        value: the value at the centre.
        room: how far the values on the box can be from this one: |J| r.
        underflow: how much the underflow of products can add to the error of one row.
    """

    value: Box
    room: Tensor
    underflow: float

    def near(self, value: Tensor) -> Box:
        """The value at the centre, with the gradient of a computed value."""
        return Box(valued(self.value.lower, value), valued(self.value.upper, value))


class Planes(NamedTuple):
    """Bounds of a product of two boxes around their centres.

    Attributes:
        spreads: the bounds with one factor at its centre: with the first factor varying, then with the second.
        room: how far the product of the distances from the centres can be from 0.
    """

    spreads: tuple[Spread, Spread]
    room: Tensor


@torch.no_grad()
def spread(function: Callable[..., Any], centres: Sequence[Tensor], radii: Sequence[Tensor]) -> Spread:
    """Bound an affine function by its rule, at a centre and on the box around the centre."""
    points = [IntervalTensor._wrap(Box(centre, centre)) for centre in centres]
    around = []
    for centre, radius in zip(centres, radii, strict=True):
        room = radius + _EPS * (centre.abs() + radius) + _TINY
        around.append(IntervalTensor._wrap(Box(down(centre, room), up(centre, room))))
    value, values = function(*points)._box, function(*around)._box
    finite = sum(float(torch.where(radius.isfinite(), radius, 0.0).sum()) for radius in radii)
    return Spread(value, distance(values, value), 2 * (value.lower.numel() + 8) * _TINY * finite)


@torch.no_grad()
def planes(function: Callable[..., Any], boxes: Sequence[Box], centres: Sequence[Tensor]) -> Planes:
    """Bound a product: a function that is affine in each of two arguments and has one part that is linear in both."""
    radii = [distance(box, Box(centre, centre)) for box, centre in zip(boxes, centres, strict=True)]
    still = [torch.zeros_like(radius) for radius in radii]
    spreads = spread(function, centres, [radii[0], still[1]]), spread(function, centres, [still[0], radii[1]])
    corner, zero = (function(*[IntervalTensor._wrap(Box(x, x)) for x in point])._box for point in (radii, still))
    return Planes(spreads, distance(corner, zero))


def scaled(x: Box, factor: Box) -> Lines:
    """Lines of the product of x with a factor that lies in a narrow box: unknown, but fixed for each entry."""
    slope = (factor.lower / 2 + factor.upper / 2).expand(x.lower.shape)
    with torch.no_grad():
        error = reach(x) * distance(factor, Box(slope, slope))
        room = error * (1 + 4 * _EPS) + _TINY
    return Lines(slope, -room, slope, room)
