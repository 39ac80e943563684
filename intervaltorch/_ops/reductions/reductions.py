r"""Sums, products and extremes over dimensions.

Sums obey $|\hat s - s| \le \gamma_{n-1} \sum |x_i|$ in whatever order they are added (Higham 2002, *Accuracy and
Stability of Numerical Algorithms*, eq. 4.4).
"""

from __future__ import annotations

import math
from typing import Any

import torch

from ... import _rounding as rounding
from ..._compat import anywhere
from ..._records.registry import Box
from ..._rounding import EXACT
from ..._theorems.boxes import both, ordered
from ..._theorems.families import increasing, rule
from ..._theorems.rectangles import componentwise
from ..._theorems.sums import above, below, bound_sum, size_of_reduction
from ...errors import DomainError, UndecidedError
from ..elementwise.arithmetic import mul
from ..elementwise.conversions import convert
from . import programs

# --- sums -------------------------------------------------------------------------------------------------------------


def floating(input: Any, dtype: torch.dtype | None = None, what: str = "sum") -> Any:
    """Convert the argument of a reduction to `dtype`. Decided Booleans and integers become a plain tensor."""
    x = convert(torch.Tensor.to, input, dtype) if dtype is not None else input
    if not isinstance(x, Box) or x.lower.dtype.is_floating_point:
        return x
    if not anywhere(x.lower != x.upper):
        return x.lower
    raise UndecidedError(
        f"the {what} of {str(x.lower.dtype).removeprefix('torch.')} values depends on the point of the box",
        "convert to a floating dtype first, which can hold its bounds: x.float()",
    )


