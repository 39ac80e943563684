"""Functions that combine entries: sums, moments, order statistics, pooling, scattering."""

from . import bags, distances, moments, pooling, quantiles, reductions, scattering, sorting

__all__ = ["bags", "distances", "moments", "pooling", "quantiles", "reductions", "scattering", "sorting"]
