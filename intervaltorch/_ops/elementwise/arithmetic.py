"""Arithmetic: sums, products, quotients, and clamps."""

from __future__ import annotations

import math
from math import inf
from typing import Any

import torch
from torch import Tensor

from ... import _rounding as rounding
from ..._compat import anywhere, readable
from ..._records.curves import Curve
from ..._records.registry import EVERYTHING, Box
from ..._rounding import CORRECTLY_ROUNDED, EXACT, untracked
from ..._theorems.boxes import as_box, sides_of_zero, unbounded
from ..._theorems.families import decreasing, increasing, piecewise_monotone, rule
from ..._theorems.operands import SUM, Operand, as_tensors, corners, operand, operands, widened, with_open_ends
from ..._theorems.rectangles import additive, bilinear, componentwise, modulus, quotient, unchanged
from . import programs

# --- sums ---------------------------------------------------------------------------------------------------


@rule(
    "add", "__add__", "__iadd__", "__radd__", formula=r"x + \alpha y", family="arithmetic", proven=True,
    complex=additive,
    affine_in=({"input", "other"},),
)  # fmt: skip
def add(input: Operand, other: Operand, *, alpha: Any = 1) -> Box:
    """Increasing in both arguments."""
    x, y = operands(input, other)
    if alpha != 1:
        y = mul(as_tensors(y, x), alpha)
    return widened(unbounded(x.lower + y.lower, x.upper + y.upper), SUM, of=(x, y))


@rule(
    "sub", "subtract", "__sub__", "__isub__", formula=r"x - \alpha y", family="arithmetic", proven=True,
    complex=additive,
    affine_in=({"input", "other"},),
)  # fmt: skip
def sub(input: Operand, other: Operand, *, alpha: Any = 1) -> Box:
    """Increasing in the first argument, decreasing in the second; `x - x` is not recognised as zero."""
    x, y = operands(input, other)
    if alpha != 1:
        y = mul(as_tensors(y, x), alpha)
    return widened(unbounded(x.lower - y.upper, x.upper - y.lower), SUM, of=(x, y))


@rule(
    "rsub", torch.Tensor.__rsub__, formula=r"y - \alpha x", family="arithmetic", proven=True,
    complex=lambda _: lambda input, other, **alpha: additive(sub)(other, input, **alpha),
    affine_in=({"input", "other"},),
)  # fmt: skip
def rsub(input: Operand, other: Operand, *, alpha: Any = 1) -> Box:
    """Subtraction with its arguments exchanged."""
    return sub(other, input, alpha=alpha)


decreasing(
    "neg", "negative", torch.Tensor.__neg__, formula=r"-x", budget=EXACT, complex=componentwise, affine_in=EVERYTHING
)
increasing("positive", formula=r"x", budget=EXACT, complex=unchanged, affine_in=EVERYTHING)

# --- products -----------------------------------------------------------------------------------------------


def _of_itself(input: Any, other: Any) -> Curve | None:
    """The square of a box."""
    return Curve("convex") if input is other else None


@rule(
    "mul", "multiply", "__mul__", "__imul__", "__rmul__", formula=r"x y", family="arithmetic", proven=True,
    complex=bilinear,
    affine_in=({"input"}, {"other"}), curve=_of_itself,
    products=True,
)  # fmt: skip
def mul(input: Operand, other: Operand) -> Box:
    """The hull of the four corner products (Moore et al. 2009, eq. 2.19); the square if both arguments are one object.

    Multiplication by 0 and by powers of two has no rounding error.
    """
    if input is other:
        return square(as_box(input))
    x, y = operands(input, other)
    if x.is_point and not y.is_point:
        x, y = y, x
    if isinstance(y.lower, Tensor):
        return widened(_product(x, y), signs=lambda: _signs(x, y), of=(x, y))
    if y.lower == 0 or not math.isfinite(y.lower):
        return mul(x, as_tensors(y, x).lower)
    lower, upper = (x.lower, x.upper) if y.lower > 0 else (x.upper, x.lower)
    product = Box(lower * y.lower, upper * y.lower)
    if not rounding.outward():
        return product
    wide = widened(product, signs=lambda: _signs(x, y), of=(x, y))
    return _scaled_exactly(product, wide) if math.frexp(y.lower)[0] in (0.5, -0.5) else wide


