"""`IntervalTensor`: a tensor of boxes that runs through ordinary PyTorch programs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data._utils.collate import default_collate_fn_map

from . import _compat, rounding
from ._dispatch import dispatch, dispatch_aten, wrap
from ._numpy import apply_ufunc
from ._printing import format_box
from ._registry import Box
from ._validation import check_bounds, check_clip, check_radius
from .errors import EscapeError, UndecidedError

__all__ = ["IntervalTensor", "hull", "intersection"]


class IntervalTensor(Tensor):
    """A tensor whose entries are closed intervals `[lower, upper]`.

    Any PyTorch function or module applied to it returns a box that contains the function's value at every point
    of the input box (Moore, Kearfott & Cloud 2009, *Introduction to Interval Analysis*, theorem 5.1); an
    operation that cannot promise this raises `UnsupportedOpError`. In `rounding("outward")` this holds in
    exact arithmetic; in nearest mode up to rounding.

    It is a `torch.Tensor` without storage of its own: the bounds are the plain tensors `lower` and `upper`, and
    gradients flow through them.

    Args:
        lower: lower bounds, any shape, a floating dtype (or bool: *certainly true*).
        upper: upper bounds, same shape, dtype and device (or bool: *possibly true*).

    Raises:
        TypeError: if dtypes differ or are neither floating nor bool.
        ValueError: if shapes or devices differ, a bound is NaN, or a lower bound exceeds its upper bound; the message
            names the first offending index.

    Example:
        >>> import torch
        >>> from intervaltorch import IntervalTensor
        >>> X = IntervalTensor(torch.tensor([-1.0, 0.5]), torch.tensor([2.0, 0.5]))
        >>> X * X
        IntervalTensor([[0, 4], 0.25])
        >>> torch.nn.functional.relu(X).lower
        tensor([0.0000, 0.5000])
    """

    _box: Box

    @staticmethod
    def __new__(cls, lower: Any, upper: Any) -> IntervalTensor:
        """Validate and copy the bounds, so that they share memory with nobody."""
        lower, upper = torch.as_tensor(lower), torch.as_tensor(upper)
        check_bounds(lower, upper)
        return cls._wrap(Box(lower.clone(), upper.clone()))

    def __init__(self, lower: Any, upper: Any) -> None:
        """Accept the arguments of `__new__`."""

    @classmethod
    def _wrap(cls, box: Box) -> IntervalTensor:
        """Wrap bounds that a rule computed, without validation."""
        if box.lower is box.upper:
            box = Box(box.lower, box.upper.clone())
        self = _compat.make_wrapper(cls, box.lower)
        self._box = box
        return self

    # --- constructors -------------------------------------------------------------------------------------------------

    @classmethod
    def from_ball(
        cls, x: Any, radius: float | Tensor, clip: tuple[float, float] | None = None
    ) -> IntervalTensor:
        """The l_inf ball of a radius around `x`, cut to the range of the data.

        Args:
            x: centre, any shape, a floating dtype.
            radius: non-negative number, or tensor that broadcasts to the shape of `x`.
            clip: closed range `(low, high)` to intersect with, such as `(0, 1)` for images.

        Raises:
            TypeError: if `x` is not floating.
            ValueError: if the radius is negative or NaN, or the ball misses the clip range.

        Example:
            >>> IntervalTensor.from_ball(torch.tensor([0.0, 0.5]), 0.25, clip=(0, 1))
            IntervalTensor([[0, 0.25], [0.25, 0.75]])
        """
        x = torch.as_tensor(x)
        check_radius(x, radius)
        lower, upper = x - radius, x + radius
        if rounding.outward():
            size = torch.as_tensor(radius, dtype=x.dtype, device=x.device)
            budget = rounding.Budget(relative=0.5, input=0.5)
            lower, upper = rounding.widen(lower, upper, budget, at_lower=size, at_upper=size)
        lower, upper = rounding.cast(lower, upper, x.dtype)
        if lower.shape != x.shape:
            raise ValueError(f"radius of shape {tuple(size_of(radius))} does not broadcast to {tuple(x.shape)}")
        if clip is not None:
            check_clip(lower, upper, clip)
            lower, upper = lower.clamp(*clip), upper.clamp(*clip)
        return cls._wrap(Box(lower, upper))

    @classmethod
    def point(cls, x: Any) -> IntervalTensor:
        """The box that contains only `x`.

        Args:
            x: any shape, a floating dtype or bool, without NaN.

        Example:
            >>> IntervalTensor.point(torch.ones(2)).width
            tensor([0., 0.])
        """
        return cls(x, x)

    # --- bounds and what follows from them ----------------------------------------------------------------------------

    @property
    def lower(self) -> Tensor:
        """Lower bounds: a plain tensor, part of the autograd graph."""
        return self._box.lower

    @property
    def upper(self) -> Tensor:
        """Upper bounds: a plain tensor, part of the autograd graph."""
        return self._box.upper

    @property
    def center(self) -> Tensor:
        """Midpoints, computed as lower/2 + upper/2, which cannot overflow."""
        return self._box.lower / 2 + self._box.upper / 2

    @property
    def radius(self) -> Tensor:
        """Half widths, computed as upper/2 - lower/2; in outward mode never too small."""
        return self._outward_difference(self._box.upper / 2, self._box.lower / 2)

    @property
    def width(self) -> Tensor:
        """Widths, upper - lower; in outward mode never too small."""
        return self._outward_difference(self._box.upper, self._box.lower)

    @property
    def magnitude(self) -> Tensor:
        """The largest absolute value in each interval."""
        return torch.maximum(self._box.lower.abs(), self._box.upper.abs())

    @property
    def mignitude(self) -> Tensor:
        """The smallest absolute value in each interval, 0 if it contains 0."""
        return torch.maximum(self._box.lower, -self._box.upper).clamp(min=0)

    def _outward_difference(self, a: Tensor, b: Tensor) -> Tensor:
        difference = a - b
        if rounding.outward():
            return rounding.up(difference, rounding.slack(difference, rounding.CORRECTLY_ROUNDED))
        return difference

    # --- sets ---------------------------------------------------------------------------------------------------------

    def contains(self, other: Any) -> Tensor:
        """Which entries contain the number, tensor or box `other`: a plain Boolean tensor.

        Example:
            >>> IntervalTensor(torch.zeros(2), torch.ones(2)).contains(torch.tensor([0.5, 2.0]))
            tensor([ True, False])
        """
        low, high = _ends(other)
        return (self.lower <= low) & (high <= self.upper)

    def issubset(self, other: Any) -> Tensor:
        """Which entries lie inside those of the box `other`: a plain Boolean tensor."""
        low, high = _ends(other)
        return (low <= self.lower) & (self.upper <= high)

    def isdisjoint(self, other: Any) -> Tensor:
        """Which entries share no point with those of `other`: a plain Boolean tensor."""
        low, high = _ends(other)
        return (self.upper < low) | (high < self.lower)

    def hull(self, other: Any) -> IntervalTensor:
        """The smallest box around this one and `other`, entry by entry."""
        low, high = _ends(other)
        return type(self)._wrap(Box(torch.minimum(self.lower, low), torch.maximum(self.upper, high)))

    def intersection(self, other: Any) -> IntervalTensor:
        """The points in both boxes, entry by entry.

        Raises:
            ValueError: if some entries share no point.
        """
        low, high = _ends(other)
        lower, upper = torch.maximum(self.lower, low), torch.minimum(self.upper, high)
        return type(self)(lower, upper)

    def bisect(self, index: tuple[int, ...] | None = None) -> tuple[IntervalTensor, IntervalTensor]:
        """Split the box in two at the middle of one entry.

        Args:
            index: the entry to split; the widest one if left out.

        Returns:
            The boxes with the lower and with the upper half of that entry; they share the splitting point.

        Example:
            >>> IntervalTensor(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 4.0])).bisect()
            (IntervalTensor([[0, 1], [0, 2]]), IntervalTensor([[0, 1], [2, 4]]))
        """
        if index is None:
            index = tuple(int(i) for i in np.unravel_index(int(self.width.argmax()), tuple(self.shape)))
        middle = self.center[index]
        below, above = self.upper.clone(), self.lower.clone()
        below[index], above[index] = middle, middle
        return type(self)._wrap(Box(self.lower.clone(), below)), type(self)._wrap(Box(above, self.upper.clone()))

    # --- metadata: answered here, because each C++ attribute would pass through __torch_function__ --------------------

    @property
    def shape(self) -> torch.Size:  # type: ignore[override]
        """Shape of each bound."""
        return self._box.lower.shape

    @property
    def dtype(self) -> torch.dtype:  # type: ignore[override]
        """Dtype of each bound."""
        return self._box.lower.dtype

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Device of each bound."""
        return self._box.lower.device

    @property
    def ndim(self) -> int:  # type: ignore[override]
        """Number of dimensions."""
        return self._box.lower.ndim

    @property
    def layout(self) -> torch.layout:  # type: ignore[override]
        """Layout of each bound."""
        return self._box.lower.layout

    def size(self, dim: int | None = None) -> Any:
        """Shape, or the size of one dimension."""
        return self._box.lower.shape if dim is None else self._box.lower.size(dim)

    def dim(self) -> int:
        """Number of dimensions."""
        return self._box.lower.ndim

    def numel(self) -> int:
        """Number of entries."""
        return self._box.lower.numel()

    def __len__(self) -> int:
        """Size of the first dimension."""
        return len(self._box.lower)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the first dimension."""
        return iter(self.unbind(0))

    def __contains__(self, value: Any) -> bool:
        """Refuse: `in` asks about entries of a tensor, `contains` about points of a box."""
        raise EscapeError(
            "`value in box` is ambiguous", "X.contains(value) says which entries contain it",
            "(X == value).any() compares entries, three-valued",
        )  # fmt: skip

    # --- autograd: it runs on the bounds ------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:  # type: ignore[override]
        """Whether autograd records operations on a bound."""
        return self._box.lower.requires_grad or self._box.upper.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> IntervalTensor:
        """Let autograd record operations on both bounds; gradients appear in `x.lower.grad` and `x.upper.grad`."""
        for bound in self._box:
            bound.requires_grad_(requires_grad)
        return self

    def retain_grad(self) -> None:
        """Keep the gradients of both bounds."""
        for bound in self._box:
            bound.retain_grad()

    @property
    def grad(self) -> None:  # type: ignore[override]
        """Always None: gradients are those of the bounds, `x.lower.grad` and `x.upper.grad`."""
        return None

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            raise EscapeError("a box has no gradient of its own", "set x.lower.grad and x.upper.grad")

    @property
    def grad_fn(self) -> None:  # type: ignore[override]
        """Always None: `x.lower.grad_fn` and `x.upper.grad_fn` are part of the graph."""
        return None

    @property
    def is_leaf(self) -> bool:  # type: ignore[override]
        """Whether both bounds are leaves of the autograd graph."""
        return self._box.lower.is_leaf and self._box.upper.is_leaf

    @property
    def data(self) -> IntervalTensor:  # type: ignore[override]
        """The same box outside the autograd graph."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        if not isinstance(value, IntervalTensor):
            raise EscapeError("the data of a box is a box", "wrap the tensor: IntervalTensor.point(tensor)")
        self._box.lower.data, self._box.upper.data = value.lower, value.upper

    def backward(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: a box has two values.

        Raises:
            EscapeError: always.
        """
        raise EscapeError(
            "a box has two values, so backward() has no single meaning",
            "differentiate a bound: Y.lower.sum().backward() or Y.upper.sum().backward()",
        )

    def register_hook(self, hook: Any) -> Any:
        """Refuse: gradients belong to the bounds.

        Raises:
            EscapeError: always.
        """
        raise EscapeError(
            "a box has no gradient of its own", "register the hook on Y.lower or on Y.upper"
        )

    # --- single values ------------------------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        """The truth of a single entry, if every point of the box agrees.

        Raises:
            UndecidedError: if it depends on the point of the box.
            RuntimeError: as torch does, if there is more than one entry.
        """
        lower, upper = self._box
        never = not bool(upper) if self.dtype is torch.bool else bool((lower == 0) & (upper == 0))
        always = bool(lower) if self.dtype is torch.bool else bool((lower > 0) | (upper < 0))
        if always == never:
            raise UndecidedError(
                f"the truth of {self!r} depends on the point of the box",
                "a branch on it would be right for some points only",
                "use torch.where(condition, a, b), which takes both branches; or bisect the box",
            )
        return always

    def item(self) -> Any:
        """The single value of a Boolean box, if decided.

        Raises:
            UndecidedError: if it depends on the point of the box.
            EscapeError: for a box of numbers.
        """
        if self.dtype is torch.bool:
            return bool(self)
        raise EscapeError(*_escape("item()"))

    # --- copies, files, processes -------------------------------------------------------------------------------------

    def __deepcopy__(self, memo: dict) -> IntervalTensor:
        """Copy both bounds; only leaves can be copied, as in torch."""
        if id(self) not in memo:
            lower, upper = (bound.__deepcopy__(memo) for bound in self._box)
            memo[id(self)] = type(self)._wrap(Box(lower, upper))
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> tuple:
        """Pickle as the two bounds; `torch.load(weights_only=True)` accepts it."""
        return (_rebuild, (self._box.lower, self._box.upper))

    def share_memory_(self) -> IntervalTensor:
        """Move both bounds to shared memory."""
        for bound in self._box:
            bound.share_memory_()
        return self

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        """Print intervals as `[lower, upper]` and points as one number."""
        return format_box(type(self).__name__, self._box)

    def __format__(self, spec: str) -> str:
        """Format as `repr` does; a box is not one number."""
        if spec:
            raise EscapeError(*_escape(f"format(..., {spec!r})"))
        return repr(self)

    # --- the doors of torch and NumPy ---------------------------------------------------------------------------------

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Answer a torch function by its rule."""
        return dispatch(IntervalTensor, func, types, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Answer the ATen calls of a C++ kernel by their rules."""
        return dispatch_aten(IntervalTensor, func, args, kwargs or {})

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Let `array * box` and `np.exp(box)` mean the torch function of the same name."""
        return apply_ufunc(ufunc, method, inputs, kwargs)


def _escape(what: str) -> tuple[str, ...]:
    return (
        f"{what} would turn a box into raw values and lose a bound",
        "take a bound first: Y.lower, Y.upper or Y.center are plain tensors",
    )


def _refuse(name: str) -> Any:
    def refuse(self: IntervalTensor, *args: Any, **kwargs: Any) -> Any:
        raise EscapeError(*_escape(f"{name}()"))

    refuse.__name__ = name
    refuse.__doc__ = f"Refuse `{name}`: a box is not one value, nor one block of memory.\n\nRaises:\n    EscapeError: always."
    return refuse


for _name in (
    "__float__", "__int__", "__index__", "__complex__", "__array__", "__dlpack__", "__dlpack_device__", "tolist", "numpy",
    "data_ptr", "storage", "untyped_storage", "_typed_storage", "_is_view",
):  # fmt: skip
    setattr(IntervalTensor, _name, _refuse(_name))


def _ends(other: Any) -> tuple[Tensor, Tensor]:
    if isinstance(other, IntervalTensor):
        return other.lower, other.upper
    return torch.as_tensor(other), torch.as_tensor(other)


def size_of(value: Any) -> torch.Size:
    """Shape of a tensor, or of a number as a 0-d tensor."""
    return torch.as_tensor(value).shape


def hull(first: IntervalTensor, *others: Any) -> IntervalTensor:
    """Return the smallest box around all arguments, entry by entry.

    Example:
        >>> hull(IntervalTensor(torch.zeros(1), torch.ones(1)), torch.tensor([3.0]))
        IntervalTensor([[0, 3]])
    """
    for other in others:
        first = first.hull(other)
    return first


def intersection(first: IntervalTensor, *others: Any) -> IntervalTensor:
    """Return the points that all boxes share, entry by entry.

    Raises:
        ValueError: if some entries share no point.
    """
    for other in others:
        first = first.intersection(other)
    return first


def _rebuild(lower: Tensor, upper: Tensor) -> IntervalTensor:
    return IntervalTensor._wrap(Box(lower, upper))


def _collate(batch: list[Any], *, collate_fn_map: Any = None) -> Any:
    """Stack boxes for a DataLoader, in workers too."""
    return torch.stack(batch)


default_collate_fn_map[IntervalTensor] = _collate
torch.serialization.add_safe_globals([_rebuild])
