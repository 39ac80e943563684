"""Activations: every keyword of every one, true minima, both modes against exact values, in place, modules."""

from __future__ import annotations

import itertools
import math

import mpmath
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import intervaltorch as it
from intervaltorch import IntervalTensor, UnsupportedOpError, rounding, testing
from intervaltorch._ops.elementwise import activations
from tests.boxes import box

inf = math.inf


def ends(x):
    return x.lower.item(), x.upper.item()


CALLS = [
    (F.relu, {}), (F.relu6, {}), (F.hardtanh, {}), (F.hardtanh, {"min_val": -0.3, "max_val": 0.7}),
    (F.leaky_relu, {}), (F.leaky_relu, {"negative_slope": -0.3}), (F.leaky_relu, {"negative_slope": 1.7}),
    (F.rrelu, {}), (F.rrelu, {"lower": -0.5, "upper": 0.1, "training": False}),
    (F.elu, {}), (F.elu, {"alpha": 0.3}), (F.elu, {"alpha": -0.7}),
    (F.celu, {}), (F.celu, {"alpha": 0.3}), (F.celu, {"alpha": -0.7}), (F.selu, {}),
    (F.gelu, {}), (F.gelu, {"approximate": "tanh"}), (F.silu, {}), (F.mish, {}), (F.hardswish, {}), (F.hardsigmoid, {}),
    (F.hardshrink, {}), (F.hardshrink, {"lambd": 0.3}), (F.softshrink, {}), (F.softshrink, {"lambd": 0.3}),
    (F.threshold, {"threshold": 0.1, "value": 20.0}), (F.threshold, {"threshold": -0.3, "value": -0.7}),
    (F.softplus, {}), (F.softplus, {"beta": 0.3}), (F.softplus, {"beta": -1.3}),
    (F.softplus, {"beta": 3.0, "threshold": 0.4}),
    (F.softsign, {}), (F.tanhshrink, {}), (F.logsigmoid, {}), (F.sigmoid, {}), (F.tanh, {}),
]  # fmt: skip
each_call = pytest.mark.parametrize(
    "function, kwargs", CALLS, ids=[f"{f.__name__} {' '.join(map(str, k.values()))}".strip() for f, k in CALLS]
)


def boxes(dtype):
    """Boxes of all widths, those around every kink and threshold among them."""
    kinks = torch.tensor([-6, -3, -0.5, -0.3, 0, 0.1, 0.3, 0.4 / 3, 0.5, 0.7, 1, 3, 6, 20, 20 / 0.3, -20 / 1.3])
    centre = torch.cat([kinks.double(), torch.randn(200, dtype=torch.float64) * 4])
    radius = 10 ** (torch.rand(216, dtype=torch.float64) * 5 - 4)
    return IntervalTensor((centre - radius).to(dtype), (centre + radius).to(dtype))


@each_call
def test_contract(function, kwargs):
    x = boxes(torch.float32)
    testing.check_sound(function, x, **kwargs)
    testing.check_result(function, x, **kwargs)
    testing.check_nested(function, x, **kwargs)
    testing.check_thin(function, x, **kwargs)
    testing.check_unbounded(function, x, **kwargs)
    smooth = box([-2.13, -0.71, 0.36, -3.31], [1.37, -0.47, 0.62, 4.91], torch.float32)
    testing.check_gradient(function, smooth, **kwargs)


@each_call
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_nothing_is_lost(function, kwargs, dtype):
    """The box is the hull: a fine grid with the kinks comes close to both of its ends."""
    x = boxes(dtype)
    numbers = [float(value) for value in kwargs.values() if not isinstance(value, str)]
    kinks = [-1.5, 0, *numbers, *(-number for number in numbers)]
    kinks += [kwargs.get("threshold", 20) / kwargs["beta"]] if "beta" in kwargs else [20.0]
    points = x.lower + torch.linspace(0, 1, 4001, dtype=dtype)[:, None] * (x.upper - x.lower)
    near = [torch.full_like(x.lower, kink + shift) for kink in kinks for shift in (-1e-6, 0, 1e-6)]
    points = torch.cat([points, torch.stack([x.lower, x.upper, *near])])
    values = function(torch.minimum(torch.maximum(points, x.lower), x.upper), **kwargs)
    y = function(x, **kwargs)
    allowed = 1e-4 * (1 + x.magnitude) + 1e-5 * y.magnitude.nan_to_num()  # e^20 in float32
    at = torch.tensor(kinks, dtype=dtype)[:, None]
    jumps = (x.lower - 1e-5 < at) & (x.upper + 1e-5 > at)
    touching = (jumps & (x.width < 1e-5)).any(0)
    assert bool((((values.amin(0) - y.lower).nan_to_num() <= allowed) | touching).all())
    assert bool((((y.upper - values.amax(0)).nan_to_num() <= allowed) | touching).all())


