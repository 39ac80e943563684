"""Reading, writing and choosing entries, by index or by mask.

An index is the same for every point of a box, so it picks the same entries of both bounds. A mask that comes from
comparing boxes may be undecided. Where it chooses between two values, the result is the hull of both. Where it
determines a shape, as in `x[mask]`, the call is refused.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ... import _rounding as rounding
from ..._compat import anywhere, readable
from ..._records.registry import Box
from ..._rounding import EXACT
from ..._theorems.boxes import as_box, both, check_writable, decided, map_boxes
from ..._theorems.families import rule, structural
from ..._theorems.operands import operand
from ..._theorems.places import any_of_written, holds_places, meet, places_of
from ..._theorems.rectangles import sidewise, unchanged
from ...errors import DomainError, UndecidedError, UnsupportedOpError
from ..elementwise.comparisons import _truth

_RECORD: dict[str, Any] = {"family": "indexing", "proven": True}
_EXACT: dict[str, Any] = {**_RECORD, "budget": EXACT}

structural("gather", "index_select", "take", "take_along_dim", functional=False)


def _by_row(padding_idx: int, scale_grad_by_freq: bool, **_: Any) -> tuple[set[str], ...]:
    """Affine; but the gradient of a padding row is 0 and others may be scaled, so that these tell nothing."""
    return () if padding_idx >= 0 or scale_grad_by_freq else ({"weight"},)


@rule("embedding", complex=unchanged, each_bound=True, affine_in=_by_row, **{**_EXACT, "family": "structural"})
def embedding(
    weight: Any, indices: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Box:  # fmt: skip
    """Rows of a table."""
    return both(torch.embedding, weight, indices, padding_idx, scale_grad_by_freq, sparse)


structural("select_scatter", "slice_scatter", "diagonal_scatter", functional=False)


def decided_index(index: Any) -> Any:
    """Replace Boolean boxes in an index by plain masks. They must be decided. torch refuses floats as an index."""
    return map_boxes(lambda box: box.lower if box.lower.is_floating_point() else decided(box, "an index"), index)


def value_box(value: Any, like: Any, mask: Any = None, when: bool = True) -> Box:
    """The value that is written or chosen, as a box.

    Args:
        value: a number, tensor or box.
        like: a tensor or box that determines the dtype.
        mask: where the value is written or chosen; everywhere if the mask is not Boolean.
        when: the truth of the mask there.

    Raises:
        DomainError: for the number NaN, which no box contains, unless the mask chooses it nowhere.
    """
    number = value if isinstance(value, float) else None
    if isinstance(value, Tensor) and value.ndim == 0 and readable(value):
        number = math.nan if anywhere(value.isnan()) else None
    if number is None or not math.isnan(number):
        return operand(value, like)
    if _is_nowhere(mask, when):
        return operand(0.0, like)
    raise DomainError(
        "NaN cannot be written into a box",
        "no bound holds for NaN: mark entries by inf instead, or use a mask that writes nothing into the box",
    )


def _is_nowhere(mask: Any, truth: bool) -> bool:
    """Whether no entry of a mask has this truth value at any point of the box."""
    possible = (mask.upper if truth else ~mask.lower) if isinstance(mask, Box) else mask
    if not isinstance(possible, Tensor) or possible.dtype is not torch.bool or not readable(possible):
        return False
    return not anywhere(possible if truth or isinstance(mask, Box) else ~possible)


# --- x[index] and x[index] = value --------------------------------------------------------------------------


@rule(torch.Tensor.__getitem__, formula="x_i", complex=unchanged, each_bound=True, affine_in=({"input"},), **_EXACT)
def getitem(input: Any, index: Any) -> Any:
    """The entries of both bounds: views of them where torch gives a view."""
    index = decided_index(index)
    if not isinstance(input, Box):
        return input[index]
    return Box(input.lower[index], input.upper[index])


@rule("index", "_unsafe_index", formula="x_i", complex=unchanged, affine_in=({"input"},), **_EXACT)
def index_(input: Any, indices: Any) -> Any:
    """ATen's form of `x[index]` with tensors in the index."""
    return getitem(input, tuple(slice(None) if index is None else index for index in indices))


def _written_once(input: Any, index: Any, **_: Any) -> tuple[set[str], ...]:
    """Affine unless several values go to one place, where torch leaves open which of them stays."""
    index = decided_index(index)
    return () if holds_places(index) and meet(places_of(as_box(input).lower, lambda t: t[index])) else (
        {"input", "value"},)  # fmt: skip


