"""Rules for functions of one's own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from . import rounding
from ._registry import Box, Op, add_op
from .errors import RegistrationError, UnsupportedOpError
from .ops._families import check_domain, map_boxes, spanned
from .rounding import Budget

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
    budget: Budget | None = None,
) -> Any:
    r"""Give a function interval bounds: by its direction, by its critical points, or by a rule.

    Use it as a decorator, or call it with the function. A function registered by direction or critical points is
    elementwise in its first argument; its bounds are the hull of its range, because it is monotone between neighbours
    among the ends of the box and the critical points inside. A rule bounds anything: it takes the function's own arguments
    with `Box(lower, upper)` pairs of plain tensors in place of interval tensors, and returns a `Box` (or a tuple of them).

    Where the computed ends are NaN, as `x e^x` at -inf, the box is unbounded up to the image.

    Args:
        function: a Python function on tensors, or a function of torch that has no rule yet.
        formula: LaTeX, for the table of ops.
        monotone: `"increasing"` or `"decreasing"`.
        critical: all points where the function changes direction; `()` is for a function monotone one way or the other.
        rule: bounds the function on boxes.
        domain: closed interval outside which the function gives NaN; boxes that leave it raise `DomainError`.
        image: closed interval that contains every value.
        curvature: of the function on its domain.
        budget: rounding error of a computed value, or of the ends that a rule returns (`EXACT` for a rule that rounds
            outward itself); without one, outward bounds are best effort and `strict` refuses them.

    Returns:
        The function to call: for a Python function, a version that recognises interval tensors.

    Raises:
        RegistrationError: if not exactly one of `monotone`, `critical` and `rule` is given, if a rule has a budget with an
            `input` term (of which input?), or if the function already has a rule.

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
            register, formula=formula, monotone=monotone, critical=critical, rule=rule, domain=domain,
            image=image, curvature=curvature, budget=budget,
        )  # fmt: skip
    if sum(given is not None for given in (monotone, critical, rule)) != 1:
        raise RegistrationError(
            f"{function.__name__} needs exactly one of monotone=, critical= and rule=",
            "monotone='increasing' for a function of one direction, critical=(...) for its turning points, rule= for the rest",
        )
    name = function.__name__
    evaluate, own = function, inspect.isfunction(function) and not (function.__module__ or "").startswith("torch.")
    if rule is not None and budget is not None and budget.input:
        raise RegistrationError(
            f"the rule of {name} has a budget with an input term, but a rule may have any inputs",
            "state the error relative to the ends that the rule returns, or round them in the rule and pass EXACT",
        )
    points = critical or ()
    parameter = next(iter(inspect.signature(function).parameters), "") if own else "input"

    def enclose(*args: Any, **kwargs: Any) -> Any:
        if not args and parameter in kwargs:
            args = (kwargs.pop(parameter),)
        first = args[0] if args and isinstance(args[0], Box) else None
        if domain != (-inf, inf) and first is not None:
            check_domain(name, first, domain)
        if rule is not None:
            return map_boxes(lambda box: _complete(box, name, budget, image, None), rule(*args, **kwargs))
        if first is None or _holds_box((args[1:], kwargs)):
            raise UnsupportedOpError(
                f"{name} is bounded as a function of its first argument alone",
                "register it with rule= to bound it for intervals in other arguments",
            )
        box = spanned(first, lambda x: evaluate(x, *args[1:], **kwargs), points, None, curvature)
        return _complete(box, name, budget, image, first)

    family = f"{monotone}" if monotone else "rule" if critical is None else "piecewise monotone"
    entry = _overridable(function) if own else function
    op = Op(
        name, formula, family, enclose, evaluate, domain, image, curvature, points, budget, proven=budget is not None,
        sharp=rule is None, note=inspect.getdoc(function) or "",
    )  # fmt: skip
    add_op(op, [entry])
    return entry


def _complete(
    box: Box, name: str, budget: Budget | None, image: tuple[float, float], x: Box | None
) -> Box:
    """Free a computed box of NaN, round it outward by its budget, and cut it to the image."""
    lower, upper = box
    if not lower.dtype.is_floating_point:
        return box
    lower, upper = torch.where(lower.isnan(), image[0], lower), torch.where(upper.isnan(), image[1], upper)
    if rounding.outward():
        known = rounding.claim(name, budget)
        size = torch.maximum(x.lower.detach().abs(), x.upper.detach().abs()) if x is not None else None
        lower, upper = rounding.widen(lower, upper, known, image, size, size)
    return Box(lower, upper)


def _holds_box(tree: Any) -> bool:
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    return isinstance(tree, Box) or (isinstance(tree, (tuple, list)) and any(map(_holds_box, tree)))


def _overridable(function: Callable[..., Any]) -> Callable[..., Any]:
    """A version of a Python function that hands calls on tensor subclasses to them."""

    @functools.wraps(function)
    def overridable(*args: Any, **kwargs: Any) -> Any:
        tensors = tuple(_tensors((args, tuple(kwargs.values()))))
        if has_torch_function(tensors):
            return handle_torch_function(overridable, tensors, *args, **kwargs)
        return function(*args, **kwargs)

    return overridable


def _tensors(value: Any) -> Any:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
