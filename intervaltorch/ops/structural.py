"""Shape operations: they move or copy entries, so they act on both bounds alike, exactly."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from .. import rounding
from .._registry import Box
from ..errors import EscapeError, UndecidedError
from ..rounding import CORRECTLY_ROUNDED
from ._families import both, rule, structural

structural(
    "reshape", "view_as", "reshape_as", "flatten", "unflatten", "ravel", "squeeze", "unsqueeze", "expand", "expand_as",
    "broadcast_to", "permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "adjoint", "flip",
    "fliplr", "flipud", "rot90", "roll", "tile", "repeat", "repeat_interleave", "narrow", "select", "unbind", "split",
    "split_with_sizes", "chunk", "tensor_split", "hsplit", "vsplit", "dsplit", "unsafe_split", "unsafe_chunk", "unfold",
    "cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack", "row_stack", "block_diag",
    "tril", "triu", "diag", "diagonal", "diag_embed", "diagflat", "atleast_1d", "atleast_2d", "atleast_3d",
    "broadcast_tensors", "meshgrid", "combinations", "cartesian_prod", "detach", "clone", "contiguous", "alias",
    "_unsafe_view", "_reshape_alias", "lift_fresh", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    "resolve_conj", "resolve_neg", "conj",
)  # fmt: skip

structural(
    torch.Tensor.T.__get__, torch.Tensor.mT.__get__, torch.Tensor.H.__get__, torch.Tensor.mH.__get__,
    torch.Tensor.real.__get__, torch.ops.aten.slice,
)  # fmt: skip

# Wrappers of the same functions written in Python have bodies that lead back to those above.

structural(
    "zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_empty", "new_full",
    "new_empty_strided", note="a point box with memory of its own, which can be filled by index",
)  # fmt: skip


@rule("view", formula="x", family="structural", budget=rounding.EXACT, proven=True)
def view(input: Box, *size: Any, dtype: torch.dtype | None = None) -> Box:
    """Another shape of the same memory; reinterpreting the bits as another dtype is refused.

    Bounds of one box may be laid out differently in memory; then the upper one is copied.
    """
    if dtype is not None or (size and isinstance(size[0], torch.dtype)):
        raise EscapeError("view(dtype) would reinterpret the bits of a bound", "convert values with x.to(dtype)")
    lower = input.lower.view(*size)
    return Box(lower, input.upper.reshape(lower.shape))


# --- conversions ------------------------------------------------------------------------------------------------------


def _convert(function: Any, input: Box, *args: Any, **kwargs: Any) -> Any:
    """Convert both bounds; a narrower floating dtype rounds outward in outward mode.

    Raises:
        UndecidedError: for integer dtypes, if points of the box convert to different integers.
    """
    result = both(function, input, *args, **kwargs)
    if not isinstance(result, Box):
        return result
    before, after = input.lower.dtype, result.lower.dtype
    if after.is_floating_point:
        if before.is_floating_point and rounding.outward() and rounding.narrows(before, after):
            return Box(*rounding.widen(*result, CORRECTLY_ROUNDED))
        return result
    if before is torch.bool or before == after:
        return result
    if after is torch.bool:
        certainly = (input.lower > 0) | (input.upper < 0)
        return Box(certainly, (input.lower != 0) | (input.upper != 0))
    # Truncation is increasing, so equal ends mean that every point of the box gives this integer.
    if not bool((result.lower == result.upper).all()):
        raise UndecidedError(
            f"the {after} value of some entries depends on the point of the box", "take a bound first: x.lower or x.upper"
        )
    return result.lower


for _name in ("to", "double", "float", "half", "bfloat16", "bool", "int", "long", "short", "type", "type_as", "cuda", "cpu"):
    structural(_name, functional=False, by=_convert)
structural("_to_copy", functional=False, by=_convert)
