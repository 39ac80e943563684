"""Orthogonal polynomials: exact values, extremes, degrees of every kind, overflow."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import pytest
import torch

from intervaltorch import IntervalTensor, UnsupportedOpError, rounding, testing
from intervaltorch._ops.special.polynomials import HIGHEST, KINDS
from tests.exact import assert_contains_exact_values, assert_hull, random_boxes

inf = math.inf
special = torch.special
NAMES = [*KINDS, *("shifted_" + name for name in KINDS if name.startswith("chebyshev"))]
each_name = pytest.mark.parametrize("name", NAMES)
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def coefficients(name, n):
    """Coefficients in exact arithmetic, of 1 first, from another definition than the library's recurrence."""
    if name.startswith("shifted_"):
        return composed(coefficients(name.removeprefix("shifted_"), n))
    if name == "laguerre_polynomial_l":
        return [Fraction((-1) ** k * math.comb(n, k), math.factorial(k)) for k in range(n + 1)]
    found = [Fraction(0)] * (n + 1)
    for m in range(n // 2 + 1):
        found[n - 2 * m] = (-1) ** m * term(name, n, m)
    if name[-1] in "tvw" and n:  # T = U_n - x U_{n-1}, V = U_n - U_{n-1} and W = U_n + U_{n-1}
        lower = coefficients("chebyshev_polynomial_u", n - 1)
        lower = [0, *lower] if name.endswith("t") else [*lower, 0]
        found = [a + (b if name.endswith("w") else -b) for a, b in zip(found, lower)]
    return found


def term(name, n, m):
    """The modulus of the coefficient of the power n - 2 m, of U for all of Chebyshev's kinds."""
    factorials = math.factorial(m) * math.factorial(n - 2 * m)
    if name.startswith("chebyshev"):
        return Fraction(math.comb(n - m, m) * 2 ** (n - 2 * m))
    if name == "legendre_polynomial_p":
        return Fraction(math.comb(n, m) * math.comb(2 * n - 2 * m, n), 2**n)
    if name == "hermite_polynomial_h":
        return Fraction(math.factorial(n) * 2 ** (n - 2 * m), factorials)
    return Fraction(math.factorial(n), factorials * 2**m)


def composed(found):
    """The coefficients of p(2 x - 1)."""
    result = [Fraction(0)]
    for c in reversed(found):
        longer = [Fraction(0), *(2 * r for r in result)]
        result = [a - b for a, b in zip(longer, [*result, 0])]
        result[0] += c
    return result


def exactly(name, n):
    factors = [mpmath.mpf(c.numerator) / c.denominator for c in map(Fraction, coefficients(name, n))]
    return lambda x: mpmath.polyval(factors[::-1], x)


@each_dtype
@each_name
@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 20, 64])
def test_contains_exact_values(name, n, dtype):
    function = getattr(special, name)
    boxes = random_boxes(
        [(-1, 1), (-1.0001, -0.9999), (0.99, 1.01), (-0.01, 0.01), (-3, 9), (-60, 60), (1e3, 1e5)], dtype, 12
    )
    with mpmath.workdps(400):
        exact = exactly(name, n)
        assert_contains_exact_values(lambda x: function(x, n), exact, boxes, samples=4, digits=400)


@each_name
@pytest.mark.parametrize("n", [2, 3, 6, 11])
def test_hull(name, n):
    boxes = random_boxes([(-1, 1), (0, 1), (-0.2, 0.4), (-2, 3), (0, 12)], torch.float64)
    assert_hull(lambda x: getattr(special, name)(x, n), boxes, slack=1e-4)


@each_name
@pytest.mark.parametrize("n", [0, 1, 3, 5])
def test_agrees_with_torch(name, n):
    X = IntervalTensor.point(torch.linspace(-0.9, 1.9, 29, dtype=torch.float64))
    value = getattr(special, name)(X.lower, n)
    torch.testing.assert_close(getattr(special, name)(X, n).lower, value, atol=1e-9, rtol=1e-9)


