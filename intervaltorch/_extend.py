"""Rules for functions of one's own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from ._registry import Box, Op, add_op
from .errors import RegistrationError
from .ops._families import check_domain, spanned
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

    Args:
        function: a Python function on tensors, or a function of torch that has no rule yet.
        formula: LaTeX, for the table of ops.
        monotone: `"increasing"` or `"decreasing"`.
        critical: all points where the function changes direction; `()` is for a function monotone one way or the other.
        rule: bounds the function on boxes.
        domain: closed interval outside which the function gives NaN; boxes that leave it raise `DomainError`.
        image: closed interval that contains every value.
        curvature: of the function on its domain.
        budget: rounding error of a computed value; without one, outward bounds are best effort and `strict` refuses them.

    Returns:
        The function to call: for a Python function, a version that recognises interval tensors.

    Raises:
        RegistrationError: if not exactly one of `monotone`, `critical` and `rule` is given, or the function already
            has a rule.

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
    evaluate, own = function, inspect.isfunction(function) and not function.__module__.startswith("torch.")
    if rule is None:
        points = critical or ()

        def rule(input: Box, *args: Any, **kwargs: Any) -> Box:
            check_domain(name, input, domain)
            return spanned(
                input, lambda x: evaluate(x, *args, **kwargs), points, None, curvature, name, budget, image
            )

    family = f"{monotone}" if monotone else "rule" if critical is None else "piecewise monotone"
    entry = _overridable(function) if own else function
    op = Op(
        name, formula, family, rule, evaluate, domain, image, curvature, critical or (), budget, proven=budget is not None,
        note=inspect.getdoc(function) or "",
    )  # fmt: skip
    add_op(op, [entry])
    return entry


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
