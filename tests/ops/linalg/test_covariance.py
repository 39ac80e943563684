"""Covariances and correlations: sound with all options, exact for points, tighter than what composes them."""

from __future__ import annotations

import math
from functools import partial

import mpmath
import pytest
import torch

from intervaltorch import DomainError, IntervalTensor, rounding, testing
from tests.boxes import seeded_ball

ball = partial(seeded_ball, salt=sum)


OPTIONS = [
    {}, {"correction": 0}, {"correction": 2}, {"fweights": torch.tensor([1, 2, 3, 1])},
    {"aweights": torch.tensor([0.5, 0.2, 1.0, 0.7]), "correction": 0},
    {"aweights": torch.tensor([0.5, 0.2, 1.0, 0.7]), "fweights": torch.tensor([1, 2, 3, 1])},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (4,)])
@pytest.mark.parametrize("radius", [0.0, 0.1, 2.0])
def test_cov(options, shape, radius):
    x = ball(*shape, radius=radius)
    testing.check_sound(torch.cov, x, samples=24, **options)
    testing.check_result(torch.cov, x, **options)
    testing.check_nested(torch.cov, x, **options)


@pytest.mark.parametrize("shape", [(3, 5), (1, 4), (4,)])
@pytest.mark.parametrize("radius", [0.01, 0.1, 2.0])
def test_corrcoef(shape, radius):
    x = ball(*shape, radius=radius)
    testing.check_sound(torch.corrcoef, x, samples=24)
    testing.check_result(torch.corrcoef, x)
    testing.check_nested(torch.corrcoef, x)


def test_gradients():
    testing.check_gradient(torch.cov, ball(3, 4, dtype=torch.float64))
    testing.check_gradient(torch.corrcoef, ball(3, 4, radius=0.05, dtype=torch.float64))


def test_variances_are_those_of_var():
    x = ball(3, 6)
    covariances, variances = torch.cov(x), x.var(-1)
    for end in ("lower", "upper"):
        assert torch.equal(getattr(covariances, end).diagonal(), getattr(variances, end))


def test_a_row_correlates_with_itself():
    result = torch.corrcoef(ball(3, 6))
    assert torch.equal(result.lower.diagonal(), torch.ones(3)) and torch.equal(result.upper.diagonal(), torch.ones(3))
    assert bool((result.magnitude <= 1).all())


def test_rows_that_may_be_constant():
    x = IntervalTensor(
        torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 4.0]]), torch.tensor([[1.0, 1.0, 1.0], [1.0, 2.0, 4.0]])
    )
    result = torch.corrcoef(x)
    assert result.lower[0].tolist() == [-math.inf] * 2 and result.upper[0].tolist() == [math.inf] * 2
    assert result.lower[1, 1] == result.upper[1, 1] == 1


def test_one_mean_is_enough():
    """The covariance with a row that does not vary is linear: Σ (y_i - m) x_i / (n - 1), whose hull is known."""
    x, y = ball(1, 5, dtype=torch.float64), torch.tensor([[1.0, -2.0, 0.5, 3.0, 1.5]], dtype=torch.float64)
    weights = (y - y.mean()) / 4
    radius = (weights.abs() * x.radius).sum()
    result = torch.cov(torch.cat([x, IntervalTensor.point(y)]))[0, 1]
    assert result.width.item() == pytest.approx(2 * radius.item(), rel=1e-6)


def test_too_few_observations():
    with pytest.raises(DomainError, match="2 observations with correction 2"):
        torch.cov(ball(3, 2), correction=2)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (4,)])
@pytest.mark.parametrize("radius", [0.0, 0.1, 2.0])
def test_cov_of_complex_rows(options, shape, radius):
    parts = ball(*shape, radius=radius), ball(*shape, radius=radius, seed=9)

    def cov(a, b, **options):
        return torch.cov(torch.complex(a, b), **options)

    testing.check_sound(cov, *parts, samples=24, **options)
    testing.check_result(cov, *parts, **options)


