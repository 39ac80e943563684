"""Powers, and functions of two arguments that consist of powers, exponentials and logarithms."""

from __future__ import annotations

from math import inf, isfinite
from typing import Any

import torch
from torch import Tensor

from ..._compat import anywhere, readable
from ..._records.curves import Curve
from ..._records.registry import Box
from ..._rounding import CORRECTLY_ROUNDED, Budget
from ..._theorems.boxes import as_box, check_domain, hull, ordered, sides_of_zero, unbounded
from ..._theorems.families import rule
from ..._theorems.operands import Operand, as_tensors, corners, operand, operands, widened
from ..._theorems.sums import in_double
from . import programs
from .arithmetic import absolute, add, div, mul, reciprocal, square, sub
from .elementary import exp, exp2, log, log1p, sqrt

POWER = Budget(relative=4, cuda=18)
"""The largest error measured is 2.1 eps. torch computes x**-2 as 1 / (x x), where x x may lose digits to underflow."""


# --- powers -------------------------------------------------------------------------------------------------


def _bent_power(input: Any, exponent: Any) -> Curve | None:
    """How a power with a number for exponent or for base bends."""
    if type(input) in (int, float):
        return Curve("convex") if input > 0 and isinstance(exponent, Box) else None
    if type(exponent) not in (int, float) or not isinstance(input, Box) or not isfinite(exponent):
        return None
    if exponent % 1 != 0:
        return Curve("concave") if 0 < exponent < 1 else Curve("convex")
    if exponent == 1 or (exponent >= 0 and exponent % 2 == 0):
        return Curve("convex")
    return Curve("concave", (0.0,)) if exponent % 2 else Curve("convex", (0.0, 0.0))


@rule("pow", "__pow__", "__ipow__", formula="x^p", family="power", budget=POWER, proven=True, curve=_bent_power)
def power(input: Operand, exponent: Operand) -> Box:
    """The hull. For a fixed exponent the power is monotone in x or |x|; for an interval of exponents it is extreme at
    the corners.

    x may be negative for integer exponents. A negative power is unbounded where the box contains 0.
    """
    x, p = operands(input, exponent)
    x = as_tensors(x, p)
    if p.is_point:
        if isinstance(p.lower, Tensor) and p.lower.dtype is torch.bool:
            p = as_box(p.lower.to(x.lower.dtype))
        special = None if isinstance(p.lower, Tensor) else {2: square, 0.5: sqrt, -1: reciprocal}.get(p.lower)
        return special(x) if special else _fixed_power(x, p.lower)
    # A base may be negative or zero where the exponent is fixed. Elsewhere `_power_at_corners` checks its domain.
    fixed = (p.lower == p.upper) & (x.lower <= 0)
    if readable(fixed) and not anywhere(fixed):
        return _power_at_corners(x, p)
    dtype = torch.result_type(x.lower, p.lower)
    varying = _power_at_corners(Box(*(end.masked_fill(fixed, 1.0) for end in x)), p)
    given = _fixed_power(Box(*(end.masked_fill(~fixed, 1.0) for end in x)), p.lower)
    return Box(*(torch.where(fixed, a, b).to(dtype) for a, b in zip(given, varying, strict=True)))


def _power_at_corners(x: Box, p: Box) -> Box:
    """The power of non-negative numbers: monotone in each argument. A base of -0.0 counts as 0.0."""
    x = check_domain("x**p for intervals of exponents", x, (0.0, inf))
    return widened(unbounded(*corners(torch.pow, Box(x.lower + 0.0, x.upper + 0.0), p)), POWER, (0.0, inf))


def _fixed_power(x: Box, p: Any) -> Box:
    """The power for a number or tensor p: monotone in |x| if p is even, else in x; decreasing where p is negative.

    An odd negative power has a pole at 0 with different signs on its two sides, see `sides_of_zero`.
    """
    integer = (p % 1 == 0) | (abs(p) == inf)
    odd, even, negative = p % 2 == 1, integer & (p % 2 != 1), p < 0
    if integer is not True:
        fractional = Box(*(_pick(integer, torch.zeros_like(end), end) for end in x))
        cut = check_domain("x**p for fractional p", fractional, (0.0, inf))
        x = x if cut is fractional else Box(*(_pick(integer, *pair) for pair in zip(x, cut, strict=True)))
    size = x if even is False else absolute(x)
    base = Box(_pick(even, size.lower, x.lower), _pick(even, size.upper, x.upper))
    low, high = _pick(negative, base.upper, base.lower), _pick(negative, base.lower, base.upper)
    if negative is False:
        lower, upper = torch.pow(low, p), torch.pow(high, p)
    else:
        below, above = sides_of_zero(x)
        meets = below | above
        falling, rising = negative & odd & below, negative & _pick(odd, above, meets)
        infinite = negative & (low == 0)  # the point 0; where the power is odd, `falling` overrides this below
        # At a pole the power of 1 is computed instead, to keep infinite derivatives out of the backward pass.
        lower = torch.pow(low.masked_fill(falling | infinite, 1.0), p)
        lower = lower.masked_fill(infinite, inf).masked_fill(falling, -inf)
        upper = torch.pow(high.masked_fill(rising, 1.0), p).masked_fill(rising, inf)
    return widened(unbounded(lower, upper), POWER, signs=lambda: (low >= 0, high <= 0))


def _pick(condition: Any, x: Tensor, y: Tensor) -> Tensor:
    """Choose entry by entry, or at once if the condition is a plain truth value."""
    return torch.where(condition, x, y) if isinstance(condition, Tensor) else (x if condition else y)


