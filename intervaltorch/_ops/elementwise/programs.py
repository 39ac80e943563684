"""Elementwise functions as programs of functions that have lines, for `Op.parts`.

Each program computes the function of its name in real arithmetic. It returns `NotImplemented` for arguments that it
does not take.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F


def div(input: Any, other: Any, *, rounding_mode: Any = None) -> Any:
    """Compute x · (1 / y); only without rounding to integers."""
    return NotImplemented if rounding_mode else input * torch.reciprocal(other)


def rdiv(input: Any, other: Any) -> Any:
    """Compute y · (1 / x)."""
    return other * torch.reciprocal(input)


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """Compute x + v (a / b)."""
    return input + value * (tensor1 / tensor2)


def maximum(input: Any, other: Any) -> Any:
    """Compute x + max(y - x, 0)."""
    return input + torch.relu(other - input)


def minimum(input: Any, other: Any) -> Any:
    """Compute x - max(x - y, 0)."""
    return input - torch.relu(input - other)


def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """The maximum with the lower limit, then the minimum with the upper one."""
    input = input if min is None else torch.maximum(input, torch.as_tensor(min))
    return input if max is None else torch.minimum(input, torch.as_tensor(max))


def lerp(input: Any, end: Any, weight: Any) -> Any:
    """Compute x + w (y - x)."""
    return input + weight * (end - input)


def hypot(input: Any, other: Any) -> Any:
    """The root of x² + y²."""
    return torch.sqrt(torch.square(input) + torch.square(other))


def logaddexp(input: Any, other: Any) -> Any:
    """Compute x + log(1 + e^(y - x))."""
    return input + F.softplus(other - input, threshold=1e4)


def glu(input: Any, dim: int = -1) -> Any:
    """One half of the entries times the sigmoid of the other half."""
    value, gate = input.chunk(2, dim)
    return value * torch.sigmoid(gate)


def prelu(input: Any, weight: Any) -> Any:
    """max(x, 0) - a max(-x, 0), with one slope for each channel or one for all."""
    shape = [1, -1, *[1] * (input.ndim - 2)] if weight.numel() > 1 and input.ndim > 1 else [-1]
    return torch.relu(input) - weight.reshape(shape) * torch.relu(-input)
