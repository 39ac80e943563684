"""The rules, one family of functions a file; importing a file enters its rules."""

from __future__ import annotations

from . import (
    activations, affine, arithmetic, attention, comparisons, dropout, elementwise, indexing, interpolation, losses, metadata,
    moments, normalization, pooling, powers, reductions, scattering, softmax, sorting, special, steps, structural,
)  # fmt: skip

__all__ = [
    "activations", "affine", "arithmetic", "attention", "comparisons", "dropout", "elementwise", "indexing", "interpolation", "losses",
    "metadata", "moments", "normalization", "pooling", "powers", "reductions", "scattering", "softmax",
    "sorting", "special", "steps", "structural",
]  # fmt: skip
