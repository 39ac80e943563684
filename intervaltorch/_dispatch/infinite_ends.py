"""Which rules need help with gradients at infinite ends; see `intervaltorch._theorems.infinite_ends`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from .._records.registry import Box, Op
from .._rounding import EXACT
from .._theorems import infinite_ends

__all__ = ["differentiable"]


def differentiable(op: Op, enclose: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Apply a rule so that its finite bounds have finite gradients, also where ends of its arguments are infinite.

    Args:
        op: the record of the rule.
        enclose: the rule.
        args: arguments, with boxes.
        kwargs: keyword arguments, likewise.
    """
    if not _may_lose_gradients(op):
        return enclose(*args, **kwargs)
    return infinite_ends.differentiable(enclose, args, kwargs)


_LINEAR = {"structural", "reads no values", "dropout", "pooling", "sorting", "fourier", "interpolation"}
_SUMS = {"add", "sub", "rsub", "sum", "mean", "cumsum", "leaky_relu"}
_BY_ITSELF = {"attention"}
_ELEMENTWISE = {"increasing", "decreasing", "piecewise monotone", "periodic"}


@functools.lru_cache
def _may_lose_gradients(op: Op) -> bool:
    """Whether gradients at infinite ends may be NaN; not for sums, nor for functions that select or move entries."""
    if op.budget is EXACT or op.family in _LINEAR | _BY_ITSELF or op.name in _SUMS:
        return False
    return op.registered or op.family not in _ELEMENTWISE or not _flat_at_infinity(op)


@torch.enable_grad()
def _flat_at_infinity(op: Op) -> bool:
    """Whether a function of one argument has finite values and gradients at the infinite ends of its domain."""
    ends = [torch.tensor([x], requires_grad=True) for x in op.domain]
    try:
        bounds = [bound for end in ends for bound in op.enclose(Box(end, end))]
        slopes = torch.autograd.grad(torch.cat(bounds).sum(), ends)
    except (RuntimeError, TypeError):
        return False
    return all(bool(x.isfinite().all()) for x in (*bounds, *slopes))