def _product(x: Box, y: Box) -> Box:
    """Computed bounds of x y."""
    if not y.is_point:
        return with_open_ends(torch.mul, x, y, *corners(torch.mul, x, y))
    at_l, at_u = x.lower * y.lower, x.upper * y.lower
    return with_open_ends(torch.mul, x, y, torch.minimum(at_l, at_u), torch.maximum(at_l, at_u))


def _scaled_exactly(product: Box, wide: Box) -> Box:
    """A product with a power of two. It is rounded only where it is subnormal, zero or infinite."""
    info = torch.finfo(product.lower.dtype)
    exact = [(end.abs() >= info.tiny) & (end.abs() <= info.max) for end in product]
    return Box(*(torch.where(e, end, rough) for e, end, rough in zip(exact, product, wide, strict=True)))


def _signs(x: Box, y: Box) -> tuple[Tensor, Tensor]:
    """Two masks: where x y and x / y are non-negative, and where they are non-positive."""
    x_positive, x_negative = x.lower >= 0, x.upper <= 0
    y_positive, y_negative = y.lower >= 0, y.upper <= 0
    nonnegative = x_positive & y_positive | x_negative & y_negative
    return nonnegative, x_positive & y_negative | x_negative & y_positive


square = piecewise_monotone(
    "square", formula=r"x^2", critical=(0.0,), image=(0.0, inf), curvature="convex", budget=CORRECTLY_ROUNDED
)
absolute = piecewise_monotone(
    "abs", "absolute", torch.Tensor.__abs__, formula=r"|x|", critical=(0.0,), image=(0.0, inf),
    curvature="convex", budget=EXACT, complex=modulus,
    kinks=(0.0,),
)  # fmt: skip


@rule(
    "addcmul", formula=r"x + v a b", family="arithmetic", proven=True,
    affine_in=({"input", "tensor1"}, {"input", "tensor2"}), products=True,
)  # fmt: skip
def addcmul(input: Operand, tensor1: Operand, tensor2: Operand, *, value: Any = 1) -> Box:
    """A sum with a product; the hull unless an argument occurs twice."""
    product = mul(tensor1, tensor2)
    return add(input, mul(product, value) if value != 1 else product)


@rule(
    "addcdiv", formula=r"x + v a / b", family="arithmetic", proven=True, affine_in=({"input", "tensor1"},),
    parts=programs.addcdiv,
)  # fmt: skip
def addcdiv(input: Operand, tensor1: Operand, tensor2: Operand, *, value: Any = 1) -> Box:
    """A sum with a quotient; the hull unless an argument occurs twice."""
    quotient = div(tensor1, tensor2)
    return add(input, mul(quotient, value) if value != 1 else quotient)


# --- quotients ----------------------------------------------------------------------------------------------


def _exact_quotient(rounding_mode: str | None, **_: Any) -> tuple[set[str], ...]:
    """Rounded to an integer, a quotient is not affine in the dividend."""
    return () if rounding_mode else ({"input"},)


@rule(
    "div", "divide", "true_divide", "__div__", "__truediv__", "__idiv__", "__itruediv__", formula=r"x / y",
    family="arithmetic", proven=True, complex=quotient,
    affine_in=_exact_quotient, parts=programs.div,
)  # fmt: skip
def div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Box:
    """The hull of the four corner quotients; unbounded where the divisor contains 0.

    If the divisor comes to 0 from one side only (see `sides_of_zero`) and the dividend does not contain 0, the hull is
    a half-line. Otherwise it is the whole line.
    """
    if rounding_mode not in (None, "floor", "trunc"):
        raise RuntimeError(f"div: rounding_mode must be None, 'trunc' or 'floor', but is {rounding_mode!r}")
    x, y = operands(input, other)
    if rounding_mode == "floor":
        return _floored(_quotient(x, y, rounding_mode="floor"))
    if rounding_mode == "trunc":
        return _truncated(x, y)
    divisor = y.lower if y.is_point and isinstance(y.lower, (int, float)) else 0
    if math.frexp(divisor)[0] in (0.5, -0.5) and 2.0**-100 < abs(divisor) < 2.0**100:
        return mul(x, 1 / divisor)
    return widened(_quotient(x, y), signs=lambda: _signs(x, y), of=(x, y))


