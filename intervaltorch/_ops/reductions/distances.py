"""Distances between rows. The entries of a difference are independent, so their norm is the hull."""

from __future__ import annotations

from typing import Any

import torch

from ..._records.registry import Box
from ..._theorems.boxes import as_box, both
from ..._theorems.families import rule
from ..elementwise.arithmetic import sub
from .moments import vector_norm


@rule("cdist", torch.cdist, formula=r"\|x_i - y_j\|_p", family="reduction", proven=True, torch_checks=True)
def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: Any = None) -> Any:
    """The hull, for all pairs of rows: a norm of differences of independent entries."""
    first, second = as_box(x1), as_box(x2)
    difference = sub(
        Box(first.lower.unsqueeze(-2), first.upper.unsqueeze(-2)),
        Box(second.lower.unsqueeze(-3), second.upper.unsqueeze(-3)),
    )
    return vector_norm(difference, p, -1)


@rule(
    "pdist",
    "_pdist_forward",
    formula=r"\|x_i - x_j\|_p",
    functional=True,
    family="linear algebra",
    proven=True,
    torch_checks=True,
)
def pdist(input: Box, p: float = 2) -> Box:
    """The hull, for the pairs i < j: a norm of differences of independent entries."""
    if input.lower.ndim != 2:
        raise RuntimeError("pdist only supports 2D tensors")
    i, j = torch.triu_indices(len(input.lower), len(input.lower), 1, device=input.lower.device)
    return vector_norm(sub(both(lambda t: t[i], input), both(lambda t: t[j], input)), p, -1)
