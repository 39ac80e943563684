"""Distances, quadratures, grids, bags and searches: sound, and as wide as the hull where each entry is read once."""

import pytest
import torch
import torch.nn.functional as F

from intervaltorch import IntervalTensor, UndecidedError, testing
from tests.boxes import seeded_ball as ball


def assert_hull(function, *boxes, ratio=1.02, points=2000):
    """The box is no wider than the spread of values at corners, up to a ratio."""
    generator = torch.Generator().manual_seed(0)
    values = []
    for _ in range(points):
        corner = [torch.where(torch.rand(x.shape, generator=generator) < 0.5, x.lower, x.upper) for x in boxes]
        values.append(function(*corner))
    spread = torch.stack(values).amax(0) - torch.stack(values).amin(0)
    assert (function(*boxes).width <= ratio * spread + 1e-5).all()


LINEAR = {
    "trapezoid": (torch.trapezoid, ball(5)),
    "trapezoid dx": (lambda y: torch.trapezoid(y, dx=0.3, dim=0), ball(5, 2)),
    "trapezoid x": (lambda y: torch.trapz(y, torch.tensor([0.0, 1.0, 1.5, 4.0], dtype=y.dtype)), ball(2, 4)),
    "trapezoid x along": (lambda y: torch.trapezoid(y, torch.arange(8).to(y).view(4, 2) ** 2, dim=0), ball(4, 2)),
    "linspace": (lambda a, b: torch.linspace(a, b, 5, dtype=a.dtype), ball(), ball(seed=1)),
    "linspace one": (lambda a: torch.linspace(a, 2.0, 1, dtype=a.dtype), ball()),
    "logspace": (lambda a, b: torch.logspace(a, b, 4, base=2.0, dtype=a.dtype), ball(), ball(seed=1)),
    "vander": (lambda x: torch.vander(x, 4), ball(3) + 3),
    "vander increasing": (lambda x: torch.vander(x, increasing=True), ball(3) - 3),
    "embedding_bag": (lambda w: F.embedding_bag(torch.tensor([[0, 1], [2, 0]]), w), ball(3, 2)),
    "embedding_bag max": (lambda w: F.embedding_bag(torch.tensor([[0, 1], [2, 0]]), w, mode="max"), ball(3, 2)),
    "embedding_bag weights": (
        lambda w, p: F.embedding_bag(
            torch.tensor([0, 1, 2]), w, torch.tensor([0, 2]), mode="sum", per_sample_weights=p, padding_idx=-1
        ),
        ball(3, 2),
        ball(3),
    ),
    "scatter_reduce": (lambda x, y: x.scatter_reduce(0, torch.tensor([0, 0, 2]), y, "prod"), ball(3), ball(3, seed=4)),
    "index_reduce": (
        lambda x, y: x.index_reduce(1, torch.tensor([0, 0]), y, "prod", include_self=False), ball(2, 3), ball(2, 2),
    ),
    "pdist": (F.pdist, ball(4, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", LINEAR)
def test_hull(name):
    function, *boxes = LINEAR[name]
    testing.check_op(function, *boxes)
    assert_hull(function, *boxes)


@pytest.mark.parametrize("p", [0.0, 1.0, 1.5, float("inf")])
def test_pdist(p):
    testing.check_sound(lambda x: F.pdist(x, p), ball(4, 3))


def test_trapezoid_over_intervals_of_places():
    testing.check_sound(torch.trapezoid, ball(4), ball(4, seed=3))
    testing.check_sound(lambda x: torch.trapezoid(torch.ones(4, dtype=x.dtype), x), ball(4, seed=3))


def test_a_place_that_depends_on_the_point_is_undecided():
    edges = torch.tensor([0.0, 1.0, 2.0])
    decided = torch.searchsorted(edges, IntervalTensor(torch.tensor([0.2]), torch.tensor([0.8])))
    assert type(decided) is torch.Tensor and decided.tolist() == [1]
    undecided = torch.bucketize(IntervalTensor(torch.tensor([0.2]), torch.tensor([1.2])), edges)
    with pytest.raises(UndecidedError):
        undecided + 1
    moving = IntervalTensor(edges[[2, 0, 1]], edges[[2, 0, 1]] + 0.5)
    assert torch.searchsorted(moving, torch.tensor([0.7]), sorter=torch.tensor([1, 2, 0])).tolist() == [1]
