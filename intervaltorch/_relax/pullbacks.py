"""Vector-Jacobian products of the most frequent affine operations, written by hand for speed.

Each takes the arguments of a call in which only the first varies. It returns a function of rows, which gives the rows
of that argument and the value at 0 (None if the value is 0). torch differentiates all other operations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["by_hand"]

Pull = Callable[[Tensor], tuple[list[Tensor], Any]]


def _linear(x: Any, weight: Tensor, bias: Any = None) -> Pull:
    """Of a linear layer."""
    return lambda rows: ([rows @ weight.to(rows.dtype)], None if bias is None else bias.to(rows.dtype))


def _convolution(
    x: Any, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Pull | None:
    """Of a convolution: a transposed convolution, padded to the size of the input."""
    n = weight.ndim - 2
    if isinstance(padding, str) or x.ndim != n + 2:
        return None
    stride, padding, dilation = ([v] * n if isinstance(v, int) else list(v) for v in (stride, padding, dilation))
    sizes = x.shape[2:]
    used = [
        (out - 1) * s - 2 * p + d * (k - 1) + 1
        for out, s, p, d, k in zip(
            _out(x.shape, weight, stride, padding, dilation), stride, padding, dilation, weight.shape[2:]
        )
    ]
    extra = [size - u for size, u in zip(sizes, used)]
    transposed: Any = (torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d)[n - 1]
    offset = None if bias is None else bias.reshape(-1, *[1] * n)

    def pull(rows: Tensor) -> tuple[list[Tensor], Any]:
        flat = rows.flatten(0, 1)
        back = transposed(flat, weight.to(rows.dtype), None, stride, padding, extra, groups, dilation)
        return [back.unflatten(0, rows.shape[:2])], None if offset is None else offset.to(rows.dtype)

    return pull


def _out(shape: Any, weight: Tensor, stride: Any, padding: Any, dilation: Any) -> list[int]:
    """The sizes of the result of a convolution."""
    sizes = zip(shape[2:], weight.shape[2:], stride, padding, dilation)
    return [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes]


def _moved(x: Any, *_: Any, **__: Any) -> Pull:
    """Of an operation that gives the same entries another shape."""
    shape = x.shape
    return lambda rows: ([rows.reshape(rows.shape[0], *shape)], None)


BY_HAND: dict[str, Callable[..., Pull | None]] = {
    "linear": _linear, "conv1d": _convolution, "conv2d": _convolution, "conv3d": _convolution,
    **dict.fromkeys(("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze"), _moved),
}  # fmt: skip


def by_hand(name: str, args: tuple, kwargs: dict[str, Any], varying: Any) -> Pull | None:
    """The vector-Jacobian product of an affine operation; None if there is none by hand for this call."""
    maker = BY_HAND.get(name)
    if maker is None or not args or args[0] is not varying:
        return None
    return maker(*args, **kwargs)
