r"""Sums: their rounding errors, and bounds of sums whose entries vary.

Sums obey $|\hat s - s| \le \gamma_{n-1} \sum |x_i|$ in whatever order they are added (Higham 2002, *Accuracy and
Stability of Numerical Algorithms*, eq. 4.4).
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import torch
from torch import Tensor

from .. import _rounding as rounding
from .._records.registry import Box
from .._rounding import EXACT, Budget, untracked
from .signs import keep_sign

# --- directed rounding of computed values -----------------------------------------------------------------------------


def below(y: Tensor, budget: Budget) -> Tensor:
    """A lower bound of the real value of a computed `y` that errs by at most `budget`; `y` itself in nearest mode."""
    if not rounding.outward():
        return y
    budget = rounding.stated(budget, y)
    # An overflow says that the real value exceeds the largest number, up to the same relative error; NaN says nothing.
    overflow = (budget.relative + 8) * torch.finfo(y.dtype).eps
    return rounding.down(y, rounding.slack(y, budget), overflow)


def above(y: Tensor, budget: Budget) -> Tensor:
    """An upper bound of the real value of a computed `y`; the mirror image of `below`."""
    return -below(-y, budget) if rounding.outward() else y


def sum_budget(n: int, dtype: torch.dtype) -> Budget:
    """The error of a sum of n non-negative terms, each of them rounded once."""
    if not rounding.outward():
        return EXACT
    # Relative to the computed sum it is at most γ(n)/(1 - γ(n)) = nu/(1 - 2nu) = γ(2n)/2; twice that is claimed.
    return rounding.ieee_budget(rounding.gamma(2 * (n + 1), dtype) / torch.finfo(dtype).eps, absolute=n)


def size_of_reduction(input: Tensor, reduced: Tensor) -> int:
    """How many entries are reduced to one; 1 where there is none to be reduced to, as in an empty batch."""
    return input.numel() // reduced.numel() if reduced.numel() else 1


def sum_growth(n: int, dtype: torch.dtype) -> float:
    r"""The error of a sum or mean of n entries and of its rounding to a bound, relative to the computed sum of sizes.

    The n - 1 sums and the two roundings of a division err by $\gamma_{n+1}$ of the real sum of sizes, the bound by u
    more. That real sum exceeds the computed one by a factor $1/(1 - \gamma_{n+1})$ at most. Three more roundings are
    left for the arithmetic of the error itself.
    """
    growth = rounding.gamma(n + 5, dtype)
    return growth / (1 - growth)


def in_double(x: Any) -> Any:
    """A box or tensor in float64; anything else as it is."""
    if isinstance(x, Box):
        return Box(x.lower.double(), x.upper.double())
    return x.double() if isinstance(x, Tensor) and x.is_floating_point() else x


def finite(lower: Tensor, upper: Tensor) -> Box:
    """Give up on entries whose computation overflowed: their bounds become -inf and inf.

    The bounds are fresh results of a sum that autograd does not keep, so changing them in place is safe and free.
    """
    untracked(lower).nan_to_num_(-inf, -inf, -inf)
    untracked(upper).nan_to_num_(inf, inf, inf)
    return Box(lower, upper)


# --- sums of entries --------------------------------------------------------------------------------------------------


def bound_sum(function: Callable[[Tensor], Tensor], x: Box, terms: int) -> Box:
    """Bound a linear function that adds up to `terms` entries, all with the same non-negative weight."""
    dtype = x.lower.dtype
    if rounding.accumulating(dtype):
        wide = bound_sum(function, in_double(x), terms)
        return Box(*rounding.cast(wide.lower, wide.upper, dtype))
    lower, upper = finite(function(x.lower), function(x.upper))
    if rounding.outward():
        growth = sum_growth(terms, lower.dtype)
        upper = -_sum_below(function, -x.upper, -upper, growth)
        lower = _sum_below(function, x.lower, lower, growth)
    return Box(lower, upper)


def _sum_below(function: Callable[[Tensor], Tensor], x: Tensor, total: Tensor, growth: float) -> Tensor:
    """Move a computed sum down by its error; a sum of non-negative terms stays non-negative."""
    info = torch.finfo(total.dtype)
    with torch.no_grad():
        error = function(x.abs()) * growth + 4 * info.tiny
        # Ones are counted, because a mean of the negative terms themselves may underflow to zero.
        least = torch.where(function((x < 0).to(x.dtype)) == 0, 0.0, -inf)
    lower = rounding.down(total, error)
    lower.detach().copy_(torch.maximum(lower.detach(), least))
    return lower


def bound_weighted_sum(function: Callable[..., Tensor], low: tuple, high: tuple, terms: int | Callable[[], int]) -> Box:
    """Bound `function`, a weighted sum of entries of its arguments whose weights are non-negative and exact.

    Args:
        function: called with plain tensors; autograd must not keep its result.
        low: arguments that give the lower bounds.
        high: arguments that give the upper bounds.
        terms: how many entries are summed to one at the most; only asked in outward mode.
    """
    dtype = low[0].dtype
    if rounding.accumulating(dtype):
        wide = bound_weighted_sum(function, tuple(map(in_double, low)), tuple(map(in_double, high)), terms)
        return Box(*rounding.cast(wide.lower, wide.upper, dtype))
    lower, upper = function(*low), function(*high)
    if rounding.outward():
        info = torch.finfo(lower.dtype)
        count = terms if isinstance(terms, int) else terms()
        factor = sum_growth(count, lower.dtype)
        with torch.no_grad():
            low_error, high_error = (
                function(*[x.abs() for x in ends]).mul_(factor).add_(4 * info.tiny) for ends in (low, high)
            )
        sums = lower.detach(), upper.detach()
        lower, upper = lower - low_error, upper + high_error
        keep_sign(function, low, (sums[0] >= 0) & (lower.detach() < 0), lower, torch.lt)
        keep_sign(function, high, (sums[1] <= 0) & (upper.detach() > 0), upper, torch.gt)
    return finite(lower, upper)


def sum_of_others(v: Tensor, dim: int) -> Tensor:
    r"""Compute $\sum_{j \ne i} v_j$ for non-negative v, with a relative error of at most twice that of a sum.

    Where i is not the largest entry, the others sum to at least $v_i$, so the total minus $v_i$ keeps half the total.
    The largest entry's others are summed without it.
    """
    if not v.numel():
        return v
    largest = v.argmax(dim, keepdim=True)
    rest = v.scatter(dim, largest, 0.0).sum(dim, keepdim=True)
    others = v.sum(dim, keepdim=True) - v
    # inf - inf: the largest entry, one of the others, is infinite.
    return others.nan_to_num(nan=inf, posinf=inf).scatter(dim, largest, rest)
