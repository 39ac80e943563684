"""Losses in which an argument occurs twice, so that composed rules would be loose. Others run through their bodies."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from math import inf
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import _rounding as rounding
from ..._compat import anywhere
from ..._records.registry import Box
from ..._rounding import Budget
from ..._theorems.boxes import absolute_range, as_box, both, check_domain, hull
from ..._theorems.families import rule
from ..._theorems.operands import rounded
from ...errors import UnsupportedOpError
from ..elementwise.arithmetic import add, div, mul, sub
from ..reductions.reductions import mean, sum_
from . import programs

_NONE, _MEAN, _SUM = 0, 1, 2  # ATen's numbers of the reductions


def _reduced(loss: Box, reduction: int) -> Any:
    """Apply a reduction to a loss."""
    return mean(loss) if reduction == _MEAN else sum_(loss) if reduction == _SUM else loss


# --- functions of the distance ----------------------------------------------------------------------------------------


def _of_distance(function: Any, input: Any, target: Any, reduction: int, *args: Any) -> Any:
    """A loss that increases with |input - target|."""
    ends = absolute_range(sub(as_box(input), target))
    lower, upper = (function(end, torch.zeros_like(end), *args, reduction="none") for end in ends)
    return _reduced(rounded(lower, upper, rounding.ieee_budget(3), (0.0, inf)), reduction)


@rule(
    "smooth_l1_loss", formula=r"\ell_\beta(|x - y|)", family="loss", proven=True, function=F.smooth_l1_loss,
    parts=programs.smooth_l1_loss,
)  # fmt: skip
def smooth_l1_loss(input: Any, target: Any, reduction: int = _MEAN, beta: float = 1.0) -> Any:
    """Increasing in the distance: the hull."""
    return _of_distance(
        lambda d, zero, reduction: F.smooth_l1_loss(d, zero, reduction=reduction, beta=beta), input, target, reduction
    )


@rule(
    "huber_loss", formula=r"h_\delta(|x - y|)", family="loss", proven=True, function=F.huber_loss, torch_checks=True,
    parts=programs.huber_loss,
)  # fmt: skip
def huber_loss(input: Any, target: Any, reduction: int = _MEAN, delta: float = 1.0) -> Any:
    """Increasing in the distance: the hull."""
    return _of_distance(
        lambda d, zero, reduction: F.huber_loss(d, zero, reduction=reduction, delta=delta), input, target, reduction
    )


# --- cross entropies of two classes -----------------------------------------------------------------------------------


def _over_corners(loss: Callable[..., Box], x: Box, *constants: Any) -> Box:
    """The hull of a loss that is linear in target and weights: its extremes over their boxes lie at corners.

    The widest dtype is used, so that conversions do not round.
    """
    ends = [tuple(c) if isinstance(c, Box) else (c,) for c in constants]
    tensors = [x.lower, *(c for end in ends for c in end if isinstance(c, Tensor))]
    wide = functools.reduce(torch.promote_types, [t.dtype for t in tensors])
    x = Box(x.lower.to(wide), x.upper.to(wide))
    corners = itertools.product(*([c if c is None else c.to(wide) for c in end] for end in ends))
    lower, upper = functools.reduce(hull, [loss(x, *corner) for corner in corners])
    kinds = [torch.result_type(tensors[0], t) for t in tensors]
    return Box(*rounding.cast(lower, upper, functools.reduce(torch.promote_types, kinds)))


def _unimodal(value: Any, x: Box, at: Tensor, budget: Budget, size: Any) -> Box:
    """The range of a function that falls up to `at` and rises from there."""
    lowest = torch.maximum(torch.minimum(at, x.upper), x.lower)
    lower, upper = value(lowest), torch.maximum(value(x.lower), value(x.upper))
    lower, upper = (
        lower.nan_to_num(nan=-inf, posinf=inf, neginf=-inf),
        upper.nan_to_num(nan=inf, posinf=inf, neginf=-inf),
    )
    if rounding.outward():
        extent = size(torch.maximum(x.lower.abs(), x.upper.abs()))
        lower, upper = rounding.widen(lower, upper, budget, at_lower=extent, at_upper=extent)
    return Box(lower, upper)


@rule(
    "binary_cross_entropy_with_logits", formula=r"-w (p y \log \sigma(x) + (1 - y) \log \sigma(-x))", family="loss",
    proven=True, function=F.binary_cross_entropy_with_logits,
    affine_in=({"target"}, {"weight"}, {"pos_weight"}), parts=programs.binary_cross_entropy_with_logits,
)  # fmt: skip
def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: int = _MEAN
) -> Any:  # fmt: skip
    """The hull. The loss is convex in the logit, and least where the probability is that of the target."""

    def loss(x: Box, y: Tensor, factor: Tensor | None) -> Box:
        def value(t: Tensor) -> Tensor:
            return F.binary_cross_entropy_with_logits(t, y, pos_weight=factor, reduction="none")

        positive = torch.ones_like(y) if factor is None else factor

        if anywhere(1 + (positive - 1) * y < 0):
            raise UnsupportedOpError(
                "binary_cross_entropy_with_logits is not convex for targets outside [0, 1] with this pos_weight",
                "clamp the targets to [0, 1]",
            )
        # The point may err by some ulp. The loss is flat there, so this changes the value in second order only, and the
        # point is a constant for autograd. For targets outside [0, 1] the loss is monotone.
        with torch.no_grad():
            at = torch.log((positive * y).clamp(min=0)) - torch.log1p(-y.clamp(max=1))
        terms = (1 + positive.abs()) * (1 + y.abs())
        return _unimodal(value, x, at.to(x.lower.dtype), Budget(relative=4, input=8), lambda size: (1 + size) * terms)

    result = _over_corners(loss, as_box(input), target, pos_weight)
    return _reduced(result if weight is None else mul(result, weight), reduction)


@rule(
    "binary_cross_entropy", formula=r"-w (y \log x + (1 - y) \log(1 - x))", family="loss", proven=True,
    function=F.binary_cross_entropy,
    affine_in=({"target"}, {"weight"}), parts=programs.binary_cross_entropy,
)  # fmt: skip
def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: int = _MEAN) -> Any:
    """The hull. The loss falls up to the target and rises from there. Logarithms are cut at -100, as in torch."""
    input = check_domain("binary_cross_entropy", input, (0.0, 1.0))

    def loss(x: Box, y: Tensor) -> Box:
        def value(t: Tensor) -> Tensor:
            return F.binary_cross_entropy(t, y, reduction="none")

        # For targets in [0, 1] both terms have one sign. For others they may cancel; each logarithm is at most 100.
        terms = torch.where((y < 0) | (y > 1), 100 * (1 + 2 * y.abs()), 0.0)
        return _unimodal(value, x, y, Budget(relative=8, input=8), lambda size: terms)

    result = _over_corners(loss, as_box(input), target)
    return _reduced(result if weight is None else mul(result, weight), reduction)


# --- margins ----------------------------------------------------------------------------------------------------------


@rule("multilabel_margin_loss", formula=r"\frac1n \sum_{j \in y, k \notin y} \max(0, 1 - x_j + x_k)", family="loss",
      proven=True, function=F.multilabel_margin_loss)  # fmt: skip
def multilabel_margin_loss(input: Box, target: Tensor, reduction: int = _MEAN) -> Any:
    """The hull. The loss falls in the scores of labels and rises in those of other classes."""
    return multilabel_margin_loss_forward(input, target, reduction)[0]


@rule(torch.ops.aten.multilabel_margin_loss_forward, family="loss", proven=True,
      formula=r"\frac1n \sum_{j \in y, k \notin y} \max(0, 1 - x_j + x_k)")  # fmt: skip
def multilabel_margin_loss_forward(input: Box, target: Tensor, reduction: int) -> tuple[Any, Tensor]:
    """The kernel of `multilabel_margin_loss`. Labels end at the first -1, which torch's own decomposition overlooks."""
    is_label = torch.ops.aten.multilabel_margin_loss_forward(input.lower, target, reduction)[1]
    scores, target, known = both(torch.atleast_1d, input), torch.atleast_1d(target), torch.atleast_1d(is_label).bool()
    counts = (target >= 0).to(torch.uint8).cumprod(-1).bool()  # labels end with the first -1
    labels = both(torch.gather, scores, -1, target.where(counts, 0))
    gaps = add(sub(1.0, both(torch.unsqueeze, labels, -1)), both(torch.unsqueeze, scores, -2))
    pairs = counts.unsqueeze(-1) & ~known.unsqueeze(-2)
    hinges = Box(*(torch.where(pairs, end.clamp(min=0), 0.0) for end in gaps))
    return _reduced(div(sum_(hinges, (-2, -1)), target.shape[-1]), reduction), is_label
