r"""Normalisation: numerator and denominator share the entries, so they are bounded together.

Let $y_i = c_i / \sqrt{S/n + \epsilon}$ with $c = x - \bar x$ and $S = \sum_j c_j^2$. The deviations of the other
entries sum to $-c_i$, so $S \ge \frac{n}{n-1} c_i^2$ and

$$y_i \le c / \sqrt{\max(\underline S / n, c^2 / (n-1)) + \epsilon} \text{ for } c = \max c_i \ge 0, \qquad
y_i \le c / \sqrt{\overline S / n + \epsilon} \text{ otherwise,}$$

The bound is at most $\sqrt{n-1}$, and exact for a single point. The bounds of $c_i$ and of S are best possible from
below and nearly so from above, but a point of the box need not reach both: that is all that is lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from math import inf
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import _rounding as rounding
from ..._compat import anywhere, readable
from ..._records.registry import Box
from ..._rounding import CORRECTLY_ROUNDED, ieee_budget, untracked
from ..._theorems.boxes import as_box, ordered, share
from ..._theorems.families import rule
from ..._theorems.sums import above, below, size_of_reduction
from ...errors import DomainError, UnsupportedOpError
from ..elementwise.arithmetic import add, mul, sub
from ..elementwise.elementary import rsqrt
from ..reductions.moments import deviations, var
from ..reductions.reductions import mean

TWO_OPERATIONS = ieee_budget(1)
Divisor = Callable[[Tensor], Tensor]


def reshaped(x: Any, *shape: int) -> Any:
    """A box or tensor in another shape; None stays None."""
    return (
        Box(x.lower.reshape(shape), x.upper.reshape(shape))
        if isinstance(x, Box)
        else x
        if x is None
        else x.reshape(shape)
    )


def clipped(lower: Tensor, upper: Tensor, limit: float) -> Box:
    """Cut bounds to [-limit, limit]. NaN, from 0 / 0, becomes the limit."""
    if rounding.outward():
        limit = rounding.neighbour(limit if limit.is_integer() else math.nextafter(limit, inf), lower.dtype, inf)
    return ordered(lower.nan_to_num(nan=-limit).clamp(-limit, limit), upper.nan_to_num(nan=limit).clamp(-limit, limit))


def quotients(x: Box, least: Divisor, most: Divisor, limit: float) -> Box:
    """Divide x by a divisor that lies between `least(x)` and `most(x)`.

    A positive upper end is divided by the least divisor, a negative one by the greatest. One of the two summands is 0.
    """
    upper = x.upper.clamp(min=0) / least(x.upper) + x.upper.clamp(max=0) / most(x.upper)
    lower = x.lower.clamp(max=0) / least(x.lower) + x.lower.clamp(min=0) / most(x.lower)
    return clipped(below(lower, CORRECTLY_ROUNDED), above(upper, CORRECTLY_ROUNDED), limit)


def root(x: Tensor, positive: bool) -> Tensor:
    """The square root, with gradient 0 at 0 if x may be 0 there."""
    return x.sqrt() if positive else torch.where(x > 0, torch.where(x > 0, x, 1.0).sqrt(), 0.0)


def root_below(x: Tensor, eps: float) -> Tensor:
    """A lower bound of the root of x + eps, also where x overflowed."""
    if not rounding.outward():
        return root((x + eps).clamp(max=torch.finfo(x.dtype).max), eps > 0)
    # The argument and its root are not negative in real arithmetic. The cuts are constants for autograd.
    inner = below(x + eps, TWO_OPERATIONS)
    untracked(inner).clamp_(min=0)
    lowest = below(root(inner, eps > 0), TWO_OPERATIONS)
    untracked(lowest).clamp_(min=0)
    return lowest


def root_above(x: Tensor, eps: float) -> Tensor:
    """An upper bound of the root of x + eps."""
    return above(root(above(x + eps, TWO_OPERATIONS), eps > 0), TWO_OPERATIONS)


def check_eps(eps: float, degenerate: Tensor | None) -> None:
    """Refuse a norm that divides by 0 at a point of the box, or by the root of a negative number.

    Raises:
        DomainError: if eps is negative, or 0 where `degenerate` says that the entries may have no spread.
    """
    if eps < 0:
        raise DomainError(f"a norm with eps={eps:g} takes the root of a number that may be negative", "pass eps >= 0")
    if degenerate is not None and readable(degenerate) and anywhere(degenerate):
        raise DomainError(
            f"a norm with eps={eps:g} is 0 / 0 at a point of the box",
            share(degenerate, "contain such a point"),
            "pass eps > 0, or keep the box away from points whose entries are all equal (all 0, for a norm that"
            " subtracts no mean)",
        )


def scaled(y: Box, weight: Any, bias: Any) -> Box:
    """Apply the weight and the bias of a norm."""
    y = y if weight is None else mul(y, weight)
    return y if bias is None else add(y, bias)


# --- mean-centred norms -----------------------------------------------------------------------------------------------


def own_share(z: Box, share: Any) -> Tensor:
    """A lower bound of this share of the width of each entry; 0 where the width overflows."""
    return below(((z.upper - z.lower) * share).nan_to_num(0.0, 0.0), ieee_budget(2))


def standardise(x: Box, dim: Any, eps: float) -> Box:
    r"""Bound $(x - \bar x) / \sqrt{\mathrm{var}(x) + \epsilon}$ over some dimensions; see the top of this file.

    Where the quotient is 0 / 0 at a point of the box, the result bounds the other points only. Callers refuse such a
    box or drop the result.
    """
    n = size_of_reduction(x.lower, x.lower.sum(dim))
    found = deviations(x, dim, exact=n <= 64)  # a search among more would take longer than the rest
    z = found.centred
    # c_i = x_i - mean = (n-1)/n x_i - (sum of the others)/n, where x_i occurs once.
    average, own = mean(z, dim, keepdim=True), own_share(z, 1 / n)
    upper = above(above(z.upper - average.lower, CORRECTLY_ROUNDED) - own, CORRECTLY_ROUNDED)
    lower = below(below(z.lower - average.upper, CORRECTLY_ROUNDED) + own, CORRECTLY_ROUNDED)
    most = found.most.clamp(max=torch.finfo(found.most.dtype).max)  # no gradient flows where it is infinite
    smallest, largest = below(_square(found.least) / n, TWO_OPERATIONS), above(most.square() / n, TWO_OPERATIONS)
    greatest = root_above(largest, eps)

    def least(end: Tensor) -> Tensor:
        return root_below(torch.maximum(smallest, below(_square(end) / max(1, n - 1), TWO_OPERATIONS)), eps)

    return quotients(Box(lower, upper), least, lambda end: greatest, math.sqrt(max(0, n - 1)))


def _square(x: Tensor) -> Tensor:
    """A lower bound of the square. Where the square overflows, the largest number is one."""
    return x.square().clamp(max=torch.finfo(x.dtype).max)


def _norm(x: Box, dim: Any, eps: float) -> Box:
    """Standardise over some dimensions; refuse a box that contains a point at which the norm is 0 / 0."""
    check_eps(eps, x.lower.amax(dim) <= x.upper.amin(dim) if eps == 0 and x.lower.numel() else None)
    return standardise(x, dim, eps)


_CENTRED: dict[str, Any] = {
    "family": "normalization",
    "proven": True,
    "sharp": False,
    "torch_checks": True,
    "formula": r"w \frac{x - \bar x}{\sqrt{\mathrm{var} + \epsilon}} + b",
}


@rule("layer_norm", also=(F.layer_norm,), function=F.layer_norm, **_CENTRED)
def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Box:  # fmt: skip
    """Within ±√(n-1) before weight and bias. Exact for a point; else numerator and denominator are bounded apart."""
    input = as_box(input)
    dims = tuple(range(-len(tuple(normalized_shape)), 0))
    return scaled(_norm(input, dims, eps), weight, bias)


@rule(torch.ops.aten.native_layer_norm, torch.native_layer_norm, **_CENTRED)
def native_layer_norm(input: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float) -> tuple[Box, Box, Box]:
    """As `layer_norm`, with mean and reciprocal standard deviation."""
    input = as_box(input)
    dims = tuple(range(-len(tuple(normalized_shape)), 0))
    return layer_norm(input, normalized_shape, weight, bias, eps), *_statistics(input, dims, eps)


def _statistics(x: Box, dims: Any, eps: float) -> tuple[Box, Box]:
    """Mean and reciprocal standard deviation."""
    return mean(x, dims, keepdim=True), rsqrt(add(var(x, dims, correction=0, keepdim=True), eps))


def _grouped(x: Box, groups: int, eps: float) -> Box:
    """Standardise each group of channels of each sample."""
    shape = x.lower.shape
    rows = reshaped(x, shape[0], groups, math.prod(shape[1:]) // groups)
    return reshaped(_norm(rows, -1, eps), *shape)


def _by_channel(parameter: Any, ndim: int) -> Any:
    """Shape a parameter with one value for each channel for broadcasting against (batch, channels, ...)."""
    return reshaped(parameter, -1, *[1] * (ndim - 2))


@rule("group_norm", also=(F.group_norm,), function=F.group_norm, **_CENTRED)
def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn_enabled: bool = True
) -> Box:  # fmt: skip
    """As `layer_norm`, over groups of channels."""
    input = as_box(input)
    ndim = input.lower.ndim
    return scaled(_grouped(input, num_groups, eps), _by_channel(weight, ndim), _by_channel(bias, ndim))


@rule(torch.ops.aten.native_group_norm, torch.native_group_norm, **_CENTRED)
def native_group_norm(
    input: Any, weight: Any, bias: Any, N: int, C: int, HxW: int, group: int, eps: float
) -> tuple[Box, Box, Box]:  # fmt: skip
    """As `group_norm`, with mean and reciprocal standard deviation."""
    input = as_box(input)
    centre, scale = _statistics(reshaped(input, N, group, C * HxW // group), -1, eps)
    return group_norm(input, group, weight, bias, eps), reshaped(centre, N, group), reshaped(scale, N, group)


# --- batch norm -------------------------------------------------------------------------------------------------------


def _check_untouched(name: str, momentum: float) -> None:
    """Refuse to update running statistics with a box. A momentum of 0 leaves them as they are."""
    if momentum != 0:
        raise UnsupportedOpError(
            f"{name} in training mode would update its running statistics, which are plain tensors, with intervals",
            "to normalise by the running statistics: model.eval()",
            "to normalise by the batch: set momentum = 0 on the layer while boxes run, which leaves the running"
            " statistics alone, or make the layer with track_running_stats=False",
        )


def _inference_norm(input: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Box:
    """The hull of an affine map of each channel."""
    check_eps(eps, None)
    x = as_box(input)
    mean, var, weight, bias = (_by_channel(p, x.lower.ndim) for p in (mean, var, weight, bias))
    if rounding.outward() or isinstance(var, Box) or isinstance(weight, Box):
        scale = rsqrt(add(var if isinstance(var, Box) else Box(var, var), eps))
        return scaled(mul(sub(x, mean), scale if weight is None else mul(scale, weight)), None, bias)
    scale = torch.rsqrt(var + eps)
    return scaled(sub(x, mean), scale if weight is None else scale * weight, bias)


_BATCH: dict[str, Any] = {**_CENTRED, "formula": r"w \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + b"}


@rule(F.batch_norm, **_BATCH)
def functional_batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Box:  # fmt: skip
    """The hull with running statistics. By its own batch as `layer_norm`; refused if it updates those."""
    shape = as_box(input).lower.shape
    if training and shape[:1].numel() * shape[2:].numel() == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {shape}")
    return batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)


@rule("batch_norm", **_BATCH)
def batch_norm(
    input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float,
    eps: float, cudnn_enabled: bool = True,
) -> Box:  # fmt: skip
    """As `torch.nn.functional.batch_norm`, with the arguments in ATen's order."""
    if not training and running_mean is not None and running_var is not None:
        return _inference_norm(input, running_mean, running_var, weight, bias, eps)
    if running_mean is not None or running_var is not None:
        _check_untouched("batch_norm", momentum)
    x = as_box(input)
    dims = tuple(d for d in range(x.lower.ndim) if d != 1)
    return scaled(_norm(x, dims, eps), *(_by_channel(p, x.lower.ndim) for p in (weight, bias)))


