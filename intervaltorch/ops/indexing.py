"""Reading, writing and choosing entries, by index or by mask.

An index is the same for every point of a box, so it picks the same entries of both bounds. A mask made by comparing
boxes may be undecided: where a value is chosen by it, both choices count and the result is their hull; where it decides
a shape, as in `x[mask]`, the program is refused.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import rounding
from .._registry import Box
from ..errors import UndecidedError, UnsupportedOpError
from ..rounding import EXACT
from ._families import as_box, both, decided, map_boxes, rule, structural
from .arithmetic import mul, operand
from .comparisons import _truth
from .pooling import summed

_RECORD: dict[str, Any] = {"family": "indexing", "proven": True}
_EXACT: dict[str, Any] = {**_RECORD, "budget": EXACT}

structural("gather", "index_select", "take", "take_along_dim", "embedding", functional=False)
structural("select_scatter", "slice_scatter", "diagonal_scatter", functional=False)


def _decided_index(index: Any) -> Any:
    """Replace the Boolean boxes of an index by the masks that they certainly are."""
    return map_boxes(lambda box: decided(box, "an index"), index)


# --- x[index] and x[index] = value ------------------------------------------------------------------------------------


@rule(torch.Tensor.__getitem__, formula="x_i", **_EXACT)
def getitem(input: Any, index: Any) -> Any:
    """The entries of both bounds: views of them where torch gives a view."""
    index = _decided_index(index)
    if not isinstance(input, Box):
        return input[index]
    return Box(input.lower[index], input.upper[index])


@rule("index", "_unsafe_index", formula="x_i", **_EXACT)
def index_(input: Any, indices: Any) -> Any:
    """ATen's form of `x[index]` with tensors in the index."""
    return getitem(input, tuple(slice(None) if index is None else index for index in indices))


@rule(torch.Tensor.__setitem__, formula="x_i := y", **_EXACT)
def setitem(input: Any, index: Any, value: Any) -> None:
    """Writes into the memory of the bounds, so views of the box change with it and autograd sees it.

    An undecided mask, as in `x[x < 0] = 0`, leaves the hull of the old and the new value.
    """
    if not isinstance(input, Box):
        if not isinstance(value, Box):
            input[_decided_index(index)] = value
            return
        raise UnsupportedOpError(
            "an interval cannot be written into a plain tensor, which would lose a bound",
            "make the destination a box first: IntervalTensor.point(tensor), or torch.zeros_like(an_interval)",
        )
    value = operand(value, input)
    if isinstance(index, Box) and not _is_decided(index):
        _set_where(input, index, value)
        return
    index = _decided_index(index)
    lower, upper = _cast(value, input.lower.dtype)
    input.lower[index] = lower
    input.upper[index] = upper


def _is_decided(mask: Box) -> bool:
    return mask.lower.dtype is not torch.bool or bool((mask.lower == mask.upper).all())


def _set_where(input: Box, mask: Box, value: Box) -> None:
    """Write by an undecided mask: the hull of both outcomes, for values that do not run along the masked entries."""
    rest = input.lower.ndim - mask.lower.ndim
    if getattr(value.lower, "ndim", 0) > rest:
        decided(mask, "which entries are written")
    old = input
    if torch.is_grad_enabled():  # autograd may keep what `choose` reads, and the copy below overwrites it
        old = Box(input.lower.clone(), input.upper.clone())
    spread = both(lambda m: m.reshape(m.shape + (1,) * rest), mask)
    chosen = choose(spread, Box(*_cast(value, input.lower.dtype)), old)
    input.lower.copy_(chosen.lower)
    input.upper.copy_(chosen.upper)


def _cast(value: Box, dtype: torch.dtype) -> tuple[Any, Any]:
    if isinstance(value.lower, Tensor) and value.lower.dtype != dtype:
        return rounding.cast(value.lower, value.upper, dtype)
    return value.lower, value.upper


# --- whole tensors ----------------------------------------------------------------------------------------------------


@rule("copy", formula="x := y", **_EXACT)
def copy(input: Box, src: Any, non_blocking: bool = False) -> Box:
    """Both bounds of the source, or the plain source twice."""
    src = as_box(src)
    return both(lambda s: torch.as_tensor(s, device=input.lower.device).expand_as(input.lower), src)


@rule("fill", formula="x := a", **_EXACT)
def fill(input: Box, value: Any) -> Box:
    """The value everywhere."""
    return Box(*(torch.zeros_like(input.lower) + end for end in _cast(operand(value, input), input.lower.dtype)))


@rule("zero", formula="x := 0", **_EXACT)
def zero(input: Box) -> Box:
    """Zero everywhere."""
    return both(torch.zeros_like, input)


