"""Indices that depend, in part, on the point of the box: each entry is decided or undecided."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import _compat
from .._records.escapes import Memoryless
from .._records.registry import OPS, Box, bare_name
from .._trees import leaves, map_result
from ..errors import UndecidedError

__all__ = ["Undecided"]


class Undecided(Memoryless, Tensor):
    """An index tensor some of whose entries depend on the point of the box.

    `torch.max(x, dim)`, `argmax`, `sort`, `topk` and pooling return such a tensor beside their values. So a program
    that reads only the values runs. A `decided` entry is the same at every point of the box. A comparison returns a box
    of Booleans, *certainly* and *possibly* true. A function that moves or selects entries works entry by entry, and
    returns a plain tensor if all entries of the result are decided. Only the use of an undecided entry as a number
    raises `UndecidedError`.

    Args:
        like: the indices at one point of the box. A decided entry has this value at every point.
        what: the function that returned the indices, for the message.
        decided: which entries are the same at every point, in the shape of `like`; none if left out.
        candidates: which of n values each entry may have, `(*like.shape, n)`; any value if left out.

    Example:
        >>> import torch, intervaltorch as it
        >>> x = it.IntervalTensor(torch.tensor([[0.0, 0.5], [0.0, 2.0]]), torch.tensor([[1.0, 2.0], [1.0, 3.0]]))
        >>> values, indices = x.max(1)
        >>> indices
        Undecided([?, 1], from='max')
        >>> indices == 1, indices.decided, indices[1]
        (IntervalTensor([undecided, True]), tensor([False,  True]), tensor(1))
        >>> indices + 1
        Traceback (most recent call last):
            ...
        intervaltorch.errors.UndecidedError: an index from max depends on the point of the box
          ...
    """

    _like: Tensor
    _what: str
    _decided: Tensor
    _candidates: Tensor | None

    _boxed: ClassVar[Callable[[Box], Any]]
    """Makes a tensor of a box; set where the class of interval tensors is defined."""

    @staticmethod
    def __new__(cls, like: Tensor, what: str, decided: Tensor | None = None, candidates: Tensor | None = None) -> Any:
        """Make a placeholder."""
        self = _compat.make_wrapper(cls, like)
        self._like, self._what, self._candidates = like, what, candidates
        self._decided = torch.zeros_like(like, dtype=torch.bool) if decided is None else decided.expand(like.shape)
        return self

    def __init__(self, like: Tensor, what: str, decided: Any = None, candidates: Any = None) -> None:
        """Accept the arguments of `__new__`."""

    @property
    def decided(self) -> Tensor:
        """Which entries are the same at every point of the box: a plain Boolean tensor."""
        return self._decided.clone()

    def refusal(self) -> UndecidedError:
        """The error for a use as a number."""
        return _refusal(self)

    # --- metadata -----------------------------------------------------------------------------------------------------

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

    def __len__(self) -> int:
        """Size of the first dimension."""
        return len(self._like)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the first dimension."""
        return iter(self.unbind(0))

    def __hash__(self) -> int:
        return id(self)

    def __dir__(self) -> list[str]:
        return sorted(object.__dir__(self))

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        """Print decided entries, and `?` for the others; of many entries, the shape alone."""
        hidden = not _compat.readable(self._like) or _compat.vmapping() or self.numel() > 200
        if hidden or not bool(self._decided.any()):
            return f"Undecided(shape={tuple(self.shape)}, from={self._what!r})"
        return f"Undecided({_texts(self._like.tolist(), self._decided.tolist())}, from={self._what!r})"

    def __format__(self, spec: str) -> str:
        return repr(self)

    # --- copies, files, processes -------------------------------------------------------------------------------------

    def __deepcopy__(self, memo: dict) -> Undecided:
        """Copy the parts."""
        return memo.setdefault(id(self), self.clone())

    def __reduce_ex__(self, protocol: Any) -> tuple:
        """Pickle as the parts."""
        return (Undecided, (self._like, self._what, self._decided, self._candidates))

    # --- the doors of torch -------------------------------------------------------------------------------------------

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Answer a function that works entry by entry.

        Raises:
            UndecidedError: if the function uses an undecided entry as a number.
        """
        kwargs = kwargs or {}
        called = bare_name(func)
        name = called[2:-2] if called.startswith("__") else called
        if args and isinstance(args[0], Undecided) and (called in _ATTRIBUTES or _reads_no_values(func)):
            return func(args[0]._like, *args[1:], **kwargs)
        if name in _COMPARISONS:
            first, second = (*args, *(kwargs[key] for key in ("input", "other") if key in kwargs))
            if kwargs.get("out") is None and not any(hasattr(x, "_box") for x in (first, second)):
                return _compare(func, first, second)
        elif called in _CASTS and args and isinstance(args[0], Undecided):
            return _cast(func, args, kwargs)
        elif name in _MOVES and kwargs.get("out") is None:
            return _moved(func, name, args, kwargs)
        raise _refusal((args, kwargs))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:  # type: ignore[override]
        """Refuse any use by a C++ kernel.

        Raises:
            UndecidedError: always.
        """
        raise _refusal((args, kwargs or {}))


# --- functions that work entry by entry -------------------------------------------------------------------------------


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_COMPARISONS = _names("eq ne lt le gt ge not_equal less less_equal greater greater_equal")

# Functions that move or select entries of their first argument, or (`where`, `cat` and their kind) of several.
_JOINS = {"where": 1, "cat": 0, "concat": 0, "concatenate": 0, "stack": 0, "hstack": 0, "vstack": 0, "dstack": 0}
_MOVES = frozenset(_JOINS) | _names("""
    getitem clone contiguous detach view reshape view_as reshape_as flatten unflatten ravel squeeze unsqueeze transpose
    swapaxes swapdims permute movedim moveaxis t T mT expand expand_as broadcast_to select narrow split
    split_with_sizes tensor_split chunk unbind index_select gather take_along_dim take masked_select repeat tile
    repeat_interleave roll flip fliplr flipud rot90 diagonal unfold atleast_1d atleast_2d atleast_3d
