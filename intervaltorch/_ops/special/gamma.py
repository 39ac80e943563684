"""The logarithm of the gamma function and its derivatives, and Hurwitz's zeta function.

Budgets are at least 1.4 times the worst error measured against values of high precision.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from math import inf, pi
from typing import Any

import torch
from torch import Tensor

from ... import _rounding as rounding
from ..._compat import anywhere, readable
from ..._records.registry import Box
from ..._rounding import Budget
from ..._theorems.boxes import check_domain, ordered
from ..._theorems.families import rule
from ..._theorems.operands import Operand, as_tensors, operands, widened
from ...errors import DomainError, UnsupportedOpError

# --- log Γ and its derivative -----------------------------------------------------------------------------------------

TURN = 1.4616321449683623  # where Γ is least


def _lgamma(x: Tensor) -> Tensor:
    """The logarithm of |Γ|; beyond 10^30 as x (log x - 1), because torch's own overflows too early."""
    far = min(1e30, torch.finfo(x.dtype).max)
    return torch.where(x > far, x * (torch.log(x.clamp(min=1)) - 1), torch.lgamma(x.clamp(max=far)))


@rule(
    "lgamma", "gammaln", formula=r"\log |\Gamma(x)|", family="gamma", critical=(TURN,), proven=True, sharp=False,
)  # fmt: skip
def lgamma(input: Box) -> Box:
    """The hull. A box that reaches below -10^4 gets the whole line.

    Convex for x > 0 and between two neighbouring poles. The minima between poles rise with x. So in a box that contains
    a pole, the least value lies in one of the first two cells between poles, or in x > 0.
    """
    turn = torch.where(input.lower > 0, TURN, _turn(input.lower))

    def enclose(x: Box) -> Box:
        l, u = x
        least = _lgamma(torch.minimum(torch.maximum(l, turn), u))  # an error of `turn` changes it in second order only
        below = torch.minimum(l.detach(), l.new_zeros(()))  # at roots below 0 the error is relative to x
        return widened(Box(least, torch.maximum(_lgamma(l), _lgamma(u))), Budget(4, input=2), at=(below, below))

    return _off_the_poles(input, enclose, _least_minimum)


def _least_minimum(x: Box) -> Tensor:
    """The least value of log |Γ| on boxes that contain a pole, for -10^4 < l <= 0: at a minimum or at an end."""
    l, u = x
    cell = torch.floor(l.detach())
    first = torch.minimum(torch.maximum(_turn(l), l), u)
    second = torch.where(cell < -1, torch.minimum(_turn(cell + 1), u), first)
    right = torch.where(u > 0, u.clamp(max=TURN), first)
    least = functools.reduce(torch.minimum, [_infinite_at_poles(t) for t in (first, second, right)])
    return widened(Box(least, least), Budget(4, input=2), at=(l.detach(), l.detach())).lower


def _infinite_at_poles(x: Tensor) -> Tensor:
    """As `_lgamma`, with gradient 0 at the poles, where torch's gradient is NaN."""
    pole = (x <= 0) & (x == torch.floor(x))
    return _lgamma(x.masked_fill(pole, 1.0)).masked_fill(pole, inf)


@rule("digamma", "psi", formula=r"\psi(x)", family="gamma", proven=True, sharp=False)
def digamma(input: Box) -> Box:
    """The hull for a box between two neighbouring poles or in x > 0. Other boxes get the whole line, and so does a box
    that ends at a pole or reaches below -10^4.

    Increasing for x > 0 and between two poles. The error is relative to x, because relative errors of the value are
    large near its roots. The last root is 1.46163..., and beyond 2 the value exceeds 0.42.
    """

    def enclose(x: Box) -> Box:
        return widened(Box(*map(_digamma, x)), Budget(8, input=32), at=(x.lower.clamp(max=2), x.upper.clamp(max=2)))

    return _off_the_poles(input, enclose)


def _digamma(x: Tensor) -> Tensor:
    """The digamma function ψ; for x < 0 as ψ(1 - x) - π cot πr, where x - r is the integer nearest to x."""
    left = x < 0
    r = torch.where(left, x - torch.round(x.detach()), 0.25)
    reflected = torch.digamma(1 - x.clamp(max=0)) - pi / torch.tan(pi * r)
    return torch.where(left, reflected, torch.digamma(torch.where(left, 1.0, x)))


