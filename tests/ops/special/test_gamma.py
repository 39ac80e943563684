"""Gamma functions: exact values on either side of zero, poles, roots, orders, both arguments as boxes."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch

from intervaltorch import DomainError, IntervalTensor, UnsupportedOpError, rounding, testing
from intervaltorch._ops.special.gamma import _turn_of_sum
from tests.exact import assert_contains_exact_values, assert_hull, random_boxes

inf = math.inf
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)

POSITIVE = [(1e-6, 1), (0.9, 1.1), (1.4, 1.5), (1.9, 2.1), (0.5, 3), (3, 50), (10, 1e4)]
# Between poles, around the roots of ψ at -0.504083 and -1.573498 and of log |Γ| at -2.457025 and -2.747683.
NEGATIVE = [
    (-0.999, -0.001), (-0.50409, -0.50407), (-1.5735, -1.57349), (-1.999, -1.001), (-2.9999, -2.0001),
    (-2.45703, -2.45702), (-2.74769, -2.74768), (-100.9, -100.1), (-9999.9, -9999.1),
]  # fmt: skip


def log_abs_gamma(x):
    return mpmath.log(abs(mpmath.gamma(x)))


@each_dtype
@pytest.mark.parametrize(
    "function, exact",
    [(torch.lgamma, log_abs_gamma), (torch.digamma, mpmath.digamma)],
    ids=["lgamma", "digamma"],
)
def test_contains_exact_values(function, exact, dtype):
    assert_contains_exact_values(function, exact, random_boxes(POSITIVE + NEGATIVE, dtype))


@pytest.mark.parametrize("function", [torch.lgamma, torch.digamma])
def test_hull_between_poles(function):
    boxes = random_boxes(POSITIVE + NEGATIVE[:5], torch.float64)
    assert_hull(function, boxes)
    testing.check_gradient(function, boxes[boxes.width > 0.02][::5])


POLES = [(-1, -0.5), (-0.5, 0), (-1.5, -0.5), (-3.0, -3.0), (-0.0, 1), (-1e5 - 0.5, -1e5 - 0.4)]


@pytest.mark.parametrize("lower, upper", POLES)
def test_a_pole_leaves_nothing_of_digamma(lower, upper):
    X = IntervalTensor(*torch.tensor([[lower], [upper]], dtype=torch.float64))
    Y = torch.digamma(X)
    assert (Y.lower.item(), Y.upper.item()) == (-inf, inf)


@each_dtype
@pytest.mark.parametrize(
    "lower, upper", [*POLES[:-1], (-2.2, 0.3), (-2.6, 5.0), (-0.3, 1.2), (-3.0, -2.9), (-7.4, -1.7), (-50.3, -48.9)]
)
def test_a_pole_leaves_the_least_minimum_of_lgamma(lower, upper, dtype):
    X = IntervalTensor(*torch.tensor([[lower], [upper]], dtype=dtype))
    inner = [lower + (upper - lower) * (k + 0.37) / 2000 for k in range(2000 if lower < upper else 0)]
    least = min((log_abs_gamma(mpmath.mpf(x)) for x in inner), default=inf)
    ends = [torch.lgamma(end.double()).item() for end in (X.lower, X.upper)]
    near = min(float(least), *ends)
    Y = torch.lgamma(X)
    assert Y.upper.item() == inf
    assert near - 1e-4 * (1 + abs(near)) <= Y.lower.item() <= near + 1e-4 * (1 + abs(near)) or near == inf
    with rounding("outward"):
        assert torch.lgamma(X).lower.item() <= near


def test_lgamma_far_below_zero_says_nothing():
    Y = torch.lgamma(IntervalTensor(torch.tensor([-1e5 - 0.5, -1e4 - 0.5]), torch.tensor([-1e5 - 0.4, 3.0])))
    assert bool((Y.lower == -inf).all()) and bool((Y.upper == inf).all())


@each_dtype
@pytest.mark.parametrize("order", [0, 1, 2, 3, 10, 33])
def test_polygamma(order, dtype):
    boxes = random_boxes([(1e-3, 1), (0.5, 5), (5, 70), (50, 1e4)], dtype, count=20)
    exact = lambda x: mpmath.polygamma(order, x)  # noqa: E731
    assert_contains_exact_values(lambda x: torch.polygamma(order, x), exact, boxes, digits=60 + 6 * order)
    assert_contains_exact_values(lambda x: x.polygamma(order), exact, boxes[:5], digits=60 + 6 * order)
    reaching = torch.polygamma(order, IntervalTensor(boxes.lower - 2e4, boxes.upper))
    assert bool((reaching.upper == inf).all()) and bool((reaching.lower == (0 if order % 2 else -inf)).all())


def test_polygamma_of_high_order_is_refused():
    with pytest.raises(UnsupportedOpError, match="order 101"):
        torch.polygamma(101, IntervalTensor.point(torch.ones(1)))


@each_dtype
@pytest.mark.parametrize("p", [1, 2, 5])
def test_multivariate(p, dtype):
    def exact(x):
        parts = (mpmath.loggamma(x - mpmath.mpf(i) / 2) for i in range(p))
        return sum(parts) + mpmath.mpf(p * (p - 1)) / 4 * mpmath.log(mpmath.pi)

    start = (p - 1) / 2
    boxes = random_boxes([(start + 1e-3, start + 0.1), (start + 0.1, start + 3), (start + 3, 1e4)], dtype)
    assert_contains_exact_values(lambda x: torch.mvlgamma(x, p), exact, boxes)
    assert_hull(lambda x: torch.special.multigammaln(x, p=p), boxes.double())
    with pytest.raises(DomainError, match="clamp"):
        torch.mvlgamma(IntervalTensor.point(torch.tensor([start - 0.25])), p)


@each_dtype
def test_zeta(dtype):
    x = random_boxes([(1.0001, 1.5), (1.1, 10), (10, 60)], dtype, count=20)
    y = random_boxes([(1e-2, 1.5), (0.9, 1.1), (1, 60)], dtype, count=20, seed=3)
    for other in (y, y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]):
        assert_contains_exact_values(torch.special.zeta, mpmath.zeta, x, other, samples=4, digits=140)
    with rounding("outward"):
        powers = torch.special.zeta(IntervalTensor.point(torch.tensor([3.0])), 1)
    assert powers.contains(torch.tensor([1.2020569])).all() and powers.width.item() < 1e-5
    with pytest.raises(DomainError):
        torch.special.zeta(IntervalTensor.point(torch.tensor([0.5])), 1)


def test_zeta_at_infinity():
    x = IntervalTensor(torch.tensor([1.0, 2.0, 2.0]), torch.tensor([inf, inf, 3.0]))
    y = IntervalTensor(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([inf, 2.0, inf]))
    for mode in ("nearest", "outward"):
        with rounding(mode):
            result = torch.special.zeta(x, y)
        assert result.lower.tolist() == [0, 0, 0]
        assert result.upper[0] == inf and result.contains(torch.tensor([5.0, 1.2, 0.1])).all()


@each_dtype
@pytest.mark.parametrize("name", ["gammainc", "gammaincc"])
def test_incomplete_gamma(name, dtype):
    def exact(a, x):
        lower = mpmath.gammainc(a, 0, x, regularized=True)
        return lower if name == "gammainc" else 1 - lower

    function = getattr(torch.special, name)
    a = random_boxes([(1e-4, 1), (0.5, 5), (5, 25), (20, 300)], dtype, count=30)
    for factor in (0.05, 0.7, 1.0, 1.2, 3.0):
        x = IntervalTensor(a.lower * factor, a.lower * factor + (a.upper - a.lower))
        assert_contains_exact_values(function, exact, a, x, samples=4, digits=80)


@pytest.mark.parametrize("name", ["gammainc", "gammaincc"])
def test_incomplete_gamma_at_the_edge(name):
    function = getattr(torch.special, name)
    a = IntervalTensor(torch.tensor([1.0, 0.0, 1.0, inf]), torch.tensor([inf, 1.0, 2.0, inf]))
    x = IntervalTensor(torch.tensor([0.0, 1.0, inf, inf]), torch.tensor([inf, 2.0, inf, inf]))
    for mode in ("nearest", "outward"):
        with rounding(mode):
            result = function(a, x)
        assert (
            bool((result.lower >= 0).all()) and bool((result.upper <= 1).all()) and bool(result.width.isfinite().all())
        )
        assert result.contains(function(torch.tensor([5.0, 0.5, 1.5, 0.0]), torch.tensor([5.0, 1.5, inf, 1.0])))[
            :3
        ].all()
    with pytest.raises(DomainError, match=r"\(0, 0\)"):
        function(IntervalTensor.point(torch.zeros(1)), torch.zeros(1))


@pytest.mark.parametrize("p", [1, 2, 5, 12])
def test_turn_of_the_multivariate_gamma_function(p):
    def slope(x):
        return sum(mpmath.digamma(x - mpmath.mpf(i) / 2) for i in range(p))

    assert slope(_turn_of_sum(p) - 1e-8) < 0 < slope(_turn_of_sum(p) + 1e-8)


@pytest.mark.parametrize("lower, upper", [(0.0, 1.0), (-2.5, -2.0), (-1.0, 1.5), (-3.0, 0.0)])
def test_gradients_of_lgamma_on_boxes_that_end_at_a_pole(lower, upper):
    ends = [torch.tensor([end], dtype=torch.float64, requires_grad=True) for end in (lower, upper)]
    gradients = torch.autograd.grad(torch.lgamma(IntervalTensor(*ends)).lower, ends, allow_unused=True)
    assert all(g is None or bool(g.isfinite().all()) for g in gradients)
