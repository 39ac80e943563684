"""The steps of a program: calls on relaxed boxes, and how each is relaxed."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from .. import _compat
from .._records.curves import Curve
from .._records.registry import EVERYTHING, OPS, Box, Op, Spelling
from .._tensor.interval import IntervalTensor
from .._trees import leaves, map_kind
from .rigour import CASTS, exactly, has_planes, stays_affine
from .state import current, is_constant

__all__ = ["COMPARISONS", "Step", "curve_of", "read", "signature_of"]


@dataclasses.dataclass
class Step:
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
        """The op that is called."""
        return self.spelling.op

    def by_rule(self) -> Callable[[Tensor], Tensor]:
        """The function of the one varying box by its rule, which may be more accurate than torch."""
        enclose = self.enclosure()
        return lambda value: enclose(Box(value, value)).lower

    def enclosure(self) -> Callable[[Box], Box]:
        """The rule as a function of the one varying box."""
        (varying,) = self.varying
        arguments = self._with(lambda x: x if x is varying else x._box)
        if current().rigorous:
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
        rigorous = current().rigorous
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


def read(cls: Any, function: Any, args: tuple, kwargs: dict[str, Any]) -> Step | None:
    """The call; None if it has no rule, or no box among its arguments varies."""
    spelling = OPS.get(function) or OPS.get(_compat.overload_packet(function))
    if spelling is None:
        return None
    boxes: list[Any] = list({id(x): x for x in leaves((args, kwargs)) if isinstance(x, cls)}.values())
    varying = [x for x in boxes if not is_constant(x)]
    if not varying or any(not x.dtype.is_floating_point for x in varying):
        return None
    if spelling.op.family == "reads no values" and not spelling.inplace:
        return None
    call = Step(cls, spelling, args, kwargs, varying, _target(spelling, args, kwargs))
    call.kind = _kind(call)
    if current().rigorous:
        call.kind = _rigorous_kind(call)
        _take_factor(call)
    return call


def _take_factor(call: Step) -> None:
    """Take a factor as a fixed unknown number, if its box is narrow and it has no node."""
    if call.op.name != "mul" or len(call.varying) != 2 or call.target is not None:
        return
    for x, factor in (call.varying, call.varying[::-1]):
        width = (factor._box.upper - factor._box.lower).abs()
        narrow = bool((width <= 2.0**-16 * factor._box.lower.abs()).all())
        if factor.node is None and narrow and torch.broadcast_shapes(x.shape, factor.shape) == x.shape:
            call.varying, call.factor, call.kind = [x], factor._box, "scaled"
            return


def _target(spelling: Spelling, args: tuple, kwargs: dict[str, Any]) -> Any:
    """The box that an in-place call writes to; None if the call is not in place."""
    inplace, position = spelling.inplace or spelling.op.name == "__setitem__", spelling.inplace_position
    if position is not None:
        inplace = bool(args[position]) if len(args) > position else bool(kwargs.get("inplace", False))
    if not inplace:
        return None
    return args[0] if args else kwargs.get("input", kwargs.get("self"))


@lru_cache
def signature_of(rule: Any) -> inspect.Signature:
    """The signature of a rule."""
    return inspect.signature(rule)


def _names(call: Step) -> list[set[str]] | None:
    """The names of the arguments that hold each of the varying boxes."""
    try:
        named = signature_of(call.op.enclose).bind(*call.args, **call.kwargs).arguments
    except (TypeError, ValueError):
        return None
    return [{name for name, value in named.items() if any(leaf is x for leaf in leaves(value))} for x in call.varying]


def _affine_sets(call: Step) -> tuple[set[str], ...]:
    """The sets of arguments in which the call is jointly affine."""
    if not callable(call.op.affine_in):
        return call.op.affine_in
    args, kwargs = call._with(lambda x: x._box)
    try:
        return call.op.affine_sets(*args, **kwargs)
    except TypeError:  # the arguments do not fit the function, and torch raises its own error
        return ()


COMPARISONS = {"gt": (1, False), "ge": (1, True), "lt": (-1, False), "le": (-1, True)}
"""The sign of x - y for which each comparison of x and y is true, and whether it is true for 0."""


def _kind(call: Step) -> str:
    """How the op of a call is relaxed."""
    op = call.op
    if op.name in COMPARISONS and len(call.args) == 2 and not call.kwargs:
        return "comparison"
    sets = _affine_sets(call)
    if op.family == "identity" or (op.topic == "dropout" and sets):  # dropout that draws no mask
        return "identity"
    if EVERYTHING[0] in sets:
        return "affine"
    names = _names(call) if sets else None
    if names is not None:
        if any(set().union(*names) <= jointly for jointly in sets):
            return "affine"
        if op.products and len(names) == 2 and all(any(own <= jointly for jointly in sets) for own in names):
            return "product"
    if len(call.varying) == 1 and curve_of(call) is not None:
        return "curve"
    if op.name == "amax" and call.target is None:
        return "selection"
    composed = op.parts is not None and call.target is None and all(x.numel() for x in call.varying)
    return "parts" if composed else "leaf"


def _rigorous_kind(call: Step) -> str:
    """As `_kind`, for passes that hold in real arithmetic: by parts or by a box if the rounding is not bounded."""
    op, kind = call.op, call.kind
    otherwise = "parts" if op.parts is not None and call.target is None else "leaf"
    if op.name in CASTS and op.family == "structural":
        return "cast"
    if kind == "affine":
        return kind if stays_affine(op.name, op.family, call.kwargs) else otherwise
    if kind == "product":
        return kind if has_planes(op.name, call.kwargs) else otherwise
    if kind == "curve":
        curve = curve_of(call)
        return kind if curve is not None and curve.period is None else otherwise
    return kind


def curve_of(call: Step) -> Curve | None:
    """How the call bends as a function of its one varying box."""
    args, kwargs = call._with(lambda x: x._box)
    try:
        return call.op.bends(*args, **kwargs)
    except TypeError:  # as in `_affine_sets`
        return None
