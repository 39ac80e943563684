"""Following a program: each call on relaxed boxes gives its results their nodes."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import inspect
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from .. import _compat
from .._dispatch.arguments import as_points
from .._dispatch.calls import write
from .._records.curves import Curve
from .._records.registry import EVERYTHING, OPS, Box, Op, Spelling
from .._tensor.interval import IntervalTensor
from .._theorems.corners import corner_lines
from .._theorems.lines import Free, lines
from .._trees import leaves, map_kind, map_result
from . import backward
from .nodes import Affine, Leaf, Node, Product, Selection, Through
from .pullbacks import by_hand
from .rigour import CASTS, MOVES, doubled, exactly, has_planes, planes, reach, scaled, spread, stays_affine
from .samples import MIXED, Samples, first_dimension, merged, through

__all__ = ["Run", "answer", "current", "following", "node_of", "relaxed"]


@dataclasses.dataclass
class Run:
    """How a program is followed.

    Attributes:
        method: the method of `bound`.
        rigorous: whether passes hold in real arithmetic.
        keeps_account: whether final passes record what each node contributes to the width.
        count: the size of the batch, or None.
        account: what each node has contributed.
        modules: the modules that are running, outermost first.
        operations: the operations that are running as programs of their parts, outermost first.
    """

    method: str
    keeps_account: bool = False
    rigorous: bool = False
    count: int | None = None
    account: dict[Node, float] = dataclasses.field(default_factory=dict)
    modules: list[str] = dataclasses.field(default_factory=list)
    operations: list[str] = dataclasses.field(default_factory=list)

    @property
    def sharpens(self) -> bool:
        """Whether arguments of nonlinear functions are bounded by passes of their own first (CROWN)."""
        return self.method != "crown-ibp"

    def enter(self, title: str, training: bool) -> None:
        """A module begins."""
        self.modules.append(title)

    def leave(self) -> None:
        """The innermost module ends."""
        if self.modules:
            self.modules.pop()

    def name(self, node: Node, operation: str) -> None:
        """Note what computed a value, unless that is known."""
        if node.place is None:
            node.place = " ".join([*self.operations, operation]), self.modules[-1] if self.modules else ""


_run: contextvars.ContextVar[Run] = contextvars.ContextVar("intervaltorch_following")


@contextlib.contextmanager
def following(run: Run) -> Iterator[Run]:
    """Follow the calls of a program on relaxed boxes."""
    token = _run.set(run)
    try:
        yield run
    finally:
        _run.reset(token)


def current() -> Run:
    """The run that is being followed."""
    return _run.get()


def relaxed(cls: Any, value: Any) -> Any:
    """Turn plain boxes among arguments into relaxed ones."""
    return map_kind(IntervalTensor, lambda x: x if isinstance(x, cls) else cls._wrap(x._box), value)


def node_of(x: Any, why: str = "") -> Node:
    """The node of a box; one that has none becomes a leaf."""
    node = x.node
    if node is None:
        run = _run.get()
        node = Leaf(doubled(x._box) if run.rigorous else x._box, first_dimension(x.shape, run.count))
        run.name(node, why or "box")
        x.attach(_bounded(node, x))
    return node


def _is_constant(x: Any) -> bool:
    """Whether a box has no node and is a point."""
    return x._node is None and torch.equal(x._box.lower, x._box.upper)


@dataclasses.dataclass
class _Step:
    """A step of a program: a call of an op with a rule, and how it is relaxed.

    Attributes:
        spelling: what was called.
        args, kwargs: its arguments.
        varying: the relaxed boxes among them that are not single points.
        target: the one that is written to.
        kind: how the op is relaxed.
        factor: by which the varying box is multiplied, if its kind is `"scaled"`.
    """

    cls: Any
    spelling: Spelling
    args: tuple
    kwargs: dict[str, Any]
    varying: list[Any]
    target: Any
    kind: str = ""
    factor: Box | None = None

    @property
    def op(self) -> Op:
        return self.spelling.op

    def by_rule(self) -> Callable[[Tensor], Tensor]:
        """The function of the one varying box by its rule, which may be more accurate than torch."""
        enclose = self.enclosure()
        return lambda value: enclose(Box(value, value)).lower

    def enclosure(self) -> Callable[[Box], Box]:
        """The rule as a function of the one varying box."""
        (varying,) = self.varying
        arguments = self._with(lambda x: x if x is varying else x._box)
        if _run.get().rigorous:
            arguments = exactly(arguments)

        def run(box: Box) -> Box:
            args, kwargs = map_kind(IntervalTensor, lambda _: box, arguments)
            return self.spelling.enclose(*args, **kwargs)

        return run

    def functions(self) -> Callable[[int], Callable[..., Tensor]]:
        """The function of the varying boxes on plain tensors, for each position among its results.

        Everything else that it reads is kept as it is now; a program may write to it later.
        """
        places = {id(x): i for i, x in enumerate(self.varying)}
        spelling = self.spelling
        writes = self.target is not None and spelling.inplace_position is None
        kept = {id(x): x._box.lower.clone() for x in leaves((self.args, self.kwargs)) if isinstance(x, self.cls)}
        rigorous = _run.get().rigorous
        kept = exactly(kept) if rigorous else kept
        frozen = self._with(lambda x: x)
        frozen = tuple(_copied(tree) for tree in frozen)

        def at(position: int) -> Callable[..., Tensor]:
            def run(*values: Tensor) -> Any:
                def plain(x: Any) -> Any:
                    value = values[places[id(x)]] if id(x) in places else kept[id(x)]
                    # A rule must not see that two arguments are the same: its bound is of each path alone.
                    return IntervalTensor._wrap(Box(*value._box)) if isinstance(value, IntervalTensor) else value

                args, kwargs = (map_kind(IntervalTensor, plain, exactly(tree) if rigorous else tree) for tree in frozen)
                if writes:
                    first = args[0].clone()
                    spelling.function(first, *args[1:], **kwargs)
                    return first
                return [x for x in leaves(spelling.function(*args, **kwargs)) if isinstance(x, Tensor)][position]

            return run

        return at

    def _with(self, change: Callable[[Any], Any]) -> tuple[tuple, dict[str, Any]]:
        """The arguments with their boxes changed, without the flag that asks for work in place."""
        args, kwargs, position = self.args, self.kwargs, self.spelling.inplace_position
        if position is not None:
            kwargs = {name: value for name, value in kwargs.items() if name != "inplace"}
            args = args[:position] + args[position + 1 :]
        return map_kind(IntervalTensor, change, args), map_kind(IntervalTensor, change, kwargs)


def _copied(tree: Any) -> Any:
    """Copies of the plain tensors in nested arguments; parameters are not copied."""
    kept = (IntervalTensor, torch.nn.Parameter)
    return map_kind(Tensor, lambda x: x if isinstance(x, kept) else x.clone(), tree)


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
        above: lets torch record again what runs below a kernel.
    """
    call = _read(cls, function, args, kwargs)
    if call is None:
        return run(*args, **kwargs)
    with above(), _compat.without_saved_tensor_hooks():
        if _run.get().sharpens and call.kind not in ("affine", "identity", "leaf", "cast", "scaled"):
            _sharpen(call)
        parents = [node_of(x) for x in call.varying]
        composed = NotImplemented
        if call.kind == "parts":
            _run.get().operations.append(call.op.name)
            composed = _composed(call)
            _run.get().operations.pop()
        functions = call.functions() if call.kind in ("affine", "product") else None
        boxes = [x._box for x in call.varying]
        seen = _seen_through(call.target)
        if call.target is not None:
            boxes = [Box(x.lower.clone(), x.upper.clone()) for x in boxes]
    result = run(*call.args, **call.kwargs)
    with above(), _compat.without_saved_tensor_hooks():
        if call.kind == "comparison":
            return _compared(call, result)
        if composed is not NotImplemented:
            return _met(cls, result, iter([x for x in leaves(composed) if isinstance(x, cls)]))
        outputs = [call.target] if call.target is not None else [x for x in leaves(result) if isinstance(x, Tensor)]
        for position, output in enumerate(outputs):
            if isinstance(output, cls) and output.dtype.is_floating_point:
                function = functions(position) if functions is not None else None
                node = _node(call, function, parents, boxes, output, position)
                if node is None:
                    _lose(output, call)
                else:
                    _run.get().name(node, call.op.name)
                    output.attach(_bounded(node, output))
                if function is not None and call.target is None and call.kind == "affine":
                    _note_view(output, call, function)
        for base, node, view, part in seen:
            base.attach(_bounded(_with_part(base, node, view, part), base))
    return result


