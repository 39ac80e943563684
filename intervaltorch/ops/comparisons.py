"""Comparisons and logic: a box of Booleans says *certainly* (its lower bound) and *possibly* (its upper bound)."""

from __future__ import annotations

from typing import Any

import torch

from .._registry import Box
from ..rounding import EXACT
from ._families import as_box, rule

_RECORD: dict[str, Any] = {"family": "comparison", "budget": EXACT, "proven": True}


@rule("lt", "less", "__lt__", formula="x < y", **_RECORD)
def lt(input: Any, other: Any) -> Box:
    """Certain where the intervals are apart in this order."""
    x, y = as_box(input), as_box(other)
    return Box(x.upper < y.lower, x.lower < y.upper)


@rule("le", "less_equal", "__le__", formula=r"x \le y", **_RECORD)
def le(input: Any, other: Any) -> Box:
    """Certain where no point of the first exceeds one of the second."""
    x, y = as_box(input), as_box(other)
    return Box(x.upper <= y.lower, x.lower <= y.upper)


@rule("gt", "greater", "__gt__", formula="x > y", **_RECORD)
def gt(input: Any, other: Any) -> Box:
    """The mirror image of `lt`."""
    x, y = as_box(input), as_box(other)
    return Box(x.lower > y.upper, x.upper > y.lower)


@rule("ge", "greater_equal", "__ge__", formula=r"x \ge y", **_RECORD)
def ge(input: Any, other: Any) -> Box:
    """The mirror image of `le`."""
    x, y = as_box(input), as_box(other)
    return Box(x.lower >= y.upper, x.upper >= y.lower)


@rule("eq", "__eq__", formula="x = y", **_RECORD)
def eq(input: Any, other: Any) -> Box:
    """Certain where both are the same single point; possible where the intervals meet. Of one object with itself: true."""
    x, y = as_box(input), as_box(other)
    possibly = (x.lower <= y.upper) & (x.upper >= y.lower)
    if input is other:
        return Box(possibly, possibly.clone())
    return Box((x.lower == y.upper) & (x.upper == y.lower), possibly)


@rule("ne", "not_equal", "__ne__", formula=r"x \ne y", **_RECORD)
def ne(input: Any, other: Any) -> Box:
    """The negation of `eq`."""
    return logical_not(eq(input, other))


# --- logic: increasing in both arguments, so certainty goes with certainty --------------------------------------------


def _truth(x: Any) -> Box:
    """A box of Booleans: of numbers, whether they differ from 0."""
    if not isinstance(x, Box):
        return as_box(x)
    if x.lower.dtype is torch.bool:
        return x
    return Box((x.lower > 0) | (x.upper < 0), (x.lower != 0) | (x.upper != 0))


@rule("logical_not", "bitwise_not", "__invert__", formula=r"\neg x", **_RECORD)
def logical_not(input: Any) -> Box:
    """Exchanges certainty and impossibility."""
    x = _truth(input)
    return Box(torch.logical_not(x.upper), torch.logical_not(x.lower))


@rule("logical_and", "bitwise_and", "__and__", "__iand__", "__rand__", formula=r"x \wedge y", **_RECORD)
def logical_and(input: Any, other: Any) -> Box:
    """Certain where both are."""
    x, y = _truth(input), _truth(other)
    return Box(torch.logical_and(x.lower, torch.as_tensor(y.lower)), torch.logical_and(x.upper, torch.as_tensor(y.upper)))


@rule("logical_or", "bitwise_or", "__or__", "__ior__", "__ror__", formula=r"x \vee y", **_RECORD)
def logical_or(input: Any, other: Any) -> Box:
    """Certain where one is."""
    x, y = _truth(input), _truth(other)
    return Box(torch.logical_or(x.lower, torch.as_tensor(y.lower)), torch.logical_or(x.upper, torch.as_tensor(y.upper)))


@rule("logical_xor", "bitwise_xor", "__xor__", "__ixor__", "__rxor__", formula=r"x \oplus y", **_RECORD)
def logical_xor(input: Any, other: Any) -> Box:
    """Certain where both are decided and differ."""
    x, y = _truth(input), _truth(other)
    a, b = logical_and(x, logical_not(y)), logical_and(logical_not(x), y)
    return logical_or(a, b)


@rule("any", formula=r"\bigvee x", **_RECORD)
def any_(input: Any, *args: Any, **kwargs: Any) -> Box:
    """Certain where some entry is."""
    x = _truth(input)
    return Box(torch.any(x.lower, *args, **kwargs), torch.any(x.upper, *args, **kwargs))


@rule("all", formula=r"\bigwedge x", **_RECORD)
def all_(input: Any, *args: Any, **kwargs: Any) -> Box:
    """Certain where all entries are."""
    x = _truth(input)
    return Box(torch.all(x.lower, *args, **kwargs), torch.all(x.upper, *args, **kwargs))
