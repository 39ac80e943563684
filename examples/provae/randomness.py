"""Randomness as a function of the seed and of what it is for.

No generator lives longer than one use, so the random state of a run is its seed and its step: there is
nothing to save, and a resumed run draws what the uninterrupted one would have drawn.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_PURPOSES = ("order", "train", "evaluate", "attack", "fresh", "sample", "confidence")


def generator(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """A generator that is independent of every other (seed, purpose, index)."""
    entropy = np.random.SeedSequence([seed, _PURPOSES.index(purpose), index]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(entropy[0] >> np.uint64(1)))


def normal(shape: tuple[int, ...], seed: int, purpose: str, index: int = 0) -> Tensor:
    """Standard normal numbers, drawn on the CPU so that every device sees the same."""
    return torch.randn(shape, generator=generator(seed, purpose, index))
