"""Comparisons and logic. In a box of Booleans the lower bound means *certainly*, the upper bound *possibly*."""

from __future__ import annotations

from typing import Any

import torch

from ..._records.escapes import escape
from ..._records.registry import Box
from ..._rounding import EXACT
from ..._theorems.boxes import as_box, decided
from ..._theorems.families import inf, rule
from ..._theorems.operands import operands
from ...errors import UnsupportedOpError
from .arithmetic import absolute, add, mul, sub

_RECORD: dict[str, Any] = {"family": "comparison", "budget": EXACT, "proven": True}


@rule("lt", "less", "__lt__", formula="x < y", **_RECORD)
def lt(input: Any, other: Any) -> Box:
    """Certain where the whole first interval lies below the second; false if both are one object."""
    if input is other:
        return _everywhere(input, False)
    x, y = operands(input, other)
    return Box(x.upper < y.lower, x.lower < y.upper)


@rule("le", "less_equal", "__le__", formula=r"x \le y", **_RECORD)
def le(input: Any, other: Any) -> Box:
    """Certain where no point of the first interval exceeds a point of the second; true if both are one object."""
    if input is other:
        return _everywhere(input, True)
    x, y = operands(input, other)
    return Box(x.upper <= y.lower, x.lower <= y.upper)


@rule("gt", "greater", "__gt__", formula="x > y", **_RECORD)
def gt(input: Any, other: Any) -> Box:
    """The mirror image of `lt`."""
    return lt(other, input)


@rule("ge", "greater_equal", "__ge__", formula=r"x \ge y", **_RECORD)
def ge(input: Any, other: Any) -> Box:
    """The mirror image of `le`."""
    return le(other, input)


@rule("eq", "__eq__", formula="x = y", **_RECORD)
def eq(input: Any, other: Any) -> Box:
    """Certain where both intervals are the same point, possible where they meet; true if both are one object."""
    if input is other:
        return _everywhere(input, True)
    x, y = operands(input, other)
    # If x.upper <= y.lower and y.upper <= x.lower, then all four ends are equal.
    return Box((x.upper <= y.lower) & (y.upper <= x.lower), (x.lower <= y.upper) & (y.lower <= x.upper))


@rule("ne", "not_equal", "__ne__", formula=r"x \ne y", **_RECORD)
def ne(input: Any, other: Any) -> Box:
    """The negation of `eq`."""
    return logical_not(eq(input, other))


def _everywhere(x: Box, answer: bool) -> Box:
    """One answer for every entry."""
    mask = torch.full_like(x.lower, answer, dtype=torch.bool)
    return Box(mask, mask.clone())


@rule("equal", formula="x = y", **_RECORD)
def equal(input: Any, other: Any) -> bool:
    """Whether shapes and all entries agree. The answer must be the same at every point of the box."""
    if as_box(input).lower.shape != as_box(other).lower.shape:
        return False
    return bool(decided(all_(eq(input, other)), "torch.equal"))


