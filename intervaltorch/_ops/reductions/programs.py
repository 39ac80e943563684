"""Reductions and pooling as programs of functions that have lines, for `Op.parts`.

Each program computes the function of its name in real arithmetic. It returns `NotImplemented` for arguments that it
does not take.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F


def amin(input: Any, dim: Any = (), keepdim: bool = False) -> Any:
    """-max(-x)."""
    return -torch.amax(-input, dim, keepdim)


def shift_down(input: Any, dim: Any) -> tuple[Any, Any, Any]:
    """Subtract a constant that keeps exponentials moderate; masked entries, which are -inf, become 0.

    Returns:
        The shifted input, the constant, and which entries are not masked (1 or 0).
    """
    allowed = input.upper.detach() > -math.inf
    top = input.upper.detach().amax(dim, keepdim=True)
    top = torch.where(top.isfinite(), top, 0.0)
    if not bool(allowed.all()):
        input = torch.where(allowed, input, top)
    return input - top, top, allowed.to(top.dtype)


def log_sum(shifted: Any, allowed: Any, dim: Any) -> Any:
    """The logarithm of the sum of exponentials of the entries that are not masked."""
    return torch.log((torch.exp(shifted) * allowed).sum(dim, keepdim=True))


def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Any:
    """The logarithm of the sum of exponentials of shifted entries, plus the shift."""
    shifted, top, allowed = shift_down(input, dim)
    total = log_sum(shifted, allowed, dim) + top
    return total if keepdim else torch.squeeze(total, dim)


def var(input: Any, dim: Any = None, unbiased: Any = True, keepdim: bool = False, *, correction: Any = None) -> Any:
    """The sum of squared deviations from the mean, divided by n - c."""
    if isinstance(dim, bool):
        return NotImplemented
    dims = tuple(range(input.ndim)) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    correction = (0 if unbiased is False else 1) if correction is None else correction
    count = math.prod(input.shape[d] for d in dims)
    if count <= correction:
        return NotImplemented
    centred = input - input.mean(dims, keepdim=True)
    return torch.square(centred).sum(dims, keepdim=keepdim) / (count - correction)


def std(*args: Any, **kwargs: Any) -> Any:
    """The root of the variance."""
    found = var(*args, **kwargs)
    return found if found is NotImplemented else torch.sqrt(found)


def vector_norm(x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """A norm of order 1, 2 or infinity."""
    dims = tuple(range(x.ndim)) if dim is None else dim
    if ord == 1 and dtype is None:
        return x.abs().sum(dims, keepdim=keepdim)
    if ord == 2 and dtype is None:
        return torch.sqrt(torch.square(x).sum(dims, keepdim=keepdim))
    if ord == math.inf and dtype is None:
        return x.abs().amax(dims, keepdim=keepdim)
    return NotImplemented


def max_pool(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
              ceil_mode: bool = False, return_indices: bool = False) -> Any:  # fmt: skip
    """The largest entry of each window. The padding is a number below all entries."""

    def pair(x: Any, n: int) -> list[int]:
        return [x] * n if isinstance(x, int) else list(x) * (n if len(x) == 1 else 1)

    n = 1 if isinstance(kernel_size, int) else len(kernel_size)
    n = max(n, len(padding) if not isinstance(padding, int) else 1)
    if ceil_mode or return_indices:
        return NotImplemented
    n = max(n, input.ndim - 2) if input.ndim > 2 else n
    kernel, pads, gaps = (pair(x, n) for x in (kernel_size, padding, dilation))
    steps = kernel if stride is None or stride == [] else pair(stride, n)
    if any(gap != 1 for gap in gaps):
        return NotImplemented
    if any(pads):
        least = float(input.lower.detach().amin()) - 1
        input = F.pad(input, [p for pad in reversed(pads) for p in (pad, pad)], value=least)
    for size, step in zip(kernel, steps):
        input = input.unfold(input.ndim - n, size, step)
    return torch.amax(input, tuple(range(-n, 0)))
