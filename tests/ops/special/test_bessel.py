"""Bessel functions: exact values, extremes, overflow, derivatives that torch does not know."""

from __future__ import annotations

import math
from functools import partial

import mpmath
import pytest
import torch

from intervaltorch import IntervalTensor, rounding, testing
from intervaltorch._ops.special.airy import TAYLOR
from intervaltorch._ops.special.waves import HEIGHTS, KNOWN, PLACES
from tests.exact import assert_contains_exact_values, assert_hull, random_boxes

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


# --- waves ------------------------------------------------------------------------------------------------------------

WAVES = {
    "bessel_j0": partial(mpmath.besselj, 0),
    "bessel_j1": partial(mpmath.besselj, 1),
    "bessel_y0": partial(mpmath.bessely, 0),
    "bessel_y1": partial(mpmath.bessely, 1),
}
each_wave = pytest.mark.parametrize("name", WAVES)
RIGHT = [(1e-6, 0.1), (0.2, 0.3), (0.5, 3), (1.8, 1.9), (3.6, 4), (0.1, 24), (24, 26), (75, 82), (30, 300), (1e4, 1e5)]


@each_dtype
@each_wave
def test_waves(name, dtype):
    boxes = random_boxes(RIGHT + ([(-30, 30), (-3, 1), (-200, -190)] if "_j" in name else []), dtype, count=8)
    assert_contains_exact_values(getattr(special, name), WAVES[name], boxes, samples=4, digits=30)


@each_wave
def test_waves_are_hulls(name):
    boxes = random_boxes(RIGHT[1:8] + ([(-30, 30), (-3, 1)] if "_j" in name else []), torch.float64, 12)
    assert_hull(getattr(special, name), boxes, count=800, slack=2e-3)


@each_wave
def test_extremes_are_inside(name):
    """Around each of the first thirty extremes, and at it."""
    function, exact = getattr(special, name), WAVES[name]
    zeros = mpmath.besseljzero if "_j" in name else mpmath.besselyzero
    places = [float(zeros(1, k, derivative=int(name.endswith("1")))) for k in (1, 2, 3, 23, 24, 25, 26, 30)]
    x = torch.tensor(places, dtype=torch.float64)
    for radius in (0.0, 1e-9, 1e-3, 0.5):
        boxes = IntervalTensor(x - radius, x + radius)
        with rounding("outward"):
            result = function(boxes)
        bounds = zip(result.lower.tolist(), result.upper.tolist())
        assert all(low <= exact(mpmath.mpf(p)) <= high for p, (low, high) in zip(places, bounds))
        assert radius == 0 or bool((result.width <= radius**2 + 1e-12).all())


@each_wave
def test_waves_far_away(name):
    """Where floats lie farther apart than extremes only the envelope is known; at infinity the value is 0."""
    function = getattr(special, name)
    X = IntervalTensor(torch.tensor([1e15, 1e30, 5.0, inf, 1e3]), torch.tensor([2e15, inf, inf, inf, 1e20])).double()
    for mode in ("nearest", "outward"):
        with rounding(mode):
            Y = function(X)
        assert bool((Y.lower <= 0).all()) and bool((Y.upper >= 0).all()) and bool((Y.magnitude < 0.36).all())
        assert 2.5e-8 < Y.upper[0] < 2.6e-8 and -2.6e-8 < Y.lower[0] < -2.5e-8
        assert Y.magnitude[3] < 1e-300


@each_wave
def test_waves_on_their_whole_domain(name):
    function, least = getattr(special, name), -inf if "_j" in name else 0.0
    Y = function(IntervalTensor(torch.tensor([least, 0.0]), torch.tensor([inf, 0.0])))
    expected = {"bessel_j0": (-0.402759, 1, 1), "bessel_j1": (-0.581865, 0.581865, 0)}
    low, high, zero = expected.get(name, (-inf, 0.520786 if name[-1] == "0" else 0.416729, -inf))
    assert Y.lower[0].item() == pytest.approx(low, abs=1e-5) and Y.upper[0].item() == pytest.approx(high, abs=1e-5)
    assert Y.lower[1] == Y.upper[1] == zero


