"""The four operations and what is made of them: sums, products, quotients, powers, clamps."""

from __future__ import annotations

from math import inf
from typing import Any

import torch
from torch import Tensor

from .. import rounding
from .._registry import Box
from ..errors import UnsupportedOpError
from ..rounding import CORRECTLY_ROUNDED, EXACT, Budget
from ._families import as_box, both, increasing, monotone, piecewise_monotone, rule, spanned, unbounded

Operand = Any  # Box, tensor or number


def rounded(lower: Tensor, upper: Tensor, budget: Budget = CORRECTLY_ROUNDED, image: tuple = (-inf, inf)) -> Box:
    """Round computed bounds outward if the mode asks."""
    if rounding.outward():
        lower, upper = rounding.widen(lower, upper, budget, image)
    return Box(lower, upper)


def operand(x: Operand, like: Operand) -> Box:
    """Return an operand as a box; a number that the dtype of `like` cannot hold becomes the interval around it.

    In outward mode a Python number means its exact binary64 value.
    """
    if isinstance(x, Box):
        return x
    if isinstance(x, Tensor) or not rounding.outward():
        return Box(x, x)
    other = as_box(like).lower
    if isinstance(x, bool) or not isinstance(x, (int, float)) or not other.dtype.is_floating_point:
        return Box(x, x)
    low = high = torch.tensor(x, dtype=other.dtype, device=other.device)
    if low.item() > x:
        low = torch.nextafter(low, low.new_tensor(-inf))
    elif high.item() < x:
        high = torch.nextafter(high, high.new_tensor(inf))
    return Box(low, high)


def operands(x: Operand, y: Operand) -> tuple[Box, Box]:
    """Return both operands as boxes; the same object gives the same box."""
    return operand(x, y), operand(y, x)


# --- sums -------------------------------------------------------------------------------------------------------------


@rule("add", "__add__", "__iadd__", "__radd__", formula=r"x + \alpha y", family="arithmetic", proven=True)
def add(input: Operand, other: Operand, *, alpha: Any = 1) -> Box:
    """Increasing in both arguments."""
    x, y = operands(input, other)
    if alpha != 1:
        y = mul(y, alpha)
    return rounded(*unbounded(x.lower + y.lower, x.upper + y.upper))


@rule("sub", "subtract", "__sub__", "__isub__", formula=r"x - \alpha y", family="arithmetic", proven=True)
def sub(input: Operand, other: Operand, *, alpha: Any = 1) -> Box:
    """Increasing in the first argument, decreasing in the second; `x - x` is not recognised as zero."""
    x, y = operands(input, other)
    if alpha != 1:
        y = mul(y, alpha)
    return rounded(*unbounded(x.lower - y.upper, x.upper - y.lower))


@rule("rsub", torch.Tensor.__rsub__, formula=r"y - \alpha x", family="arithmetic", proven=True)
def rsub(input: Operand, other: Operand, *, alpha: Any = 1) -> Box:
    """Subtraction with its arguments exchanged."""
    return sub(other, input, alpha=alpha)


monotone("neg", "negative", torch.Tensor.__neg__, formula=r"-x", signs=(-1,), curvature="convex", budget=EXACT)
increasing("positive", formula=r"x", budget=EXACT)

# --- products ---------------------------------------------------------------------------------------------------------


@rule("mul", "multiply", "__mul__", "__imul__", "__rmul__", formula=r"x y", family="arithmetic", proven=True)
def mul(input: Operand, other: Operand) -> Box:
    """The hull of the four corner products (Moore et al. 2009, eq. 2.19); of one object with itself, its square."""
    if input is other:
        return square(input)
    x, y = operands(input, other)
    if y.lower is y.upper:
        return rounded(*_scaled(x, y.lower))
    if x.lower is x.upper:
        return rounded(*_scaled(y, x.lower))
    return rounded(*unbounded(*_corners(torch.mul, x, y)))


def _scaled(x: Box, factor: Any) -> Box:
    """The products of an interval with a point: the ends exchange where the factor is negative."""
    if not isinstance(factor, Tensor):
        at_l, at_u = (x.lower, x.upper) if factor >= 0 else (x.upper, x.lower)
        return unbounded(at_l * factor, at_u * factor)
    at_l, at_u = x.lower * factor, x.upper * factor
    return unbounded(torch.minimum(at_l, at_u), torch.maximum(at_l, at_u))