@rule(
    torch.Tensor.__rpow__, formula="p^x", family="power", budget=POWER, proven=True,
    curve=lambda input, other: _bent_power(other, input),
)  # fmt: skip
def rpow(input: Operand, other: Operand) -> Box:
    """A power with its arguments exchanged."""
    return power(other, input)


@rule("float_power", formula="x^p", family="power", budget=POWER, proven=True, curve=_bent_power)
def float_power(input: Operand, exponent: Operand) -> Box:
    """A power in float64."""
    return power(*(in_double(x.double() if isinstance(x, Tensor) else x) for x in (input, exponent)))


@rule("ldexp", formula="x 2^n", family="power", proven=True, affine_in=({"input"},))
def ldexp(input: Operand, other: Operand) -> Box:
    """A product with a power of two.

    An integer power is applied in two halves, each of which is exact and does not overflow before the product does.
    """
    if not isinstance(other, Tensor) or other.is_floating_point():
        return mul(input, power(2.0, as_box(other)))
    two = as_tensors(as_box(2.0), as_box(input)).lower
    half = torch.div(other, 2, rounding_mode="floor")
    return mul(mul(input, torch.pow(two, half)), torch.pow(two, other - half))


# --- distances and means ------------------------------------------------------------------------------------


HYPOT = Budget(2, cuda=6)


@rule(
    "hypot", formula=r"\sqrt{x^2 + y^2}", family="power", image=(0.0, inf), budget=HYPOT, proven=True,
    parts=programs.hypot,
)  # fmt: skip
def hypot(input: Operand, other: Operand) -> Box:
    """Increasing in |x| and |y|."""
    x, y = (absolute(box) for box in operands(input, other))
    return widened(Box(_hypot(x.lower, y.lower), _hypot(x.upper, y.upper)), HYPOT, (0.0, inf))


def _hypot(x: Tensor, y: Tensor) -> Tensor:
    """The length of a vector, with gradient 0 at the origin, which is a kink."""
    origin = (x == 0) & (y == 0)
    return torch.hypot(torch.where(origin, 1.0, x), y).masked_fill(origin, 0.0)


@rule(
    "lerp", formula="(1 - w) x + w y", family="power", proven=True, torch_checks=True,
    affine_in=({"input", "end"}, {"weight"}), parts=programs.lerp,
)  # fmt: skip
def lerp(input: Operand, end: Operand, weight: Operand) -> Box:
    """Affine in each argument, so the hull is that of the values at both ends of the weight."""
    like = as_box(input)
    w, one = operand(weight, like), as_tensors(as_box(1.0), like)
    at_l, at_u = (add(mul(sub(one, v), input), mul(as_box(end), v)) for v in w)
    return hull(at_l, at_u)


# --- exponentials and logarithms of two arguments -----------------------------------------------------------


@rule("logaddexp", formula=r"\log(e^x + e^y)", family="power", proven=True, parts=programs.logaddexp)
def logaddexp(input: Operand, other: Operand) -> Box:
    """Increasing in both arguments. Computed as max(x, y) + log(1 + e^-|x-y|), which is accurate near 0 too."""
    return _by_ends(lambda x, y: add(_largest(x, y), log1p(exp(_minus_distance(x, y)))), input, other)


@rule("logaddexp2", formula=r"\log_2(2^x + 2^y)", family="power", proven=True)
def logaddexp2(input: Operand, other: Operand) -> Box:
    """Increasing in both arguments; computed as `logaddexp`."""
    ln2 = log(as_tensors(as_box(2.0), as_box(input)))

    def at(x: Box, y: Box) -> Box:
        return add(_largest(x, y), div(log1p(exp2(_minus_distance(x, y))), ln2))

    return _by_ends(at, input, other)


def _by_ends(function: Any, input: Operand, other: Operand) -> Box:
    """Bound an increasing function of two arguments, given as a rule: its values at the lower and at the upper ends."""
    x, y = operands(input, other)
    x, y = as_tensors(x, y), as_tensors(y, x)
    at_l, at_u = (function(as_box(a), as_box(b)) for a, b in zip(x, y, strict=True))
    return ordered(at_l.lower, at_u.upper)


def _largest(x: Box, y: Box) -> Box:
    """The larger of two points."""
    return as_box(torch.maximum(x.lower, y.lower))


def _minus_distance(x: Box, y: Box) -> Box:
    """Bounds of -|x - y|."""
    distance = absolute(sub(x, y))
    return Box(-distance.upper, -distance.lower)


@rule("xlogy", formula=r"x \log y", family="power", proven=True)
def xlogy(input: Operand, other: Operand) -> Box:
    """The product of x and log y, which is 0 for x = 0."""
    return _product_with_zero(input, log(as_tensors(operand(other, input), as_box(input))))


@rule("xlog1py", formula=r"x \log(1 + y)", family="power", proven=True)
def xlog1py(input: Operand, other: Operand) -> Box:
    """The product of x and log(1 + y), which is 0 for x = 0."""
    return _product_with_zero(input, log1p(as_tensors(operand(other, input), as_box(input))))


def _product_with_zero(input: Operand, factor: Box) -> Box:
    """The hull of the corner products, with 0 for the product of 0 and infinity."""
    x = as_tensors(operand(input, factor), factor)

    def product(a: Tensor, b: Tensor) -> Tensor:
        endless = b.isinf()  # no gradient flows through an infinite product, nor through 0 times infinity
        products = torch.where(a == 0, 0.0, a.sign() * b).detach()
        return torch.where(endless, products, a * b.masked_fill(endless, 0.0))

    return widened(unbounded(*corners(product, x, factor)), CORRECTLY_ROUNDED)
