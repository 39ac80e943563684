"""Shape operations. They move or copy entries, so they are applied to both bounds, exactly."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from ... import _rounding as rounding
from ..._records.registry import EVERYTHING, OPS, Box, Op, add_op
from ..._rounding import EXACT
from ..._theorems.boxes import both, lower_of, map_boxes, upper_of
from ..._theorems.families import rule, structural
from ..._theorems.operands import operand
from ..._theorems.rectangles import conjugated, unchanged
from ...errors import EscapeError, UnsupportedOpError

_SHAPES = (
    "reshape", "flatten", "unflatten", "ravel", "squeeze", "unsqueeze", "expand", "broadcast_to", "permute",
    "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "flip", "fliplr", "flipud",
    "rot90", "roll", "tile", "repeat", "repeat_interleave", "narrow", "select", "unbind", "split",
    "split_with_sizes", "chunk", "tensor_split", "hsplit", "vsplit", "dsplit", "unsafe_split", "unsafe_chunk",
    "unsafe_split_with_sizes", "unfold", "im2col", "cat", "concat", "concatenate", "stack", "hstack",
    "vstack", "dstack", "column_stack", "row_stack", "block_diag", "tril", "triu", "diag", "diagonal",
    "diag_embed", "diagflat", "combinations", "cartesian_prod",
    "_unsafe_view", "_reshape_alias", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    "native_channel_shuffle", "resolve_conj", "resolve_neg",
    "imag", "view_as_real", "view_as_complex", "complex", "slice", "slice_inverse", "narrow_copy", "pin_memory",
)  # fmt: skip

_IDENTITIES = ("detach", "clone", "contiguous", "alias", "lift_fresh")


def _copies(*names: str) -> list[str]:
    """The names of the variants that copy instead of making a view."""
    return [f"{name}_copy" for name in names if hasattr(torch.ops.aten, f"{name}_copy") and name != "narrow"]


structural(*dict.fromkeys(_SHAPES))
structural(*_copies(*_SHAPES, "view"))
structural(*_IDENTITIES, *_copies(*_IDENTITIES), family="identity")
_PROPERTIES: list[Any] = [torch.Tensor.T, torch.Tensor.mT, torch.Tensor.real, torch.Tensor.imag]
structural(*(each.__get__ for each in _PROPERTIES), torch.linalg.diagonal)
_ADJOINTS: list[Any] = [torch.Tensor.H, torch.Tensor.mH]
structural(
    "adjoint", "conj", "_conj", "conj_physical", "_conj_physical", *(each.__get__ for each in _ADJOINTS),
    complex=conjugated,
)  # fmt: skip


def _each(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Shape several tensors alike. Plain tensors stay plain; as boxes, their two bounds would share memory."""
    lower = function(*map_boxes(lower_of, args), **kwargs)
    upper = function(*map_boxes(upper_of, args), **kwargs)
    if isinstance(lower, Tensor):
        return Box(lower, upper)
    given = args[0] if isinstance(args[0], (tuple, list)) else args
    return type(lower)([Box(l, u) if isinstance(x, Box) else l for x, l, u in zip(given, lower, upper, strict=True)])


structural("broadcast_tensors", "meshgrid", "atleast_1d", "atleast_2d", "atleast_3d", by=_each)


def _shaped_as(function: Any, input: Any, other: Any) -> Any:
    """Give a tensor the shape of another, of which only the shape is read."""
    other = other.lower if isinstance(other, Box) else other
    return both(function, input, other) if isinstance(input, Box) else function(input, other)


structural("view_as", "reshape_as", "expand_as", by=_shaped_as)


@rule(
    "view", formula="x", family="structural", affine_in=EVERYTHING, budget=rounding.EXACT, proven=True,
    complex=unchanged,
)  # fmt: skip
def view(input: Box, *shape: Any, dtype: torch.dtype | None = None, **size: Any) -> Box:
    """The same memory in another shape. A view with another dtype is refused."""
    if dtype is not None or (shape and isinstance(shape[0], torch.dtype)):
        raise EscapeError("view(dtype) would reinterpret the bits of a bound", "convert values with x.to(dtype)")
    return Box(input.lower.view(*shape, **size), input.upper.view(*shape, **size))


def _detach_in_place(input: Box) -> Box:
    """Take both bounds out of the autograd graph. Nothing is computed, so nothing is copied back."""
    for bound in input:
        bound.detach_()
    return input


_detached = [torch.detach_, torch.ops.aten.detach_]
add_op(
    Op("detach_", "x", "identity", _detach_in_place, torch.detach_, budget=rounding.EXACT, proven=True),
    _detached,
)
OPS.update({function: dataclasses.replace(OPS[function], inplace=False) for function in _detached})


# --- new tensors --------------------------------------------------------------------------------------------


def _new(function: Any, *args: Any, **kwargs: Any) -> Any:
    """A point box with memory of its own, to be filled by index. An integer dtype gives a plain tensor.

    Memory that torch leaves uninitialised is zero here, since two bounds with arbitrary bits need not be an interval.
    """
    made = both(function, *args, **kwargs)
    if "empty" in getattr(function, "__name__", ""):
        for bound in made:
            bound.detach().zero_()
    varies = made.lower.is_floating_point() or made.lower.is_complex() or made.lower.dtype is torch.bool
    return made if varies else made.lower


structural(
    "zeros_like",
    "ones_like",
    "empty_like",
    "new_zeros",
    "new_ones",
    "new_empty",
    "new_empty_strided",
    "new_tensor",
    by=_new,
    family="reads no values",
    affine_in=(),
)


@rule("new", formula="0", family="reads no values", budget=EXACT, proven=True)
def new(input: Box, *size: Any, device: Any = None) -> Any:
    """As `new_empty` for a size.

    Raises:
        UnsupportedOpError: for data.
    """
    size = tuple(size[0]) if len(size) == 1 and isinstance(size[0], torch.Size) else size
    if not all(isinstance(length, int) for length in size):
        raise UnsupportedOpError(
            "torch.Tensor.new has no interval rule for data, only for a size",
            "use x.new_tensor(data) for data; x.new_zeros(size) or x.new_empty(size) for a size",
        )
    return _new(torch.Tensor.new_empty, input, size or (0,), device=device)


def _filled(function: Any, input: Box, *size: Any, fill_value: Any, **kwargs: Any) -> Any:
    """As `_new`. In outward mode a number that the dtype cannot hold becomes the interval of its two neighbours."""
    like = input.lower.new_empty((), dtype=kwargs.get("dtype"))
    ends = operand(fill_value, like)
    lower, upper = (function(input.lower, *size, fill_value=end, **kwargs) for end in ends)
    return Box(lower, upper) if like.dtype.is_floating_point or like.dtype is torch.bool else lower


@rule("full_like", formula="a", family="reads no values", proven=True)
def full_like(input: Box, fill_value: Any, **kwargs: Any) -> Any:
    """A point box with memory of its own."""
    return _filled(torch.full_like, input, fill_value=fill_value, **kwargs)


@rule("new_full", formula="a", family="reads no values", proven=True)
def new_full(input: Box, size: Any, fill_value: Any, **kwargs: Any) -> Any:
    """A point box with memory of its own."""
    return _filled(torch.Tensor.new_full, input, size, fill_value=fill_value, **kwargs)
