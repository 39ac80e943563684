"""`DistributedDataParallel` for modules that return boxes.

`DistributedDataParallel` follows the autograd graphs of the tensors in a result to learn which parameters are used. It
also puts a node of its own before each tensor, to learn when the backward pass begins. A box has no graph, but its
bounds have. Torch has no public hook for this, so three private functions of `DistributedDataParallel` get a step
that replaces boxes by their bounds.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from torch import Tensor

from .. import _compat
from .._records.registry import Box
from ..errors import UnsupportedOpError

__all__ = ["show_bounds"]


def show_bounds(cls: Any) -> None:
    """Put bounds in the place of boxes where `DistributedDataParallel` looks for tensors.

    Args:
        cls: the class of boxes.
    """
    ddp = _compat.data_parallel
    find, flatten, unflatten = ddp._find_tensors, ddp._tree_flatten_with_rref, ddp._tree_unflatten_with_rref

    def parts(leaf: Any) -> tuple[Any, ...]:
        return tuple(leaf._box) if isinstance(leaf, cls) else (leaf,)

    def find_tensors(output: Any) -> list[Tensor]:
        return [part for leaf in find(output) for part in parts(leaf)]

    def flatten_output(output: Any) -> tuple[list[Any], Any, bool]:
        leaves, form, remote = flatten(output)
        if sys._getframe(1).f_locals["self"].static_graph:
            _check_seen(leaves)
        return [part for leaf in leaves for part in parts(leaf)], (leaves, form), remote

    def unflatten_output(tensors: list[Any], form: Any, remote: bool) -> Any:
        old, form = form
        rest = iter(tensors)
        new = [_rebuilt(leaf, [next(rest) for _ in parts(leaf)]) for leaf in old]
        return unflatten(new, form, remote)

    def _rebuilt(old: Any, new: list[Any]) -> Any:
        if not isinstance(old, cls):
            return new[0]
        return old if all(map(lambda a, b: a is b, new, old._box)) else cls._wrap(Box(*new))

    ddp._find_tensors, ddp._tree_flatten_with_rref, ddp._tree_unflatten_with_rref = (
        find_tensors, flatten_output, unflatten_output,
    )  # fmt: skip


def _check_seen(leaves: list[Any]) -> None:
    """Refuse boxes in a dataclass: torch's trees take a dataclass for a leaf, so gradients would not be averaged.

    Raises:
        UnsupportedOpError: with a remedy.
    """
    for leaf in filter(dataclasses.is_dataclass, leaves):
        if _holds_gradient(leaf):
            raise UnsupportedOpError(
                f"DistributedDataParallel(static_graph=True) does not look into {type(leaf).__name__}",
                "the gradients of the boxes in it would not be averaged over the processes",
                "return a tuple or a dict of boxes, or leave static_graph off",
            )


def _holds_gradient(leaf: Any) -> bool:
    if dataclasses.is_dataclass(leaf):
        inner = [getattr(leaf, field.name) for field in dataclasses.fields(leaf)]
        return any(map(_holds_gradient, _compat.tree_leaves(inner)))
    return hasattr(leaf, "_box") and leaf.requires_grad
