r"""Rounding modes.

In *outward* mode every box contains the result of real arithmetic on the given floating-point inputs. In *nearest* mode
it contains the result up to the rounding error that outward mode would add. The arithmetic is in `budgets`, and the
conditions under which the arithmetic is right are in `conditions`.
"""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from ..errors import UnprovenOpError
from .budgets import (
    Budget,
    narrowed,
    narrows,
)
from .budgets import widen as _widen
from .conditions import check_underflow

__all__ = [
    "UNPROVEN", "accumulating", "cast", "get_rounding", "outward", "rounding", "set_default_rounding", "stated",
    "stated_or_guessed", "widen",
]  # fmt: skip

Mode = Literal["nearest", "outward"]
inf = float("inf")
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True)
class _Setting:
    outward: bool
    strict: bool = False
    double: bool = False


class _Block:
    """One run of a `with rounding(...)` block."""

    __slots__ = ("closed", "setting")

    def __init__(self, setting: _Setting) -> None:
        self.setting = setting
        self.closed = False


_default = _Setting(outward=False)
# The blocks that this thread or task is in, the innermost last. Each block takes itself out wherever it stands, because
# generators may leave their blocks in another order than they entered them.
_blocks: contextvars.ContextVar[tuple[_Block, ...]] = contextvars.ContextVar("intervaltorch_rounding", default=())


def _setting() -> _Setting:
    """The choice of the innermost open block, or the default."""
    for block in reversed(_blocks.get()):
        if not block.closed:
            return block.setting
    return _default


def _make_setting(mode: str, strict: bool, accumulate: str | None) -> _Setting:
    if mode not in ("nearest", "outward"):
        raise ValueError(f"unknown rounding mode {mode!r}: expected 'nearest' or 'outward'")
    if strict and mode == "nearest":
        raise ValueError("strict=True asks for proven bounds, which only rounding('outward') gives")
    if accumulate not in (None, "float64"):
        raise ValueError(f"unknown accumulate={accumulate!r}: expected None or 'float64'")
    if accumulate and mode == "nearest":
        raise ValueError("accumulate='float64' makes outward bounds narrower, so it needs rounding('outward')")
    return _Setting(mode == "outward", strict, accumulate is not None)


