"""`IntervalTensor`: construction, sets, gradients, printing, files, and the methods that it refuses."""

from .interval import IntervalTensor, _rebuild, hull, intersection

__all__ = ["IntervalTensor", "_rebuild", "hull", "intersection"]
