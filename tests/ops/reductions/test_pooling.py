"""Pooling, padding, resizing: enclosures that are hulls, in every geometry."""

import itertools

import pytest
import torch
import torch.nn.functional as F

import intervaltorch as it
from intervaltorch import IntervalTensor, UnsupportedOpError, testing
from intervaltorch._theorems.undecided import Undecided
from tests.boxes import lopsided

IMAGE, SIGNAL, VOLUME = (2, 3, 7, 6), (2, 3, 9), (1, 2, 5, 6, 4)
GRID = torch.rand(2, 5, 4, 2, generator=torch.Generator().manual_seed(1)) * 2.4 - 1.2
POOLING = {
    "max 1": (SIGNAL, lambda x: F.max_pool1d(x, 3, 2, 1, 2, True)),
    "max": (IMAGE, lambda x: F.max_pool2d(x, 3)),
    "max geometry": (IMAGE, lambda x: F.max_pool2d(x, (3, 2), 2, (1, 1), (2, 1), ceil_mode=True)),
    "max without batch": (IMAGE[1:], lambda x: torch.max_pool2d(x, [2, 2])),
    "max 3": (VOLUME, lambda x: F.max_pool3d(x, 2, stride=1)),
    "average 1": (SIGNAL, lambda x: F.avg_pool1d(x, 3, 2, 1, True, False)),
    "average": (IMAGE, lambda x: F.avg_pool2d(x, 2, 1, 1)),
    "average of inside": (
        IMAGE,
        lambda x: F.avg_pool2d(x, (3, 2), 2, 1, ceil_mode=True, count_include_pad=False),
    ),
    "average divisor": (IMAGE, lambda x: F.avg_pool2d(x, 3, divisor_override=5)),
    "average negative divisor": (IMAGE, lambda x: F.avg_pool2d(x, 3, divisor_override=-5)),
    "average 3": (VOLUME, lambda x: F.avg_pool3d(x, 2, 1, ceil_mode=True)),
    "adaptive average 1": (SIGNAL, lambda x: F.adaptive_avg_pool1d(x, 4)),
    "adaptive average": (IMAGE, lambda x: F.adaptive_avg_pool2d(x, (None, 4))),
    "global average": (IMAGE, torch.nn.AdaptiveAvgPool2d(1)),
    "adaptive average 3": (VOLUME, lambda x: F.adaptive_avg_pool3d(x, (2, 3, 3))),
    "adaptive max 1": (SIGNAL, lambda x: F.adaptive_max_pool1d(x, 4)),
    "adaptive max": (IMAGE, lambda x: F.adaptive_max_pool2d(x, (3, 4))),
    "adaptive max 3": (VOLUME, lambda x: F.adaptive_max_pool3d(x, 2)),
    "unpool": ((1, 1, 2, 2), lambda x: F.max_unpool2d(x, torch.tensor([[[[0, 3], [8, 14]]]]), 2)),
}
PADDING = {
    f"pad {mode}": (IMAGE, lambda x, mode=mode: F.pad(x, (1, 2, 2, 1), mode))
    for mode in ("constant", "reflect", "replicate", "circular")
} | {
    "pad value": (IMAGE, lambda x: F.pad(x, (1, -1), value=0.1)),
    "zero pad": (IMAGE, torch.nn.ZeroPad2d((1, 0, 2, 0))),
    "reflection pad": (IMAGE, torch.nn.ReflectionPad2d(2)),
    "constant_pad_nd": (IMAGE, lambda x: torch.constant_pad_nd(x, (1, 1), 0.1)),
}
RESIZING = (
    {
        f"{mode} {size}": (IMAGE, lambda x, mode=mode, size=size: F.interpolate(x, mode=mode, **size))
        for mode in ("nearest", "nearest-exact", "area", "bilinear", "bicubic")
        for size in ({"size": (11, 4)}, {"scale_factor": 2}, {"scale_factor": (1.7, 0.6)})
    }
    | {
        f"{mode} {corners} {option}": (
            IMAGE,
            lambda x, mode=mode, corners=corners, option=option: F.interpolate(
                x, mode=mode, align_corners=corners, **option
            ),
        )
        for mode in ("bilinear", "bicubic")
        for corners, option in (
            (True, {"size": (11, 4)}),
            (True, {"scale_factor": 1.7}),
            (False, {"scale_factor": 1.3, "recompute_scale_factor": True}),
            (False, {"size": (4, 3), "antialias": True}),
        )
    }
    | {
        "linear": (SIGNAL, lambda x: F.interpolate(x, size=5, mode="linear")),
        "trilinear": (VOLUME, lambda x: F.interpolate(x, scale_factor=2, mode="trilinear")),
        "Upsample": (IMAGE, torch.nn.Upsample(scale_factor=2, mode="bilinear")),
        "aten": (IMAGE, lambda x: torch.ops.aten.upsample_bilinear2d(x, [3, 3], False, 0.5, 0.6)),
    }
    | {
        f"grid {mode} {padding}": (
            IMAGE,
            lambda x, mode=mode, padding=padding: F.grid_sample(
                x, GRID.to(x.dtype), mode, padding, align_corners=False
            ),
        )
        for mode, padding in itertools.product(("bilinear", "nearest"), ("zeros", "border", "reflection"))
    }
)
ALL = POOLING | PADDING | RESIZING


@pytest.mark.parametrize("name", ALL)
def test_encloses(name):
    shape, function = ALL[name]
    testing.check_op(function, lopsided(*shape), samples=8)


@pytest.mark.parametrize("power", [1, 2, 4])
def test_power_means_enclose(power):
    testing.check_op(lambda x: F.lp_pool2d(x.abs() + 0.1, power, 2), lopsided(*IMAGE), samples=8)


