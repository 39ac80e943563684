"""Theorems, each of which bounds a whole family of functions. A rule is one line that names its theorem.

A rule takes the arguments of its function, with `Box` in place of tensors, and returns boxes. A rule is complete: its
result is rounded outward if the mode asks for this, cut to the image of the function, and free of NaN. So rules can
call each other.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import _rounding as rounding
from .._records.registry import EVERYTHING, Box, Op, add_op, spelled, spellings
from .._rounding import CORRECTLY_ROUNDED, EXACT, Budget
from .boxes import both, check_domain, lower_of, map_boxes, ordered, unbounded, upper_of
from .rectangles import unchanged

inf = math.inf

Rule = Callable[..., Any]


# --- registration -----------------------------------------------------------------------------------------------------


def _enter(names: Any, also: Any, functional: bool, rule: Rule, function: Any, **record: Any) -> Op:
    """Make the record of an op and enter all its spellings."""
    strings = [names] if isinstance(names, str) else [n for n in names if isinstance(n, str)]
    functions = spellings(*strings, functional=functional) if strings else []
    functions += [] if isinstance(names, str) else [n for n in names if not isinstance(n, str)]
    functions += [f for f in also if f not in functions]
    name = strings[0] if strings else functions[0].__name__
    return add_op(Op(name=name, enclose=rule, function=function or functions[0], **record), functions)


def rule(
    *names: Any,
    formula: str = "",
    family: str = "rule",
    also: Any = (),
    functional: bool = False,
    **record: Any,
) -> Callable[[Rule], Rule]:
    """Register a hand-written rule under all spellings of `names` (bare names or callables).

    The rule's parameters have torch's keyword names. The rule bounds its own rounding errors if `proven=True`. Its
    docstring becomes the note in the table of ops.
    """

    def decorate(enclose: Rule) -> Rule:
        note = (enclose.__doc__ or "").strip()
        record.setdefault("function", None)
        _enter(names, also, functional, enclose, formula=formula, family=family, note=note, **record)
        return enclose

    return decorate


# --- monotone functions -----------------------------------------------------------------------------------------------


def monotone(
    *names: Any,
    formula: str,
    signs: tuple[int, ...] = (),
    function: Any = None,
    domain: tuple[float, float] = (-inf, inf),
    image: tuple[float, float] = (-inf, inf),
    curvature: str | None = None,
    budget: Budget | None = None,
    also: Any = (),
    functional: bool = True,
    may_be_nan: bool = False,
    note: str = "",
    complex: Any = None,
    torch_checks: bool = False,
    **facts: Any,
) -> Rule:
    """Register a function that is monotone in each argument: `f(l, ...) <= f(x, ...) <= f(u, ...)`.

    The ends of an argument whose sign is -1 are exchanged.

    Args:
        *names: bare names or callables; see `spellings`.
        formula: LaTeX of what is computed.
        signs: +1 or -1 for each positional argument; all increasing if left out.
        function: computes the values; the first spelling found if left out.
        domain: closed interval the first argument must lie in.
        image: closed range of the function.
        curvature: `"convex"` or `"concave"` on the domain, or left of the first inflection point; or None.
        budget: rounding error of computed values; `EXACT` if values have none.
        also: further spellings.
        functional: whether `torch.nn.functional` has the function under the same name.
        may_be_nan: whether infinite ends can give NaN, as in inf - inf.
        note: a remark for the table of ops.
        complex: how the rule extends to complex boxes; see `Op.complex`.
        torch_checks: see `Op.torch_checks`.
        **facts: what relaxations read: `inflections`, `kinks`, `affine_in`, `parts`; see `Op`.
    """
    name = names[0] if isinstance(names[0], str) else names[0].__name__
    evaluate = function or spellings(*[n for n in names if isinstance(n, str)], functional=functional)[0]
    checked = domain != (-inf, inf)

    def enclose(*args: Any, **kwargs: Any) -> Box:
        if not args:  # signs belong to positions
            args = (kwargs.pop(next(key for key in ("input", "self", "x") if key in kwargs)),)
        if checked:
            args = (check_domain(name, args[0], domain), *args[1:])
        if len(args) == 1 and not kwargs:
            x = args[0]
            ends = (x.upper,), (x.lower,)
            if not signs or signs[0] > 0:
                ends = (x.lower,), (x.upper,)
        else:
            ends = _ends(args, signs)
            if kwargs:
                low_kwargs, high_kwargs = map_boxes(lower_of, kwargs), map_boxes(upper_of, kwargs)
                lower, upper = evaluate(*ends[0], **low_kwargs), evaluate(*ends[1], **high_kwargs)
                return finish(lower, upper, ends)
        return finish(evaluate(*ends[0]), evaluate(*ends[1]), ends)

    def finish(lower: Tensor, upper: Tensor, ends: Any) -> Box:
        if may_be_nan:
            unbounded(lower, upper)
        if budget is EXACT:
            return Box(lower, upper)
        if not rounding.outward():
            return Box(lower, upper) if budget is CORRECTLY_ROUNDED else ordered(lower, upper)
        known = rounding.stated_or_guessed(name, budget)
        return Box(*rounding.widen(lower, upper, known, image, _size(ends[0], known), _size(ends[1], known)))

    enclose.__name__ = name
    _enter(
        names, also, functional, enclose, None, formula=formula, family="monotone" if len(signs) > 1 else
        ("decreasing" if signs == (-1,) else "increasing"), domain=domain, image=image, curvature=curvature,
        budget=budget, proven=budget is not None, note=note, complex=complex, torch_checks=torch_checks, **facts,
    )  # fmt: skip
    return enclose


def _size(arguments: tuple[Any, ...], budget: Budget) -> Tensor | None:
    """The first argument, for budgets with an `input` term: the others do not read it."""
    return arguments[0] if budget.input else None


def _ends(args: tuple[Any, ...], signs: tuple[int, ...]) -> tuple[tuple, tuple]:
    """The arguments that give the smallest value, and those that give the largest."""
    low, high = [], []
    for position, arg in enumerate(args):
        if isinstance(arg, Box):
            falls = position < len(signs) and signs[position] < 0
            low.append(arg.upper if falls else arg.lower)
            high.append(arg.lower if falls else arg.upper)
        else:
            low.append(map_boxes(lower_of, arg))
            high.append(map_boxes(upper_of, arg))
    return tuple(low), tuple(high)


increasing = monotone
decreasing = functools.partial(monotone, signs=(-1,))


# --- piecewise monotone functions -------------------------------------------------------------------------------------


def piecewise_monotone(
    *names: Any,
    formula: str,
    critical: tuple[float, ...],
    function: Any = None,
    domain: tuple[float, float] = (-inf, inf),
    image: tuple[float, float] = (-inf, inf),
    curvature: str | None = None,
    budget: Budget | None = None,
    also: Any = (),
    functional: bool = True,
    limits: tuple[float, float] | None = None,
    note: str = "",
    complex: Any = None,
    torch_checks: bool = False,
    **facts: Any,
) -> Rule:
    """Register a unary function that changes direction at finitely many points.

    Between two neighbours among l, u and the critical points inside [l, u] the function is monotone. So the values at
    these points span the range over [l, u].

    Args:
        *names: as in `monotone`.
        formula: LaTeX of what is computed.
        critical: where the function turns, in increasing order and in float64 precision. Rounding a turning point
            changes the value there in second order only, far below the budget.
        function: computes the values; the first spelling found if left out.
        domain: closed interval the argument must lie in.
        image: closed range of the function.
        curvature: `"convex"` or `"concave"` on the domain, or left of the first inflection point; or None.
        budget: rounding error of computed values; `EXACT` if values have none.
        also: further spellings.
        functional: whether `torch.nn.functional` has the function under the same name.
        limits: values at -inf and +inf, for functions that give NaN there.
        note: a remark for the table of ops.
        complex: how the rule extends to complex boxes; see `Op.complex`.
        torch_checks: see `Op.torch_checks`.
        **facts: what relaxations read: `inflections`, `kinks`, `affine_in`, `parts`; see `Op`.
    """
    name = names[0] if isinstance(names[0], str) else names[0].__name__
    evaluate = function or spellings(*[n for n in names if isinstance(n, str)], functional=functional)[0]
    bends = None if facts.get("inflections") else curvature

    def enclose(input: Box, **kwargs: Any) -> Box:
        if domain != (-inf, inf):
            input = check_domain(name, input, domain)
        return spanned(input, lambda x: evaluate(x, **kwargs), critical, limits, bends, name, budget, image)

    enclose.__name__ = name
    _enter(
        names, also, functional, enclose, None, formula=formula, family="piecewise monotone", domain=domain,
        image=image, curvature=curvature, critical=critical, budget=budget, proven=budget is not None, note=note,
        complex=complex, torch_checks=torch_checks, **facts,
    )  # fmt: skip
    return enclose


def spanned(
    x: Box,
    evaluate: Callable[[Tensor], Tensor],
    critical: tuple[float, ...],
    limits: tuple[float, float] | None = None,
    curvature: str | None = None,
    name: str = "this function",
    budget: Budget | None = EXACT,
    image: tuple[float, float] = (-inf, inf),
) -> Box:
    """The hull of f at l, at u and at every critical point pulled into [l, u]; see `piecewise_monotone`.

    A pulled point lies in the box, so f takes its value there. A convex function with one turning point is smallest at
    the pulled point and largest at an end. A concave function is the reverse.
    """
    l, u = x
    f = evaluate if limits is None else lambda e: _with_limits(evaluate(e), e, limits)
    pulled = [f(torch.minimum(torch.clamp(l, min=point), u)) for point in critical]
    at_l, at_u = f(l), f(u)
    bends = curvature if len(pulled) == 1 else None
    lower = pulled[0] if bends == "convex" else functools.reduce(torch.minimum, pulled, torch.minimum(at_l, at_u))
    upper = pulled[0] if bends == "concave" else functools.reduce(torch.maximum, pulled, torch.maximum(at_l, at_u))
    if bends and budget not in (EXACT, CORRECTLY_ROUNDED):
        lower, upper = ordered(lower, upper)
    if budget is not EXACT and rounding.outward():
        known = rounding.stated_or_guessed(name, budget)
        size = torch.maximum(l.detach().abs(), u.detach().abs()) if known.input else None
        lower, upper = rounding.widen(lower, upper, known, image, size, size)
    return Box(lower, upper)


def _with_limits(value: Tensor, x: Tensor, limits: tuple[float, float]) -> Tensor:
    """The values of a function, with its limits at -inf and +inf."""
    return torch.where(x == -inf, limits[0], torch.where(x == inf, limits[1], value))


# --- periodic functions -----------------------------------------------------------------------------------------------


def periodic(
    *names: Any, formula: str, peak: float, image: tuple[float, float], budget: Budget | None = None,
    function: Any = None, note: str = "", **facts: Any,
) -> Rule:  # fmt: skip
    """Register a sine-like function of period 2π: largest at `peak` + 2πk, smallest half a period later.

    [l, u] contains a peak iff some integer k lies in [(l - peak)/2π, (u - peak)/2π]. The ends of that interval are
    computed in float64 and moved apart by 8 eps (1 + |k|). This margin exceeds their rounding error, so no peak is
    missed. Where the margin reaches half a period, the bound is the whole image.
    """
    evaluate = function or spellings(names[0])[0]

    def enclose(input: Box) -> Box:
        l, u = input
        at_l, at_u = evaluate(l), evaluate(u)
        lower, upper = torch.minimum(at_l, at_u), torch.maximum(at_l, at_u)
        if rounding.outward():
            lower, upper = rounding.widen(lower, upper, rounding.stated_or_guessed(names[0], budget), image)
        upper = torch.where(_contains_period(l, u, peak), image[1], upper)
        lower = torch.where(_contains_period(l, u, peak + math.pi), image[0], lower)
        return Box(lower, upper)

    enclose.__name__ = names[0]
    _enter(
        names, (), True, enclose, None, formula=formula, family="periodic", image=image,
        critical=(peak - math.pi, peak, peak + math.pi), budget=budget, proven=budget is not None, note=note,
        period=2 * math.pi, **facts,
    )  # fmt: skip
    return enclose


@torch.no_grad()
def _contains_period(l: Tensor, u: Tensor, point: float, period: float = 2 * math.pi) -> Tensor:
    """Whether [l, u] may contain point + k·period for some integer k: never False where it does, True if infinite."""
    first, last = (l.double() - point) / period, (u.double() - point) / period
    margin = 8 * torch.finfo(torch.float64).eps
    first, last = first - margin * (1 + first.abs()), last + margin * (1 + last.abs())
    return ~(torch.ceil(first) > torch.floor(last))  # a NaN from infinite ends counts as inside


# --- structural operations --------------------------------------------------------------------------------------------


def structural(
    *names: Any, functional: bool = True, note: str = "", by: Rule = both, complex: Any = unchanged,
    family: str = "structural", affine_in: Any = EVERYTHING,
) -> None:  # fmt: skip
    """Register functions that only move, copy or select entries. They are applied to both bounds, exactly.

    The rule applies the same callable that the user called, so every overload works. In-place variants are not
    registered, except of `tril` and `triu`: they would change the shape of a bound, but torch would not see a change of
    the shape of the wrapper.

    Args:
        *names: bare names or callables.
        functional: whether `torch.nn.functional` has the function under the same name.
        note: a remark for the table of ops.
        by: applies a callable to boxes: `both`, unless the function changes values too.
        complex: how the rule extends to complex boxes. A function that moves entries moves their two parts alike.
        family: `"structural"`; `"identity"` for functions that return what they get; `"metadata"` for functions that
            read no entries, with a `by` that asks one bound.
        affine_in: see `Op.affine_in`.
    """
    for name in names:
        functions = spellings(name, functional=functional) if isinstance(name, str) else [name]
        if isinstance(name, str) and name not in ("tril", "triu"):
            functions = [f for f in functions if not getattr(f, "__name__", "").endswith("_")]
        title = name if isinstance(name, str) else spelled(name).rpartition(".")[2]
        op = Op(
            title,
            "",
            family,
            functools.partial(by, functions[0]),
            functions[0],
            budget=EXACT,
            proven=True,
            note=note,
            complex=complex,
            each_bound=by is both,
            affine_in=affine_in,
        )
        add_op(op, functions, enclose_by=lambda function: functools.partial(by, function))
