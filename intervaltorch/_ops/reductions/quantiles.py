"""Quantiles: values at a rank, between two neighbours among the sorted entries. torch rounds the rank."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from ... import _rounding as rounding
from ..._records.registry import Box
from ..._theorems.boxes import as_box, both, check_domain, hull, unbounded
from ..._theorems.families import rule
from ..elementwise.arithmetic import add, mul


def _quantile(name: str) -> None:
    """Register `quantile` or `nanquantile`."""
    function: Any = getattr(torch, name)

    def enclose(
        input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
    ) -> Box:
        """Increasing in every entry and in q. Outward, the hull of the values at the computed and at the exact rank."""
        x, fractions = as_box(input), as_box(q)
        if isinstance(q, Box):
            fractions = check_domain(name, q, (0.0, 1.0))
        ends = [function(*end, dim, keepdim, interpolation=interpolation) for end in zip(x, fractions, strict=True)]
        # Between infinite entries torch interpolates to NaN.
        values = unbounded(*ends)
        if not rounding.outward():
            return values
        ordered = both(lambda x: (x.flatten() if dim is None or x.ndim == 0 else x.movedim(dim, 0)).sort(0).values, x)
        low, high = (
            [_at_rank(ordered, Fraction(fraction), interpolation) for fraction in _numbers(end)] for end in fractions
        )
        lower, upper = torch.stack([box.lower for box in low]), torch.stack([box.upper for box in high])
        return hull(values, Box(lower.reshape(ends[0].shape), upper.reshape(ends[0].shape)))

    rule(name, formula=r"x_{(1 + q (n - 1))}", family="order statistic", proven=True)(enclose)


def _numbers(q: Any) -> list[float]:
    """The fractions as Python numbers."""
    return q.detach().double().flatten().tolist() if isinstance(q, Tensor) else [float(q)]


def _at_rank(ordered: Box, fraction: Fraction, interpolation: str) -> Box:
    """The value at the rank `fraction`·(n - 1) of bounds that are sorted along their first dimension."""
    rank = fraction * (len(ordered.lower) - 1)
    below, above = math.floor(rank), math.ceil(rank)
    if interpolation in ("lower", "higher", "nearest"):
        place = {"lower": below, "higher": above, "nearest": round(rank)}[interpolation]
        return both(lambda x: x[place], ordered)
    if below == above:
        return both(lambda x: x[below], ordered)
    weight = Fraction(1, 2) if interpolation == "midpoint" else rank - below
    low, high = both(lambda x: x[below], ordered), both(lambda x: x[above], ordered)
    mean = add(mul(low, _around(1 - weight, low)), mul(high, _around(weight, low)))
    return Box(torch.clamp(mean.lower, low.lower, high.lower), torch.clamp(mean.upper, low.upper, high.upper))


def _around(weight: Fraction, like: Box) -> Box:
    """An interval of two numbers around a weight."""
    near = like.lower.new_tensor(float(weight))
    return Box(torch.nextafter(near, near.new_tensor(0.0)), torch.nextafter(near, near.new_tensor(1.0)))


_quantile("quantile")
_quantile("nanquantile")