def _bounded(node: Node, x: Any) -> Node:
    """The node, with the reach of its value if passes are rigorous."""
    if _run.get().rigorous and node.reach is None:
        node.reach = reach(x._box)
    return node


# --- writes through views ---------------------------------------------------------------------------------------------


def _note_view(output: Any, call: _Step, function: Callable[..., Tensor]) -> None:
    """Remember of which box a result is a view."""
    (base, *others) = call.varying
    memory = output._box.lower.untyped_storage()
    if not others and memory.data_ptr() == base._box.lower.untyped_storage().data_ptr() and memory.nbytes():
        output.view_of = base, function


def _seen_through(target: Any) -> list[tuple[Any, Node, Callable[..., Tensor], Any]]:
    """The boxes of which a box that is written to is a view, the nearest first: with their nodes, and the view."""
    found = []
    while target is not None and target.view_of is not None:
        base, function = target.view_of
        found.append((base, node_of(base), function, target))
        target = base
    return found


def _with_part(base: Any, node: Node, view: Callable[..., Tensor], part: Any) -> Node:
    """The node of a box after a write to a view of it: an affine function of what it was and of the view."""

    def function(old: Tensor, new: Tensor) -> Tensor:
        old = old.clone()
        view(old).copy_(new)
        return old

    parents, values = [node, node_of(part)], [x._box.lower.detach().clone() for x in (base, part)]
    values = exactly(values) if _run.get().rigorous else values
    samples = _samples(None, function, parents, values, base.shape)
    return Affine(function, parents, values, samples, base.shape)


