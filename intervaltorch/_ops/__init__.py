"""The rules, in chapters; importing a chapter enters its rules."""

from . import elementwise, layers, linalg, linear, losses, reductions, shapes, special

__all__ = ["elementwise", "layers", "linalg", "linear", "losses", "reductions", "shapes", "special"]
