"""Three-valued answers as plain Booleans: `certainly` true, and `possibly` true."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["certainly", "possibly"]


def certainly(answer: Any) -> Tensor:
    """Where an answer is true at every point of the box: a plain Boolean tensor.

    Args:
        answer: the result of a comparison: a box of Booleans, or a plain tensor if every entry is decided.

    Example:
        >>> import torch, intervaltorch as it
        >>> logits = it.IntervalTensor(torch.tensor([[0.0, 2.0], [0.0, 1.0]]), torch.tensor([[1.0, 3.0], [2.0, 3.0]]))
        >>> it.certainly(logits.argmax(1) == torch.tensor([1, 1]))
        tensor([ True, False])
    """
    return answer.lower if hasattr(answer, "_box") else torch.as_tensor(answer)


def possibly(answer: Any) -> Tensor:
    """Where an answer may be true at some point of the box: a plain Boolean tensor; see `certainly`.

    Where the tensor is False, the answer is false at every point.
    """
    return answer.upper if hasattr(answer, "_box") else torch.as_tensor(answer)
