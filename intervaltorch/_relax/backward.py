"""The backward pass, from a value to the inputs that it was computed from (CROWN, Zhang et al. 2018)."""

from __future__ import annotations

import heapq
from typing import Any

import torch
from torch import Tensor

from .._records.registry import Box
from .._rounding import cast
from .nodes import Node, Totals

__all__ = ["bounds", "within"]

_ENTRIES = 2**24
"""How many coefficients a chunk of rows may have at the value that is bounded."""


def bounds(
    node: Node, like: Tensor, wanted: Tensor | None = None, account: dict[Node, float] | None = None
) -> Box:  # fmt: skip
    """Bounds of a value, or of some of its entries.

    Args:
        node: the node of the value.
        like: a tensor with the value's shape, dtype and device.
        wanted: a mask of the entries to bound; the others get infinite bounds.
        account: the contribution of each node to the total width is added here.
    """
    samples, count = _shared(node)
    places = torch.arange(like.numel()) if wanted is None else wanted.flatten().nonzero().flatten().cpu()
    rigorous = node.reach is not None
    dtype = torch.float64 if rigorous else like.dtype
    lower = torch.full((like.numel(),), -torch.inf, dtype=dtype, device=like.device)
    upper = torch.full((like.numel(),), torch.inf, dtype=dtype, device=like.device)
    if len(places):
        owners = torch.zeros_like(places) if samples is None else samples.expand(node.shape).flatten()[places]
        ranks = _ranks(owners)
        values = _rows(node, places, ranks, lower, count, account)
        column = torch.zeros_like(owners) if samples is None else owners
        height = values.shape[0] // 2
        lower = lower.index_put((places.to(like.device),), values[ranks, column])
        upper = upper.index_put((places.to(like.device),), 0.0 - values[height + ranks, column])
    lower, upper = (
        lower.nan_to_num(-torch.inf, torch.inf, -torch.inf),
        upper.nan_to_num(torch.inf, torch.inf, -torch.inf),
    )
    return Box(*(side.reshape(node.shape) for side in cast(lower, upper, like.dtype)))


def within(wide: Box, found: Box) -> Box:
    """Where two boxes of one value meet; the first one where rounding keeps them apart."""
    lower, upper = torch.maximum(wide.lower, found.lower), torch.minimum(wide.upper, found.upper)
    apart = (lower > upper).detach()
    return Box(torch.where(apart, wide.lower, lower), torch.where(apart, wide.upper, upper))


def _shared(node: Node) -> tuple[Any, int | None]:
    """The samples of a value, and how many there are; None for both if any node that it depends on mixes samples."""
    seen, count = set(), 1
    todo = [node]
    while todo:
        at = todo.pop()
        if at in seen:
            continue
        seen.add(at)
        if at.samples is None:
            return None, None
        count = max(count, int(at.samples.max()) if at.samples.numel() else 1)
        todo += at.parents
    return node.samples, count


def _ranks(owners: Tensor) -> Tensor:
    """The position of each entry among the entries of its sample."""
    order = owners.argsort(stable=True)
    counts = torch.bincount(owners)
    starts = counts.cumsum(0) - counts
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(owners)) - starts[owners[order]]
    return ranks


def _rows(
    node: Node, places: Tensor, ranks: Tensor, like: Tensor, count: int | None,
    account: dict[Node, float] | None,
) -> Tensor:  # fmt: skip
    """Lower bounds of the wanted entries, then of their negatives, `(2 ranks, samples)`."""
    height = int(ranks.max()) + 1
    step = max(1, _ENTRIES // max(1, like.numel()))
    chunks = []
    for side, sign in enumerate((1.0, -1.0)):
        for start in range(0, height, step):
            chosen = (ranks >= start) & (ranks < start + step)
            rows = torch.zeros(min(step, height - start), like.numel(), dtype=like.dtype, device=like.device)
            rows[ranks[chosen] - start, places[chosen]] = sign
            chunks.append(
                _least(node, rows.reshape(-1, *node.shape), Totals(count, side, node.reach is not None), account)
            )
    return torch.cat(chunks)


def _least(node: Node, rows: Tensor, totals: Totals, account: dict[Node, float] | None = None) -> Tensor:
    """A lower bound of `rows · value` for each row and sample."""
    pending: dict[Node, Tensor] = {node: rows}
    queue = [(-node.number, node)]
    total: Any = 0.0
    while queue:
        _, at = heapq.heappop(queue)
        pulled, constant = at.pull(pending.pop(at), totals)
        total = total + constant
        if account is not None and isinstance(constant, Tensor):
            account[at] = account.get(at, 0.0) - float(constant.detach().sum())
        for parent, part in zip(at.parents, pulled, strict=True):
            if parent in pending:
                pending[parent] = pending[parent] + part
                if totals.rigorous:
                    assert parent.reach is not None
                    totals.pay_for_products(pending[parent], parent.samples, parent.reach)
            else:
                pending[parent] = part
                heapq.heappush(queue, (-parent.number, parent))
    return totals.below(total) if totals.rigorous else total
