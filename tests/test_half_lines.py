"""Boxes with ends at infinity or at zero: the hull is often a half-line, and the bound is that, in both modes.

The tables state the hull by its definition: of the values at all finite points of the boxes where the function has one.
All finite ends are powers of two or small integers, so nearest mode gives them exactly, and outward mode moves them by
a few units in the last place. A divisor that ends at 0 has the sign of that zero: 0.0 starts the
positive numbers and -0.0 ends the negative ones, as in torch's own quotients; see `sides_of_zero`.
"""

import itertools
import math

import pytest
import torch

from intervaltorch import IntervalTensor, rounding

inf = math.inf
LINE = (-inf, inf)
POSITIVE, NEGATIVE = (0.0, inf), (-inf, 0.0)


def box(ends, dtype=torch.float64):
    return IntervalTensor(*(torch.tensor([end], dtype=dtype) for end in ends))


def assert_hull(function, arguments, expected):
    for dtype, mode in itertools.product((torch.float32, torch.float64), ("nearest", "outward")):
        boxes = [box(x, dtype) if isinstance(x, tuple) else x for x in arguments]
        with rounding(mode):
            result = function(*boxes)
        low, high = result.lower.item(), result.upper.item()
        room = [8 * (torch.finfo(dtype).eps * abs(end) + torch.finfo(dtype).tiny) for end in expected]
        if mode == "nearest" or math.isinf(expected[0]):
            assert low == expected[0], (mode, dtype, low, high)
        if mode == "nearest" or math.isinf(expected[1]):
            assert high == expected[1], (mode, dtype, low, high)
        if math.isfinite(expected[0]):
            assert expected[0] - room[0] <= low <= expected[0], (mode, dtype, low, high)
        if math.isfinite(expected[1]):
            assert expected[1] <= high <= expected[1] + room[1], (mode, dtype, low, high)


RECIPROCALS = [
    ((1.0, inf), (0.0, 1.0)),
    ((-inf, -4.0), (-0.25, 0.0)),
    ((0.0, inf), POSITIVE),
    ((-inf, -0.0), NEGATIVE),
    ((0.0, 4.0), (0.25, inf)),
    ((-4.0, -0.0), (-inf, -0.25)),
    ((-0.0, 4.0), LINE),  # 1 / -0.0 is -inf
    ((-4.0, 0.0), LINE),  # 1 / 0.0 is inf
    ((-inf, 0.0), LINE),
    ((-0.0, inf), LINE),
    ((-1.0, 2.0), LINE),
    ((-inf, 2.0), LINE),
    (LINE, LINE),
    ((2.0, 4.0), (0.25, 0.5)),
    ((0.0, 0.0), LINE),
    ((-0.0, -0.0), LINE),
]


@pytest.mark.parametrize("x, expected", RECIPROCALS)
def test_reciprocals(x, expected):
    functions = [torch.reciprocal, lambda x: 1 / x, lambda x: x**-1, lambda x: torch.pow(x, torch.tensor(-1.0))]
    functions += [lambda x: torch.full_like(x.lower, 1.0) / x, lambda x: torch.float_power(x, -1).to(x.dtype)]
    functions += [lambda x: box((1.0, 1.0), x.dtype) / x, lambda x: torch.pow(x, box((-1.0, -1.0), x.dtype))]
    for function in functions:
        assert_hull(function, [x], expected)
        negated = tuple(-end for end in reversed(x)), tuple(-end for end in reversed(expected))
        assert_hull(function, [negated[0]], negated[1])


QUOTIENTS = [
    ((1.0, 2.0), (0.0, 4.0), (0.25, inf)),
    ((-2.0, -1.0), (0.0, 4.0), (-inf, -0.25)),
    ((1.0, 2.0), (-4.0, -0.0), (-inf, -0.25)),
    ((-2.0, -1.0), (-4.0, -0.0), (0.25, inf)),
    ((1.0, inf), (0.0, 4.0), (0.25, inf)),
    ((1.0, 2.0), (0.0, inf), POSITIVE),
    ((1.0, inf), (0.0, inf), POSITIVE),
    ((-inf, -1.0), (0.0, inf), NEGATIVE),
    ((-inf, -1.0), (-inf, -0.0), POSITIVE),
    ((1.0, inf), (1.0, inf), POSITIVE),
    ((0.0, inf), (1.0, inf), POSITIVE),
    ((-2.0, inf), (1.0, inf), (-2.0, inf)),
    ((-inf, 2.0), (1.0, inf), (-inf, 2.0)),
    ((-inf, 2.0), (-inf, -1.0), (-2.0, inf)),
    ((1.0, inf), (-inf, -1.0), NEGATIVE),
    ((-inf, -1.0), (1.0, inf), NEGATIVE),
    (LINE, (1.0, inf), LINE),
    (LINE, (1.0, 2.0), LINE),
    ((-1.0, 2.0), (1.0, inf), (-1.0, 2.0)),
    ((-1.0, 2.0), (-inf, -1.0), (-2.0, 1.0)),
    ((1.0, inf), (2.0, 4.0), (0.25, inf)),
    ((-inf, -1.0), (2.0, 4.0), (-inf, -0.25)),
    ((1.0, 2.0), LINE, LINE),
    ((1.0, 2.0), (-1.0, inf), LINE),
    ((0.0, 1.0), (0.0, 1.0), LINE),  # 0 / 0 at a corner: nothing is known
    ((-1.0, 1.0), (0.0, 1.0), LINE),
    ((0.0, 0.0), (1.0, inf), (0.0, 0.0)),
]


