"""Arithmetic, powers, steps: against exact rationals, brute force, and torch's own values at points."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import mpmath
import pytest
import torch

import intervaltorch as it
from intervaltorch import DomainError, IntervalTensor, rounding, testing
from tests.boxes import box

inf = math.inf


def ends(x):
    return x.lower.item(), x.upper.item()


NOTABLE = [-3e38, -7.5, -1.0, -0.3, -1e-30, -1e-45, 0.0, 1e-45, 1e-30, 0.1, 1.0, 3.0, 2.0**24, 3e38]


def pairs_of_boxes(dtype=torch.float32):
    """Every pair of boxes with notable ends, as two boxes of one shape."""
    intervals = [(a, b) for a, b in itertools.combinations_with_replacement(NOTABLE, 2)]
    chosen = list(itertools.product(intervals, intervals))[::7]
    (xs, ys) = zip(*chosen, strict=True)
    return tuple(IntervalTensor(*torch.tensor(z, dtype=torch.float64).to(dtype).unbind(1)) for z in (xs, ys))


def rational(x):
    return Fraction(x) if math.isfinite(x) else x


OPERATIONS = {
    "+": (torch.add, lambda a, b: a + b),
    "-": (torch.sub, lambda a, b: a - b),
    "*": (torch.mul, lambda a, b: a * b),
    "/": (torch.div, lambda a, b: a / b),
    "//": (torch.floor_divide, lambda a, b: math.floor(a / b)),
    "trunc": (lambda x, y: torch.div(x, y, rounding_mode="trunc"), lambda a, b: math.trunc(a / b)),
    "remainder": (torch.remainder, lambda a, b: a - b * math.floor(a / b)),
    "fmod": (torch.fmod, lambda a, b: a - b * math.trunc(a / b)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_outward_bounds_hold_for_exact_rationals(name):
    function, exact = OPERATIONS[name]
    x, y = pairs_of_boxes()
    with rounding("outward"):
        result = function(x, y)
    for low, high, *corners in zip(*(t.tolist() for t in (*ends_of(result), *ends_of(x), *ends_of(y))), strict=True):
        for a, b in itertools.product(map(Fraction, corners[:2]), map(Fraction, corners[2:])):
            if b != 0 or name in "+-*":
                value = exact(a, b)
                assert rational(low) <= value <= rational(high), (name, corners, (low, high), float(value))


def ends_of(x):
    return x.lower, x.upper


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("number", [0.1, -0.1, 3, 2, -4.0, 0.5, 1e-40, 16777217])
def test_outward_numbers_mean_their_exact_values(name, number):
    function, exact = OPERATIONS[name]
    x = IntervalTensor.point(torch.tensor(NOTABLE, dtype=torch.float64).float())
    with rounding("outward"):
        right, left = function(x, number), function(torch.tensor(number, dtype=torch.float64), x)
    for result, order in ((right, 1), (left, -1)):
        for low, high, a in zip(result.lower.tolist(), result.upper.tolist(), x.lower.tolist(), strict=True):
            arguments = (Fraction(a), Fraction(number))[::order]
            if arguments[1] != 0 or name in "+-*":
                assert rational(low) <= exact(*arguments) <= rational(high), (name, a, number)


def test_sums_and_products_keep_exact_zeros_and_signs():
    x = box([0.0, 1.0, 1e-40], [0.0, 2.0, 1e-40], torch.float32)
    with rounding("outward"):
        assert ends((x + x)[0]) == (0, 0) and ends((x * 0.3)[0]) == (0, 0) and ends((x / 3)[0]) == (0, 0)
        assert (x * torch.tensor(1e-30)).lower.min() >= 0
        assert (-x * x).upper.max() <= 0 and (x * x * x).lower.min() >= 0
        assert ends((x * 2)[1]) == (2, 4) and ends((x / -4)[1])[1] <= -0.25
        torch.sqrt(x + x), torch.sqrt(x * torch.tensor([0.0, 1.0, 0.1]))  # no DomainError


def test_overflow_leaves_a_finite_lower_bound():
    x = box([3e38], [3e38], torch.float32)
    with rounding("outward"):
        for y in (x * 2, x + x, x * x, x / 0.25, x * 1.5):
            assert ends(y) == (torch.finfo(torch.float32).max, inf)


def test_the_square_of_one_object_is_not_a_product_of_strangers():
    x = box([-1.0], [2.0])
    assert ends(x * x) == (0, 4) and ends(x * x.clone()) == (-2, 4)


# --- quotients ----------------------------------------------------------------------------------------------


def test_division():
    x, y = box([1.0, 1.0, -1.0], [2.0, 2.0, 1.0]), box([-1.0, 0.0, 2.0], [1.0, 4.0, 4.0])
    assert (x / y).lower.tolist() == [-inf, 0.25, -0.5] and (x / y).upper.tolist() == [inf, inf, 0.5]
    assert ends(1 / box(2.0, 4.0)) == (0.25, 0.5) and ends(0.1 / box(1.0, 1.0)) == (0.1, 0.1)
    assert ends(box(1.0, 2.0) / torch.tensor(-2)) == (-1, -0.5)
    assert (box([1.0], [2.0]) / torch.tensor([[1, 2], [4, -1]])).upper.tolist() == [[2, 1], [0.5, -1]]
    assert (1 / box([2.0], [4.0])).shape == (1,) and ends(box(1.0, 2.0) / 0) == (-inf, inf)
    with pytest.raises(RuntimeError, match="rounding_mode"):
        torch.div(x, 2, rounding_mode="up")


def test_integer_quotients_are_those_of_torch_at_points():
    x = torch.arange(-40, 41) / 8.0
    for divisor in (0.1, 3, -0.7, torch.tensor(0.3)):
        point = IntervalTensor.point(x)
        for mode in ("floor", "trunc"):
            expected = torch.div(x, divisor, rounding_mode=mode)
            assert torch.div(point, divisor, rounding_mode=mode).lower.equal(expected)
        assert (point // divisor).upper.equal(x // divisor)
    with rounding("outward"):
        assert ends(box(6.0, 7.0) // 3) == (2, 2)


def test_gradients_at_a_pole_are_zero():
    lower, upper = torch.tensor([-1.0, 0.0], requires_grad=True), torch.tensor([1.0, 2.0], requires_grad=True)
    x = IntervalTensor(lower, upper)
    for y in (1 / x, x**-1, x**-2, x**-3, torch.tan(2 * x), x / x.clone(), torch.hypot(x, x.clone())):
        grads = torch.autograd.grad((y.lower.clamp(-9, 9) + y.upper.clamp(-9, 9)).sum(), (lower, upper))
        assert all(g.isfinite().all() for g in grads)


# --- powers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lower, upper, exponent, expected",
    [
        (1, 3, 4, (1, 81)),
        (-2, 1, 4, (0, 16)),
        (-2, 1, 3, (-8, 1)),
        (-2, -1, -2, (0.25, 1)),
        (-1, 2, -2, (0.25, inf)),
        (-1, 2, -3, (-inf, inf)),
        (0, 2, -1, (0.5, inf)),
        (-0.0, 2, -1, (-inf, inf)),
        (0, 0, -2, (inf, inf)),
        (-0.0, -0.0, -0.5, (inf, inf)),
        (-2, 0, -3, (-inf, inf)),
        (-2, -0.0, -3, (-inf, -0.125)),
        (0, 4, 0.5, (0, 2)),
        (0, 4, -0.5, (0.5, inf)),
        (-1, 1, 0, (1, 1)),
        (0, 0, 0, (1, 1)),
        (2, 3, 1, (2, 3)),
        (-2, 0.5, inf, (0, inf)),
        (2, 2, -inf, (0, 0)),
        (-inf, inf, 2, (0, inf)),
        (-inf, 3, 3, (-inf, 27)),
    ],
)
def test_fixed_powers(lower, upper, exponent, expected):
    x = box(float(lower), float(upper))
    spellings = [x**exponent, torch.pow(x, exponent), x.pow(torch.tensor(exponent)), x.clone().pow_(exponent)]
    spellings += [torch.float_power(x, exponent), pow(x, IntervalTensor.point(torch.tensor(float(exponent))))]
    x **= exponent
    for y in (*spellings, x):
        assert ends(y) == expected


def test_powers_of_every_kind_at_once():
    x, p = box([-2.0] * 4, [1.0] * 4), torch.tensor([2, 3, 0, -2])
    assert (x**p).lower.tolist() == [0, -8, 1, 0.25] and (x**p).upper.tolist() == [4, 1, 1, inf]


def test_exponent_boxes():
    assert ends(2 ** box(-1.0, 3.0)) == (0.5, 8) and ends(0.5 ** box(-1.0, 3.0)) == (0.125, 2)
    assert ends(box(0.5, 2.0) ** box(-1.0, 2.0)) == (0.25, 4) and ends(box(0.0, 0.5) ** box(0.0, 1.0)) == (0, 1)
    assert ends(torch.tensor(4.0) ** box(0.5, 1.0)) == (2, 4)
    for base, exponent in ((box(-1.0, 1.0), 0.5), (box(-1.0, 1.0), box(1.0, 2.0)), (-2.0, box(1.0, 2.0))):
        with pytest.raises(DomainError):
            base**exponent


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("exponent", [2, 3, 4, 7, -1, -2, -3, 0.5, -0.5, 0.1, 1 / 3, 2.5, 30, -17])
def test_powers_are_sound_against_exact_values(exponent, dtype):
    size = 2.0 ** (torch.rand(200, dtype=dtype) * 30 - 15)
    points = size if exponent % 1 else size * torch.randn(200, dtype=dtype).sign()
    with rounding("outward"), mpmath.workdps(60):
        result = torch.pow(IntervalTensor.point(points), exponent)
        for x, low, high in zip(points.tolist(), result.lower.tolist(), result.upper.tolist(), strict=True):
            assert low <= mpmath.mpf(x) ** mpmath.mpf(exponent) <= high


# --- steps --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function, lower, upper, expected",
    [
        (torch.frac, 0.25, 0.5, (0.25, 0.5)),
        (torch.frac, 0.5, 1.5, (0, 1)),
        (torch.frac, -0.5, 1.25, (-0.5, 1)),
        (torch.frac, -1.5, 0.25, (-1, 0.25)),
        (torch.frac, -inf, inf, (-1, 1)),
        (torch.round, 0.5, 1.5, (0, 2)),
        (lambda x: torch.round(x, decimals=1), 0.125, 0.25, (0.1, 0.2)),
        (lambda x: torch.round(x, decimals=-1), 14.0, 26.0, (10, 30)),
        (lambda x: torch.heaviside(x, torch.tensor(5.0, dtype=torch.float64)), -1, 1, (0, 5)),
        (lambda x: torch.heaviside(x, torch.tensor(5.0, dtype=torch.float64)), 1, 2, (1, 1)),
        (lambda x: torch.heaviside(x, torch.tensor(-5.0, dtype=torch.float64)), 0, 0, (-5, -5)),
        (lambda x: torch.copysign(x, -0.0), -1, 3, (-3, 0)),
        (lambda x: torch.copysign(x, box(1.0, 2.0)), -1, 3, (0, 3)),
        (lambda x: torch.copysign(x, box(-1.0, 2.0)), 1, 3, (-3, 3)),
        (lambda x: x % 3, 4, 5, (1, 2)),
        (lambda x: x % 3, 2, 4, (0, 3)),
        (lambda x: x % -3, 4, 5, (-2, -1)),
        (lambda x: 7 % x, 4, 5, (2, 3)),
        (lambda x: torch.fmod(x, 3), -2, 2, (-2, 2)),
        (lambda x: torch.fmod(x, 3), -5, -4, (-2, -1)),
        (lambda x: torch.fmod(x, 3), -1, 5, (-1, 3)),
        (lambda x: torch.fmod(x, box(-1.0, 1.0)), 1, 2, (-inf, inf)),
        (lambda x: torch.nan_to_num(x, neginf=-7.0), -inf, -inf, (-7, -7)),
        (lambda x: torch.nan_to_num(x, posinf=-1.0), 2, inf, (-1, inf)),
        (lambda x: torch.clamp(x, min=box(-1.0, 1.0), max=2), -3, 5, (-1, 2)),
        (lambda x: torch.clamp(torch.tensor(0.5), max=x), -3, 5, (-3, 0.5)),
        (lambda x: x.clamp(min=torch.tensor(1.0)), -3, 5, (1, 5)),
        (lambda x: torch.lerp(x, torch.tensor(4.0, dtype=torch.float64), 0.25), 0, 4, (1, 4)),
        (lambda x: torch.lerp(x, x + 10, box(-1.0, 1.0)), 0, 1, (-11, 11)),
        (lambda x: torch.hypot(x, torch.tensor(4.0)), -3, 1, (4, 5)),
        (lambda x: torch.ldexp(x, torch.tensor(3)), -3, 1, (-24, 8)),
        (lambda x: torch.xlogy(torch.tensor(0.0), x), 0, inf, (0, 0)),
        (lambda x: torch.sub(x, 1, alpha=-2), 0, 1, (2, 3)),
        (lambda x: torch.add(torch.tensor(1.0), x, alpha=-2), 0, 1, (-1, 1)),
        (lambda x: torch.addcmul(torch.tensor(1.0), x, torch.tensor(2.0), value=-1), 0, 1, (-1, 1)),
        (lambda x: torch.addcdiv(x, torch.tensor(1.0), torch.tensor(2.0), value=-1), 0, 1, (-0.5, 0.5)),
        (torch.angle, -1, 1, (0, math.pi)),
        (torch.isposinf, 1, inf, (False, True)),
        (torch.isneginf, -inf, -inf, (True, True)),
    ],
)
def test_values(function, lower, upper, expected):
    y = function(box(float(lower), float(upper)))
    assert ends(y) == pytest.approx(expected, rel=1e-15, abs=0)


def test_remainders_enclose_those_of_a_grid():
    x = torch.rand(400, dtype=torch.float64) * 20 - 10
    y = torch.cat([torch.rand(200, dtype=torch.float64) + 0.2, -torch.rand(200, dtype=torch.float64) - 0.2])
    width = 10.0 ** (torch.rand(400, dtype=torch.float64) * 4 - 4)
    boxes, divisors = IntervalTensor(x, x + width), IntervalTensor(y, y + 0.1 * width)
    for function, divisor in itertools.product((torch.fmod, torch.remainder), (y, divisors)):
        testing.check_sound(function, boxes, divisor, samples=20)
        testing.check_thin(function, boxes, divisor)


# --- everything else a rule owes ----------------------------------------------------------------------------

X = box([0.3, 1.2, 0.5], [0.7, 2.5, 0.50001], torch.float32)
Y = box([[0.4], [-2.0]], [[1.3], [-1.5]], torch.float32)
T = torch.tensor([0.7, -1.1, 2.0])

CALLS = {
    "add": (torch.add, (X, Y), {"alpha": -2.5}),
    "sub": (torch.sub, (X, T), {"alpha": 3}),
    "rsub": (torch.rsub, (X, Y), {"alpha": 0.3}),
    "mul": (torch.mul, (X, Y), {}),
    "mul number": (torch.mul, (X, -0.3), {}),
    "div": (torch.div, (X, Y), {}),
    "div point": (torch.div, (Y, T), {}),
    "reciprocal": (torch.reciprocal, (Y,), {}),
    "addcmul": (torch.addcmul, (X, Y, T), {"value": -0.7}),
    "addcdiv": (torch.addcdiv, (T, X, Y), {"value": 0.1}),
    "pow number": (torch.pow, (Y, -3), {}),
    "pow fraction": (torch.pow, (X, 0.3), {}),
    "pow tensor": (torch.pow, (Y, torch.tensor([2, -3, 0])), {}),
    "pow box": (torch.pow, (X, Y), {}),
    "rpow": (torch.pow, (0.7, Y), {}),
    "hypot": (torch.hypot, (X, Y), {}),
    "lerp": (torch.lerp, (T, Y, X), {}),
    "lerp number": (torch.lerp, (T, Y, 0.3), {}),
    "clamp": (torch.clamp, (T, Y), {"max": X + 0.01}),
    "logaddexp": (torch.logaddexp, (X, Y), {}),
    "logaddexp2": (torch.logaddexp2, (X, T), {}),
    "xlogy": (torch.xlogy, (Y, X), {}),
    "xlog1py": (torch.special.xlog1py, (Y, X), {}),
    "atan2": (torch.atan2, (Y, X), {}),
    "ldexp": (torch.ldexp, (X, Y), {}),
    "round": (torch.round, (X,), {"decimals": 2}),
    "maximum": (torch.maximum, (X, Y), {}),
    "copysign": (torch.copysign, (X, Y), {}),
}


@pytest.mark.parametrize("name", CALLS)
def test_contract(name):
    function, args, kwargs = CALLS[name]
    testing.check_op(function, *args, **kwargs)


@pytest.mark.parametrize(
    "name",
    ["add_", "sub_", "mul_", "div_", "pow_", "floor_divide_", "remainder_", "fmod_", "hypot_", "atan2_", "copysign_"],
)
def test_in_place_spellings_write_what_the_functions_return(name):
    x, y = box([1.0, 2.0], [1.5, 3.0]), box([0.5, 1.0], [0.75, 2.0])
    expected = getattr(torch.Tensor, name[:-1])(x, y)
    view = x[:]
    assert getattr(x, name)(y) is x
    assert view.lower.equal(expected.lower) and view.upper.equal(expected.upper)


def test_augmented_assignment_writes_through_views():
    x = box([4.0, 5.0], [4.5, 5.5])
    view = x[:1]
    for change, expected in (("//=", (4, 4)), ("**=", (16, 16)), ("%=", (6, 6)), ("/=", (3, 3)), ("-=", (1, 1))):
        number = {"//=": 1, "**=": 2, "%=": 10, "/=": 2, "-=": 2}[change]
        scope = {"x": view}
        exec(f"x {change} {number}", scope)
        assert ends(x[0]) == expected


def test_infinite_boxes_never_give_nan():
    whole = [box([-inf, 1.0, -inf, 0.0], [inf, inf, -1.0, inf]), box([-inf, 0.0, 2.0, -inf], [inf, 0.0, inf, inf])]
    binary = [torch.add, torch.sub, torch.mul, torch.div, torch.floor_divide, torch.remainder, torch.fmod, torch.atan2]
    binary += [torch.hypot, torch.logaddexp, torch.logaddexp2, torch.maximum, torch.copysign]
    binary += [lambda x, y: x.lerp(y, 0.5)]
    for function, mode in itertools.product(binary, ("nearest", "outward")):
        with rounding(mode):
            y = function(*whole)
        assert bool((y.lower <= y.upper).all()), function


def test_dtypes_that_the_result_cannot_hold_are_rounded_outward():
    with rounding("outward"):
        y = box([1.0], [1.0], torch.float32) * torch.tensor(0.1, dtype=torch.float64)
        z = box([0.0], [0.0], torch.float32) + torch.tensor([2**24 + 1])
    assert Fraction(y.lower.item()) <= Fraction(0.1) <= Fraction(y.upper.item())
    assert z.lower.item() <= 2**24 + 1 <= z.upper.item()


def test_strict_mode_accepts_arithmetic():
    with rounding("outward", strict=True):
        for name, (function, args, kwargs) in CALLS.items():
            assert isinstance(function(*args, **kwargs), it.IntervalTensor), name
