"""Following a program: each call on relaxed boxes gives its results their nodes."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from torch import Tensor

from .. import _compat
from .._dispatch.arguments import as_points
from .._dispatch.calls import write
from .._records.registry import Box, Op
from .._tensor.interval import IntervalTensor
from .._trees import leaves, map_kind, map_result
from . import backward
from .nodes import Affine, Leaf, Node
from .results import result_node, samples_of
from .rigour import exactly
from .state import bounded, current, node_of
from .steps import COMPARISONS, Step, read, signature_of

__all__ = ["answer"]


def answer(
    cls: Any, function: Any, args: tuple, kwargs: dict[str, Any], run: Callable[..., Any],
    above: Callable[[], Any] = contextlib.nullcontext,
) -> Any:  # fmt: skip
    """Run a call, and give the boxes that it returns their nodes.

    Args:
        cls: the class of relaxed boxes.
        function: what was called.
        args: its arguments.
        kwargs: its keyword arguments.
        run: answers the call by intervals.
        above: a context in which autograd records again, for calls from below a kernel.
    """
    call = read(cls, function, args, kwargs)
    if call is None:
        return run(*args, **kwargs)
    with above(), _compat.without_saved_tensor_hooks():
        before = _prepared(call)
    result = run(*call.args, **call.kwargs)
    with above(), _compat.without_saved_tensor_hooks():
        if call.kind == "comparison":
            return _compared(call, result)
        if before.composed is not NotImplemented:
            return _met(cls, result, iter([x for x in leaves(before.composed) if isinstance(x, cls)]))
        _attach_nodes(call, before, result)
    return result


@dataclasses.dataclass
class _Before:
    """What is known of a call before it runs.

    Attributes:
        parents: the nodes of the varying boxes.
        boxes: their bounds, which the call may overwrite.
        functions: the function of the varying boxes, for each position among the results; None if it is not needed.
        composed: the results of the function's parts, or `NotImplemented`.
        views: see `_seen_through`.
    """

    parents: list[Node]
    boxes: list[Box]
    functions: Callable[[int], Callable[..., Tensor]] | None
    composed: Any
    views: list[tuple[Any, Node, Callable[..., Tensor], Any]]


def _prepared(call: Step) -> _Before:
    """Sharpen the arguments of a call, and keep what it may overwrite."""
    if current().sharpens and call.kind not in ("affine", "identity", "leaf", "cast", "scaled"):
        _sharpen(call)
    parents = [node_of(x) for x in call.varying]
    composed = NotImplemented
    if call.kind == "parts":
        current().operations.append(call.op.name)
        composed = _composed(call)
        current().operations.pop()
    functions = call.functions() if call.kind in ("affine", "product") else None
    boxes = [x._box for x in call.varying]
    views = _seen_through(call.target)
    if call.target is not None:
        boxes = [Box(x.lower.clone(), x.upper.clone()) for x in boxes]
    return _Before(parents, boxes, functions, composed, views)


def _attach_nodes(call: Step, before: _Before, result: Any) -> None:
    """Give the results of a call their nodes, and so the boxes of which a result is a view."""
    outputs = [call.target] if call.target is not None else [x for x in leaves(result) if isinstance(x, Tensor)]
    for position, output in enumerate(outputs):
        if isinstance(output, call.cls) and output.dtype.is_floating_point:
            function = before.functions(position) if before.functions is not None else None
            node = result_node(call, function, before.parents, before.boxes, output, position)
            if node is None:
                _lose(output, call)
            else:
                current().name(node, call.op.name)
                output.attach(bounded(node, output))
            if function is not None and call.target is None and call.kind == "affine":
                _note_view(output, call, function)
    for base, node, view, part in before.views:
        base.attach(bounded(_with_part(base, node, view, part), base))


def _composed(call: Step) -> Any:
    """The results of the function's parts; `NotImplemented` if they do not take these arguments."""
    program, signature = call.op.parts, signature_of(call.op.enclose)
    assert program is not None
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    # A program may compute with plain tensors alone. These results must be rounded outward too.
    shown: Callable[[Any], Any] = partial(as_points, call.cls) if current().rigorous else lambda x: x
    if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        return program(*map(shown, call.args), **{name: shown(x) for name, x in call.kwargs.items()})
    try:
        named = signature.bind(*call.args, **call.kwargs).arguments
    except TypeError:
        return NotImplemented
    first, *rest = named
    return program(shown(named[first]), **{name: shown(named[name]) for name in rest})


