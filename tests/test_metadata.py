"""The table itself: directions, turning points, curvature, domain and image of each record against the function.

Sampled boxes do not notice a turning point that is off by 0.05; the sign of the slope on either side of it does.
"""

import itertools
import math

import pytest
import torch

from intervaltorch import IntervalTensor
from intervaltorch._records.registry import Box
from intervaltorch._rounding import UNPROVEN, slack
from tests.table import BUILT_IN, UNARY, takes_one_argument

inf = float("inf")
each_op = pytest.mark.parametrize("op", UNARY, ids=lambda op: op.name)


def grid(op, count=20001, reach=30.0):
    """Increasing arguments in the domain, dense near zero, critical points among them."""
    low, high = max(op.domain[0], -reach), min(op.domain[1], reach)
    t = torch.linspace(-1, 1, count, dtype=torch.float64)
    x = low + (high - low) * (t + 1) / 2 if (math.isfinite(low) and low >= 0) or high <= 0 else reach * t**3
    extra = [point for point in (*op.critical, *op.inflections) if low <= point <= high]
    x = torch.cat([x, torch.tensor(extra, dtype=torch.float64)])
    return x[(x >= low) & (x <= high)].unique()


def error_of(op, y, x):
    """What the budget allows a computed value to err by."""
    return slack(y, op.budget or UNPROVEN, x)


@each_op
def test_direction_between_critical_points(op):
    """Values never turn except at critical points, and the family's direction is that of the function."""
    x = grid(op)
    y = op.function(x)
    slack_ = error_of(op, y, x)
    rises = (y[1:] - y[:-1] > slack_[1:] + slack_[:-1]).nonzero().flatten()
    falls = (y[:-1] - y[1:] > slack_[1:] + slack_[:-1]).nonzero().flatten()
    if op.family == "increasing":
        assert not len(falls), f"{op.name} falls between {x[falls[0]]:.17g} and {x[falls[0] + 1]:.17g}"
    elif op.family == "decreasing":
        assert not len(rises), f"{op.name} rises between {x[rises[0]]:.17g} and {x[rises[0] + 1]:.17g}"
    else:
        for low, high in pieces(op):
            inside = (x[:-1] >= low) & (x[1:] <= high)
            both = bool(inside[rises].any()) and bool(inside[falls].any())
            assert not both, f"{op.name} turns inside [{low}, {high}], where no critical point is recorded"


def pieces(op):
    """The intervals between neighbouring critical points."""
    if op.family == "periodic":
        return itertools.pairwise(op.critical)
    return itertools.pairwise([-inf, *op.critical, inf])


@pytest.mark.parametrize("op", [op for op in UNARY if op.critical], ids=lambda op: op.name)
def test_turns_at_critical_points(op):
    """The slope changes sign within a millionth of each critical point, or the function jumps or rests there."""
    for point in op.critical:
        if not op.domain[0] < point < op.domain[1]:
            continue
        near = 1e-6 * max(1.0, abs(point))
        x = torch.tensor([point - near, point + near], dtype=torch.float64, requires_grad=True)
        y = op.function(x)
        slope = torch.autograd.grad(y.sum(), x)[0]
        middle = op.function(torch.tensor(point, dtype=torch.float64))
        turns = bool(slope[0] * slope[1] < 0)
        jumps_or_rests = bool((y.detach() - middle).abs().max() > 1e-3) or bool((slope == 0).any())
        assert turns or jumps_or_rests, f"{op.name} has slopes {slope.tolist()} on either side of {point}"


# --- how functions bend -----------------------------------------------------------------------------------------------

STEPS = {"floor", "ceil", "trunc", "sign", "angle"}
"""Constant but for jumps, so that no line is better than a constant."""


def curve_of(op):
    """How a record says that its function bends, without further arguments; None if it says nothing."""
    x = torch.tensor([0.5], dtype=torch.float64)
    try:
        return op.bends(Box(x, x))
    except TypeError:
        return None


BENT = [op for op in BUILT_IN if curve_of(op) is not None and takes_one_argument(op)]
each_bent_op = pytest.mark.parametrize("op", BENT, ids=lambda op: op.name)


