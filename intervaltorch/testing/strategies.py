"""Hypothesis strategies for tensors and boxes. Needs `hypothesis`: `pip install intervaltorch[test]`."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from torch import Tensor

from .._tensor.interval import IntervalTensor
from .points import sample_points

__all__ = ["boxes", "boxes_with_points", "shapes", "tensors"]

inf = float("inf")
_WIDTHS = {torch.float16: 16, torch.float32: 32, torch.float64: 64}


def shapes(*, max_dims: int = 3, max_side: int = 4, min_side: int = 0) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes of small tensors, 0-d and empty ones included.

    Args:
        max_dims: largest number of dimensions.
        max_side: largest size of a dimension.
        min_side: smallest size of a dimension; 0 allows empty tensors.
    """
    return numpy_strategies.array_shapes(min_dims=0, max_dims=max_dims, min_side=min_side, max_side=max_side)


def _inside(number: float, dtype: torch.dtype, towards: float) -> float:
    """The number, or if the dtype cannot hold it the next one that it can, in the given direction."""
    rounded = torch.tensor(number, dtype=dtype)
    if (rounded.item() < number) if towards > 0 else (rounded.item() > number):
        rounded = torch.nextafter(rounded, torch.tensor(towards, dtype=dtype))
    return rounded.item()


@st.composite
def tensors(
    draw: Any,
    shape: Any = None,
    *,
    dtype: torch.dtype = torch.float32,
    min_value: float = -10.0,
    max_value: float = 10.0,
) -> Tensor:
    """Finite floating tensors.

    Args:
        draw: given by hypothesis.
        shape: a shape, a strategy for one, or None for any small shape.
        dtype: float16, float32 or float64.
        min_value: smallest entry.
        max_value: largest entry.
    """
    shape = draw(shapes() if shape is None else shape if isinstance(shape, st.SearchStrategy) else st.just(shape))
    low, high = _inside(min_value, dtype, inf), _inside(max_value, dtype, -inf)
    elements = st.floats(low, high, width=_WIDTHS[dtype])  # type: ignore[arg-type]
    array = draw(numpy_strategies.arrays(f"float{_WIDTHS[dtype]}", tuple(shape), elements=elements))
    return torch.from_numpy(array)


@st.composite
def boxes(
    draw: Any,
    shape: Any = None,
    *,
    dtype: torch.dtype = torch.float32,
    min_value: float = -10.0,
    max_value: float = 10.0,
    max_radius: float | None = None,
    infinite: bool = False,
) -> IntervalTensor:
    """Boxes of any width, points included.

    Args:
        draw: given by hypothesis.
        shape: a shape, a strategy for one, or None for any small shape.
        dtype: float16, float32 or float64.
        min_value: smallest bound.
        max_value: largest bound.
        max_radius: if given, boxes are balls of at most this radius, cut to the range of values.
        infinite: whether some bounds may be infinite.

    Example:
        >>> from hypothesis import given
        >>> @given(boxes((2, 3), min_value=0.0))
        ... def test_square_root_is_increasing(X):
        ...     assert (X.sqrt().lower == X.lower.sqrt()).all()
        >>> test_square_root_is_increasing()
    """
    first = draw(tensors(shape, dtype=dtype, min_value=min_value, max_value=max_value))
    if max_radius is None:
        second = draw(tensors(tuple(first.shape), dtype=dtype, min_value=min_value, max_value=max_value))
        lower, upper = torch.minimum(first, second), torch.maximum(first, second)
    else:
        radius = draw(tensors(tuple(first.shape), dtype=dtype, min_value=0.0, max_value=max_radius))
        lower, upper = (first - radius).clamp(min=min_value), (first + radius).clamp(max=max_value)
    if infinite:
        which = torch.from_numpy(draw(numpy_strategies.arrays("int8", tuple(first.shape), elements=st.integers(0, 5))))
        lower = lower.masked_fill((which == 4) | (which == 5), float("-inf"))
        upper = upper.masked_fill((which == 3) | (which == 5), float("inf"))
    return IntervalTensor(lower, upper)


@st.composite
def boxes_with_points(draw: Any, shape: Any = None, *, count: int = 8, **options: Any) -> tuple[IntervalTensor, Tensor]:
    """Boxes, each with `count` of its points stacked along a new first dimension.

    Args:
        draw: given by hypothesis.
        shape: as in `boxes`.
        count: how many points, at least 3.
        **options: as in `boxes`.
    """
    box = draw(boxes(shape, **options))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    return box, sample_points(box, count, generator=generator)
