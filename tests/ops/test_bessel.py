"""Bessel functions: exact values, extremes, overflow, derivatives that torch does not know."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch

from intervaltorch import IntervalTensor, rounding, testing
from tests.exact import assert_contains_exact_values, random_boxes

inf = math.inf
special = torch.special
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)

MODIFIED = {
    "i0": lambda x: mpmath.besseli(0, x),
    "i0e": lambda x: mpmath.besseli(0, x) * mpmath.exp(-abs(x)),
    "i1": lambda x: mpmath.besseli(1, x),
    "i1e": lambda x: mpmath.besseli(1, x) * mpmath.exp(-abs(x)),
}
FALLING = {
    "modified_bessel_k0": lambda x: mpmath.besselk(0, x),
    "modified_bessel_k1": lambda x: mpmath.besselk(1, x),
    "scaled_modified_bessel_k0": lambda x: mpmath.besselk(0, x) * mpmath.exp(x),
    "scaled_modified_bessel_k1": lambda x: mpmath.besselk(1, x) * mpmath.exp(x),
}


@each_dtype
@pytest.mark.parametrize("name", MODIFIED)
def test_growing(name, dtype):
    largest = 91.5 if dtype is torch.float32 else 713.5  # what comes before overflow
    boxes = random_boxes([(-1, 1), (-9, 9), (1.5, 1.6), (7, 9), (59, 61), (largest - 5, largest)], dtype)
    assert_contains_exact_values(getattr(special, name), MODIFIED[name], boxes)


@each_dtype
@pytest.mark.parametrize("name", FALLING)
def test_falling(name, dtype):
    largest = 90 if dtype is torch.float32 else 720
    boxes = random_boxes([(1e-40, 1e-38), (1e-6, 1e-3), (0.01, 3), (1.9, 2.1), (3, 20), (80, largest)], dtype, count=20)
    assert_contains_exact_values(getattr(special, name), FALLING[name], boxes)


@pytest.mark.parametrize("name", FALLING)
def test_derivative_that_torch_lacks(name):
    testing.check_gradient(getattr(special, name), random_boxes([(0.1, 1), (1, 9)], torch.float64, count=4)[1::4])


@pytest.mark.parametrize("name", [*MODIFIED, *FALLING])
def test_spellings(name):
    X = IntervalTensor(torch.tensor([0.5, 1.0]), torch.tensor([0.75, 2.0]))
    function = getattr(special, name)
    keyword = "x" if "scaled" in name else "input"
    for result in (function(**{keyword: X}), getattr(torch.ops.aten, f"special_{name}", function)(X)):
        assert torch.equal(result.lower, function(X).lower)
    if name in ("i0", "i1"):
        assert torch.equal(getattr(special, "modified_bessel_" + name)(X).upper, function(X).upper)


def test_values_below_overflow_are_not_lost():
    """The exponential of torch's i0 overflows before i0 does."""
    x = torch.tensor([90.0])
    assert special.i0(x).isinf()
    with rounding("outward"):
        result = special.i0(IntervalTensor.point(x))
    assert result.upper.isfinite() and result.contains(special.i0(x.double()).float()).all()
