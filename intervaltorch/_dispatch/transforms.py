"""Transforms of `torch.func`: they put stand-ins in the place of tensors, of bounds as they like, of boxes never."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any

import torch

from .. import _compat
from .._records.registry import spelled
from ..errors import UnsupportedOpError

__all__ = ["check_caller", "meets_kernel", "run_kernel", "seen_again"]


def check_caller(function: Any) -> None:
    """Refuse an ATen call that a transform makes on a box.

    Raises:
        UnsupportedOpError: with the way to write it.
    """
    if _compat.leaving_vmap():
        raise UnsupportedOpError(
            "torch.vmap cannot put boxes together again",
            "return bounds: torch.vmap(lambda l, u: f(IntervalTensor(l, u)).lower)(X.lower, X.upper)",
        )
    forward = function is torch.ops.aten._has_same_storage_numel.default  # by which make_dual compares a tangent
    if forward or _compat.called_by_transform():
        raise UnsupportedOpError(
            "a transform of torch.func, or forward-mode differentiation, cannot take a box as an argument",
            "differentiate a function of bounds, which builds the box inside:"
            " torch.func.grad(lambda l, u: f(IntervalTensor(l, u)).lower.sum(), argnums=(0, 1))(X.lower, X.upper)",
            "a box that is not differentiated may come from around the function; or use torch.autograd.grad",
            f"seen at {'make_dual' if forward else spelled(function)}",
        )


def meets_kernel(function: Any) -> bool:
    """Whether a function without a rule is C++ that a transform would see."""
    return _compat.transforming() and not inspect.isfunction(function)


def run_kernel(function: Any, types: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Let a C++ function call its steps on boxes past the transforms, which see what the rules do with the bounds.

    Raises:
        UnsupportedOpError: if it met a stand-in all the same, as of integers that differ between samples.
    """
    reason: Exception | None = None
    try:
        with _compat.transforms_seen(False):
            result = _compat.redispatch_function(function, types, args, kwargs)
        if not any(map(_stands_for_box, _compat.tree_leaves(result))):
            return result
    except RuntimeError as error:
        if not any(word in str(error) for word in ("functorch", "vmap", "INTERNAL ASSERT")):
            raise
        reason = error
    raise UnsupportedOpError(
        f"{spelled(function)} has no rule of its own, and cannot run on these arguments inside torch.func",
        "differentiate its bounds with torch.autograd.grad, outside; or write it with operations that have rules",
    ) from reason


def _stands_for_box(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and hasattr(_compat.behind(leaf), "_box") and not hasattr(leaf, "_box")


def seen_again() -> contextlib.AbstractContextManager:
    """Let transforms see what a rule does that a kernel came to; `run_kernel` hides it before."""
    return _compat.transforms_seen(True) if _compat.transforming() else contextlib.nullcontext()
