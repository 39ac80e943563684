"""Norms, variance and standard deviation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import _rounding as rounding
from ..._records.registry import Box
from ..._rounding import CORRECTLY_ROUNDED, EXACT, Budget
from ..._theorems.boxes import absolute_range, ordered
from ..._theorems.families import rule
from ..._theorems.sums import above, below, size_of_reduction, sum_budget
from ...errors import DomainError
from . import programs
from .reductions import floating, mean

Dims = Any  # None, int, or tuple of int

# --- norms ------------------------------------------------------------------------------------------------------------


def norm_budget(ord: float, n: int, dtype: torch.dtype) -> Budget:
    """The error of a computed norm of n entries.

    A relative error δ of the sum of powers gives a relative error δ/p of its p-th root. The underflow of n powers adds
    at most (n·tiny)^(1/p), and hardly anything for a negative order, see `_norm`.
    """
    if not rounding.outward() or abs(ord) == inf or ord == 0:
        return EXACT
    info = torch.finfo(dtype)
    known = sum_budget(n, dtype)
    if ord == 1:
        return known
    if ord == 2:
        # The sum errs by g = nu/(1 - 2nu), its root by g/2 + g²/2 and u more. With nu < 1/4 this is less than half of
        # γ of 2(n + 1), which is (n + 1)u/(1 - 2(n + 1)u).
        return rounding.ieee_budget(known.relative / 2, absolute=math.sqrt(n + 1) / math.sqrt(info.tiny))
    rounding.stated_or_guessed("vector_norm of this order", None)
    share = max(1.0, 1 / abs(ord))
    absolute = (n * info.tiny) ** min(1.0, 1 / ord) / info.tiny if ord > 0 else 4
    return Budget(relative=(known.relative + 16) * share + 18, absolute=absolute)


@rule(
    "linalg_vector_norm", torch.linalg.vector_norm, formula=r"(\sum_i |x_i|^p)^{1/p}", family="reduction", proven=True,
    function=torch.linalg.vector_norm, image=(0.0, inf),
    parts=programs.vector_norm,
)  # fmt: skip
def vector_norm(
    x: Any, ord: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Any:  # fmt: skip
    """The hull, for every order: a norm increases in every |x|. The rounding is proven for p = 0, 1, 2 and infinity."""
    x = floating(x, dtype, "norm")
    least, most = absolute_range(x)
    lower, upper = (_norm(end, ord, dim, keepdim) for end in (least, most))
    if least.numel() and ord >= 1:
        # Powers may overflow where the norm does not. The norm is at least the largest entry.
        lower = torch.where(torch.isinf(lower), torch.linalg.vector_norm(least, inf, dim, keepdim), lower)
    budget = norm_budget(ord, size_of_reduction(least, lower), lower.dtype)
    if budget is EXACT:
        return ordered(lower, upper)
    return ordered(torch.clamp(below(lower, budget), min=0), above(upper, budget))


def _norm(x: Tensor, ord: float, dim: Dims, keepdim: bool) -> Tensor:
    """A norm of non-negative entries.

    For a negative order the entries are divided by the least entry, and their norm is multiplied by it. Then no power
    overflows, and the sum of powers is at least 1. For an order above 1, other than 2, the greatest entry serves in the
    same way: what underflows then is less than `tiny` of the norm. The factor is a constant for autograd, since the
    result does not depend on its choice.
    """
    if not (-inf < ord < 0 or (1 < ord < inf and ord != 2)) or not x.numel():
        return torch.linalg.vector_norm(x, ord, dim, keepdim)
    with torch.no_grad():
        extreme = torch.linalg.vector_norm(x, math.copysign(inf, ord), dim, True)
        unit = torch.where((extreme == 0) | (extreme == inf), 1.0, extreme)
    factor = unit if keepdim else _drop(unit, dim)
    return torch.linalg.vector_norm(x / unit, ord, dim, keepdim) * factor


# --- deviations from the mean -----------------------------------------------------------------------------------------


@dataclasses.dataclass
class Deviations:
    r"""Bounds of the deviations $x - \bar x$ for the points x of a box, over dimensions with n entries.

    Attributes:
        centred: the box moved by a number near its mean, which changes no deviation.
        n: how many entries share a mean.
        least: a lower bound of the Euclidean norm of the deviations of every point; the dimensions are kept.
        most: an upper bound of that norm.
    """

    centred: Box
    n: int
    least: Tensor
    most: Tensor


def deviations(x: Box, dim: Dims, exact: bool = True) -> Deviations:
    r"""Bound the norm of the deviations from the mean.

    Above: $\|x - \bar x\| \le \|x - m\|$ for every number m; `_best_centre` finds a good one. The exact maximum is
    NP-hard (Ferson et al. 2002, *Computing variance for interval data is NP-hard*).

    Below: $\|x - \bar x\| \ge e^\top x / \|e\|$ for every e whose sum is 0 (Cauchy-Schwarz). Every such e is sound. The
    best e takes, from each interval, the point nearest to the number q that `balance` finds, minus the mean of these
    points.

    Args:
        x: the box.
        dim: which dimensions hold the entries.
        exact: whether to search for the best m and q; otherwise cheaper ones nearby are taken.
    """
    middle = _best_centre(x, dim) if exact else _middle(x, dim)
    n = size_of_reduction(x.lower, middle)
    z = Box(below(x.lower - middle, CORRECTLY_ROUNDED), above(x.upper - middle, CORRECTLY_ROUNDED))
    most = torch.linalg.vector_norm(torch.maximum(-z.lower, z.upper), 2, dim, keepdim=True)
    most = above(most, norm_budget(2, n, most.dtype)) if n > 1 else torch.zeros_like(most)
    return Deviations(z, n, *ordered(_least_deviation(z, dim, n, 6 if exact else 2), most))


def _middle(x: Box, dim: Dims) -> Tensor:
    """The mean of the midpoints; 0 where the mean is not finite. Any number would be sound."""
    middle = (x.lower.mean(dim, keepdim=True) + x.upper.mean(dim, keepdim=True)) / 2
    return middle.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def _best_centre(x: Box, dim: Dims) -> Tensor:
    r"""Find the m that minimises the maximum of $\|x - m\|^2$ over a box, $\sum_i (|c_i - m| + r_i)^2$.

    Half the derivative, $n m - \sum c_i + \sum \mathrm{sign}(m - c_i) r_i$, jumps at the midpoints. Between the k-th
    midpoint and the next it vanishes at $m_k$. As k grows, $m_k$ falls and the midpoints rise, so the zero is
    $\max_k \min(c_{k+1}, m_k)$. The zero is often a midpoint, which is a kink of the distance. So m is part of
    autograd's graph.
    """
    centres, radii = ((x.lower + x.upper) / 2, (x.upper - x.lower) / 2)
    kept = _middle(x, dim)
    named = range(centres.ndim) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    dims = [d % centres.ndim for d in named] if centres.ndim else []
    order = [d for d in range(centres.ndim) if d not in dims] + dims
    rows = [*(centres.shape[d] for d in order[: len(order) - len(dims)]), math.prod(centres.shape[d] for d in dims)]
    centres, radii = (t.permute(order).reshape(rows) for t in (centres, radii))
    centres, places = centres.sort(-1)
    passed = F.pad(radii.gather(-1, places).cumsum(-1), (1, 0))
    zeros = (centres.sum(-1, keepdim=True) + passed[..., -1:] - 2 * passed) / centres.shape[-1]
    best = torch.minimum(F.pad(centres, (0, 1), value=inf), zeros).amax(-1).reshape(kept.shape)
    return torch.where(torch.isfinite(best), best, kept)


def _least_deviation(z: Box, dim: Dims, n: int, steps: int) -> Tensor:
    """A lower bound of the norm of the deviations.

    Clamped factors select an end of each interval, which is many times faster than `torch.where`.
    """
    with torch.no_grad():
        q = balance(z, dim, steps)
        direction = torch.clamp(q, z.lower, z.upper).sub_(q)
        direction -= direction.mean(dim, keepdim=True)
        # Scaled to size 1, so that neither the length nor a gradient through it overflows or underflows.
        if direction.numel():
            size = torch.linalg.vector_norm(direction, inf, dim, keepdim=True)
            direction = (direction / size.clamp_(min=torch.finfo(size.dtype).tiny)).nan_to_num_(0.0, 0.0, 0.0)
        length = torch.linalg.vector_norm(direction, 2, dim, keepdim=True)
        length = above(length, norm_budget(2, n, length.dtype)).clamp_(min=0.5)
    reach = direction.clamp(min=0) * z.lower + direction.clamp(max=0) * z.upper
    reach = reach.sum(dim, keepdim=True).nan_to_num(nan=-inf, posinf=inf, neginf=-inf)
    if rounding.outward():
        reach = rounding.down(reach, _reach_error(z, direction, dim, n))
    # Infinite ends and directions give infinities or NaN, and the bound 0.
    # The error of `reach` holds 2 eps of it: half an eps for `down`, and half for the rounding of this quotient.
    return torch.clamp((reach / length).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0), min=0)


@torch.no_grad()
def _reach_error(z: Box, direction: Tensor, dim: Dims, n: int) -> Tensor:
    """The rounding error of e·z, plus the error due to the computed e, which does not sum to 0 exactly."""
    info = torch.finfo(direction.dtype)
    growth = rounding.gamma(2 * (n + 4), direction.dtype)  # at least γ/(1 - γ) of n + 4
    size = torch.maximum(-z.lower, z.upper)
    total = (direction.abs() * size).sum(dim, keepdim=True)
    drift = direction.sum(dim, keepdim=True).abs() + growth * direction.abs().sum(dim, keepdim=True)
    error = growth * total + drift * size.mean(dim, keepdim=True) * (1 + growth)
    error = error * (1 + 8 * info.eps) + total * (2 * info.eps) + (2 * n + 4) * info.tiny
    return error.nan_to_num_(nan=inf, posinf=inf)


@torch.no_grad()
def balance(x: Box, dim: Dims, steps: int) -> Tensor:
    r"""Find the q that minimises $\sum_i \mathrm{dist}(q, [l_i, u_i])^2$, where the pulls of all intervals balance.

    The pull $\sum_i (\mathrm{clamp}(q, l_i, u_i) - q)$ is piecewise linear and falling. Newton's method finds its zero
    in finitely many steps. A step that leaves the bracket known so far is replaced by a secant step of the bracket.
    """
    q = _middle(x, dim)
    low, high = torch.full_like(q, -inf), torch.full_like(q, inf)
    pull_low, pull_high = torch.ones_like(q), -torch.ones_like(q)
    for _ in range(steps):
        pulls = torch.clamp(q, x.lower, x.upper).sub_(q)
        pull = pulls.sum(dim, keepdim=True)
        up = pull > 0
        low, pull_low = torch.where(up, q, low), torch.where(up, pull, pull_low)
        high, pull_high = torch.where(up, high, q), torch.where(up, pull_high, pull)
        active = pulls.sign_().abs_().sum(dim, keepdim=True)
        newton = q + pull / active.clamp_(min=1)
        inside = ((newton > low) & (newton < high)) | torch.isinf(high - low) | (pull_low == pull_high)
        q = torch.where(inside, newton, low + (high - low) * (pull_low / (pull_low - pull_high)))
    return q


# --- variance and standard deviation ----------------------------------------------------------------------------------


def _arguments(dim: Dims, unbiased: bool | None, correction: float | None) -> tuple[Dims, float]:
    """Dimensions and correction, from the three signatures of `torch.var`; `var(x, False)` means `unbiased=False`."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None:
        correction = int(unbiased)
    return (None if dim == () or dim == [] else dim), 1 if correction is None else correction


