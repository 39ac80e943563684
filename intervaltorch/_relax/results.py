"""The nodes of the results of a step."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from .._records.registry import Box, Op
from .._tensor.interval import IntervalTensor
from .._theorems.corners import corner_lines
from .._theorems.lines import Free, lines
from .._trees import map_kind
from .nodes import Affine, Node, Product, Selection, Through
from .pullbacks import by_hand
from .rigour import MOVES, doubled, planes, reach, scaled, spread
from .samples import MIXED, Samples, merged, through
from .state import current
from .steps import Step, curve_of

__all__ = ["result_node", "samples_of"]


def result_node(
    call: Step, function: Any, parents: list[Node], boxes: list[Box], output: Any, position: int
) -> Node | None:  # fmt: skip
    """The node of a result; None if its box is all that is known."""
    if call.kind == "identity":
        return parents[0]
    if call.kind == "cast":
        (x,) = call.varying
        same = output.shape == x.shape and output.device == x.device and call.target is None
        return parents[0] if same else None
    if call.kind in ("leaf", "parts"):
        return None
    rigorous = current().rigorous
    if call.kind == "scaled":
        assert call.factor is not None
        x = doubled(boxes[0])
        found = scaled(x, doubled(call.factor))
        return Through(parents[0], found, Free(lambda *_: found, found.lower_slope, found.lower_slope), reach(x))
    if call.kind == "selection":
        return _largest(call, parents[0], boxes[0], output)
    if call.kind == "curve":
        curve = curve_of(call)
        assert curve is not None
        if not rigorous and curve.kinks is not None and len(curve.kinks) == 1:
            return Through(parents[0], *corner_lines(call.by_rule(), curve.kinks[0], boxes[0], output._box))
        if not rigorous:
            return Through(parents[0], *lines(call.by_rule(), curve, boxes[0], output._box))
        x, y = doubled(boxes[0]), doubled(output._box)
        return Through(parents[0], *lines(call.by_rule(), curve, x, y, call.enclosure()), reach(x))
    boxes = list(map(doubled, boxes)) if rigorous else boxes
    values = [box.lower.detach() for box in boxes]
    samples = samples_of(call.op, function, parents, values, output.shape)
    if call.kind == "affine":
        quick = None
        if len(parents) == 1 and call.target is None and position == 0:
            (varying,) = call.varying
            arguments = call.args, call.kwargs
            args, kwargs = map_kind(IntervalTensor, lambda x: x if x is varying else x._box.lower, arguments)
            quick = by_hand(call.op.name, args, kwargs, varying)
        around = None
        if rigorous and call.op.name not in MOVES:
            around = spread(function, [torch.zeros_like(value) for value in values], list(map(reach, boxes)))
        return Affine(function, parents, values, samples, output.shape, quick, around)
    zero = function(*map(torch.zeros_like, values))
    exact = partial(planes, function, boxes) if rigorous else None
    return Product(function, lambda *r: (function(*r) - zero).abs(), parents, boxes, samples, output.shape, exact)


_BATCHED = {"linear", "conv1d", "conv2d", "conv3d"}
"""Operations that do not mix the indices of the first dimension."""
_ELEMENTWISE = {"add", "sub", "rsub", "mul", "div", "neg", "lerp", "addcmul"}
"""Operations whose samples follow from broadcasting."""


def samples_of(op: Op | None, function: Any, parents: list[Node], values: list[Tensor], shape: torch.Size) -> Samples:
    """The samples of a result."""
    parts = [node.samples for node in parents]
    if any(part is MIXED for part in parts):
        return MIXED
    if current().count == 1:
        return torch.ones([1] * len(shape), dtype=torch.int64)
    name = op.name if op is not None else ""
    if name in _ELEMENTWISE:
        return merged(parts, shape)
    first = parts[0]
    assert first is not None
    if name in _BATCHED and len(parts) == 1 and first.shape == (shape[0], *[1] * (first.ndim - 1)):
        return first.reshape(shape[0], *[1] * (len(shape) - 1))
    found = []
    for i, value in enumerate(values):

        def of_one(x: Tensor, i: int = i) -> Tensor:
            return function(*[x if j == i else torch.ones_like(v) for j, v in enumerate(values)])

        try:
            found.append(through(of_one, [value], [parts[i]]))
        except (RuntimeError, ValueError, TypeError):  # torch.vmap cannot run this function
            return MIXED
    return merged(found, shape)


def _largest(call: Step, parent: Node, box: Box, output: Any) -> Node:
    """The node of `amax`."""
    dims = call.args[1] if len(call.args) > 1 else call.kwargs.get("dim", ())
    ndim = box.lower.ndim
    dims = [dims] if isinstance(dims, int) else list(dims) or list(range(ndim))
    dims = [d % ndim for d in dims] if ndim else []
    rest = [d for d in range(ndim) if d not in dims]

    def rows(x: Tensor) -> Tensor:
        return x.permute(*rest, *dims).flatten(len(rest)) if dims else x.unsqueeze(-1)

    with torch.no_grad():
        best, place = rows(box.lower).max(-1, keepdim=True)
        others = rows(box.upper).scatter(-1, place, -torch.inf).amax(-1, keepdim=True)
    shape = output.shape

    def pick(x: Tensor) -> Tensor:
        return rows(x).gather(-1, place).reshape(shape)

    samples = samples_of(call.op, lambda x: rows(x).sum(-1).reshape(shape), [parent], [box.lower.detach()], shape)
    upper = output._box.upper.double() if current().rigorous else output._box.upper
    return Selection(pick, parent, (others <= best).reshape(shape), upper, samples)