@rule("fill_diagonal", formula="x_{ii} := a", **_EXACT)
def fill_diagonal(input: Box, fill_value: Any, wrap: bool = False) -> Box:
    """A number on the diagonal."""
    value = operand(fill_value, input)
    return Box(*(x.clone().fill_diagonal_(float(end), wrap) for x, end in zip(input, value)))


# --- choices by a condition -------------------------------------------------------------------------------------------


def choose(condition: Any, x: Box, y: Box) -> Box:
    """Bound `x if condition else y`: the hull of both where the condition may be either.

    Both `possibly` and `certainly` are conditions that some points may meet, so the extremes of the two choices are
    those of the undecided one; where it is decided they coincide.
    """
    if not isinstance(condition, Box):
        return Box(torch.where(condition, x.lower, y.lower), torch.where(condition, x.upper, y.upper))
    certainly, possibly = condition
    lower = torch.minimum(torch.where(certainly, x.lower, y.lower), torch.where(possibly, x.lower, y.lower))
    upper = torch.maximum(torch.where(certainly, x.upper, y.upper), torch.where(possibly, x.upper, y.upper))
    return Box(lower, upper)


@rule(torch.where, torch.ops.aten.where, formula=r"x \text{ if } c \text{ else } y", **_EXACT)
def where(condition: Any, input: Any = None, other: Any = None, **named: Any) -> Any:
    """The hull of both choices where the condition is undecided."""
    input = named.pop("self", input)
    if input is None and other is None and not named:
        return nonzero(condition, as_tuple=True)
    like = next((x for x in (input, other) if isinstance(x, (Box, Tensor))), None)
    if like is None:
        return _of_numbers(condition, input, other)
    chosen = choose(condition, operand(input, like), operand(other, like))
    return _plain_integers(chosen)


def _of_numbers(condition: Any, input: Any, other: Any) -> Any:
    """Choose between two Python numbers, in the dtype that torch gives them."""
    like = torch.where(torch.tensor(True), input, other)
    return _plain_integers(choose(condition, operand(input, like), operand(other, like)))


def _plain_integers(chosen: Box) -> Any:
    """Integers have no intervals: return them if they are the same for every point."""
    if chosen.lower.dtype.is_floating_point or chosen.lower.dtype is torch.bool:
        return chosen
    if bool((chosen.lower == chosen.upper).all()):
        return chosen.lower
    raise UndecidedError(
        f"the {chosen.lower.dtype} value of some entries depends on the point of the box",
        "choose between floating point values, as in torch.where(condition, 1.0, 0.0)",
    )


@rule(torch.Tensor.where, formula=r"x \text{ if } c \text{ else } y", **_EXACT)
def where_method(input: Any, condition: Any, other: Any) -> Any:
    """`torch.where` with its arguments in another order."""
    return where(condition, input, other)


@rule("masked_fill", formula=r"a \text{ if } m \text{ else } x", **_EXACT)
def masked_fill(input: Any, mask: Any, value: Any) -> Box:
    """The hull of the entry and the value where the mask is undecided."""
    dtype = as_box(input).lower.dtype
    return Box(*_cast(choose(mask, operand(value, input), as_box(input)), dtype))


@rule("masked_select", formula="x_m", **_EXACT)
def masked_select(input: Any, mask: Any) -> Any:
    """The entries where the mask is true; it must be decided."""
    return both(torch.masked_select, input, decided(mask, "the number of selected entries"))


@rule("masked_scatter", formula="x_m := y", **_EXACT)
def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """Consecutive entries of the source where the mask is true; it must be decided."""
    return both(torch.masked_scatter, input, decided(mask, "which entries are written"), source)


@rule("nonzero", formula=r"\{i : x_i \ne 0\}", **_EXACT)
def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """The indices of non-zero entries, which must be decided."""
    return torch.nonzero(decided(_truth(input), "which entries differ from 0"), as_tuple=as_tuple)


@rule("argwhere", formula=r"\{i : x_i \ne 0\}", **_EXACT)
def argwhere(input: Any) -> Any:
    """As `nonzero`."""
    return torch.argwhere(decided(_truth(input), "which entries differ from 0"))


# --- writing by index, out of place -----------------------------------------------------------------------------------


def _write(function: Any, input: Any, *args: Any, **kwargs: Any) -> Box:
    """Apply an exact writing function to both bounds; numbers and wider sources are converted outward first."""
    return both(function, as_box(input), *args, **kwargs)


def _source(source: Any, input: Any) -> Box:
    """What is written, as a box of the destination's dtype."""
    like = as_box(input).lower
    ends = _cast(operand(source, input), like.dtype)
    return Box(*(torch.as_tensor(end, dtype=like.dtype, device=like.device) for end in ends))


@rule("index_fill", formula="x_i := a", **_EXACT)
def index_fill(input: Any, dim: int, index: Tensor, value: Any) -> Box:
    """The value at the index."""
    value = _source(value, input)
    return _write(torch.index_fill, input, dim, index, both(lambda v: v.reshape(()), value))


