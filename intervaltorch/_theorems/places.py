"""Places that are written more than once. Torch does not say which value stays, so the box contains all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._compat import readable, vmapping
from .._records.registry import Box
from ..errors import UnsupportedOpError


def holds_places(index: Any) -> bool:
    """Whether an index has lists or tensors of integers, which may name a place more than once."""
    if isinstance(index, Tensor):
        return index.dtype is not torch.bool and index.ndim > 0
    return isinstance(index, (tuple, list)) and (
        any(map(holds_places, index)) or (isinstance(index, list) and any(type(item) is int for item in index))
    )


def places_of(like: Tensor, pick: Callable[[Tensor], Tensor]) -> Tensor:
    """The places, in the flattened tensor, of the entries that `pick` picks."""
    return pick(torch.arange(like.numel(), device=like.device).view(like.shape))


def meet(places: Tensor) -> bool:
    """Whether some place is named more than once."""
    if vmapping():
        return True
    if not readable(places) or not places.numel():
        return False
    return int(torch.bincount(places.flatten()).max()) > 1


def any_of_written(x: Box, places: Tensor, source: Box) -> Box:
    """The hull of all values that are written to a place, because torch does not say which of them stays.

    Raises:
        UnsupportedOpError: for complex numbers.
    """
    dtype = x.lower.dtype
    if dtype.is_complex:
        raise UnsupportedOpError(
            "several complex numbers are written to one place, and torch does not say which of them stays",
            "name each place once",
        )

    def write(bound: Tensor, end: Tensor, reduce: str) -> Tensor:
        flat, written = bound.reshape(-1), end.expand(places.shape).reshape(-1)
        if dtype is torch.bool:
            flat, written = flat.to(torch.uint8), written.to(torch.uint8)
        new = flat.scatter_reduce(0, places.reshape(-1), written, reduce, include_self=False)
        return new.view(bound.shape).to(dtype)

    return Box(write(x.lower, source.lower, "amin"), write(x.upper, source.upper, "amax"))
