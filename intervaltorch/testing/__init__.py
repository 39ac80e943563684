"""Tools to test your own rules and models: exact containment, all properties of a rule, boxes from hypothesis."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .contract import (
    check_gradient,
    check_nested,
    check_op,
    check_result,
    check_sound,
    check_thin,
    check_unbounded,
    reference,
)
from .enclosure import assert_encloses
from .points import covering_boxes, neighbours, sample_points, smooth_boxes

if TYPE_CHECKING:
    from . import strategies

__all__ = [
    "assert_encloses",
    "check_gradient",
    "check_nested",
    "check_op",
    "check_result",
    "check_sound",
    "check_thin",
    "check_unbounded",
    "covering_boxes",
    "neighbours",
    "reference",
    "sample_points",
    "smooth_boxes",
    "strategies",
]


def __getattr__(name: str) -> Any:
    # hypothesis is needed for `strategies` alone, so it is imported on first use.
    if name == "strategies":
        return importlib.import_module(".strategies", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
