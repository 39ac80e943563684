r"""Fake quantisation, which simulates quantisation in training: a staircase that increases in its argument.

$q(x) = s (\operatorname{clamp}(\operatorname{round}(x / s) + z, q_{\min}, q_{\max}) - z)$ for a positive scale s (Jacob
et al. 2018, *Quantization and training of neural networks for efficient integer-arithmetic-only inference*, eq. 12).
The scale is a float32 whatever dtype is quantised: as in torch, a Python number is rounded to the nearest float32. The
gradient is that of torch: 1 inside the range and 0 outside.
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

    quantize(x.lower)  # torch checks that there is one scale for each channel
    along = [-1 if d == axis % x.lower.ndim else 1 for d in range(x.lower.ndim)]
    return _staircase(quantize, x, scale.reshape(along), zero_point.reshape(along), quant_min, quant_max)


def _check(scale: Any, zero_point: Any) -> None:
    """Check that scale and zero point are fixed and that the scale is positive."""
    if isinstance(scale, Box) or isinstance(zero_point, Box):
        raise UnsupportedOpError(
            "fake quantisation has no interval rule for a scale or zero point that is a box",
            "pass the scale and the zero point of the model as numbers or plain tensors",
        )
    if not bool((torch.as_tensor(scale) > 0).all()):
        raise DomainError(f"fake quantisation needs a positive scale, but the scale is {scale}", "pass a scale > 0")


def _staircase(quantize: Callable, x: Box, scale: Any, zero_point: Any, quant_min: int, quant_max: int) -> Box:
    """Quantise both ends.

    They are first cut to one step beyond the range, where values no longer change, since torch converts to integers.
    """
    lower, upper = x
    scale = torch.as_tensor(scale, dtype=torch.float32, device=lower.device)
    single = torch.finfo(torch.float32).eps / torch.finfo(lower.dtype).eps  # torch computes in float32
    if rounding.outward():
        # x * fl(1 / s) lies between the quotients by s of two numbers two eps below and above x.
        budget = Budget(0, input=2 * single, absolute=2, cuda=0)
        lower, upper = rounding.widen(lower, upper, budget, at_lower=lower, at_upper=upper)
    low, high = ((scale * (end - zero_point)).to(lower.dtype) for end in (quant_min - 1, quant_max + 1))
    # The cut lies outside the range, so gradients pass where torch passes them.
    ends = (quantize(torch.minimum(torch.maximum(end, low), high)) for end in (lower, upper))
    return widened(Box(*ends), rounding.ieee_budget(0.5 * single))
