"""A box as a set: its midpoint and size, the points that it contains, hulls and intersections."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _rounding as rounding
from .._records.registry import Box
from .._theorems.operands import operand
from ..errors import DeviceError
from .validation import check_meeting, check_points

__all__ = ["SetOperations", "hull", "intersection"]

inf = float("inf")


def _part_by_part(combine: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Let a method take rectangles of complex numbers: `combine` joins the answers for both parts."""

    def decorate(method: Any) -> Any:
        @functools.wraps(method)
        def answer(self: Any, *others: Any) -> Any:
            if not self.dtype.is_complex:
                return method(self, *others)
            return combine(method(torch.view_as_real(self), *(_sides(x, self) for x in others)))

        return answer

    return decorate


def _sides(x: Any, like: Any) -> Any:
    """The real and imaginary parts of a set operand; those of a number are in double precision."""
    if not isinstance(x, Tensor):
        x = torch.as_tensor(x, dtype=torch.complex128, device=like.device)
    return torch.view_as_real((x if x.dtype.is_complex else x.to(x.dtype.to_complex())).resolve_conj())


_both = _part_by_part(lambda sides: sides.all(-1))
_either = _part_by_part(lambda sides: sides.any(-1))
_rectangle = _part_by_part(torch.view_as_complex)
_diagonal = _part_by_part(lambda sides: torch.hypot(*sides.unbind(-1)))


class SetOperations:
    """The attributes and methods of a set of points. `_box` holds the bounds, `_wrap` makes a new box."""

    _box: Box
    _wrap: Any

    # --- size ---------------------------------------------------------------------------------------------------------

    @property
    @_rectangle
    def center(self) -> Tensor:
        """Midpoints: finite, and inside the interval.

        Computed as lower/2 + upper/2, which cannot overflow. The middle of [-inf, inf] is 0. The middle of a
        half-bounded interval is the largest finite number of its sign, as in IEEE 1788-2015, table 9.2.
        """
        lower, upper = self._box
        middle = lower / 2 + upper / 2
        with torch.no_grad():
            value = middle.detach()
            # Halves of subnormal numbers round; the clamp brings their sum back inside.
            value.copy_(value.nan_to_num(nan=0.0).clamp(lower, upper).nan_to_num())
        return middle

    @property
    @_rectangle
    def radius(self) -> Tensor:
        """Half widths; in outward mode the ball of this radius around `center` contains the box."""
        lower, upper = self._box
        radius = upper / 2 - lower / 2
        with torch.no_grad():
            if rounding.outward():
                middle = self.center
                reach = torch.maximum(_difference(upper, middle), _difference(middle, lower))
                radius.detach().copy_(reach)
            radius.detach().nan_to_num_(nan=inf, posinf=inf)
        return radius

    @property
    @_rectangle
    def width(self) -> Tensor:
        """Widths, upper - lower; in outward mode never too small."""
        return _difference(self._box.upper, self._box.lower)

    @property
    @_diagonal
    def magnitude(self) -> Tensor:
        """The largest absolute value in each interval."""
        return torch.maximum(self._box.lower.abs(), self._box.upper.abs())

    @property
    @_diagonal
    def mignitude(self) -> Tensor:
        """The smallest absolute value in each interval, 0 if it contains 0."""
        return torch.maximum(self._box.lower, -self._box.upper).clamp(min=0)

    # --- relations ----------------------------------------------------------------------------------------------------

    @_both
    def contains(self, other: Any) -> Tensor:
        """Which entries contain the number, tensor or box `other`: a plain Boolean tensor.

        Example:
            >>> import torch
            >>> from intervaltorch import IntervalTensor
            >>> IntervalTensor(torch.zeros(2), torch.ones(2)).contains(torch.tensor([0.5, 2.0]))
            tensor([ True, False])
        """
        lower, upper, low, high = _comparable(self._box, other)
        return (lower <= low) & (high <= upper)

    @_both
    def issubset(self, other: Any) -> Tensor:
        """Which entries lie inside those of the box `other`: a plain Boolean tensor."""
        lower, upper, low, high = _comparable(self._box, other)
        return (low <= lower) & (upper <= high)

    @_either
    def isdisjoint(self, other: Any) -> Tensor:
        """Which entries share no point with those of `other`: a plain Boolean tensor."""
        lower, upper, low, high = _comparable(self._box, other)
        return (upper < low) | (high < lower)

    # --- new boxes ----------------------------------------------------------------------------------------------------

    @_rectangle
    def hull(self, other: Any) -> Any:
        """The smallest box around this one and `other` (number, tensor or box), entry by entry.

        Raises:
            ValueError: if `other` holds NaN.
        """
        (lower, upper), (low, high) = self._box, _as_points(other, self._box)
        if lower.dtype is torch.bool:
            return self._wrap(Box(lower & low, upper | high))
        return self._wrap(Box(torch.minimum(lower, low), torch.maximum(upper, high)))

    @_rectangle
    def intersection(self, other: Any) -> Any:
        """The points in both this box and `other`, entry by entry.

        Raises:
            ValueError: if some entries share no point, naming the first, or if `other` holds NaN.
        """
        (lower, upper), (low, high) = self._box, _as_points(other, self._box)
        if lower.dtype is torch.bool:
            return type(self)(lower | low, upper & high)  # type: ignore[call-arg]
        lower, upper = torch.maximum(lower, low), torch.minimum(upper, high)
        check_meeting(lower, upper)
        return type(self)(lower, upper)  # type: ignore[call-arg]

    def bisect(self, index: int | tuple[int, ...] | None = None) -> tuple[Any, Any]:
        """Split the box in two at the middle of one entry.

        Args:
            index: the entry to split; the widest one if left out.

        Returns:
            The boxes with the lower and with the upper half of that entry; they share the splitting point.

        Raises:
            IndexError: if `index` does not name a single entry.

        Example:
            >>> import torch
            >>> from intervaltorch import IntervalTensor
            >>> IntervalTensor(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 4.0])).bisect()
            (IntervalTensor([[0, 1], [0, 2]]), IntervalTensor([[0, 1], [2, 4]]))
        """
        lower, upper = self._box
        if lower.numel() == 0:
            raise IndexError("a box without entries cannot be split")
        if index is None:
            index = tuple(int(i) for i in np.unravel_index(int(self.width.argmax()), tuple(lower.shape)))
        index = index if isinstance(index, tuple) else (index,)
        if len(index) != lower.ndim:
            raise IndexError(f"index {index} does not name one entry of a box of shape {tuple(lower.shape)}")
        middle = self.center[index]
        below, above = upper.clone(), lower.clone()
        below[index], above[index] = middle, middle
        return self._wrap(Box(lower.clone(), below)), self._wrap(Box(above, upper.clone()))


