"""Functions with jumps: rounding to integers, signs, remainders, tests for infinity."""

from __future__ import annotations

import math
from collections.abc import Callable
from math import inf
from typing import Any

import torch
from torch import Tensor

from ... import _rounding as rounding
from ..._compat import anywhere
from ..._records.registry import Box
from ..._rounding import CORRECTLY_ROUNDED, EXACT
from ..._theorems.boxes import as_box, unbounded
from ..._theorems.families import decreasing, increasing, rule
from ..._theorems.operands import Operand, as_tensors, operands, widened
from ..._theorems.rectangles import argument
from ..._theorems.undecided import Undecided
from .arithmetic import absolute, div, mul, sub

# --- rounding to integers -----------------------------------------------------------------------------------

increasing("floor", formula=r"\lfloor x \rfloor", budget=EXACT)
increasing("ceil", formula=r"\lceil x \rceil", budget=EXACT)
increasing("trunc", "fix", formula=r"\operatorname{trunc} x", budget=EXACT)


@rule("round", formula=r"\operatorname{round} x", family="step", proven=True)
def round(input: Box, *, decimals: int = 0) -> Box:
    """Increasing. Decimals are rounded by scaling, rounding to an integer, and scaling back."""
    scale = 10.0 ** abs(decimals)
    there, back = (mul, div) if decimals >= 0 else (div, mul)
    scaled = there(input, scale) if decimals else input
    nearest = Box(torch.round(scaled.lower), torch.round(scaled.upper))
    return back(nearest, scale) if decimals else nearest


@rule("frac", formula=r"x - \operatorname{trunc} x", family="step", image=(-1.0, 1.0), budget=EXACT, proven=True)
def frac(input: Box) -> Box:
    """Increasing between integers. Where the box contains a jump, the hull of the values on both sides of the jump."""
    l, u = input
    jump_below = torch.trunc(l.clamp(max=0)) != torch.trunc(u.clamp(max=0))
    jump_above = torch.trunc(l.clamp(min=0)) != torch.trunc(u.clamp(min=0))
    at_l, at_u = torch.frac(l), torch.frac(u)
    lower = torch.where(jump_below, -1.0, torch.where(jump_above, at_l.clamp(max=0), at_l))
    upper = torch.where(jump_above, 1.0, torch.where(jump_below, at_u.clamp(min=0), at_u))
    lower, upper = unbounded(lower, upper)
    return Box(lower.clamp(min=-1), upper.clamp(max=1))


increasing("nextafter", formula=r"x^+ \\text{ or } x^-", budget=EXACT, note="of the floats in the box")

# --- signs --------------------------------------------------------------------------------------------------

increasing("sign", "sgn", formula=r"\operatorname{sgn} x", image=(-1.0, 1.0), budget=EXACT)
decreasing(
    "angle", formula=r"\arg x", image=(0.0, math.nextafter(math.pi, 4)), budget=CORRECTLY_ROUNDED, complex=argument
)


@rule(
    "heaviside", formula="[x > 0] + v [x = 0]", family="step", budget=EXACT, proven=True, torch_checks=True,
    affine_in=({"values"},),
)  # fmt: skip
def heaviside(input: Operand, values: Operand) -> Box:
    """The hull of those of 0, v and 1 that occur."""
    x, v = as_box(input), as_box(values)
    below, above, zero = x.lower < 0, x.upper > 0, (x.lower <= 0) & (x.upper >= 0)
    lower, upper = torch.where(zero, v.lower, inf), torch.where(zero, v.upper, -inf)
    for occurs, value in ((below, 0.0), (above, 1.0)):
        lower = torch.where(occurs, lower.clamp(max=value), lower)
        upper = torch.where(occurs, upper.clamp(min=value), upper)
    return Box(lower, upper)


@rule("copysign", formula=r"|x| \operatorname{sgn} y", family="step", budget=EXACT, proven=True)
def copysign(input: Operand, other: Operand) -> Box:
    """The absolute value of the first argument with the signs of the second.

    A zero in a box that is no point may have either sign.
    """
    size, y = absolute(as_box(input)), as_box(other)
    dtype = torch.result_type(size.lower, y.lower)
    size = Box(size.lower.to(dtype), size.upper.to(dtype))
    if y.is_point:
        at_l, at_u = torch.copysign(size.lower, y.lower), torch.copysign(size.upper, y.lower)
        return Box(torch.minimum(at_l, at_u), torch.maximum(at_l, at_u))
    positive, negative = y.lower > 0, y.upper < 0
    return Box(torch.where(positive, size.lower, -size.upper), torch.where(negative, -size.lower, size.upper))


# --- remainders ---------------------------------------------------------------------------------------------


@rule("fmod", formula=r"x - y \operatorname{trunc}(x / y)", family="step", proven=True, sharp=False)
def fmod(input: Operand, other: Operand) -> Box:
    """The hull for a fixed divisor; for a divisor that varies, the bound may be wider.

    Where the integer part n of x / y is the same all over the box, x - n y is bounded. Elsewhere every remainder with
    the sign of x counts.
    """
    x, y = operands(input, other)
    x, y = as_tensors(x, y), as_tensors(y, x)
    size = absolute(y).upper
    every = Box(torch.maximum(x.lower.clamp(max=0), -size), torch.minimum(x.upper.clamp(min=0), size))
    return _residue(x, y, every, torch.fmod, torch.trunc)


