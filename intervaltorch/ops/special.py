"""Special functions: the error function, gamma functions, entropy, the sampling function."""

from __future__ import annotations

import math
from collections.abc import Callable
from math import inf, pi

import torch
from torch import Tensor

from .. import rounding
from .._registry import Box
from ..rounding import Budget
from ._families import decreasing, increasing, piecewise_monotone, rule, spanned
from ._operands import widened
from .arithmetic import absolute

# --- the error function -------------------------------------------------------------------------------------

increasing("erf", formula=r"\operatorname{erf} x", image=(-1.0, 1.0), budget=Budget(2))
decreasing("erfc", formula=r"\operatorname{erfc} x", image=(0.0, 2.0), budget=Budget(2))
increasing("erfinv", formula=r"\operatorname{erf}^{-1} x", domain=(-1.0, 1.0), budget=Budget(2))

# --- gamma functions ----------------------------------------------------------------------------------------


def _lgamma(x: Tensor) -> Tensor:
    """The logarithm of the gamma function; beyond 10^30 as x (log x - 1), which does not overflow early."""
    far = min(1e30, torch.finfo(x.dtype).max)
    return torch.where(x > far, x * (torch.log(x) - 1), torch.lgamma(x.clamp(max=far)))


@rule(
    "lgamma", "gammaln", formula=r"\log |\Gamma(x)|", family="gamma", critical=(1.4616321449683623,),
    proven=True, sharp=False,
)  # fmt: skip
def lgamma(input: Box) -> Box:
    """Convex for x > 0, with its minimum -0.12148... at 1.46163...; boxes that reach 0 get the whole line."""
    turn = (1.4616321449683623,)
    return _right_of_zero(input, lambda x: spanned(x, _lgamma, turn, None, "convex", "lgamma", Budget(4)))


@rule("digamma", "psi", formula=r"\psi(x)", family="gamma", sharp=False)
def digamma(input: Box) -> Box:
    """Increasing for x > 0; boxes that reach 0 and the poles beyond get the whole line."""

    def right(x: Box) -> Box:
        ends = Box(torch.digamma(x.lower), torch.digamma(x.upper))
        if not rounding.outward():
            return ends
        return widened(ends, rounding.claim("digamma", None), at=(x.lower, x.upper))

    return _right_of_zero(input, right)


def _right_of_zero(x: Box, enclose: Callable[[Box], Box]) -> Box:
    """Apply a rule for positive boxes to those that are; the others get the whole line."""
    outside = x.lower <= 0
    lower, upper = enclose(Box(*(end.masked_fill(outside, 1.0) for end in x)))
    return Box(lower.masked_fill(outside, -inf), upper.masked_fill(outside, inf))


# --- entropy ------------------------------------------------------------------------------------------------

piecewise_monotone(
    "entr", formula=r"-x \log x", critical=(1 / math.e,), domain=(0.0, inf), curvature="concave",
    image=(-inf, math.nextafter(1 / math.e, 1)), limits=(inf, -inf), budget=Budget(3),
)  # fmt: skip

# --- the sampling function ----------------------------------------------------------------------------------


def _sinc(x: Tensor) -> Tensor:
    """The quotient sin(πx) / πx for x ≠ 0, within 3 eps.

    x differs from its nearest integer by an exact r, and sin πx = ± sin πr. |r| is at most 1/2, where the sine
    keeps relative errors.
    """
    n = torch.round(x)
    return (1 - 2 * torch.remainder(n, 2)) * torch.sin(pi * (x - n)) / (pi * x)


@rule("sinc", formula=r"\sin(\pi x) / \pi x", family="waves", budget=Budget(6), image=(-0.21724, 1.0), proven=True)
def sinc(input: Box) -> Box:
    """The hull: even, with its maximum at 0 and ever smaller extremes c_k between k and k + 1, k = 1, 2...

    At these tan πc = πc, so the extreme values are ±1 / √(1 + π²c²), positive for even k. Of those in a box the
    first two exceed all later ones, so from |x| = a on three candidates suffice. Where floats lie too far apart
    to tell even from odd the envelope ±1 / πa bounds wide boxes.
    """
    a, b = size = absolute(input)
    at_a, at_b = (_filled(_sinc, end) for end in size)
    values = _extremes_of_sinc(a.detach(), b.detach())
    lower = torch.minimum(torch.minimum(at_a, at_b), values.nan_to_num(nan=inf).amin(0))
    upper = torch.maximum(torch.maximum(at_a, at_b), values.nan_to_num(nan=-inf).amax(0))
    return widened(Box(lower, upper.masked_fill(a == 0, 1.0)), Budget(6), (-0.21724, 1.0))


def _filled(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Values with those of the limits at 0 and at infinity filled in, whose derivatives are 0."""
    special = (x == 0) | x.isinf()
    return torch.where(special, (x == 0).to(x.dtype), function(x.masked_fill(special, 1.0)))


@torch.no_grad()
def _extremes_of_sinc(a: Tensor, b: Tensor) -> Tensor:
    """The first extreme values for |x| in [a, b], NaN in place of those outside, of shape `(5, *a.shape)`."""
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
