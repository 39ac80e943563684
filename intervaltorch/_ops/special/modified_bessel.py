"""Modified Bessel functions. I grows and K falls like an exponential; divided by it they vary slowly.

Budgets are at least twice the worst error measured against values of high precision.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import torch
from torch import Tensor

from ..._compat import forward_mode
from ..._rounding import Budget
from ..._theorems.families import decreasing, increasing, piecewise_monotone


class _WithSlope(torch.autograd.Function):
    """A function with a derivative that torch does not know, written so that `torch.func` accepts it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, value: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor]) -> Tensor:
        return value(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        x, _, ctx.slope = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0] * ctx.slope(ctx.saved_tensors[0]), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return tangents[0] * ctx.slope(ctx.saved_tensors[0])


def with_slope(value: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Give a function on plain tensors its derivative."""

    def evaluate(x: Tensor) -> Tensor:
        differentiates = (x.requires_grad and torch.is_grad_enabled()) or forward_mode()
        return _WithSlope.apply(x, value, slope) if differentiates else value(x)

    return evaluate


# --- I0, I1 -----------------------------------------------------------------------------------------------------------


def _unscaled(near: Callable[[Tensor], Tensor], scaled: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The unscaled function; beyond 60 as e^(|x|/2) (e^(|x|/2) f), with f the scaled function.

    torch's e^|x| overflows before the product does.
    """

    def evaluate(x: Tensor) -> Tensor:
        far = x.abs() > 60
        root = torch.exp(x.abs().clamp(60, 1500) / 2)
        return torch.where(far, root * (root * scaled(x.clamp(-1500, 1500))), near(torch.where(far, 0.0, x)))

    return evaluate


# The image stated is a little wider than the true one, because torch's I0(0) lies some eps below 1.
piecewise_monotone(
    "i0", "modified_bessel_i0", formula=r"I_0(x)", critical=(0.0,), image=(1 - 2.0**-20, inf), curvature="convex",
    function=_unscaled(torch.special.i0, torch.special.i0e), budget=Budget(8), torch_checks=True,
)  # fmt: skip
increasing(
    "i1", "modified_bessel_i1", formula=r"I_1(x)", function=_unscaled(torch.special.i1, torch.special.i1e),
    budget=Budget(20), torch_checks=True,
    curvature="concave", inflections=(0.0,),
)  # fmt: skip
piecewise_monotone(
    "i0e", formula=r"e^{-|x|} I_0(x)", critical=(0.0,), image=(0.0, 1.0), budget=Budget(8), curvature="convex",
    inflections=(0.0, 0.0),
)  # fmt: skip

PEAK_OF_I1E = 1.5451272579925426  # the root of I0(x) = (1 + 1/x) I1(x)
I1E_BENDS = 2.7814929353479470786  # where its second derivative is 0

piecewise_monotone(
    "i1e", formula=r"e^{-|x|} I_1(x)", critical=(-PEAK_OF_I1E, PEAK_OF_I1E), image=(-0.2191, 0.2191),
    budget=Budget(20),
    curvature="concave", inflections=(-I1E_BENDS, 0.0, I1E_BENDS),
)  # fmt: skip

# --- K0, K1 -----------------------------------------------------------------------------------------------------------


def _from_zero(function: Callable[[Tensor], Tensor], near: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Use the first term of the expansion at 0 for subnormal arguments, whose halves torch rounds to 0."""

    def evaluate(x: Tensor) -> Tensor:
        tiny = torch.finfo(x.dtype).tiny
        return torch.where(x < tiny, near(x), function(x.clamp(min=tiny)))

    return evaluate


def _log_near(x: Tensor) -> Tensor:
    """K0 near 0."""
    return 0.11593151565841245 - torch.log(x)  # log 2 - γ


def _inverse_near(x: Tensor) -> Tensor:
    """K1 near 0."""
    return 1 / x.abs()  # 1 / -0.0 would be -inf


k0 = _from_zero(torch.special.modified_bessel_k0, _log_near)
k1 = _from_zero(torch.special.modified_bessel_k1, _inverse_near)
k0e = _from_zero(torch.special.scaled_modified_bessel_k0, _log_near)
k1e = _from_zero(torch.special.scaled_modified_bessel_k1, _inverse_near)


def _falling(name: str, formula: str, function: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor]) -> None:
    """Register one of the K, with its derivative."""
    decreasing(
        name, formula=formula, function=with_slope(function, slope), domain=(0.0, inf), image=(0.0, inf),
        curvature="convex", budget=Budget(12),
    )  # fmt: skip


_falling("modified_bessel_k0", "K_0(x)", k0, lambda x: -k1(x))
_falling("modified_bessel_k1", "K_1(x)", k1, lambda x: -k0(x) - k1(x) / x)
_falling("scaled_modified_bessel_k0", "e^x K_0(x)", k0e, lambda x: k0e(x) - k1e(x))
_falling("scaled_modified_bessel_k1", "e^x K_1(x)", k1e, lambda x: k1e(x) - k0e(x) - k1e(x) / x)
