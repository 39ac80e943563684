"""Activations of `torch.nn.functional`. Softmax and its relatives are in `layers/softmax.py`.

Turning points are the zeros of the derivatives, computed to 30 digits with mpmath.
"""

from __future__ import annotations

import dataclasses
import math
from math import inf
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import _rounding as rounding
from ..._records.curves import Curve
from ..._records.registry import Box
from ..._rounding import EXACT, Budget
from ..._theorems.boxes import as_box
from ..._theorems.families import increasing, piecewise_monotone, rule, spanned
from ..._theorems.operands import Operand, operand, widened
from ...errors import UnsupportedOpError
from . import programs
from .arithmetic import clamp, clipped, div, mul
from .elementary import expm1, sigmoid

_RECORD: dict[str, Any] = {"family": "activation", "functional": True, "proven": True}


def joined(x: Box, at: Box, left: Box, right: Box) -> Box:
    """The hull of a function made of two pieces that meet at `at`.

    `left` bounds the piece below `at` over the part of x up to `at`, and `right` the other piece over the part beyond.
    """
    only_left, only_right = x.upper <= at.lower, x.lower > at.upper
    lower = torch.where(only_right, right.lower, torch.minimum(left.lower, right.lower))
    upper = torch.where(only_right, right.upper, torch.maximum(left.upper, right.upper))
    return Box(torch.where(only_left, left.lower, lower), torch.where(only_left, left.upper, upper))


def _halves(x: Box) -> tuple[Box, Box]:
    """The part of a box below 0 and the part above 0; the point 0 in place of an empty part."""
    return Box(x.lower.clamp(max=0), x.upper.clamp(max=0)), Box(x.lower.clamp(min=0), x.upper.clamp(min=0))


_ZERO = Box(0.0, 0.0)  # type: ignore[arg-type]
_KINK_AT_0 = Curve(kinks=(0.0,))

# --- piecewise linear ---------------------------------------------------------------------------------------

relu = increasing("relu", formula=r"\max(x, 0)", image=(0.0, inf), curvature="convex", budget=EXACT, kinks=(0.0,))
increasing("relu6", formula=r"\min(\max(x, 0), 6)", image=(0.0, 6.0), budget=EXACT, kinks=(0.0, 6.0))
increasing(
    "hardsigmoid", formula=r"\min(\max(x + 3, 0), 6) / 6", image=(0.0, 1.0), budget=Budget(2, cuda=2), kinks=(-3.0, 3.0)
)


@rule(
    "hardtanh", formula=r"\min(\max(x, a), b)", image=(-1.0, 1.0), budget=EXACT,
    curve=lambda input, min_val, max_val: clipped(input, min_val, max_val), **_RECORD,
)  # fmt: skip
def hardtanh(input: Box, min_val: float = -1.0, max_val: float = 1.0) -> Box:
    """Increasing."""
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val {min_val} is larger than max_val {max_val}")
    return clamp(input, min_val, max_val)


@rule("leaky_relu", formula=r"\max(x, 0) + a \min(x, 0)", curve=lambda **_: _KINK_AT_0, **_RECORD)
def leaky_relu(input: Box, negative_slope: Any = 0.01) -> Box:
    """Increasing; with a negative slope it falls up to 0 and rises after it."""
    if negative_slope >= 0 and not rounding.outward():
        return Box(F.leaky_relu(input.lower, negative_slope), F.leaky_relu(input.upper, negative_slope))
    return _two_slopes(input, negative_slope)


@rule(
    "prelu", formula=r"\max(x, 0) + a \min(x, 0)", torch_checks=True, affine_in=({"weight"},), parts=programs.prelu,
    **_RECORD,
)  # fmt: skip
def prelu(input: Operand, weight: Operand) -> Box:
    """The hull. Slopes may have any sign and may be intervals: one for each channel, or one for all."""
    x, slope = as_box(input), as_box(weight)
    dimensions = x.lower.dim()
    if slope.lower.numel() != 1 and dimensions > 1:
        slope = Box(*(end.reshape(-1, *[1] * (dimensions - 2)) for end in slope))
    else:
        slope = Box(*(end.reshape(()) for end in slope))
    return _two_slopes(x, slope)


