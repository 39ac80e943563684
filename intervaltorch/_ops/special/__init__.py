"""Special functions of one or two arguments, with measured error budgets."""

from . import airy, bessel, gamma, incomplete_gamma, modified_bessel, normal, polynomials, waves

__all__ = ["airy", "bessel", "gamma", "incomplete_gamma", "modified_bessel", "normal", "polynomials", "waves"]
