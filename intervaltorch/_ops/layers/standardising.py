r"""Normalisation: numerator and denominator share the entries, so they are bounded together.

Let $y_i = c_i / \sqrt{S/n + \epsilon}$ with $c = x - \bar x$ and $S = \sum_j c_j^2$. The deviations of the other
entries sum to $-c_i$, so $S \ge \frac{n}{n-1} c_i^2$ and

$$y_i \le c / \sqrt{\max(\underline S / n, c^2 / (n-1)) + \epsilon} \text{ for } c = \max c_i \ge 0, \qquad
y_i \le c / \sqrt{\overline S / n + \epsilon} \text{ otherwise.}$$

The bound is at most $\sqrt{n-1}$, and exact for a single point. The bounds of $c_i$ and of S are best possible from
below and nearly so from above, but a point of the box need not reach both: that is all that is lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from math import inf
from typing import Any

import torch
from torch import Tensor

from ... import _rounding as rounding
from ..._compat import anywhere, readable
from ..._records.registry import Box
from ..._rounding import CORRECTLY_ROUNDED, ieee_budget, untracked
from ..._theorems.boxes import ordered, share
from ..._theorems.sums import above, below, size_of_reduction
from ...errors import DomainError
from ..elementwise.arithmetic import add, mul
from ..reductions.moments import deviations
from ..reductions.reductions import mean

TWO_OPERATIONS = ieee_budget(1)
BEFORE_ROOT = ieee_budget(2.5)
"""One eps for the rounding of eps and of the sum. The root errs by u, as if its argument erred by less than 3/2 eps."""
Divisor = Callable[[Tensor], Tensor]


def reshaped(x: Any, *shape: int) -> Any:
    """A box or tensor in another shape; None stays None."""
    return (
        Box(x.lower.reshape(shape), x.upper.reshape(shape))
        if isinstance(x, Box)
        else x
        if x is None
        else x.reshape(shape)
    )


def clipped(lower: Tensor, upper: Tensor, limit: float) -> Box:
    """Cut bounds to [-limit, limit]. NaN, from 0 / 0, becomes the limit."""
    if rounding.outward():
        limit = rounding.neighbour(limit if limit.is_integer() else math.nextafter(limit, inf), lower.dtype, inf)
    return ordered(lower.nan_to_num(nan=-limit).clamp(-limit, limit), upper.nan_to_num(nan=limit).clamp(-limit, limit))


def quotients(x: Box, least: Divisor, most: Divisor, limit: float) -> Box:
    """Divide x by a divisor that lies between `least(x)` and `most(x)`.

    A positive upper end is divided by the least divisor, a negative one by the greatest. One of the two summands is 0.
    """
    upper = x.upper.clamp(min=0) / least(x.upper) + x.upper.clamp(max=0) / most(x.upper)
    lower = x.lower.clamp(max=0) / least(x.lower) + x.lower.clamp(min=0) / most(x.lower)
    return clipped(below(lower, CORRECTLY_ROUNDED), above(upper, CORRECTLY_ROUNDED), limit)


def root(x: Tensor, positive: bool) -> Tensor:
    """The square root, with gradient 0 at 0 if x may be 0 there."""
    return x.sqrt() if positive else torch.where(x > 0, torch.where(x > 0, x, 1.0).sqrt(), 0.0)


def root_below(x: Tensor, eps: float) -> Tensor:
    """A lower bound of the root of x + eps, also where x overflowed."""
    if not rounding.outward():
        return root((x + eps).clamp(max=torch.finfo(x.dtype).max), eps > 0)
    # The argument is not negative in real arithmetic. The cut is a constant for autograd.
    inner = below(x + eps, BEFORE_ROOT)
    untracked(inner).clamp_(min=0)
    return root(inner, eps > 0)


def root_above(x: Tensor, eps: float) -> Tensor:
    """An upper bound of the root of x + eps."""
    return root(above(x + eps, BEFORE_ROOT), eps > 0)


def check_eps(eps: float, degenerate: Tensor | None) -> None:
    """Refuse a norm that divides by 0 at a point of the box, or by the root of a negative number.

    Raises:
        DomainError: if eps is negative, or 0 where `degenerate` says that the entries may have no spread.
    """
    if eps < 0:
        raise DomainError(f"a norm with eps={eps:g} takes the root of a number that may be negative", "pass eps >= 0")
    if degenerate is not None and readable(degenerate) and anywhere(degenerate):
        raise DomainError(
            f"a norm with eps={eps:g} is 0 / 0 at a point of the box",
            share(degenerate, "contain such a point"),
            "pass eps > 0, or keep the box away from points whose entries are all equal (all 0, for a norm that"
            " subtracts no mean)",
        )


def scaled(y: Box, weight: Any, bias: Any) -> Box:
    """Apply the weight and the bias of a norm."""
    y = y if weight is None else mul(y, weight)
    return y if bias is None else add(y, bias)


# --- mean-centred norms -----------------------------------------------------------------------------------------------


def own_share(z: Box, share: Any) -> Tensor:
    """A lower bound of this share of the width of each entry; 0 where the width overflows. Three steps are rounded."""
    return below(((z.upper - z.lower) * share).nan_to_num(0.0, 0.0), ieee_budget(2))


def standardise(x: Box, dim: Any, eps: float) -> Box:
    r"""Bound $(x - \bar x) / \sqrt{\mathrm{var}(x) + \epsilon}$ over some dimensions; see the top of this file.

    Where the quotient is 0 / 0 at a point of the box, the result bounds the other points only. Callers refuse such a
    box or drop the result.
    """
    n = size_of_reduction(x.lower, x.lower.sum(dim))
    found = deviations(x, dim, exact=n <= 64)  # a search among more would take longer than the rest
    z = found.centred
    # c_i = x_i - mean = (n-1)/n x_i - (sum of the others)/n, where x_i occurs once.
    average, own = mean(z, dim, keepdim=True), own_share(z, 1 / n)
    upper = above(above(z.upper - average.lower, CORRECTLY_ROUNDED) - own, CORRECTLY_ROUNDED)
    lower = below(below(z.lower - average.upper, CORRECTLY_ROUNDED) + own, CORRECTLY_ROUNDED)
    limit = torch.finfo(lower.dtype).max  # no gradient flows to what is larger
    lower, upper, most = lower.clamp(min=-limit), upper.clamp(max=limit), found.most.clamp(max=limit)
    smallest, largest = below(_square(found.least) / n, TWO_OPERATIONS), above(most * most / n, TWO_OPERATIONS)
    greatest = root_above(largest, eps)

    def least(end: Tensor) -> Tensor:
        return root_below(torch.maximum(smallest, below(_square(end) / max(1, n - 1), TWO_OPERATIONS)), eps)

    return quotients(Box(lower, upper), least, lambda end: greatest, math.sqrt(max(0, n - 1)))


def _square(x: Tensor) -> Tensor:
    """A lower bound of the square. Where the square overflows, it is that of a constant."""
    info = torch.finfo(x.dtype)
    largest = math.sqrt(info.max) * (1 - info.eps)
    return x.clamp(-largest, largest).square()


def norm(x: Box, dim: Any, eps: float) -> Box:
    """Standardise over some dimensions; refuse a box that contains a point at which the norm is 0 / 0."""
    check_eps(eps, x.lower.amax(dim) <= x.upper.amin(dim) if eps == 0 and x.lower.numel() else None)
    return standardise(x, dim, eps)