@rule(
    "rrelu", formula=r"\max(x, 0) + a \min(x, 0)", curve=lambda training, **_: None if training else _KINK_AT_0,
    **_RECORD,
)  # fmt: skip
def rrelu(input: Box, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, generator: Any = None) -> Box:
    """In evaluation mode a leaky ReLU with the mean slope.

    Raises:
        UnsupportedOpError: in training mode, where slopes are random.
    """
    if training:
        raise UnsupportedOpError(
            "rrelu draws random slopes in training mode, so it is no function of its input",
            "call model.eval() first, or use F.leaky_relu with a slope of your choice",
        )
    if lower > upper:
        raise RuntimeError(f"rrelu: lower {lower} is larger than upper {upper}")
    return leaky_relu(input, (lower + upper) / 2)


def _two_slopes(x: Box, slope: Operand) -> Box:
    """Bound the function that is x for x > 0 and slope times x for x <= 0."""
    negative, positive = _halves(x)
    return joined(x, _ZERO, mul(negative, slope), positive)


@rule(
    "threshold", formula=r"x\ (x > t),\ v\ (x \le t)", budget=EXACT,
    curve=lambda threshold, value, **_: Curve(kinks=(threshold,)) if threshold == value else None, **_RECORD,
)  # fmt: skip
def threshold(input: Box, threshold: float, value: float) -> Box:
    """The hull of the part of the box above the threshold and, if the box reaches down to there, of the value."""
    t, v = operand(threshold, input), operand(value, input)
    constant = Box(torch.zeros_like(input.lower) + v.lower, torch.zeros_like(input.upper) + v.upper)
    above = Box(input.lower.clamp(min=t.lower), input.upper)
    return joined(input, t, constant, above)


@rule("hardshrink", formula=r"x\ (|x| > \lambda),\ 0", budget=EXACT, **_RECORD)
def hardshrink(input: Box, lambd: float = 0.5) -> Box:
    """Increasing."""
    return _shrunk(F.hardshrink, input, lambd, EXACT)


@rule(
    "softshrink", formula=r"\operatorname{sgn}(x) \max(|x| - \lambda, 0)", budget=Budget(0.5, cuda=0.5),
    curve=lambda lambd, **_: Curve(kinks=(-lambd, lambd)) if lambd > 0 else None, **_RECORD,
)  # fmt: skip
def softshrink(input: Box, lambd: float = 0.5) -> Box:
    """Increasing."""
    return _shrunk(F.softshrink, input, lambd, rounding.CORRECTLY_ROUNDED)


def _shrunk(function: Any, x: Box, lambd: float, budget: Budget) -> Box:
    """Bound a function that increases in x and is monotone in λ. Outward mode takes both neighbours of λ."""
    near = {lambd}
    if rounding.outward():
        near = {rounding.neighbour(lambd, x.lower.dtype, towards) for towards in (-inf, inf)}
    lower = torch.stack([function(x.lower, number) for number in near]).amin(0)
    upper = torch.stack([function(x.upper, number) for number in near]).amax(0)
    return widened(Box(lower, upper), budget)


# --- exponential on one side --------------------------------------------------------------------------------


ELU = Budget(4, cuda=6)


def _scaled_budget(factor: float) -> Budget:
    """The error of a factor times an exponential that may underflow."""
    return dataclasses.replace(ELU, absolute=max(1.0, factor))


def _elu(alpha: Any, scale: Any, input_scale: Any, **_: Any) -> Curve | None:
    """Convex, but for a concave kink at 0 where the slope on its left is greater."""
    if alpha <= 0 or scale <= 0 or input_scale <= 0:
        return None
    return Curve("convex") if alpha * input_scale <= 1 else Curve("convex", (0.0,))


@rule("elu", formula=r"\max(x, 0) + \alpha (e^{\min(x, 0)} - 1)", budget=ELU, curve=_elu, **_RECORD)
def elu(input: Box, alpha: Any = 1.0, scale: Any = 1.0, input_scale: Any = 1.0) -> Box:
    """Increasing if no parameter is negative; else the hull of the parts below and above 0."""
    if alpha >= 0 and scale >= 0 and input_scale >= 0:
        lower, upper = (torch.ops.aten.elu(end, alpha, scale, input_scale) for end in input)
        return widened(Box(lower, upper), _scaled_budget(alpha * scale))
    negative, positive = _halves(input)
    left = mul(mul(expm1(mul(negative, input_scale)), alpha), scale)
    return joined(input, _ZERO, left, mul(positive, scale))


