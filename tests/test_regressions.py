"""Cases that interval libraries are known to get wrong, each with its right answer."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import intervaltorch as it
from intervaltorch import IntervalTensor, UndecidedError
from tests.boxes import box


def test_softmax_of_far_apart_boxes_keeps_its_upper_bound():
    # 1 / (1 + total - own) cancels here and reports an upper bound near 0 for the second output's rival.
    y = F.softmax(box([-100.0, -41.0], [0.0, -40.0], torch.float32), -1)
    assert y.upper[0].item() == pytest.approx(1.0)
    largest = 1 / (1 + math.exp(-100.0 + 40.0))
    assert y.upper[1].item() == pytest.approx(largest)
    assert y.lower[1].item() == pytest.approx(math.exp(-41.0), rel=1e-5)


def test_average_pooling_without_the_padding_in_the_count():
    torch.manual_seed(0)
    centre = torch.randn(1, 1, 5, 5)
    x = IntervalTensor.from_ball(centre, 0.5)
    y = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    torch.testing.assert_close(y.width, torch.ones(1, 1, 3, 3))
    torch.testing.assert_close(y.center, F.avg_pool2d(centre, 3, 2, 1, count_include_pad=False))


def test_reflection_padding_repeats_the_boxes():
    x = box([[[1.0, 2.0, 3.0]]], [[[4.0, 5.0, 6.0]]])
    y = F.pad(x, (2, 1), mode="reflect")
    assert y.lower.tolist() == [[[3.0, 2.0, 1.0, 2.0, 3.0, 2.0]]]
    assert y.upper.tolist() == [[[6.0, 5.0, 4.0, 5.0, 6.0, 5.0]]]


def test_even_power_of_a_positive_box():
    y = box([1.0], [3.0]) ** 4
    assert (y.lower.item(), y.upper.item()) == (1.0, 81.0)


def test_layer_norm_cannot_exceed_the_root_of_n_minus_one():
    x = IntervalTensor.from_ball(torch.zeros(1, 4, dtype=torch.float64), 1000.0)
    y = F.layer_norm(x, (4,), eps=1.0)
    assert y.magnitude.max().item() <= math.sqrt(3) * (1 + 1e-15)


def test_rms_norm_reaches_the_root_of_n():
    y = F.rms_norm(box([[1.0, 0.0, 0.0, 0.0]], [[1.0, 0.0, 0.0, 0.0]]), (4,), eps=0.0)
    assert y.upper[0, 0].item() == pytest.approx(2.0)
    wide = F.rms_norm(box([[0.5, -1.0, -1.0, -1.0]], [[1.0, 1.0, 1.0, 1.0]]), (4,), eps=0.0)
    assert wide.upper[0, 0].item() == pytest.approx(2.0)


def sign_branch(x):
    if (x > 0).all():
        return x * 10
    return x - 1


def test_a_branch_on_the_data_follows_the_box():
    y = it.bound(sign_branch, box([-2.0], [-1.0]))
    assert (y.lower.item(), y.upper.item()) == (-3.0, -2.0)
    y = it.bound(sign_branch, box([1.0], [2.0]))
    assert (y.lower.item(), y.upper.item()) == (10.0, 20.0)
    with pytest.raises(UndecidedError):
        it.bound(sign_branch, box([-1.0], [1.0]))


def test_cancelling_weights_in_float32():
    weight, x = torch.tensor([[1.0, 2.0**25, -(2.0**25)]]), torch.tensor([[0.7, 1.0, 1.0]])
    with it.rounding("outward"):
        y = F.linear(IntervalTensor.point(x), weight)
    assert Fraction(y.lower.item()) <= Fraction(x[0, 0].item()) <= Fraction(y.upper.item())


def test_images_of_the_end_points_are_not_a_bound():
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(1, 8, 4, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 6))
    x = IntervalTensor.from_ball(torch.rand(4, 1, 8, 8), 0.1)
    ends = torch.stack([encoder(x.lower), encoder(x.upper)])
    y = encoder(x)
    outside = 0
    for _ in range(20):
        value = encoder(x.lower + torch.rand(x.shape) * x.width)
        outside += int(((value < ends.amin(0)) | (value > ends.amax(0))).sum())
        assert bool(y.contains(value).all())
    assert outside > 0