@rule("allclose", formula=r"|x - y| \le a + r |y|", **_RECORD)
def allclose(input: Any, other: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> bool:
    """The answer must be the same at every point of the box. It is true if both are one object that is finite."""
    if rtol < 0 or atol < 0:
        raise RuntimeError(f"allclose: rtol {rtol} and atol {atol} must be at least 0")
    if input is other:
        return bool(decided(all_(isfinite(input)), "torch.allclose"))
    distance, size = absolute(as_box(sub(input, other))), absolute(as_box(other))
    return bool(decided(all_(le(distance, add(mul(size, rtol), atol))), "torch.allclose"))


# --- questions about single entries -----------------------------------------------------------------------------------
# An infinite end may come from an overflow, after which the program on points may have NaN.


@rule("isnan", formula=r"x \ne x", **_RECORD)
def isnan(input: Box) -> Box:
    """Impossible where both ends are finite."""
    return Box(torch.zeros_like(input.lower, dtype=torch.bool), ~(input.lower.isfinite() & input.upper.isfinite()))


@rule("isfinite", formula=r"|x| < \infty", **_RECORD)
def isfinite(input: Box) -> Box:
    """Certain where both ends are finite."""
    return Box(input.lower.isfinite() & input.upper.isfinite(), (input.lower < inf) & (input.upper > -inf))


@rule("isinf", formula=r"|x| = \infty", **_RECORD)
def isinf(input: Box) -> Box:
    """Possible where an end is infinite."""
    return Box((input.lower == inf) | (input.upper == -inf), input.lower.isinf() | input.upper.isinf())


@rule("signbit", formula="x < 0", **_RECORD)
def signbit(input: Box) -> Box:
    """Certain below zero. Undecided where the box contains 0, whose sign may be that of -0.0."""
    return Box(input.upper < 0, input.lower <= 0)


@rule("is_nonzero", formula=r"x \ne 0", **_RECORD)
def is_nonzero(input: Box) -> bool:
    """Whether a single entry differs from 0. The answer must be the same at every point of the box."""
    return bool(decided(_truth(input), "the truth of a number"))


@rule(torch.ops.aten._local_scalar_dense, formula="x", **_RECORD)
def scalar(input: Box) -> Any:
    """The value of a single Boolean or integer entry. The value must be the same at every point of the box.

    Raises:
        EscapeError: for real numbers.
    """
    if input.lower.dtype.is_floating_point:
        raise escape("reading one number")
    return decided(input, "the value").item()


# --- logic ------------------------------------------------------------------------------------------------------------
# And, or, any and all are increasing, so each maps lower bounds to the lower bound and upper bounds to the upper one.


def _truth(x: Any) -> Box:
    """Convert to a box of Booleans. A number is true if it differs from 0."""
    if not isinstance(x, Box):
        return as_box(torch.as_tensor(x))
    if x.lower.dtype is torch.bool:
        return x
    return Box((x.lower > 0) | (x.upper < 0), (x.lower != 0) | (x.upper != 0))


@rule("logical_not", formula=r"\neg x", **_RECORD)
def logical_not(input: Any) -> Box:
    """Exchanges certainty and impossibility."""
    x = _truth(input)
    return Box(torch.logical_not(x.upper), torch.logical_not(x.lower))


@rule("logical_and", formula=r"x \wedge y", **_RECORD)
def logical_and(input: Any, other: Any) -> Box:
    """Certain where both arguments are certain."""
    x, y = _truth(input), _truth(other)
    return Box(torch.logical_and(x.lower, y.lower), torch.logical_and(x.upper, y.upper))


@rule("logical_or", formula=r"x \vee y", **_RECORD)
def logical_or(input: Any, other: Any) -> Box:
    """Certain where one argument is certain."""
    x, y = _truth(input), _truth(other)
    return Box(torch.logical_or(x.lower, y.lower), torch.logical_or(x.upper, y.upper))


@rule("logical_xor", formula=r"x \oplus y", **_RECORD)
def logical_xor(input: Any, other: Any) -> Box:
    """Certain where both arguments are decided and differ; false if both are one object."""
    if input is other:
        return _everywhere(input, False)
    x, y = _truth(input), _truth(other)
    return logical_or(logical_and(x, logical_not(y)), logical_and(logical_not(x), y))


def _booleans(symbol: str, *operands: Any) -> None:
    """Check that the operands of a bitwise operator are Booleans.

    Raises:
        UnsupportedOpError: for numbers. It names the set operations, since users of interval libraries expect those.
    """
    for x in operands:
        dtype = torch.bool if isinstance(x, bool) else getattr(as_box(x).lower, "dtype", type(x).__name__)
        if dtype is not torch.bool:
            raise UnsupportedOpError(
                f"{symbol} is logic on Booleans, not on {dtype}",
                "compare first, as in (x > 0) & (x < 1); sets have X.hull(Y) and X.intersection(Y)",
            )


@rule("bitwise_not", "__invert__", formula=r"\neg x", **_RECORD)
def bitwise_not(input: Any) -> Box:
    """As `logical_not`, for Booleans only."""
    _booleans("~", input)
    return logical_not(input)


@rule("bitwise_and", "__and__", "__iand__", "__rand__", formula=r"x \wedge y", **_RECORD)
def bitwise_and(input: Any, other: Any) -> Box:
    """As `logical_and`, for Booleans only."""
    _booleans("&", input, other)
    return logical_and(input, other)


@rule("bitwise_or", "__or__", "__ior__", "__ror__", formula=r"x \vee y", **_RECORD)
def bitwise_or(input: Any, other: Any) -> Box:
    """As `logical_or`, for Booleans only."""
    _booleans("|", input, other)
    return logical_or(input, other)


@rule("bitwise_xor", "__xor__", "__ixor__", "__rxor__", formula=r"x \oplus y", **_RECORD)
def bitwise_xor(input: Any, other: Any) -> Box:
    """As `logical_xor`, for Booleans only."""
    _booleans("^", input, other)
    return logical_xor(input, other)


@rule("any", formula=r"\bigvee x", **_RECORD)
def any_(input: Any, *args: Any, **kwargs: Any) -> Box:
    """Certain where some entry is certain."""
    x = _truth(input)
    return Box(torch.any(x.lower, *args, **kwargs), torch.any(x.upper, *args, **kwargs))


@rule("all", formula=r"\bigwedge x", **_RECORD)
def all_(input: Any, *args: Any, **kwargs: Any) -> Box:
    """Certain where all entries are certain."""
    x = _truth(input)
    return Box(torch.all(x.lower, *args, **kwargs), torch.all(x.upper, *args, **kwargs))
