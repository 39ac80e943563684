r"""Division by a norm of the entries, whose mean is not subtracted.

Let $y_i = x_i / D(x_i, Q_i)$, where $Q_i$ depends on the other entries only. Then $y_i$ increases in $x_i$ and moves
towards 0 as $Q_i$ grows. $x_i$ and $Q_i$ are independent, so corners give the hull.
"""

from __future__ import annotations

import math
from math import inf
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import _rounding as rounding
from ..._records.registry import Box
from ..._rounding import Budget
from ..._theorems.boxes import absolute_range, as_box
from ..._theorems.families import rule
from ..._theorems.sums import above, below, size_of_reduction, sum_budget, sum_of_others
from ..elementwise.arithmetic import div
from ..reductions.moments import norm_budget, vector_norm
from . import programs
from .standardising import TWO_OPERATIONS, check_eps, clipped, quotients, reshaped, root, root_above, root_below, scaled


@rule("rms_norm", also=(F.rms_norm,), function=F.rms_norm, formula=r"w x / \sqrt{\overline{x^2} + \epsilon}",
      family="normalization", proven=True, torch_checks=True, affine_in=({"weight"},),
      parts=programs.rms_norm)  # fmt: skip
def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Box:
    """The hull, within ±√n before the weight."""
    x = as_box(input)
    shape, kept = x.lower.shape, x.lower.shape[: x.lower.ndim - len(tuple(normalized_shape))]
    x = reshaped(x, *kept, math.prod(normalized_shape))
    n, eps = x.lower.shape[-1], torch.finfo(x.lower.dtype).eps if eps is None else eps
    check_eps(eps, _holds_zero(x, -1) if eps == 0 else None)
    small, big = (sum_of_others(m * m, -1) for m in absolute_range(x))
    known = _others_budget(n, small.dtype)

    def least(end: Tensor) -> Tensor:
        # A sum that overflows is at least the largest number.
        return root_below(below((end * end + small).clamp(max=torch.finfo(end.dtype).max) / n, known), eps)

    def most(end: Tensor) -> Tensor:
        return root_above(above((end * end + big) / n, known), eps)

    return scaled(reshaped(quotients(x, least, most, math.sqrt(n)), *shape), weight, None)


def _holds_zero(x: Box, dim: Any) -> Tensor:
    """Which rows may be all 0."""
    return ((x.lower <= 0) & (x.upper >= 0)).all(dim)


def _others_budget(n: int, dtype: torch.dtype) -> Budget:
    """The error of a sum of squares from `sum_of_others`, plus one more square, divided by a number."""
    known = sum_budget(n + 2, dtype)
    return rounding.ieee_budget(2 * known.relative + 2, absolute=2 * known.absolute)


@rule(
    F.normalize, formula=r"x / \max(\|x\|_p, \epsilon)", family="normalization", proven=True, parts=programs.normalize
)
def normalize(input: Box, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None) -> Box:
    """The hull, within [-1, 1], for finite p > 0 and one dimension; otherwise a quotient of boxes."""
    check_eps(max(eps, 0.0), _holds_zero(input, dim) if eps <= 0 else None)
    if not (0 < p < inf and isinstance(dim, int)):
        norm = vector_norm(input, p, dim, keepdim=True)
        floor = tuple(rounding.neighbour(eps, input.lower.dtype, towards) for towards in (-inf, inf))
        quotient = div(input, Box(norm.lower.clamp(min=floor[0]), norm.upper.clamp(min=floor[1])))
        return clipped(quotient.lower, quotient.upper, 1.0) if p > 0 else quotient
    small, big = (sum_of_others(_power(m, p), dim) for m in absolute_range(input))
    n, dtype = size_of_reduction(input.lower, input.lower.sum(dim)), small.dtype
    known = _others_budget(n, dtype) if p in (1, 2) else norm_budget(p, 2 * n + 2, dtype)

    def least(end: Tensor) -> Tensor:
        powers = _power(end, p) + small
        if p in (1, 2):
            powers = torch.clamp(below(powers, known), min=0)
            norm = below(root(powers, False), TWO_OPERATIONS) if p == 2 else powers
        else:
            norm = below(_power(powers.clamp(max=torch.finfo(dtype).max), 1 / p), known)
        # The norm is at least |x|. This bound also holds where powers underflow or overflow.
        norm = norm.nan_to_num(posinf=0.0)
        return torch.maximum(norm, end.abs()).clamp(min=rounding.neighbour(eps, dtype, -inf))

    def most(end: Tensor) -> Tensor:
        powers = _power(end, p) + big
        if p in (1, 2):
            powers = above(powers, known)
            norm = above(root(powers, False), TWO_OPERATIONS) if p == 2 else powers
        else:
            norm = above(_power(powers, 1 / p), known)
        return norm.clamp(min=rounding.neighbour(eps, dtype, inf))

    return quotients(input, least, most, 1.0)


def _power(x: Tensor, p: float) -> Tensor:
    """|x|^p, with gradient 0 at 0."""
    if p in (1, 2):
        return x * x if p == 2 else x.abs()
    size = x.abs()
    return torch.where(size > 0, torch.where(size > 0, size, 1.0) ** p, 0.0)
