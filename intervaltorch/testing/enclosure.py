"""The basic assertion: a box contains a value, exactly."""

from __future__ import annotations

import numbers
from typing import Any

import torch
from torch import Tensor

from .._compat import readable
from .._tensor.interval import IntervalTensor
from .._theorems.undecided import Undecided

__all__ = ["assert_encloses"]

inf = float("inf")


def assert_encloses(result: Any, value: Any, *, what: str = "the result") -> None:
    """Check that every box of a result contains the corresponding value, without any tolerance.

    A plain tensor in the result means that the value is the same at every point of the input, so the tensor must equal
    the value. In an undecided index, the decided entries must equal the value, and the other entries must admit the
    value. Only the whole line encloses NaN (such as 0 / 0), because the whole line claims nothing.

    Args:
        result: an `IntervalTensor`, a tensor, a number, or a tuple, list or dict of them.
        value: what the same program returned at one point, or the exact answer; same structure. Floating tensors may
            be of a wider dtype; leading dimensions beyond those of the box hold several values.
        what: words for the message.

    Raises:
        AssertionError: with the first entry that is outside, its bounds, and its distance from them.

    Example:
        >>> import torch, intervaltorch as it
        >>> X = it.IntervalTensor(torch.tensor([0.0, -1.0]), torch.tensor([1.0, 1.0]))
        >>> assert_encloses(X * X, torch.tensor([0.25, 0.0]))
        >>> assert_encloses(X, torch.tensor([0.5, 1.5]), what="X")
        Traceback (most recent call last):
        AssertionError: X does not enclose 1 of 2 values: at index (1,) the box is [-1, 1], the value is 1.5,
        outside by 0.5
    """
    if isinstance(result, dict):
        _same(set(result), set(value), what, "keys")
        for key, item in result.items():
            assert_encloses(item, value[key], what=f"{what}[{key!r}]")
    elif isinstance(result, (tuple, list)):
        if not isinstance(value, (tuple, list)):
            raise AssertionError(f"{what} is a {type(result).__name__}, but the value is a {type(value).__name__}")
        _same(len(result), len(value), what, "length")
        for position, (item, point) in enumerate(zip(result, value)):
            assert_encloses(item, point, what=f"{what}[{position}]")
    elif isinstance(result, Undecided):
        _same(tuple(result.shape), tuple(value.shape), what, "shape")
        _assert_possible(result, value, what)
    elif isinstance(result, IntervalTensor):
        _assert_inside(result.lower, result.upper, torch.as_tensor(value), what)
    elif isinstance(result, (Tensor, numbers.Number)):
        _assert_inside(torch.as_tensor(result), torch.as_tensor(result), torch.as_tensor(value), what)
    elif result != value:
        raise AssertionError(f"{what} is {result!r}, but the value is {value!r}")


def _assert_possible(result: Undecided, value: Tensor, what: str) -> None:
    """Check an index that is undecided in part: entries that are decided, and comparisons."""
    if result.dtype.is_floating_point or not readable(value):
        return
    answer: Any = result == value.to(result.dtype)
    if not bool(answer.upper.all()):
        index = tuple((~answer.upper).nonzero()[0].tolist())
        raise AssertionError(f"{what} cannot be {value[index]} at index {index}, but the value is")


def _same(result: Any, value: Any, what: str, aspect: str) -> None:
    if result != value:
        raise AssertionError(f"{what} has {aspect} {result}, but the value has {value}")


@torch.no_grad()
def _assert_inside(lower: Tensor, upper: Tensor, value: Tensor, what: str) -> None:
    if lower.is_complex() and value.is_complex():
        lower, upper, value = (torch.view_as_real(x.resolve_conj()) for x in (lower, upper, value))
    if lower.shape != value.shape[value.ndim - lower.ndim :]:
        raise AssertionError(f"{what} has shape {tuple(lower.shape)}, but the value has {tuple(value.shape)}")
    if lower.dtype is torch.bool and value.dtype is torch.bool:
        lower, upper, value = lower.byte(), upper.byte(), value.byte()
    if lower.dtype.is_floating_point != value.dtype.is_floating_point:
        raise AssertionError(f"{what} has dtype {lower.dtype}, but the value has {value.dtype}")
    if value.dtype.is_floating_point:
        # Exact: every floating dtype is a subset of float64.
        lower, upper, value = lower.double(), upper.double(), value.double()
    missed = ~((lower <= value) & (value <= upper))
    if value.dtype.is_floating_point:
        missed &= ~(value.isnan() & (lower == -inf) & (upper == inf))
    if not bool(missed.any()):
        return
    index = tuple(missed.nonzero()[0].tolist())
    at = index[value.ndim - lower.ndim :]
    low, high, point = lower[at].item(), upper[at].item(), value[index].item()
    excess = max(low - point, point - high)
    error: Any = AssertionError(
        f"{what} does not enclose {int(missed.sum())} of {value.numel()} values: at index {at} the box is "
        f"[{low:.17g}, {high:.17g}], the value is {point:.17g}, outside by {excess:.3g}"
    )
    error.index = at
    raise error