def _off_the_poles(x: Box, enclose: Callable[[Box], Box], least: Callable[[Box], Tensor] | None = None) -> Box:
    """Apply a rule to boxes that lie between two neighbouring poles or in x > 0.

    Other boxes get the whole line, or the half-line from `least` on. The poles are 0, -1, -2... Far below zero the
    distance of two floats is not much less than that of two poles, so boxes below -10^4 get the whole line.
    """
    floor = torch.floor(x.lower)
    between = (floor == torch.floor(x.upper)) & (x.lower > floor) & (x.lower > -1e4)
    outside = (x.lower <= 0) & ~between
    lower, upper = enclose(Box(*(end.masked_fill(outside, 1.0) for end in x)))
    lower, upper = lower.masked_fill(outside, -inf), upper.masked_fill(outside, inf)
    if least is not None and (not readable(x.lower) or anywhere(outside)):
        near = outside & (x.lower > -1e4)
        reached = least(Box(x.lower.masked_fill(~near, -0.5), x.upper.masked_fill(~near, 0.5)))
        lower = torch.where(near, reached, lower)
    return Box(lower, upper)


@torch.no_grad()
def _turn(x: Tensor) -> Tensor:
    """Where log |Γ| is least between the two poles around x < 0, which is a root t of ψ.

    By the reflection formula t lies π⁻¹ arccot(-ψ(1 - t) / π) above the lower pole. Each step of this fixed-point
    iteration divides the error by at least 15.
    """
    pole = torch.floor(x.double().clamp(-1e4, -0.5))
    t = pole + 0.5
    for _ in range(8):
        t = pole + torch.atan2(torch.full_like(t, pi), torch.digamma(1 - t)) / pi
    return t.to(x.dtype)


@rule("mvlgamma", "multigammaln", formula=r"\log \Gamma_p(x)", family="gamma", proven=True)
def mvlgamma(input: Box, p: int) -> Box:
    """The sum of log Γ(x - i/2) over i < p, plus a constant. Convex, with its minimum where the sum of ψ(x - i/2) is 0.

    Each of the 3 p + 4 operations errs by some eps of the sum of the absolute values.
    """
    if p < 1:
        raise DomainError(f"mvlgamma is defined for p >= 1, not {p}", "pass a positive dimension")
    input = check_domain("mvlgamma", input, ((p - 1) / 2, inf))
    constant = p * (p - 1) / 4 * math.log(pi)
    shifts = [i / 2 for i in range(p)]

    def value(x: Tensor) -> Tensor:
        return functools.reduce(torch.add, [_lgamma(x - shift) for shift in shifts]) + constant

    def size(x: Tensor) -> Tensor:  # 2 for each shifted argument, whose rounding error is multiplied by ψ
        total = functools.reduce(torch.add, [_lgamma(x - shift).abs() + 2 for shift in shifts]) + constant
        return total.nan_to_num(posinf=torch.finfo(x.dtype).max)

    l, u = input
    turn = torch.minimum(torch.maximum(l, l.new_tensor(_turn_of_sum(p))), u)
    at_l, at_u, least = value(l), value(u), value(turn)
    largest = torch.maximum(at_l, at_u)
    with torch.no_grad():
        errors = size(turn), torch.maximum(size(l), size(u))
    return widened(Box(least, largest), Budget(2, input=3 * p + 8), at=errors)


@functools.lru_cache(maxsize=64)
def _turn_of_sum(p: int) -> float:
    """The root of Σ ψ(x - i/2), by bisection. It uses Python numbers, because tensors may be traced here."""
    low, high = (p - 1) / 2, (p - 1) / 2 + 2.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if sum(_psi(middle - i / 2) for i in range(p)) > 0 else (middle, high)
    return high


def _psi(x: float) -> float:
    """The digamma function by recurrence and four terms of its expansion, with an error below 10^-10."""
    steps = range(max(0, 10 - math.floor(x)))
    s = 1 / (x + len(steps)) ** 2
    far = math.log(x + len(steps)) - math.sqrt(s) / 2 - s * (1 / 12 - s * (1 / 120 - s / 252))
    return far - sum(1 / (x + k) for k in steps)


# --- Hurwitz's zeta function and the derivatives of ψ -----------------------------------------------------------------


@rule("zeta", formula=r"\sum_k (y + k)^{-x}", family="zeta", image=(0.0, inf), proven=True, sharp=False)
def zeta(input: Operand, other: Operand) -> Box:
    """The hull for y >= 1. For y < 1 the first term and the sum of the others are bounded independently.

    Decreasing in y; decreasing in x where y >= 1. For y < 1 the first term grows with x, and the others fall.
    """
    x, y = operands(input, other)
    x, y = as_tensors(x, y), as_tensors(y, x)
    x = check_domain("zeta", x, (1.0, inf))
    y = check_domain("zeta", y, (0.0, inf))
    first = y.upper.clamp(max=1)
    split = first**-x.lower + _zeta(x.upper, first + 1)
    lower = torch.where((y.upper >= 1) | (x.lower == x.upper), _zeta(x.upper, y.upper), split)
    upper = torch.maximum(_zeta(x.lower, y.lower), _zeta(x.upper, y.lower))
    if not rounding.outward():
        return ordered(lower, upper)
    # The rounding of y + k changes a power by x eps/2 of itself. Where the computed sum overflows, the real sum may be
    # finite.
    lower = torch.where(y.upper > 0, lower.clamp(max=torch.finfo(lower.dtype).max / 4), lower)
    return widened(
        Box(lower, upper), Budget(8, input=1), (0.0, inf), at=(_power_error(x, lower), _power_error(x, upper))
    )


