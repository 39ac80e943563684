"""Writing, adding and reducing entries at given places. In-place variants are derived from these rules.

Each function is increasing in the tensor and in the values written, so it is applied to both bounds. The error of a sum
counts the entries that meet at one place.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..._records.registry import Box
from ..._theorems.boxes import as_box, both, decided
from ..._theorems.families import rule
from ..._theorems.places import any_of_written, meet, places_of
from ..._theorems.sums import bound_weighted_sum
from ...errors import UnsupportedOpError
from ..elementwise.arithmetic import mul
from ..shapes.indexing import _EXACT, _RECORD, cast, decided_index, value_box


def _write(function: Any, input: Any, *args: Any, **kwargs: Any) -> Box:
    """Apply an exact writing function to both bounds. A plain input becomes a box with two equal bounds."""
    return both(function, as_box(input), *args, **kwargs)


def _overwrite(function: Any, input: Any, places: Tensor, source: Box) -> Box:
    """Write a source to places. Where several entries meet at one place, torch keeps any of them: take their hull."""
    x = as_box(input)
    return any_of_written(x, places, source) if meet(places) else Box(*map(function, x, source))


def _source(source: Any, input: Any) -> Box:
    """The values written, as a box of the destination's dtype."""
    like = as_box(input).lower
    ends = cast(value_box(source, input), like.dtype)
    return Box(*(torch.as_tensor(end, dtype=like.dtype, device=like.device) for end in ends))


# --- where writes are affine: not where several values go to one place, of which torch keeps any ----------------------

Sets = tuple[set[str], ...]


def _unless_met(meets: bool, *names: str) -> Sets:
    """The set of arguments in which a call is affine; none if several entries meet at one place."""
    return () if meets else ({*names},)


def _copied_once(index: Tensor, **_: Any) -> Sets:
    """The affine arguments of `index_copy`."""
    return _unless_met(meet(index), "input", "source")


def _put_once(input: Any, indices: Any, accumulate: bool, **_: Any) -> Sets:
    """The affine arguments of `index_put`."""
    like, indices = as_box(input).lower, decided_index(indices)
    meets = not accumulate and meet(places_of(like, lambda t: torch.ops.aten.index(t, indices)))
    return _unless_met(meets, "input", "values")


def _put_flat_once(input: Any, index: Tensor, accumulate: bool, **_: Any) -> Sets:
    """The affine arguments of `put`."""
    meets = not accumulate and meet(places_of(as_box(input).lower, lambda t: t.take(index)))
    return _unless_met(meets, "input", "source")


def _scattered_once(input: Any, dim: int, index: Tensor, reduce: str | None, **_: Any) -> Sets:
    """The affine arguments of `scatter`."""
    meets = reduce is None and meet(places_of(as_box(input).lower, lambda t: t.gather(dim, index)))
    return _unless_met(meets or reduce == "multiply", "input", "src", "value")


def _summed_into(reduce: str, **_: Any) -> Sets:
    """The affine arguments of `scatter_reduce`."""
    return _unless_met(reduce not in ("sum", "mean"), "input", "src")


def _averaged_into(reduce: str, **_: Any) -> Sets:
    """The affine arguments of `index_reduce`."""
    return _unless_met(reduce != "mean", "input", "source")


# --- writing ----------------------------------------------------------------------------------------------------------


@rule("index_fill", formula="x_i := a", torch_checks=True, affine_in=({"input", "value"},), **_EXACT)
def index_fill(input: Any, dim: int, index: Tensor, value: Any) -> Box:
    """The value at the index."""
    value = _source(value, input)
    return _write(torch.index_fill, input, dim, index, both(lambda v: v.reshape(()), value))


