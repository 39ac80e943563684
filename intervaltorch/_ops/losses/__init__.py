"""Losses and similarities."""

from . import ctc, likelihoods, losses, similarity

__all__ = ["ctc", "likelihoods", "losses", "similarity"]
