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


# --- gradients that once were NaN -------------------------------------------------------------------------------------


def slopes(function, *ends):
    """The gradients of the sum of the finite bounds of a box."""
    ends = [torch.as_tensor(end).clone().requires_grad_() for end in ends]
    result = function(IntervalTensor(*ends))
    kept = [bound[bound.isfinite()].sum() for bound in (result.lower, result.upper)]
    return torch.autograd.grad(sum(kept), ends)


@pytest.mark.parametrize("function", [torch.linalg.det, torch.logdet, lambda a: torch.linalg.slogdet(a)[1]])
def test_gradients_of_determinants_of_matrices_that_may_be_singular(function):
    found = slopes(function, torch.eye(3) * 2 - 0.5, torch.eye(3) * 2 + 0.5)
    assert all(bool(slope.isfinite().all()) for slope in found)


def test_gradient_of_a_determinant_whose_elimination_meets_no_zero():
    lower, upper = torch.eye(3) - 0.01, torch.eye(3) + 0.01
    step = 1e-3
    found = slopes(torch.linalg.det, lower.double(), upper.double())[1][0, 0].item()
    ends = [upper.double().clone() for _ in range(2)]
    for end, sign in zip(ends, (-1, 1), strict=True):
        end[0, 0] += sign * step
    values = [torch.linalg.det(IntervalTensor(lower.double(), end)) for end in ends]
    assert found == pytest.approx(
        sum(getattr(values[1], b) - getattr(values[0], b) for b in ("lower", "upper")).item() / (2 * step), rel=1e-4
    )


def test_gradients_of_the_modulus_of_zero():
    def modulus(x):
        return torch.complex(x, x).abs()

    assert all(slope.tolist() == [0.0] for slope in slopes(modulus, [0.0], [0.0]))
    assert all(
        bool(s.isfinite().all()) for s in slopes(lambda x: torch.polar(x, x * 0.5).abs(), [0.0, 0.0], [0.0, 1.0])
    )


def test_gradients_of_a_spread_whose_lower_bound_is_zero():
    found = slopes(lambda x: 100 * x.std(-1), [0.0, 1.0, 2.0], [2.0, 3.0, 4.0])
    assert all(bool(slope.isfinite().all()) for slope in found)


def test_gradients_of_the_cross_entropy_in_targets_of_zero_and_one():
    logits = torch.tensor([-2.0, 0.5, 3.0])
    found = slopes(lambda y: F.binary_cross_entropy_with_logits(logits, y), [0.0, 0.0, 1.0], [0.0, 1.0, 1.0])
    # the derivative in the target is -x / 3, and that of each bound belongs to the end that it is made of
    torch.testing.assert_close(found[0] + found[1], -2 * logits / 3)


def test_gradients_of_a_safe_softmax_of_a_row_without_entries():
    found = slopes(
        lambda x: torch._safe_softmax(x, -1), [[-math.inf] * 3, [0.0, 1.0, 2.0]], [[-math.inf] * 3, [0.5, 1.5, 2.0]]
    )
    assert all(bool(slope.isfinite().all()) for slope in found)
    assert all(slope[0].tolist() == [0.0] * 3 for slope in found)
