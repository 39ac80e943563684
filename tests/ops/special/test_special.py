"""Special functions of the normal distribution, the sampling function, and neighbours among the floats."""

from __future__ import annotations

import mpmath
import pytest
import torch

from intervaltorch import IntervalTensor
from tests.exact import assert_contains_exact_values, assert_hull, random_boxes

each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


@each_dtype
def test_scaled_error_function(dtype):
    deepest = -9.3 if dtype is torch.float32 else -26.5
    boxes = random_boxes([(deepest, -1), (-1, 1), (1, 100), (1e3, 1e6)], dtype)
    assert_contains_exact_values(torch.special.erfcx, _erfcx, boxes)


def _erfcx(x):
    return mpmath.exp(x * x) * mpmath.erfc(x) if x < 100 else (1 - 1 / (2 * x * x)) / (x * mpmath.sqrt(mpmath.pi))


@each_dtype
def test_logarithm_of_the_normal_distribution(dtype):
    def exact(x):
        tail = mpmath.erfc(abs(x) / mpmath.sqrt(2)) / 2
        return mpmath.log1p(-tail) if x > 0 else mpmath.log(tail)

    boxes = random_boxes([(-1e3, -1), (-2, 2), (1, 6), (5, 14), (12, 38)], dtype)
    assert_contains_exact_values(torch.special.log_ndtr, exact, boxes, digits=400)


@each_dtype
def test_quantiles_of_the_normal_distribution(dtype):
    """The quantile q of p lies below x iff p < Φ(x)."""
    for intervals in (
        [(1e-30, 1e-20)],
        [(1e-6, 1e-3)],
        [(0.01, 0.99)],
        [(0.135, 0.1355)],
        [(0.49999, 0.50001)],
        [(0.999, 1)],
    ):
        boxes = random_boxes(intervals, dtype)
        result = _outward(torch.special.ndtri, boxes)
        with mpmath.workdps(60):
            for p, q, low, high in zip(*(end.tolist() for end in (*_ends(boxes), *_ends(result)))):
                assert mpmath.ncdf(low) <= p and (q == 1 or mpmath.ncdf(high) >= q)


def _outward(function, boxes):
    from intervaltorch import rounding

    with rounding("outward"):
        return function(boxes)


def _ends(box):
    return box.lower, box.upper


@each_dtype
@pytest.mark.parametrize("name", ["sinc", "spherical_bessel_j0"])
def test_damped_waves(name, dtype):
    function = getattr(torch.special, name)
    exact = mpmath.sincpi if name == "sinc" else mpmath.sinc
    boxes = random_boxes([(-1, 1), (-30, 30), (4, 5), (7.5, 8), (100, 110), (-1e5, 1e5)], dtype)
    assert_contains_exact_values(function, exact, boxes)
    assert_hull(function, boxes[boxes.magnitude < 200].to(torch.float64))


def test_neighbours():
    x = IntervalTensor(torch.tensor([1.0, -1.0, 2.0]), torch.tensor([1.0, 2.0, 3.0]))
    result = torch.nextafter(x, torch.tensor(2.5))
    values = torch.nextafter(torch.tensor([1.0, 2.0, 3.0]), torch.tensor(2.5))
    assert torch.equal(result.upper, values) and result.lower[0] == values[0]
    assert result.contains(torch.nextafter(torch.tensor([1.0, 0.5, 2.5]), torch.tensor(2.5))).all()
    both = torch.nextafter(x, IntervalTensor(torch.full((3,), -9.0), torch.full((3,), 9.0)))
    assert both.lower[0] < 1 < both.upper[0]