@each_wave
def test_derivatives_of_waves(name):
    boxes = random_boxes([(0.05, 0.2), (0.3, 20), (26, 90)], torch.float64, count=8)
    testing.check_gradient(getattr(special, name), boxes[boxes.width > 1e-4])


@each_wave
def test_layouts_of_waves(name):
    function = getattr(special, name)
    X = IntervalTensor(torch.rand(6, 4) * 30, 30 + torch.rand(6, 4) * 9)
    assert torch.equal(function(X.T).lower, function(X).lower.T) and function(X[:0]).shape == (0, 4)
    assert function(X[0, 0]).shape == () and function(X).dtype == torch.float32
    testing.check_nested(function, X)


# --- the Airy function ------------------------------------------------------------------------------------------------


@each_dtype
def test_airy(dtype):
    right = [(0, 1), (0.4, 0.6), (3, 5), (8.9, 9.1), (9, 20), (50, 90)]
    left = [(-1, 0), (-1.1, -0.9), (-9.1, -8.9), (-9, 3), (-40, -30), (-1e3, -999), (-50, 10), (-1e5, -99999)]
    assert_contains_exact_values(special.airy_ai, mpmath.airyai, random_boxes(right + left, dtype, 12), digits=60)


def test_airy_is_a_hull():
    intervals = [(-9, 3), (-1.1, -0.9), (-30, -20), (-30, 5), (2, 8), (8, 12)]
    assert_hull(special.airy_ai, random_boxes(intervals, torch.float64, 12), count=800, slack=2e-3)


def test_tables_of_extremes():
    """Each place and each height is the float64 number nearest to the real one, or a neighbour."""
    zeros = {
        "bessel_j0": lambda k: mpmath.besseljzero(1, k),
        "bessel_j1": lambda k: mpmath.besseljzero(1, k, 1),
        "bessel_y0": lambda k: mpmath.besselyzero(1, k),
        "bessel_y1": lambda k: mpmath.besselyzero(1, k, 1),
        "airy_ai": lambda k: -mpmath.airyaizero(k, 1),
    }
    exact = WAVES | {"airy_ai": lambda x: mpmath.airyai(-x)}
    with mpmath.workdps(30):
        for name, zero in zeros.items():
            for k in (1, 2, 9, KNOWN):
                place, height = PLACES[name][k - 1], HEIGHTS[name][k - 1]
                assert abs(zero(k) - place) <= math.ulp(place)
                assert abs(exact[name](zero(k)) - height) <= math.ulp(height)
        for x, values in TAYLOR.items():
            assert values == (float(mpmath.airyai(x)), float(mpmath.airyai(x, derivative=1)))


def test_airy_extremes_beyond_the_table():
    for k in (24, 25, 26, 60):
        place = mpmath.airyaizero(k, 1)
        X = IntervalTensor(*(torch.tensor([float(place) + radius]) for radius in (-0.3, 0.3))).double()
        with rounding("outward"):
            Y = special.airy_ai(X)
        height = mpmath.airyai(place)
        assert Y.lower.item() <= height <= Y.upper.item()
        assert abs((Y.upper if height > 0 else Y.lower).item() - height) < 1e-12


def test_airy_far_away():
    X = IntervalTensor(torch.tensor([-inf, -1e12, -inf, 1e3, -1e9]), torch.tensor([inf, -1e11, -inf, inf, 0.0]))
    for mode in ("nearest", "outward"):
        with rounding(mode):
            Y = special.airy_ai(X)
        assert Y.lower[0].item() == pytest.approx(-0.419015, abs=1e-5) == Y.lower[4].item()
        assert Y.upper[0].item() == pytest.approx(0.535657, abs=1e-5) == Y.upper[4].item()
        assert Y.upper[1].item() == pytest.approx(1e11**-0.25 / math.sqrt(math.pi), rel=1e-6) == -Y.lower[1].item()
        assert Y.magnitude[2] == 0 and Y.lower[3] == 0 and Y.upper[3] < 1e-30


def test_derivative_of_airy():
    boxes = random_boxes([(-30, -9.5), (-8, 0), (0, 8), (9.5, 12)], torch.float64, count=8)
    testing.check_gradient(special.airy_ai, boxes[boxes.width > 1e-3])