@rule(
    "celu", formula=r"\max(x, 0) + \alpha (e^{\min(x, 0) / \alpha} - 1)", budget=ELU,
    curve=lambda alpha, **_: Curve("convex") if alpha > 0 else None, **_RECORD,
)  # fmt: skip
def celu(input: Box, alpha: Any = 1.0) -> Box:
    """Increasing, for either sign of alpha."""
    if alpha > 0:
        return widened(Box(torch.celu(input.lower, alpha), torch.celu(input.upper, alpha)), _scaled_budget(alpha))
    if alpha == 0:
        raise ZeroDivisionError("celu divides by alpha, which is 0")
    negative, positive = _halves(input)
    return joined(input, _ZERO, mul(expm1(div(negative, alpha)), alpha), positive)


increasing(
    "selu", formula=r"s (\max(x, 0) + \alpha (e^{\min(x, 0)} - 1))", image=(-1.7580994, inf), budget=Budget(4, cuda=5),
    curvature="convex", inflections=(0.0,),
)  # fmt: skip

# --- one turning point --------------------------------------------------------------------------------------

GELU_TURN, GELU_LEAST = -0.75179152469356445745790494678, -0.169971207479903661693868470982
TANH_GELU_TURN, TANH_GELU_LEAST = -0.752461422071016258487954443289, -0.170040750571254051069064127980
SILU_TURN, SILU_LEAST = -1.27846454276107379510935873902, -0.278464542761073795109358739023
MISH_TURN, MISH_LEAST = -1.19243121451549521213758834074, -0.308843413017250407256628760229
HARDSWISH_TURN = -1.5

# Inflection points, as the zeros of the second derivatives.
GELU_BENDS, TANH_GELU_BENDS = math.sqrt(2), 1.4185040087908283555
SILU_BENDS = 2.3993572805154676678
MISH_BENDS = (-2.25637639636079312, 1.4905711794854284593)


def _below(least: float) -> tuple[float, float]:
    """The image of a function with this least value, which float64 may have rounded up."""
    return math.nextafter(least, -inf), inf


def _gelu(approximate: str, **_: Any) -> Curve:
    """How it or its approximation by tanh bends."""
    point = GELU_BENDS if approximate == "none" else TANH_GELU_BENDS
    return Curve("concave", (-point, point))


