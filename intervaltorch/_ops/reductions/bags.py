"""Bags of rows of an embedding table, and places in a sorted sequence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ... import _rounding as rounding
from ..._records.registry import Box
from ..._theorems.boxes import as_box, both
from ..._theorems.families import rule
from ..._theorems.sums import bound_sum
from ..._theorems.undecided import Undecided
from ...errors import UnsupportedOpError
from ..elementwise.arithmetic import mul

# --- embedding_bag ----------------------------------------------------------------------------------------------------


def _linear_bags(mode: int, scale_grad_by_freq: bool, **_: Any) -> tuple[set[str], ...]:
    """Sums and means of rows; but where their gradients are scaled these tell nothing."""
    return ({"weight"}, {"per_sample_weights"}) if mode != 2 and not scale_grad_by_freq else ()


@rule(
    torch.embedding_bag, formula=r"\bigoplus_{i \in B} w_i", family="indexing", proven=True, torch_checks=True,
    affine_in=_linear_bags,
)  # fmt: skip
def embedding_bag(
    weight: Any, indices: Tensor, offsets: Tensor, scale_grad_by_freq: bool = False, mode: int = 0,
    sparse: bool = False, per_sample_weights: Any = None, include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:  # fmt: skip
    """Sums, means and greatest values increase in every row. With weights, a sum of independent products."""
    table = as_box(weight)

    def lookup(t: Tensor) -> tuple[Tensor, ...]:
        return torch.embedding_bag(
            t, indices, offsets, scale_grad_by_freq, mode, False, None, include_last_offset, padding_idx
        )

    _, bags, sizes, places = lookup(table.lower)
    # `sizes` does not tell the lengths: torch leaves it unset for sums without gradients.
    lengths = _lengths(offsets, len(indices), include_last_offset)
    longest = max(1, int(lengths.max())) if rounding.outward() and len(lengths) else 1
    if mode == 2:
        chosen = bool((table.lower == table.upper).all())
        values = both(lambda t: lookup(t)[0], table)
        return values, bags, sizes, places if chosen else Undecided(places, "embedding_bag")
    if per_sample_weights is None:
        return bound_sum(lambda t: lookup(t)[0], table, longest), bags, sizes, places
    owner = torch.repeat_interleave(lengths)
    factors = both(lambda t: t.unsqueeze(-1), as_box(per_sample_weights))
    rows = mul(both(lambda t: t[indices], table), factors)
    if padding_idx is not None:  # a negative index counts from the end
        padding = (indices == padding_idx % len(table.lower)).unsqueeze(-1)
        rows = both(lambda t: t.masked_fill(padding, 0.0), rows)
    empty = rows.lower.new_zeros(len(lengths), table.lower.shape[1])
    return bound_sum(lambda t: empty.index_add(0, owner, t), rows, longest), bags, sizes, places


def _lengths(offsets: Tensor, count: int, include_last_offset: bool) -> Tensor:
    """How many of `count` indices each bag has.

    Raises:
        UnsupportedOpError: if indices come after the last bag. torch ignores them in float32 but not in float64.
    """
    if include_last_offset and int(offsets[-1]) != count:
        raise UnsupportedOpError(
            f"embedding_bag has no interval rule if indices follow the last bag: it has {count} indices, and the last"
            f" bag ends at {int(offsets[-1])}",
            "torch adds such indices in some dtypes only: pass input[:offsets[-1]]",
        )
    ends = offsets if include_last_offset else torch.cat([offsets, offsets.new_tensor([count])])
    return ends[1:] - ends[:-1]


# --- places in a sorted sequence --------------------------------------------------------------------------------------


@rule("searchsorted", formula=r"\#\{i : s_i < x\}", family="sorting", proven=True, torch_checks=True)
def searchsorted(sorted_sequence: Any, input: Any, **options: Any) -> Any:
    """Increasing in x, decreasing in the sequence. A plain index if both ends agree, else an `Undecided`."""
    s, x = as_box(sorted_sequence), as_box(input)
    if isinstance(sorted_sequence, Box) and options.get("sorter") is not None:
        order = options.pop("sorter")
        s = both(lambda t: t.gather(-1, order), s)
    low, high = torch.searchsorted(s.upper, x.lower, **options), torch.searchsorted(s.lower, x.upper, **options)
    return low if torch.equal(low, high) else Undecided(low, "searchsorted", low == high)


@rule("bucketize", formula=r"\#\{i : s_i < x\}", family="sorting", proven=True)
def bucketize(input: Any, boundaries: Any, **options: Any) -> Any:
    """As `searchsorted`, with its arguments exchanged."""
    return searchsorted(boundaries, input, **options)