def _composed(call: _Step) -> Any:
    """What the parts of the function return."""
    program, signature = call.op.parts, _signature(call.op.enclose)
    assert program is not None
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    # What a program computes of plain tensors alone is to be rounded outward, too.
    shown: Callable[[Any], Any] = partial(as_points, call.cls) if _run.get().rigorous else lambda x: x
    if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        return program(*map(shown, call.args), **{name: shown(x) for name, x in call.kwargs.items()})
    try:
        named = signature.bind(*call.args, **call.kwargs).arguments
    except TypeError:
        return NotImplemented
    first, *rest = named
    return program(shown(named[first]), **{name: shown(named[name]) for name in rest})


def _lose(output: Any, call: _Step) -> None:
    """Make a result a leaf, since only its box is known."""
    output._node = None
    node_of(output, call.op.name)


def _read(cls: Any, function: Any, args: tuple, kwargs: dict[str, Any]) -> _Step | None:
    """The call, if it has a rule and boxes that vary."""
    spelling = OPS.get(function) or OPS.get(_compat.overload_packet(function))
    if spelling is None:
        return None
    boxes: list[Any] = list({id(x): x for x in leaves((args, kwargs)) if isinstance(x, cls)}.values())
    varying = [x for x in boxes if not _is_constant(x)]
    if not varying or any(not x.dtype.is_floating_point for x in varying):
        return None
    if spelling.op.family == "reads no values" and not spelling.inplace:
        return None
    call = _Step(cls, spelling, args, kwargs, varying, _target(spelling, args, kwargs))
    call.kind = _kind(call)
    if _run.get().rigorous:
        call.kind = _rigorous_kind(call)
        _take_factor(call)
    return call


def _take_factor(call: _Step) -> None:
    """Where a box is multiplied by one of which nothing else is known and that is narrow, take that for a constant."""
    if call.op.name != "mul" or len(call.varying) != 2 or call.target is not None:
        return
    for x, factor in (call.varying, call.varying[::-1]):
        width = (factor._box.upper - factor._box.lower).abs()
        narrow = bool((width <= 2.0**-16 * factor._box.lower.abs()).all())
        if factor.node is None and narrow and torch.broadcast_shapes(x.shape, factor.shape) == x.shape:
            call.varying, call.factor, call.kind = [x], factor._box, "scaled"
            return


def _target(spelling: Spelling, args: tuple, kwargs: dict[str, Any]) -> Any:
    """What an in-place call writes to."""
    inplace, position = spelling.inplace or spelling.op.name == "__setitem__", spelling.inplace_position
    if position is not None:
        inplace = bool(args[position]) if len(args) > position else bool(kwargs.get("inplace", False))
    if not inplace:
        return None
    return args[0] if args else kwargs.get("input", kwargs.get("self"))


# --- how an op is relaxed ---------------------------------------------------------------------------------------------


@lru_cache
def _signature(rule: Any) -> inspect.Signature:
    """The signature of a rule."""
    return inspect.signature(rule)


def _names(call: _Step) -> list[set[str]] | None:
    """The names of the arguments that hold each of the varying boxes."""
    try:
        named = _signature(call.op.enclose).bind(*call.args, **call.kwargs).arguments
    except (TypeError, ValueError):
        return None
    return [{name for name, value in named.items() if any(leaf is x for leaf in leaves(value))} for x in call.varying]


def _kind(call: _Step) -> str:
    """How the op of a call is relaxed."""
    op = call.op
    if op.name in _COMPARISONS and len(call.args) == 2 and not call.kwargs:
        return "comparison"
    sets = _affine_sets(call)
    if op.family == "identity" or (op.topic == "dropout" and sets):  # which is the identity unless it draws a mask
        return "identity"
    if EVERYTHING[0] in sets:
        return "affine"
    names = _names(call) if sets else None
    if names is not None:
        if any(set().union(*names) <= jointly for jointly in sets):
            return "affine"
        if op.products and len(names) == 2 and all(any(own <= jointly for jointly in sets) for own in names):
            return "product"
    if len(call.varying) == 1 and _curve(call) is not None:
        return "curve"
    if op.name == "amax" and call.target is None:
        return "selection"
    composed = op.parts is not None and call.target is None and all(x.numel() for x in call.varying)
    return "parts" if composed else "leaf"


