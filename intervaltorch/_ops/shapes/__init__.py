"""What moves, copies or selects entries, and what reads no values at all."""

from . import indexing, metadata, structural

__all__ = ["indexing", "metadata", "structural"]
