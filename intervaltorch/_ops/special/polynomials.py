r"""Orthogonal polynomials of a fixed degree: Chebyshev's four kinds, Legendre, Hermite, Laguerre.

Each obeys the recurrence $P_{k+1} = (a_k x + b_k) P_k - c_k P_{k-1}$, which evaluates it in float64. Its roots are
real: they are the eigenvalues of the Jacobi matrix of the same coefficients (Golub and Welsch 1969). Between two
neighbouring roots lies one extreme. So the values at l, at u and at the extremes inside span the range over [l, u].

*Rounding.* Step k errs by at most $\delta_k = 4\varepsilon((|a_k x| + |b_k|)|P_k| + c_k|P_{k-1}|)$, however the
coefficients are rounded. The error of $P_n$ is $\sum_k G_{nk} \delta_k$, where G obeys the recurrence from step k on.

- For Chebyshev's kinds $G_{nk} = U_{n-k}(x)$, which is at most $U_{n-k}(\max(1, |x|))$.
- For Legendre the same bound holds: for |x| >= 1 because its coefficients are smaller, and for |x| < 1 by numerical
  comparison up to the highest degree.
- For the others the recurrence is run with all terms positive. For Laguerre and x >= 0 also
  $G_{nk} \le (n - k) e^{x/2}$, by numerical comparison.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from fractions import Fraction
from math import inf
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ... import _rounding as rounding
from ..._records.registry import Box
from ..._rounding import Budget
from ..._theorems.boxes import as_box
from ..._theorems.families import rule
from ..._theorems.operands import widened
from ...errors import UnsupportedOpError

HIGHEST = 64
EPS = 2.0**-52


@dataclasses.dataclass(frozen=True)
class Kind:
    """A family of polynomials.

    Attributes:
        step: gives a, b and c of step k.
        largest: gives the largest modulus on [-1, 1] of degrees up to n; infinite if that is not known.
        stable: whether errors grow like Chebyshev's U.
        leading: the sign of a, which is also the sign of the leading coefficient of odd degrees.
    """

    step: Callable[[int], tuple[Fraction, Fraction, Fraction]]
    largest: Callable[[Tensor], Tensor] = lambda n: n + inf
    stable: bool = False
    leading: int = 1


def _chebyshev(a: int, b: int, largest: Callable[[Tensor], Tensor]) -> Kind:
    """One of Chebyshev's four kinds, which differ in the first step only."""
    first, later = (Fraction(a), Fraction(b), Fraction(0)), (Fraction(2), Fraction(0), Fraction(1))
    return Kind(lambda k: later if k else first, largest, stable=True)


def _of(*coefficients: Any) -> tuple[Fraction, Fraction, Fraction]:
    """The coefficients of a step, as fractions."""
    a, b, c = map(Fraction, coefficients)
    return a, b, c


KINDS = {
    "chebyshev_polynomial_t": _chebyshev(1, 0, lambda n: n**0),
    "chebyshev_polynomial_u": _chebyshev(2, 0, lambda n: n + 1),
    "chebyshev_polynomial_v": _chebyshev(2, -1, lambda n: 2 * n + 1),
    "chebyshev_polynomial_w": _chebyshev(2, 1, lambda n: 2 * n + 1),
    "legendre_polynomial_p": Kind(
        lambda k: _of(Fraction(2 * k + 1, k + 1), 0, Fraction(k, k + 1)), lambda n: n**0, stable=True
    ),
    "hermite_polynomial_h": Kind(lambda k: _of(2, 0, 2 * k)),
    "hermite_polynomial_he": Kind(lambda k: _of(1, 0, k)),
    "laguerre_polynomial_l": Kind(
        lambda k: _of(Fraction(-1, k + 1), Fraction(2 * k + 1, k + 1), Fraction(k, k + 1)), leading=-1
    ),
}

# --- values -----------------------------------------------------------------------------------------------------------


def _value(kind: Kind, n: int, x: Any) -> Any:
    """The value at a tensor, or the exact value at a fraction."""
    number: Any = Fraction if isinstance(x, Fraction) else float
    before, here = (Fraction(0), Fraction(1)) if number is Fraction else (torch.zeros_like(x), torch.ones_like(x))
    for k in range(n):
        a, b, c = map(number, kind.step(k))
        before, here = here, (a * x + b) * here - c * before
    return here


@torch.no_grad()
def _error(kind: Kind, n: int, x: Tensor) -> Tensor:
    """A bound on the rounding error of `_value`, in units of eps."""
    size = x.abs()
    growth = [torch.zeros_like(x), torch.ones_like(x)]  # U_{-1}, U_0, ... at max(1, |x|)
    if kind.stable:
        for _ in range(n):
            growth.append(2 * size.clamp(min=1) * growth[-1] - growth[-2])
    before, here = torch.zeros_like(x), torch.ones_like(x)
    total, previous, error = (torch.zeros_like(x) for _ in range(3))
    for k in range(n):
        a, b, c = map(float, kind.step(k))
        local = 4 * ((abs(a) * size + abs(b)) * here.abs() + c * before.abs())
        total = total + (growth[n - k] if kind.stable else n - k) * local
        previous, error = error, (abs(a) * size + abs(b)) * error + c * previous + local
        before, here = here, (a * x + b) * here - c * before
    if kind.leading < 0:  # Laguerre
        error = torch.where(x < 0, error, torch.fmin(error, total * torch.exp(x / 2)))  # 0 times infinity is no bound
    return (total if kind.stable else error) * 1.01 + here.abs()


