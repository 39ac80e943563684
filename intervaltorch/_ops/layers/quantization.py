r"""Quantisation of floating tensors as it is simulated in training: a staircase, increasing in its argument.

$q(x) = s (\operatorname{clamp}(\operatorname{round}(x / s) + z, q_{\min}, q_{\max}) - z)$ for a positive scale s (Jacob
et al. 2018, *Quantization and training of neural networks for efficient integer-arithmetic-only inference*, eq. 12).
The scale is a float32, as in torch, which takes a number to the nearest one whatever dtype is quantised. The gradient
is the one of torch: 1 inside the range and 0 outside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ... import _rounding as rounding
from ..._records.registry import Box
from ..._rounding import Budget
from ..._theorems.boxes import as_box
from ..._theorems.families import rule
from ..._theorems.operands import widened
from ...errors import DomainError, UnsupportedOpError

_RECORD: dict[str, Any] = {"family": "step", "proven": True}
_FORMULA = r"s (\operatorname{clamp}(\operatorname{round}(x / s) + z, q_{\min}, q_{\max}) - z)"


@rule("fake_quantize_per_tensor_affine", formula=_FORMULA, **_RECORD)
def fake_quantize_per_tensor_affine(input: Any, scale: Any, zero_point: Any, quant_min: int, quant_max: int) -> Box:
    """The hull, for a fixed positive scale."""
    _check(scale, zero_point)

    def quantize(x: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(x, scale, zero_point, quant_min, quant_max)

    return _staircase(quantize, as_box(input), scale, zero_point, quant_min, quant_max)


@rule("fake_quantize_per_channel_affine", formula=_FORMULA, **_RECORD)
def fake_quantize_per_channel_affine(
    input: Any, scale: Any, zero_point: Any, axis: int, quant_min: int, quant_max: int
) -> Box:
    """The hull, for fixed positive scales."""
    _check(scale, zero_point)
    x = as_box(input)

    def quantize(x: Tensor) -> Tensor:
        return torch.fake_quantize_per_channel_affine(x, scale, zero_point, axis, quant_min, quant_max)

    quantize(x.lower)  # torch checks that there is one scale to a channel
    along = [-1 if d == axis % x.lower.ndim else 1 for d in range(x.lower.ndim)]
    return _staircase(quantize, x, scale.reshape(along), zero_point.reshape(along), quant_min, quant_max)


def _check(scale: Any, zero_point: Any) -> None:
    if isinstance(scale, Box) or isinstance(zero_point, Box):
        raise UnsupportedOpError(
            "fake quantisation has an interval rule for a fixed scale and zero point",
            "a bound for one scale says nothing of another: pass the scale and the zero point of the model, as numbers"
            " or plain tensors",
        )
    if not bool((torch.as_tensor(scale) > 0).all()):
        raise DomainError("the scale of a quantisation is a positive number", f"it is {scale}")


def _staircase(quantize: Callable, x: Box, scale: Any, zero_point: Any, quant_min: int, quant_max: int) -> Box:
    """Both ends, cut to a step around the range beyond which nothing changes: torch converts the rest to integers."""
    lower, upper = x
    scale = torch.as_tensor(scale, dtype=torch.float32, device=lower.device)
    single = torch.finfo(torch.float32).eps / torch.finfo(lower.dtype).eps  # torch computes in float32
    if rounding.outward():
        # x * fl(1 / s) lies between the quotients of numbers two eps below and above x.
        budget = Budget(0, input=2 * single, absolute=2, cuda=0)
        lower, upper = rounding.widen(lower, upper, budget, at_lower=lower, at_upper=upper)
    low, high = ((scale * (end - zero_point)).to(lower.dtype) for end in (quant_min - 1, quant_max + 1))
    # A gradient passes where torch passes one: the cut is outside the range.
    ends = (quantize(torch.minimum(torch.maximum(end, low), high)) for end in (lower, upper))
    return widened(Box(*ends), rounding.ieee_budget(0.5 * single))
