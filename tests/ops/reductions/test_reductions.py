"""Sums, products, extremes, norms and moments."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F

import intervaltorch as it
from intervaltorch import DomainError, IntervalTensor, UndecidedError
from intervaltorch._ops.reductions import moments
from intervaltorch.testing import assert_encloses, check_op, sample_points
from tests.boxes import seeded_box

inf = math.inf


boxes = partial(seeded_box, radius=0.5)


def corners(box):
    """All corners of a box with one dimension."""
    ends = torch.stack([box.lower, box.upper], -1)
    return torch.cartesian_prod(*ends) if box.numel() > 1 else ends.reshape(-1, 1)


REDUCTIONS = {
    "sum": lambda x: x.sum(),
    "sum over dims": lambda x: x.sum((0, 2), keepdim=True),
    "sum, dtype": lambda x: x.sum(1, dtype=torch.float64),
    "mean": lambda x: torch.mean(x, dim=-1),
    "mean, NumPy names": lambda x: x.mean(axis=0, keepdims=True),
    "cumsum": lambda x: x.cumsum(1),
    "prod": lambda x: x.prod(),
    "prod over a dim": lambda x: x.prod(2, keepdim=True),
    "cumprod": lambda x: torch.cumprod(x, -1),
    "amax": lambda x: x.amax((0, 1)),
    "amin": lambda x: x.amin(2, keepdim=True),
    "aminmax": lambda x: torch.aminmax(x, dim=1),
    "logsumexp": lambda x: torch.logsumexp(x, (0, 2)),
    "logcumsumexp": lambda x: x.logcumsumexp(1),
    "var": lambda x: x.var(),
    "var, biased": lambda x: x.var(False),
    "var, correction": lambda x: torch.var(x, (0, 2), correction=0, keepdim=True),
    "std": lambda x: x.std(1),
    "var_mean": lambda x: torch.var_mean(x, 2),
    "std_mean": lambda x: torch.std_mean(x, (0, 1)),
    "norm": lambda x: x.norm(),
    "1-norm": lambda x: torch.norm(x, 1, 1),
    "maximum norm": lambda x: torch.linalg.vector_norm(x, inf, 1),
    "least entry": lambda x: torch.linalg.vector_norm(x, -inf, 1),
    "count": lambda x: torch.linalg.vector_norm(x, 0, 1),
    "Frobenius norm": lambda x: torch.linalg.norm(x, dim=(0, 1)),
    "dist": lambda x: torch.dist(x, 0 * x.detach() + 1),
    "cdist": lambda x: torch.cdist(x, x[:, :1] * 1),
}


@pytest.mark.parametrize("radius", [1e-4, 0.5, 4.0])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_rules_keep_their_contract(name, radius):
    check_op(REDUCTIONS[name], boxes(2, 3, 4, radius=radius))


@pytest.mark.filterwarnings("ignore:the outward bounds")
@pytest.mark.parametrize("order", [3, 0.5, -2.0])
def test_other_norms_hold_but_are_not_claimed(order):
    def norm(x):
        return torch.linalg.vector_norm(x, order, 1)

    X = boxes(3, 4)
    check_op(norm, X)
    with it.rounding("outward", strict=True), pytest.raises(it.errors.UnprovenOpError):
        norm(X)


@pytest.mark.parametrize("name", ["sum", "mean", "cumsum", "prod", "prod over a dim", "cumprod", "logsumexp", "norm",
                                  "1-norm", "maximum norm", "least entry"])  # fmt: skip
def test_hulls_are_reached_at_corners_or_zero(name):
    X = boxes(1, 1, 6, radius=1.0)
    points = corners(X.reshape(6)).double()
    near_zero = X.lower.double().clamp(min=0) + X.upper.double().clamp(max=0)
    points = torch.cat([points, near_zero.reshape(1, 6)])
    values = torch.stack([REDUCTIONS[name](p.reshape(1, 1, 6)) for p in points])
    Y = REDUCTIONS[name](X.double())
    allowed = 2.0**-40 * Y.magnitude  # 2^12 roundings: thirty operations on six entries cost much less
    assert ((Y.lower - values.amin(0)).abs() <= allowed).all()
    assert ((Y.upper - values.amax(0)).abs() <= allowed).all()


def test_sums_hold_where_plain_bounds_fail():
    x = torch.tensor([1.0, 2.0**25, -(2.0**25)])
    with it.rounding("outward"):
        assert_encloses(IntervalTensor.point(x).sum(), x.double().sum())
    big = IntervalTensor.point(torch.tensor([3e38, 3e38, -3e38]))
    for mode in ("nearest", "outward"):
        with it.rounding(mode):
            assert big.sum().lower <= 3e38 <= big.sum().upper


def test_sums_of_one_sign_keep_it():
    with it.rounding("outward"):
        Y = IntervalTensor(torch.zeros(100), torch.full((100,), 1e-30)).sum()
        assert Y.lower == 0
        assert (-Y).upper == 0


def test_sums_of_decided_booleans_are_plain():
    X = boxes(5, radius=0.01)
    assert type((X > -10).sum()) is torch.Tensor
    with pytest.raises(UndecidedError, match=r"x\.float\(\)"):
        (X.center < X).sum()
    assert_encloses((X.center < X).float().sum(), torch.tensor(2.0))


@pytest.mark.parametrize("n", [2, 3, 5, 9])
@pytest.mark.parametrize("radius", [0.05, 0.5, 2.0])
def test_the_least_variance_is_exact(n, radius):
    """The least is a convex problem; many steps of projected gradient descent find it."""
    X = boxes(n, radius=radius, seed=n).double()
    x = X.center
    for _ in range(4000):
        x = torch.minimum(torch.maximum(x - 0.5 * (x - x.mean()), X.lower), X.upper)
    torch.testing.assert_close(X.var().lower, x.var(), rtol=1e-6, atol=1e-9)


def test_the_greatest_variance_is_a_bound_and_nearly_one_of_a_corner():
    for seed in range(10):
        X = boxes(8, radius=1.0, seed=seed).double()
        greatest = corners(X).var(1).max()
        assert greatest <= X.var().upper * (1 + 1e-12)
        assert X.var().upper <= 1.05 * greatest


def test_the_certificate_of_the_least_deviation_needs_no_optimum():
    for seed in range(50):
        X = boxes(5, radius=2.0, seed=seed).double()
        best = moments.deviations(X._box, -1).least
        for steps in (0, 1, 2):
            assert moments._least_deviation(X._box, -1, 5, steps) <= best * (1 + 1e-12)


def test_a_variance_without_degrees_of_freedom_is_refused():
    with pytest.raises(DomainError, match="correction=0"):
        boxes(1, 3).var(0)
    assert boxes(1, 3).var(0, correction=0).upper.eq(0).all()


def test_moments_of_large_numbers_do_not_cancel():
    x = 1e6 + torch.randn(50, dtype=torch.float64).float()
    with it.rounding("outward"):
        Y = IntervalTensor.point(x).std()
    assert_encloses(Y, x.double().std())
    assert Y.width < 5e-3  # the numbers themselves are multiples of 1/16; a difference of squares would leave nothing


def test_norms_do_not_overflow():
    X = IntervalTensor.point(torch.tensor([1e30, 1e30]))
    assert X.norm().lower <= math.sqrt(2) * 1e30


@pytest.mark.parametrize("name", REDUCTIONS)
def test_infinite_boxes_give_no_nan(name):
    lower, upper = boxes(2, 3, 4).lower.clone(), boxes(2, 3, 4).upper.clone()
    lower[0, 0, 0], upper[0, 0, 0], upper[1, 2, 3], lower[1, 1, 1] = -inf, inf, inf, -inf
    X = IntervalTensor(lower, upper)
    finite = IntervalTensor(lower.clamp(min=-50), upper.clamp(max=50))
    for mode in ("nearest", "outward"):
        with it.rounding(mode):
            results = REDUCTIONS[name](X)
        for position, Y in enumerate(results if isinstance(results, tuple) else [results]):
            assert (Y.lower <= Y.upper).all()
            if mode == "outward":
                for x in sample_points(finite, 20):
                    value = REDUCTIONS[name](x.double())
                    assert_encloses(Y, value[position] if isinstance(value, tuple) else value)


def test_empty_and_scalar():
    empty = IntervalTensor(torch.zeros(0, 3), torch.zeros(0, 3))
    assert empty.sum(0).upper.eq(0).all()
    assert empty.prod(0).lower.eq(1).all()
    scalar = IntervalTensor(torch.tensor(-1.0), torch.tensor(2.0))
    assert scalar.sum().upper == scalar.prod().upper == scalar.cumsum(0).upper == 2
    assert scalar.norm().lower == 0


def test_gradients_at_zero_variance_and_zero_norm_are_finite():
    for function in (torch.std, torch.var, torch.norm, lambda x: F.normalize(x, dim=0)):
        lower, upper = (torch.full((4,), v, requires_grad=True) for v in (-1.0, 1.0))
        Y = function(IntervalTensor(lower, upper))
        (Y.lower.sum() + Y.upper.sum()).backward()
        assert lower.grad.isfinite().all()
        assert upper.grad.isfinite().all()


def test_moments_of_nothing_are_refused():
    empty = IntervalTensor(torch.zeros(0), torch.zeros(0))
    for function in (torch.mean, torch.var, torch.std):
        with pytest.raises(DomainError):
            function(empty)


@pytest.mark.parametrize("spread", [torch.var, torch.std])
def test_the_spread_of_a_point_is_no_inverted_box(spread):
    """Its bounds are computed apart, and rounding must not exchange them."""
    x = torch.randn(500, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    result = spread(IntervalTensor.point(x), -1)
    assert bool((result.lower <= result.upper).all())
    torch.testing.assert_close(result.center, spread(x, -1))
    expected = torch.autograd.grad(spread(x, -1).sum(), x)[0]
    for end in (result.lower, result.upper):
        assert torch.allclose(torch.autograd.grad(end.sum(), x, retain_graph=True)[0], expected, atol=1e-4)
