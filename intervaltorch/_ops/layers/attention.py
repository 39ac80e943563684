r"""Scaled dot-product attention.

The weights are a softmax, so an output is a mean of values. Let the weights $w \in [l, u]$ sum to 1, and let
$s = 1 - \sum_k l_k$. Then for any number $\lambda$

$$\sum_k w_k v_k = \sum_k l_k v_k + \sum_k (w_k - l_k) v_k
\le \sum_k l_k v_k + \lambda s + \sum_k (u_k - l_k) (v_k - \lambda)^+ ,$$

By the duality of linear programs, the least of these bounds over all λ is the hull. Here the least over a few λ is
taken: some from the mean of the values upward, and the greatest value that is not masked.
"""

from __future__ import annotations

import math
from math import inf
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import _rounding as rounding
from ..._compat import anywhere, readable
from ..._records.registry import Box
from ..._theorems.boxes import as_box, both, decided, intersect
from ..._theorems.families import rule
from ..._theorems.infinite_ends import smooth
from ..._theorems.operands import operand
from ..._theorems.sums import finite
from ...errors import DomainError, UnsupportedOpError
from ..elementwise.arithmetic import add, mul
from ..linear.products import matmul
from ..reductions.reductions import logsumexp
from . import programs
from .softmax import softmax_box


def _in_values(dropout_p: float, **_: Any) -> tuple[set[str], ...]:
    """Affine in the values, which do not change their weights, unless weights are dropped at random."""
    return () if dropout_p else ({"value"},)


@rule(
    F.scaled_dot_product_attention, torch.ops.aten.scaled_dot_product_attention,
    formula=r"\mathrm{softmax}(Q K^\top / \sqrt d) V", family="attention", proven=True, sharp=False,
    affine_in=_in_values, parts=programs.attention,
)  # fmt: skip
def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, enable_gqa: bool = False,
) -> Box:  # fmt: skip
    """Exact for a single point, within the range of the unmasked values; else scores share queries and keys."""
    return _attention(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)[0]


@rule(
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu,
    formula=r"\mathrm{softmax}(Q K^\top / \sqrt d) V", family="attention", proven=True, sharp=False,
    affine_in=_in_values,
)  # fmt: skip
def flash_attention(
    query: Any, key: Any, value: Any, dropout_p: float = 0.0, is_causal: bool = False, *, attn_mask: Any = None,
    scale: float | None = None,
) -> tuple[Box, Box]:  # fmt: skip
    """As `scaled_dot_product_attention`, with the logarithms of the sums that its softmax divides by."""
    output = scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale)
    return output, smooth(logsumexp)(_masked_scores(query, key, attn_mask, is_causal, scale)[0], -1)


@rule(
    torch.ops.aten._scaled_dot_product_attention_math,
    formula=r"\mathrm{softmax}(Q K^\top / \sqrt d) V", family="attention", proven=True, sharp=False,
    affine_in=_in_values,
)  # fmt: skip
def attention_math(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    dropout_mask: Any = None, *, scale: float | None = None, enable_gqa: bool = False,
) -> tuple[Box, Box]:  # fmt: skip
    """As `scaled_dot_product_attention`, with its weights; a Boolean mask is added to the scores as numbers."""
    if dropout_mask is not None:
        raise UnsupportedOpError(
            "_scaled_dot_product_attention_math with a dropout_mask has no interval rule",
            "leave dropout_mask out; in a module, switch to inference first: model.eval()",
        )
    if _is_boolean(attn_mask):
        attn_mask = decided(attn_mask, "attn_mask").to(as_box(query).lower.dtype)
    return _attention(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)


