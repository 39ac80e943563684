"""The rules, one family of functions a file; importing a file enters its rules."""

from __future__ import annotations

from . import affine, arithmetic, comparisons, elementwise, metadata, structural

__all__ = ["affine", "arithmetic", "comparisons", "elementwise", "metadata", "structural"]
