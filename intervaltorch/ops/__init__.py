"""The rules, one family of functions a file; importing a file enters its rules."""

from __future__ import annotations

from . import (
    affine, arithmetic, attention, comparisons, dropout, elementwise, indexing, interpolation, metadata,
    moments, normalization, pooling, reductions, softmax, sorting, structural,
)  # fmt: skip

__all__ = [
    "affine", "arithmetic", "attention", "comparisons", "dropout", "elementwise", "indexing", "interpolation",
    "metadata", "moments", "normalization", "pooling", "reductions", "softmax", "sorting", "structural",
]  # fmt: skip