@rule("sum", formula=r"\sum_i x_i", family="reduction", proven=True, complex=componentwise, affine_in=({"input"},))
def sum_(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Any:
    """Increasing in every entry: the hull."""
    x = floating(input, dtype, "sum")
    if not isinstance(x, Box):
        return torch.sum(x, dim, keepdim)
    terms = size_of_reduction(x.lower, x.lower.sum(dim, keepdim)) if rounding.outward() else 0
    return bound_sum(lambda t: torch.sum(t, dim, keepdim), x, terms)


@rule(
    "mean", formula=r"\frac1n \sum_i x_i", family="reduction", proven=True, complex=componentwise,
    affine_in=({"input"},),
)  # fmt: skip
def mean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Any:
    """Increasing in every entry: the hull."""
    x = floating(input, dtype, "mean")
    if not isinstance(x, Box):
        return torch.mean(x, dim, keepdim)
    if not x.lower.numel() and torch.sum(x.lower, dim, keepdim).numel():
        raise DomainError(
            "the mean of no values is NaN",
            f"called with shape {tuple(x.lower.shape)}, dim={dim}",
            "reduce a dimension that is not empty",
        )
    terms = size_of_reduction(x.lower, x.lower.sum(dim, keepdim)) if rounding.outward() else 0
    return bound_sum(lambda t: torch.mean(t, dim, keepdim), x, terms)


@rule(
    "cumsum", formula=r"\sum_{j \le i} x_j", family="reduction", proven=True, complex=componentwise,
    affine_in=({"input"},),
)  # fmt: skip
def cumsum(input: Any, dim: int, *, dtype: torch.dtype | None = None) -> Any:
    """Increasing in every entry: the hull."""
    x = floating(input, dtype, "sum")
    if not isinstance(x, Box):
        return torch.cumsum(x, dim)
    return bound_sum(lambda t: torch.cumsum(t, dim), x, x.lower.shape[dim] if x.lower.ndim else 1)


# --- products ---------------------------------------------------------------------------------------------------------


@rule("prod", formula=r"\prod_i x_i", family="reduction", proven=True)
def prod(input: Any, dim: int | None = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Any:
    """The hull. Pairs of independent factors are multiplied, in a binary tree."""
    x = floating(input, dtype, "product")
    if not isinstance(x, Box):
        return torch.prod(x) if dim is None else torch.prod(x, dim, keepdim)
    if x.lower.ndim == 0:
        return both(torch.clone, x)
    along = 0 if dim is None else dim % x.lower.ndim
    if dim is None:
        x = Box(x.lower.flatten(), x.upper.flatten())
    if x.lower.shape[along] == 1:
        x = both(torch.clone, x)  # a copy, as in torch, not a view
    while (n := x.lower.shape[along]) > 1:
        half = n // 2
        product = mul(_part(x, along, 0, half), _part(x, along, half, half))
        x = Box(*(torch.cat([p, t.narrow(along, 2 * half, n % 2)], along) for p, t in zip(product, x, strict=True)))
    if n == 0:
        one = torch.prod(x.lower, along, keepdim)
        return Box(one, one)
    return x if keepdim and dim is not None else Box(x.lower.squeeze(along), x.upper.squeeze(along))


@rule("cumprod", formula=r"\prod_{j \le i} x_j", family="reduction", proven=True)
def cumprod(input: Any, dim: int, *, dtype: torch.dtype | None = None) -> Any:
    """The hull. Each step doubles the length of the products (Hillis & Steele 1986)."""
    x = floating(input, dtype, "product")
    if not isinstance(x, Box):
        return torch.cumprod(x, dim)
    n, step = x.lower.shape[dim] if x.lower.ndim else 1, 1
    if n == 1:
        return both(torch.clone, x)
    while step < n:
        head, rest = _part(x, dim, 0, step), mul(_part(x, dim, 0, n - step), _part(x, dim, step, n - step))
        x = Box(torch.cat([head.lower, rest.lower], dim), torch.cat([head.upper, rest.upper], dim))
        step *= 2
    return x


def _part(x: Box, dim: int, start: int, length: int) -> Box:
    """A part of a box along one dimension."""
    return Box(x.lower.narrow(dim, start, length), x.upper.narrow(dim, start, length))


# --- extremes ---------------------------------------------------------------------------------------------------------

increasing("amax", formula=r"\max_i x_i", budget=EXACT)
increasing("amin", formula=r"\min_i x_i", budget=EXACT, parts=programs.amin)


@rule("aminmax", formula=r"(\min_i x_i, \max_i x_i)", family="reduction", budget=EXACT, proven=True)
def aminmax(input: Box, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """Increasing in every entry: both are hulls."""
    low, high = (
        torch.aminmax(input.lower, dim=dim, keepdim=keepdim),
        torch.aminmax(input.upper, dim=dim, keepdim=keepdim),
    )
    pair: Any = type(low)
    return pair((Box(low.min, high.min), Box(low.max, high.max)))


# --- logarithms of sums of exponentials -------------------------------------------------------------------------------


@rule(
    "logsumexp", formula=r"\log \sum_i e^{x_i}", family="reduction", proven=True, curvature="convex",
    parts=programs.logsumexp,
)  # fmt: skip
def logsumexp(input: Box, dim: Any, keepdim: bool = False) -> Box:
    r"""Increasing in every entry: the hull.

    Let $m = \max x$ and $t_i = m - x_i$. Each $e^{-t_i}$ has a relative error from its own rounding, and one of
    $u t_i$ from that of $t_i$. The latter add up to at most $u \log n$ of the sum (the entropy of the softmax). The sum
    lies in [1, n].
    """
    lower, upper = (torch.logsumexp(t, dim, keepdim) for t in input)
    if rounding.outward():
        n, info = size_of_reduction(input.lower, lower), torch.finfo(lower.dtype)
        error = rounding.gamma(2 * (n + 2), lower.dtype) + info.eps * (8 + 4 * math.log(max(1, n)))
        budget = rounding.ieee_budget(1, absolute=1 + error / info.tiny)
        lower, upper = below(lower, budget), above(upper, budget)
    return ordered(lower, upper)


increasing("logcumsumexp", formula=r"\log \sum_{j \le i} e^{x_j}")
