r"""Error budgets and directed rounding: the only arithmetic that touches the last bit of a bound.

With $u$ the unit roundoff, $\varepsilon = 2u$ and $\eta$ the smallest normal number, the computed value
$\hat y$ of an elementwise function obeys, by the `Budget` of its record,

$$|\hat y - f(x)| \le k\,\varepsilon\,|\hat y| + s\,\varepsilon\,|x| + a\,\eta ,$$

and sums and products of matrices obey the $\gamma$ bounds of Higham (2002), *Accuracy and Stability
of Numerical Algorithms*, section 3.1, whatever the order of summation:
$\gamma_n = nu/(1 - nu)$.

Every widening is a constant for autograd: gradients pass through unchanged, and the backward pass keeps nothing more.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._compat import forward_mode
from ..errors import UnprovenOpError
from .conditions import check_precision

__all__ = ["CORRECTLY_ROUNDED", "EXACT", "Budget"]

inf = float("inf")


@dataclasses.dataclass(frozen=True)
class Budget:
    """How far a computed elementwise value may lie from the real one.

    The error is at most `relative`·eps·abs(y) + `input`·eps·abs(x) + `absolute`·tiny, where `eps` and `tiny`
    are those of the dtype's `torch.finfo`, y is the computed value and x the (largest) argument.

    Args:
        relative: error in units of eps·abs(y); 1/2 for a correctly rounded result.
        input: error in units of eps·abs(x).
        absolute: error in units of the smallest normal number; 1 covers a gradual underflow.
        cuda: replaces `relative` for values computed by CUDA, in float32 and float64; None if unknown.

    Example:
        >>> Budget(relative=2)
        Budget(relative=2, input=0, absolute=1, cuda=None)
    """

    relative: float = 0
    input: float = 0
    absolute: float = 1
    cuda: float | None = None

    def on(self, device: torch.device) -> Budget | None:
        """Return the budget of values that this device computes, None if the budget is unknown.

        Budgets of CPUs are measured. Tensors on the meta device have no values, so any budget is right for them.
        """
        if self == EXACT or device.type in ("cpu", "meta"):
            return self
        if device.type == "cuda" and torch.version.hip is None and self.cuda is not None:
            return dataclasses.replace(self, relative=self.cuda)
        return None


EXACT = Budget(0, 0, 0)
"""The budget of an operation that commits no rounding error."""


def ieee_budget(relative: float, input: float = 0, absolute: float = 1) -> Budget:
    """The budget of operations of IEEE 754: sums, products, quotients and square roots. It holds for CUDA too."""
    return Budget(relative, input, absolute, cuda=relative)


CORRECTLY_ROUNDED = ieee_budget(0.5)
"""The budget of the four operations and the square root of IEEE 754."""


def unit(dtype: torch.dtype) -> float:
    """Return the unit roundoff u of a floating dtype: half the distance from 1 to the next number."""
    return torch.finfo(dtype).eps / 2


def gamma(n: int, dtype: torch.dtype) -> float:
    """Return Higham's γ(n) = nu / (1 - nu), with room for its own rounding.

    Raises:
        UnprovenOpError: if nu >= 1/2, because so long a sum has no useful bound in this dtype; or if torch may compute
            in less than this dtype's precision.
    """
    check_precision(dtype)
    nu = n * unit(dtype)
    if nu >= 0.5:
        raise UnprovenOpError(
            f"a sum of {n} terms has no rounding error bound in {dtype}", "convert the inputs to a wider dtype"
        )
    return nu / (1 - nu) * (1 + 4 * torch.finfo(torch.float64).eps)


def down(y: Tensor, error: Tensor | float, overflow: float = 2.0**-10) -> Tensor:
    """Return a number at most y - error, as a constant shift for autograd; -inf where either is NaN.

    The subtraction errs by half an ulp of its result, at most u(|y| + error). The caller's `error` must contain
    eps/2·|y| for this error, as `slack` does. Where y overflowed to +inf, the real value may be finite: it is at
    least the largest finite number less the relative error of y. `overflow` must exceed this relative error.
    """
    lower = y - error
    largest = torch.finfo(lower.dtype).max * (1 - overflow)
    lower.detach().nan_to_num_(nan=-inf, posinf=largest, neginf=-inf)
    return lower


def up(y: Tensor, error: Tensor | float, overflow: float = 2.0**-10) -> Tensor:
    """Return a number at least y + error; the mirror image of `down`."""
    upper = y + error
    largest = torch.finfo(upper.dtype).max * (1 - overflow)
    upper.detach().nan_to_num_(nan=inf, posinf=inf, neginf=-largest)
    return upper


@torch.no_grad()
def slack(y: Tensor, budget: Budget, x: Tensor | None = None) -> Tensor:
    """Return the error of a computed y by its budget, and half an eps·|y| + tiny for `down` and `up`.

    The products and sums here have non-negative terms and err by less than 8u relative to their value, which the factor
    1 + 8 eps covers. For an overflowed y the error is that of the largest finite number.
    """
    info = torch.finfo(y.dtype)
    room = 1 + 8 * info.eps
    error = y.abs().clamp_(max=info.max).mul_((budget.relative + 0.5) * info.eps * room)
    if budget.input and x is not None:
        error = error + x.abs() * (budget.input * info.eps * room)
    return error.add_((budget.absolute + 1) * info.tiny * room)


def widen(
    lower: Tensor,
    upper: Tensor,
    budget: Budget,
    image: tuple[float, float] = (-inf, inf),
    at_lower: Tensor | None = None,
    at_upper: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Move computed bounds outward by an error budget, then cut them back to the image of the function.

    Args:
        lower: computed lower bounds.
        upper: computed upper bounds, same shape.
        budget: error of the values that were computed.
        image: closed range of the function; only the widening can move a bound outside it.
        at_lower: arguments whose size enters `Budget.input` at the lower bound.
        at_upper: the same at the upper bound.
    """
    if budget == EXACT or not lower.dtype.is_floating_point:
        return lower, upper
    relative, absolute, largest, least, greatest = _shift(lower.dtype, budget, image)
    if budget.input and at_lower is not None and at_upper is not None:
        lower, upper = lower - slack(lower, budget, at_lower), upper + slack(upper, budget, at_upper)
    else:
        lower = _shifted(torch.sub, lower, relative, absolute, image)
        upper = _shifted(torch.add, upper, relative, absolute, image)
    low, high = untracked(lower), untracked(upper)
    low.nan_to_num_(-inf, largest, -inf)
    high.nan_to_num_(inf, inf, -largest)
    # The real value lies in the image, so a bound can leave it on its own side only.
    if least > -inf:
        low.clamp_(min=least)
    if greatest < inf:
        high.clamp_(max=greatest)
    return lower, upper


