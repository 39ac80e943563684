"""Dropout. In training both bounds get one random mask, since they belong to one draw; otherwise the identity."""

from __future__ import annotations

import math
from typing import Any

import torch

from ... import _rounding as rounding
from ..._records import draws as _draws
from ..._records.registry import Box
from ..._theorems.boxes import check_domain
from ..._theorems.families import rule
from ..elementwise.arithmetic import add, div, mul

_RECORD: dict[str, Any] = {"family": "dropout", "proven": True}


def _masked(function: Any, input: Box, p: float, train: bool) -> Box:
    """Zero some entries and divide the others by 1 - p, with the mask that `function` draws for a plain tensor."""
    if not train or p == 0:
        return input
    kept = function(torch.ones_like(input.lower.detach()), p, True) != 0
    if p == 1:
        return Box(torch.zeros_like(input.lower), torch.zeros_like(input.upper))
    _draws.masked("dropout")
    scaled = div(input, 1 - p)
    return Box(torch.where(kept, scaled.lower, 0.0), torch.where(kept, scaled.upper, 0.0))


def _switched_off(p: float, train: bool | None, **_: Any) -> tuple[set[str], ...]:
    """Only the identity is affine: each call that drops draws a mask of its own."""
    return () if train is not False and p else ({"input"},)


@rule("dropout", formula=r"m x / (1 - p)", affine_in=_switched_off, **_RECORD)
def dropout(input: Box, p: float = 0.5, train: bool = True) -> Box:
    """The hull for the mask that was drawn."""
    return _masked(torch.dropout, input, p, train)


@rule("feature_dropout", formula=r"m x / (1 - p)", affine_in=_switched_off, **_RECORD)
def feature_dropout(input: Box, p: float = 0.5, train: bool = True) -> Box:
    """As `dropout`, with one draw for a whole channel."""
    return _masked(torch.feature_dropout, input, p, train)


@rule("native_dropout", formula=r"m x / (1 - p)", affine_in=_switched_off, **_RECORD)
def native_dropout(input: Box, p: float, train: bool | None) -> tuple[Box, torch.Tensor]:
    """The kernel of `dropout`, with its mask."""
    _, mask = torch.native_dropout(torch.ones_like(input.lower.detach()), p, train)
    return _masked(lambda ones, p, train: mask, input, p, train is not False), mask


@rule(torch.bernoulli, torch.Tensor.bernoulli, torch.ops.aten.bernoulli, formula=r"[v < p]", **_RECORD)
def bernoulli(input: Box, p: float | None = None, *, generator: Any = None) -> Any:
    """The hull for one draw: one uniform number v for each entry, compared with every probability in the box.

    Raises:
        DomainError: if some entries cannot be probabilities.
    """
    lower, upper = input
    if generator is None:
        _draws.masked("bernoulli")
    if p is not None:  # only the shape of the box is read
        return torch.bernoulli(torch.empty_like(lower), p, generator=generator)
    lower, upper = check_domain("bernoulli", input, (0.0, 1.0))
    number = torch.rand(lower.shape, dtype=lower.dtype, device=lower.device, generator=generator)
    return Box((number < lower).to(lower.dtype), (number < upper).to(lower.dtype))


# --- alpha dropout ----------------------------------------------------------------------------------------------------

_ALPHA = 1.7580993408473766  # the limit of SELU at -inf, negated (Klambauer et al. 2017, section 3)


def _alpha_masked(function: Any, input: Box, p: float, train: bool) -> Box:
    """Set some entries to SELU's limit -α, then restore mean 0 and variance 1 by y = a x + a α p.

    `function` draws the mask for a plain tensor.
    """
    if not train or p == 0:
        return input
    at_zero = function(torch.zeros_like(input.lower.detach()), p, True)
    if p == 1:
        return Box(at_zero, at_zero.clone())
    _draws.masked("alpha_dropout")
    scale = 1 / math.sqrt((_ALPHA**2 * p + 1) * (1 - p))
    # For the input 0 a kept entry is a α p > 0, and a dropped one is a α (p - 1) < 0.
    kept = at_zero > 0
    moved = add(mul(input, _nearly(scale, input)), _nearly(scale * _ALPHA * p, input))
    dropped = _nearly(scale * _ALPHA * (p - 1), input)
    return Box(torch.where(kept, moved.lower, dropped.lower), torch.where(kept, moved.upper, dropped.upper))


def _nearly(value: float, like: Box) -> Box:
    """A box around the real value of a constant, which was computed in float64 up to a few units in the last place."""
    slack = 16 * 2.0**-53 * abs(value) if rounding.outward() else 0.0
    low, high = (
        rounding.neighbour(v, like.lower.dtype, side)
        for v, side in ((value - slack, -math.inf), (value + slack, math.inf))
    )
    return Box(like.lower.new_tensor(low), like.lower.new_tensor(high))


@rule("alpha_dropout", formula=r"a (m x - (1 - m) \alpha) + b", affine_in=_switched_off, **_RECORD)
def alpha_dropout(input: Box, p: float = 0.5, train: bool = False) -> Box:
    """The hull for the mask that was drawn."""
    return _alpha_masked(torch.alpha_dropout, input, p, train)


@rule("feature_alpha_dropout", formula=r"a (m x - (1 - m) \alpha) + b", affine_in=_switched_off, **_RECORD)
def feature_alpha_dropout(input: Box, p: float = 0.5, train: bool = False) -> Box:
    """As `alpha_dropout`, with one draw for a whole channel."""
    return _alpha_masked(torch.feature_alpha_dropout, input, p, train)