class rounding:
    """Choose the rounding mode: of a `with` block, or as a decorator of a function, which may be `async`.

    The choice applies to the current thread or asynchronous task, and ends with the block. If a generator yields inside
    the block, the choice also applies to the generator's consumer, until the generator leaves the block.

    Args:
        mode: `"outward"`: boxes contain the result of real arithmetic. `"nearest"`: boxes contain this result up to
            rounding; faster.
        strict: with `"outward"`, raise `UnprovenOpError` at operations without a stated error budget.
        accumulate: with `"outward"`, `"float64"` computes affine operations and sums of float32 in float64 and
            rounds their results outward to float32. This is slower, but the boxes are hardly wider than in real
            arithmetic.

    Raises:
        ValueError: if the mode is unknown, or if `strict` or `accumulate` is given with `"nearest"`.
        TypeError: if the decorated function is a generator.
        UnprovenOpError: on entering `"outward"`, if subnormal numbers are flushed to zero.

    Example:
        >>> import torch, intervaltorch as it
        >>> x = it.IntervalTensor.point(torch.tensor(0.1))
        >>> with it.rounding("outward"):
        ...     y = x * 3
        >>> bool(y.lower.double() < torch.tensor(0.1).double() * 3 < y.upper.double())
        True
    """

    def __init__(self, mode: Mode, *, strict: bool = False, accumulate: Literal["float64"] | None = None) -> None:
        self._chosen = _make_setting(mode, strict, accumulate)
        self._open: list[_Block] = []

    def __enter__(self) -> None:
        if self._chosen.outward:
            check_underflow(entering=True)
        block = _Block(self._chosen)
        self._open.append(block)
        _blocks.set((*_blocks.get(), block))

    def __exit__(self, *exception: object) -> None:
        here = _blocks.get()
        own = next((block for block in reversed(here) if block in self._open), None)
        if own is None:  # entered in another thread or task, whose blocks cannot be changed from here
            self._open.pop().closed = True
            return
        self._open.remove(own)
        _blocks.set(tuple(block for block in here if block is not own))

    def __call__(self, function: Function) -> Function:
        """Run a function in this mode at every call."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"rounding cannot decorate the generator {function.__name__}: a generator runs in its consumer's mode;"
                " decorate the function that consumes it, or use a with block between two yields"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def call_later(*args: Any, **kwargs: Any) -> Any:
                with self._anew():
                    return await function(*args, **kwargs)

            return call_later  # type: ignore[return-value]

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._anew():
                return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    def _anew(self) -> rounding:
        """The same choice for one call: threads and tasks that run a decorated function must not share blocks."""
        fresh = object.__new__(rounding)
        fresh._chosen, fresh._open = self._chosen, []
        return fresh


def set_default_rounding(mode: Mode, *, strict: bool = False, accumulate: Literal["float64"] | None = None) -> None:
    """Set the mode used outside every `rounding` block, in all threads.

    Args:
        mode: `"outward"` or `"nearest"` (the default at import).
        strict: see `rounding`.
        accumulate: see `rounding`.

    Example:
        >>> import intervaltorch as it
        >>> it.set_default_rounding("nearest")
        >>> it.get_rounding()
        'nearest'
    """
    global _default
    _default = _make_setting(mode, strict, accumulate)


def get_rounding() -> Mode:
    """Return the current rounding mode, `"nearest"` or `"outward"`."""
    return "outward" if outward() else "nearest"


def outward() -> bool:
    """Whether bounds must be rounded outward here."""
    return _setting().outward if _blocks.get() else _default.outward  # outside every block without another call


def accumulating(dtype: torch.dtype) -> bool:
    """Whether sums of this dtype are to be computed in float64 here."""
    return _setting().double and dtype is torch.float32


def stated_or_guessed(name: str, budget: Budget | None) -> Budget:
    """Return the budget to use for the op `name`, or refuse it in strict mode when it has none."""
    if budget is not None:
        return budget
    if _setting().strict:
        raise UnprovenOpError(
            f"no rounding error budget is stated for {name}",
            'rounding("outward", strict=True) only runs ops whose error is bounded',
            "leave strict out to widen the result by a guess, with a warning; or write this part with other operations",
        )
    _warn_unproven(name)
    return UNPROVEN


def stated(budget: Budget, y: Tensor) -> Budget:
    """Return the budget of a computed `y` on its device, or the guess of `stated_or_guessed` if it has none."""
    known = budget.on(y.device)
    return stated_or_guessed(f"this operation on {y.device.type}", None) if known is None else known


def widen(
    lower: Tensor,
    upper: Tensor,
    budget: Budget,
    image: tuple[float, float] = (-inf, inf),
    at_lower: Tensor | None = None,
    at_upper: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Move computed bounds outward by the budget of their device; see `budgets.widen`."""
    return _widen(lower, upper, stated(budget, lower), image, at_lower, at_upper)


UNPROVEN = Budget(relative=16, input=16, absolute=16)
"""A generous guess for ops without a stated budget; strict mode refuses it."""


def _warn_unproven(name: str) -> None:
    message = f"the outward bounds of {name} rest on a guessed error budget; strict=True refuses it"
    warnings.warn(message, UserWarning, stacklevel=2)


def cast(lower: Tensor, upper: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Convert bounds to another dtype; in outward mode a narrowing conversion rounds outward."""
    if lower.dtype.is_floating_point and dtype.is_floating_point and outward() and narrows(lower.dtype, dtype):
        return narrowed(lower, dtype, -inf), narrowed(upper, dtype, inf)
    if lower.is_complex() and dtype.is_complex and outward():
        sides = cast(torch.view_as_real(lower), torch.view_as_real(upper), dtype.to_real())
        return torch.view_as_complex(sides[0]), torch.view_as_complex(sides[1])
    return lower.to(dtype), upper.to(dtype)