@rule("index_copy", formula="x_i := y", torch_checks=True, affine_in=_copied_once, **_EXACT)
def index_copy(input: Any, dim: int, index: Tensor, source: Any) -> Box:
    """The source at the index."""
    source, like = _source(source, input), as_box(input).lower
    places = places_of(like, lambda t: t.index_select(dim, index.reshape(-1)) if t.ndim else t)
    if like.ndim == 0 and index.numel() < 2:
        return _write(torch.index_copy, input, dim, index, source)
    return _overwrite(lambda x, s: torch.index_copy(x, dim, index, s), input, places, source)


def _accumulate(put: Any, input: Any, source: Box) -> Box:
    """Bound `put(input, source)`, which adds entries of the source to entries of the input."""
    x = as_box(input)

    def terms() -> int:
        counts = put(torch.zeros_like(x.lower), torch.ones_like(source.lower))
        return int(counts.max()) + 1 if counts.numel() else 1

    return bound_weighted_sum(put, (x.lower, source.lower), (x.upper, source.upper), terms)


@rule("index_add", formula=r"x_i + \alpha y", torch_checks=True, affine_in=({"input", "source"},), **_RECORD)
def index_add(input: Any, dim: int, index: Tensor, source: Any, *, alpha: Any = 1) -> Box:
    """Increasing in both arguments for a positive alpha."""
    source = _source(source if alpha == 1 else mul(as_box(source), alpha), input)
    return _accumulate(lambda x, s: torch.index_add(x, dim, index, s), input, source)


@rule("bincount", formula=r"\sum_{i : n_i = k} w_i", affine_in=({"weights"},), **_RECORD)
def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """Increasing in the weights. The integers that are counted must be the same at every point of the box."""
    counted = decided(input, "what is counted")
    if weights is None:
        return torch.bincount(counted, minlength=minlength)
    like = torch.bincount(counted, as_box(weights).lower.detach(), minlength)
    if not counted.numel():
        return like  # integers, whatever the weights are
    return index_add(torch.zeros_like(like), 0, counted, weights)


@rule("index_put", formula="x_i := y", torch_checks=True, affine_in=_put_once, **_RECORD)
def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Box:
    """Writes the values at the indices, or adds them there."""
    indices, source = decided_index(indices), _source(values, input)
    if accumulate:
        return _accumulate(lambda x, s: torch.index_put(x, indices, s, True), input, source)
    places = places_of(as_box(input).lower, lambda t: torch.ops.aten.index(t, indices))
    return _overwrite(lambda x, s: torch.index_put(x, indices, s), input, places, source)


@rule(
    "_unsafe_index_put", torch.ops.aten._index_put_impl_, formula="x_i := y", torch_checks=True, affine_in=_put_once,
    **_RECORD,
)  # fmt: skip
def index_put_impl(input: Any, indices: Any, values: Any, accumulate: bool = False, unsafe: bool = False) -> Box:
    """ATen's forms of `index_put`."""
    return index_put(input, indices, values, accumulate)


@rule("put", formula="x_i := y", torch_checks=True, affine_in=_put_flat_once, **_RECORD)
def put(input: Any, index: Tensor, source: Any, accumulate: bool = False) -> Box:
    """As `index_put` on the flattened tensor."""
    source = _source(source, input)
    if accumulate:
        return _accumulate(lambda x, s: torch.put(x, index, s, True), input, source)
    places = places_of(as_box(input).lower, lambda t: t.take(index))
    ends = Box(*(end.reshape(index.shape) for end in source))
    return _overwrite(lambda x, s: torch.put(x, index, s), input, places, ends)


@rule("scatter_add", formula=r"x_i + \sum y", torch_checks=True, affine_in=({"input", "src"},), **_RECORD)
def scatter_add(input: Any, dim: int, index: Tensor, src: Any) -> Box:
    """Increasing in both arguments."""
    return _accumulate(lambda x, s: torch.scatter_add(x, dim, index, s), input, _source(src, input))