@rule("native_batch_norm", **_BATCH)
def native_batch_norm(
    input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float, eps: float
) -> tuple[Box, Any, Any]:  # fmt: skip
    """As `batch_norm`, with the statistics of the batch in training."""
    y = batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)
    if not training:
        return y, y.lower.new_empty(0), y.lower.new_empty(0)
    dims = tuple(d for d in range(y.lower.ndim) if d != 1)
    return y, *(reshaped(statistic, -1) for statistic in _statistics(as_box(input), dims, eps))


@rule(torch.ops.aten._native_batch_norm_legit_no_training, **{**_BATCH, "sharp": True})
def native_batch_norm_inference(
    input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, momentum: float, eps: float
) -> tuple[Box, Any, Any]:  # fmt: skip
    """The hull. Exported programs call this kernel of `batch_norm`."""
    return native_batch_norm(input, weight, bias, running_mean, running_var, False, momentum, eps)


@rule(F.instance_norm, **_CENTRED)
def functional_instance_norm(
    input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
    use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Box:  # fmt: skip
    """As `layer_norm` over the positions of a channel; the hull with running statistics."""
    if not use_input_stats:
        return _inference_norm(input, running_mean, running_var, weight, bias, eps)
    if running_mean is not None or running_var is not None:
        _check_untouched("instance_norm", momentum)
    shape = as_box(input).lower.shape
    if shape[2:].numel() == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {shape}")
    return group_norm(input, shape[1], weight, bias, eps)


@rule("instance_norm", **_CENTRED)
def instance_norm(
    input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, use_input_stats: bool, momentum: float,
    eps: float, cudnn_enabled: bool = True,
) -> Box:  # fmt: skip
    """As `torch.nn.functional.instance_norm`, with the arguments in ATen's order."""
    return functional_instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)
