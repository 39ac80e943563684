"""Layer, group, batch and instance norms; `standardising.py` has the theorem."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F

from ... import _rounding as rounding
from ..._records.registry import Box
from ..._theorems.boxes import as_box
from ..._theorems.families import rule
from ...errors import UnsupportedOpError
from ..elementwise.arithmetic import add, mul, sub
from ..elementwise.elementary import rsqrt
from ..reductions.moments import var
from ..reductions.reductions import mean
from . import programs
from .standardising import check_eps, norm, reshaped, scaled

_CENTRED: dict[str, Any] = {
    "family": "normalization",
    "proven": True,
    "sharp": False,
    "torch_checks": True,
    "affine_in": ({"weight", "bias"},),
    "formula": r"w \frac{x - \bar x}{\sqrt{\mathrm{var} + \epsilon}} + b",
}


@rule("layer_norm", also=(F.layer_norm,), function=F.layer_norm, parts=programs.layer_norm, **_CENTRED)
def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Box:  # fmt: skip
    """Within ±√(n-1) before weight and bias. Exact for a point; else numerator and denominator are bounded apart."""
    input = as_box(input)
    dims = tuple(range(-len(tuple(normalized_shape)), 0))
    return scaled(norm(input, dims, eps), weight, bias)


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
    return reshaped(norm(rows, -1, eps), *shape)


def _by_channel(parameter: Any, ndim: int) -> Any:
    """Shape a parameter with one value for each channel for broadcasting against (batch, channels, ...)."""
    return reshaped(parameter, -1, *[1] * (ndim - 2))


@rule("group_norm", also=(F.group_norm,), function=F.group_norm, parts=programs.group_norm, **_CENTRED)
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


def _affine(running_mean: Any, training: bool = False, use_input_stats: bool = False, **_: Any) -> tuple[set[str], ...]:
    """Affine in the input too, with statistics that are not its own."""
    fixed = running_mean is not None and not training and not use_input_stats
    return ({"input", "bias"}, {"weight", "bias"}) if fixed else ({"weight", "bias"},)


_BATCH: dict[str, Any] = {
    **_CENTRED, "formula": r"w \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + b", "affine_in": _affine,
}  # fmt: skip


@rule(F.batch_norm, parts=programs.batch_norm, **_BATCH)
def functional_batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Box:  # fmt: skip
    """The hull with running statistics. By its own batch as `layer_norm`; refused if it updates those."""
    shape = as_box(input).lower.shape
    if training and shape[:1].numel() * shape[2:].numel() == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {shape}")
    return batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)


@rule("batch_norm", parts=programs.batch_norm, **_BATCH)
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
    return scaled(norm(x, dims, eps), *(_by_channel(p, x.lower.ndim) for p in (weight, bias)))


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


@rule(F.instance_norm, parts=programs.instance_norm, **{**_CENTRED, "affine_in": _affine})
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


@rule("instance_norm", parts=programs.instance_norm, **{**_CENTRED, "affine_in": _affine})
def instance_norm(
    input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, use_input_stats: bool, momentum: float,
    eps: float, cudnn_enabled: bool = True,
) -> Box:  # fmt: skip
    """As `torch.nn.functional.instance_norm`, with the arguments in ATen's order."""
    return functional_instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)
