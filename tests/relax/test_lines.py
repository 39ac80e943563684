"""Lines below and above each function hold on the whole box, and are as tight as they can be where that is known."""

import math

import pytest
import torch

from intervaltorch import supported_ops
from intervaltorch._records.registry import Box
from intervaltorch._rounding import UNPROVEN, slack
from intervaltorch._theorems.corners import corner_lines
from intervaltorch._theorems.lines import lines

inf = float("inf")
OPS = {op.name: op for op in supported_ops()}


def curve_of(name):
    """How a function of one argument bends, None for others."""
    x = torch.tensor([0.5])
    try:
        return OPS[name].bends(Box(x, x))
    except TypeError:
        return None


NAMES = sorted(name for name in OPS if curve_of(name) is not None)


def boxes(op, curve):
    """Boxes around and between all points of interest, of widths from zero to huge."""
    low, high = max(op.domain[0], -30.0), min(op.domain[1], 30.0)
    points = [p for p in (*op.critical, *curve.inflections, *(curve.kinks or ()), 0.0) if low <= p <= high]
    generator = torch.Generator().manual_seed(0)
    centres = low + (high - low) * torch.rand(200, generator=generator, dtype=torch.float64)
    centres = torch.cat([centres, torch.tensor(points, dtype=torch.float64).repeat(40)])
    radii = 10.0 ** (4 * torch.rand(len(centres), generator=generator, dtype=torch.float64) - 3)
    shift = (2 * torch.rand(len(centres), generator=generator, dtype=torch.float64) - 1) * radii
    l, u = (centres + shift - radii).clamp(low, high), (centres + shift + radii).clamp(low, high)
    ends = torch.tensor([[low, high], [low, low], [high, high]], dtype=torch.float64)
    return Box(torch.cat([l, ends[:, 0]]), torch.cat([u, ends[:, 1]]))


def lines_of(op, curve, x, y):
    if curve.kinks is not None and len(curve.kinks) == 1:
        return corner_lines(value_of(op), curve.kinks[0], x, y)
    return lines(value_of(op), curve, x, y)


def value_of(op):
    """The function as its rule computes it."""
    return lambda t: op.enclose(Box(t, t)).lower


def assert_lines_hold(op, found, x, count=400):
    """Compare the lines with the function at points across each box, its ends included."""
    t = torch.linspace(0, 1, count, dtype=torch.float64)
    points = torch.cat([x.lower + t[:, None] * (x.upper - x.lower), x.lower[None], x.upper[None]])
    points = points.clamp(x.lower, x.upper)
    values = value_of(op)(points)
    below = found.lower_slope * points + found.lower_offset
    above = found.upper_slope * points + found.upper_offset
    size = values.abs() + (found.lower_slope * points).abs() + (found.upper_slope * points).abs()
    room = 64 * torch.finfo(torch.float64).eps * size + 4 * slack(values, op.budget or UNPROVEN, points)
    finite = values.isfinite() & room.isfinite()
    bad = (((below > values + room) | (above < values - room)) & finite).nonzero()
    assert not len(bad), (
        f"box [{x.lower[bad[0][1]]}, {x.upper[bad[0][1]]}], point {points[tuple(bad[0])]}:"
        f" value {values[tuple(bad[0])]},"
        f" lines {below[tuple(bad[0])]} and {above[tuple(bad[0])]}"
    )


@pytest.mark.parametrize("name", NAMES)
def test_lines_hold(name):
    op, curve = OPS[name], curve_of(name)
    x = boxes(op, curve)
    y = op.enclose(x)
    found, free = lines_of(op, curve, x, y)
    assert_lines_hold(op, found, x)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):  # any slope, right or wrong
        slopes = [
            free.least + (free.greatest - free.least) * (3 * torch.rand(x.lower.shape, generator=generator) - 1)
            for _ in range(2)
        ]
        assert_lines_hold(op, free.at(*slopes), x)


@pytest.mark.parametrize("name", NAMES)
def test_lines_are_no_looser_than_constants_at_the_centre(name):
    op, curve = OPS[name], curve_of(name)
    x = boxes(op, curve)
    y = op.enclose(x)
    found, _ = lines_of(op, curve, x, y)
    centre = (x.lower + x.upper) / 2
    below, above = found.lower_slope * centre + found.lower_offset, found.upper_slope * centre + found.upper_offset
    room = 1e-9 * (1 + y.lower.abs() + y.upper.abs())
    usable = y.lower.isfinite() & y.upper.isfinite()
    assert bool((below >= y.lower - room)[usable].all()), (below - y.lower).min()
    assert bool((above <= y.upper + room)[usable].all())


@pytest.mark.parametrize(
    ("ends", "expected"),
    [((-1.0, 3.0), (1.0, 0.0, 0.75, 0.75)), ((-3.0, 1.0), (0.0, 0.0, 0.25, 0.75)), ((1.0, 2.0), (1.0, 0.0, 1.0, 0.0))],
)
def test_relu(ends, expected):
    """The triangle of Ehlers (2017), with the lower slope of CROWN: 1 if u > -l, else 0."""
    x = Box(*(torch.tensor([end]) for end in ends))
    found, _ = lines(torch.relu, curve_of("relu"), x, Box(x.lower.relu(), x.upper.relu()))
    assert torch.cat(found).tolist() == pytest.approx(expected)


def test_infinite_and_empty_boxes():
    x = Box(torch.tensor([-inf, 0.0, -inf]), torch.tensor([0.0, inf, inf]))
    for name in ("exp", "tanh", "relu", "sin"):
        y = OPS[name].enclose(x)
        found, _ = lines(OPS[name].function, curve_of(name), x, y)
        assert torch.equal(found.lower_offset, y.lower) and torch.equal(found.upper_offset, y.upper)
        assert not bool(found.lower_slope.any()) and not bool(found.upper_slope.any())
    nothing = Box(torch.zeros(0, 3), torch.zeros(0, 3))
    assert lines(torch.tanh, curve_of("tanh"), nothing, nothing)[0].lower_slope.shape == (0, 3)


def test_the_gradient_of_lines_is_right():
    """Of the value below at a fixed point, in the ends of the box."""

    def below(l, u):
        x = Box(l, u)
        found, _ = lines(torch.tanh, curve_of("tanh"), x, Box(l.tanh(), u.tanh()))
        return found.lower_slope * 0.1 + found.lower_offset, found.upper_slope * 0.1 + found.upper_offset

    ends = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in ([-1.0, 0.05, -2.0], [0.9, 2.0, 0.2])]
    assert torch.autograd.gradcheck(below, ends, atol=1e-4)
    assert math.isfinite(below(*ends)[0].sum().item())
