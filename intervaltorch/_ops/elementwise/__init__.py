"""Elementwise functions: arithmetic, powers, elementary functions, activations, steps, comparisons, conversions."""

from . import activations, arithmetic, checks, comparisons, conversions, elementary, powers, steps

__all__ = ["activations", "arithmetic", "checks", "comparisons", "conversions", "elementary", "powers", "steps"]
