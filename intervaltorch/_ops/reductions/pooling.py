r"""Pooling: greatest values and means over windows.

A maximum is increasing in every entry, and a mean has non-negative weights. So pooling both bounds gives the hull. A
mean of n entries is computed with an error of at most $\gamma_n$ times the mean of |x|, in whatever order they are
summed (Higham 2002, section 4.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._compat import anywhere, readable
from ..._records.registry import Box, spellings
from ..._rounding import EXACT
from ..._theorems.families import rule, structural
from ..._theorems.sums import bound_weighted_sum
from ..._theorems.undecided import Undecided
from . import programs

# --- means --------------------------------------------------------------------------------------------------


def _tuple(value: Any, dims: int) -> tuple[int, ...]:
    """One number for each dimension, from a parameter that may be one number for all."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * dims if len(values) == 1 else values


def _stride(given: Any) -> Any:
    """The stride, or None if there is none. ATen writes an empty list for none."""
    return None if given in (None, [], ()) else given


def _register_average(dims: int) -> None:
    """Register average pooling in a number of dimensions."""
    function: Any = getattr(F, f"avg_pool{dims}d")

    def enclose(
        input: Box, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> Box:  # fmt: skip
        """The hull; a negative `divisor_override` exchanges the bounds."""
        flip = divisor_override is not None and divisor_override < 0
        divisor = {} if divisor_override is None else {"divisor_override": abs(divisor_override)}

        def pool(x: Tensor) -> Tensor:
            return function(x, kernel_size, _stride(stride), padding, ceil_mode, count_include_pad, **divisor)

        pooled = bound_weighted_sum(pool, (input.lower,), (input.upper,), math.prod(_tuple(kernel_size, dims)))
        return Box(-pooled.upper, -pooled.lower) if flip else pooled

    rule(
        f"avg_pool{dims}d",
        formula=r"\tfrac{1}{n} \sum x",
        family="pooling",
        functional=True,
        proven=True,
        affine_in=({"input"},),
    )(enclose)


def _register_adaptive_average(dims: int) -> None:
    """Register adaptive average pooling in a number of dimensions."""
    name = f"adaptive_avg_pool{dims}d"
    function: Any = getattr(F, name)

    def enclose(input: Box, output_size: Any) -> Box:
        """The hull."""
        shape = input.lower.shape[-dims:]
        outputs = [size or n for size, n in zip(_tuple(output_size or (None,), dims), shape, strict=True)]
        terms = math.prod(math.ceil(n / size) + 1 for n, size in zip(shape, outputs, strict=True))
        return bound_weighted_sum(lambda x: function(x, output_size), (input.lower,), (input.upper,), terms)

    names = [name] if dims == 1 else [name, f"_{name}"]
    rule(
        *names, formula=r"\tfrac{1}{n} \sum x", family="pooling", functional=True, proven=True, affine_in=({"input"},)
    )(enclose)


@rule("col2im", formula=r"\sum x", family="pooling", proven=True, affine_in=({"input"},))
def col2im(input: Box, output_size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Box:
    """Sums of overlapping patches, as in `torch.nn.functional.fold`. Increasing in every entry."""
    parameters = (output_size, kernel_size, dilation, padding, stride)
    function: Any = F.fold
    return bound_weighted_sum(
        lambda x: function(x, *parameters), (input.lower,), (input.upper,), math.prod(_tuple(kernel_size, 2))
    )


# --- greatest values ----------------------------------------------------------------------------------------


def _with_indices(input: Box, low: tuple[Tensor, Tensor], upper: Tensor, windows: Sequence[Tensor], name: str) -> tuple:
    """The greatest values, and their indices if these are the same at every point of the box.

    Args:
        input: box.
        low: greatest values and indices of the lower bounds.
        upper: greatest values of the upper bounds.
        windows: for each pooled dimension, the positions in each window, `(outputs, size)`, -1 for none.
        name: of the function, for messages.
    """
    lower, indices = low
    values = Box(lower, upper)
    if not readable(lower):
        return values, Undecided(indices, name)
    with torch.no_grad():
        sizes = tuple(range(-len(windows), 0))
        # The entry with the greatest lower bound is the greatest for certain if no other upper bound reaches it.
        rivals = _gather_windows(input.upper, windows, -math.inf) >= lower[(...,) + (None,) * len(windows)]
        certain = rivals.sum(sizes) == 1
        certain |= ~_gather_windows(input.lower != input.upper, windows, False).sum(sizes).bool()
        decided = not anywhere(~certain)
    return values, indices if decided else Undecided(indices, name, certain)


def _gather_windows(x: Tensor, windows: Sequence[Tensor], outside: Any) -> Tensor:
    """Lay windows out along new last dimensions: `(*batch, *inputs)` to `(*batch, *outputs, *sizes)`."""
    for dim, window in enumerate(windows, start=x.ndim - len(windows)):
        x = x.index_select(dim, window.clamp(min=0).flatten()).unflatten(dim, window.shape)
        missing = (window < 0).reshape(window.shape + (1,) * (x.ndim - dim - 2))
        x = x.masked_fill(missing, outside).movedim(dim + 1, -1)
    return x


def _register_greatest(dims: int) -> None:
    """Register maximum pooling in a number of dimensions."""
    name = f"max_pool{dims}d"
    plain: Any = getattr(F, name)

    def without(
        input: Box, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, return_indices: bool = False,
    ) -> Any:  # fmt: skip
        """Both bounds pooled, exactly."""
        if return_indices:
            return with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
        stride = _stride(stride)
        return Box(*(plain(x, kernel_size, stride, padding, dilation, ceil_mode) for x in input))

    def with_indices(
        input: Box, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, return_indices: bool = True,
    ) -> Any:  # fmt: skip
        """Both bounds pooled, exactly; the indices if they are the same for every point."""
        stride = _stride(stride)
        parameters = (kernel_size, stride, padding, dilation, ceil_mode)
        low, upper = plain(input.lower, *parameters, return_indices=True), plain(input.upper, *parameters)
        kernel = _tuple(kernel_size, dims)
        geometry = zip(
            input.lower.shape[-dims:], upper.shape[-dims:], kernel, _tuple(stride or kernel, dims),
            _tuple(padding, dims), _tuple(dilation, dims), strict=True,
        )  # fmt: skip
        windows = [_window(upper.device, *numbers) for numbers in geometry]
        return _with_indices(input, low, upper, windows, name)

    record: dict[str, Any] = {"formula": r"\max x", "family": "pooling", "budget": EXACT, "proven": True}
    rule(name, functional=True, parts=programs.max_pool, **record)(without)
    rule(f"{name}_with_indices", functional=True, **record)(with_indices)


def _window(device: Any, size: int, outputs: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """Positions in each window of an ordinary pooling; -1 in the padding."""
    starts = torch.arange(outputs, device=device) * stride - padding
    positions = starts[:, None] + torch.arange(kernel, device=device) * dilation
    return positions.masked_fill((positions < 0) | (positions >= size), -1)


def _register_adaptive_greatest(dims: int) -> None:
    """Register adaptive maximum pooling in a number of dimensions."""
    name = f"adaptive_max_pool{dims}d"
    plain: Any = getattr(F, name)

    def without(input: Box, output_size: Any, return_indices: bool = False) -> Any:
        """Both bounds pooled, exactly."""
        if return_indices:
            return with_indices(input, output_size)
        return Box(*(plain(x, output_size) for x in input))

    def with_indices(input: Box, output_size: Any, return_indices: bool = True) -> Any:
        """Both bounds pooled, exactly; the indices if they are the same for every point."""
        low, upper = plain(input.lower, output_size, return_indices=True), plain(input.upper, output_size)
        sizes = zip(input.lower.shape[-dims:], upper.shape[-dims:], strict=True)
        windows = [_adaptive_window(upper.device, *numbers) for numbers in sizes]
        return _with_indices(input, low, upper, windows, name)

    record: dict[str, Any] = {"formula": r"\max x", "family": "pooling", "budget": EXACT, "proven": True}
    rule(plain, **record)(without)
    # Outside torch.nn.functional the plain name always returns indices.
    others = [f for f in spellings(name, functional=False) if f is not plain]
    rule(getattr(F, f"{name}_with_indices"), *others, **record)(with_indices)


def _adaptive_window(device: Any, size: int, outputs: int) -> Tensor:
    """Positions in each window of an adaptive pooling, from floor(i n / m) to ceil((i + 1) n / m); -1 beyond."""
    step = torch.arange(outputs, device=device)
    starts, stops = step * size // outputs, -(-(step + 1) * size // outputs)
    longest = int((stops - starts).max()) if outputs else 0
    positions = starts[:, None] + torch.arange(longest, device=device)
    return positions.masked_fill(positions >= stops[:, None], -1)


for _dims in (1, 2, 3):
    _register_average(_dims)
    _register_adaptive_average(_dims)
    _register_greatest(_dims)
    _register_adaptive_greatest(_dims)

# Unpooling writes entries to given places and zero elsewhere.
structural("max_unpool2d", "max_unpool3d", functional=False)
