"""`register`: rules for users' own functions."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import get_overridable_functions, handle_torch_function, has_torch_function

from .. import _compat
from .. import _rounding as rounding
from .._compat import anywhere, readable, vmapping
from .._records.registry import OPS, Box, Op, add_op, spellings
from .._rounding import Budget
from .._theorems.boxes import check_domain, map_boxes, ordered, share
from .._theorems.families import spanned
from .._trees import leaves
from ..errors import RegistrationError, UnsupportedOpError

__all__ = ["register"]

inf = float("inf")


def register(
    function: Callable[..., Any] | None = None,
    *,
    formula: str = "",
    monotone: Literal["increasing", "decreasing"] | None = None,
    critical: tuple[float, ...] | None = None,
    rule: Callable[..., Any] | None = None,
    domain: tuple[float, float] = (-inf, inf),
    image: tuple[float, float] = (-inf, inf),
    curvature: Literal["convex", "concave"] | None = None,
    inflections: tuple[float, ...] = (),
    parts: Callable[..., Any] | None = None,
    budget: Budget | None = None,
) -> Any:
    r"""Give a function interval bounds: by its direction, by its critical points, or by a rule.

    Use `register` as a decorator, or call it with the function. A function registered by direction or critical points
    must be elementwise in its first argument. Its bounds are the hull of its range, because the function is monotone
    between neighbours among the ends of the box and the critical points inside. A function of any other kind needs a
    rule. A rule takes the function's own arguments, with `Box(lower, upper)` pairs of plain tensors in place of
    interval tensors, and returns a `Box` or a tuple of boxes.

    Where a computed end is NaN, as for `x e^x` at -inf, the bound is the end of the image. The result of a rule is
    checked at each call: it must be a box whose bounds have one shape, dtype and device, and are exchanged by no more
    than rounding.

    Args:
        function: a Python function on tensors, or a function of torch that has no rule yet.
        formula: LaTeX, for the table of ops.
        monotone: `"increasing"` or `"decreasing"`.
        critical: all points where the function changes direction; `()` for a function that is monotone in either
            direction.
        rule: bounds the function on boxes.
        domain: closed interval outside which the function gives NaN; boxes that leave it raise `DomainError`.
        image: closed interval that contains every value.
        curvature: of the function on its domain, or left of its first inflection point.
        inflections: where the curvature changes its sign, in increasing order; a kink between two arcs of one curvature
            is named twice. With `curvature`, linear relaxations (`bound(..., method="crown")`) draw lines.
        parts: the same function by functions that have linear relaxations: takes the function's own arguments, as
            interval tensors, and may return `NotImplemented`. For functions registered with `rule`.
        budget: rounding error of a computed value, or of the ends that a rule returns (`EXACT` for a rule that rounds
            outward itself). Without a budget, outward bounds are best effort, and `strict` refuses them.

    Returns:
        The function to call: for a Python function, a version that recognises interval tensors.

    Raises:
        RegistrationError: if not exactly one of `monotone`, `critical` and `rule` is given, if an argument contradicts
            its meaning, if a rule has a budget with an `input` term (a rule may have several inputs), or if the
            function already has a rule. At a call: if the function is not elementwise, if a rule returns no box, or if
            the bounds of the box are exchanged or differ in shape, dtype or device.

    Example:
        >>> import torch, intervaltorch as it
        >>> @it.register(formula=r"x e^x", critical=(-1.0,), image=(-0.36787944117144233, float("inf")))
        ... def x_exp_x(x):
        ...     return x * torch.exp(x)
        >>> x_exp_x(it.IntervalTensor(torch.tensor([-2.0]), torch.tensor([0.0])))
        IntervalTensor([[-0.3679, 0]])
    """
    if function is None:
        return functools.partial(
            register, formula=formula, monotone=monotone, critical=critical, rule=rule, domain=domain, image=image,
            curvature=curvature, inflections=inflections, parts=parts, budget=budget,
        )  # fmt: skip
    name = _name(function)
    _check(name, monotone, critical, rule, domain, image, curvature, budget)
    _check_lines(name, rule, curvature, inflections, parts)
    called, entries = _entries(function)
    points = tuple(critical or ())
    parameter = next(iter(inspect.signature(function).parameters), "") if inspect.isfunction(function) else "input"

    def enclose(*args: Any, **kwargs: Any) -> Any:
        if not args and parameter in kwargs:
            args = (kwargs.pop(parameter),)
        first = args[0] if args and isinstance(args[0], Box) else None
        if domain != (-inf, inf) and first is not None:
            first = check_domain(name, first, domain)
            args = (first, *args[1:])
        if rule is not None:
            boxes = _boxed(name, rule(*args, **kwargs))
            return map_boxes(lambda box: _in_order(name, _complete(box, name, budget, image, None)), boxes)
        if first is None or any(isinstance(leaf, Box) for leaf in leaves((args[1:], kwargs))):
            raise UnsupportedOpError(
                f"{name} is bounded as a function of its first argument alone",
                "register it with rule= to bound it for intervals in other arguments",
            )

        def evaluate(x: Tensor) -> Tensor:
            y = function(x, *args[1:], **kwargs)
            if not isinstance(y, Tensor) or y.shape != x.shape:
                raise RegistrationError(
                    f"{name} is not elementwise: it takes {tuple(x.shape)} to {tuple(getattr(y, 'shape', ()))}",
                    "register it with rule=, which bounds any function",
                )
            return y

        box = spanned(first, evaluate, points, None, None if inflections else curvature)
        return _in_order(name, _complete(box, name, budget, image, first))

    family = f"{monotone}" if monotone else "rule" if critical is None else "piecewise monotone"
    op = Op(
        name, formula, family, enclose, function, domain, image, curvature, points, budget, proven=budget is not None,
        sharp=rule is None, note=inspect.getdoc(function) or "", registered=True,
        inflections=tuple(inflections), parts=parts, topic="registered",
    )  # fmt: skip
    add_op(op, entries)
    return called


# --- what is registered -----------------------------------------------------------------------------------------------


def _name(function: Any) -> str:
    packet = _compat.overload_packet(function)
    name = getattr(function, "__name__", None) or getattr(packet, "__name__", None)
    if not callable(function) or name is None:
        raise RegistrationError(
            f"register takes a function with a name, not {type(function).__name__}",
            "write it as a function with def; for a module, register the function that its forward calls",
        )
    return name


def _check(
    name: str,
    monotone: Any,
    critical: Any,
    rule: Any,
    domain: Any,
    image: Any,
    curvature: Any,
    budget: Budget | None,
) -> None:
    """Raise RegistrationError for a record that contradicts itself."""
    if sum(given is not None for given in (monotone, critical, rule)) != 1:
        raise RegistrationError(
            f"{name} needs exactly one of monotone=, critical= and rule=",
            "give monotone='increasing' or 'decreasing' for a monotone function, critical=(...) for one with turning"
            " points, rule=... for any other function",
        )
    if monotone not in (None, "increasing", "decreasing"):
        raise RegistrationError(f"monotone={monotone!r} for {name}", "it is 'increasing' or 'decreasing'")
    if curvature not in (None, "convex", "concave"):
        raise RegistrationError(f"curvature={curvature!r} for {name}", "it is 'convex' or 'concave'")
    if critical is not None:
        points = tuple(critical) if isinstance(critical, (tuple, list)) else None
        if points is None or list(points) != sorted(set(points)):
            raise RegistrationError(
                f"critical={critical!r} for {name}",
                "it is a tuple of distinct points in increasing order, such as (0.0,)",
            )
    if rule is not None and not callable(rule):
        raise RegistrationError(f"rule={rule!r} for {name} cannot be called", "it takes boxes and returns a Box")
    for word, ends in (("domain", domain), ("image", image)):
        if not (isinstance(ends, tuple) and len(ends) == 2 and ends[0] <= ends[1]):
            raise RegistrationError(f"{word}={ends!r} for {name}", "it is a pair (low, high) with low <= high")
    if rule is not None and budget is not None and budget.input:
        raise RegistrationError(
            f"the rule of {name} has a budget with an input term, but a rule may have any inputs",
            "state the error relative to the ends that the rule returns, or round them in the rule and pass EXACT",
        )


def _check_lines(name: str, rule: Any, curvature: str | None, inflections: Any, parts: Any) -> None:
    """Raise RegistrationError for what linear relaxations cannot read."""
    points = tuple(inflections) if isinstance(inflections, (tuple, list)) else None
    if points is None or list(points) != sorted(points) or any(points.count(p) > 2 for p in points):
        raise RegistrationError(
            f"inflections={inflections!r} for {name}",
            "it is a tuple of points in increasing order, such as (0.0,); a kink is named twice",
        )
    if points and (curvature is None or rule is not None):
        raise RegistrationError(
            f"inflections={inflections!r} for {name} do not say how it bends",
            "pass curvature='convex' or 'concave' for the arc left of the first, and monotone= or critical=",
        )
    if parts is not None and not callable(parts):
        raise RegistrationError(f"parts={parts!r} for {name} cannot be called", "it takes the function's arguments")


@functools.lru_cache(maxsize=1)
def _overridden_by_torch() -> frozenset[Any]:
    """The functions that torch itself hands to tensor subclasses."""
    return frozenset(f for functions in get_overridable_functions().values() for f in functions)


def _entries(function: Any) -> tuple[Any, list[Any]]:
    """The function to call, and the callables by which calls reach the dispatcher."""
    packet = _compat.overload_packet(function)
    if _compat.is_aten(packet):  # a custom op of torch.library
        return function, [packet]
    if function in OPS:
        return function, [function]  # `add_op` raises the error
    if function not in _overridden_by_torch():
        called = _overridable(function)
        return called, [called]
    found = spellings(function.__name__.removeprefix("special_"), functional=False)
    return function, [
        function,
        *(f for f in found if f not in OPS and f != function),
    ] if function in found else [function]


# --- the results of rules ---------------------------------------------------------------------------------------------


def _boxed(name: str, result: Any) -> Any:
    """Raise RegistrationError unless a rule returned a box, or a tuple or dict with a box, whose bounds fit."""
    if not any(isinstance(leaf, Box) for leaf in leaves(result)):
        kind = "plain tensors" if next(_tensors(result), None) is not None else f"{type(result).__name__}, no box"
        raise RegistrationError(
            f"the rule of {name} returned {kind}",
            "return Box(lower, upper) from it, or a tuple of boxes",
        )
    map_boxes(lambda box: _check_bounds(name, box), result)
    return result


def _check_bounds(name: str, box: Box) -> Box:
    """Raise RegistrationError unless both bounds are tensors of one shape, dtype and device."""
    kinds = [
        (tuple(x.shape), x.dtype, str(x.device)) if type(x) in (Tensor, torch.nn.Parameter) else type(x).__name__
        for x in box
    ]
    if kinds[0] != kinds[1] or isinstance(kinds[0], str):
        raise RegistrationError(
            f"the rule of {name} returned a box whose bounds do not fit: lower is {kinds[0]}, upper is {kinds[1]}",
            "bounds are plain tensors of one shape, dtype and device",
        )
    if not (box.lower.is_floating_point() or box.lower.is_complex() or box.lower.dtype is torch.bool):
        raise RegistrationError(
            f"the rule of {name} returned bounds of {box.lower.dtype}",
            "bounds are of a floating dtype, or Booleans: certainly and possibly true",
        )
    return box


def _in_order(name: str, box: Box) -> Box:
    """The box, after bounds that only rounding exchanged have been put in order.

    Where a box is almost a point, rounding may exchange bounds that were computed independently. Then the box between
    them is the answer. The exchanged bounds must agree in half of their digits, as `check_op` requires of points.

    Raises:
        RegistrationError: if bounds are exchanged by more, or in outward mode; the message names the first such entry.
    """
    lower, upper = box
    if not readable(lower) or lower.is_complex():
        return box
    crossed = lower & ~upper if lower.dtype is torch.bool else lower > upper
    if not anywhere(crossed):
        return box
    if lower.dtype.is_floating_point and not rounding.outward():
        size = torch.maximum(lower.abs(), upper.abs())
        wrong = crossed & (lower - upper > size * torch.finfo(lower.dtype).eps ** 0.5)
        if not anywhere(wrong):
            return ordered(lower, upper)
        crossed = wrong
    at = "" if vmapping() else f": lower is {lower[crossed][0].item()}, upper is {upper[crossed][0].item()}"
    raise RegistrationError(
        f"the rule of {name} gives a lower bound above its upper bound",
        f"{share(crossed, 'are exchanged')}{at}",
        "where the function falls, the lower bound is its value at the upper end: exchange the ends in the rule",
        "for a function registered by direction or critical points, the stated image or budget is wrong",
    )


def _complete(box: Box, name: str, budget: Budget | None, image: tuple[float, float], x: Box | None) -> Box:
    """Replace NaN in a computed box, round the box outward by its budget, and cut it to the image."""
    lower, upper = box
    if not lower.dtype.is_floating_point:
        return box
    lower, upper = torch.where(lower.isnan(), image[0], lower), torch.where(upper.isnan(), image[1], upper)
    if rounding.outward():
        known = rounding.stated_or_guessed(name, budget)
        size = torch.maximum(x.lower.detach().abs(), x.upper.detach().abs()) if x is not None else None
        lower, upper = rounding.widen(lower, upper, known, image, size, size)
    return Box(lower, upper)


def _overridable(function: Callable[..., Any]) -> Callable[..., Any]:
    """A version of a Python function that hands calls with tensor subclasses to `__torch_function__`."""

    @functools.wraps(function)
    def overridable(*args: Any, **kwargs: Any) -> Any:
        tensors = tuple(_tensors((args, tuple(kwargs.values()))))
        if has_torch_function(tensors):
            return handle_torch_function(overridable, tensors, *args, **kwargs)
        return function(*args, **kwargs)

    with contextlib.suppress(ValueError, TypeError):  # some builtins have none
        overridable.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return overridable


def _tensors(value: Any) -> Any:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