def _affine_sets(call: _Step) -> tuple[set[str], ...]:
    """The sets of arguments in which the call is jointly affine."""
    if not callable(call.op.affine_in):
        return call.op.affine_in
    args, kwargs = call._with(lambda x: x._box)
    try:
        return call.op.affine_sets(*args, **kwargs)
    except TypeError:  # the arguments do not fit the function; torch will say so
        return ()


def _rigorous_kind(call: _Step) -> str:
    """How an op is relaxed where passes hold in real arithmetic; by its box where the rounding is not bounded."""
    op, kind = call.op, call.kind
    otherwise = "parts" if op.parts is not None and call.target is None else "leaf"
    if op.name in CASTS and op.family == "structural":
        return "cast"
    if kind == "affine":
        return kind if stays_affine(op.name, op.family, call.kwargs) else otherwise
    if kind == "product":
        return kind if has_planes(op.name, call.kwargs) else otherwise
    if kind == "curve":
        curve = _curve(call)
        return kind if curve is not None and curve.period is None else otherwise
    return kind


_COMPARISONS = {"gt": (1, False), "ge": (1, True), "lt": (-1, False), "le": (-1, True)}
"""The sign of x - y for which each comparison of x and y is true, and whether it is true for 0."""


def _compared(call: _Step, result: Any) -> Any:
    """The answer of a comparison, sharpened by a backward pass from the difference of both sides."""
    sign, closed = _COMPARISONS[call.op.name]
    gap = call.args[0] - call.args[1]
    if not isinstance(gap, call.cls) or not isinstance(result, call.cls):
        return result
    low, high = backward.within(gap._box, backward.bounds(node_of(gap), gap._box.lower))
    low, high = (low, high) if sign > 0 else (-high, -low)
    certain, possible = (low >= 0, high >= 0) if closed else (low > 0, high > 0)
    return call.cls._wrap(Box(result._box.lower | certain, result._box.upper & possible))


def _curve(call: _Step) -> Curve | None:
    """How the call bends as a function of its one varying box."""
    args, kwargs = call._with(lambda x: x._box)
    try:
        return call.op.bends(*args, **kwargs)
    except TypeError:  # as above
        return None


# --- nodes ------------------------------------------------------------------------------------------------------------


def _node(
    call: _Step, function: Any, parents: list[Node], boxes: list[Box], output: Any, position: int
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
    rigorous = _run.get().rigorous
    if call.kind == "scaled":
        assert call.factor is not None
        x = doubled(boxes[0])
        found = scaled(x, doubled(call.factor))
        return Through(parents[0], found, Free(lambda *_: found, found.lower_slope, found.lower_slope), reach(x))
    if call.kind == "selection":
        return _largest(call, parents[0], boxes[0], output)
    if call.kind == "curve":
        curve = _curve(call)
        assert curve is not None
        if not rigorous and curve.kinks is not None and len(curve.kinks) == 1:
            return Through(parents[0], *corner_lines(call.by_rule(), curve.kinks[0], boxes[0], output._box))
        if not rigorous:
            return Through(parents[0], *lines(call.by_rule(), curve, boxes[0], output._box))
        x, y = doubled(boxes[0]), doubled(output._box)
        return Through(parents[0], *lines(call.by_rule(), curve, x, y, call.enclosure()), reach(x))
    boxes = list(map(doubled, boxes)) if rigorous else boxes
    values = [box.lower.detach() for box in boxes]
    samples = _samples(call.op, function, parents, values, output.shape)
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


def _largest(call: _Step, parent: Node, box: Box, output: Any) -> Node:
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

    samples = _samples(call.op, lambda x: rows(x).sum(-1).reshape(shape), [parent], [box.lower.detach()], shape)
    upper = output._box.upper.double() if _run.get().rigorous else output._box.upper
    return Selection(pick, parent, (others <= best).reshape(shape), upper, samples)


_BATCHED = {"linear", "conv1d", "conv2d", "conv3d"}
"""Operations that do not mix the indices of the first dimension."""
_ELEMENTWISE = {"add", "sub", "rsub", "mul", "div", "neg", "lerp", "addcmul"}
"""Operations whose samples follow from broadcasting."""


def _samples(op: Op | None, function: Any, parents: list[Node], values: list[Tensor], shape: torch.Size) -> Samples:
    """The samples of a result."""
    parts = [node.samples for node in parents]
    if any(part is MIXED for part in parts):
        return MIXED
    if _run.get().count == 1:
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


# --- sharper boxes ----------------------------------------------------------------------------------------------------


def _sharpen(call: _Step) -> None:
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
