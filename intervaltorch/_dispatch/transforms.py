"""Transforms of `torch.func` wrap tensors. They may wrap bounds, but not boxes."""

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
        UnsupportedOpError: with another way to write the program.
    """
    if _compat.leaving_vmap():
        raise UnsupportedOpError(
            "torch.vmap cannot put samples together to a box",
            "return bounds: torch.vmap(lambda l, u: f(IntervalTensor(l, u)).lower)(X.lower, X.upper)",
        )
    forward = function is torch.ops.aten._has_same_storage_numel.default  # by which make_dual compares a tangent
    if forward or _compat.called_by_transform():
        raise UnsupportedOpError(
            "a transform of torch.func, or forward-mode differentiation, cannot take a box as an argument",
            "differentiate a function of bounds, which builds the box inside:"
            " torch.func.grad(lambda l, u: f(IntervalTensor(l, u)).lower.sum(), argnums=(0, 1))(X.lower, X.upper)",
            "the function may use a box that was made outside it, if no gradient of this box is needed;"
            " or use torch.autograd.grad",
            f"seen at {'make_dual' if forward else spelled(function)}",
        )


def meets_kernel(function: Any) -> bool:
    """Whether a function without a rule is a C++ function, and a transform is running that would see its calls."""
    return _compat.transforming() and not inspect.isfunction(function)


def run_kernel(function: Any, types: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Run a C++ function on boxes hidden from the transforms, which see the operations of the rules on the bounds.

    Raises:
        UnsupportedOpError: if the function gets a wrapped tensor in spite of this, such as integers that differ between
            samples.
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
    """Let transforms see the operations of a rule that a kernel has called; `run_kernel` hides the kernel."""
    return _compat.transforms_seen(True) if _compat.transforming() else contextlib.nullcontext()