@rule(
    "remainder", "__mod__", "__imod__", formula=r"x - y \lfloor x / y \rfloor", family="step", proven=True, sharp=False
)
def remainder(input: Operand, other: Operand) -> Box:
    """The hull for a fixed divisor; for a divisor that varies, the bound may be wider.

    Where the integer part n of x / y is the same all over the box, x - n y is bounded. Elsewhere every remainder with
    the sign of y counts.
    """
    x, y = operands(input, other)
    x, y = as_tensors(x, y), as_tensors(y, x)
    every = Box(y.lower.clamp(max=0), y.upper.clamp(min=0))
    return _residue(x, y, every, torch.remainder, torch.floor)


@rule(torch.Tensor.__rmod__, formula=r"y \bmod x", family="step", proven=True, sharp=False)
def rmod(input: Operand, other: Operand) -> Box:
    """As `remainder`, with its arguments exchanged."""
    return remainder(other, input)


def _residue(x: Box, y: Box, every: Box, function: Callable, integer: Callable) -> Box:
    """Bounds of x - n y if n, the integer part of x / y, is the same all over the box; else `every` remainder."""
    nothing = (y.lower <= 0) & (y.upper >= 0) | (x.lower.isinf() & (x.lower == x.upper))
    if y.is_point:
        # While n stays, x and its remainder move by the same amount. When n changes, the amounts differ by |y| or more.
        at_l, at_u = function(x.lower, y.lower), function(x.upper, y.lower)
        moved = ((x.upper - at_u) - (x.lower - at_l)).abs()
        margin = 4 * torch.finfo(at_l.dtype).eps * (x.lower.abs() + x.upper.abs())
        same = moved + margin < y.lower.abs() / 2
        residue = Box(at_l, at_u) if function is torch.fmod else widened(Box(at_l, at_u))  # fmod is exact
    else:
        with torch.no_grad():  # an integer has slope 0, but that of a quotient by a tiny number is infinite
            quotient = div(x, y)
            quotient = Box(*rounding.widen(quotient.lower, quotient.upper, CORRECTLY_ROUNDED))
            n = Box(integer(quotient.lower), integer(quotient.upper))
        same = n.lower == n.upper
        residue = sub(x, mul(Box(n.lower, n.lower), y))
    lower = torch.where(same, torch.maximum(residue.lower, every.lower), every.lower)
    upper = torch.where(same, torch.minimum(residue.upper, every.upper), every.upper)
    return Box(torch.where(nothing, -inf, lower), torch.where(nothing, inf, upper))


# --- floating point -----------------------------------------------------------------------------------------


@rule("frexp", formula="x = m 2^e", family="step", budget=EXACT, proven=True)
def frexp(input: Box) -> Any:
    """The mantissa increases between powers of two. Where the box contains one, it takes every value of its sign."""
    l, u = input
    (low, exponent), (high, above) = torch.frexp(l), torch.frexp(u)
    one_binade = (exponent == above) & (low.sign() == high.sign()) & ((l.isfinite() & u.isfinite()) | (l == u))
    least = torch.where(l < 0, -1.0, torch.where(l > 0, 0.5, 0.0)).to(l.dtype)
    most = torch.where(u > 0, 1.0, torch.where(u < 0, -0.5, 0.0)).to(l.dtype)
    least, most = torch.where(l == -inf, l, least), torch.where(u == inf, u, most)  # its own mantissa
    mantissa = Box(torch.where(one_binade, low, least), torch.where(one_binade, high, most))
    undecided = anywhere(~one_binade)
    result: Any = mantissa, Undecided(exponent, "frexp", one_binade) if undecided else exponent
    return torch.return_types.frexp(result)


# --- infinities ---------------------------------------------------------------------------------------------


@rule("nan_to_num", formula="x", family="step", budget=EXACT, proven=True)
def nan_to_num(input: Box, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None) -> Box:
    """Replaces the points -inf and inf. A wider box that reaches to infinity still reaches there afterwards."""
    l, u = input
    at_l, at_u = torch.nan_to_num(l, nan, posinf, neginf), torch.nan_to_num(u, nan, posinf, neginf)
    point = l == u
    lower = torch.where(point, at_l, torch.minimum(l, at_u))
    upper = torch.where(point, at_u, torch.maximum(u, at_l))
    return Box(lower, upper)


@rule("isposinf", formula=r"x = \infty", family="comparison", budget=EXACT, proven=True)
def isposinf(input: Box) -> Box:
    """Certain where the lower bound is infinite, possible where the upper one is."""
    return Box(input.lower == inf, input.upper == inf)


@rule("isneginf", formula=r"x = -\infty", family="comparison", budget=EXACT, proven=True)
def isneginf(input: Box) -> Box:
    """Certain where the upper bound is infinite, possible where the lower one is."""
    return Box(input.upper == -inf, input.lower == -inf)


@rule("isreal", formula=r"x \in \mathbb{R}", family="comparison", budget=EXACT, proven=True)
def isreal(input: Box) -> Tensor:
    """True everywhere: the entries of the box are real numbers."""
    return torch.ones_like(input.lower, dtype=torch.bool)
