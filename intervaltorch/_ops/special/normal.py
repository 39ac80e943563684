"""The error function, the normal distribution, entropy, and sinc."""

from __future__ import annotations

import math
from collections.abc import Callable
from math import inf, pi

import torch
from torch import Tensor

from ..._records.registry import Box
from ..._rounding import Budget
from ..._theorems.families import decreasing, increasing, piecewise_monotone, rule
from ..._theorems.operands import widened
from ..elementwise.arithmetic import absolute

# --- the error function and the normal distribution ---------------------------------------------------------

increasing(
    "erf", formula=r"\operatorname{erf} x", image=(-1.0, 1.0), budget=Budget(2, cuda=4), curvature="convex",
    inflections=(0.0,),
)  # fmt: skip
decreasing(
    "erfc", formula=r"\operatorname{erfc} x", image=(0.0, 2.0), budget=Budget(2, cuda=10), curvature="concave",
    inflections=(0.0,),
)  # fmt: skip
increasing(
    "erfinv", formula=r"\operatorname{erf}^{-1} x", domain=(-1.0, 1.0), budget=Budget(2, cuda=10), curvature="concave",
    inflections=(0.0,),
)  # fmt: skip


def _exp_of_square(x: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Two factors of exp(scale·x²), each within 3 eps, for scale 1 or -1/2 and |x| <= 40.

    Let c be x cut to 16ths. The square of c is exact in every dtype. The rest of x², (x - c)(x + c), is at most 5 and
    is computed within 2 eps of itself, so its exponential errs by some eps. An exponent of up to 1600 would err by
    hundreds of eps.
    """
    cut = torch.trunc(x.detach() * 16) / 16
    return torch.exp(scale * cut * cut), torch.exp(scale * (x - cut) * (x + cut))


def _erfcx(x: Tensor) -> Tensor:
    """The scaled complementary error function; for x < 0 as 2 exp(x²) - erfcx(-x).

    torch's own value errs by hundreds of eps for x < 0.
    """
    negative = x < 0
    near, rest = _exp_of_square(torch.where(negative, x, 0.0).clamp(min=-40), 1.0)
    return torch.where(negative, near * (2 * rest) - torch.special.erfcx(-x.clamp(max=0)),
                       torch.special.erfcx(x.clamp(min=0)))  # fmt: skip


def _log_ndtr(x: Tensor) -> Tensor:
    """The logarithm of Φ; for x > 0 as log(1 - p) with p = erfcx(x/√2) exp(-x²/2) / 2.

    torch's own value loses its digits for x > 0.
    """
    right = x.clamp(0, 40)
    near, rest = _exp_of_square(right, -0.5)
    tail = near * (0.5 * torch.special.erfcx(right * math.sqrt(0.5)) * rest)
    return torch.where(x > 0, torch.log1p(-tail), torch.special.log_ndtr(x.clamp(max=0)))


decreasing(
    "erfcx", formula=r"e^{x^2} \operatorname{erfc} x", function=_erfcx, image=(0.0, inf), curvature="convex",
    budget=Budget(12),
)  # fmt: skip
increasing(
    "ndtri", formula=r"\Phi^{-1}(x)", domain=(0.0, 1.0), budget=Budget(8), curvature="concave", inflections=(0.5,)
)
increasing(
    "log_ndtr", formula=r"\log \Phi(x)", function=_log_ndtr, image=(-inf, 0.0), curvature="concave", budget=Budget(12)
)

# --- entropy ------------------------------------------------------------------------------------------------

piecewise_monotone(
    "entr", formula=r"-x \log x", critical=(1 / math.e,), domain=(0.0, inf), curvature="concave",
    image=(-inf, math.nextafter(1 / math.e, 1)), limits=(inf, -inf), budget=Budget(3, cuda=3),
)  # fmt: skip

# --- sinc ---------------------------------------------------------------------------------------------------


def _sinc(x: Tensor) -> Tensor:
    """The quotient sin(πx) / πx for x ≠ 0, within 3 eps.

    The difference r of x and its nearest integer is exact, and sin πx = ± sin πr. As |r| is at most 1/2, a small
    relative error of πr gives a small relative error of its sine.
    """
    n = torch.round(x)
    return (1 - 2 * torch.remainder(n, 2)) * torch.sin(pi * (x - n)) / (pi * x)


@rule(
    "sinc", formula=r"\sin(\pi x) / \pi x", family="waves", budget=Budget(6, cuda=8), image=(-0.21724, 1.0), proven=True
)
def sinc(input: Box) -> Box:
    """The hull. The function is even, largest at 0, and has one extreme c_k between k and k + 1 for k = 1, 2...

    There tan πc = πc, so the extreme values are ±1 / √(1 + π²c²), positive for even k. They shrink as k grows, so the
    first two in a box exceed all later ones, and three candidates from |x| = a on suffice. Where floats lie too far
    apart to tell even k from odd, the envelope ±1 / πa bounds the box.
    """
    return _damped_wave(input, _sinc, 1.0)


@rule(
    "spherical_bessel_j0", formula=r"\sin(x) / x", family="waves", budget=Budget(6, cuda=8), image=(-0.21724, 1.0),
    proven=True, torch_checks=True,
)  # fmt: skip
def spherical_bessel_j0(x: Box) -> Box:
    """The hull, by the argument of `sinc`: the function is sinc(x / π)."""
    return _damped_wave(x, lambda x: torch.sin(x) / x, pi)


def _damped_wave(x: Box, evaluate: Callable[[Tensor], Tensor], half_period: float) -> Box:
    """The hull of `evaluate`, which computes sin(πt) / πt for t = x / half_period."""
    a, b = size = absolute(x)
    at_a, at_b = (_filled(evaluate, end) for end in size)
    values = _extremes_of_sinc(a.detach() / half_period, b.detach() / half_period)
    lower = torch.minimum(torch.minimum(at_a, at_b), values.nan_to_num(nan=inf).amin(0))
    upper = torch.maximum(torch.maximum(at_a, at_b), values.nan_to_num(nan=-inf).amax(0))
    return widened(Box(lower, upper.masked_fill(a == 0, 1.0)), Budget(6, cuda=8), (-0.21724, 1.0))


def _filled(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Values of a function of x >= 0, with its limits 1 at 0 and 0 at infinity, where the derivative is 0.

    Where the square of x underflows, the value is nearer to 1 than `tiny`, and torch's derivative is 0 / 0.
    """
    zero = x < math.sqrt(torch.finfo(x.dtype).tiny)
    special = zero | x.isinf()
    return torch.where(special, zero.to(x.dtype), function(x.masked_fill(special, 1.0)))


@torch.no_grad()
def _extremes_of_sinc(a: Tensor, b: Tensor) -> Tensor:
    """Three extreme values for |x| in [a, b] and the two of the envelope, `(5, *a.shape)`; NaN for those outside."""
    candidates = torch.arange(3, dtype=a.dtype, device=a.device).reshape(3, *[1] * a.dim())
    near = 8 * torch.finfo(a.dtype).eps
    k = a.floor().clamp(1, 1 / near) + candidates
    c = k + 0.5 - 1 / (pi * pi * (k + 0.5))
    for _ in range(3):  # Newton's method for c = k + 1/2 - arctan(1 / πc) / π, from an error of 2e-3
        c = c - (c - k - 0.5 + torch.atan(1 / (pi * c)) / pi) * (1 + 1 / (pi * c) ** 2)
    inside = (c * (1 - near) <= b) & (c * (1 + near) >= a) & (a <= 1 / near)
    values = torch.where(inside, (1 - 2 * (k % 2)) / torch.hypot(pi * c, torch.ones_like(c)), torch.nan)
    envelope = torch.where((a > 1 / near) & (a < b), 1 / (pi * a), torch.nan)
    return torch.cat([values, envelope[None], -envelope[None]])