def arcs(op):
    """The intervals on which a function is convex (1) or concave (-1)."""
    curve = curve_of(op)
    low, high = max(op.domain[0], -30.0), min(op.domain[1], 30.0)
    sign = {"convex": 1, "concave": -1}[curve.curvature]
    points = curve.inflections
    if curve.period:
        points = [p + k * curve.period for k in range(-2, 3) for p in curve.inflections]
        low, high = points[0] - (points[1] - points[0]), points[-1]
    for start, stop in itertools.pairwise([low, *points, high]):
        yield start, stop, sign
        sign = -sign


def slopes_at(op, x):
    """The derivatives of a function at points."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(op.function(x).sum(), x)[0]


def assert_chords(op, x, sign):
    """Chords lie above a convex function (1) and below a concave one (-1)."""
    y = op.function(x)
    slack_ = curve_of(op).slack
    x, y = x[y.isfinite()], y[y.isfinite()]
    for step in (1, 40, 400):
        if len(x) <= 2 * step:
            continue
        a, b, c = x[: -2 * step], x[step:-step], x[2 * step :]
        t = (b - a) / (c - a)
        chord = y[: -2 * step] * (1 - t) + y[2 * step :] * t
        room = error_of(op, chord, c) + error_of(op, y[step:-step], b) + error_of(op, y[: -2 * step], a) + 2 * slack_
        # The chord's own rounding: 3u of t, u of 1 - t, u of each product and of the sum; and that of b.
        sizes = 2.5 * (y[: -2 * step].abs() + y[2 * step :].abs()) + 0.5 * chord.abs() + b.abs()
        room = room + error_of(op, y[2 * step :], c) + torch.finfo(torch.float64).eps * sizes
        bad = (sign * (chord - y[step:-step]) < -room).nonzero().flatten()
        assert not len(bad), f"{op.name} bends the other way near {b[bad[0]]:.6g}" if len(bad) else ""


@each_bent_op
def test_curvature(op):
    """Between inflection points slopes of chords rise where a function is convex and fall where it is concave.

    Of a piecewise linear function they do neither between kinks.
    """
    curve = curve_of(op)
    if curve.kinks is not None:
        for start, stop in itertools.pairwise([-30.0, *curve.kinks, 30.0]):
            for sign in (1, -1):
                assert_chords(op, torch.linspace(start, stop, 1001, dtype=torch.float64), sign)
        return
    for start, stop, sign in arcs(op):
        x = grid(op, count=4001)
        x = torch.cat([x, torch.linspace(start, stop, 1001, dtype=torch.float64)]).unique()
        assert_chords(op, x[(x >= start + 1e-9) & (x <= stop - 1e-9)], sign)  # a rounded pole lies on either side


@pytest.mark.parametrize("op", [op for op in BENT if curve_of(op).inflections], ids=lambda op: op.name)
def test_bends_the_other_way_at_inflections(op):
    """Slopes turn within 1e-5 of each inflection point, unless the function has a kink there, or a pole."""
    curve = curve_of(op)
    assert list(curve.inflections) == sorted(curve.inflections)
    for point in set(curve.inflections):
        step = 1e-5 * max(1.0, abs(point))
        places = point + step * torch.tensor([-1.5, -0.5, 0.5, 1.5], dtype=torch.float64)
        slopes = slopes_at(op, places)
        left, middle, right = (slopes[1] - slopes[0], slopes[2] - slopes[1], slopes[3] - slopes[2])
        kink = bool(middle.abs() > 100 * step) or not bool(slopes.abs().max() < 1e5)
        if curve.inflections.count(point) == 2:
            assert kink and bool(left * right > 0), f"{op.name} has no kink at {point} between arcs of one kind"
        else:
            assert kink or bool(left * right < 0), f"{op.name} bends as before {point}: {left:.3g}, {right:.3g}"


@pytest.mark.parametrize("op", [op for op in BENT if curve_of(op).kinks], ids=lambda op: op.name)
def test_kinks(op):
    """The slope changes at each kink, and the function does not jump."""
    for point in curve_of(op).kinks:
        near = torch.tensor([point - 1e-9, point + 1e-9], dtype=torch.float64)
        slopes, values = slopes_at(op, near), op.function(near)
        assert bool((slopes[0] - slopes[1]).abs() > 0.01) and bool((values[0] - values[1]).abs() < 1e-7), point


@each_op
def test_every_function_of_one_argument_says_how_it_bends(op):
    """By its curvature or its kinks; others are affine, or steps."""
    if op.name in STEPS:
        x = torch.linspace(-2.9, 2.9, 1001, dtype=torch.float64)
        y = op.function(x)
        assert int((y[1:] != y[:-1]).sum()) < 8 and curve_of(op) is None
        return
    assert curve_of(op) is not None or op.affine_in, f"{op.name} says nothing of how it bends"


@each_op
def test_domain(op):
    """No number outside the domain, never NaN inside."""
    low, high = op.domain
    inside = grid(op)
    inside = inside[(inside > low) & (inside < high)] if op.family != "periodic" else inside
    assert not bool(op.function(inside).isnan().any())
    for end, outwards in ((low, -inf), (high, inf)):
        if math.isfinite(end):
            beyond = torch.nextafter(torch.tensor(end), torch.tensor(outwards)).double()
            beyond = torch.stack([beyond, torch.tensor(end + math.copysign(0.5, outwards)).double()])
            # entr marks numbers outside by -inf.
            assert not bool(op.function(beyond).isfinite().any()), f"{op.name} has values outside [{low}, {high}]"
            assert not bool(op.function(torch.tensor(end, dtype=torch.float64)).isnan())


@each_op
def test_image(op):
    """No value outside the image, and values come near both of its ends."""
    low, high = op.image
    big = torch.tensor([1e2, 1e4, 1e8, 1e15, 1e30, 1e300, inf], dtype=torch.float64)
    edges = [end + step for end in op.domain if math.isfinite(end) for step in (0.0, 1e-15, -1e-15)]
    x = torch.cat([grid(op), big, -big, 1 / big, -1 / big, torch.tensor(edges, dtype=torch.float64)]) + 0.0
    x = x[(x >= op.domain[0]) & (x <= op.domain[1])]
    y = op.function(x)
    y = y[~y.isnan()]
    assert bool((y >= low).all()) and bool((y <= high).all()), (y.min().item(), y.max().item(), op.image)
    for end, reached in ((low, y.min().item()), (high, y.max().item())):
        near = abs(reached) >= 10 if math.isinf(end) else abs(reached - end) < 1e-4
        assert near, f"{op.name}: the image ends at {end}, but the values at {reached}"


@pytest.mark.parametrize("op", [op for op in UNARY if op.budget], ids=lambda op: op.name)
def test_budget(op):
    """Values that the rule computes in float32, some of them otherwise than torch, err by no more than the budget."""
    generator = torch.Generator().manual_seed(0)
    size = 10.0 ** (16 * torch.rand(100000, generator=generator) - 10)
    x = torch.cat([size, -size, torch.linspace(-12, 12, 100000), grid(op).float()])
    x = x[(x >= op.domain[0]) & (x <= op.domain[1])]
    y, exact = (op.function(IntervalTensor.point(points)).lower for points in (x, x.double()))
    finite = exact.abs() <= torch.finfo(torch.float32).max
    x, y, exact = x[finite].double(), y[finite].double(), exact[finite]
    info = torch.finfo(torch.float32)
    allowed = info.eps * (op.budget.relative * y.abs() + op.budget.input * x.abs()) + op.budget.absolute * info.tiny
    bad = ((y - exact).abs() > allowed).nonzero().flatten()
    assert not len(bad), (
        f"{op.name}({x[bad[0]]:.9g}) errs by {(y - exact)[bad[0]]:.3g}, allowed is {allowed[bad[0]]:.3g}"
    )


WITHOUT_FORMULA = ("structural", "identity", "reads no values", "metadata", "random")


def test_every_record_can_be_read():
    """What the docs and the relaxation read is there and makes sense."""
    for op in BUILT_IN:
        assert op.name and op.family and op.spellings and callable(op.enclose)
        assert op.domain[0] < op.domain[1] and op.image[0] < op.image[1]
        assert op.curvature in (None, "convex", "concave")
        assert list(op.critical) == sorted(set(op.critical))
        assert op.formula or op.family in ("structural", "identity", "reads no values", "metadata", "random"), (
            f"{op.name} has no formula"
        )


def test_one_name_is_one_function():
    """Records of one name are spellings with other arguments: they compute the same."""
    known = {}
    for op in BUILT_IN:
        first = known.setdefault(op.name, op)
        assert (op.family, op.formula) == (first.family, first.formula), f"two functions are called {op.name}"
