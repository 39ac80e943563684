"""Functions that combine entries: sums, moments, order statistics, pooling, scattering."""

from . import bags, moments, pooling, quantiles, reductions, scattering, sorting

__all__ = ["bags", "moments", "pooling", "quantiles", "reductions", "scattering", "sorting"]