def _truncated(x: Any, y: Any) -> Box:
    """Bounds of the truncated quotient. Its slope is 0, while that of a quotient by a tiny number may be infinite."""
    result = _quotient(x, y, rounding_mode="trunc")
    if rounding.outward():
        # Truncation is increasing, so this holds for the real quotient and for the quotient that torch rounds.
        with torch.no_grad():
            lower, upper = map(torch.trunc, div(x, y))
        untracked(result.lower).copy_(lower)
        untracked(result.upper).copy_(upper)
    return result


def _quotient(x: Box, y: Box, **kwargs: Any) -> Box:
    """Computed bounds of x / y, or of x / y rounded to an integer.

    Where y comes to 0 from one side and x has one sign, the quotients are a half-line. It starts at a quotient by the
    other end of y and reaches to one infinity. Where y contains 0 otherwise, nothing is known.
    """
    x = as_tensors(x, y)
    if y.is_point:
        if not isinstance(y.lower, Tensor):
            return _by_number(x, y.lower, **kwargs)
        zero = y.lower == 0
        divisor = y.lower.masked_fill(zero, 1.0)
        at_l, at_u = torch.div(x.lower, divisor, **kwargs), torch.div(x.upper, divisor, **kwargs)
        lower, upper = torch.minimum(at_l, at_u), torch.maximum(at_l, at_u)
        known = with_open_ends(_limit_of_quotient, x, as_box(divisor), lower, upper, **kwargs)
        return Box(torch.where(zero, -inf, known.lower), torch.where(zero, inf, known.upper))
    zero = (y.lower <= 0) & (y.upper >= 0)
    if readable(zero) and not anywhere(zero):
        return with_open_ends(_limit_of_quotient, x, y, *corners(torch.div, x, y, **kwargs), **kwargs)
    below, above = sides_of_zero(y)
    positive, negative = x.lower > 0, x.upper < 0
    rising = (positive & above & ~below) | (negative & below & ~above)
    falling = (positive & below & ~above) | (negative & above & ~below)
    unknown = zero & ~(rising | falling)
    other = torch.where(below, y.lower, y.upper)
    # Dividing by 1 where nothing is known keeps infinite derivatives out of the backward pass.
    dtype = torch.result_type(x.lower, y.lower)  # taken here, since `where` gives 0-d tensors dimensions
    y = Box(*(torch.where(unknown, 1.0, torch.where(rising | falling, other, end)).to(dtype) for end in y))
    lower, upper = with_open_ends(_limit_of_quotient, x, y, *corners(torch.div, x, y, **kwargs), **kwargs)
    return Box(torch.where(unknown | falling, -inf, lower), torch.where(unknown | rising, inf, upper))


def _limit_of_quotient(x: Tensor, y: Tensor, rounding_mode: str | None = None) -> Tensor:
    """The quotient; of an infinite dividend an infinite one, where torch's rounded division gives NaN."""
    value = torch.div(x, y, rounding_mode=rounding_mode)
    return value if rounding_mode is None else torch.where(x.isinf(), torch.div(x, y), value)


def _by_number(x: Box, y: float, **kwargs: Any) -> Box:
    """Computed bounds of x / y for a number y."""
    if y == 0:
        return Box(torch.full_like(x.lower, -inf), torch.full_like(x.upper, inf))
    at_l, at_u = torch.div(x.lower, y, **kwargs), torch.div(x.upper, y, **kwargs)
    return unbounded(at_l, at_u) if y > 0 else unbounded(at_u, at_l)


