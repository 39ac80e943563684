"""`IntervalTensor`: a tensor of boxes that runs through ordinary PyTorch programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data._utils.collate import default_collate_fn_map

from .. import _compat
from .. import _rounding as rounding
from .._dispatch.calls import dispatch, dispatch_aten
from .._dispatch.failures import check_values
from .._ops.elementwise.checks import undecided_check
from .._records.escapes import escape, traced
from .._records.registry import Box
from .._theorems.boxes import decided
from .._theorems.operands import operand
from .._theorems.undecided import Undecided
from ..errors import UndecidedError, UnsupportedOpError
from .gradients import Gradients
from .parallel import show_bounds
from .printing import format_box, format_interval
from .refused import Refusals
from .sets import SetOperations, hull, intersection
from .ufuncs import apply_ufunc
from .validation import check_bounds, check_clip, check_plain, check_radius

__all__ = ["IntervalTensor", "hull", "intersection"]


class IntervalTensor(Gradients, SetOperations, Refusals, Tensor):  # type: ignore[misc, override]
    """A tensor whose entries are closed intervals `[lower, upper]`.

    A PyTorch function or module returns for it a box that contains the function's value at every point of the input
    box (Moore, Kearfott & Cloud 2009, *Introduction to Interval Analysis*, theorem 5.1). An operation that cannot
    promise this raises `UnsupportedOpError`. In `rounding("outward")` the promise holds for real arithmetic; in
    nearest mode it holds up to rounding.

    An interval tensor is a `torch.Tensor` without storage of its own. Its bounds are the plain tensors `lower` and
    `upper`, and gradients flow through them.

    Args:
        lower: lower bounds, any shape, a floating dtype (or bool: *certainly true*; or complex: bounds of both parts).
        upper: upper bounds, same shape, dtype and device (or bool: *possibly true*). Either bound may be a number,
            which then bounds every entry.

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
    def __new__(cls, lower: Any, upper: Any = None) -> IntervalTensor:
        """Validate the bounds and copy them into memory of their own."""
        if upper is None:
            raise TypeError(
                "a box has two bounds: write IntervalTensor(lower, upper), or IntervalTensor.point(x) for the box that"
                " contains x alone; X.clone() copies a box"
            )
        given = lower, upper
        lower = check_plain(lower, "lower", "hull(X, Y) is the smallest box around two")
        upper = check_plain(upper, "upper", "hull(X, Y) is the smallest box around two")
        lower, upper = _spread(given[0], lower, upper).lower, _spread(given[1], upper, lower).upper
        check_bounds(lower, upper)
        return cls._wrap(Box(lower.clone(), upper.clone()))

    def __init__(self, lower: Any, upper: Any = None) -> None:
        """Accept the arguments of `__new__`."""

    @classmethod
    def _wrap(cls, box: Box) -> IntervalTensor:
        """Wrap bounds that a rule computed, without validation.

        Both bounds of a box have memory of their own and the same strides. So a shape operation returns a view of both
        bounds or a copy of both, and a write into a box reaches both bounds of every view of it.
        """
        if _compat.jit_tracing():
            raise traced()
        lower, upper = box.lower, box.upper
        if box.is_point:
            box = Box(lower, lower.clone())
        elif lower.stride() != upper.stride():
            lower, upper = torch.broadcast_tensors(lower, upper)
            box = Box(*(bound.clone(memory_format=torch.contiguous_format) for bound in (lower, upper)))
        self = _compat.make_wrapper(cls, box.lower)
        self._box = box
        return self

    def rewrapped(self) -> IntervalTensor:
        """The same box in another wrapper, without the marks that C++ kernels leave on a result."""
        return type(self)._wrap(self._box)

    # --- constructors -------------------------------------------------------------------------------------------------

    @classmethod
    def from_ball(cls, x: Any, radius: float | Tensor, clip: tuple[float, float] | None = None) -> IntervalTensor:
        """The l_inf ball of a radius around `x`, cut to the range `clip`.

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
        x = check_plain(x, "x", "widen a box with X + IntervalTensor(-radius, radius)")
        radius = (
            check_plain(radius, "radius", "a radius is a number or a plain tensor")
            if isinstance(radius, Tensor)
            else radius
        )
        check_radius(x, radius)
        lower, upper = x - radius, x + radius
        if rounding.outward():
            size = torch.as_tensor(radius, dtype=x.dtype, device=x.device)
            budget = rounding.ieee_budget(0.5, input=0.5)
            lower, upper = rounding.widen(lower, upper, budget, at_lower=size, at_upper=size)
        lower, upper = rounding.cast(lower, upper, x.dtype)
        if clip is not None:
            check_clip(lower, upper, clip)
            like = Box(x, x)
            low, high = operand(clip[0], like).lower, operand(clip[1], like).upper
            lower, upper = lower.clamp(low, high), upper.clamp(low, high)
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
        x = check_plain(x, "x", "use it as it is, or X.clone() for memory of its own")
        return cls(x, x)

    # --- bounds -------------------------------------------------------------------------------------------------------

    @property
    def lower(self) -> Tensor:
        """Lower bounds: a plain tensor, part of the autograd graph."""
        return self._box.lower

    @property
    def upper(self) -> Tensor:
        """Upper bounds: a plain tensor, part of the autograd graph."""
        return self._box.upper

    # --- metadata: defined here, because a C++ attribute would pass through __torch_function__ ------------------------

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
        if dim is None:
            return self._box.lower.shape
        if _compat.called_by_vmap():
            raise UnsupportedOpError(
                "torch.vmap cannot split a box into samples",
                "rules work on whole batches: call the function on the batch itself",
                "or map over bounds: torch.vmap(lambda l, u: f(IntervalTensor(l, u)).lower)(X.lower, X.upper)",
            )  # fmt: skip
        return self._box.lower.size(dim)

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

    # --- single values ------------------------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        """The truth of a single entry, if it is the same at every point of the box.

        Raises:
            UndecidedError: if the truth depends on the point of the box.
            RuntimeError: as torch does, if there is more than one entry.
        """
        lower, upper = self._box
        if lower.is_complex():
            return bool(self.abs())
        check_values(lower, "the truth of a box")
        never = not bool(upper) if self.dtype is torch.bool else bool((lower == 0) & (upper == 0))
        always = bool(lower) if self.dtype is torch.bool else bool((lower > 0) | (upper < 0))
        if always == never:
            asked = _compat.checked_by_distribution()
            if asked is not None:
                raise undecided_check("one entry is undecided", asked)
            raise UndecidedError(
                f"the truth of {self!r} depends on the point of the box",
                "a branch on it would be right for some points only",
                "use torch.where(condition, a, b), which takes both branches; or bisect the box",
            )
        return always

    def item(self) -> Any:
        """The value of a single Boolean or integer entry, if it is the same at every point of the box.

        Raises:
            UndecidedError: if the value depends on the point of the box.
            EscapeError: for a box of real numbers.
        """
        return self._decided("item()").item()

    def tolist(self) -> Any:
        """The values of a Boolean or integer box as nested lists; raises as `item` does."""
        return self._decided("tolist()").tolist()

    def __int__(self) -> int:
        return int(self._decided("int()").item())

    def __float__(self) -> float:
        return float(self._decided("float()").item())

    def __index__(self) -> int:
        return self._decided("an index").__index__()

    def _decided(self, what: str) -> Tensor:
        if self._box.lower.dtype.is_floating_point or self._box.lower.is_complex():
            raise escape(what)
        check_values(self._box.lower, what)
        return decided(self._box, what)

    # --- copies, files, processes -------------------------------------------------------------------------------------

    def __deepcopy__(self, memo: dict) -> IntervalTensor:
        """Copy both bounds; only leaves can be copied, as in torch."""
        if id(self) not in memo:
            lower, upper = (bound.__deepcopy__(memo) for bound in self._box)
            memo[id(self)] = _rebuild(lower, upper, isinstance(self, nn.Parameter))
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> tuple:
        """Pickle as the two bounds; `torch.load(weights_only=True)` accepts it."""
        return (_rebuild, (*self._box, isinstance(self, nn.Parameter)))

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        """Name the plain tensors inside; torch asks for them in `Module.to` and export."""
        return ["lower", "upper"], None

    @classmethod
    def __tensor_unflatten__(cls, inner: dict[str, Tensor], context: None, size: Any, stride: Any) -> IntervalTensor:
        """Put the plain tensors back together."""
        return cls._wrap(Box(inner["lower"], inner["upper"]))

    def share_memory_(self) -> IntervalTensor:
        """Move both bounds to shared memory."""
        for bound in self._box:
            bound.share_memory_()
        return self

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        """Print intervals as `[lower, upper]` and points as one number."""
        return format_box(type(self).__name__, self._box)

    def __format__(self, spec: str) -> str:
        """Format as `repr` does. With a format for numbers, format a single interval as `[lower, upper]`."""
        if spec and self.ndim == 0:
            return format_interval(self._box, spec)
        if spec:
            raise TypeError(f"a box of several entries has no format {spec!r}; format one entry, as in X[0]")
        return repr(self)

    # --- calls of torch and NumPy -------------------------------------------------------------------------------------

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Answer a torch function by its rule."""
        return dispatch(IntervalTensor, func, types, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Answer the ATen calls of a C++ kernel by their rules."""
        return dispatch_aten(IntervalTensor, func, args, kwargs or {})

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Call the torch function of the same name, for `array * box` and `np.exp(box)`."""
        return apply_ufunc(ufunc, method, inputs, kwargs)


def _spread(given: Any, bound: Tensor, other: Tensor) -> Box:
    """The bound that a user gave; a number beside a floating tensor bounds every entry, enclosed in outward mode."""
    if type(given) not in (int, float) or not other.dtype.is_floating_point:
        return Box(bound, bound)
    return Box(*(torch.full_like(other, float(end)) for end in operand(given, Box(other, other))))


def _rebuild(lower: Tensor, upper: Tensor, parameter: bool = False) -> IntervalTensor:
    """Put copied or loaded bounds back together."""
    box = IntervalTensor._wrap(Box(lower, upper))
    if parameter:
        box._is_param = True  # the mark by which `isinstance(x, nn.Parameter)` knows a tensor subclass
    return box


def _collate(batch: list[Any], *, collate_fn_map: Any = None) -> Any:
    """Stack boxes for a DataLoader, in workers too."""
    return torch.stack(batch)


Undecided._boxed = IntervalTensor._wrap
default_collate_fn_map[IntervalTensor] = _collate
_rebuild.__module__ = "intervaltorch._tensor"  # the name in saved files, which must go on loading
torch.serialization.add_safe_globals([_rebuild])
show_bounds(IntervalTensor)
