"""Linear algebra with verified bounds: solving, determinants, spectra, covariances, grids of numbers."""

from . import covariance, determinants, grids, solving, spectra

__all__ = ["covariance", "determinants", "grids", "solving", "spectra"]
