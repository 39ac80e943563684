"""The cosine of the angle between two vectors. Numerator and denominator share all entries."""

from __future__ import annotations

import functools
from math import inf
from typing import Any

import torch

from ... import _rounding as rounding
from ..._records.registry import Box
from ..._theorems.boxes import as_box, intersect
from ..._theorems.families import rule
from ..elementwise.arithmetic import add, div, mul, square, sub
from ..layers.rms import normalize
from ..reductions.moments import vector_norm
from ..reductions.reductions import sum_
from . import programs


@rule(
    "cosine_similarity", formula=r"\frac{x^\top y}{\max(\|x\|, \epsilon) \max(\|y\|, \epsilon)}", functional=True,
    family="normalization", proven=True, sharp=False, torch_checks=True,
    parts=programs.cosine_similarity,
)  # fmt: skip
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Box:
    r"""Within [-1, 1]. Not the hull, since the norms and the entries in the product are bounded independently.

    Let u and v be the unit vectors, which `normalize` bounds sharply. The result is the intersection of six bounds: the
    sum of u v; the sum of x y divided by both norms; the sums of u y and of x v, each divided by one norm; and
    $1 - \frac12 \|u - v\|^2$ and $\frac12 \|u + v\|^2 - 1$. The last two are tight near ±1, and hold unless a norm may
    be cut at $\epsilon$.
    """
    first, second = as_box(x1), as_box(x2)
    shape = torch.broadcast_shapes(first.lower.shape, second.lower.shape)
    dtype = torch.result_type(first.lower, second.lower)
    x, y = (Box(*(end.to(dtype).expand(shape) for end in box)) for box in (first, second))
    u, v = (normalize(box, 2.0, dim, eps) for box in (x, y))
    norms = [_norm(box, dim, eps) for box in (x, y)]
    bounds = [
        sum_(mul(u, v), dim),
        div(sum_(mul(x, y), dim), mul(*norms)),
        div(sum_(mul(u, y), dim), norms[1]),
        div(sum_(mul(x, v), dim), norms[0]),
    ]
    apart, together = (mul(sum_(square(w), dim), 0.5) for w in (sub(u, v), add(u, v)))
    full = (norms[0].lower > eps) & (norms[1].lower > eps)
    for inner in (sub(1.0, apart), sub(together, 1.0)):
        bounds.append(Box(torch.where(full, inner.lower, -inf), torch.where(full, inner.upper, inf)))
    lower, upper = functools.reduce(intersect, bounds)
    return Box(lower.clamp(-1, 1), upper.clamp(-1, 1))


def _norm(x: Box, dim: int, eps: float) -> Box:
    """The norm, cut at eps."""
    norm = vector_norm(x, 2.0, dim)
    low, high = (rounding.neighbour(eps, norm.lower.dtype, towards) for towards in (-inf, inf))
    return Box(norm.lower.clamp(min=low), norm.upper.clamp(min=high))