SIGMA = lambda x: 1 / (1 + mpmath.exp(-x))  # noqa: E731
EXACT = {
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.1), lambda x: x if x > 0 else mpmath.mpf(0.1) * x),
    "negative leaky_relu": (lambda x: F.leaky_relu(x, -0.1), lambda x: x if x > 0 else mpmath.mpf(-0.1) * x),
    "elu": (lambda x: F.elu(x, 0.3), lambda x: x if x > 0 else mpmath.mpf(0.3) * mpmath.expm1(x)),
    "celu": (
        lambda x: F.celu(x, -0.3),
        lambda x: x if x > 0 else mpmath.mpf(-0.3) * mpmath.expm1(x / mpmath.mpf(-0.3)),
    ),
    "gelu": (F.gelu, lambda x: x * mpmath.ncdf(x)),
    "gelu tanh": (
        lambda x: F.gelu(x, approximate="tanh"),
        lambda x: x / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3))),
    ),
    "silu": (F.silu, lambda x: x * SIGMA(x)),
    "mish": (F.mish, lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x)))),
    "hardswish": (F.hardswish, lambda x: x * min(max(x + 3, 0), 6) / 6),
    "hardsigmoid": (F.hardsigmoid, lambda x: min(max(x + 3, 0), 6) / 6),
    "softplus": (F.softplus, lambda x: x if x > 20 else mpmath.log1p(mpmath.exp(x))),
    "softplus 3": (
        lambda x: F.softplus(x, 3.3, 0.4),
        lambda x: x if 3.3 * x > 0.4 else mpmath.log1p(mpmath.exp(mpmath.mpf(3.3) * x)) / mpmath.mpf(3.3),
    ),
    "softsign": (F.softsign, lambda x: x / (1 + abs(x))),
    "tanhshrink": (F.tanhshrink, lambda x: x - mpmath.tanh(x)),
    "logsigmoid": (F.logsigmoid, lambda x: -mpmath.log1p(mpmath.exp(-x))),
    "softshrink": (lambda x: F.softshrink(x, 0.1), lambda x: x - min(max(x, -mpmath.mpf(0.1)), mpmath.mpf(0.1))),
    "hardshrink": (lambda x: F.hardshrink(x, 0.1), lambda x: x if abs(x) > 0.1 else 0),
    "hardtanh": (lambda x: F.hardtanh(x, -0.1, 0.3), lambda x: min(max(x, mpmath.mpf(-0.1)), mpmath.mpf(0.3))),
    "threshold": (lambda x: F.threshold(x, 0.1, 0.7), lambda x: x if x > 0.1 else mpmath.mpf(0.7)),
}


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_outward_bounds_hold_for_exact_values(name, dtype):
    function, exact = EXACT[name]
    turns = [activations.GELU_TURN, activations.SILU_TURN, activations.MISH_TURN, 0.1, 0.3, 20.0, 0.4 / 3.3]
    notable = [n for turn in turns for n in testing.neighbours(turn, dtype)]
    points = torch.cat([torch.tensor(notable, dtype=dtype), torch.linspace(-100, 30, 301, dtype=dtype)])
    extreme = torch.tensor([-1e10, -1e-20, 1e-20, 1e10, -750.0], dtype=dtype)
    points = torch.cat([points, torch.randn(150, dtype=dtype) * 3, extreme])
    with rounding("outward"), mpmath.workdps(60):
        y, wide = function(IntervalTensor.point(points)), function(IntervalTensor(points - 0.1, points + 0.1))
        columns = points, y.lower, y.upper, wide.lower, wide.upper
        for a, *bounds in zip(*(column.tolist() for column in columns), strict=True):
            value = exact(mpmath.mpf(a))
            assert bounds[0] <= value <= bounds[1] and bounds[2] <= value <= bounds[3], (name, a, bounds, value)


