"""Functions that move, copy or select entries, and functions that read no values."""

from . import indexing, metadata, padding, structural

__all__ = ["indexing", "metadata", "padding", "structural"]
