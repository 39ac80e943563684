"""Elementary functions: exponentials, logarithms, roots, trigonometric and hyperbolic functions.

Budgets are at least twice the worst error measured against values of high precision. That error is below 1.25 eps·|y|
for every function here.
"""

from __future__ import annotations

import math
from math import inf, pi
from typing import Any

import torch
from torch import Tensor

from ..._records.curves import Curve
from ..._records.registry import EVERYTHING, Box
from ..._rounding import Budget
from ..._theorems.boxes import as_box, check_domain
from ..._theorems.families import _contains_period, decreasing, increasing, periodic, piecewise_monotone, rule
from ..._theorems.operands import Operand, as_tensors, corners, operand, operands, widened
from ..._theorems.rectangles import exponential, join
from ...errors import DomainError
from .arithmetic import clamp, mul, sub

# The floats nearest to π and π/2 lie below them. These are the next floats, which lie above.
PI, HALF_PI = math.nextafter(pi, inf), math.nextafter(pi / 2, inf)

# --- exponentials and logarithms ----------------------------------------------------------------------------

exp = increasing(
    "exp", formula=r"e^x", image=(0.0, inf), curvature="convex", budget=Budget(2, cuda=4), complex=exponential
)
exp2 = increasing("exp2", formula=r"2^x", image=(0.0, inf), curvature="convex", budget=Budget(2, cuda=4))
expm1 = increasing("expm1", formula=r"e^x - 1", image=(-1.0, inf), curvature="convex", budget=Budget(2, cuda=2))
log = increasing("log", formula=r"\log x", domain=(0.0, inf), curvature="concave", budget=Budget(2, cuda=2))
increasing("log2", formula=r"\log_2 x", domain=(0.0, inf), curvature="concave", budget=Budget(2, cuda=2))
increasing("log10", formula=r"\log_{10} x", domain=(0.0, inf), curvature="concave", budget=Budget(2, cuda=4))
log1p = increasing("log1p", formula=r"\log(1 + x)", domain=(-1.0, inf), curvature="concave", budget=Budget(2, cuda=2))

# --- roots --------------------------------------------------------------------------------------------------

sqrt = increasing(
    "sqrt", formula=r"\sqrt{x}", domain=(0.0, inf), image=(0.0, inf), curvature="concave", budget=Budget(2, cuda=1)
)
rsqrt = decreasing(
    "rsqrt", formula=r"1 / \sqrt{x}", domain=(0.0, inf), image=(0.0, inf), curvature="convex",
    budget=Budget(3, cuda=4),
    function=lambda x: torch.rsqrt(x + 0.0),  # not of the negative zero, where torch gives -inf
)  # fmt: skip

# --- trigonometric functions --------------------------------------------------------------------------------

sin = periodic(
    "sin", formula=r"\sin x", peak=pi / 2, image=(-1.0, 1.0), budget=Budget(2, cuda=4), curvature="convex",
    inflections=(0.0, pi),
)  # fmt: skip
cos = periodic(
    "cos", formula=r"\cos x", peak=0.0, image=(-1.0, 1.0), budget=Budget(2, cuda=4), curvature="concave",
    inflections=(pi / 2, 3 * pi / 2),
)  # fmt: skip


@rule(
    "tan", formula=r"\tan x", family="periodic with poles", budget=Budget(2, cuda=8), proven=True,
    curve=lambda input: Curve("concave", (0.0, pi / 2), pi),
)  # fmt: skip
def tan(input: Box) -> Box:
    """Increasing between its poles at π/2 + kπ; unbounded where the box contains one."""
    pole = _contains_period(input.lower, input.upper, pi / 2, pi)
    lower, upper = (torch.tan(end.masked_fill(pole, 0.0)) for end in input)
    return widened(Box(lower.masked_fill(pole, -inf), upper.masked_fill(pole, inf)), Budget(2, cuda=8))


increasing(
    "asin", "arcsin", formula=r"\arcsin x", domain=(-1.0, 1.0), image=(-HALF_PI, HALF_PI), budget=Budget(2, cuda=8),
    curvature="concave", inflections=(0.0,),
)  # fmt: skip
decreasing(
    "acos", "arccos", formula=r"\arccos x", domain=(-1.0, 1.0), image=(0.0, PI), budget=Budget(2, cuda=6),
    curvature="convex", inflections=(0.0,),
)  # fmt: skip
increasing(
    "atan", "arctan", formula=r"\arctan x", image=(-HALF_PI, HALF_PI), budget=Budget(2, cuda=4), curvature="convex",
    inflections=(0.0,),
)  # fmt: skip


ANGLE = Budget(2, cuda=6)


@rule("atan2", "arctan2", formula=r"\arg(x + i y)", family="angle", image=(-PI, PI), budget=ANGLE, proven=True)
def atan2(input: Operand, other: Operand) -> Box:
    """The hull of the angles at the corners, or [-π, π] where the box meets the cut.

    The angle is monotone along every line parallel to an axis that does not cross the cut. The cut is the negative
    half-axis with the origin, where the angle is π. So a box with y in [0.0, 1] does not meet the cut, and its hull
    reaches up to π. A box meets the cut if it has points on the cut and points below. As in torch, y = -0.0 is below.
    """
    y, x = operands(input, other)
    y, x = as_tensors(y, x), as_tensors(x, y)
    dtype = torch.result_type(y.lower, x.lower)  # taken here, since `where` gives 0-d tensors dimensions
    cut = y.lower.signbit() & (y.upper >= 0) & x.lower.signbit()
    # Where the box meets the cut, x = 1 keeps the derivatives at the origin out of the backward pass. Adding 0.0 turns
    # an upper end -0.0 into 0.0, which is the same real number.
    ends = (torch.where(cut, 1.0, end.to(dtype)) for end in (x.lower, x.upper + 0.0))
    lower, upper = corners(_angle, Box(*(end.to(dtype) for end in y)), Box(*ends))
    return widened(Box(lower.masked_fill(cut, -PI), upper.masked_fill(cut, PI)), ANGLE, (-PI, PI))