@rule(torch.Tensor.__setitem__, formula="x_i := y", complex=unchanged, affine_in=_written_once, **_EXACT)
def setitem(input: Any, index: Any, value: Any) -> None:
    """Writes into the memory of the bounds, so views of the box change too, and autograd records the write.

    An undecided mask, as in `x[x < 0] = 0`, leaves the hull of the old and the new value.
    """
    if not isinstance(input, Box):
        if not isinstance(value, Box):
            input[decided_index(index)] = value
            return
        raise UnsupportedOpError(
            "an interval cannot be written into a plain tensor, which would lose a bound",
            "make the destination a box first: IntervalTensor.point(tensor) or torch.zeros_like(a_box)",
        )
    check_writable(input)
    value = value_box(value, input, index)
    if isinstance(index, Box) and not _is_decided(index):
        _set_where(input, index, value)
        return
    index = decided_index(index)
    lower, upper = cast(value, input.lower.dtype)
    if holds_places(index):
        places = places_of(input.lower, lambda t: t[index])
        if meet(places):
            like = input.lower
            ends = [torch.as_tensor(end, dtype=like.dtype, device=like.device) for end in (lower, upper)]
            old = Box(*(bound.clone() for bound in input)) if torch.is_grad_enabled() else input
            chosen = any_of_written(old, places, Box(*ends))
            input.lower.copy_(chosen.lower)
            input.upper.copy_(chosen.upper)
            return
    input.lower[index] = lower
    input.upper[index] = upper


def _is_decided(mask: Box) -> bool:
    """Whether a mask is the same at every point; true of an index that is no mask."""
    return mask.lower.dtype is not torch.bool or not anywhere(mask.lower != mask.upper)


def _set_where(input: Box, mask: Box, value: Box) -> None:
    """Write by an undecided mask: the hull of both outcomes. The value must not have an entry for each masked entry."""
    rest = input.lower.ndim - mask.lower.ndim
    if input.lower.is_complex():
        decided(mask, "which complex entries are written")
    if getattr(value.lower, "ndim", 0) > rest:
        decided(mask, "which entries are written")
    old = input
    if torch.is_grad_enabled():  # autograd may keep what `choose` reads, and the copy below overwrites it
        old = Box(input.lower.clone(), input.upper.clone())
    spread = both(lambda m: m.reshape(m.shape + (1,) * rest), mask)
    chosen = choose(spread, Box(*cast(value, input.lower.dtype)), old)
    input.lower.copy_(chosen.lower)
    input.upper.copy_(chosen.upper)


def cast(value: Box, dtype: torch.dtype) -> tuple[Any, Any]:
    """Convert a value to the dtype of the place where it is written; rounded outward if that dtype is narrower."""
    if isinstance(value.lower, Tensor) and value.lower.dtype != dtype:
        return rounding.cast(value.lower, value.upper, dtype)
    return value.lower, value.upper


# --- whole tensors ------------------------------------------------------------------------------------------


@rule("copy", formula="x := y", affine_in=({"input", "src"},), **_EXACT)
def copy(input: Any, src: Any, non_blocking: bool = False) -> Box:
    """Both bounds of the source; a plain source is both bounds."""
    place = as_box(input).lower
    ends = cast(as_box(src), place.dtype)
    return Box(*(torch.as_tensor(end, dtype=place.dtype, device=place.device).expand_as(place) for end in ends))


@rule("fill", formula="x := a", affine_in=({"input", "value"},), **_EXACT)
def fill(input: Box, value: Any) -> Box:
    """The value everywhere."""
    return Box(*(torch.zeros_like(input.lower) + end for end in cast(value_box(value, input), input.lower.dtype)))


@rule("zero", formula="x := 0", affine_in=({"input"},), **_EXACT)
def zero(input: Box) -> Box:
    """Zero everywhere."""
    return both(torch.zeros_like, input)


@rule("fill_diagonal", formula="x_{ii} := a", affine_in=({"input"},), **_EXACT)
def fill_diagonal(input: Box, fill_value: Any, wrap: bool = False) -> Box:
    """A number on the diagonal."""
    value = value_box(fill_value, input)
    return Box(*(x.clone().fill_diagonal_(float(end), wrap) for x, end in zip(input, value, strict=True)))


# --- choices by a condition ---------------------------------------------------------------------------------