@rule(
    "gelu", formula=r"x \Phi(x)", family="piecewise monotone", functional=True, critical=(GELU_TURN,),
    image=_below(GELU_LEAST), budget=Budget(3, input=5, cuda=3), proven=True,
    curvature="concave", inflections=(-GELU_BENDS, GELU_BENDS), curve=_gelu,
)  # fmt: skip
def gelu(input: Box, approximate: str = "none") -> Box:
    """Falls up to its turning point and rises after it; so does its approximation by tanh.

    torch computes x/2 (1 + erf(x/√2)). The sum cancels for negative x, so the error is relative to x. For x < -10 the
    value itself is below 1e-22, and the error is no larger than at -10. For x > 10, where 1 - Φ(x) is as small, the
    value is taken as x, since the product x (1 + erf) overflows for huge x. For x < -40 torch gives 0; the function is
    evaluated at -40, since the derivative of the cubic in the tanh form overflows for huge x.
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"approximate argument must be either none or tanh, not {approximate!r}")
    turn, least = (GELU_TURN, GELU_LEAST) if approximate == "none" else (TANH_GELU_TURN, TANH_GELU_LEAST)
    lower, upper = spanned(
        input, lambda x: torch.where(x > 10, x, F.gelu(x.clamp(-40, 10), approximate=approximate)), (turn,), (0.0, inf)
    )
    size = torch.maximum(input.lower.abs(), input.upper.abs()).clamp(max=10)
    return widened(Box(lower, upper), Budget(3, input=5, cuda=3), _below(least), at=(size, size))


def _hardswish(x: Tensor) -> Tensor:
    """The function hardswish. For large x torch evaluates 6 x / 6, which overflows."""
    return torch.where(x >= 3, x, F.hardswish(x.clamp(max=3)))


# Far left e^-x overflows, and silu gives 0 for a value below 256 tiny in size. The absolute budget covers this.
piecewise_monotone(
    "silu", formula=r"x / (1 + e^{-x})", critical=(SILU_TURN,), image=_below(SILU_LEAST), limits=(0.0, inf),
    budget=Budget(4, absolute=1024, cuda=7),
    curvature="concave", inflections=(-SILU_BENDS, SILU_BENDS),
)  # fmt: skip
piecewise_monotone(
    "mish", formula=r"x \tanh(\log(1 + e^x))", critical=(MISH_TURN,), image=_below(MISH_LEAST),
    limits=(0.0, inf), budget=Budget(4, absolute=1024, cuda=12),
    curvature="concave", inflections=MISH_BENDS,
)  # fmt: skip
piecewise_monotone(
    "hardswish", formula=r"x \min(\max(x + 3, 0), 6) / 6", critical=(HARDSWISH_TURN,), image=(-0.375, inf),
    function=_hardswish, limits=(0.0, inf), budget=Budget(4, cuda=4),
    curvature="concave", inflections=(-3.0, 3.0),
)  # fmt: skip

# --- smooth and increasing ----------------------------------------------------------------------------------


def _softsign(x: Tensor) -> Tensor:
    """The quotient x / (1 + |x|), with its limits ±1 at infinity."""
    infinite = x.isinf()
    return torch.where(infinite, x.sign(), F.softsign(x.masked_fill(infinite, 0.0)))


increasing(
    "logsigmoid", "log_sigmoid", formula=r"-\log(1 + e^{-x})", image=(-inf, 0.0), curvature="concave",
    budget=Budget(3, cuda=7),
)  # fmt: skip
increasing(
    "softsign", formula=r"x / (1 + |x|)", function=_softsign, image=(-1.0, 1.0), budget=Budget(3, cuda=3),
    curvature="convex", inflections=(0.0,),
)  # fmt: skip
increasing("tanhshrink", formula=r"x - \tanh x", budget=Budget(2, input=2), curvature="concave", inflections=(0.0,))


def _softplus(beta: float, threshold: float, **_: Any) -> Curve | None:
    """Convex, but for a fall at the threshold by log(1 + exp(-threshold)) / beta."""
    if beta <= 0 or threshold <= 0:
        return None
    return Curve("convex", slack=math.log1p(math.exp(-threshold)) / beta, jump=threshold / beta)


@rule(
    "softplus", formula=r"\log(1 + e^{\beta x}) / \beta\ (\beta x \le t),\ x", budget=Budget(3, cuda=7),
    curve=_softplus, **_RECORD,
)  # fmt: skip
def softplus(input: Box, beta: float = 1, threshold: float = 20) -> Box:
    """Increasing on either side of its threshold t, where it falls from log(1 + e^t) / β to t / β.

    Both values count for a box within rounding of the threshold. If β is 1 and t is a small integer, neither βx nor t
    is rounded in any dtype, so there is no margin. Far left the function is an exponential, which multiplies the
    relative error of βx by |βx|. So outward mode computes βx as a box, unless β is 1.
    """
    if beta != 1 and rounding.outward():
        return div(softplus(mul(input, beta), 1, threshold), beta)
    l, u = input
    # From βx = 40 on log(1 + e^βx) equals βx in every dtype, and the exponential may overflow.
    lower, upper = (F.softplus(end, beta, min(threshold, 40.0)) for end in (l, u))
    edge = threshold / beta
    peak = (max(threshold, 0.0) + math.log1p(math.exp(-abs(threshold)))) / beta
    exact = beta == 1 and float(threshold).is_integer() and abs(threshold) < 256
    margin = 4 * torch.finfo(l.dtype).eps * abs(edge)
    crosses = (l <= edge) & (u > edge) if exact else (l <= edge + margin) & (u >= edge - margin)
    lower = torch.where(crosses, lower.clamp(max=min(edge, peak)), lower)
    upper = torch.where(crosses, upper.clamp(min=max(edge, peak)), upper)
    image = (0.0, inf) if beta > 0 and threshold >= 0 else (-inf, inf)
    return widened(Box(lower, upper), Budget(3, cuda=7), image)


# --- gates --------------------------------------------------------------------------------------------------


@rule("glu", formula=r"a \operatorname{sigmoid}(b)", sharp=True, parts=programs.glu, **_RECORD)
def glu(input: Box, dim: int = -1) -> Box:
    """The product of one half of the entries with the sigmoid of the other half."""
    if input.lower.shape[dim] % 2:
        F.glu(input.lower, dim)  # raises torch's own error
    (a_l, b_l), (a_u, b_u) = (end.chunk(2, dim) for end in input)
    return mul(Box(a_l, a_u), sigmoid(Box(b_l, b_u)))
