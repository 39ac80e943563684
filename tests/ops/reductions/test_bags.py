"""Sums and means over bags of rows: exact values are contained whatever the bags look like."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F

import intervaltorch as it
from intervaltorch import IntervalTensor, testing


def exact(table, indices, weights, divisor=1):
    rows = (Fraction(table[i].item()) * Fraction(w) for i, w in zip(indices.tolist(), weights, strict=True))
    return sum(rows, Fraction(0)) / divisor


@pytest.mark.parametrize("mode", ["sum", "mean", "weighted"])
@pytest.mark.parametrize("count", [1, 2, 300, 5000])
def test_long_bags_hold_the_exact_value(mode, count):
    """torch leaves the sizes of bags unset where it only sums, so the error must not rest on them."""
    generator = torch.Generator().manual_seed(count)
    table = torch.rand(200, 1, generator=generator)
    for _ in range(20 if count < 1000 else 3):
        indices = torch.randint(0, 200, (count,), generator=generator)
        weights = torch.rand(count, generator=generator) if mode == "weighted" else None
        with it.rounding("outward"):
            Y = F.embedding_bag(
                indices, IntervalTensor.point(table), torch.tensor([0]), per_sample_weights=weights,
                mode="mean" if mode == "mean" else "sum",
            )  # fmt: skip
        factors = [1] * count if weights is None else weights.tolist()
        value = exact(table, indices, factors, count if mode == "mean" else 1)
        assert Fraction(Y.lower.item()) <= value <= Fraction(Y.upper.item())


def bags(table, weights=None, *, offsets, last=False):
    indices = torch.tensor([4, 1, 0, 2, 1])
    offsets = torch.tensor(offsets)
    return F.embedding_bag(
        indices, table, offsets, mode="sum", per_sample_weights=weights, include_last_offset=last
    )  # fmt: skip


TABLE = IntervalTensor.from_ball(torch.arange(10.0).reshape(5, 2) - 4, 0.25)
WEIGHTS = IntervalTensor.from_ball(torch.tensor([1.0, -2.0, 0.5, 3.0, -1.0]), 0.125)


@pytest.mark.parametrize("weights", [[], [WEIGHTS]], ids=["plain", "weighted"])
@pytest.mark.parametrize(
    ("offsets", "last"), [([0, 2, 4], False), ([0, 0, 3, 5], False), ([0], False), ([0, 2, 5], True), ([0, 5, 5], True)]
)
def test_bags_of_any_size(offsets, last, weights):
    testing.check_sound(bags, TABLE, *weights, offsets=offsets, last=last)
    testing.check_result(bags, TABLE, *weights, offsets=offsets, last=last)


@pytest.mark.parametrize("weights", [[], [WEIGHTS]], ids=["plain", "weighted"])
def test_indices_after_the_last_bag_are_refused(weights):
    """torch adds them to the last bag in float64 and leaves them out in float32."""
    with pytest.raises(it.UnsupportedOpError, match=r"pass input\[:offsets\[-1\]\]"):
        bags(TABLE, *weights, offsets=[0, 2, 4], last=True)