@pytest.mark.parametrize("name", ALL)
def test_is_the_hull(name):
    """All are affine or increasing, so some corner reaches each bound of an entry."""
    shape, function = ALL[name]
    x = lopsided(*shape)
    inputs = IntervalTensor(x.lower.double(), x.upper.double())
    y = function(inputs)
    allowed = 2.0**-40 * y.magnitude.max()  # 2^12 roundings: sums of some dozens of entries cost much less
    at_l = inputs.lower.clone().requires_grad_()
    value = function(at_l)
    pick = tuple(int(torch.randint(n, ())) for n in value.shape)
    (slope,) = torch.autograd.grad(value[pick], at_l)
    # The corner that minimises the entry, if its slope has a constant sign: affine maps, and maxima for which
    # it is >= 0.
    corner = torch.where(slope >= 0, inputs.lower, inputs.upper)
    assert (y.lower[pick] - function(corner)[pick]).abs() <= allowed
    corner = torch.where(slope >= 0, inputs.upper, inputs.lower) if "max" not in name else inputs.upper
    assert (y.upper[pick] - function(corner)[pick]).abs() <= allowed


@pytest.mark.parametrize("image", [torch.zeros(1, 1, 6, 6), torch.ones(1, 1, 6, 6)])
def test_outward_means_of_a_constant_stay_near_it_and_inside_the_range(image):
    for function in (
        lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
        lambda x: F.interpolate(x, size=5, mode="bilinear"),
    ):
        with it.rounding("outward"):
            y = function(IntervalTensor.point(image))
        assert ((y.lower <= image[0, 0, 0, 0]) & (y.upper >= image[0, 0, 0, 0]) & (y.upper - y.lower < 1e-5)).all()


@pytest.mark.parametrize("mode", ["nearest", "outward"])
@pytest.mark.parametrize("function", [lambda x: F.avg_pool2d(x, 2), lambda x: F.adaptive_avg_pool2d(x, 1)])
def test_sums_that_overflow_give_no_false_bound(function, mode):
    """The mean of four numbers of 2e38 is 2e38, but their sum is infinite in float32."""
    with it.rounding(mode):
        y = function(IntervalTensor.point(torch.full((1, 1, 2, 2), 2e38)))
    assert y.lower.item() <= 2e38 <= y.upper.item()


def test_infinite_boxes_stay_ordered():
    x = IntervalTensor(torch.full((1, 1, 6, 6), -float("inf")), torch.ones(1, 1, 6, 6))
    for mode in ("nearest", "outward"):
        with it.rounding(mode):
            for function in (lambda x: F.avg_pool2d(x, 3), lambda x: F.max_pool2d(x, 2)):
                assert (function(x).lower == -float("inf")).all() and (function(x).upper < 1.1).all()
            for kind in ("bilinear", "bicubic"):
                y = F.interpolate(x, size=4, mode=kind)
                assert (y.lower <= y.upper).all()


# --- indices ------------------------------------------------------------------------------------------------

INDEXED = {
    "max_pool1d": (SIGNAL, lambda x: F.max_pool1d(x, 3, 2, 1, 2, True, return_indices=True)),
    "max_pool2d": (IMAGE, lambda x: F.max_pool2d(x, (3, 2), 2, 1, return_indices=True)),
    "max_pool3d": (VOLUME, lambda x: F.max_pool3d(x, 2, ceil_mode=True, return_indices=True)),
    "adaptive_max_pool1d": (SIGNAL, lambda x: F.adaptive_max_pool1d(x, 4, return_indices=True)),
    "adaptive_max_pool2d": (IMAGE, lambda x: F.adaptive_max_pool2d(x, (3, 4), return_indices=True)),
    "adaptive_max_pool3d": (VOLUME, lambda x: torch.nn.AdaptiveMaxPool3d(2, return_indices=True)(x)),
    "low level": (IMAGE, lambda x: torch.ops.aten.max_pool2d_with_indices(x, [2, 2])),
}


@pytest.mark.parametrize("name", INDEXED)
def test_indices_of_decided_maxima(name):
    shape, function = INDEXED[name]
    x = torch.randperm(torch.Size(shape).numel()).reshape(shape).float()  # every two entries differ by 1 or more
    values, indices = function(IntervalTensor(x - 0.4, x + 0.4))
    assert torch.equal(indices, function(x)[1]) and torch.equal(values.upper, function(x + 0.4)[0])
    ordered = torch.arange(x.numel()).reshape(shape).float()  # neighbours, dilated, differ by 1 or 2
    values, indices = function(IntervalTensor(ordered - 1, ordered + 1))
    assert isinstance(indices, Undecided) and indices.shape == values.shape
    flat = torch.relu(x - x.mean())
    assert torch.equal(function(IntervalTensor.point(flat))[1], function(flat)[1])


def test_one_undecided_window_is_enough():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    upper = x.clone()
    upper[0, 0, 0, 0] = 5.0  # reaches the greatest lower bound of its window
    assert isinstance(F.max_pool2d(IntervalTensor(x, upper), 2, return_indices=True)[1], Undecided)
    upper[0, 0, 0, 0] = 4.9
    assert F.max_pool2d(IntervalTensor(x, upper), 2, return_indices=True)[1].flatten().tolist() == [
        5,
        7,
        13,
        15,
    ]


def test_refusals_name_the_way_out():
    with pytest.raises(UnsupportedOpError, match="random windows"):
        F.fractional_max_pool2d(lopsided(1, 1, 6, 6), 2, output_size=3)
    with pytest.raises(UnsupportedOpError, match="if the grid is a box"):
        F.grid_sample(torch.randn(1, 1, 4, 4), lopsided(1, 2, 2, 2), align_corners=False)
