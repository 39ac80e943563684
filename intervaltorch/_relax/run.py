"""Bounds of a program by linear relaxations."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from typing import Any, Literal

from .. import _rounding as rounding
from .._compat import tree_leaves, tree_map
from .._records.registry import Box
from .._tensor.interval import IntervalTensor
from ..errors import UnprovenOpError
from . import backward
from .slopes import optimised
from .state import Run, current, following, node_of
from .tensor import RelaxedTensor

__all__ = ["METHODS", "Method", "check_method", "finished", "relaxed"]

Method = Literal["ibp", "crown-ibp", "crown", "alpha-crown"]
METHODS: tuple[Method, ...] = ("ibp", "crown-ibp", "crown", "alpha-crown")


def check_method(method: str) -> None:
    """Refuse unknown methods.

    Raises:
        ValueError: for an unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: expected one of {', '.join(map(repr, METHODS))}")


def _check_rigorous(boxes: list[IntervalTensor], method: str) -> None:
    """Refuse to claim rigorous passes where the arithmetic is not that of the proof.

    Raises:
        UnprovenOpError: for devices other than CPUs.
    """
    other = next((x.device.type for x in boxes if x.device.type != "cpu"), None)
    if other is not None:
        raise UnprovenOpError(
            f"bound(..., method={method!r}) has no proof of its rounding errors on {other}",
            "which algorithms compute the coefficients of its backward passes there is not known",
            'use rounding("nearest"), method="ibp", or the CPU',
        )


def relaxed(function: Callable[..., Any], inputs: tuple, kwargs: dict[str, Any], run: Run) -> Any:
    """Run a function on boxes, and bound the values it returns by backward passes."""
    boxes = [x for x in tree_leaves((inputs, kwargs)) if isinstance(x, IntervalTensor)]
    sizes = {x.shape[0] if x.ndim else None for x in boxes}
    run.count = sizes.pop() if len(sizes) == 1 else None
    run.rigorous = rounding.outward()
    if run.rigorous:
        _check_rigorous(boxes, run.method)

    def leaf(x: Any) -> Any:
        if not isinstance(x, IntervalTensor):
            return x
        relaxed = RelaxedTensor._wrap(x._box)
        run.name(node_of(relaxed, "input"), "input")
        return relaxed

    with following(run):
        inputs, kwargs = tree_map(leaf, (inputs, kwargs))
        return map_leaves(finished, function(*inputs, **kwargs))


def map_leaves(change: Callable[[Any], Any], tree: Any) -> Any:
    """Change the leaves of a result, also those in dataclasses, namespaces and subclasses of dict."""

    def visit(leaf: Any) -> Any:
        if isinstance(leaf, dict):
            for key, value in leaf.items():
                leaf[key] = map_leaves(change, value)
            return leaf
        if isinstance(leaf, types.SimpleNamespace) or (dataclasses.is_dataclass(leaf) and not isinstance(leaf, type)):
            for name, value in list(vars(leaf).items()):
                object.__setattr__(leaf, name, map_leaves(change, value))
            return leaf
        return change(leaf)

    return tree_map(visit, tree)


def finished(x: Any) -> Any:
    """The plain box of a relaxed one, cut to the bounds of a backward pass. Anything else is returned as it is."""
    if not isinstance(x, RelaxedTensor):
        return x
    run, box = current(), x._box
    if x.node is None or not x.dtype.is_floating_point:
        return IntervalTensor._wrap(Box(*box))
    box = backward.within(box, backward.bounds(x.node, box.lower, None, run.account if run.keeps_account else None))
    if run.method == "alpha-crown":
        box = optimised(x.node, x._box.lower, box)
    return IntervalTensor._wrap(box)