def _enclose_value(kind: Kind, n: int, x: Tensor) -> Box:
    """The value with its rounding error. Where float64 overflows, |P| > 2^1000 is known.

    An overflow occurs only beyond all roots, where degrees below n have smaller values. If a product overflows, the
    value is at least 1/(2n) of it. If the error overflows, the value is at least 1/(8n²) of it. The value has the sign
    of x^n times that of the leading coefficient.
    """
    with torch.no_grad():
        far = ~(_value(kind, n, x).isfinite() & _error(kind, n, x).isfinite())
        positive = (x * kind.leading > 0) | (n % 2 == 0)
        infinite = torch.full_like(x, inf)
        least = torch.where(x.isinf(), infinite, 2.0**1000) if rounding.outward() else infinite
    safe = x.masked_fill(far, 0.0)
    value = _value(kind, n, safe)
    box = widened(Box(value, value.clone()), Budget(1, input=1), at=(_error(kind, n, safe),) * 2)
    lower = torch.where(far, torch.where(positive, least, -infinite), box.lower)
    upper = torch.where(far, torch.where(positive, infinite, -least), box.upper)
    return Box(lower, upper)


# --- extremes ---------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _extremes(name: str, n: int) -> list[tuple[float, float]]:
    """Where the polynomial turns, and its values there. The last digit of each may be wrong."""
    kind = KINDS[name]
    steps = [tuple(map(float, kind.step(k))) for k in range(n)]
    diagonal = [-b / a for a, b, _ in steps]
    beside = [np.sqrt(steps[k][2] / (steps[k - 1][0] * steps[k][0])) for k in range(1, n)]
    roots = np.linalg.eigvalsh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
    # Between two roots the logarithmic derivative, the sum of 1 / (x - root), falls from +inf to -inf.
    low, high = roots[:-1].copy(), roots[1:].copy()
    for _ in range(80):
        middle = (low + high) / 2
        rising = (1 / (middle[:, None] - roots)).sum(1) > 0
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    return [(float(x), float(_value(kind, n, Fraction(float(x))))) for x in high]


def _enclose(name: str, n: int, x: Box) -> Box:
    """The hull for one degree in float64; 0 for a negative degree."""
    if n < 0:
        return Box(torch.zeros_like(x.lower), torch.zeros_like(x.upper))
    kind = KINDS[name]
    l, u = x
    at_l, at_u = _enclose_value(kind, n, l), _enclose_value(kind, n, u)
    lower, upper = torch.minimum(at_l.lower, at_u.lower), torch.maximum(at_l.upper, at_u.upper)
    for place, value in _extremes(name, n) if n > 1 else ():
        margin = 1e-12 * max(abs(place), 1.0)  # more than the error of `place`: no extreme inside is missed
        inside = (l <= place + margin) & (u >= place - margin)
        room = 4 * EPS * abs(value) if rounding.outward() else 0.0
        lower = torch.where(inside, lower.clamp(max=value - room), lower)
        upper = torch.where(inside, upper.clamp(min=value + room), upper)
    return Box(lower, upper)


# --- rules ------------------------------------------------------------------------------------------------------------


def _register(name: str, shifted: bool = False) -> None:
    """Register a polynomial, or its shifted form."""
    letter = {"laguerre": "L", "legendre": "P", "hermite": "H"}.get(name.partition("_")[0], name[-1].upper())
    formula = f"{'He' if name.endswith('_he') else letter}_n({'2 x - 1' if shifted else 'x'})"

    @rule(("shifted_" if shifted else "") + name, formula=formula, family="polynomial", proven=True)
    def polynomial(x: Any, n: Any) -> Box:
        """The hull over all degrees in a box. Degrees are cut to integers and go up to 64; P is 0 for negative ones."""
        box, degrees = as_box(x), as_box(n)
        kind = torch.result_type(box.lower, degrees.lower)
        ends = (torch.as_tensor(end, dtype=torch.float64) for end in (*box, *degrees))
        lower, upper, least, most = torch.broadcast_tensors(*ends)
        least, most = (end.detach().trunc().clamp(min=-1) for end in (least, most))
        values = _degrees(name, n, least, most)
        if shifted:
            wide = Box(2 * lower - 1, 2 * upper - 1)
            lower, upper = widened(wide) if rounding.outward() else wide
        low, high = torch.full_like(lower, inf), torch.full_like(lower, -inf)
        for value in values:
            here = (least <= value) & (value <= most)
            one = _enclose(name, value, Box(lower, upper))
            low = torch.where(here, torch.minimum(low, one.lower), low)
            high = torch.where(here, torch.maximum(high, one.upper), high)
        low, high = rounding.cast(low, high, kind if kind.is_floating_point else torch.get_default_dtype())
        largest = torch.where((lower >= -1) & (upper <= 1), KINDS[name].largest(most.clamp(min=0)), inf).to(low.dtype)
        return Box(torch.maximum(low, -largest), torch.minimum(high, largest))


def _degrees(name: str, n: Any, least: Tensor, most: Tensor) -> list[int]:
    """The degrees that occur. A number is handled without reading tensors, because tracing forbids that."""
    if isinstance(n, (int, float)):
        values = [max(math.trunc(n), -1)]
    elif not most.numel():
        return []
    else:
        limit = HIGHEST + 1  # infinite degrees are refused, too
        span = range(int(least.clamp(max=limit).min()), int(most.clamp(max=limit).max()) + 1)
        values = [value for value in span if value == limit or bool(((least <= value) & (value <= most)).any())]
    if values[-1] > HIGHEST:
        raise UnsupportedOpError(
            f"no interval rule for {name} of a degree above {HIGHEST}",
            "pass smaller degrees, or a narrower box of them",
        )
    return values


for _name in KINDS:
    _register(_name)
    if _name.startswith("chebyshev"):
        _register(_name, shifted=True)
