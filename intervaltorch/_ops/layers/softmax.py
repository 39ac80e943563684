r"""Softmax and its logarithm, bounded by the hull.

$$\mathrm{softmax}_i(x) = \sigma\Bigl(x_i - \log \sum_{j \ne i} e^{x_j}\Bigr)$$

increases in $x_i$ and decreases in every other entry. So the upper bound is the value at $u_i$ and $l_j$. This form has
no difference of nearly equal sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from math import inf
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import _rounding as rounding
from ..._compat import anywhere, readable
from ..._records.registry import Box
from ..._rounding import Budget, untracked
from ..._theorems.boxes import ordered, share
from ..._theorems.families import rule
from ...errors import DomainError
from ..reductions.reductions import floating
from . import programs


def _others(v: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    r"""Return m and s with $\sum_{j \ne i} e^{v_j} = e^{m_i} s_i$ and $s_i \ge 1$.

    $m_i$ is the largest of the other entries. It is a constant for autograd, since the sum does not depend on it. If
    there are no other entries, $m_i$ is -inf and $s_i$ is 1.
    """
    with torch.no_grad():
        top, at = v.max(dim, keepdim=True)
        second = v.scatter(dim, at, -inf).amax(dim, keepdim=True)
        alone = second == -inf
        # Shift by finite numbers: the exponentials of infinite entries are then 0 and infinity.
        largest = torch.finfo(v.dtype).max
        top, second = top.clamp(-largest, largest), second.clamp(-largest, largest)
    weights = torch.exp(v - top)
    rest = torch.exp(v.scatter(dim, at, -inf) - second).sum(dim, keepdim=True)
    rest = torch.where(alone, 1.0, rest)
    # `rest` replaces the sum of the largest entry: that difference may be 0, and its logarithm would pass on a NaN
    # gradient.
    sums = (weights.sum(dim, keepdim=True) - weights).scatter(dim, at, rest)
    return top.expand_as(v).scatter(dim, at, torch.where(alone, -inf, second)), sums


def _log_odds(x: Tensor, others: Tensor, dim: int, side: int) -> Tensor:
    """Bound x_i - log of the sum of exponentials of the others, from below (side -1) or above (+1).

    The sum s errs relatively by at most twice the error of a sum in [1, n] of exponentials. The rounding u·t_i of their
    arguments adds up to at most u log n (see `logsumexp`). Both subtractions and the last sum add a rounding each: of
    the odds, and of x_i - m, which is at most log s larger. That and the logarithm add less than the spare 3 eps log n.
    NaN, from infinite entries, becomes an infinite bound.
    """
    largest, sums = _others(others, dim)
    logs = torch.log(sums)
    odds = x - largest - logs
    if rounding.outward():
        with torch.no_grad():
            n, info = x.shape[dim], torch.finfo(x.dtype)
            relative = 2 * rounding.gamma(2 * (n + 2), x.dtype) + info.eps * (8 + 4 * math.log(max(n, 1)))
            error = odds.abs() * (1.5 * info.eps)
            error = error.add_(relative).mul_(1 + 8 * info.eps).add_(info.tiny)
            error = torch.where(largest == -inf, 0.0, error)  # infinite odds are exact
        odds = odds + side * error
    return odds.nan_to_num(nan=side * inf, posinf=inf, neginf=-inf)


def _bounds(input: Box, dim: int, safe: bool) -> tuple[Tensor, Tensor]:
    """Bounds of the log-odds of every entry."""
    lower, upper = _log_odds(input.lower, input.upper, dim, -1), _log_odds(input.upper, input.lower, dim, 1)
    if input.lower.shape[dim] == 1:
        lower = torch.full_like(lower, inf)
    if not readable(input.upper) or (input.upper.numel() and anywhere(input.upper.detach().amin() == -inf)):
        masked = input.upper == -inf
        if not safe:
            _check_masks(masked, dim)
        lower, upper = lower.masked_fill(masked, -inf), upper.masked_fill(masked, -inf)
    # Both ends are computed the same way, so only rounding can exchange them.
    untracked(lower).copy_(torch.minimum(lower.detach(), upper.detach()))
    return lower, upper


def _check_masks(masked: Tensor, dim: int) -> None:
    """Refuse rows in which every entry is -inf, where torch gives NaN."""
    rows = masked.all(dim)
    if readable(rows) and anywhere(rows):
        raise DomainError(
            "softmax of a row whose entries are all -inf is NaN",
            share(rows, "are such rows"),
            "leave at least one entry of every row unmasked",
        )


def softmax_box(input: Box, dim: int, safe: bool = False) -> Box:
    """The hull of softmax. With `safe`, rows of -inf give 0."""
    return _of_odds(torch.sigmoid, (0.0, 1.0), input, dim, safe)


def _of_odds(function: Callable[[Tensor], Tensor], image: tuple[float, float], x: Box, dim: int, safe: bool) -> Box:
    """Apply an increasing function with values in `image` to the log-odds. Infinite ones give the ends of `image`."""
    if x.lower.ndim == 0:
        row = _of_odds(function, image, Box(x.lower.reshape(1), x.upper.reshape(1)), 0, safe)
        return Box(row.lower.reshape(()), row.upper.reshape(()))
    if not x.lower.numel():
        return x
    odds = _bounds(x, dim, safe)
    lower, upper = function(odds[0]), function(odds[1])
    if rounding.outward():
        lower, upper = rounding.widen(lower, upper, Budget(relative=6, cuda=8), image)
        lower = torch.where(odds[0] == inf, image[1], lower)
        upper = torch.where(odds[1] == -inf, image[0], upper)
    return ordered(lower, upper)


@rule(
    "softmax", formula=r"e^{x_i} / \sum_j e^{x_j}", family="softmax", proven=True, image=(0.0, 1.0),
    function=torch.softmax, parts=programs.softmax,
)  # fmt: skip
def softmax(input: Any, dim: int, dtype: torch.dtype | None = None) -> Any:
    """Increasing in its own entry, decreasing in the others: the hull."""
    return softmax_box(floating(input, dtype, "softmax"), dim)


@rule(
    torch.ops.aten._softmax, formula=r"e^{x_i} / \sum_j e^{x_j}", family="softmax", proven=True, image=(0.0, 1.0),
    parts=programs.softmax,
)  # fmt: skip
def _softmax(self: Box, dim: int, half_to_float: bool) -> Box:
    """The kernel of `softmax`."""
    return softmax(self, dim, torch.float32 if half_to_float else None)


@rule(
    "_safe_softmax", formula=r"e^{x_i} / \sum_j e^{x_j}", family="softmax", proven=True, image=(0.0, 1.0),
    parts=programs.softmax,
)  # fmt: skip
def safe_softmax(self: Any, dim: int, dtype: torch.dtype | None = None) -> Any:
    """As `softmax`, but 0 in rows whose entries are all -inf."""
    return softmax_box(floating(self, dtype, "softmax"), dim, safe=True)


@rule(
    "log_softmax", formula=r"x_i - \log \sum_j e^{x_j}", family="softmax", proven=True, image=(-inf, 0.0),
    function=torch.log_softmax,
    parts=programs.log_softmax,
)  # fmt: skip
def log_softmax(input: Any, dim: int, dtype: torch.dtype | None = None) -> Any:
    """Increasing in its own entry, decreasing in the others: the hull."""
    return _of_odds(F.logsigmoid, (-inf, 0.0), floating(input, dtype, "log_softmax"), dim, False)


@rule(
    torch.ops.aten._log_softmax, formula=r"x_i - \log \sum_j e^{x_j}", family="softmax", proven=True, image=(-inf, 0.0),
    parts=programs.log_softmax,
)  # fmt: skip
def _log_softmax(self: Box, dim: int, half_to_float: bool) -> Box:
    """The kernel of `log_softmax`."""
    return log_softmax(self, dim, torch.float32 if half_to_float else None)