def _spread(name: str, x: Any, dim: Dims, keepdim: bool, correction: float) -> Box:
    """Bounds of the standard deviation."""
    found = deviations(floating(x, None, name), dim)
    degrees = found.n - correction
    if degrees <= 0 and found.least.numel():
        raise DomainError(
            f"{name} of {found.n} values with correction {correction} divides by {degrees}",
            f"called with shape {tuple(x.lower.shape)}, dim={dim}",
            "reduce more values, or pass correction=0 (unbiased=False)",
        )
    scale, known = math.sqrt(degrees), rounding.ieee_budget(1)  # of a root and a quotient
    lower, upper = below(found.least / scale, known), above(found.most / scale, known)
    lower = torch.clamp(lower, min=0)
    if keepdim:
        return Box(lower, upper)
    return Box(_drop(lower, dim), _drop(upper, dim))


def _drop(t: Tensor, dim: Dims) -> Tensor:
    """Remove reduced dimensions."""
    return t.reshape(()) if dim is None else t.squeeze(dim) if t.ndim else t


def _variance(x: Any, dim: Dims, keepdim: bool, correction: float) -> Box:
    """Bounds of the variance: the squares of those of the standard deviation."""
    low, high = _spread("var", x, dim, keepdim, correction)
    high = high.clamp(max=torch.finfo(high.dtype).max)  # no gradient flows where the bound is infinite
    return Box(torch.clamp(below(low * low, CORRECTLY_ROUNDED), min=0), above(high * high, CORRECTLY_ROUNDED))


