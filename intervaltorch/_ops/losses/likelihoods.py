r"""Negative log-likelihoods and a divergence. An argument occurs twice, but the hull has a closed form.

Entry by entry each function is convex, or falls and then rises, in one argument, and is monotone or linear in the
other. So it is largest at a corner, and least at a point given by a formula and pulled into the box. The computed point
may err by a few ulp. That changes the value in second order only, since the function is flat there.
"""

from __future__ import annotations

import functools
import math
from math import inf
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import _rounding as rounding
from ..._records.registry import Box
from ..._rounding import Budget
from ..._theorems.boxes import check_domain
from ..._theorems.families import rule
from ..._theorems.operands import as_tensors, operands, widest
from ..elementwise.arithmetic import add, clamp_min, square, sub
from . import programs
from .losses import _MEAN, _NONE, _reduced

_RECORD: dict[str, Any] = {"family": "loss", "proven": True}


def _pulled(point: Tensor, l: Tensor, u: Tensor) -> Tensor:
    """The point of [l, u] that is nearest to the one given."""
    return torch.maximum(torch.minimum(point, u), l)


def _range(lowest: list[tuple[Tensor, Tensor]], highest: list[tuple[Tensor, Tensor]], relative: float = 0) -> Box:
    """The least and the largest of some values. Each is given with the size of its terms, which scales its rounding."""
    lower = functools.reduce(torch.minimum, [value.nan_to_num(-inf, inf, -inf) for value, _ in lowest])
    upper = functools.reduce(torch.maximum, [value.nan_to_num(inf, inf, -inf) for value, _ in highest])
    if not rounding.outward():
        return Box(lower, upper)
    sizes = [functools.reduce(torch.maximum, [size.detach() for _, size in part]) for part in (lowest, highest)]
    known = Budget(relative=relative, input=8, absolute=8)
    return Box(*rounding.widen(lower, upper, known, (-inf, inf), *(size.nan_to_num(inf, inf) for size in sizes)))