@rule("scatter", formula="x_i := y", torch_checks=True, affine_in=_scattered_once, **_RECORD)
def scatter(
    input: Any, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Box:
    """Writes the source at the index; with `reduce="add"` adds it there."""
    source = _source(src if value is None else value, input)
    if source.lower.ndim == 0:
        source = both(lambda s: s.expand(index.shape), source)
    if reduce is None:
        places = places_of(as_box(input).lower, lambda t: t.gather(dim, index))
        ends = both(lambda s: s[tuple(map(slice, index.shape))], source)
        return _overwrite(lambda x, s: torch.scatter(x, dim, index, s), input, places, ends)
    if reduce == "add":
        return scatter_add(input, dim, index, source)
    raise UnsupportedOpError(
        f"scatter(reduce={reduce!r}) has no interval rule",
        "multiply the gathered entries, then scatter the products",
    )


@rule("scatter_reduce", formula=r"x_i \oplus y", torch_checks=True, affine_in=_summed_into, **_RECORD)
def scatter_reduce(input: Any, dim: int, index: Tensor, src: Any, reduce: str, *, include_self: bool = True) -> Box:
    """Sums, means, greatest and least values: increasing in both arguments."""
    return _reduce_into(torch.scatter_reduce, torch.scatter_add, input, dim, index, src, reduce, include_self)


@rule("index_reduce", formula=r"x_i \oplus y", torch_checks=True, affine_in=_averaged_into, **_RECORD)
def index_reduce(input: Any, dim: int, index: Tensor, source: Any, reduce: str, *, include_self: bool = True) -> Box:
    """Means, greatest and least values: increasing in both arguments."""
    return _reduce_into(torch.index_reduce, torch.index_add, input, dim, index, source, reduce, include_self)


def _along(index: Tensor, dim: int, like: Tensor) -> Tensor:
    """The index of `index_reduce` in the form that `scatter` takes."""
    return index.reshape([-1 if d == dim % max(1, like.ndim) else 1 for d in range(like.ndim)]).expand_as(like)


def _multiply_into(x: Box, dim: int, index: Tensor, source: Box, include_self: bool) -> Box:
    """The hull of products of independent factors.

    One position of the source is multiplied after the other, so that no two meet at one place in one step.
    """
    if x.lower.ndim == 0:
        scalar = both(lambda t: t.reshape(1), x), index.reshape(-1), both(lambda t: t.reshape(-1), source)
        return both(lambda t: t.reshape(()), _multiply_into(scalar[0], 0, scalar[1], scalar[2], include_self))
    source = both(lambda s: s[tuple(map(slice, index.shape))], source)
    if not include_self:
        x = both(lambda t: t.scatter(dim, index, 1.0), x)
    for place, factor in zip(
        index.split(1, dim), zip(source.lower.split(1, dim), source.upper.split(1, dim), strict=True), strict=True
    ):
        product = mul(both(lambda t: t.gather(dim, place), x), Box(*factor))  # noqa: B023
        x = Box(*(t.scatter(dim, place, p) for t, p in zip(x, product, strict=True)))
    return x


def _reduce_into(
    function: Any, adding: Any, input: Any, dim: int, index: Tensor, src: Any, reduce: str, include_self: bool
) -> Box:
    """Bound `scatter_reduce` or `index_reduce`; `adding` is the function that sums, and counts what meets."""
    x, source = as_box(input), _source(src, input)
    low, high = (x.lower, source.lower), (x.upper, source.upper)
    if reduce == "prod":
        spread = index if function is torch.scatter_reduce else _along(index, dim, source.lower)
        return _multiply_into(x, dim, spread, source, include_self)

    def apply(x: Tensor, s: Tensor) -> Tensor:
        # A clone, because autograd keeps the result and `bound_weighted_sum` changes its argument in place.
        return function(x, dim, index, s, reduce, include_self=include_self).clone()

    if reduce in ("amax", "amin"):
        return Box(apply(*low), apply(*high))

    def terms() -> int:
        counts = adding(torch.zeros_like(x.lower), dim, index, torch.ones_like(source.lower))
        return int(counts.max()) + 1 if counts.numel() else 1

    return bound_weighted_sum(apply, low, high, terms)