def choose(condition: Any, x: Box, y: Box) -> Box:
    """Bound `x if condition else y`: the hull of both where the condition is undecided.

    One choice takes x where the condition is possible, the other takes x where it is certain. Where the condition is
    decided, the two agree. Where it is undecided, one takes x and the other y, and the hull of both is the answer.
    """
    if not isinstance(condition, Box):
        return Box(torch.where(condition, x.lower, y.lower), torch.where(condition, x.upper, y.upper))
    certainly, possibly = condition
    lower = torch.minimum(torch.where(certainly, x.lower, y.lower), torch.where(possibly, x.lower, y.lower))
    upper = torch.maximum(torch.where(certainly, x.upper, y.upper), torch.where(possibly, x.upper, y.upper))
    return Box(lower, upper)


@rule(
    torch.where, torch.ops.aten.where, formula=r"x \text{ if } c \text{ else } y", complex=sidewise,
    affine_in=({"input", "other"},), **_EXACT,
)  # fmt: skip
def where(condition: Any, input: Any = None, other: Any = None, **named: Any) -> Any:
    """The hull of both choices where the condition is undecided."""
    input = named.pop("self", input)
    if input is None and other is None and not named:
        return nonzero(condition, as_tuple=True)
    like = next((x for x in (input, other) if isinstance(x, (Box, Tensor))), None)
    if like is None:
        return _of_numbers(condition, input, other)
    chosen = choose(condition, value_box(input, like, condition), value_box(other, like, condition, when=False))
    return _plain_integers(chosen)


def _of_numbers(condition: Any, input: Any, other: Any) -> Any:
    """Choose between two Python numbers, in the dtype that torch gives them."""
    like = torch.where(torch.tensor(True), input, other)
    return _plain_integers(
        choose(condition, value_box(input, like, condition), value_box(other, like, condition, when=False))
    )


def _plain_integers(chosen: Box) -> Any:
    """Return integers as a plain tensor, since there are no boxes of integers. They must not vary over the box."""
    if chosen.lower.dtype.is_floating_point or chosen.lower.dtype is torch.bool:
        return chosen
    if not anywhere(chosen.lower != chosen.upper):
        return chosen.lower
    raise UndecidedError(
        f"the {chosen.lower.dtype} value of some entries depends on the point of the box",
        "choose between floating point values, as in torch.where(condition, 1.0, 0.0)",
    )


@rule(
    torch.Tensor.where, formula=r"x \text{ if } c \text{ else } y", complex=sidewise, affine_in=({"input", "other"},),
    **_EXACT,
)  # fmt: skip
def where_method(input: Any, condition: Any, other: Any) -> Any:
    """`torch.where` with its arguments in another order."""
    return where(condition, input, other)


@rule(
    "masked_fill", formula=r"a \text{ if } m \text{ else } x", complex=sidewise, torch_checks=True,
    affine_in=({"input", "value"},), **_EXACT,
)  # fmt: skip
def masked_fill(input: Any, mask: Any, value: Any) -> Box:
    """The hull of the entry and the value where the mask is undecided."""
    dtype = as_box(input).lower.dtype
    return Box(*cast(choose(mask, value_box(value, input, mask), as_box(input)), dtype))


@rule("masked_select", formula="x_m", affine_in=({"input"},), **_EXACT)
def masked_select(input: Any, mask: Any) -> Any:
    """The entries where the mask is true. The mask must be decided."""
    return both(torch.masked_select, input, decided(mask, "the number of selected entries"))


@rule("masked_scatter", formula="x_m := y", affine_in=({"input", "source"},), **_EXACT)
def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """Consecutive entries of the source where the mask is true. The mask must be decided."""
    return both(torch.masked_scatter, input, decided(mask, "which entries are written"), source)


@rule("nonzero", formula=r"\{i : x_i \ne 0\}", **_EXACT)
def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """The indices of non-zero entries. They must be the same at every point of the box."""
    mask: Any = decided(_truth(input), "which entries differ from 0")
    return mask.nonzero(as_tuple=as_tuple)


@rule("nonzero_static", formula=r"\{i : x_i \ne 0\}", **_EXACT)
def nonzero_static(input: Any, *, size: int, fill_value: int = -1) -> Any:
    """As `nonzero`, with a given number of rows."""
    mask: Any = decided(_truth(input), "which entries differ from 0")
    return mask.nonzero_static(size=size, fill_value=fill_value)


@rule("argwhere", formula=r"\{i : x_i \ne 0\}", **_EXACT)
def argwhere(input: Any) -> Any:
    """As `nonzero`."""
    return torch.argwhere(decided(_truth(input), "which entries differ from 0"))
