"""Three-valued answers read as plain ones: what holds for certain, and what may hold."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["certainly", "possibly"]


def certainly(answer: Any) -> Tensor:
    """Where an answer is true at every point of the box: a plain Boolean tensor.

    Args:
        answer: what a comparison gave: a box of Booleans, or a plain tensor where nothing depends on the point.

    Example:
        >>> import torch, intervaltorch as it
        >>> logits = it.IntervalTensor(torch.tensor([[0.0, 2.0], [0.0, 1.0]]), torch.tensor([[1.0, 3.0], [2.0, 3.0]]))
        >>> it.certainly(logits.argmax(1) == torch.tensor([1, 1]))
        tensor([ True, False])
    """
    return answer.lower if hasattr(answer, "_box") else torch.as_tensor(answer)


def possibly(answer: Any) -> Tensor:
    """Where an answer is true at some point of the box, as far as is known: a plain Boolean tensor; see `certainly`."""
    return answer.upper if hasattr(answer, "_box") else torch.as_tensor(answer)