def _difference(high: Tensor, low: Tensor) -> Tensor:
    """`high` - `low`: in outward mode never too small, and inf where infinite ends make the difference NaN."""
    difference = high - low
    if rounding.outward():
        difference = rounding.up(difference, rounding.slack(difference, rounding.CORRECTLY_ROUNDED))
    difference.detach().nan_to_num_(nan=inf, posinf=inf)
    return difference


def _comparable(box: Box, other: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The ends of a box and of another box, tensor or number, in one dtype that can hold all of them exactly."""
    lower, upper = box
    low, high = _ends(other, lower.device)
    dtype = torch.promote_types(lower.dtype, low.dtype)
    return lower.to(dtype), upper.to(dtype), low.to(dtype), high.to(dtype)


def _ends(other: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """Both ends of a box; a tensor or number twice."""
    if isinstance(other, Tensor) and other.device != device and (other.ndim or other.is_meta):
        raise DeviceError(
            f"a box on {device} cannot be compared with a set on {other.device}",
            "move one of them: X.to(Y.device)",
        )
    if isinstance(other, SetOperations):
        return other._box.lower, other._box.upper
    if not isinstance(other, Tensor):
        exact = torch.float64 if isinstance(other, (int, float)) and not isinstance(other, bool) else None
        other = torch.as_tensor(other, dtype=exact, device=device)
    return other, other


def _as_points(other: Any, box: Box) -> Box:
    """Another set operand in the dtype of a box; in outward mode a number becomes the interval around it."""
    ends = _ends(other, box.lower.device)
    if isinstance(other, SetOperations):
        return Box(*ends)
    check_points(ends[0])
    if isinstance(other, (bool, int, float)):
        like = box.lower
        return Box(*(torch.as_tensor(end, dtype=like.dtype, device=like.device) for end in operand(other, box)))
    return Box(*ends)


def hull(first: Any, *others: Any) -> Any:
    """Return the smallest box around all arguments, entry by entry.

    Args:
        first: interval tensor, tensor or number; at least one argument is an interval tensor.
        *others: the same.

    Raises:
        TypeError: if no argument is an interval tensor.
        ValueError: if an argument holds NaN.

    Example:
        >>> import torch, intervaltorch as it
        >>> it.hull(it.IntervalTensor(torch.zeros(1), torch.ones(1)), torch.tensor([3.0]))
        IntervalTensor([[0, 3]])
    """
    box, rest = _first_box("hull", (first, *others))
    for other in rest:
        box = box.hull(other)
    return box


def intersection(first: Any, *others: Any) -> Any:
    """Return the points that all arguments share, entry by entry.

    Args:
        first: interval tensor, tensor or number; at least one argument is an interval tensor.
        *others: the same.

    Raises:
        TypeError: if no argument is an interval tensor.
        ValueError: if some entries share no point, naming the first.

    Example:
        >>> import torch, intervaltorch as it
        >>> X = it.IntervalTensor(torch.zeros(1), torch.ones(1))
        >>> it.intersection(X, X + 0.5)
        IntervalTensor([[0.5, 1]])
    """
    box, rest = _first_box("intersection", (first, *others))
    for other in rest:
        box = box.intersection(other)
    return box


def _first_box(name: str, arguments: tuple) -> tuple[Any, list[Any]]:
    position = next((i for i, argument in enumerate(arguments) if isinstance(argument, SetOperations)), None)
    if position is None:
        raise TypeError(f"{name}() needs an IntervalTensor; wrap a tensor: IntervalTensor.point(tensor)")
    return arguments[position], [*arguments[:position], *arguments[position + 1 :]]