def _angle(y: Tensor, x: Tensor) -> Tensor:
    """The angle, with gradient 0 at the origin, where torch's gradient is NaN."""
    origin = (y == 0) & (x == 0)
    return torch.atan2(y.masked_fill(origin, 0.0), torch.where(origin, torch.ones_like(x).copysign(x.detach()), x))


@rule("polar", formula=r"r e^{i \varphi}", family="complex", proven=True, torch_checks=True)
def polar(abs: Any, angle: Any) -> Box:
    """The smallest rectangle: each part is a product of two independent variables."""
    angle = as_box(angle)
    return join(mul(abs, cos(angle)), mul(abs, sin(angle)))


increasing("deg2rad", formula=r"x \pi / 180", affine_in=EVERYTHING, budget=Budget(2, cuda=2))
increasing("rad2deg", formula=r"180 x / \pi", affine_in=EVERYTHING, budget=Budget(2, cuda=2))

# --- hyperbolic functions -----------------------------------------------------------------------------------


def _sinh(x: Tensor) -> Tensor:
    """The hyperbolic sine; beyond 30 as e^(|x|/2) e^(|x|/2) / 2, which overflows only where the true value does."""
    root = torch.exp(x.abs().clamp(min=30) / 2)
    return torch.where(x.abs() > 30, torch.copysign(root * 0.5 * root, x), torch.sinh(x.clamp(-30, 30)))


def _cosh(x: Tensor) -> Tensor:
    """The hyperbolic cosine; beyond 30 as e^(|x|/2) e^(|x|/2) / 2, which overflows only where the true value does."""
    root = torch.exp(x.abs().clamp(min=30) / 2)
    return torch.where(x.abs() > 30, root * 0.5 * root, torch.cosh(x.clamp(-30, 30)))


increasing(
    "sinh", formula=r"\sinh x", function=_sinh, budget=Budget(4, cuda=10), curvature="concave", inflections=(0.0,)
)
piecewise_monotone(
    "cosh", formula=r"\cosh x", critical=(0.0,), function=_cosh, image=(1.0, inf), curvature="convex",
    budget=Budget(4, cuda=10),
)  # fmt: skip
tanh = increasing(
    "tanh", formula=r"\tanh x", image=(-1.0, 1.0), budget=Budget(2, cuda=4), curvature="convex", inflections=(0.0,)
)
increasing(
    "asinh", "arcsinh", formula=r"\operatorname{arsinh} x", budget=Budget(3, cuda=6), curvature="convex",
    inflections=(0.0,),
)  # fmt: skip
increasing(
    "acosh", "arccosh", formula=r"\operatorname{arcosh} x", domain=(1.0, inf), image=(0.0, inf),
    curvature="concave", budget=Budget(3, cuda=8),
)  # fmt: skip
increasing(
    "atanh", "arctanh", formula=r"\operatorname{artanh} x", domain=(-1.0, 1.0), budget=Budget(3, cuda=6),
    curvature="concave", inflections=(0.0,),
)  # fmt: skip

# --- the logistic function and its inverse ------------------------------------------------------------------

sigmoid = increasing(
    "sigmoid", "expit", formula=r"1 / (1 + e^{-x})", image=(0.0, 1.0), budget=Budget(3, cuda=6), curvature="convex",
    inflections=(0.0,),
)  # fmt: skip


def _logit(eps: Any, **_: Any) -> Curve | None:
    """How it bends; with an eps it is constant near both ends of its domain."""
    return Curve("concave", (0.5,)) if eps is None or eps < 0 else None


@rule(
    "logit", formula=r"\log(x / (1 - x))", family="increasing", domain=(0.0, 1.0), budget=Budget(3, input=4, cuda=4),
    proven=True,
    curvature="concave", inflections=(0.5,), curve=_logit,
)  # fmt: skip
def logit(input: Box, eps: Any = None) -> Box:
    """Increasing.

    The computed quotient x / (1 - x) errs by 1.5 eps of itself, so its logarithm y by 1.5 eps. Where |y| > 1, the
    relative part of the budget covers this error. Elsewhere x > 1/4, and the part relative to the input covers it.
    """
    if eps is None or eps < 0:
        input = check_domain("logit", input, (0.0, 1.0))
    else:
        if eps > 0.5:
            raise DomainError(
                f"logit with eps={eps:g} jumps: above 1/2 the ends eps and 1 - eps change places",
                "pass an eps of at most 1/2",
            )
        least = operand(eps, input)
        input = clamp(input, least, sub(as_tensors(operand(1.0, input), input), least))
    l, u = input
    return widened(Box(torch.logit(l), torch.logit(u)), Budget(3, input=4, cuda=4), at=(l, u))
