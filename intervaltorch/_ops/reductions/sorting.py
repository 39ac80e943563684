"""Order statistics: the greatest, the least and the k-th entry, sorted entries, and their places if decided.

Each order statistic is increasing in every entry. So the k-th smallest entry lies between the k-th smallest lower bound
and the k-th smallest upper bound, and reaches both. The place of an entry is the same at every point of the box if its
interval does not meet those of its rivals. It is not enough that the places at both ends agree: two intervals that
overlap may come in either order. Where a slice is a single point, the place is the one that torch gives at this point.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..._compat import anywhere, readable
from ..._records.registry import Box
from ..._rounding import EXACT
from ..._theorems.boxes import both
from ..._theorems.families import rule
from ..._theorems.undecided import Undecided

_RECORD: dict[str, Any] = {"family": "order statistic", "budget": EXACT, "proven": True}


def _named(name: str, result: tuple) -> Any:
    """Values and places of a function, in the named tuple that torch returns."""
    return getattr(torch.return_types, name)(result)


# --- when a place is decided --------------------------------------------------------------------------------


def _settle(x: Box, indices: Tensor, certain: Any, dim: int, keepdim: bool, what: str, candidates: Any = None) -> Any:
    """Return the indices if each is the same at every point of the box, else an `Undecided`.

    Args:
        x: box whose entries were compared along `dim`.
        indices: those of the lower bounds, or of a box of one point.
        certain: computes a mask, broadcastable to the shape of `indices`, of entries apart from their rivals.
        dim: dimension of the comparison.
        keepdim: whether `indices` keeps that dimension.
        what: name of the function, for messages.
        candidates: computes a mask of the places that each index may have, along a last dimension.
    """
    if not readable(x.lower):
        return Undecided(indices, what)
    with torch.no_grad():
        mask = torch.as_tensor(certain())
        if anywhere(~mask):
            mask = mask | (x.lower == x.upper).all(dim, keepdim=keepdim)
        if not anywhere(~mask):
            return indices
        return Undecided(indices, what, mask, candidates() if candidates is not None else None)


def _mirrored(x: Box) -> Box:
    """The box of -x, in which the least entry is the greatest."""
    return Box(-x.upper, -x.lower)


def _may_be_greatest(x: Box, dim: int, keepdim: bool) -> Tensor:
    """Which entries reach the greatest lower bound, along a last dimension. No other entry is ever the greatest."""
    rivals = (x.upper >= x.lower.amax(dim, keepdim=True)).movedim(dim, -1)
    return rivals.unsqueeze(dim % x.lower.ndim) if keepdim else rivals


def _greatest_is_certain(x: Box, dim: int, keepdim: bool) -> Tensor:
    """Where exactly one upper bound reaches the greatest lower bound. Its entry is the greatest at every point."""
    rivals = x.upper >= x.lower.amax(dim, keepdim=True)
    return rivals.sum(dim, keepdim=keepdim) == 1


def _first_are_certain(x: Box, k: int, dim: int) -> Tensor:
    """Where the k greatest entries, and their order, are the same at every point."""
    lower, places = x.lower.topk(k, dim)
    upper = x.upper.gather(dim, places)
    apart = (lower.narrow(dim, 0, k - 1) > upper.narrow(dim, 1, k - 1)).all(dim, keepdim=True)
    return apart & ((x.upper >= lower.narrow(dim, k - 1, 1)).sum(dim, keepdim=True) == k)


@torch.no_grad()
def _order_is_certain(x: Box, dim: int) -> bool:
    """Whether any two entries compare the same way at every point: their intervals are apart or are the same point.

    Places are computed from comparisons alone. So they are then the same at every point, even if torch does not specify
    their order. It suffices to compare neighbours in the order of the lower bounds.
    """
    lower, places = x.lower.sort(dim)
    upper = x.upper.gather(dim, places)
    first, last = (slice(None, -1), slice(1, None))
    low, high, next_low, next_high = (
        bound.movedim(dim, -1)[..., part] for part in (first, last) for bound in (lower, upper)
    )
    return not anywhere(~((high < next_low) | ((low == high) & (high == next_low) & (next_low == next_high))))


# --- the greatest and the least -----------------------------------------------------------------------------


def _extreme(name: str, greatest: bool) -> None:
    """Register `max` or `min`."""
    function, two = getattr(torch, name), torch.maximum if greatest else torch.minimum

    def enclose(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        """Increasing in every entry; with two tensors, elementwise."""
        other = dim if isinstance(dim, (Box, Tensor)) else other
        if other is not None:
            return both(two, input, other)
        if dim is None:
            return both(function, input)
        lower, indices = function(input.lower, dim, keepdim)
        upper, _ = function(input.upper, dim, keepdim)
        if input.lower.ndim == 0:
            return _named(name, (Box(lower, upper), indices))
        seen = input if input.lower.dtype is not torch.bool else both(torch.Tensor.to, input, torch.int8)
        seen = seen if greatest else _mirrored(seen)
        certain, candidates = (partial(part, seen, dim, keepdim) for part in (_greatest_is_certain, _may_be_greatest))
        places = _settle(seen, indices, certain, dim, keepdim, name, candidates)
        return _named(name, (Box(lower, upper), places))

    rule(name, formula=rf"\{name} x", **_RECORD)(enclose)


def _place_of_extreme(name: str, greatest: bool) -> None:
    """Register `argmax` or `argmin`."""
    function = getattr(torch, name)

    def enclose(input: Box, dim: int | None = None, keepdim: bool = False) -> Any:
        """The place if it is the same at every point, else an `Undecided`."""
        indices = function(input.lower, dim, keepdim)
        if input.lower.ndim == 0:
            return indices
        seen = input if greatest else _mirrored(input)
        if dim is None:  # no candidates: with `keepdim` the place has as many dimensions as the input
            flat, flat_seen = both(torch.flatten, input), both(torch.flatten, seen)
            return _settle(flat, indices, lambda: _greatest_is_certain(flat_seen, 0, False), 0, False, name)
        certain, candidates = (partial(part, seen, dim, keepdim) for part in (_greatest_is_certain, _may_be_greatest))
        return _settle(input, indices, certain, dim, keepdim, name, candidates)

    rule(name, formula=rf"\operatorname{{{name}}} x", **_RECORD)(enclose)


_extreme("max", greatest=True)
_extreme("min", greatest=False)
_place_of_extreme("argmax", greatest=True)
_place_of_extreme("argmin", greatest=False)


# --- in order -----------------------------------------------------------------------------------------------


@rule("sort", formula=r"x_{(1)} \le \dots \le x_{(n)}", **_RECORD)
def sort(input: Box, dim: int = -1, descending: bool = False, stable: bool | None = None) -> Any:
    """Each order statistic is increasing in every entry."""
    lower, indices = torch.sort(input.lower, dim=dim, descending=descending, stable=bool(stable))
    upper, _ = torch.sort(input.upper, dim=dim, descending=descending, stable=bool(stable))
    if input.lower.ndim == 0:
        return _named("sort", (Box(lower, upper), indices))
    seen, n = input if descending else _mirrored(input), input.lower.shape[dim]
    places = _settle(input, indices, lambda: _first_are_certain(seen, n, dim) if n else True, dim, True, "sort")
    return _named("sort", (Box(lower, upper), places))


@rule("argsort", formula=r"\operatorname{argsort} x", **_RECORD)
def argsort(input: Box, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """The order if it is the same at every point, else an `Undecided`."""
    return sort(input, dim, descending, stable)[1]


@rule("msort", formula=r"x_{(1)} \le \dots \le x_{(n)}", **_RECORD)
def msort(input: Box) -> Box:
    """As `sort` along the first dimension, without places."""
    return both(torch.msort, input)


@rule("topk", formula=r"x_{(n)} \ge \dots \ge x_{(n-k+1)}", **_RECORD)
def topk(input: Box, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """Each order statistic is increasing in every entry. If unsorted, any of the k may be at any of the k places."""
    lower, indices = torch.topk(input.lower, k, dim, largest)
    upper, _ = torch.topk(input.upper, k, dim, largest)
    if input.lower.ndim == 0:
        return _named("topk", (Box(lower, upper), indices))
    if not sorted and k > 1:
        if readable(lower) and _order_is_certain(input, dim):
            places = torch.topk(input.lower, k, dim, largest, sorted=False)[1]
            return _named("topk", (Box(input.lower.gather(dim, places), input.upper.gather(dim, places)), places))
        least, most = lower.amin(dim, keepdim=True), upper.amax(dim, keepdim=True)
        values = Box(least.expand_as(lower).clone(), most.expand_as(upper).clone())
        return _named("topk", (values, Undecided(indices, "topk(sorted=False)")))
    seen = input if largest else _mirrored(input)
    places = _settle(input, indices, lambda: _first_are_certain(seen, k, dim) if k else True, dim, True, "topk")
    return _named("topk", (Box(lower, upper), places))


# --- the k-th -----------------------------------------------------------------------------------------------


def _kth(input: Box, k: int, dim: int, keepdim: bool, low: Any, upper: Tensor, name: str) -> tuple:
    """The k-th smallest value, and its place if k - 1 intervals lie below its interval and the others above."""
    lower, indices = low
    if input.lower.ndim == 0:
        return Box(lower, upper), indices

    def certain() -> Tensor:
        place = indices if keepdim else indices.unsqueeze(dim)
        l, u = input.lower.gather(dim, place), input.upper.gather(dim, place)
        below = (input.upper < l).sum(dim, keepdim=keepdim)
        above = (input.lower > u).sum(dim, keepdim=keepdim)
        return (below == k - 1) & (above == input.lower.shape[dim] - k)

    return Box(lower, upper), _settle(input, indices, certain, dim, keepdim, name)


@rule("kthvalue", formula="x_{(k)}", **_RECORD)
def kthvalue(input: Box, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """Increasing in every entry."""
    low, upper = torch.kthvalue(input.lower, k, dim, keepdim), torch.kthvalue(input.upper, k, dim, keepdim)[0]
    return _named("kthvalue", _kth(input, k, dim, keepdim, low, upper, "kthvalue"))


def _median(name: str) -> None:
    """Register `median` or `nanmedian`."""
    function: Any = getattr(torch, name)

    def enclose(input: Box, dim: int | None = None, keepdim: bool = False) -> Any:
        """The lower median: increasing in every entry."""
        if dim is None:
            return both(function, input)
        low, upper = function(input.lower, dim, keepdim), function(input.upper, dim, keepdim)[0]
        k = (input.lower.shape[dim] + 1) // 2 if input.lower.ndim else 1
        return _named(name, _kth(input, k, dim, keepdim, low, upper, name))

    rule(name, formula=r"x_{(\lfloor (n + 1) / 2 \rfloor)}", **_RECORD)(enclose)


_median("median")
_median("nanmedian")


# --- running extremes ---------------------------------------------------------------------------------------


def _running(name: str, greatest: bool) -> None:
    """Register `cummax` or `cummin`."""
    function: Any = getattr(torch, name)

    def enclose(input: Box, dim: int) -> Any:
        """Increasing in every entry."""
        lower, indices = function(input.lower, dim)
        upper, _ = function(input.upper, dim)
        if input.lower.ndim == 0:
            return _named(name, (Box(lower, upper), indices))
        seen = input if greatest else _mirrored(input)
        places = _settle(input, indices, lambda: _running_is_certain(seen, dim), dim, True, name)
        return _named(name, (Box(lower, upper), places))

    rule(name, formula=r"\max_{j \le i} x_j" if greatest else r"\min_{j \le i} x_j", **_RECORD)(enclose)


def _running_is_certain(x: Box, dim: int) -> Tensor:
    """Where the greatest entry so far is the same one at every point.

    An entry above all earlier intervals takes over for certain. An entry below the greatest lower bound so far changes
    nothing. Any other entry leaves the place undecided until the next entry takes over.
    """
    n = x.lower.shape[dim]
    if n == 0:
        return torch.ones_like(x.lower, dtype=torch.bool)
    highest, reached = x.upper.cummax(dim).values, x.lower.cummax(dim).values
    takes_over, changes = (
        torch.ones_like(x.lower, dtype=torch.bool),
        torch.ones_like(x.lower, dtype=torch.bool),
    )
    takes_over.narrow(dim, 1, n - 1).copy_(x.lower.narrow(dim, 1, n - 1) > highest.narrow(dim, 0, n - 1))
    changes.narrow(dim, 1, n - 1).copy_(x.upper.narrow(dim, 1, n - 1) >= reached.narrow(dim, 0, n - 1))
    time = torch.arange(n, device=x.lower.device).reshape([-1] + [1] * (x.lower.ndim - 1 - dim % x.lower.ndim))
    last_change = torch.where(changes, time, 0).cummax(dim).values
    return takes_over.gather(dim, last_change)


_running("cummax", greatest=True)
_running("cummin", greatest=False)