@pytest.mark.parametrize("x, y, expected", QUOTIENTS)
def test_quotients(x, y, expected):
    assert_hull(torch.div, [x, y], expected)
    assert_hull(lambda x, y: x * 1.0 / y, [x, y], expected)


PRODUCTS = [
    ((0.0, 1.0), (1.0, inf), POSITIVE),
    ((-1.0, 0.0), (1.0, inf), NEGATIVE),
    ((0.0, inf), (0.0, inf), POSITIVE),
    ((-inf, 0.0), (0.0, inf), NEGATIVE),
    ((-inf, 0.0), (-inf, 0.0), POSITIVE),
    ((1.0, 2.0), (1.0, inf), (1.0, inf)),
    ((-2.0, -1.0), (1.0, inf), (-inf, -1.0)),
    ((0.0, 2.0), (-1.0, inf), (-2.0, inf)),
    ((0.0, 2.0), (-inf, 1.0), (-inf, 2.0)),
    ((-2.0, 0.0), (-1.0, inf), (-inf, 2.0)),
    ((-1.0, inf), (-1.0, inf), LINE),
    ((-1.0, 2.0), (1.0, inf), LINE),
    ((0.0, 1.0), LINE, LINE),
    ((0.0, 0.0), (1.0, inf), (0.0, 0.0)),
    ((0.0, 0.0), LINE, (0.0, 0.0)),
    ((0.0, 1.0), (inf, inf), LINE),  # 0 times a point at infinity: nothing is known
]


@pytest.mark.parametrize("x, y, expected", PRODUCTS)
def test_products(x, y, expected):
    assert_hull(torch.mul, [x, y], expected)
    assert_hull(torch.mul, [y, x], expected)
    negated = tuple(-end for end in reversed(x))
    assert_hull(torch.mul, [negated, y], tuple(-end for end in reversed(expected)))
    if x[0] == x[1]:  # as a plain tensor and as a number too
        assert_hull(lambda y: torch.full_like(y.lower, x[0]) * y, [y], expected)
        assert_hull(lambda y: x[0] * y, [y], expected)


POWERS = [
    ((0.0, 2.0), -3, (0.125, inf)),
    ((0.0, inf), -3, POSITIVE),
    ((-2.0, -0.0), -3, (-inf, -0.125)),
    ((-inf, -0.0), -3, NEGATIVE),
    ((-2.0, 0.0), -3, LINE),
    ((-1.0, 2.0), -3, LINE),
    ((1.0, inf), -3, (0.0, 1.0)),
    ((-inf, -2.0), -3, (-0.125, 0.0)),
    ((0.0, 2.0), -2, (0.25, inf)),
    ((-2.0, 0.0), -2, (0.25, inf)),
    ((-2.0, 1.0), -2, (0.25, inf)),
    (LINE, -2, POSITIVE),
    ((-inf, -2.0), -2, (0.0, 0.25)),
    (LINE, 2, POSITIVE),
    ((-1.0, inf), 2, POSITIVE),
    ((1.0, inf), 2, (1.0, inf)),
    ((-inf, 2.0), 3, (-inf, 8.0)),
    ((-1.0, inf), 3, (-1.0, inf)),
    (LINE, 3, LINE),
    (LINE, 0, (1.0, 1.0)),
    ((4.0, inf), 0.5, (2.0, inf)),
    ((0.0, inf), 0.5, POSITIVE),
    ((-0.0, 4.0), -0.5, (0.5, inf)),
    ((0.0, inf), -0.5, POSITIVE),
    ((4.0, inf), -0.5, (0.0, 0.5)),
]


