"""Affine and bilinear maps: linear layers, convolutions, products of matrices, interpolation, Fourier transforms."""

from . import affine, fourier, interpolation, products

__all__ = ["affine", "fourier", "interpolation", "products"]
