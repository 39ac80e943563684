"""The rules, one family of functions a file; importing a file enters its rules."""

from __future__ import annotations

from . import affine, arithmetic, comparisons, elementwise, indexing, interpolation, metadata, pooling, sorting, structural

__all__ = [
    "affine", "arithmetic", "comparisons", "elementwise", "indexing", "interpolation", "metadata", "pooling", "sorting",
    "structural",
]  # fmt: skip
