"""The cosine of two vectors: sound for all shapes and norms, and near ±1 as tight as its square says."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from intervaltorch import IntervalTensor, rounding, testing
from tests.boxes import seeded_ball

ball = partial(seeded_ball, salt=sum)


@pytest.mark.parametrize("radius", [0.01, 0.3, 3.0])
@pytest.mark.parametrize("shapes", [((3, 5), (3, 5), 1), ((4, 1, 2), (3, 2), -1), ((5,), (5,), 0), ((2, 3), (3,), 0)])
def test_contract(shapes, radius):
    first, second, dim = shapes
    x, y = ball(*first, radius=radius), ball(*second, radius=radius, seed=1)
    testing.check_op(F.cosine_similarity, x, y, dim=dim, samples=16)
    for pair in ((x, y.center), (x.center, y)):
        testing.check_sound(F.cosine_similarity, *pair, dim=dim)


def test_norms_that_may_be_cut():
    x = IntervalTensor(
        torch.tensor([[0.0, 0.0], [-0.5, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.5, 0.3], [1.0, 0.0]])
    )
    for eps in (1e-8, 0.1, 2.0):
        testing.check_sound(F.cosine_similarity, x, ball(3, 2, radius=0.5), eps=eps, samples=64)
        testing.check_result(F.cosine_similarity, x, ball(3, 2, radius=0.5), eps=eps)


def test_never_beyond_one():
    x = ball(50, 4, radius=0.0)
    for y in (x, x * 2.5, -x):
        result = F.cosine_similarity(x, y)
        assert bool((result.magnitude <= 1).all())
        with rounding("outward"):
            assert bool((F.cosine_similarity(x, y).magnitude == 1).all())


def test_parallel_vectors_lose_only_the_square_of_the_radius():
    x = IntervalTensor.from_ball(torch.full((1, 4), 1.0, dtype=torch.float64), 1e-3)
    result = F.cosine_similarity(x, torch.ones(1, 4, dtype=torch.float64))
    assert result.upper.item() <= 1
    assert 1 - result.lower.item() < 1e-5
