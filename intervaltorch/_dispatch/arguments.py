"""Boxes in the arguments and results of a call, also in nested tuples, lists and dicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._records.registry import Box, Spelling
from .._theorems.undecided import Undecided
from .._trees import leaves, map_kind, map_result

__all__ = ["Call", "as_points", "boxed", "has_unusual", "is_complex", "rewrap", "unwrap", "wrap"]


class Call:
    """A call of an op.

    Attributes:
        spelling: what was called.
        boxes: its arguments, with boxes in place of interval tensors, as rules take them.
        named: its keyword arguments, likewise.
        args: its arguments as they were given.
        kwargs: its keyword arguments as they were given.
    """

    __slots__ = ("args", "boxes", "kwargs", "named", "spelling")

    def __init__(
        self, spelling: Spelling, boxes: list[Any], named: dict[str, Any], args: tuple, kwargs: dict[str, Any]
    ) -> None:  # fmt: skip
        self.spelling = spelling
        self.boxes = boxes
        self.named = named
        self.args = args
        self.kwargs = kwargs

    def leaves(self) -> Iterator[Any]:
        """The arguments as they were given, in whatever tuples, lists and dicts hold them."""
        return leaves((self.args, self.kwargs))


def unwrap(cls: type, value: Any, clones: Mapping[int, Box] = MappingProxyType({})) -> Any:
    """Replace interval tensors by their boxes, also in tuples, lists and dicts; NumPy's arrays and numbers by torch's.

    Args:
        cls: the class of interval tensors.
        value: an argument.
        clones: boxes that replace others, by the identity of the other box.
    """
    if isinstance(value, cls):
        box = value._box  # type: ignore[attr-defined]
        return clones.get(id(box), box)
    kind = type(value)
    if kind is tuple or kind is list:
        return kind([unwrap(cls, item, clones) for item in value])
    if kind is dict:
        return {key: unwrap(cls, item, clones) for key, item in value.items()}
    if kind is np.ndarray:
        return torch.as_tensor(value)
    if isinstance(value, np.generic):
        return value.item()
    if kind is Undecided:  # a rule would compare it, and take the answer for a plain one
        raise value.refusal()
    return value


def boxed(cls: type, value: Any) -> Any:
    """Replace interval tensors by their boxes, also in tuples, lists and dicts, and nothing else."""
    return map_kind(cls, lambda x: x._box, value)


def wrap(cls: type, value: Any) -> Any:
    """Replace boxes by interval tensors, also inside tuples, lists and torch's named results."""
    return map_result(lambda x: cls._wrap(x) if type(x) is Box else x, value)  # type: ignore[attr-defined]


def as_points(cls: type, value: Any) -> Any:
    """Turn plain floating arguments into point boxes.

    A body may combine two plain arguments before it uses a box. If both are point boxes, a rule computes this step too,
    and rounds outward.
    """

    def point(x: Tensor) -> Any:
        varies = not isinstance(x, cls) and (x.is_floating_point() or x.is_complex())
        return cls._wrap(Box(x, x)) if varies else x  # type: ignore[attr-defined]

    return map_kind(Tensor, point, value)


def rewrap(cls: type, result: Any, args: tuple) -> Any:
    """Free results from the autograd marks that outer C++ kernels leave on the wrappers.

    An argument that the function returns, as an in-place function does, stays the same object.
    """

    def fresh(x: Any) -> Any:
        return x.rewrapped() if isinstance(x, cls) and not any(x is arg for arg in args) else x  # type: ignore[attr-defined]

    return map_result(fresh, result)


def has_unusual(value: Any) -> bool:
    """Whether an argument is complex, a tensor without values, or the number NaN."""
    kind = type(value)
    if kind is Box:
        lower = value.lower
        return lower.is_meta or lower.is_complex()
    if kind is float:
        return value != value
    if kind is tuple or kind is list:
        return any(map(has_unusual, value))
    if kind is dict:
        return any(map(has_unusual, value.values()))
    return is_complex(value) or (isinstance(value, Tensor) and value.is_meta)


def is_complex(value: Any) -> bool:
    """Whether a box, tensor, number or dtype is complex."""
    if isinstance(value, Box):
        return value.lower.is_complex()
    if isinstance(value, (Tensor, torch.dtype)):
        return value.is_complex if isinstance(value, torch.dtype) else value.is_complex()
    return type(value) is complex
