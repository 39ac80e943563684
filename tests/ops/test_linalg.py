"""Distances, quadratures, bags and places: sound, and as tight as their one reading of each entry allows."""

import pytest
import torch
import torch.nn.functional as F

from intervaltorch import IntervalTensor, UndecidedError, testing


def ball(*shape, radius=0.1, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed + len(shape))
    return IntervalTensor.from_ball(torch.randn(shape, generator=generator).to(dtype), radius)


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


def test_ctc_loss_lies_between_its_values_at_both_ends():
    x = ball(6, 2, 4).log_softmax(-1)
    arguments = (torch.tensor([[1, 2], [3, 3]]), (6, 5), (2, 2))
    for reduction in ("none", "mean", "sum"):
        testing.check_sound(lambda x: F.ctc_loss(x, *arguments, reduction=reduction), x)  # noqa: B023
        y = F.ctc_loss(x, *arguments, reduction=reduction)
        torch.testing.assert_close(y.lower, F.ctc_loss(x.upper, *arguments, reduction=reduction))
        torch.testing.assert_close(y.upper, F.ctc_loss(x.lower, *arguments, reduction=reduction))
    testing.check_gradient(lambda x: F.ctc_loss(x, *arguments), x.double())


def test_ctc_loss_that_may_be_infinite():
    low = torch.full((1, 1, 2), -float("inf"))
    x = IntervalTensor(low, torch.full((1, 1, 2), -1.0))
    arguments = (torch.tensor([[1]]), (1,), (1,))
    y = F.ctc_loss(x, *arguments, reduction="none", zero_infinity=True)
    assert y.lower.item() == 0 and y.upper.item() == float("inf")
    never = F.ctc_loss(IntervalTensor.point(low), *arguments, reduction="none", zero_infinity=True)
    assert never.lower.item() == never.upper.item() == 0


def test_ctc_loss_of_sequences_of_all_kinds():
    x = ball(7, 3, 4).log_softmax(-1)
    testing.check_sound(lambda x: F.ctc_loss(x, torch.tensor([1, 1, 2, 3]), (7, 5, 3), (2, 2, 0)), x)
    testing.check_sound(lambda x: F.ctc_loss(x[:, 0], torch.tensor([3, 1]), (7,), (2,), blank=2, reduction="none"), x)
    testing.check_op(
        lambda x: F.ctc_loss(x, torch.tensor([[2, 2, 2]] * 3), (7, 7, 3), (3, 2, 3), zero_infinity=True), x
    )
