"""Elementary and special functions: extremes inside the box, poles, huge arguments, spellings, exact values."""

from __future__ import annotations

import itertools
import math

import mpmath
import pytest
import torch

from intervaltorch import DomainError, IntervalTensor, UndecidedError, rounding, testing
from tests.boxes import box

inf, pi = math.inf, math.pi


def ends(x):
    return x.lower.item(), x.upper.item()


@pytest.mark.parametrize(
    "function, lower, upper, expected",
    [
        (torch.sin, 0, pi, (0, 1)),
        (torch.sin, 3, 7, (-1, math.sin(7))),
        (torch.sin, 100, 103, (math.sin(100), 1)),
        (torch.cos, -1, 2, (math.cos(2), 1)),
        (torch.cos, 1e20, 1e20 + 1e6, (-1, 1)),
        (torch.cos, -inf, inf, (-1, 1)),
        (torch.tan, -1, 1, (-math.tan(1), math.tan(1))),
        (torch.tan, 2, 4, (math.tan(2), math.tan(4))),
        (torch.tan, 1, 2, (-inf, inf)),
        (torch.tan, 0, inf, (-inf, inf)),
        (torch.tan, 1e20, 1e20, (-inf, inf)),
        (torch.cosh, -1, 2, (1, math.cosh(2))),
        (torch.sinh, -inf, 1, (-inf, math.sinh(1))),
        (torch.acos, -1, 1, (0, pi)),
        (torch.atan, -inf, inf, (-pi / 2, pi / 2)),
        (torch.rsqrt, 0, 4, (0.5, inf)),
        (torch.rsqrt, -0.0, 4, (0.5, inf)),
        (torch.log, 0, 1, (-inf, 0)),
        (torch.sigmoid, -inf, inf, (0, 1)),
        (torch.logit, 0, 0.5, (-inf, 0)),
        (lambda x: torch.logit(x, eps=0.1), -inf, 0.5, (math.log(1 / 9), 0)),
        (torch.special.entr, 0, 1, (0, 1 / math.e)),
        (torch.lgamma, 1, 3, (-0.12148629053584962, math.log(2))),
        (torch.lgamma, -1.5, 3, (-0.12148629053584962, inf)),
        (torch.digamma, 1, 2, (-0.5772156649015329, 0.42278433509846714)),
        (torch.sinc, -inf, inf, (-0.21723362821122166, 1)),
        (torch.sinc, 0.5, 2.5, (-0.21723362821122166, 2 / pi)),
        (torch.sinc, 2, 3.75, (-0.09132520, 0.12837455)),
        (torch.sinc, 1, 1, (0, 0)),
    ],
)
def test_values(function, lower, upper, expected):
    assert ends(function(box(float(lower), float(upper)))) == pytest.approx(expected, rel=1e-7, abs=1e-15)


@pytest.mark.parametrize(
    "y, x, expected",
    [
        ((1, 2), (1, 2), (math.atan2(1, 2), math.atan2(2, 1))),
        ((-1, 1), (1, 2), (-pi / 4, pi / 4)),
        ((1, 1), (-1, 1), (pi / 4, 3 * pi / 4)),
        ((-2, -1), (-1, 1), (math.atan2(-1, -1), math.atan2(-1, 1))),
        ((-1, 1), (-2, -1), (-pi, pi)),
        ((0, 1), (-2, -1), (math.atan2(1, -1), pi)),
        ((-0.0, 1), (-2, -1), (-pi, pi)),
        ((-1, 0), (-2, -1), (-pi, pi)),
        ((-1, -0.0), (-2, -1), (-pi, pi)),
        ((0, 1), (0, 1), (0, pi / 2)),
        ((0, 1), (-1, 0), (0, pi)),
        ((0, 1), (-1, -0.0), (0, pi)),
        ((0, 1), (-0.0, 1), (0, pi)),
        ((-1, 1), (0, 1), (-pi / 2, pi / 2)),
        ((-1, 1), (-0.0, 1), (-pi, pi)),
        ((0, 0), (-2, -1), (pi, pi)),
        ((0, 0), (-2, 1), (0, pi)),
        ((0, 0), (0, 0), (0, 0)),
        ((1, inf), (-inf, inf), (0, pi)),
    ],
)
def test_angles(y, x, expected):
    y, x = (box(float(a), float(b)) for a, b in (y, x))
    assert ends(torch.atan2(y, x)) == pytest.approx(expected) == ends(torch.arctan2(y, x)) == ends(y.atan2(x))


