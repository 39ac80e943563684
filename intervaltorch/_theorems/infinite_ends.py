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
from .._records.registry import Box
from .._rounding import rounding, untracked
from .._trees import leaves, map_kind, zip_results

__all__ = ["differentiable", "smooth"]


def differentiable(enclose: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Apply a rule so that its finite bounds have finite gradients, also where ends of its arguments are infinite.

    Args:
        enclose: the rule.
        args: arguments, with boxes.
        kwargs: keyword arguments, likewise.
    """
    if not _has_infinite_ends(args, kwargs):
        return enclose(*args, **kwargs)
    with torch.no_grad():
        values = enclose(*args, **kwargs)
    known: dict[int, Box] = {}
    with rounding("nearest"):  # the gradients of both modes are the same
        sloped = enclose(*_finite(list(args), known), **_finite(kwargs, known))
    return _sloped(values, sloped)


def smooth(step: Callable[..., Any]) -> Callable[..., Any]:
    """Make a step of a rule `differentiable`: one whose arguments may be infinite where those of the rule are not."""

    @functools.wraps(step)
    def apply(*args: Any, **kwargs: Any) -> Any:
        return differentiable(step, args, kwargs) if torch.is_grad_enabled() else step(*args, **kwargs)

    return apply


def _has_infinite_ends(args: Any, kwargs: dict[str, Any]) -> bool:
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
    """Whether an end is infinite. What was found is kept with the box until a bound is written to."""
    lower, upper = box.lower, box.upper
    if not (lower.is_floating_point() or lower.is_complex()) or not lower.numel() or not _compat.readable(lower):
        return False
    if lower.is_inference() or upper.is_inference():
        return _has_infinity(lower, upper)
    versions = lower._version, upper._version
    if box.finite_at == versions:
        return False
    if lower.is_cuda and torch.cuda.is_current_stream_capturing():
        return False
    found = _has_infinity(lower, upper)
    box.finite_at = None if found else versions
    return found


def _has_infinity(lower: Tensor, upper: Tensor) -> bool:
    """Whether an end is infinite. Sums that overflow, or add up to NaN, are taken for infinite as well."""
    lower, upper = lower.detach(), upper.detach()
    if lower.is_complex():
        lower, upper = (torch.view_as_real(end.resolve_conj()) for end in (lower, upper))
    width = _compat.behind(upper.sum() - lower.sum())
    return not (width.item() < inf if width.ndim == 0 else bool((width < inf).all()))


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
    """Other values for a tensor, as a constant shift for autograd.

    What was infinite has no slope: a gradient that is not finite there, of a function that overflows even now, is 0.
    """
    moved = x.clone()
    untracked(moved).copy_(to)
    if moved.requires_grad:
        replaced = x.detach().isinf()

        def cut(slope: Tensor | None) -> Tensor | None:
            return None if slope is None else torch.where(replaced & ~slope.isfinite(), 0.0, slope)

        moved.register_hook(cut)
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
