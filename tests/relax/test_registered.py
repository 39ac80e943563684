"""Functions that a user registers are relaxed by how they bend, or by their parts."""

import pytest
import torch

import intervaltorch as it
from intervaltorch import IntervalTensor, bound
from intervaltorch._records.registry import OPS


@pytest.fixture(autouse=True)
def restored():
    """The table of ops as it was before."""
    before = dict(OPS)
    yield
    OPS.clear()
    OPS.update(before)


def assert_tighter(function, x):
    plain, found = bound(function, x), bound(function, x, method="crown")
    assert found.width.sum() < 0.8 * plain.width.sum()
    for t in torch.linspace(0, 1, 101, dtype=torch.float64):
        value = function(x.lower + t * (x.upper - x.lower))
        assert bool(((found.lower <= value + 1e-12) & (value - 1e-12 <= found.upper)).all())


X = IntervalTensor(torch.tensor([-0.9, 0.4]).double(), torch.tensor([0.7, 1.1]).double())


def test_inflections():
    @it.register(monotone="increasing", curvature="concave", inflections=(0.0,))
    def cube(x):
        return x * x * x

    assert_tighter(lambda x: cube(x) - x, X)


def test_inflections_and_a_turning_point():
    """The bounds do not take the function for a concave one."""

    @it.register(critical=(0.0,), curvature="convex", inflections=(-1.0, 1.0))
    def bell(x):
        return torch.exp(-x * x / 2)

    assert bell(IntervalTensor(torch.tensor([-3.0]), torch.tensor([2.0]))).lower.item() < 0.02
    assert_tighter(lambda x: bell(x) + x * 0.2, X)


def test_parts():
    def by_parts(x, y):
        return torch.exp(x) * y

    @it.register(rule=lambda x, y: it.Box(*(torch.full_like(x.lower, end) for end in (-9.0, 9.0))), parts=by_parts)
    def product(x, y):
        return torch.exp(x) * y

    assert_tighter(lambda x: product(x, x.flip(0)), X)


@pytest.mark.parametrize(
    "record",
    [
        {"monotone": "increasing", "inflections": (0.0,)},
        {"monotone": "increasing", "curvature": "convex", "inflections": (1.0, 0.0)},
        {"monotone": "increasing", "curvature": "convex", "inflections": (0.0, 0.0, 0.0)},
        {"rule": lambda x: x, "curvature": "convex", "inflections": (0.0,)},
        {"monotone": "increasing", "parts": 3},
    ],
)
def test_contradictions(record):
    with pytest.raises(it.RegistrationError):
        it.register(lambda x: x, **record)
