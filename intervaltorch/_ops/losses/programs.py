"""Losses as programs of functions that have lines, for `Op.parts`.

Each program computes the function of its name in real arithmetic. It returns `NotImplemented` for arguments that it
does not take.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from ..._rounding import outward


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """The sum of products of both vectors divided by their norms; in nearest mode only."""
    if outward():  # the square of eps is rounded
        return NotImplemented
    x1, x2 = torch.broadcast_tensors(x1, x2)
    norms = (torch.square(x).sum(dim, keepdim=True).clamp(min=eps * eps) for x in (x1, x2))
    y1, y2 = (x * torch.rsqrt(norm) for x, norm in zip((x1, x2), norms))
    return (y1 * y2).sum(dim)


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: Any = 1
) -> Any:
    """log(1 + e^x) - x y; without weights."""
    if reduction not in (0, 1, 2) or pos_weight is not None or weight is not None:
        return NotImplemented
    return _reduced(F.softplus(input, threshold=1e4) - input * target, reduction)


def huber_loss(input: Any, target: Any, reduction: Any = 1, delta: float = 1.0) -> Any:
    """s² / 2 + δ (d - s) for the distance d and s = min(d, δ)."""
    if reduction not in (0, 1, 2):
        return NotImplemented
    size = (input - target).abs()
    near = size.clamp(max=delta)
    return _reduced(0.5 * torch.square(near) + delta * (size - near), reduction)


def smooth_l1_loss(input: Any, target: Any, reduction: Any = 1, beta: float = 1.0) -> Any:
    """The Huber loss divided by beta."""
    if beta <= 0:
        return NotImplemented
    loss = huber_loss(input, target, reduction, beta)
    return loss if loss is NotImplemented else loss / beta


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: Any = 1) -> Any:
    """-(y log x + (1 - y) log(1 - x)), with logarithms cut at -100; without weights."""
    if reduction not in (0, 1, 2) or weight is not None:
        return NotImplemented
    logs = (torch.log(x).clamp(min=-100) for x in (input, 1 - input))
    yes, no = logs
    return _reduced(-(target * yes + (1 - target) * no), reduction)


def poisson_nll_loss(input: Any, target: Any, log_input: Any, full: Any, eps: float, reduction: Any) -> Any:
    """e^x - y x, or x - y log(x + eps); without Stirling's term."""
    if full or reduction not in (0, 1, 2):
        return NotImplemented
    loss = torch.exp(input) - target * input if log_input else input - target * torch.log(input + eps)
    return _reduced(loss, reduction)


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: Any = "mean"
) -> Any:
    """(log v + (x - y)² / v) / 2 with v cut at eps; without the constant."""
    kinds = {"none": 0, "mean": 1, "sum": 2}
    if full or reduction not in kinds or not torch.is_tensor(var):
        return NotImplemented
    var = var.clamp(min=eps)
    loss = 0.5 * (torch.log(var) + torch.square(input - target) * torch.reciprocal(var))
    return _reduced(loss, kinds[reduction])


def _reduced(loss: Any, reduction: int) -> Any:
    """Apply a reduction, by ATen's number."""
    return (loss, loss.mean(), loss.sum())[reduction] if reduction else loss
