"""Slopes chosen by gradient steps (alpha-CROWN, Xu et al. 2021), for any function of one argument.

A line of any slope is sound with the intercept that `lines` computes for it. So slopes are free parameters. Each step
moves them along the gradient of the width of the bounds. The bounds of every step are sound, and the best are kept,
entry by entry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._records.registry import Box
from . import backward
from .nodes import Node, Through

__all__ = ["optimised"]


def reachable(node: Node) -> list[Node]:
    """A node and all nodes that it depends on."""
    seen: dict[Node, None] = {}
    todo = [node]
    while todo:
        at = todo.pop()
        if at not in seen:
            seen[at] = None
            todo += at.parents
    return list(seen)


def optimised(
    node: Node, like: Tensor, start: Box, iterations: int = 20, rate: float = 0.1,
    report: Callable[[int, Box], Any] | None = None,
) -> Box:  # fmt: skip
    """The best bounds that are seen while slopes are moved.

    Args:
        node: the node of the value to bound.
        like: a tensor with the value's shape, dtype and device.
        start: bounds to improve on.
        iterations: how many steps are made.
        rate: the learning rate of Adam.
        report: called with the number of each step and its bounds.
    """
    free = [at for at in reachable(node) if isinstance(at, Through)]
    if not free:
        return start
    best = start
    with torch.enable_grad():
        chosen = [[part.detach().clone().requires_grad_() for part in _slopes(at)] for at in free]
        flat = [part for parts in chosen for part in parts]
        steps = torch.optim.Adam(flat, rate)
        for step in range(iterations):
            for at, (a, b, c, d) in zip(free, chosen, strict=True):
                at.lines = at.free.at(a, b), at.free.at(c, d)
            box = backward.bounds(node, like)
            best = Box(torch.maximum(best.lower, box.lower), torch.minimum(best.upper, box.upper))
            if report is not None:
                report(step, box)
            width = (box.upper - box.lower).clamp(max=torch.finfo(like.dtype).max).sum()
            gradients = torch.autograd.grad(width, flat, allow_unused=True, materialize_grads=True)
            for part, gradient in zip(flat, gradients, strict=True):
                part.grad = gradient.nan_to_num(0.0, 0.0, 0.0)
            steps.step()
            with torch.no_grad():
                for at, parts in zip(free, chosen, strict=True):
                    for part in parts:
                        part.copy_(torch.minimum(torch.maximum(part, at.free.least), at.free.greatest))
    return best


def _slopes(at: Through) -> list[Tensor]:
    """The slopes of the lines below and above, for lower and then for upper bounds."""
    return [slope for found in at.lines for slope in (found.lower_slope, found.upper_slope)]