@rule("index_copy", formula="x_i := y", **_EXACT)
def index_copy(input: Any, dim: int, index: Tensor, source: Any) -> Box:
    """The source at the index."""
    return _write(torch.index_copy, input, dim, index, _source(source, input))


def _accumulate(put: Any, input: Any, source: Box) -> Box:
    """Bound `put(input, source)`, which adds entries of the source to entries of the input."""
    x = as_box(input)

    def terms() -> int:
        counts = put(torch.zeros_like(x.lower), torch.ones_like(source.lower))
        return int(counts.max()) + 1 if counts.numel() else 1

    return summed(put, (x.lower, source.lower), (x.upper, source.upper), terms)


@rule("index_add", formula=r"x_i + \alpha y", **_RECORD)
def index_add(input: Any, dim: int, index: Tensor, source: Any, *, alpha: Any = 1) -> Box:
    """Increasing in both arguments for a positive factor."""
    source = _source(source if alpha == 1 else mul(as_box(source), alpha), input)
    return _accumulate(lambda x, s: torch.index_add(x, dim, index, s), input, source)


@rule("index_put", formula="x_i := y", **_RECORD)
def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Box:
    """The values at the indices, or added there."""
    indices, source = _decided_index(indices), _source(values, input)
    if accumulate:
        return _accumulate(lambda x, s: torch.index_put(x, indices, s, True), input, source)
    return _write(torch.index_put, input, indices, source)


@rule("_unsafe_index_put", torch.ops.aten._index_put_impl_, formula="x_i := y", **_RECORD)
def index_put_impl(input: Any, indices: Any, values: Any, accumulate: bool = False, unsafe: bool = False) -> Box:
    """ATen's forms of `index_put`."""
    return index_put(input, indices, values, accumulate)


@rule("put", formula="x_i := y", **_RECORD)
def put(input: Any, index: Tensor, source: Any, accumulate: bool = False) -> Box:
    """As `index_put` on the flattened tensor."""
    source = _source(source, input)
    if accumulate:
        return _accumulate(lambda x, s: torch.put(x, index, s, True), input, source)
    return _write(torch.put, input, index, source)


@rule("scatter_add", formula=r"x_i + \sum y", **_RECORD)
def scatter_add(input: Any, dim: int, index: Tensor, src: Any) -> Box:
    """Increasing in both arguments."""
    return _accumulate(lambda x, s: torch.scatter_add(x, dim, index, s), input, _source(src, input))


@rule("scatter", formula="x_i := y", **_RECORD)
def scatter(input: Any, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Box:
    """The source at the index; with `reduce="add"`, added there."""
    source = _source(src if value is None else value, input)
    if source.lower.ndim == 0:
        source = both(lambda s: s.expand(index.shape), source)
    if reduce is None:
        return _write(torch.scatter, input, dim, index, source)
    if reduce == "add":
        return scatter_add(input, dim, index, source)
    raise UnsupportedOpError(
        f"scatter(reduce={reduce!r}) has no interval rule", "multiply the gathered entries, then scatter the products"
    )


@rule("scatter_reduce", formula=r"x_i \oplus y", **_RECORD)
def scatter_reduce(input: Any, dim: int, index: Tensor, src: Any, reduce: str, *, include_self: bool = True) -> Box:
    """Sums, means, greatest and least values: increasing in both arguments."""
    return _reduce_into(torch.scatter_reduce, torch.scatter_add, input, dim, index, src, reduce, include_self)


@rule("index_reduce", formula=r"x_i \oplus y", **_RECORD)
def index_reduce(input: Any, dim: int, index: Tensor, source: Any, reduce: str, *, include_self: bool = True) -> Box:
    """Means, greatest and least values: increasing in both arguments."""
    return _reduce_into(torch.index_reduce, torch.index_add, input, dim, index, source, reduce, include_self)


def _reduce_into(
    function: Any, adding: Any, input: Any, dim: int, index: Tensor, src: Any, reduce: str, include_self: bool
) -> Box:
    x, source = as_box(input), _source(src, input)
    low, high = (x.lower, source.lower), (x.upper, source.upper)
    if reduce == "prod":
        raise UnsupportedOpError(
            f"{function.__name__}(reduce='prod') has no interval rule", "take products of gathered entries instead"
        )

    def apply(x: Tensor, s: Tensor) -> Tensor:
        # A clone, because autograd keeps the result and `summed` works on what it gets in place.
        return function(x, dim, index, s, reduce, include_self=include_self).clone()

    if reduce in ("amax", "amin"):
        return Box(apply(*low), apply(*high))

    def terms() -> int:
        counts = adding(torch.zeros_like(x.lower), dim, index, torch.ones_like(source.lower))
        return int(counts.max()) + 1 if counts.numel() else 1

    return summed(apply, low, high, terms)
