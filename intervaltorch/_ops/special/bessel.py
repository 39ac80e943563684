r"""Bessel functions of the first and second kind, $J_0$, $J_1$, $Y_0$, $Y_1$: damped waves.

torch's kernels err by 10^9 eps in float64 between 4.9 and 25. So values are computed here, in float64 for every dtype:

- below 1/4 by eight terms of the power series. The ninth is less than 10^-17 of the first;
- from 1/4 to 25 by Miller's backward recurrence $J_{k-1} = (2k/x) J_k - J_{k+1}$ from k = 70 and by Neumann's series,
  see Abramowitz and Stegun (1964), 9.1.46, 9.1.87-88 and 9.12, example 1. The neglected terms are less than
  $J_{70}(25) < 10^{-22}$;
- from 25 by Hankel's expansion (9.2.5-10). Its error is less than the first neglected term.

Between two neighbouring extremes each function is monotone. The extremes shrink as x grows: each function solves
$(x y')' + (x - \nu^2/x) y = 0$, and by the theorem of Sonin and Pólya they shrink where $x (x - \nu^2/x) > 0$ grows,
which holds from the first extreme on. So the first two extremes inside a box exceed all later ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from math import inf, pi

import torch
from torch import Tensor

from ... import _rounding as rounding
from ..._records.registry import Box
from ..._rounding import Budget
from ..._theorems.boxes import check_domain, hull
from ..._theorems.families import rule
from ..._theorems.operands import widened
from .modified_bessel import with_slope
from .waves import extremes

EULER = 0.5772156649015329
BUDGET = Budget(8, input=24)
"""The largest error measured is a third of this, in units of the value and of the amplitude of the wave."""

# --- values -----------------------------------------------------------------------------------------------------------


def _values(x: Tensor) -> list[Tensor]:
    """Values of J0, J1, Y0, Y1 at x >= 0 in float64, each of the shape of x."""
    near, middle, far = _near(x.clamp(5e-324, 0.25)), _middle(x.clamp(0.25, 25.0)), _far(x.clamp(25.0, 1e300))
    chosen = [torch.where(x < 0.25, a, torch.where(x < 25, b, c)) for a, b, c in zip(near, middle, far)]
    chosen[2:] = [value.masked_fill(x == 0, -inf) for value in chosen[2:]]
    return [value.masked_fill(x == inf, 0.0) for value in chosen]


def _near(x: Tensor) -> list[Tensor]:
    """Values by power series.

    log(x/2) is computed as log x - log 2, because half of a subnormal x may be 0. The pole of Y1 is computed as
    (2/π) / x, because 1/x may overflow where 2/πx does not.
    """
    q, half = -x * x / 4, x / 2
    log = torch.log(x) - math.log(2) + EULER
    j0, j1, s0, s1 = (torch.zeros_like(x) for _ in range(4))
    term0, term1, harmonic = torch.ones_like(x), torch.ones_like(x), 0.0
    for k in range(8):
        j0, j1 = j0 + term0, j1 + term1
        s0, s1 = s0 + harmonic * term0, s1 + (2 * harmonic + 1 / (k + 1)) * term1
        harmonic += 1 / (k + 1)
        term0, term1 = term0 * q / (k + 1) ** 2, term1 * q / ((k + 1) * (k + 2))
    j1 = half * j1
    return [j0, j1, 2 / pi * (log * j0 - s0), 2 / pi * log * j1 - torch.full_like(x, 2 / pi) / x - half * s1 / pi]


def _middle(x: Tensor) -> list[Tensor]:
    """Values by backward recurrence and Neumann's series."""
    above, here = torch.zeros_like(x), torch.full_like(x, 1e-250)
    total, s0, s1 = (torch.zeros_like(x) for _ in range(3))
    for k in range(70, 0, -1):
        if k % 2 == 0:
            total = total + 2 * here
            s0 = s0 + ((-1) ** (k // 2) / (k // 2)) * here
        elif k > 1:
            m = k // 2
            s1 = s1 + ((-1) ** m * k / (m * (m + 1))) * here
        above, here = here, (2 * k / x) * here - above
    total = total + here
    j0, j1, s0, s1 = here / total, above / total, s0 / total, s1 / total
    log = torch.log(x / 2) + EULER
    return [j0, j1, 2 / pi * (log * j0 - 2 * s0), 2 / pi * ((log - 1) * j1 - j0 / x - s1)]


def _far(x: Tensor) -> list[Tensor]:
    """Values by Hankel's expansion. The sine and cosine of x give those of the phases x - π/4 and x - 3π/4."""
    wave = torch.sqrt(1 / x) / math.sqrt(pi)  # with the factor 1/√2 of the phases
    plus, minus = torch.cos(x) + torch.sin(x), torch.sin(x) - torch.cos(x)
    (p0, q0), (p1, q1) = _hankel(0.0, x), _hankel(4.0, x)
    return [
        wave * (p0 * plus - q0 * minus), wave * (p1 * minus + q1 * plus),
        wave * (p0 * minus + q0 * plus), wave * (q1 * minus - p1 * plus),
    ]  # fmt: skip


def _hankel(mu: float, x: Tensor) -> tuple[Tensor, Tensor]:
    """The series P and Q, with 25 terms in all."""
    sums = [torch.ones_like(x), torch.zeros_like(x)]
    term = torch.ones_like(x)
    for k in range(1, 25):
        term = term * ((mu - (2 * k - 1) ** 2) / (8 * k)) / x
        sums[k % 2] = sums[k % 2] + (-1) ** (k // 2) * term
    return sums[0], sums[1]


def _kernel(index: int) -> Callable[[Tensor], Tensor]:
    """The function with this index in `_values`, with its derivative."""

    def slope(x: Tensor) -> Tensor:
        values = _values(x)
        if index % 2 == 0:
            return -values[index + 1]
        return torch.where(x == 0, 0.5 if index == 1 else inf, values[index - 1] - values[index] / x)

    return with_slope(lambda x: _values(x)[index], slope)


# --- extremes ---------------------------------------------------------------------------------------------------------

NAMES = ("bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1")
SHIFTS = (0.25, -0.25, -0.25, 0.25)  # the k-th extreme lies near (k + shift) π, a little before it


def _extreme_beyond(index: int, k: Tensor) -> tuple[Tensor, Tensor]:
    """Place and value of the k-th extreme by McMahon's expansions (9.5.12-13). The error is below 10^-12 for k > 24."""
    b = (k + SHIFTS[index]) * pi
    e = 1 / (8 * b)
    if index % 2 == 0:  # zeros of J1 and Y1
        x = b - e * (3 + 4 * e**2 * (-3) + 32 * e**4 * (3 * (83 * 16 - 982 * 4 + 3779) / 15))
    else:
        x = b - e * (
            7 + 4 * e**2 * (7 * 16 + 82 * 4 - 9) / 3 + 32 * e**4 * (83 * 64 + 2075 * 16 - 3039 * 4 + 3537) / 15
        )
    return x, _far(x)[index]


def _extremes(index: int, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest and the largest extreme in [a, b]. The modulus is √(2 / πx), up to 1 / x² of itself."""
    start = torch.floor(a.clamp(max=1e13) / pi - SHIFTS[index])
    envelope = torch.sqrt(2 / (pi * a.clamp(min=1)))
    return extremes(NAMES[index], a, b, start, partial(_extreme_beyond, index), 1e13, envelope)


def _right_of_zero(index: int, x: Box) -> Box:
    """The hull over a box of non-negative numbers in float64, rounded outward if the mode asks."""
    l, u = x
    at_l, at_u = (_kernel(index)(end) for end in x)
    lowest, highest = _extremes(index, l.detach(), u.detach())
    lower = torch.minimum(torch.minimum(at_l, at_u), lowest)
    upper = torch.maximum(torch.maximum(at_l, at_u), highest)
    if not rounding.outward():
        return Box(lower, upper)
    largest = l.detach().abs().rsqrt().clamp(max=1.0)  # the amplitude; J1 is also less than x / 2
    size = torch.minimum(largest, u.detach()) if index == 1 else largest
    return widened(Box(lower, upper), BUDGET, IMAGES[index], at=(size, size))


IMAGES = {0: (-0.402760, 1.0), 1: (-0.581866, 0.581866), 2: (-inf, 0.520787), 3: (-inf, 0.416730)}


def _cast(box: Box, dtype: torch.dtype) -> Box:
    """Convert bounds to a dtype, rounded outward if the mode asks."""
    return Box(*rounding.cast(box.lower, box.upper, dtype))


@rule("bessel_j0", formula="J_0(x)", family="waves", image=IMAGES[0], proven=True)
def bessel_j0(input: Box) -> Box:
    """The hull. The function is even, with its maximum 1 at 0."""
    l, u = (end.double() for end in input)
    inside = (l <= 0) & (u >= 0)
    zero = torch.zeros_like(l)
    size = Box(torch.where(inside, zero, torch.minimum(l.abs(), u.abs())), torch.maximum(l.abs(), u.abs()))
    return _cast(_right_of_zero(0, size), input.lower.dtype)


@rule("bessel_j1", formula="J_1(x)", family="waves", image=IMAGES[1], proven=True)
def bessel_j1(input: Box) -> Box:
    """The hull. The function is odd, so the part of the box below 0 is mirrored."""
    l, u = (end.double() for end in input)
    right = _right_of_zero(1, Box(l.clamp(min=0), u.clamp(min=0)))
    left = _right_of_zero(1, Box((-u).clamp(min=0), (-l).clamp(min=0)))
    left = Box(-left.upper, -left.lower)
    both = hull(left, right)
    lower = torch.where(l >= 0, right.lower, torch.where(u <= 0, left.lower, both.lower))
    upper = torch.where(l >= 0, right.upper, torch.where(u <= 0, left.upper, both.upper))
    return _cast(Box(lower, upper), input.lower.dtype)


def _second_kind(name: str, index: int) -> None:
    """Register Y0 or Y1, the function with this index in `_values`."""

    @rule(name, formula=f"Y_{index - 2}(x)", family="waves", domain=(0.0, inf), image=IMAGES[index], proven=True)
    def bessel_y(input: Box) -> Box:
        """The hull. The value at 0 is -inf."""
        input = check_domain(name, input, (0.0, inf))
        return _cast(_right_of_zero(index, Box(*(end.double() for end in input))), input.lower.dtype)


_second_kind("bessel_y0", 2)
_second_kind("bessel_y1", 3)