@pytest.mark.parametrize(
    "names",
    [
        ("asin", "arcsin"), ("acos", "arccos"), ("atan", "arctan"), ("asinh", "arcsinh"), ("acosh", "arccosh"),
        ("atanh", "arctanh"), ("sigmoid", "special_expit"), ("erf", "special_erf"), ("exp2", "special_exp2"),
        ("sinc", "special_sinc"), ("logit", "special_logit"), ("lgamma", "special_gammaln"), ("abs", "absolute"),
    ],
)  # fmt: skip
def test_spellings_agree(names):
    x = box([0.25, 1.0], [0.5, 1.0]) if names[0] != "acosh" else box([1.25], [3.0])
    results = []
    for name in names:
        for owner in (torch, torch.Tensor, torch.special, torch.ops.aten):
            for spelled in (name, name.removeprefix("special_"), name + "_"):
                if hasattr(owner, spelled) and (owner, spelled) != (torch.ops.aten, "abs"):
                    results.append(getattr(owner, spelled)(x.clone()))
    assert len(results) >= 4
    assert all(y.lower.equal(results[0].lower) and y.upper.equal(results[0].upper) for y in results)


@pytest.mark.parametrize("name", ["asin", "acos", "atanh", "erfinv", "acosh", "log", "log1p", "sqrt", "rsqrt", "logit"])
def test_boxes_outside_the_domain_are_refused(name):
    with pytest.raises(DomainError, match="clamp"):
        getattr(torch, name)(box([-3.0], [0.5]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sine_and_cosine_and_tangent_at_all_sizes(dtype):
    centre = torch.randn(300, dtype=torch.float64) * 10 ** (torch.rand(300, dtype=torch.float64) * 20 - 4)
    centre = torch.cat([centre, torch.arange(-50, 50) * pi / 4]).to(dtype)
    x = IntervalTensor(centre, centre + 10 ** (torch.rand(400, dtype=dtype) * 4 - 3.5))
    for function, exact in ((torch.sin, mpmath.sin), (torch.cos, mpmath.cos), (torch.tan, mpmath.tan)):
        with rounding("outward"), mpmath.workdps(60):
            y = function(x)
        for point in testing.sample_points(x, 4):
            for low, high, a in zip(y.lower.tolist(), y.upper.tolist(), point.tolist(), strict=True):
                assert low <= exact(mpmath.mpf(a)) <= high


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_hyperbolic_functions_do_not_overflow_early(dtype):
    top = math.log(torch.finfo(dtype).max)
    x = IntervalTensor.point(top + torch.linspace(-1, 0.69, 50, dtype=dtype))
    with rounding("outward"), mpmath.workdps(40):
        for function, exact in ((torch.sinh, mpmath.sinh), (torch.cosh, mpmath.cosh)):
            y = function(x)
            for low, high, a in zip(y.lower.tolist(), y.upper.tolist(), x.lower.tolist(), strict=True):
                assert low <= exact(mpmath.mpf(a)) <= high < inf


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sinc_is_sound_and_sharp(dtype):
    start = torch.cat([torch.rand(300, dtype=dtype) * 12 - 6, torch.rand(50, dtype=dtype) * 1e7])
    width = 10 ** (torch.rand(350, dtype=dtype) * 4 - 3)
    x = IntervalTensor(start, start + width)
    with rounding("outward"):
        outward = torch.sinc(x)
    with mpmath.workdps(40):
        for points in testing.sample_points(x, 12):
            for low, high, a in zip(outward.lower.tolist(), outward.upper.tolist(), points.tolist(), strict=True):
                assert low <= mpmath.sincpi(mpmath.mpf(a)) <= high
    near = IntervalTensor(x.lower[:300], x.upper[:300])
    grid = near.lower + torch.linspace(0, 1, 4001, dtype=dtype)[:, None] * near.width
    grid = torch.minimum(grid, near.upper).double()
    y = torch.sinc(near)
    slack = 1e-5 if dtype is torch.float64 else 2e-5  # the grid misses extremes by its square
    assert bool((y.lower.double() >= torch.sinc(grid).amin(0) - slack).all())
    assert bool((y.upper.double() <= torch.sinc(grid).amax(0) + slack).all())


@pytest.mark.parametrize("approximately_half", [0.5, 0.5 + 2**-20, 0.25, 1e-30, 1 - 2**-24])
def test_logit_is_sound_where_it_nearly_vanishes(approximately_half):
    for dtype in (torch.float32, torch.float64):
        x = IntervalTensor.point(torch.tensor([approximately_half], dtype=dtype))
        a = mpmath.mpf(x.lower.item())
        with rounding("outward"), mpmath.workdps(60):
            y = torch.logit(x)
            assert y.lower.item() <= mpmath.log(a / (1 - a)) <= y.upper.item()


def test_logit_cuts_at_the_real_eps():
    x = box([-1.0], [2.0], torch.float32)
    with rounding("outward"), mpmath.workdps(60):
        y = torch.logit(x, eps=1e-6)
        eps = mpmath.mpf(1e-6)
        assert y.lower.item() <= mpmath.log(eps / (1 - eps)) and mpmath.log((1 - eps) / eps) <= y.upper.item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lgamma_and_logaddexp_are_sound(dtype):
    x = 10 ** (torch.rand(300, dtype=dtype) * 12 - 6)
    y = torch.log(torch.rand(300, dtype=dtype)).clamp(min=-20)
    other = torch.log1p(-torch.exp(y)).clamp(min=-20)  # e^y + e^other = 1: the sum's logarithm nearly vanishes
    with rounding("outward", strict=True), mpmath.workdps(60):
        gamma = torch.lgamma(IntervalTensor.point(x))
        total = torch.logaddexp(IntervalTensor.point(y), other)
        binary = torch.logaddexp2(IntervalTensor.point(y), other)
        for i in range(300):
            a, b, c = (mpmath.mpf(t[i].item()) for t in (x, y, other))
            assert gamma.lower[i].item() <= mpmath.loggamma(a) <= gamma.upper[i].item()
            assert total.lower[i].item() <= mpmath.log(mpmath.exp(b) + mpmath.exp(c)) <= total.upper[i].item()
            assert binary.lower[i].item() <= mpmath.log(2**b + mpmath.mpf(2) ** c, 2) <= binary.upper[i].item()


def test_infinite_logaddexp():
    x, y = box([-inf, -inf, inf], [-inf, inf, inf]), box([-inf, 0.0, -inf], [-inf, 0.0, inf])
    for function, mode in itertools.product((torch.logaddexp, torch.logaddexp2), ("nearest", "outward")):
        with rounding(mode):
            z = function(x, y)
        assert z.lower.tolist()[0] == -inf and z.upper.tolist()[1:] == [inf, inf]
        assert z.upper[0] < -1e300 and abs(z.lower[1]) < 1e-30 and z.lower[2] > 1e300


@pytest.mark.filterwarnings("ignore:.*guessed error budget")
def test_the_functions_of_rules_written_by_hand_keep_the_contract():
    x = box([0.3, 1.2, 2.5], [0.31, 1.4, 2.6], torch.float32)
    for function in (torch.tan, torch.sinc, torch.lgamma, torch.digamma):
        testing.check_op(function, x)


def test_frexp_in_one_binade_and_across_several():
    x = box([0.6, -1.9, 0.3, -3.0, -0.2, 0.0, 0.7, 2.0], [0.9, -1.2, 0.7, -0.7, 0.1, 0.1, inf, 2.0])
    mantissa, exponent = torch.frexp(x)
    assert mantissa.lower.tolist() == [0.6, -0.95, 0.5, -1, -1, 0, 0.5, 0.5]
    assert mantissa.upper.tolist() == [0.9, -0.6, 1, -0.5, 1, 1, inf, 0.5]  # infinity is its own mantissa
    with pytest.raises(UndecidedError, match="frexp"):
        exponent + 1
    mantissa, exponent = x[:2].frexp()
    assert exponent.tolist() == [0, 1]
    testing.check_op(lambda x: torch.frexp(x).mantissa, x[:3].float())
