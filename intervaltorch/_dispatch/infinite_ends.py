"""Gradients of finite bounds of boxes with infinite ends.

At an infinite end autograd computes 0 times infinity, which is NaN. The NaN would reach every gradient that shares a
weight with this end. So if a rule gets an infinite end while autograd records, its values are computed from the box as
it is, but its gradients are computed with a large finite number in place of the infinite end. Functions with finite
bounds are flat beyond this number. An infinite bound is a constant.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import inf
from typing import Any

import torch
from torch import Tensor

from .. import _compat
from .._records.registry import Box, Op
from .._rounding import EXACT, rounding, untracked
from .._trees import leaves, map_kind, zip_results

__all__ = ["differentiable"]


def differentiable(op: Op, enclose: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Apply a rule so that its finite bounds have finite gradients, also where ends of its arguments are infinite.

    Args:
        op: the record of the rule.
        enclose: the rule.
        args: arguments, with boxes.
        kwargs: keyword arguments, likewise.
    """
    if not _may_lose_gradients(op) or not _has_infinite_ends(args, kwargs):
        return enclose(*args, **kwargs)
    with torch.no_grad():
        values = enclose(*args, **kwargs)
    known: dict[int, Box] = {}
    with rounding("nearest"):  # the gradients of both modes are the same
        sloped = enclose(*_finite(args, known), **_finite(kwargs, known))
    return _sloped(values, sloped)


_LINEAR = {"structural", "dropout", "pooling", "sorting", "fourier", "interpolation"}
_SUMS = {"add", "sub", "rsub", "sum", "mean", "cumsum", "leaky_relu"}
_ELEMENTWISE = {"increasing", "decreasing", "piecewise monotone", "periodic"}


@functools.lru_cache
def _may_lose_gradients(op: Op) -> bool:
    """Whether gradients at infinite ends may be NaN; not for sums, nor for functions that select or move entries."""
    if op.budget is EXACT or op.family in _LINEAR or op.name in _SUMS:
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


def _has_infinite_ends(args: list[Any], kwargs: dict[str, Any]) -> bool:
    """Whether autograd records operations on these arguments, and a box among them has an infinite end."""
    boxes, recorded = [], False
    for leaf in leaves((args, kwargs)) if kwargs else leaves(args):
        if type(leaf) is Box:
            boxes.append(leaf)
            recorded = recorded or leaf.lower.requires_grad or leaf.upper.requires_grad
        elif isinstance(leaf, Tensor):
            recorded = recorded or leaf.requires_grad
    return recorded and any(map(_endless, boxes))


def _endless(box: Box) -> bool:
    """Whether an end is infinite."""
    lower, upper = box.lower.detach(), box.upper.detach()
    if lower.is_complex():
        lower, upper = (torch.view_as_real(end.resolve_conj()) for end in (lower, upper))
    if not lower.is_floating_point() or not lower.numel() or not _compat.readable(lower):
        return False
    if lower.is_cuda and torch.cuda.is_current_stream_capturing():
        return False
    width = _compat.behind((upper - lower).amax())
    return not bool((width < inf).all())  # inf - inf is NaN; a width that overflows is taken for infinite as well


def _finite(value: Any, known: dict[int, Box]) -> Any:
    """Replace infinite ends by large numbers. The same box is replaced by the same box."""

    def replaced(box: Box) -> Box:
        if id(box) not in known:
            known[id(box)] = _with_finite_ends(box)
        return known[id(box)]

    return map_kind(Box, replaced, value)


def _with_finite_ends(box: Box) -> Box:
    lower, upper = box
    if lower.is_complex():
        sides = _with_finite_ends(
            Box(torch.view_as_real(lower.resolve_conj()), torch.view_as_real(upper.resolve_conj()))
        )
        return Box(torch.view_as_complex(sides.lower), torch.view_as_complex(sides.upper))
    if not lower.is_floating_point():
        return box
    low, high = lower.detach(), upper.detach()
    far = _far(low.dtype)
    # If the other end is as far, no farther than that end: a mask of the largest finite number, rounded outward, is
    # a point.
    new_low = torch.where(low == -inf, _beyond(high.clamp(max=-far), far), low)
    new_high = torch.where(high == inf, _beyond(low.clamp(min=far), far), high)
    new_low, new_high = torch.where(low == inf, far, new_low), torch.where(high == -inf, -far, new_high)
    if box.is_point:
        end = _shifted(lower, new_high)
        return Box(end, end)
    return Box(_shifted(lower, new_low), _shifted(upper, new_high))


def _beyond(end: Tensor, far: float) -> Tensor:
    """The end itself, if it is finite; else, for a point or a whole line, a finite number of the same sign."""
    return torch.where(end.isinf(), far * end.sign(), end)


def _far(dtype: torch.dtype) -> float:
    """A number so large that functions are flat there, and so small that a multiple of its square is finite."""
    return max(2.0**10, torch.finfo(dtype).max ** 0.5 / 64)


def _shifted(x: Tensor, to: Tensor) -> Tensor:
    """Other values for a tensor, as a constant shift for autograd."""
    moved = x.clone()
    untracked(moved).copy_(to)
    return moved


def _sloped(values: Any, tracked: Any) -> Any:
    """The values of one result with the gradients of another, where both are finite."""
    return zip_results(_sloped_box, values, tracked)


def _sloped_box(values: Any, tracked: Any) -> Any:
    if type(values) is not Box or not (values.lower.is_floating_point() or values.lower.is_complex()):
        return values
    return Box(*(_sloped_end(*pair) for pair in zip(values, tracked, strict=True)))


def _sloped_end(value: Tensor, tracked: Tensor) -> Tensor:
    if not tracked.requires_grad or value.shape != tracked.shape:
        return value
    known = value.isfinite() & tracked.isfinite()
    return torch.where(known, value + (tracked - tracked.detach()), value)