def _met(cls: Any, result: Any, composed: Iterator[Any]) -> Any:
    """The boxes of a rule, intersected with those of the function's parts, whose nodes they get."""

    def meet(x: Any) -> Any:
        if not isinstance(x, cls):
            return x
        other = next(composed)
        met = cls._wrap(backward.within(x._box, other._box))
        met.attach(node_of(other))
        return met

    return map_result(meet, result)


def _lose(output: Any, call: Step) -> None:
    """Make a result a leaf, since only its box is known."""
    output._node = None
    node_of(output, call.op.name)


def _compared(call: Step, result: Any) -> Any:
    """The answer of a comparison, sharpened by a backward pass from the difference of both sides."""
    sign, closed = COMPARISONS[call.op.name]
    gap = call.args[0] - call.args[1]
    if not isinstance(gap, call.cls) or not isinstance(result, call.cls):
        return result
    low, high = backward.within(gap._box, backward.bounds(node_of(gap), gap._box.lower))
    low, high = (low, high) if sign > 0 else (-high, -low)
    certain, possible = (low >= 0, high >= 0) if closed else (low > 0, high > 0)
    return call.cls._wrap(Box(result._box.lower | certain, result._box.upper & possible))


def _sharpen(call: Step) -> None:
    """Cut the varying boxes of a call to the bounds of backward passes of their own."""
    tight = {id(x): _sharpened(x, call.op, x is call.target) for x in call.varying}
    call.args, call.kwargs = map_kind(IntervalTensor, lambda x: tight.get(id(x), x), (call.args, call.kwargs))
    call.varying = [tight[id(x)] for x in call.varying]


def _sharpened(x: Any, op: Op, written: bool) -> Any:
    """A box cut to the bounds of a backward pass; in place if the call writes to the box."""
    node = x.node
    if node is None or isinstance(node, Leaf) or x.sharp:
        return x
    wanted = ((x._box.lower < 0) & (x._box.upper > 0)).detach() if op.name == "relu" else None
    box = backward.within(x._box, backward.bounds(node, x._box.lower, wanted))
    if written:
        write(x._box, box)
        x.attach(node)
        return x
    other = type(x)._wrap(box)
    other.attach(node)
    other.sharp = wanted is None
    return other


# --- writes through views ---------------------------------------------------------------------------------------------


def _note_view(output: Any, call: Step, function: Callable[..., Tensor]) -> None:
    """Remember of which box a result is a view."""
    (base, *others) = call.varying
    memory = output._box.lower.untyped_storage()
    if not others and memory.data_ptr() == base._box.lower.untyped_storage().data_ptr() and memory.nbytes():
        output.view_of = base, function


def _seen_through(target: Any) -> list[tuple[Any, Node, Callable[..., Tensor], Any]]:
    """The boxes of which the target of a write is a view, the nearest first, with their nodes and the views."""
    found = []
    while target is not None and target.view_of is not None:
        base, function = target.view_of
        found.append((base, node_of(base), function, target))
        target = base
    return found


def _with_part(base: Any, node: Node, view: Callable[..., Tensor], part: Any) -> Node:
    """The node of a box after a write to a view of the box: an affine function of its old value and of the view."""

    def function(old: Tensor, new: Tensor) -> Tensor:
        old = old.clone()
        view(old).copy_(new)
        return old

    parents, values = [node, node_of(part)], [x._box.lower.detach().clone() for x in (base, part)]
    values = exactly(values) if current().rigorous else values
    samples = samples_of(None, function, parents, values, base.shape)
    return Affine(function, parents, values, samples, base.shape)