@each_name
def test_degrees(name):
    """Numbers, tensors that broadcast, fractions cut as torch cuts them, negative ones, boxes of one point."""
    function = getattr(special, name)
    X = IntervalTensor(torch.tensor([[0.1], [0.5]]), torch.tensor([[0.2], [0.75]]))
    degrees = torch.tensor([0, 1, 4, -2])
    table = function(X, degrees)
    assert (
        table.shape == (2, 4) and table.dtype == torch.float32 and function(X, degrees.double()).dtype == torch.float64
    )
    for i, n in enumerate(degrees.tolist()):
        one = function(X[:, 0], n)
        assert torch.equal(one.lower, table.lower[:, i]) and torch.equal(one.upper, table.upper[:, i])
    assert not table[:, 3].magnitude.any()
    assert torch.equal(function(X, 4.9).lower[:, 0], table.lower[:, 2])
    assert torch.equal(function(x=X, n=IntervalTensor.point(degrees.float())).upper, table.upper)
    assert function(X[:0], 3).shape == (0, 1) and function(X[0, 0], torch.tensor(3)).shape == ()
    several = function(X, IntervalTensor(torch.tensor([-3.0, 1.0]), torch.tensor([0.5, 2.5])))
    one, two, three = (function(X[:, 0], n) for n in (0, 1, 2))
    zero = IntervalTensor.point(torch.zeros(2))
    for column, expected in enumerate((zero.hull(one), two.hull(three))):
        assert torch.equal(several.lower[:, column], expected.lower)
        assert torch.equal(several.upper[:, column], expected.upper)
    with pytest.raises(UnsupportedOpError, match=f"above {HIGHEST}"):
        function(X, HIGHEST + 1)


@each_name
@pytest.mark.parametrize("n", [1, 2, 3, 30])
def test_infinite_and_overflowing(name, n):
    function = getattr(special, name)
    sign = -1 if "laguerre" in name and n % 2 else 1
    for big in (1e38, inf):
        X = IntervalTensor(torch.tensor([big, 0.5, -big, -big]), torch.tensor([big, big, -big, big]))
        for mode in ("nearest", "outward"):
            with rounding(mode):
                Y = function(X, n)
            assert bool((Y.lower <= Y.upper).all())
            top, bottom = (Y.upper, Y.lower) if sign > 0 else (-Y.lower, -Y.upper)
            assert top[1] >= 9e37 and bottom[0] >= 9e37
            assert (bottom[2] >= 9e37) if n % 2 == 0 else (top[2] <= -9e37)


def test_known_bounds_hold_in_outward_mode():
    X = IntervalTensor(torch.tensor([-1.0, -0.9]), torch.tensor([1.0, 1.0]))
    with rounding("outward"):
        for name, largest in (("t", 1), ("u", 10), ("v", 19), ("w", 19)):
            assert getattr(special, f"chebyshev_polynomial_{name}")(X, 9).magnitude.max() == largest
        assert special.legendre_polynomial_p(X, 9).magnitude.max() == 1


@each_name
def test_gradient(name):
    boxes = random_boxes([(0.1, 0.9), (-0.5, 2)], torch.float64, count=8)
    boxes = boxes[boxes.width > 1e-3]
    for n in (1, 4):
        testing.check_gradient(lambda x: getattr(special, name)(x, n), boxes)  # noqa: B023


def test_errors_of_legendre_grow_no_faster_than_chebyshev():
    """The step of the proof that is numerical: |G| <= U at max(1, |x|)."""
    x = torch.linspace(-1, 1, 4001, dtype=torch.float64)
    for start in range(HIGHEST):
        before, here = torch.zeros_like(x), torch.ones_like(x)
        for k in range(start + 1, HIGHEST):
            before, here = here, (2 * k + 1) / (k + 1) * x * here - k / (k + 1) * before
            assert float(here.abs().max()) <= k - start + 1


def test_errors_of_laguerre_grow_no_faster_than_stated():
    """The other numerical step: |G| <= (n - k) e^(x/2) for x >= 0."""
    x = torch.cat([torch.linspace(0, 5, 1001), torch.linspace(5, 300, 4001)]).double()
    for start in range(HIGHEST):
        before, here = torch.zeros_like(x), torch.ones_like(x)
        for k in range(start + 1, HIGHEST):
            before, here = here, (2 * k + 1 - x) / (k + 1) * here - k / (k + 1) * before
            assert bool((here.abs() <= (k - start + 1) * torch.exp(x / 2)).all())
