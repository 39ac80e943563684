"""A tensor of indices that depend on the point of the box: it has a shape, and refuses to be read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import _compat
from .errors import UndecidedError

__all__ = ["Undecided"]


class Undecided(Tensor):
    """The place of an index tensor some of whose entries depend on the point of the box.

    `torch.max(x, dim)`, `sort`, `topk` and pooling return it beside their values, so that a program which
    reads only the values runs. Its shape, dtype and device can be asked; any other use raises
    `UndecidedError`.

    Args:
        like: a tensor of the shape, dtype and device of the indices.
        what: where they come from, for the message.

    Example:
        >>> import torch, intervaltorch as it
        >>> x = it.IntervalTensor(torch.tensor([0.0, 0.5]), torch.tensor([1.0, 2.0]))
        >>> values, indices = x.max(0)
        >>> values, indices
        (IntervalTensor([0.5, 2]), Undecided(shape=(), from='max'))
        >>> indices + 1
        Traceback (most recent call last):
            ...
        intervaltorch.errors.UndecidedError: an index from max depends on the point of the box
          ...
    """

    _like: Tensor
    _what: str

    @staticmethod
    def __new__(cls, like: Tensor, what: str) -> Undecided:
        """Make a placeholder."""
        self = _compat.make_wrapper(cls, like)
        self._like, self._what = like, what
        return self

    def __init__(self, like: Tensor, what: str) -> None:
        """Accept the arguments of `__new__`."""

    @property
    def shape(self) -> torch.Size:  # type: ignore[override]
        """Shape of the indices."""
        return self._like.shape

    @property
    def dtype(self) -> torch.dtype:  # type: ignore[override]
        """Dtype of the indices."""
        return self._like.dtype

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Device of the indices."""
        return self._like.device

    @property
    def ndim(self) -> int:  # type: ignore[override]
        """Number of dimensions."""
        return self._like.ndim

    def size(self, dim: int | None = None) -> Any:
        """Shape, or the size of one dimension."""
        return self._like.shape if dim is None else self._like.size(dim)

    def dim(self) -> int:
        """Number of dimensions."""
        return self._like.ndim

    def numel(self) -> int:
        """Number of entries."""
        return self._like.numel()

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        """Name the shape and the source."""
        return f"Undecided(shape={tuple(self.shape)}, from={self._what!r})"

    def __format__(self, spec: str) -> str:
        return repr(self)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Refuse any use.

        Raises:
            UndecidedError: always.
        """
        raise _refusal((args, kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:  # type: ignore[override]
        """Refuse any use by a C++ kernel.

        Raises:
            UndecidedError: always.
        """
        raise _refusal((args, kwargs or {}))


def _refusal(arguments: Any) -> UndecidedError:
    found = _find(arguments)
    source = found._what if found is not None else "an interval operation"
    if found is not None and found.dtype.is_floating_point:
        return UndecidedError(
            f"{source} is not unique, and depends on the point of the box",
            f"used: {found!r}",
            "the values beside it hold for every point: use those alone",
        )
    return UndecidedError(
        f"an index from {source} depends on the point of the box",
        f"used: {found!r}",
        "two intervals overlap, so either may come first; the values beside it hold for every point",
        "use the values alone, or bisect the box until the index is decided",
    )


def _find(value: Any) -> Undecided | None:
    if isinstance(value, Undecided):
        return value
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        return None
    return next((found for item in value if (found := _find(item)) is not None), None)