@pytest.mark.parametrize(
    "function, least",
    [
        (F.gelu, activations.GELU_LEAST),
        (lambda x: F.gelu(x, approximate="tanh"), activations.TANH_GELU_LEAST),
        (F.silu, activations.SILU_LEAST),
        (F.mish, activations.MISH_LEAST),
        (F.hardswish, -0.375),
    ],
)
def test_true_minima(function, least):
    for lower, upper in ((-3.0, 3.0), (-inf, inf), (-inf, -0.5)):
        assert ends(function(box(lower, upper)))[0] == pytest.approx(least, rel=4e-16, abs=0)
    for dtype in (torch.float32, torch.float64):
        with rounding("outward"):
            assert function(box([-3.0], [3.0], dtype)).lower.item() <= least


def test_minima_are_those_of_high_precision():
    with mpmath.workdps(40):
        for function, start, turn, least in (
            (lambda x: x * mpmath.ncdf(x), -0.7, activations.GELU_TURN, activations.GELU_LEAST),
            (EXACT["gelu tanh"][1], -0.7, activations.TANH_GELU_TURN, activations.TANH_GELU_LEAST),
            (lambda x: x * SIGMA(x), -1.2, activations.SILU_TURN, activations.SILU_LEAST),
            (EXACT["mish"][1], -1.2, activations.MISH_TURN, activations.MISH_LEAST),
        ):
            exact = mpmath.findroot(lambda x: mpmath.diff(function, x), start)  # noqa: B023
            assert float(exact) == turn and float(function(exact)) == least


@pytest.mark.parametrize(
    "function, lower, upper, expected",
    [
        (lambda x: F.threshold(x, 0.0, 5.0), 0, 1, (0, 5)),
        (lambda x: F.threshold(x, 0.0, 5.0), -1, 0, (5, 5)),
        (lambda x: F.threshold(x, 0.0, -5.0), 1, 2, (1, 2)),
        (lambda x: F.leaky_relu(x, -1.0), -2, 1, (0, 2)),
        (lambda x: F.leaky_relu(x, -1.0), -2, -1, (1, 2)),
        (lambda x: F.prelu(x, torch.tensor([0.25], dtype=torch.float64)), -2, 1, (-0.5, 1)),
        (lambda x: F.prelu(x, box([-0.5], [0.25])), -2, 1, (-0.5, 1)),
        (lambda x: F.prelu(x, box([-0.5], [0.25])), -4, -2, (-1, 2)),
        (lambda x: F.prelu(x, box([-0.5], [0.25])), 2, 3, (2, 3)),
        (lambda x: F.elu(x, -1.0), -inf, 0.5, (0, 1)),
        (lambda x: F.rrelu(x, -1.0, 0.5), -4, 0, (0, 1)),
        (lambda x: F.hardshrink(x, 0.5), -0.5, 1, (0, 1)),
        (F.softsign, -inf, inf, (-1, 1)),
        (F.hardswish, -10, -5, (0, 0)),
        (F.hardswish, 3e38, 3e38, (3e38, 3e38)),
        (lambda x: F.softplus(x, 1.0, 0.0), -1, 1, (0, 1)),
        (lambda x: F.softplus(x, 1.0, 0.0), -1e-9, 1e-9, (0, math.log(2))),
    ],
)
def test_values(function, lower, upper, expected):
    assert ends(function(box(float(lower), float(upper)))) == pytest.approx(expected, abs=1e-300)


def test_large_hardswish_does_not_overflow():
    with rounding("outward"):
        low, high = ends(F.hardswish(box([1e38], [1e38], torch.float32))[0])
    assert low <= 1e38 * (1 + 1e-7) and high < 1.001e38


