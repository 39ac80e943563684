"""Walks through nested tuples, lists and dicts, which hold the arguments and results of calls.

Torch's own trees (`torch.utils._pytree`) know more containers, but are slower, and rules are called often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

__all__ = ["filled", "leaves", "map_kind", "map_result", "zip_results"]


def leaves(tree: Any) -> Iterator[Any]:
    """The leaves of nested tuples, lists and dicts."""
    if isinstance(tree, (tuple, list, dict)):
        for item in tree.values() if isinstance(tree, dict) else tree:
            yield from leaves(item)
    else:
        yield tree


def map_kind(kind: Any, change: Callable[[Any], Any], tree: Any) -> Any:
    """Change the instances of a class, or of a tuple of classes, in nested tuples, lists and dicts.

    Containers of other classes, such as sizes and named tuples, are leaves.
    """
    if isinstance(tree, kind):
        return change(tree)
    container = type(tree)
    if container is tuple or container is list:
        return container([map_kind(kind, change, item) for item in tree])
    if container is dict:
        return {key: map_kind(kind, change, item) for key, item in tree.items()}
    return tree


def map_result(change: Callable[[Any], Any], result: Any) -> Any:
    """Change the leaves of a result: of nested tuples and lists, named ones included."""
    if isinstance(result, (tuple, list)):
        return filled(result, [map_result(change, item) for item in result])
    return change(result)


def zip_results(change: Callable[[Any, Any], Any], first: Any, second: Any) -> Any:
    """Combine two results of one structure, leaf by leaf."""
    if isinstance(first, (tuple, list)):
        return filled(first, [zip_results(change, *pair) for pair in zip(first, second, strict=True)])
    return change(first, second)


def filled(container: Any, items: list[Any]) -> Any:
    """A tuple or list of the class of another: of a plain one, a size, a named result of torch, or a named tuple."""
    kind = type(container)
    if kind in (tuple, list, torch.Size) or hasattr(kind, "n_fields"):
        return kind(items)
    return kind(*items)