def _attention(
    query: Any, key: Any, value: Any, attn_mask: Any, dropout_p: float, is_causal: bool, scale: float | None,
    enable_gqa: bool,
) -> tuple[Box, Box]:  # fmt: skip
    """Outputs and weights of attention."""
    if dropout_p > 0:
        raise UnsupportedOpError(
            f"scaled_dot_product_attention with dropout_p={dropout_p} has no interval rule",
            "pass dropout_p=0.0; in a module, switch to inference first: model.eval()",
        )
    if enable_gqa:
        key, value = (_repeated(t, _shape(query)[-3] // _shape(t)[-3]) for t in (key, value))
    scores, allowed = _masked_scores(query, key, attn_mask, is_causal, scale)
    weights = smooth(softmax_box)(scores, -1, safe=True)
    return _mean_of_values(weights, value, allowed), weights


def _masked_scores(
    query: Any, key: Any, attn_mask: Any, is_causal: bool, scale: float | None
) -> tuple[Box, Tensor | None]:  # fmt: skip
    """The scores after masking, and which keys each query may attend to."""
    scores = _scores(query, key, scale)
    attn_mask = decided(attn_mask, "attn_mask") if _is_boolean(attn_mask) else attn_mask
    if is_causal:
        attn_mask = torch.ones(scores.lower.shape[-2:], dtype=torch.bool, device=scores.lower.device).tril()
    allowed = _allowed(attn_mask)
    if attn_mask is not None and not _is_boolean(attn_mask):
        scores = add(scores, attn_mask)
    if allowed is not None:
        scores = Box(*(bound.masked_fill(~allowed, -inf) for bound in scores))
    return scores, allowed


def _shape(x: Any) -> torch.Size:
    """The shape of a box or tensor."""
    return as_box(x).lower.shape


def _is_boolean(mask: Any) -> bool:
    """Whether there is a mask and it is Boolean."""
    return mask is not None and as_box(mask).lower.dtype is torch.bool


def _repeated(x: Any, times: int) -> Any:
    """Repeat heads of keys or values, one for each head of queries."""
    if not isinstance(x, Box):
        return x.repeat_interleave(times, -3)
    return both(torch.repeat_interleave, x, times, -3)


@smooth
def _scores(query: Any, key: Any, scale: float | None) -> Box:
    """The scaled products of queries and keys."""
    transposed = Box(key.lower.mT, key.upper.mT) if isinstance(key, Box) else key.mT
    products = matmul(query if isinstance(query, Box) or isinstance(key, Box) else as_box(query), transposed)
    if scale is not None:
        if not math.isfinite(scale):
            raise DomainError(f"attention with scale={scale:g} is NaN", "pass a finite scale, or None for 1 / sqrt(d)")
        return mul(products, scale)
    scale = 1 / math.sqrt(_shape(query)[-1])
    if not rounding.outward():
        return mul(products, scale)
    # The real root lies between the neighbours of the computed one.
    ends = operand(math.nextafter(scale, 0), products).lower, operand(math.nextafter(scale, 1 + scale), products).upper
    return mul(products, Box(*ends))


def _allowed(mask: Any) -> Tensor | None:
    """Which keys each query may attend to, `(..., queries or 1, keys)`; None for all."""
    if mask is None:
        return None
    allowed = torch.atleast_2d(mask if _is_boolean(mask) else as_box(mask).upper > -inf)
    return None if readable(allowed) and not anywhere(~allowed) else allowed


# --- means of values --------------------------------------------------------------------------------------------------


@smooth
def _mean_of_values(weights: Box, value: Any, allowed: Tensor | None) -> Box:
    """Bound the means of values with these weights; see the top of this file."""
    values = as_box(value)
    if not values.lower.shape[-2]:
        return both(torch.matmul, weights, values)  # without keys every query gives 0
    low, high = _least(values.lower, allowed), -_least(-values.upper, allowed)
    lower, upper = -_greatest_mean(weights, -values.lower, -low), _greatest_mean(weights, values.upper, high)
    within = intersect(finite(lower, upper), Box(low, high))
    if allowed is None:
        return within
    some = allowed.any(-1, keepdim=True)  # a query without keys gives 0
    return Box(torch.where(some, within.lower, 0.0), torch.where(some, within.upper, 0.0))


_TURNS = (0.0, 0.6, 1.5)
"""The values of λ, above the mean of the values and in units of their mean deviation.

For random values the bound is then within 8 % of the hull. The best λ lies between the middle, for narrow
boxes of weights, and the greatest value, for wide ones. A search for the best λ would need memory for every triple of
query, key and feature. When the boxes of the weights shrink, the bounds never grow. When those of the values shrink,
the bounds may grow a little, because λ moves.
"""


def _greatest_mean(weights: Box, value: Tensor, greatest: Tensor) -> Tensor:
    """The least of some upper bounds of a mean of values. No value with a weight is larger than `greatest`.

    Outward, let there be n keys, and let γ be that of n + 8. A share λs errs by less than γλ, because the least weights
    sum to at most 1. The products, whose factors are differences, err by γ times `size` together. Each of the last two
    sums errs by half an eps, and `rounding.up` needs as much for itself. What underflows adds up to less than
    8(n + 8)u < 4 smallest normal numbers.
    """
    keys, info = value.shape[-2], torch.finfo(value.dtype)
    growth = rounding.gamma(keys + 8, value.dtype) if rounding.outward() else 0.0
    middle = value.nan_to_num(0.0, 0.0, 0.0).mean(-2, keepdim=True).nan_to_num(0.0, 0.0, 0.0)
    value, greatest = value - middle, greatest - middle
    deviation = value.nan_to_num(0.0, 0.0, 0.0).abs().mean(-2, keepdim=True).nan_to_num(0.0, 0.0, 0.0)
    left = (1 - weights.lower.sum(-1, keepdim=True)).clamp(min=0)
    free = weights.upper - weights.lower

    def share(turn: Tensor) -> Tensor:
        product = left * turn
        return product + turn.detach().abs() * growth if growth else product

    most = share(greatest)
    most = torch.where(most.isnan(), inf, most)
    for step in _TURNS:
        turn = step * deviation
        most = torch.minimum(most, share(turn) + torch.matmul(free, (value - turn).clamp(min=0)))
    mean = torch.matmul(weights.lower, value) + most
    bound = middle + mean
    if not growth:
        return bound
    with torch.no_grad():
        size = torch.matmul(weights.upper, value.abs())
        error = size * (growth * (1 + growth)) + (mean.abs() + bound.abs()) * info.eps
        error = error * (1 + 8 * info.eps) + 4 * info.tiny
    return rounding.up(bound, error.nan_to_num(nan=inf))


def _least(value: Tensor, allowed: Tensor | None, entries: int = 2**24) -> Tensor:
    """The least value of the keys that each query may attend to, `(..., queries or 1, features)`.

    Positions are found without autograd, for as many queries at once as `entries` comparisons allow. Gathering the
    values then keeps only the positions for the backward pass.
    """
    if allowed is None:
        return value.amin(-2, keepdim=True)
    batch = torch.broadcast_shapes(value.shape[:-2], allowed.shape[:-2])
    value, allowed = value.expand(*batch, -1, -1), allowed.expand(*batch, -1, value.shape[-2])
    chunk = max(1, entries // max(1, value.numel()))
    with torch.no_grad():
        found = [
            torch.where(rows.unsqueeze(-1), value.unsqueeze(-3), inf).argmin(-2) for rows in allowed.split(chunk, -2)
        ]
    return value.gather(-2, torch.cat(found, -2))
