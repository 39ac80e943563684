"""Covariances and correlations: sound with all options, exact for points, tighter than what composes them."""

from __future__ import annotations

import math

import pytest
import torch

from intervaltorch import DomainError, IntervalTensor, testing


def ball(*shape, radius=0.1, seed=0, dtype=torch.float32):
    centre = torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape))).to(dtype)
    return IntervalTensor.from_ball(centre, radius)


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
