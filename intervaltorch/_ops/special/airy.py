r"""The Airy function $\mathrm{Ai}(x)$: it falls for x > 0, and is a damped wave for x < 0.

torch's kernel errs by up to 10^11 eps in float64. So values are computed here, in float64 for every dtype. With
$\zeta = \tfrac23 |x|^{3/2}$ they come

- for |x| <= 9 from Taylor's series at the nearest integer $x_0$. The equation $y'' = x y$ gives the recurrence
  $(n+1)(n+2) a_{n+2} = x_0 a_n + a_{n-1}$. The last of 26 terms is less than 10^-20 of the largest;
- for |x| > 9 from the expansions of Abramowitz and Stegun (1964), 10.4.59 and 10.4.60. Their error is less than the
  first neglected term, 10^-16. The rounding of $\zeta$ adds an error of $\zeta$ eps.

For x < 0 the modulus and the extremes shrink as |x| grows, by the theorem of Sonin and Pólya for $y'' + |x| y = 0$.
"""

from __future__ import annotations

import math
from math import inf, pi

import torch
from torch import Tensor

from ... import _rounding as rounding
from ..._records.registry import Box
from ..._rounding import Budget
from ..._theorems.families import rule
from ..._theorems.operands import widened
from .modified_bessel import with_slope
from .waves import extremes

EDGE = 9.0
BUDGET = Budget(40, input=40)
"""The largest error measured is a quarter of this, in units of the value and of the size in `_rounded`."""
IMAGE = (-0.419017, 0.535657)

# Ai and Ai' at integers, from mpmath.
TAYLOR = {
    -9: (-0.022133721547341403, -0.9756639809263316),
    -8: (-0.0527050503563862, 0.9355609381983065),
    -7: (0.18428083525050565, -0.7710081684101265),
    -6: (-0.3291451736298231, 0.3459354872813429),
    -5: (0.35076100902411433, 0.32719281855444315),
    -4: (-0.07026553294928951, -0.7906285753685813),
    -3: (-0.37881429367765806, 0.3145837692165988),
    -2: (0.22740742820168558, 0.618259020741691),
    -1: (0.5355608832923521, -0.01016056711664521),
    0: (0.3550280538878172, -0.2588194037928068),
    1: (0.13529241631288141, -0.1591474412967932),
    2: (0.03492413042327438, -0.05309038443365363),
    3: (0.006591139357460719, -0.011912976705951319),
    4: (0.0009515638512048018, -0.001958640950204179),
    5: (0.00010834442813607442, -0.0002474138908684625),
    6: (9.947694360252889e-06, -2.4765200397034955e-05),
    7: (7.492128863997167e-07, -2.008150894738792e-06),
    8: (4.6922076160992316e-08, -1.3414392979067865e-07),
    9: (2.47116843087249e-09, -7.480641389658946e-09),
}


def _both(x: Tensor) -> tuple[Tensor, Tensor]:
    """Ai and its derivative in float64."""
    near, left, right = _near(x.clamp(-EDGE, EDGE)), _left((-x).clamp(EDGE, 1e200)), _right(x.clamp(EDGE, 1e200))
    parts = (torch.where(x < -EDGE, a, torch.where(x > EDGE, b, c)) for a, b, c in zip(left, right, near))
    value, slope = (part.masked_fill(x.isinf(), 0.0) for part in parts)
    return value, slope


def _near(x: Tensor) -> tuple[Tensor, Tensor]:
    """Ai and Ai' by Taylor's series."""
    centre = torch.round(x)
    h = x - centre
    table = torch.tensor(list(TAYLOR.values()), dtype=x.dtype, device=x.device)
    row = table[(centre + EDGE).long()]
    a = [torch.zeros_like(x), row[..., 0], row[..., 1]]  # of the powers n - 1, n, n + 1
    value, slope, power = a[1] + a[2] * h, a[2], h
    for n in range(24):
        a = [a[1], a[2], (centre * a[1] + a[0]) / ((n + 1) * (n + 2))]
        slope = slope + (n + 2) * a[2] * power
        power = power * h
        value = value + a[2] * power
    return value, slope