def _corners(function: Any, x: Box, y: Box, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """The hull of a function that is monotone in each argument alone: its extremes lie at corners."""
    ll, lu = function(x.lower, y.lower, **kwargs), function(x.lower, y.upper, **kwargs)
    ul, uu = function(x.upper, y.lower, **kwargs), function(x.upper, y.upper, **kwargs)
    lower = torch.minimum(torch.minimum(ll, lu), torch.minimum(ul, uu))
    upper = torch.maximum(torch.maximum(ll, lu), torch.maximum(ul, uu))
    return lower, upper


square = piecewise_monotone(
    "square", formula=r"x^2", critical=(0.0,), image=(0.0, inf), curvature="convex", budget=CORRECTLY_ROUNDED
)
piecewise_monotone(
    "abs", "absolute", torch.Tensor.__abs__, formula=r"|x|", critical=(0.0,), image=(0.0, inf), curvature="convex",
    budget=EXACT,
)  # fmt: skip


@rule("addcmul", formula=r"x + v a b", family="arithmetic", proven=True)
def addcmul(input: Operand, tensor1: Operand, tensor2: Operand, *, value: Any = 1) -> Box:
    """A sum with a product; the hull unless an argument occurs twice."""
    return add(input, mul(mul(tensor1, tensor2), value) if value != 1 else mul_any(tensor1, tensor2))


@rule("addcdiv", formula=r"x + v a / b", family="arithmetic", proven=True)
def addcdiv(input: Operand, tensor1: Operand, tensor2: Operand, *, value: Any = 1) -> Box:
    """A sum with a quotient."""
    quotient = div(tensor1, tensor2)
    return add(input, mul(quotient, value) if value != 1 else quotient)


def mul_any(x: Operand, y: Operand) -> Any:
    """A product of which neither factor need be a box."""
    return mul(as_box(x), y)


# --- quotients --------------------------------------------------------------------------------------------------------


@rule(
    "div", "divide", "true_divide", "__div__", "__truediv__", "__idiv__", "__itruediv__", formula=r"x / y",
    family="arithmetic", proven=True,
)  # fmt: skip
def div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Box:
    """The hull of the four corner quotients; unbounded where the divisor contains 0."""
    x, y = operands(input, other)
    low, high = torch.as_tensor(y.lower), torch.as_tensor(y.upper)
    if y.lower is y.upper:
        at_l, at_u = torch.div(x.lower, y.lower), torch.div(x.upper, y.lower)
        lower, upper = torch.minimum(at_l, at_u), torch.maximum(at_l, at_u)
    else:
        lower, upper = _corners(torch.div, as_box(torch.as_tensor(x.lower)) if not isinstance(x.lower, Tensor) else x, y)
    zero = (low <= 0) & (high >= 0)
    lower, upper = torch.where(zero, -inf, lower), torch.where(zero, inf, upper)
    quotient = rounded(*unbounded(lower, upper))
    if rounding_mode is None:
        return quotient
    # Rounding a quotient to an integer is increasing in the quotient.
    return Box(*(torch.floor(e) if rounding_mode == "floor" else torch.trunc(e) for e in quotient))


@rule("floor_divide", "__floordiv__", "__ifloordiv__", formula=r"\lfloor x / y \rfloor", family="arithmetic", proven=True)
def floor_divide(input: Operand, other: Operand) -> Box:
    """The floor of the quotient."""
    return div(input, other, rounding_mode="floor")


@rule(torch.Tensor.__rdiv__, formula=r"y / x", family="arithmetic", proven=True)
def rdiv(input: Operand, other: Operand) -> Box:
    """Division with its arguments exchanged."""
    return div(other, input)


@rule(torch.Tensor.__rfloordiv__, formula=r"\lfloor y / x \rfloor", family="arithmetic", proven=True)
def rfloordiv(input: Operand, other: Operand) -> Box:
    """Floor division with its arguments exchanged."""
    return div(other, input, rounding_mode="floor")


@rule("reciprocal", formula=r"1 / x", family="arithmetic", proven=True)
def reciprocal(input: Box) -> Box:
    """Decreasing on either side of 0; unbounded where the box contains 0."""
    return div(1.0, input)


# --- order ------------------------------------------------------------------------------------------------------------

increasing("maximum", formula=r"\max(x, y)", budget=EXACT)
increasing("minimum", formula=r"\min(x, y)", budget=EXACT)
increasing("fmax", formula=r"\max(x, y)", budget=EXACT)
increasing("fmin", formula=r"\min(x, y)", budget=EXACT)
increasing("clamp", "clip", formula=r"\min(\max(x, a), b)", budget=EXACT)
increasing("clamp_min", formula=r"\max(x, a)", budget=EXACT)
increasing("clamp_max", formula=r"\min(x, b)", budget=EXACT)
