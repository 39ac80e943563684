"""The tensor of boxes: what it is made from, what it answers, what it refuses."""

from .interval import IntervalTensor, _rebuild, hull, intersection

__all__ = ["IntervalTensor", "_rebuild", "hull", "intersection"]
