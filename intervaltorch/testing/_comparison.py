"""Comparing the results of one function in both rounding modes, in both dtypes, and with torch's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from .._tensor.interval import IntervalTensor
from .._theorems.undecided import Undecided
from ._boxes import is_box, is_real
from ._trees import flatten

__all__ = [
    "aligned", "assert_alike", "assert_all", "assert_gap_shrinks", "assert_near", "gap", "own_error", "spanned",
    "with_constants",
]  # fmt: skip

inf = float("inf")


def aligned(*results: Any) -> Iterator[tuple[IntervalTensor, ...]]:
    """Iterate over corresponding boxes of several results; what does not vary may be plain in one of them."""
    leaves = (flatten(result)[0] for result in results)
    return (boxes for boxes in zip(*leaves, strict=True) if all(map(is_box, boxes)))


def spanned(nearest: Any, outward: Any) -> Any:
    """The boxes of nearest mode, those of numbers widened by the gap to those of outward mode."""
    boxes, rebuild = flatten(nearest)
    return rebuild([x.hull(y) if is_real(x) else x for x, y in zip(boxes, flatten(outward)[0], strict=True)])


def gap(x: Tensor, y: Tensor) -> Tensor:
    """How far two bounds are apart; 0 where both are the same infinity."""
    return (x.double() - y.double()).abs().nan_to_num(nan=0.0)


def with_constants(result: Any, value: Any, first: Any) -> Any:
    """The value, with plain floating tensors of the result in place of values that are the same at every point.

    Such a tensor is torch's own result in its own precision; that nothing varies is what is checked.
    """
    if isinstance(result, (tuple, list)) and isinstance(value, (tuple, list)) and len(result) == len(value):
        return [with_constants(*items) for items in zip(result, value, first, strict=True)]
    plain = isinstance(result, Tensor) and not (is_box(result) or isinstance(result, Undecided))
    plain = plain and result.dtype.is_floating_point
    if plain and isinstance(value, Tensor) and torch.equal(value, first):
        torch.testing.assert_close(result, value.to(result.dtype), msg="a plain result differs from torch's")
        return result
    return value


def assert_gap_shrinks(
    outward: Any,
    nearest: Any,
    outward64: Any,
    nearest64: Any,
    image: tuple[float, float] = (-inf, inf),
    told: Callable[[tuple[int, ...]], str] = lambda index: "",
) -> None:
    """The gap between the modes is a multiple of the unit roundoff, 2^29 times smaller in float64 than in float32.

    The factor 2^-20 leaves room for constants, the 2^-32 for a gap that an exact result cut off in float32. A bound
    that was cut to the image there has no gap to compare; that it encloses is checked elsewhere.

    Args:
        outward: result in float32, rounded outward.
        nearest: the same in nearest mode.
        outward64: both in float64.
        nearest64: both in float64.
        image: of the function, as far as it is known.
        told: says what the input is at an index.
    """
    for wide, rough, wide64, rough64 in aligned(outward, nearest, outward64, nearest64):
        if wide.dtype is torch.float32 and wide64.dtype is torch.float64:
            for name in ("lower", "upper"):
                end = getattr(rough64, name)
                single, double = gap(getattr(wide, name), getattr(rough, name)), gap(getattr(wide64, name), end)
                small = double <= 2.0**-20 * single + 2.0**-32 * (1 + end.abs())
                cut = getattr(wide, name) == (image[0] if name == "lower" else image[1])
                message = f"the {name} bound of nearest mode is off by more than rounding explains"
                assert_all(small | cut, rough64, message, told)


def own_error(singles: list[Any], values: list[Any]) -> list[Tensor]:
    """How far torch's own results lie from the exact values, for each entry of each tensor.

    A few points may miss the largest error of an entry. So an entry may err as the worst of its tensor does, in
    absolute terms or in proportion to its size, whichever is less.

    Args:
        singles: what the function returns on plain tensors, at each point.
        values: its values in float64 there.
    """
    errors = []
    for found, exact in zip(zip(*singles, strict=True), zip(*values, strict=True), strict=True):
        error = torch.stack([gap(x, y) for x, y in zip(found, exact)]).amax(0)
        size = torch.stack([y.double().abs() for y in exact]).amax(0).nan_to_num(nan=0.0)
        share = (error / size).nan_to_num(nan=0.0)
        alike = torch.minimum(size * share.max(), error.max()) if error.numel() else error
        errors.append(torch.maximum(error, alike.nan_to_num(nan=0.0)))
    return errors


def assert_near(
    outward: Any,
    nearest: Any,
    outward64: Any,
    nearest64: Any,
    own: list[Tensor] | None = None,
    exact: bool = False,
    told: Callable[[tuple[int, ...]], str] = lambda index: "",
) -> None:
    """A bound of nearest mode lies as near to the exact bound as rounding explains.

    The exact bound is the one in float64, rounded outward. Rounding explains the distance of the outward bound in
    float32 from it, the error of torch's own results, and one unit in the last place, because the exact bound may be no
    float32. None of the three depends on the bound of nearest mode. Bounds beyond the largest float32 may overflow.

    Args:
        outward: result in float32, rounded outward.
        nearest: the same in nearest mode.
        outward64: both in float64.
        nearest64: both in float64.
        own: the error of torch's own results for each tensor, see `own_error`; None where a budget states it.
        exact: whether the function commits no rounding error at all.
        told: says what the input is at an index.
    """
    info = torch.finfo(torch.float32)
    leaves = [flatten(result)[0] for result in (outward, nearest, outward64, nearest64)]
    for position, (wide, rough, wide64, rough64) in enumerate(zip(*leaves, strict=True)):
        if not all(map(is_box, (wide, rough, wide64, rough64))):
            continue
        if wide.dtype is not torch.float32 or wide64.dtype is not torch.float64:
            continue
        for name in ("lower", "upper"):
            far, found, bound, other = (getattr(x, name).detach().double() for x in (wide, rough, wide64, rough64))
            allowed = gap(far, bound) + 2 * gap(bound, other)  # the second is what float64 leaves open
            if not exact:
                allowed = allowed + bound.abs() * info.eps + info.tiny
            if own is not None:
                allowed = allowed + own[position]
            overflows = (bound.abs() > info.max) & (found.abs() >= info.max * (1 - 2.0**-10)) & (bound * found > 0)
            message = f"the {name} bound of nearest mode is off by more than rounding explains"
            assert_all((gap(found, bound) <= allowed) | overflows, rough, message, told)


def assert_alike(result: Any, expected: Any, what: str) -> None:
    """Raise AssertionError unless structure, dtypes and shapes agree."""
    if isinstance(expected, (tuple, list)):
        if type(result) is not type(expected) or len(result) != len(expected):
            raise AssertionError(f"{what} is a {type(result)}, but torch returns a {type(expected)} of {len(expected)}")
        for position, (item, other) in enumerate(zip(result, expected, strict=True)):
            assert_alike(item, other, f"{what}[{position}]")
    elif isinstance(result, Tensor) and isinstance(expected, Tensor):
        got, want = (result.dtype, tuple(result.shape)), (expected.dtype, tuple(expected.shape))
        if got != want:
            raise AssertionError(f"{what} has dtype and shape {got}, but torch gives {want}")


def assert_all(
    good: Tensor, box: IntervalTensor, message: str, told: Callable[[tuple[int, ...]], str] = lambda index: ""
) -> None:
    """Raise AssertionError with the first entry of the box that is not good."""
    if bool(good.all()):
        return
    index = tuple((~good).nonzero()[0].tolist())
    low, high = box.lower[index].item(), box.upper[index].item()
    count = int((~good).sum())
    raise AssertionError(f"{message}: at index {index} it is [{low:.17g}, {high:.17g}] ({count} entries){told(index)}")
