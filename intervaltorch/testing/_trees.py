"""Arguments and results are tuples, lists and dicts of tensors: walking through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from .._tensor.interval import IntervalTensor

__all__ = ["boxes_in", "flatten", "map_tensors", "real_parts", "to_float64"]


def map_tensors(change: Callable[[Any], Any], tree: Any, kind: type = Tensor) -> Any:
    """Apply a function to all tensors (or whatever is of that kind) in nested tuples, lists and dicts."""
    if isinstance(tree, kind):
        return change(tree)
    if isinstance(tree, dict):
        return {key: map_tensors(change, item, kind) for key, item in tree.items()}
    if isinstance(tree, (tuple, list)):
        items = [map_tensors(change, item, kind) for item in tree]
        return type(tree)(items) if type(tree) in (tuple, list) else tuple(items)
    return tree


def flatten(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """Return the tensors of a tree, and a function that puts others in their places."""
    leaves: list[Any] = []
    map_tensors(leaves.append, tree)

    def rebuild(replacements: list[Any]) -> Any:
        remaining = iter(replacements)
        return map_tensors(lambda _: next(remaining), tree)

    return leaves, rebuild


def boxes_in(tree: Any) -> Iterator[IntervalTensor]:
    """Iterate over the interval tensors of a tree."""
    return (leaf for leaf in flatten(tree)[0] if isinstance(leaf, IntervalTensor))


def real_parts(tree: Any) -> Any:
    """Write complex tensors and boxes as real ones with both parts along a last dimension."""
    return map_tensors(lambda x: torch.view_as_real(x.resolve_conj()) if x.dtype.is_complex else x, tree)


def to_float64(tree: Any) -> Any:
    """Convert floating tensors and boxes, and floating dtypes, to float64; complex ones to complex128."""
    tree = map_tensors(lambda x: x.to(_wide(x.dtype)), tree)
    return map_tensors(_wide, tree, torch.dtype)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.complex128 if dtype.is_complex else torch.float64 if dtype.is_floating_point else dtype