def _series(zeta: Tensor) -> list[Tensor]:
    """Sums of u_k / ζ^k over even and over odd k, then the same of v_k / ζ^k, for k <= 24, with signs (-1)^(k//2)."""
    u, sums = torch.ones_like(zeta), [torch.ones_like(zeta), torch.zeros_like(zeta)] * 2
    for k in range(1, 25):
        u = u * ((6 * k - 5) * (6 * k - 1) / (72 * k)) / zeta
        sign = (-1) ** (k // 2)
        sums[k % 2] = sums[k % 2] + sign * u
        sums[2 + k % 2] = sums[2 + k % 2] - sign * (6 * k + 1) / (6 * k - 1) * u
    return sums


def _left(z: Tensor) -> tuple[Tensor, Tensor]:
    """Ai(-z) and Ai'(-z) far to the left."""
    zeta, root = z * z.sqrt() / 1.5, z.sqrt().sqrt()
    p, q, r, s = _series(zeta)
    plus, minus = torch.cos(zeta) + torch.sin(zeta), torch.sin(zeta) - torch.cos(zeta)  # √2 cos, √2 sin of ζ - π/4
    value = (plus * p + minus * q) / (root * math.sqrt(2 * pi))
    return value, (minus * r - plus * s) * root / math.sqrt(2 * pi)


def _right(x: Tensor) -> tuple[Tensor, Tensor]:
    """Ai and Ai' far to the right: the sums of u_k / ζ^k and v_k / ζ^k with signs (-1)^k."""
    zeta, root = x * x.sqrt() / 1.5, x.sqrt().sqrt()
    u = total = slope = torch.ones_like(x)
    for k in range(1, 25):
        u = -u * ((6 * k - 5) * (6 * k - 1) / (72 * k)) / zeta
        total, slope = total + u, slope - (6 * k + 1) / (6 * k - 1) * u
    decay = torch.exp(-zeta) / (2 * math.sqrt(pi))
    return decay * total / root, -decay * slope * root


_airy = with_slope(lambda x: _both(x)[0], lambda x: _both(x)[1])


def _extreme_beyond(k: Tensor) -> tuple[Tensor, Tensor]:
    """Place and value of the k-th extreme of Ai(-z), by 10.4.95 and 10.4.105. The error is below 10^-14 for k > 24."""
    t = 3 * pi * (4 * k - 3) / 8
    s = t**-2
    z = t ** (2 / 3) * (1 + s * (-7 / 48 + s * (35 / 288 - s * 181223 / 207360)))
    return z, _left(z)[0]


@rule("airy_ai", formula=r"\operatorname{Ai} x", family="waves", image=IMAGE, proven=True)
def airy_ai(x: Box) -> Box:
    """The hull. Far left, where floats lie too far apart to find extremes, the modulus 1 / (√π |x|^(1/4))."""
    l, u = (end.double() for end in x)
    at_l, at_u = _airy(l), _airy(u)
    a, b = (-u.detach()).clamp(min=0), (-l.detach()).clamp(min=0)
    start = torch.floor(a.clamp(max=1e10) ** 1.5 / (1.5 * pi) + 0.75)
    modulus = a.clamp(min=1.0) ** -0.25 / math.sqrt(pi)
    lowest, highest = extremes("airy_ai", a, b, start, _extreme_beyond, 1e8, modulus)
    box = Box(torch.minimum(torch.minimum(at_l, at_u), lowest), torch.maximum(torch.maximum(at_l, at_u), highest))
    if rounding.outward():
        box = _rounded(box, Box(l.detach(), u.detach()))
        # By 10.4.78 the true modulus is smaller than this one. The factor pays for the rounding of the power.
        limit = torch.where(a > EDGE, modulus * (1 + 1e-9), inf)
        box = Box(torch.maximum(box.lower, -limit), torch.minimum(box.upper, limit))
    return Box(*rounding.cast(box.lower, box.upper, x.lower.dtype))


def _rounded(box: Box, x: Box) -> Box:
    """Round outward by the budget.

    The error is relative to the value for x >= 1 and to the modulus for x < 1. It grows with ζ for |x| > 9.
    """

    def size(end: Tensor, value: Tensor) -> Tensor:
        z = end.abs().clamp(max=1e200)
        zeta = torch.where(z > EDGE, z * z.sqrt(), 0.0) / 20
        modulus = torch.where(end < 1, z.clamp(min=1.0) ** -0.25, value.abs())
        return torch.where(end.isinf(), 0.0, modulus * (1 + zeta))

    size_l, size_u = size(x.lower, _both(x.lower)[0]), size(x.upper, _both(x.upper)[0])
    largest = torch.maximum(size_l, size_u)
    falling = x.lower >= 0
    at = torch.where(falling, size_u, largest), torch.where(falling, size_l, largest)
    lower, upper = widened(box, BUDGET, IMAGE, at=at)
    return Box(torch.where(falling, lower.clamp(min=0.0), lower), upper)