def test_prelu_slopes_by_channel():
    x, weight = IntervalTensor(-torch.ones(2, 3, 4), torch.ones(2, 3, 4)), torch.tensor([-2.0, 0.0, 0.5])
    y = F.prelu(x, weight)
    assert y.lower[:, :, 0].tolist() == [[0, 0, -0.5]] * 2 and y.upper[:, :, 0].tolist() == [[2, 1, 1]] * 2
    testing.check_op(F.prelu, x * 0.9 + 0.05, weight + 0.1)
    layer = nn.PReLU(3, 0.3)
    layer(x).lower.sum().backward()
    assert layer.weight.grad.tolist() == [-8, -8, -8]


def test_rrelu_refuses_to_draw():
    with pytest.raises(UnsupportedOpError, match="eval"):
        nn.RReLU()(box([-1.0], [1.0]))


def test_glu_is_the_hull_for_every_dim():
    x = boxes(torch.float32)[:24].reshape(2, 4, 3)
    for dim in (1, -2, 0):
        testing.check_op(F.glu, x, dim=dim)
    a, b = x.chunk(2, 1)
    corners = [u * s for u, s in itertools.product((a.lower, a.upper), (b.lower.sigmoid(), b.upper.sigmoid()))]
    y = F.glu(x, 1)
    assert y.lower.equal(torch.stack(corners).amin(0)) and y.upper.equal(torch.stack(corners).amax(0))
    with pytest.raises(RuntimeError, match="Halving dimension must be even"):
        F.glu(x, 2)


MODULES = [
    nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.SiLU, nn.Mish, nn.Hardswish,
    nn.Hardsigmoid, lambda **k: nn.Threshold(0.1, 0.2, **k), lambda **k: nn.RReLU(**k).eval(),
]  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_modules_in_place(module):
    x = box([-2.0, -0.5, 0.3], [-1.0, 0.7, 0.9])
    expected = module()(x)
    view = x[1:]
    assert module(inplace=True)(x) is x
    assert view.lower.equal(expected.lower[1:]) and view.upper.equal(expected.upper[1:])


def test_in_place_functions_and_methods():
    for name in ("relu_", "leaky_relu_", "elu_", "celu_", "selu_", "hardtanh_", "rrelu_"):
        x = box([-2.0], [0.7])
        expected = getattr(F, name[:-1])(x)
        assert getattr(F, name)(x) is x and ends(x[0]) == ends(expected[0])
    x = box([-2.0], [0.7])
    assert ends(x.relu_()[0]) == (0, 0.7) == ends(torch.relu_(x)[0]) == ends(x[0])


def test_strict_mode_accepts_all_of_them():
    x = boxes(torch.float32)
    with rounding("outward", strict=True):
        for function, kwargs in CALLS:
            assert isinstance(function(x, **kwargs), it.IntervalTensor)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("beta", [1.0, -1.0, 2.0])
@pytest.mark.parametrize("mode", ["nearest", "outward"])
def test_softplus_beyond_the_reach_of_the_exponential(dtype, beta, mode):
    """With a threshold so large that torch's own exponential overflows."""
    ends = [torch.tensor([end], dtype=dtype, requires_grad=True) for end in sorted((800 / beta, 801 / beta))]
    with rounding(mode):
        y = torch.nn.functional.softplus(IntervalTensor(*ends), beta, 1000.0)
    assert y.lower.item() <= ends[0].item() and ends[1].item() <= y.upper.item() and y.width.item() < 1.01
    assert [g.item() for g in torch.autograd.grad(y.lower + y.upper, ends)] == [1.0, 1.0]


@pytest.mark.parametrize("threshold", [0.1, 0.3, 3.3, 20.7])
def test_softplus_at_a_threshold_that_float32_rounds(threshold):
    x = torch.tensor([threshold])
    x = torch.cat([torch.nextafter(x, -x), x, torch.nextafter(x, 2 * x)])
    with rounding("outward"):
        y = F.softplus(IntervalTensor.point(x), 1.0, threshold)
    for low, high, t in zip(y.lower.tolist(), y.upper.tolist(), x.tolist()):
        value = mpmath.mpf(t) if t > threshold else mpmath.log1p(mpmath.exp(mpmath.mpf(t)))
        assert low <= value <= high