@rule("kl_div", formula=r"y (\log y - x)", function=F.kl_div, torch_checks=True, affine_in=({"input"},), **_RECORD)
def kl_div(input: Any, target: Any, reduction: int = _MEAN, *, log_target: bool = False) -> Any:
    r"""The hull. The divergence falls in x, and in y is least at $y = e^{x - 1}$, or if log_target at $y = x - 1$."""
    x, y = operands(*widest(input, target))
    if not log_target:
        y = check_domain("kl_div", y, (0.0, inf))

    def value(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if log_target:
            # An exponential that underflows errs by the smallest normal number, times the other factor.
            info = torch.finfo(x.dtype)
            return torch.exp(y) * (y - x), (torch.exp(y) + info.tiny / info.eps) * ((y - x).abs() + 1)
        entropy = _negative_entropy(y)
        return entropy - y * x, entropy.abs() + (y * x).abs()

    turn = x.upper - 1
    if not log_target:  # cut where the turning point overflows: an infinite one would have no gradient
        turn = torch.exp(turn.clamp(max=math.floor(math.log(torch.finfo(turn.dtype).max))))
    lowest = [value(x.upper, _pulled(turn, y.lower, y.upper))]
    return _reduced(_range(lowest, [value(x.lower, end) for end in y]), reduction)


def _negative_entropy(y: Tensor) -> Tensor:
    """The product y log y, with gradient 0 at 0."""
    positive = y > 0
    return torch.where(positive, torch.xlogy(*[torch.where(positive, y, 1.0)] * 2), 0.0)


@rule(
    "poisson_nll_loss", formula=r"e^x - y x", function=F.poisson_nll_loss, sharp=False, torch_checks=True,
    affine_in=lambda full, **_: () if full else ({"target"},), parts=programs.poisson_nll_loss, **_RECORD,
)  # fmt: skip
def poisson_nll_loss(
    input: Any, target: Any, log_input: bool, full: bool, eps: float, reduction: int
) -> Any:  # fmt: skip
    r"""The hull, unless `full` is true and the target varies, which then occurs twice.

    The loss is linear in y. Its slope in y falls as x grows, and changes sign once, at a number z. Where y is positive,
    the loss is convex in x, with its minimum at log y if the input is a logarithm, else at $y - \epsilon$. Where y is
    not positive, it is monotone in x.
    """
    x, y = operands(*widest(input, target))
    if not log_input:
        x = check_domain("poisson_nll_loss", x, (-eps, inf))

    def value(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if log_input:
            return torch.exp(x) - y * x, torch.exp(x) + (y * x).abs()
        logarithm = torch.log(x + eps)
        return x - y * logarithm, x.abs() + y.abs() * (logarithm.abs() + 1 + _relative_error(x + eps, eps))

    zero = 0.0 if log_input else 1 - eps
    turns = [_log(end) if log_input else end - eps for end in y]
    right = _pulled(torch.maximum(turns[1], x.lower.clamp(min=zero)), x.lower, x.upper)
    left = _pulled(torch.minimum(turns[0], x.upper.clamp(max=zero)), x.lower, x.upper)
    corners = [value(a, b) for a in x for b in y]
    loss = _range([value(right, y.upper), value(left, y.lower)], corners)
    return _reduced(add(loss, _stirling(y)) if full else loss, reduction)


def _log(y: Tensor) -> Tensor:
    """The logarithm, -inf for y <= 0 with gradient 0."""
    positive = y > 0
    return torch.where(positive, torch.log(torch.where(positive, y, 1.0)), -inf)


@torch.no_grad()
def _relative_error(total: Tensor, eps: float) -> Tensor:
    """The error of the logarithm of a sum x + eps, in units of the dtype's eps; the dtype rounds the number `eps`.

    A sum as small as that rounding may have any sign. But no logarithm of a difference of two floats reaches 1000.
    """
    unit = torch.finfo(total.dtype).eps
    return torch.where(total > 2 * unit * eps, eps / total, 1000 / unit)


def _stirling(y: Box) -> Box:
    """The logarithm of the factorial as torch computes it: 0 up to 1, then Stirling's formula, which increases."""

    def value(y: Tensor) -> tuple[Tensor, Tensor]:
        y = y.clamp(min=1)
        terms = y * torch.log(y), 0.5 * torch.log(2 * math.pi * y)
        return terms[0] - y + terms[1], terms[0] + y + terms[1]

    lower, upper = _range([value(y.lower)], [value(y.upper)])
    lower = torch.where(y.upper <= 1, 0.0, torch.where(y.lower <= 1, lower.clamp(max=0), lower))
    return Box(lower, torch.where(y.upper <= 1, 0.0, torch.where(y.lower <= 1, upper.clamp(min=0), upper)))


@rule(
    F.gaussian_nll_loss, formula=r"\tfrac12 (\log v + (x - y)^2 / v)", torch_checks=True,
    parts=programs.gaussian_nll_loss, **_RECORD,
)  # fmt: skip
def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Any:  # fmt: skip
    """The hull. The loss increases in the squared distance, and is least where the variance equals that square."""
    input, target, var = widest(input, target, var)
    first = input.lower
    variance = as_tensors(var, Box(first, first))
    if variance.lower.shape != first.shape and variance.lower.shape == first.shape[:-1]:
        variance = Box(*(end.unsqueeze(-1) for end in variance))
    if variance.lower.shape != first.shape or reduction not in _REDUCTIONS:  # torch's own errors
        F.gaussian_nll_loss(first.detach(), target.lower.detach(), variance.upper.detach().abs(),
                            reduction=reduction)  # fmt: skip
    variance = check_domain("gaussian_nll_loss", variance, (0.0, inf))
    v, distance = clamp_min(variance, eps), square(sub(input, target))

    def value(s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        return 0.5 * (torch.log(v) + s / v), torch.log(v).abs() + s / v

    lowest = [value(distance.lower, _pulled(distance.lower, v.lower, v.upper))]
    loss = _range(lowest, [value(distance.upper, end) for end in v])
    return _reduced(add(loss, 0.5 * math.log(2 * math.pi)) if full else loss, _REDUCTIONS[reduction])


_REDUCTIONS = {"none": _NONE, "mean": _MEAN, "sum": 2}
