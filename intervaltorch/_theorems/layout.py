"""Strides of tensors. They decide whether a later `flatten` or `contiguous` returns a view or a copy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._records.registry import Box

__all__ = ["copied", "laid_out", "rearranged", "strides"]


def rearranged(value: Any) -> bool:
    """Whether a box or tensor in nested arguments is not contiguous."""
    kind = type(value)
    if kind is Box:
        return not value.lower.is_contiguous()
    if kind is tuple or kind is list:
        return any(map(rearranged, value))
    if isinstance(value, Tensor):
        return value.layout is torch.strided and not value.is_contiguous()
    return False


def strides(x: Tensor) -> tuple[int, ...] | None:
    """The strides of the dimensions that have more than one index; None for a tensor without strides."""
    if not _has_strides(x):
        return None
    if not x.numel():
        return ()
    return tuple([step for step, size in zip(x.stride(), x.shape, strict=True) if size > 1])


def laid_out(x: Tensor, wanted: tuple[int, ...] | None) -> Tensor:
    """The same values with these `strides`: the tensor itself, or a copy with its dimensions stored in that order.

    A layout with gaps or with repeated entries belongs to a view, and is not copied.
    """
    if wanted is None or strides(x) in (None, wanted):
        return x
    steps = iter(wanted)
    order = [(-next(steps) if size > 1 else 0, dim) for dim, size in enumerate(x.shape)]
    stored = [dim for _, dim in sorted(order)]
    back = sorted(range(x.ndim), key=stored.__getitem__)
    y = x.permute(stored).contiguous().permute(back)
    return y if strides(y) == wanted else x


def copied(x: Tensor) -> Tensor:
    """A copy in memory of its own with the same strides, also where entries repeat or leave gaps."""
    x = x.detach()
    if not _has_strides(x) or x.is_contiguous():
        return x.clone()
    copy = torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device)
    once = tuple([slice(0, 1) if step == 0 else slice(None) for step in x.stride()])
    copy[once].copy_(x[once])
    return copy


def _has_strides(x: Tensor) -> bool:
    return type(x) in (Tensor, torch.nn.Parameter) and x.layout is torch.strided and not x.is_quantized
