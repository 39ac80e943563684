"""Rows of a table reduced in bags, and places in a sorted sequence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import rounding
from .._registry import Box
from .._undecided import Undecided
from ._boxes import as_box, both
from ._families import rule
from .arithmetic import mul
from .reductions import summed

# --- embedding_bag ----------------------------------------------------------------------------------------------------


@rule(torch.embedding_bag, formula=r"\bigoplus_{i \in B} w_i", family="indexing", proven=True)
def embedding_bag(
    weight: Any, indices: Tensor, offsets: Tensor, scale_grad_by_freq: bool = False, mode: int = 0,
    sparse: bool = False, per_sample_weights: Any = None, include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:  # fmt: skip
    """Increasing in every row, for sums, means and greatest values; with weights, a sum of independent products."""
    table = as_box(weight)

    def lookup(t: Tensor) -> tuple[Tensor, ...]:
        return torch.embedding_bag(
            t, indices, offsets, scale_grad_by_freq, mode, False, None, include_last_offset, padding_idx
        )

    _, bags, sizes, places = lookup(table.lower)
    if mode == 2:
        chosen = bool((table.lower == table.upper).all())
        values = both(lambda t: lookup(t)[0], table)
        return values, bags, sizes, places if chosen else Undecided(places, "embedding_bag")
    terms = int(sizes.max()) if rounding.outward() and sizes.numel() else 1
    if per_sample_weights is None:
        return summed(lambda t: lookup(t)[0], table, terms), bags, sizes, places
    count = len(offsets) - int(include_last_offset)
    owner = (
        torch.searchsorted(offsets[:count].contiguous(), torch.arange(len(indices), device=indices.device), right=True)
        - 1
    )
    factors = both(lambda t: t.unsqueeze(-1), as_box(per_sample_weights))
    rows = mul(both(lambda t: t[indices], table), factors)
    if padding_idx is not None:  # negative ones count from the end
        padding = (indices == padding_idx % len(table.lower)).unsqueeze(-1)
        rows = both(lambda t: t.masked_fill(padding, 0.0), rows)
    empty = torch.zeros(count, table.lower.shape[1], dtype=rows.lower.dtype, device=rows.lower.device)
    # Rows that meet in one bag: at most all of them.
    longest = int(torch.bincount(owner).max()) if len(owner) else 1
    return summed(lambda t: empty.index_add(0, owner, t), rows, longest), bags, sizes, places


# --- places in a sorted sequence --------------------------------------------------------------------------------------


@rule("searchsorted", formula=r"\#\{i : s_i < x\}", family="sorting", proven=True)
def searchsorted(sorted_sequence: Any, input: Any, **options: Any) -> Any:
    """Increasing in x, decreasing in the sequence: a plain index where both ends agree, else one that is undecided."""
    s, x = as_box(sorted_sequence), as_box(input)
    if isinstance(sorted_sequence, Box) and options.get("sorter") is not None:
        order = options.pop("sorter")
        s = both(lambda t: t.gather(-1, order), s)
    low, high = torch.searchsorted(s.upper, x.lower, **options), torch.searchsorted(s.lower, x.upper, **options)
    return low if torch.equal(low, high) else Undecided(low, "searchsorted")


@rule("bucketize", formula=r"\#\{i : s_i < x\}", family="sorting", proven=True)
def bucketize(input: Any, boundaries: Any, **options: Any) -> Any:
    """As `searchsorted`, with its arguments exchanged."""
    return searchsorted(boundaries, input, **options)