@torch.no_grad()
def _power_error(x: Box, y: Tensor) -> Tensor:
    """A bound x y on the error of a sum y of powers to the -x, in units of eps.

    Beyond `ONE_POWER` the sum is one power of y itself, which has no such error.
    """
    return (x.upper.clamp(max=ONE_POWER) * y).clamp(max=torch.finfo(y.dtype).max)


ONE_POWER = 2048.0
"""From this exponent on the first term is taken for the sum. The sum of the others is at most 2^-2046 where y >= 1, and
at most 2^-2046 of the first where y < 1. Both are less than the smallest normal number."""


def _zeta(x: Tensor, y: Tensor) -> Tensor:
    """Hurwitz's zeta function; torch's kernel gives NaN for large x, and 0 for large y."""
    x, y = torch.broadcast_tensors(x, y)
    infinite = (x == inf) | (y == inf)
    power, late = (x > ONE_POWER) & ~infinite, (x <= ONE_POWER) & (y > 1e8) & ~infinite
    own = infinite | power | late
    value = torch.special.zeta(x.masked_fill(own, 2.0), y.masked_fill(own, 1.0))
    value = torch.where(power, y.masked_fill(~power, 1.0) ** -x.masked_fill(~power, 1.0), value)
    value = torch.where(late, _late_zeta(x.masked_fill(~late, 2.0), y.masked_fill(~late, 1.0)), value)
    limit = torch.where((y < 1) & (x > 1), inf, torch.where((y == 1) & (x > 1), 1.0, 0.0)).to(value.dtype)
    return torch.where(infinite, torch.where(x == 1, inf, limit), value)


def _late_zeta(x: Tensor, y: Tensor) -> Tensor:
    r"""Three terms of the Euler-Maclaurin sum, $y^{1-x} (1/(x-1) + 1/2y + x/12y^2)$, for y > 10^8 and x <= 2048.

    The error is less than the next term, which is 10^-21 of the first. 1 - x is exact up to x = 2. Beyond, the power is
    a product of two factors that do not underflow before the power does.
    """
    near, half = y ** (1 - x.clamp(max=2)), y ** (-x.clamp(min=2) / 2)
    return torch.where(x <= 2, near, half * y * half) * (1 / (x - 1) + (0.5 + x / y / 12) / y)


@rule("polygamma", formula=r"\psi^{(n)}(x)", family="gamma", proven=True, sharp=False)
def polygamma(n: Any = None, input: Any = None, *, self: Any = None, x: Any = None) -> Box:
    """The hull for x > 0. A box that reaches 0 or below gets the whole image.

    The value is (-1)^{n+1} n! ζ(n + 1, x). For x > 0 it falls if n is odd and grows if n is even. The image is
    [0, inf] for odd n, and the whole line for even n >= 2.
    The rounding of x + k changes its power by (n + 1) eps/2 of itself. The zeta function may underflow where the
    product with n! does not; the absolute budget covers this.
    """
    first, second = (value for value in (n, input, self, x) if value is not None)
    order, box = (second, first) if isinstance(first, Box) else (first, second)
    if order == 0:
        return digamma(box)
    if not 0 < order <= 100:
        raise UnsupportedOpError(
            f"no interval rule for polygamma of order {order}", "orders from 0 to 100 have one; n! overflows early"
        )
    falls = order % 2 == 1
    outside = box.lower <= 0
    factor = float(math.factorial(order))
    ends = (end.masked_fill(outside, 1.0).double() for end in box)
    near, far = (factor * _zeta(end.new_tensor(order + 1.0), end) for end in ends)
    lower, upper = (far, near) if falls else (-near, -far)
    image = (0.0, inf) if falls else (-inf, 0.0)
    lower, upper = widened(Box(lower, upper), Budget(8 + order, absolute=factor + 1), image)
    lower, upper = rounding.cast(lower, upper, box.lower.dtype)
    return Box(lower.masked_fill(outside, 0.0 if falls else -inf), upper.masked_fill(outside, inf))
