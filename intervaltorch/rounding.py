r"""Rounding modes, and the only code that touches the last bit of a bound.

In *outward* mode every bound contains the result of real arithmetic on the given floating-point
inputs; in *nearest* mode it contains it up to the rounding error that outward mode would add.

With $u$ the unit roundoff, $\varepsilon = 2u$ and $\eta$ the smallest normal number, the computed value
$\hat y$ of an elementwise function obeys, by the `Budget` of its record,

$$|\hat y - f(x)| \le k\,\varepsilon\,|\hat y| + s\,\varepsilon\,|x| + a\,\eta ,$$

and sums and products of matrices obey the $\gamma$ bounds of Higham (2002), *Accuracy and Stability
of Numerical Algorithms*, section 3.1, whatever the order of summation:
$\gamma_n = nu/(1 - nu)$.

The backward pass is the one of nearest mode: the widening is a constant for autograd, so gradients
pass straight through it and nothing more is kept for the backward pass.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import functools
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from .errors import UnprovenOpError

__all__ = ["EXACT", "Budget", "get_rounding", "rounding", "set_default_rounding"]

Mode = Literal["nearest", "outward"]
inf = float("inf")


@dataclasses.dataclass(frozen=True)
class Budget:
    """How far a computed elementwise value may lie from the real one.

    The error is at most `relative`·eps·abs(y) + `input`·eps·abs(x) + `absolute`·tiny, where `eps` and `tiny`
    are those of the dtype's `torch.finfo`, y is the computed value and x the (largest) argument.

    Args:
        relative: error in units of eps·abs(y); half of one is a correctly rounded result.
        input: error in units of eps·abs(x).
        absolute: error in units of the smallest normal number; 1 covers a gradual underflow.

    Example:
        >>> Budget(relative=2)
        Budget(relative=2, input=0, absolute=1)
    """

    relative: float = 0
    input: float = 0
    absolute: float = 1


EXACT = Budget(0, 0, 0)
"""The budget of an operation that commits no rounding error."""


@dataclasses.dataclass(frozen=True)
class _Setting:
    outward: bool
    strict: bool = False


_default = _Setting(outward=False)
_setting: contextvars.ContextVar[_Setting | None] = contextvars.ContextVar("intervaltorch_rounding", default=None)


def _make_setting(mode: str, strict: bool) -> _Setting:
    if mode not in ("nearest", "outward"):
        raise ValueError(f"unknown rounding mode {mode!r}: expected 'nearest' or 'outward'")
    if strict and mode == "nearest":
        raise ValueError("strict=True asks for proven bounds, which only rounding('outward') gives")
    return _Setting(mode == "outward", strict)


@contextlib.contextmanager
def rounding(mode: Mode, *, strict: bool = False) -> Iterator[None]:
    """Choose the rounding mode inside a `with` block, or of a function as its decorator.

    Args:
        mode: `"outward"`: bounds contain the result of real arithmetic. `"nearest"`: they contain it
            up to rounding; faster.
        strict: with `"outward"`, raise `UnprovenOpError` at operations without a stated error budget.

    Raises:
        ValueError: for another mode.

    Example:
        >>> import torch, intervaltorch as it
        >>> x = it.IntervalTensor.point(torch.tensor(0.1))
        >>> with it.rounding("outward"):
        ...     y = x * 3
        >>> bool(y.lower.double() < torch.tensor(0.1).double() * 3 < y.upper.double())
        True
    """
    token = _setting.set(_make_setting(mode, strict))
    try:
        yield
    finally:
        _setting.reset(token)


def set_default_rounding(mode: Mode, *, strict: bool = False) -> None:
    """Set the mode used outside every `rounding` block, in all threads.

    Args:
        mode: `"outward"` or `"nearest"` (the default at import).
        strict: see `rounding`.

    Example:
        >>> import intervaltorch as it
        >>> it.set_default_rounding("nearest")
        >>> it.get_rounding()
        'nearest'
    """
    global _default
    _default = _make_setting(mode, strict)


def get_rounding() -> Mode:
    """Return the rounding mode in force here, `"nearest"` or `"outward"`."""
    return "outward" if outward() else "nearest"


def outward() -> bool:
    """Whether bounds must be rounded outward here."""
    return (_setting.get() or _default).outward


def claim(name: str, budget: Budget | None) -> Budget:
    """Return the budget to use for the op `name`, or refuse it in strict mode when it has none."""
    if budget is not None:
        return budget
    if (_setting.get() or _default).strict:
        raise UnprovenOpError(
            f"no rounding error budget is stated for {name}",
            'rounding("outward", strict=True) only runs ops whose error is bounded',
            "leave strict out to use a best-effort budget, or compute this part in float64",
        )
    _warn_unproven(name)
    return UNPROVEN


UNPROVEN = Budget(relative=16, input=16, absolute=16)
"""A generous guess for ops without a stated budget; strict mode refuses it."""


def _warn_unproven(name: str) -> None:
    message = f"the outward bounds of {name} rest on a guessed error budget; strict=True refuses it"
    warnings.warn(message, UserWarning, stacklevel=2)


def unit(dtype: torch.dtype) -> float:
    """Return the unit roundoff u of a floating dtype: half the distance from 1 to the next number."""
    return torch.finfo(dtype).eps / 2


def gamma(n: int, dtype: torch.dtype) -> float:
    """Return Higham's γ(n) = nu / (1 - nu), with room for its own rounding.

    Raises:
        UnprovenOpError: if nu >= 1/2: sums that long carry no useful bound in this dtype; or if torch may compute in
            less than this dtype's precision.
    """
    _check_precision(dtype)
    nu = n * unit(dtype)
    if nu >= 0.5:
        raise UnprovenOpError(
            f"a sum of {n} terms has no rounding error bound in {dtype}", "convert the inputs to a wider dtype"
        )
    return nu / (1 - nu) * (1 + 4 * torch.finfo(torch.float64).eps)


def _check_precision(dtype: torch.dtype) -> None:
    """Refuse settings under which sums and products are not computed in the precision of their dtype."""
    reason = None
    if dtype not in (torch.float32, torch.float64):
        reason, remedy = f"{dtype} sums have no error bound", "convert inputs and model to float32 or float64"
    elif dtype is torch.float32 and torch.get_float32_matmul_precision() != "highest":
        reason = f"float32 products are computed in {torch.get_float32_matmul_precision()!r} precision"
        remedy = 'call torch.set_float32_matmul_precision("highest")'
    if reason is not None:
        raise UnprovenOpError(f"outward bounds cannot be claimed: {reason}", remedy, 'or use rounding("nearest")')


def down(y: Tensor, error: Tensor | float, overflow: float = 2.0**-10) -> Tensor:
    """Return a number at most y - error, as a constant shift for autograd; -inf where either is NaN.

    The subtraction commits half an ulp of its result, at most u(|y| + error); the caller's `error` must
    contain a full eps·|y| + tiny for it, as `slack` does. Where y overflowed to +inf the real value may be finite: it
    is at least the largest finite number less the relative error of y, which `overflow` must exceed.
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
    """Return the error of a computed y by its budget, and one eps·|y| + tiny for `down` and `up`.

    The products and sums here are of non-negative terms and err by less than 8u relative to their value,
    which the factor 1 + 8 eps covers. Of an overflowed y it is the error of the largest finite number.
    """
    info = torch.finfo(y.dtype)
    room = 1 + 8 * info.eps
    error = y.abs().clamp_(max=info.max).mul_((budget.relative + 1) * info.eps * room)
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
        image: closed range of the function; a bound outside it is only an effect of the widening.
        at_lower: arguments whose size enters `Budget.input` at the lower bound.
        at_upper: the same at the upper bound.
    """
    if budget == EXACT or not lower.dtype.is_floating_point:
        return lower, upper
    # A correctly rounded result only overflows beyond the largest number.
    overflow = (
        0.0 if budget.relative <= 0.5 and not budget.input else (budget.relative + 8) * torch.finfo(lower.dtype).eps
    )
    lower = down(lower, slack(lower, budget, at_lower), overflow)
    upper = up(upper, slack(upper, budget, at_upper), overflow)
    if image[0] > -inf:
        least = neighbour(image[0], lower.dtype, -inf)
        lower.detach().clamp_(min=least)
        upper.detach().clamp_(min=least)
    if image[1] < inf:
        largest = neighbour(image[1], lower.dtype, inf)
        lower.detach().clamp_(max=largest)
        upper.detach().clamp_(max=largest)
    return lower, upper


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


def cast(lower: Tensor, upper: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Convert bounds to another dtype; in outward mode a narrowing conversion rounds outward."""
    low, high = lower.to(dtype), upper.to(dtype)
    if lower.dtype.is_floating_point and dtype.is_floating_point and outward() and narrows(lower.dtype, dtype):
        return widen(low, high, CORRECTLY_ROUNDED)
    return low, high


CORRECTLY_ROUNDED = Budget(relative=0.5)
"""The budget of the four operations and the square root of IEEE 754."""