""")
_CASTS = _names("to type_as int long short cpu cuda")
_ATTRIBUTES = _names("""
    requires_grad is_leaf grad grad_fn layout dtype device shape ndim dim size numel retains_grad _version _base
    _backward_hooks is_floating_point is_complex
""")


def _reads_no_values(function: Any) -> bool:
    record = OPS.get(function)
    return record is not None and record.op.family == "metadata"


def _compare(function: Any, first: Any, second: Any) -> Any:
    """Compare entry by entry: certainly true if true for all candidates, possibly true if true for one candidate."""
    if first is second:
        same = function(first._like, first._like)
        return Undecided._boxed(Box(same, same.clone()))
    own, other = (first, second) if isinstance(first, Undecided) else (second, first)
    known, other_like = own._decided, other
    if isinstance(other, Undecided):
        known, other_like = known & other._decided, other._like
    value = function(*((own._like, other_like) if own is first else (other_like, own._like)))
    certain, possible = value & known, value | ~known
    if own._candidates is not None and not isinstance(other, Undecided):
        count = own._candidates.shape[-1]
        ks = torch.arange(count, device=own.device)
        each = other.unsqueeze(-1) if isinstance(other, Tensor) else other
        holds = function(*((ks, each) if own is first else (each, ks)))
        some, none = ((own._candidates & mask).any(-1) for mask in (holds, ~torch.as_tensor(holds)))
        certain, possible = torch.where(known, value, ~none), torch.where(known, value, some)
    return Undecided._boxed(Box(certain, possible))


def _cast(function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """The same indices in another dtype of integers, or on another device."""
    if _find((args[1:], kwargs)) is not None:
        raise _refusal((args, kwargs))
    own, like = args[0], function(args[0]._like, *args[1:], **kwargs)
    if like.dtype.is_floating_point != own.dtype.is_floating_point or like.dtype is torch.bool:
        raise _refusal((args, kwargs))
    # A narrower dtype may have another number for a candidate.
    candidates = own._candidates.to(like.device) if own._candidates is not None and like.dtype is own.dtype else None
    return Undecided(like, own._what, own._decided.to(like.device), candidates)


def _moved(function: Any, name: str, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Number the entries, move the numbers, and fetch the entries by their numbers."""
    parts: list[Any] = []

    def number(x: Any) -> Any:
        if not isinstance(x, Undecided):
            x = Undecided(torch.as_tensor(x), "", torch.ones_like(torch.as_tensor(x), dtype=torch.bool))
        start = sum(part.numel() for part in parts)
        parts.append(x)
        return torch.arange(start, start + x.numel(), device=x.device).reshape(x.shape)

    numbered = functools.partial(map_result, number)
    position = _JOINS.get(name)
    if position is None:
        moved = (numbered(args[0]), *args[1:]) if args and isinstance(args[0], Undecided) else args
    elif position:
        moved = (*args[:position], *map(numbered, args[position:]))
    else:
        moved = (numbered(args[0]), *args[1:])
    if not parts or _find((moved, kwargs)) is not None:
        raise _refusal((args, kwargs))
    return _fetched(function(*moved, **kwargs), parts)


def _fetched(numbers: Any, parts: list[Any]) -> Any:
    """The entries with these numbers: a plain tensor if all of them are decided."""
    if isinstance(numbers, (tuple, list)):
        return map_result(lambda each: _fetched(each, parts), numbers)
    undecided = next(part for part in parts if part._what)
    if numbers.dtype is not torch.int64:  # a view of other bits
        raise _refusal(parts)
    decided = torch.cat([part._decided.reshape(-1) for part in parts])[numbers]
    dtype = parts[0].dtype if len(parts) == 1 else torch.result_type(parts[0]._like, parts[-1]._like)
    like = torch.cat([part._like.reshape(-1).to(dtype) for part in parts])[numbers]
    if _compat.readable(like) and not _compat.anywhere(~decided):
        return like
    candidates = undecided._candidates if len(parts) == 1 else None
    if candidates is not None:
        candidates = candidates.reshape(-1, candidates.shape[-1])[numbers]
    return Undecided(like, undecided._what, decided, candidates)


def _texts(values: Any, decided: Any) -> str:
    if isinstance(values, list):
        return "[" + ", ".join(map(_texts, values, decided)) + "]"
    return str(values) if decided else "?"


# --- refusals ---------------------------------------------------------------------------------------------------------


def _refusal(arguments: Any) -> UndecidedError:
    found = _find(arguments)
    source = found._what if found is not None else "an interval operation"
    if found is not None and found.dtype.is_floating_point:
        return UndecidedError(
            f"{source} is not unique, and depends on the point of the box",
            f"used: {found!r}",
            "the values that the function returned beside it hold at every point: use these values alone",
        )
    return UndecidedError(
        f"an index from {source} depends on the point of the box",
        f"used: {found!r}",
        "two intervals overlap, so either may come first; the values that the function returned beside the index hold"
        " at every point",
        "use the values alone, or the decided entries, indices[indices.decided]; or compare the indices, which"
        " gives a box of Booleans; or bisect the box until the index is decided",
    )


def _find(value: Any) -> Undecided | None:
    return next((leaf for leaf in leaves(value) if isinstance(leaf, Undecided)), None)
