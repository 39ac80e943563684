"""Certified accuracy against sampled points and attacks, and proofs by splitting against known answers."""

import itertools

import pytest
import torch
from torch import nn

import intervaltorch as it
from intervaltorch import IntervalTensor, certified_accuracy, verify


def classifier():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)).double()


def samples(count=40):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(count, 4, generator=generator, dtype=torch.float64)
    return x, classifier()(x).argmax(1)


def test_certified_samples_keep_their_class():
    model, (x, y) = classifier(), samples()
    wrong = (y + 1) % 3
    found = {m: certified_accuracy(model, x, y, 0.05, method=m, batch_size=7) for m in ("ibp", "crown-ibp", "crown")}
    for result in found.values():
        assert bool(result.clean.all())
        for _ in range(50):
            near = x + 0.1 * (torch.rand_like(x).round() - 0.5)
            assert bool((model(near).argmax(1) == y)[result.certified].all())
    counts = [result.certified.sum().item() for result in found.values()]
    assert counts == sorted(counts) and counts[0] < counts[-1]
    assert not bool(certified_accuracy(model, x, wrong, 0.0).certified.any())
    assert bool(certified_accuracy(model, x, y, 0.0).certified.all())


def test_radii_and_clips():
    model, (x, y) = classifier(), samples()
    radius = torch.linspace(0, 0.2, 4, dtype=torch.float64)
    everywhere = certified_accuracy(model, x, y, radius, batch_size=16)
    clipped = certified_accuracy(model, x, y, radius, clip=(0, 1))
    assert bool((clipped.certified | ~everywhere.certified).all())
    assert len(certified_accuracy(model, x[:0], y[:0], 0.1).clean) == 0
    with pytest.raises(ValueError, match="40 samples"):
        certified_accuracy(model, x, y[:3], 0.1)
    with pytest.raises(ValueError, match="batch_size"):
        certified_accuracy(model, x, y, 0.1, batch_size=0)


def network(depth=6, width=50):
    """As in ACAS Xu: five inputs, six hidden layers of fifty neurons, five outputs."""
    torch.manual_seed(1)
    sizes = [5, *[width] * depth, 5]
    layers = [m for a, b in itertools.pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())][:-1]
    return nn.Sequential(*layers)


def unit_box(*shape):
    return IntervalTensor(-torch.ones(1, *shape), torch.ones(1, *shape))


def test_a_property_of_a_network_is_proved_and_refuted():
    model, box = network(), unit_box(5)
    with torch.no_grad():
        reached = model(2 * torch.rand(20000, 5) - 1)[:, 0].max().item()
    proof = verify(model, box, lambda y: y[:, 0] < reached + 0.1)
    assert proof.answer == "proved" and proof.point is None and proof.undecided == 0
    refuted = verify(model, box, lambda y: y[:, 0] < reached - 0.05)
    assert refuted.answer == "counterexample"
    assert bool(box.contains(refuted.point).all()) and model(refuted.point)[0, 0] >= reached - 0.05


def test_joint_predicates_and_images():
    model = nn.Sequential(nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 2, 3), nn.ReLU(), nn.Flatten())
    torch.manual_seed(0)
    answer = verify(model, unit_box(4), lambda y: (y >= 0) & (y < 10))
    assert answer.answer == "proved" and answer.boxes == 1


def test_what_is_not_decided_in_time_is_unknown():
    model, box = network(), unit_box(5)
    with torch.no_grad():
        reached = model(2 * torch.rand(20000, 5) - 1)[:, 0].max().item()
    answer = verify(model, box, lambda y: y[:, 0] < reached + 1e-4, time_budget=0.0)
    assert answer.answer == "unknown" and answer.undecided == 1
    point = IntervalTensor.point(torch.zeros(1, 5))
    value = model(point.lower)[0, 0].item()
    assert verify(model, point, lambda y: y[:, 0] < value + 1.0).answer == "proved"
    assert verify(model, point, lambda y: y[:, 0] < value - 1.0).answer == "counterexample"


def test_wrong_problems_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 5\)"):
        verify(network(), IntervalTensor(torch.zeros(2, 5), torch.ones(2, 5)), lambda y: y > 0)
    with pytest.raises(ValueError, match="time_budget"):
        verify(network(), unit_box(5), lambda y: y > 0, time_budget=-1.0)
    with pytest.raises(TypeError, match="Booleans"):
        verify(network(), unit_box(5), lambda y: y)
    with pytest.raises(TypeError, match="one answer each"):
        verify(network(), unit_box(5), lambda y: (y > 0).all())


def test_comparisons_see_what_both_sides_share():
    X = IntervalTensor(torch.zeros(3), torch.ones(3))
    answer = it.bound(lambda x: x + 0.5 > x, X, method="crown-ibp")
    assert bool(it.certainly(answer).all())
    assert not bool(it.certainly(it.bound(lambda x: x + 0.5 > x, X)).any())