def _register(name: str, formula: str, note: str, bound: Callable[..., Any], **record: Any) -> Callable[..., Any]:
    """Register a function with the three signatures of `torch.var`."""

    def enclose(
        input: Any,
        dim: Dims = None,
        unbiased: bool | None = None,
        keepdim: bool = False,
        *,
        correction: float | None = None,
    ) -> Any:
        dim, correction = _arguments(dim, unbiased, correction)
        return bound(input, dim, keepdim, correction)

    enclose.__doc__ = note
    return rule(name, formula=formula, family="reduction", proven=True, sharp=False, **record)(enclose)


_VAR, _STD = r"\sum_i (x_i - \bar x)^2 / (n - c)", r"\sqrt{\sum_i (x_i - \bar x)^2 / (n - c)}"
_NOTE = "The lower bound is exact. The upper bound is sound; its exact value is NP-hard."
_deviation = partial(_spread, "std")

std = _register("std", _STD, _NOTE, _deviation, image=(0.0, inf), parts=programs.std)
var = _register("var", _VAR, _NOTE, _variance, image=(0.0, inf), parts=programs.var)
_register(
    "var_mean", r"(\mathrm{var}\, x, \bar x)", "As `var`, with the mean.",
    lambda x, dim, keepdim, correction: (_variance(x, dim, keepdim, correction), mean(x, dim, keepdim)),
)  # fmt: skip
_register(
    "std_mean", r"(\mathrm{std}\, x, \bar x)", "As `std`, with the mean.",
    lambda x, dim, keepdim, correction: (_deviation(x, dim, keepdim, correction), mean(x, dim, keepdim)),
)  # fmt: skip