def untracked(x: Tensor) -> Tensor:
    """The same memory outside the autograd graph, to correct a fresh result that autograd does not keep.

    In forward mode the result is detached too, because a write into the result itself would overwrite its tangent.
    """
    return x.detach() if x.requires_grad or forward_mode() else x


def _shifted(move: Any, y: Tensor, relative: float, absolute: float, image: tuple[float, float]) -> Tensor:
    """Return y moved by `relative`·abs(y) + `absolute` in two steps, each rounded once."""
    size = untracked(y).abs()
    if image[0] == -inf or image[1] == inf:
        size.clamp_(max=torch.finfo(y.dtype).max)  # inf - inf would be no number
    moved = move(y, size, alpha=relative)
    if absolute:
        fresh = untracked(moved)
        fresh.sub_(absolute) if move is torch.sub else fresh.add_(absolute)
    return moved


@functools.lru_cache(maxsize=1024)
def _shift(dtype: torch.dtype, budget: Budget, image: tuple[float, float]) -> tuple[float, float, float, float, float]:
    """How `widen` moves bounds: factor of abs(y), summand, the bound that replaces an overflow, and the image.

    The factor's conversion to the dtype and its product with abs(y) err relatively by 2u together, which 1 + 8 eps
    covers. Each of the two sums rounds to within u|y|, hence one eps·|y| more, or half an eps·|y| without a summand.
    """
    info = torch.finfo(dtype)
    room = 1 + 8 * info.eps
    absolute = (budget.absolute + 1) * info.tiny * room
    relative = (budget.relative + (1 if absolute else 0.5)) * info.eps * room
    # A correctly rounded result only overflows beyond the largest number.
    overflow = 0.0 if budget.relative <= 0.5 and not budget.input else (budget.relative + 8) * info.eps
    least, greatest = neighbour(image[0], dtype, -inf), neighbour(image[1], dtype, inf)
    return relative, absolute, info.max * (1 - overflow), least, greatest


@functools.lru_cache(maxsize=4096)
def neighbour(x: float, dtype: torch.dtype, towards: float) -> float:
    """Return x itself if the dtype holds it, else its neighbour in the dtype on the side of `towards`."""
    kind = _NUMPY.get(dtype)
    if kind is None:  # bfloat16
        near = torch.tensor(x, dtype=dtype)
        beside = torch.nextafter(near, torch.tensor(towards, dtype=dtype)).item()
        return near.item() if near.item() == x or (near.item() > x) == (towards > x) else beside
    with np.errstate(over="ignore"):  # NumPy, because these numbers are no part of a graph that torch may be tracing
        rounded = kind(x)
        wrong_way = float(rounded) != x and (float(rounded) > x) != (towards > x)
        return float(np.nextafter(rounded, kind(towards)) if wrong_way else rounded)


_NUMPY: dict[torch.dtype, Any] = {torch.float16: np.float16, torch.float32: np.float32, torch.float64: np.float64}


def narrows(before: torch.dtype, after: torch.dtype) -> bool:
    """Whether converting between floating dtypes can round."""
    old, new = torch.finfo(before), torch.finfo(after)
    return new.eps > old.eps or new.max < old.max


def narrowed(y: Tensor, dtype: torch.dtype, towards: float) -> Tensor:
    """Convert to another dtype, rounding towards -inf or inf: the nearest number of the dtype on that side.

    Rounding to nearest gives a neighbour of y. Where the neighbour lies on the wrong side, the next number lies on the
    right side. Both comparisons are exact, because the narrower numbers are converted back without rounding.
    """
    near = y.to(dtype)
    with torch.no_grad():
        back = near.to(y.dtype)
        wrong = back > y if towards < 0 else back < y
        beside = torch.nextafter(near, torch.full((), towards, dtype=dtype, device=y.device))
        near.detach().copy_(torch.where(wrong, beside, near))
    return near
