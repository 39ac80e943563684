"""Linear algebra with verified bounds: linear systems, determinants, spectra, covariances, and grids."""

from . import covariance, determinants, grids, solving, spectra

__all__ = ["covariance", "determinants", "grids", "solving", "spectra"]