def _floored(quotient: Box) -> Box:
    """Bounds of an integer from computed floors of quotients.

    torch computes the floor as (x - fmod(x, y)) / y, rounded to the nearest integer. The remainder fmod is exact. So
    the floor is exact below about 1 / 8 eps, and within 3 eps above. The widened bounds are moved back to integers.
    """
    if not rounding.outward():
        return quotient
    lower, upper = rounding.widen(quotient.lower, quotient.upper, rounding.ieee_budget(3))
    return Box(torch.ceil(lower), torch.floor(upper))


@rule(
    "floor_divide", "__floordiv__", "__ifloordiv__", formula=r"\lfloor x / y \rfloor", family="arithmetic",
    proven=True,
)  # fmt: skip
def floor_divide(input: Operand, other: Operand) -> Box:
    """The floor of the quotient."""
    return div(input, other, rounding_mode="floor")


@rule(
    torch.Tensor.__rdiv__, formula=r"y / x", family="arithmetic", proven=True,
    complex=lambda _: lambda input, other: quotient(div)(other, input),
    affine_in=({"other"},), parts=programs.rdiv,
)  # fmt: skip
def rdiv(input: Operand, other: Operand) -> Box:
    """Division with its arguments exchanged."""
    return div(other, input)


@rule(torch.Tensor.__rfloordiv__, formula=r"\lfloor y / x \rfloor", family="arithmetic", proven=True)
def rfloordiv(input: Operand, other: Operand) -> Box:
    """Floor division with its arguments exchanged."""
    return div(other, input, rounding_mode="floor")


@rule(
    "reciprocal", formula=r"1 / x", family="arithmetic", proven=True,
    complex=lambda _: lambda input: quotient(div)(1.0, input),
    curve=lambda input: Curve("concave", (0.0,)),
)  # fmt: skip
def reciprocal(input: Box) -> Box:
    """Decreasing on either side of 0; see `div`."""
    return div(1.0, input)


# --- order --------------------------------------------------------------------------------------------------

increasing("maximum", formula=r"\max(x, y)", budget=EXACT, parts=programs.maximum)
increasing("minimum", formula=r"\min(x, y)", budget=EXACT, parts=programs.minimum)
increasing("fmax", formula=r"\max(x, y)", budget=EXACT, parts=programs.maximum)
increasing("fmin", formula=r"\min(x, y)", budget=EXACT, parts=programs.minimum)


def clipped(input: Any, min: Any = None, max: Any = None) -> Curve | None:
    """How a clamp by numbers bends: at each of them."""
    bounds = [bound for bound in (min, max) if bound is not None]
    if not isinstance(input, Box) or not all(type(bound) in (int, float) for bound in bounds):
        return None
    return Curve(kinks=tuple(bounds)) if bounds and bounds == sorted(set(bounds)) else None


@rule(
    "clamp", "clip", formula=r"\min(\max(x, a), b)", family="arithmetic", budget=EXACT, proven=True, curve=clipped,
    parts=programs.clamp,
)  # fmt: skip
def clamp(input: Operand, min: Operand | None = None, max: Operand | None = None) -> Box:
    """Increasing in all three arguments. Each may be a box."""
    x = as_box(input)
    if min is None and max is None:
        raise RuntimeError("torch.clamp: at least one of 'min' or 'max' must not be None")
    for bound, keyword in ((min, "min"), (max, "max")):
        if bound is not None:
            low, high = operand(bound, x)
            x = Box(torch.clamp(x.lower, **{keyword: low}), torch.clamp(x.upper, **{keyword: high}))
    return x


@rule("clamp_min", formula=r"\max(x, a)", family="arithmetic", budget=EXACT, proven=True, curve=clipped)
def clamp_min(input: Operand, min: Operand) -> Box:
    """Increasing in both arguments."""
    return clamp(input, min=min)


@rule("clamp_max", formula=r"\min(x, b)", family="arithmetic", budget=EXACT, proven=True, curve=clipped)
def clamp_max(input: Operand, max: Operand) -> Box:
    """Increasing in both arguments."""
    return clamp(input, max=max)