@pytest.mark.parametrize("x, exponent, expected", POWERS)
def test_powers(x, exponent, expected):
    assert_hull(lambda x: x**exponent, [x], expected)
    assert_hull(lambda x: torch.pow(x, torch.tensor(float(exponent), dtype=x.dtype)), [x], expected)
    assert_hull(lambda x: torch.pow(x, box((exponent, exponent), x.dtype)), [x], expected)
    assert_hull(lambda x: torch.float_power(x, exponent).to(x.dtype), [x], expected)


FUNCTIONS = [
    (torch.square, (-inf, -2.0), (4.0, inf)),
    (torch.square, LINE, POSITIVE),
    (torch.sqrt, (4.0, inf), (2.0, inf)),
    (torch.sqrt, (-0.0, inf), POSITIVE),
    (torch.rsqrt, (-0.0, 4.0), (0.5, inf)),
    (torch.rsqrt, (0.0, inf), POSITIVE),
    (torch.exp, NEGATIVE, (0.0, 1.0)),
    (torch.exp, (0.0, inf), (1.0, inf)),
    (torch.exp, LINE, POSITIVE),
    (torch.exp2, (1.0, inf), (2.0, inf)),
    (torch.expm1, NEGATIVE, (-1.0, 0.0)),
    (torch.log, (0.0, 1.0), NEGATIVE),
    (torch.log, (-0.0, inf), LINE),
    (torch.log, (1.0, inf), POSITIVE),
    (torch.log2, (0.0, 2.0), (-inf, 1.0)),
    (torch.log10, (0.0, 1.0), NEGATIVE),
    (torch.log1p, (-1.0, 0.0), NEGATIVE),
    (torch.abs, (-inf, -2.0), (2.0, inf)),
    (torch.neg, (-inf, -2.0), (2.0, inf)),
    (torch.relu, LINE, POSITIVE),
    (torch.cosh, LINE, (1.0, inf)),
    (torch.sinh, (0.0, inf), POSITIVE),
    (torch.acosh, (1.0, inf), POSITIVE),
    (torch.atanh, (0.0, 1.0), POSITIVE),
    (lambda x: x + 1.0, (-inf, 1.0), (-inf, 2.0)),
    (lambda x: 1.0 - x, (-inf, 1.0), (0.0, inf)),
    (lambda x: x * -2.0, (-inf, 1.0), (-2.0, inf)),
    (lambda x: x / -2.0, (-inf, 1.0), (-0.5, inf)),
    (lambda x: torch.clamp(x, min=1.0), LINE, (1.0, inf)),
    (lambda x: torch.maximum(x, torch.ones_like(x.lower)), LINE, (1.0, inf)),
]


@pytest.mark.parametrize("function, x, expected", FUNCTIONS)
def test_functions_of_one_argument(function, x, expected):
    assert_hull(function, [x], expected)


@pytest.mark.parametrize("x, y, function", [(*pair[:2], f) for pair in QUOTIENTS for f in (torch.div, torch.mul)])
def test_gradients_of_finite_bounds_are_finite(x, y, function):
    ends = [torch.tensor([end], dtype=torch.float64, requires_grad=True) for end in (*x, *y)]
    result = function(IntervalTensor(*ends[:2]), IntervalTensor(*ends[2:]))
    for bound in (result.lower, result.upper):
        if bound.isfinite() and bound.requires_grad:
            grads = torch.autograd.grad(bound, ends, allow_unused=True, materialize_grads=True, retain_graph=True)
            finite = [grad.item() for end, grad in zip(ends, grads, strict=True) if end.isfinite()]
            assert all(map(math.isfinite, finite)), (x, y, grads)


@pytest.mark.parametrize("mode", ["nearest", "outward"])
@pytest.mark.parametrize("rounded", ["floor", "trunc"])
def test_rounded_quotients_of_unbounded_dividends(mode, rounded):
    """torch's floor of an infinite quotient is NaN; the quotients of larger and larger numbers have no end."""
    for sign in (1.0, -1.0):
        lower, upper = sorted([sign * inf, sign * 8.5])
        dividend = IntervalTensor(torch.tensor([lower]), torch.tensor([upper]))
        for divisor in (IntervalTensor(torch.tensor([-inf]), torch.tensor([-1.5])), torch.tensor([-1.5]), -1.5):
            with rounding(mode):
                found = torch.div(dividend, divisor, rounding_mode=rounded)
            for x in (8.5, 58.0, 1e6):
                assert bool(found.contains(torch.div(torch.tensor([sign * x]), -1.5, rounding_mode=rounded)).all())