@pytest.mark.parametrize("shape", [(3, 5), (1, 4), (4,)])
@pytest.mark.parametrize("radius", [0.01, 0.1, 2.0])
def test_corrcoef_of_complex_rows(shape, radius):
    def corrcoef(a, b):
        return torch.corrcoef(torch.complex(a, b))

    parts = ball(*shape, radius=radius), ball(*shape, radius=radius, seed=9)
    testing.check_sound(corrcoef, *parts, samples=24)
    testing.check_result(corrcoef, *parts)


def exact_covariances(x, correction):
    rows = [[mpmath.mpf(value) for value in row] for row in x.tolist()]
    means = [sum(row) / len(row) for row in rows]
    return [
        [sum((a - m) * (b - k) for a, b in zip(x, y)) / (len(x) - correction) for y, k in zip(rows, means)]
        for x, m in zip(rows, means)
    ]


@pytest.mark.parametrize("function", [torch.cov, torch.corrcoef])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("offset, radius", [(0.0, 0.0), (1e4, 0.0), (1e4, 1e-3), (-1e6, 1.0), (0.0, 1e-30)])
def test_contains_exact_values(function, dtype, offset, radius):
    """Of rows in a line too: their covariance is as large as Cauchy and Schwarz allow."""
    generator = torch.Generator().manual_seed(3)
    for n in (2, 3, 7):
        first = offset + (radius or 1.0) * torch.randn(1, n, generator=generator, dtype=torch.float64)
        rows = torch.cat([first, 2 * first, -first, torch.randn(2, n, generator=generator, dtype=torch.float64)])
        x = IntervalTensor.from_ball(rows.to(dtype), radius)
        with rounding("outward"):
            result = function(x)
        ends = [
            (low, high)
            for pair in zip(result.lower, result.upper)
            for low, high in zip(*map(torch.Tensor.tolist, pair))
        ]
        for point in testing.sample_points(x, 8, generator=generator):
            with mpmath.workdps(60):
                values = exact_covariances(point, 1 if function is torch.cov else 0)
                flat = []
                for i, row in enumerate(values):
                    for j, value in enumerate(row):
                        scale = 1 if function is torch.cov else mpmath.sqrt(values[i][i] * values[j][j])
                        flat.append(value / scale if scale else None)
                for (low, high), value in zip(ends, flat):
                    # Square roots of 60 digits give correlations of rows in a line that many digits.
                    assert value is None or low - mpmath.mpf(10) ** -50 <= value <= high + mpmath.mpf(10) ** -50


@pytest.mark.parametrize("mode", ["nearest", "outward"])
def test_a_width_that_overflows(mode):
    x = IntervalTensor(
        torch.tensor([[-2e38, 0.0, 0.0], [1e-3, 2e-3, 5e-3]]), torch.tensor([[2e38, 0.0, 0.0], [1e-3, 2e-3, 5e-3]])
    )
    with rounding(mode):
        result = torch.cov(x)
    room = 1 + 1e-6 * (mode == "nearest")
    for end in (x.lower, x.upper):
        values = torch.cov(end.double())[0]
        assert bool((result.lower[0] * room <= values).all() & (values <= result.upper[0] * room).all())


def test_an_unbounded_deviation_times_none():
    """Of rows that overflow with rows that are constant nothing is known; least of all that it is no number."""
    x = IntervalTensor(torch.tensor([[9e36, 0.0], [1.0, 1.0]]), torch.tensor([[9e36, 1.0], [1.0, 1.0]]))
    result = torch.cov(x)
    assert not bool(result.lower.isnan().any() | result.upper.isnan().any())


def test_bounds_do_not_cross_in_nearest_mode():
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        parts = [IntervalTensor.point(torch.randint(0, 3, (2, 4), generator=generator) / 3) for _ in range(2)]
        result = torch.cov(torch.complex(*parts)).imag
        assert bool((result.lower <= result.upper).all())
    x, y = torch.ones(4), torch.tensor([1e30, 1.0, 2.0, 3.0])  # places that are one, whose products cancel
    result = torch.trapezoid(IntervalTensor.point(y), IntervalTensor.point(x))
    assert result.lower.item() <= 0 <= result.upper.item()
