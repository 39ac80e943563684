"""In outward rounding relaxed bounds contain real values, with no tolerance: against rationals and ball arithmetic."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from flint import arb, ctx
from torch import nn

from intervaltorch import IntervalTensor, bound, rounding, supported_ops
from intervaltorch._records.registry import Box
from intervaltorch._relax.nodes import Leaf, Through, Totals
from intervaltorch._relax.rigour import reach, scaled
from intervaltorch._relax.state import Run, following, node_of
from intervaltorch._relax.tensor import RelaxedTensor
from intervaltorch._theorems.lines import Curve, Free, Lines, lines
from tests.budgets import exact
from tests.relax.test_lines import NAMES, curve_of
from tests.relax.test_lines import boxes as boxes_of

METHODS = ("crown-ibp", "crown", "alpha-crown")
CURVES = {name: curve_of(name) for name in NAMES}
DTYPES = (torch.float32, torch.float64)
OPS = {op.name: op for op in supported_ops()}


def rational(x):
    """A tensor as an array of rationals."""
    return np.vectorize(Fraction, otypes=[object])(x.detach().double().numpy())


def relu(x):
    return np.maximum(x, Fraction(0))


# --- one node at a time -----------------------------------------------------------------------------------------------

W = torch.randn(7, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64) * 10.0 ** torch.arange(-3.0, 3)
C = torch.randn(6, generator=torch.Generator().manual_seed(6), dtype=torch.float64) * 3
KERNEL = torch.randn(2, 1, 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
NODES = {
    "linear": (lambda x: F.linear(x, W, W[:, 0]), lambda x: rational(W) @ x + rational(W)[:, 0]),
    "float32 weight": (lambda x: F.linear(x.float(), W.float()), lambda x: rational(W.float()) @ x),
    "matmul": (lambda x: W @ x, lambda x: rational(W) @ x),
    "mul": (lambda x: x * C, lambda x: x * rational(C)),
    "mul by a number": (lambda x: x * 0.1, lambda x: x * Fraction(0.1)),
    "div": (lambda x: x / C, lambda x: x / rational(C)),
    "add": (lambda x: x + C, lambda x: x + rational(C)),
    "rsub": (lambda x: 1.1 - x, lambda x: Fraction(1.1) - x),
    "twice": (lambda x: torch.add(x, x, alpha=-0.3), lambda x: x - Fraction(0.3) * x),
    "sum": (lambda x: x.sum(0, keepdim=True), lambda x: x.sum(keepdims=True)),
    "mean": (lambda x: x.mean(0, keepdim=True), lambda x: x.sum(keepdims=True) / 6),
    "cumsum": (lambda x: x.cumsum(0), lambda x: np.cumsum(x)),
    "expand": (lambda x: x.expand(9, 6), lambda x: np.broadcast_to(x, (9, 6))),
    "gather": (lambda x: x[torch.tensor([0, 0, 0, 1, 1, 5])], lambda x: x[[0, 0, 0, 1, 1, 5]]),
    "repeat": (lambda x: x.repeat(5), lambda x: np.tile(x, 5)),
    "conv1d": (
        lambda x: F.conv1d(x.reshape(1, 1, 6), KERNEL)[0],
        lambda x: np.array([[sum(rational(KERNEL)[c, 0] * x[i : i + 3]) for i in range(4)] for c in range(2)]),
    ),
    "lerp": (lambda x: torch.lerp(C, x, 0.3), lambda x: rational(C) + Fraction(0.3) * (x - rational(C))),
    "relu": (torch.relu, relu),
    "leaky relu": (lambda x: F.leaky_relu(x, 0.1), lambda x: np.where(x > 0, x, Fraction(0.1) * x)),
    "clamp": (lambda x: x.clamp(-0.3, 0.7), lambda x: np.minimum(np.maximum(x, Fraction(-0.3)), Fraction(0.7))),
    "hardsigmoid": (F.hardsigmoid, lambda x: np.minimum(np.maximum(x + 3, Fraction(0)), Fraction(6)) / 6),
    "abs": (torch.abs, np.abs),
    "square": (torch.square, lambda x: x * x),
    "cube": (lambda x: x**3, lambda x: x**3),
    "reciprocal": (lambda x: 1 / (x + 40), lambda x: 1 / (x + 40)),
    "hardswish": (F.hardswish, lambda x: x * np.minimum(np.maximum(x + 3, Fraction(0)), Fraction(6)) / 6),
    "product": (lambda x: x * x.flip(0), lambda x: x * x[::-1]),
    "outer": (lambda x: (x[:3] * 3)[:, None] @ x[None, 3:], lambda x: np.outer(x[:3] * 3, x[3:])),
    "amax": (lambda x: torch.amax(x.reshape(2, 3), 1), lambda x: x.reshape(2, 3).max(1)),
    "three consumers": (
        lambda x: (x * 1.1) + (x * C) * 0.7 + x / 3,
        lambda x: x * (Fraction(1.1) + rational(C) * Fraction(0.7) + Fraction(1, 3)),
    ),
}  # fmt: skip


def followed(function, box):
    """The node of a function's value, and that of its argument, in rigorous passes."""
    with rounding("outward"), following(Run("crown-ibp", rigorous=True)):
        x = RelaxedTensor._wrap(box)
        start = node_of(x)
        return function(x).node, start


def corners_and_points(box, seed, count=6):
    """Both ends of all entries in turn, and points between."""
    generator = torch.Generator().manual_seed(seed)
    for position in range(count):
        t = torch.rand(box.lower.shape, generator=generator, dtype=torch.float64)
        inside = (box.lower + t * (box.upper - box.lower)).clamp(box.lower, box.upper)
        yield torch.where(t > 0.5, box.lower, box.upper) if position % 2 else inside


@pytest.mark.parametrize("radius", [0.0, 1e-6, 0.3])
@pytest.mark.parametrize("name", list(NODES))
def test_nodes_pay_for_their_rounding(name, radius):
    """Rows times a value are at least what a pass down to the argument says, for rows with cancelling entries."""
    function, real = NODES[name]
    generator = torch.Generator().manual_seed(len(name))
    for trial in range(6):
        centre = torch.randn(6, generator=generator, dtype=torch.float64) * 10.0 ** (trial % 3)
        box = Box((centre - radius), (centre + radius))
        node, start = followed(function, box)
        rows = torch.randn(3, *node.shape, generator=generator, dtype=torch.float64)
        rows = rows * 2.0 ** torch.randint(-20, 20, rows.shape, generator=generator)
        least = pull_down(node, start, rows)
        for point in corners_and_points(box, trial):
            x = rational(point)
            value = real(x)
            for row, part, bound_ in zip(rational(rows), rational(least[0]), rational(least[1]), strict=True):
                assert (row * value).sum() - (part * x).sum() >= bound_[0], (name, trial)


def pull_down(node, start, rows):
    """Rows of the argument, and the rigorous constant of the nodes on the way to it."""
    totals, pending, total = Totals(None, 0, rigorous=True), {node: rows}, torch.zeros(len(rows), 1, dtype=rows.dtype)
    while set(pending) != {start}:
        at = max((n for n in pending if n is not start), key=lambda n: n.number)
        parts, constant = at.pull(pending.pop(at), totals)
        total = total + constant
        for parent, part in zip(at.parents, parts, strict=True):
            if parent in pending:
                part = pending[parent] + part
                totals.pay_for_products(part, parent.samples, parent.reach)
            pending[parent] = part
    return pending[start], totals.below(total)


# --- lines ------------------------------------------------------------------------------------------------------------

KNOWN = sorted(
    name
    for name, op in OPS.items()
    if name in exact.UNARY and name in CURVES and name != "mul" and not CURVES[name].period
)


@pytest.mark.parametrize("name", KNOWN)
def test_lines_hold_in_real_arithmetic(name):
    """Against ball arithmetic at points across each box, its ends, and the points of interest."""
    op, curve = OPS[name], CURVES[name]
    every = boxes_of(op, curve)
    x = Box(every.lower[::13], every.upper[::13])
    with rounding("outward"):
        y = op.enclose(x)
        found, free = lines(lambda t: op.enclose(Box(t, t)).lower, curve, x, y, op.enclose)
        several = [found, free.at(free.least * 0.7, free.greatest * 1.1 + 0.1), free.at(found[2], found[0])]
    for t in (0.0, 0.31, 0.5, 1.0):
        points = (x.lower + t * (x.upper - x.lower)).clamp(x.lower, x.upper)
        for one in several:
            for p, a, b, c, d in zip(points.tolist(), *(part.tolist() for part in one), strict=True):
                if math.isinf(b) or math.isinf(d):
                    continue
                value = exact.value(exact.UNARY[name], p)
                assert not arb(a) * arb(p) + arb(b) > value, (name, p, a, b)
                assert not arb(c) * arb(p) + arb(d) < value, (name, p, c, d)


@pytest.mark.parametrize("name", [name for name in KNOWN if name in CURVES and CURVES[name].inflections])
def test_inflection_points_are_where_they_are_said_to_be(name):
    """Second differences have the stated signs on both sides of the bracket of each point."""
    curve, function = CURVES[name], exact.UNARY[name]
    first = 1 if curve.curvature == "convex" else -1
    ctx.prec = 2048
    h = arb(2) ** -200
    for index, point in enumerate(curve.inflections):
        for side in (-1, 1):
            x = arb(point) + side * 16 * arb(2) ** -52 * abs(point)
            if point and OPS[name].domain[0] < x < OPS[name].domain[1]:
                bend = function(x + h) - 2 * function(x) + function(x - h)
                expected = first * (-1) ** (index + (side > 0))
                assert not (bend < 0 if expected > 0 else bend > 0), (name, point, side)
                assert not bend.contains(0) or name == "hardswish"


# --- whole programs ---------------------------------------------------------------------------------------------------


def network(sizes, dtype, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for a, b in itertools.pairwise(sizes):
        linear = nn.Linear(a, b)
        with torch.no_grad():
            linear.weight.copy_(
                torch.randn(b, a, generator=generator) * scale ** (torch.rand(b, a, generator=generator) * 2 - 1)
            )
            linear.bias.copy_(torch.randn(b, generator=generator))
        layers += [linear.to(dtype), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def real_range(model, lower, upper):
    """The exact range of a ReLU network of one input: every neuron is linear between its breakpoints."""
    values = np.array([[Fraction(lower)], [Fraction(upper)]], dtype=object)
    for layer in model:
        if isinstance(layer, nn.Linear):
            values = values @ rational(layer.weight).T + rational(layer.bias)
            continue
        rows = [values[0]]
        for a, b in itertools.pairwise(values):
            shares = sorted({f / (f - g) for f, g in zip(a, b, strict=True) if f * g < 0})
            rows += [a + share * (b - a) for share in shares] + [b]
        values = relu(np.array(rows, dtype=object))
    return values.min(0), values.max(0)


def assert_contains(Y, low, high, *context):
    for l, u, least, most in zip(Y.lower.flatten().tolist(), Y.upper.flatten().tolist(), low, high, strict=True):
        assert Fraction(l) <= least and most <= Fraction(u), context


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1.0, 1e6])
@pytest.mark.parametrize("radius", [0.0, 1e-6, 0.3])
def test_relu_networks_of_one_input_contain_their_exact_range(radius, scale, dtype):
    """With weights of one size, and with weights that cancel."""
    for seed in range(3):
        model = network((1, 5, 5, 2), dtype, scale, seed)
        centre = torch.randn(1, 1, generator=torch.Generator().manual_seed(seed)).to(dtype)
        X = IntervalTensor(centre - radius, centre + radius)
        low, high = real_range(model, X.lower.item(), X.upper.item())
        for method in METHODS if seed < 1 else METHODS[:2]:
            with rounding("outward"), torch.no_grad():
                Y = bound(model, X, method=method)
            assert Y.dtype is dtype
            assert_contains(Y, low, high, seed, method)


def through_layers(model, x):
    for layer in model:
        x = x @ rational(layer.weight).T + rational(layer.bias) if isinstance(layer, nn.Linear) else relu(x)
    return x


@pytest.mark.parametrize("radius", [0.0, 1e-6, 0.3])
def test_batches_contain_exact_values_at_corners(radius):
    """Rows that samples share, in float32."""
    model = network((3, 6, 6, 2), torch.float32, 1e3, 9)
    centre = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    X = IntervalTensor(centre - radius, centre + radius)
    with rounding("outward"), torch.no_grad():
        Y = bound(model, X, method="crown")
    for sides in itertools.product((False, True), repeat=3):
        corner = torch.where(torch.tensor(sides), X.lower, X.upper)
        values = through_layers(model, rational(corner)).flatten()
        assert_contains(Y, values, values, sides)


def test_cancellation_is_paid_for():
    """The sum of the weights of a path is far below their size, so coefficients are mostly rounding error."""
    first = torch.tensor([[0.1, 0.3], [0.7, -0.9]], dtype=torch.float64) * 2.0**30
    second = torch.tensor([[0.3, 1.1]], dtype=torch.float64)
    third = torch.linalg.solve(first.T, torch.tensor([[1.0, 1e-9]], dtype=torch.float64).T).T
    for weight in (second, third):
        x = torch.tensor([1.1, -0.7], dtype=torch.float64)
        with rounding("outward"):
            Y = bound(
                lambda X, weight=weight: F.linear(F.linear(X, first), weight), IntervalTensor.point(x), method="crown"
            )
        value = rational(weight) @ (rational(first) @ rational(x))
        assert_contains(Y, value, value)


def ball_network(model, activation, x):
    for layer in model:
        if isinstance(layer, nn.Linear):
            w, b = layer.weight.double().tolist(), layer.bias.double().tolist()
            x = [sum((arb(a) * v for a, v in zip(row, x, strict=True)), arb(c)) for row, c in zip(w, b, strict=True)]
        else:
            x = activation(x)
    return x


def softmax(x):
    total = sum((v.exp() for v in x), arb(0))
    return [v.exp() / total for v in x]


def layer_norm(x):
    mean = sum(x, arb(0)) / len(x)
    spread = (sum(((v - mean) ** 2 for v in x), arb(0)) / len(x) + arb(1e-5)).sqrt()
    return [(v - mean) / spread for v in x]


def each(function):
    return lambda x: [function(v) for v in x]


SMOOTH = {
    "tanh": (nn.Tanh(), each(arb.tanh)),
    "gelu": (nn.GELU(), each(exact.gelu)),
    "sigmoid": (nn.Sigmoid(), each(exact.sigmoid)),
    "softplus": (nn.Softplus(), each(lambda v: exact.log1p_exp(v))),
    "silu": (nn.SiLU(), each(lambda v: v * exact.sigmoid(v))),
    "sin": (torch.sin, each(arb.sin)),
    "softmax": (nn.Softmax(-1), softmax),
    "layer_norm": (lambda x: F.layer_norm(x, (5,)), layer_norm),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("radius", [0.0, 1e-6, 0.1])
@pytest.mark.parametrize("name", list(SMOOTH))
def test_smooth_networks_contain_real_values(name, radius, dtype):
    activation, real = SMOOTH[name]
    model = network((2, 5, 5, 2), dtype, 2.0, 3)

    def program(x):
        for layer in model:
            x = layer(x) if isinstance(layer, nn.Linear) else activation(x)
        return x

    centre = torch.randn(1, 2, generator=torch.Generator().manual_seed(2)).to(dtype)
    box = Box((centre - radius)[0].double(), (centre + radius)[0].double())
    X = IntervalTensor(centre - radius, centre + radius)
    ctx.prec = 200
    for method in ("crown-ibp", "crown"):
        with rounding("outward"), torch.no_grad():
            Y = bound(program, X, method=method)
        for point in corners_and_points(box, 4):
            values = ball_network(model, real, [arb(v) for v in point.tolist()])
            for l, u, value in zip(Y.lower[0].tolist(), Y.upper[0].tolist(), values, strict=True):
                assert not (arb(l) > value) and not (arb(u) < value), (method, point)


def test_bounds_are_hardly_wider_than_those_of_nearest_rounding():
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).double().eval()
    X = IntervalTensor.from_ball(torch.rand(2, 3, 8, dtype=torch.float64), 0.05)
    with torch.no_grad():
        nearest = bound(model, X, method="crown")
        with rounding("outward"):
            rigorous = bound(model, X, method="crown")
    assert bool((rigorous.lower <= nearest.lower + 1e-9).all() and (rigorous.upper >= nearest.upper - 1e-9).all())
    assert rigorous.width.sum() < 1.0001 * nearest.width.sum()


def test_gradients_are_those_of_nearest_rounding():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    X = IntervalTensor.from_ball(torch.rand(2, 3, dtype=torch.float64), 0.1)
    found = []
    for mode in ("nearest", "outward"):
        with rounding(mode):
            found.append(torch.autograd.grad(bound(model, X, method="crown").width.sum(), list(model.parameters())))
    for near, outward in zip(*found, strict=True):
        assert torch.allclose(near, outward, rtol=1e-2, atol=1e-6)


# --- terms that others hide -------------------------------------------------------------------------------------------


def test_a_line_pays_for_the_products_of_its_slope():
    """Lines without offsets, so that nothing else pays."""
    box = Box(torch.full((50,), 1.0, dtype=torch.float64), torch.full((50,), 3.0, dtype=torch.float64))
    slope, zero = torch.full_like(box.lower, 0.1), torch.zeros_like(box.lower)
    parts = Lines(slope, zero, slope, zero)
    node = Through(Leaf(box, None), parts, Free(lambda *_: parts, slope, slope), reach(box))
    rows = torch.rand(50, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    least = pull_down(node, node.parents[0], rows)
    x = rational(box.upper)
    for row, part, (constant,) in zip(rational(rows), rational(least[0]), rational(least[1]), strict=True):
        assert (row * Fraction(0.1) * x).sum() - (part * x).sum() >= constant


def test_lines_of_a_product_with_an_unknown_narrow_factor():
    x = Box(torch.tensor([-7.0, 3.0], dtype=torch.float64), torch.tensor([-5.0, 11.0], dtype=torch.float64))
    near = torch.tensor([1 / 3], dtype=torch.float64)
    found = scaled(x, Box(near, torch.nextafter(near, torch.ones_like(near))))
    for end in x:
        for p, a, b, c, d in zip(*map(rational, (end, *found)), strict=True):
            assert a * p + b <= p / 3 <= c * p + d


def test_lines_hold_across_the_jump_of_a_softplus():
    curve = Curve("convex", slack=math.log1p(math.exp(-1.0)), jump=1.0)
    x = Box(torch.linspace(-1, 0.999, 40, dtype=torch.float64), torch.linspace(1.001, 4, 40, dtype=torch.float64))

    def enclose(box):
        return OPS["softplus"].enclose(box, 1.0, 1.0)

    with rounding("outward"):
        found, _ = lines(lambda t: enclose(Box(t, t)).lower, curve, x, enclose(x), enclose)
    for t in np.linspace(0, 1, 41):
        points = (x.lower + t * (x.upper - x.lower)).clamp(x.lower, x.upper)
        for p, a, b, c, d in zip(points.tolist(), *(part.tolist() for part in found), strict=True):
            value = exact.value(exact.softplus, p, threshold=1.0)
            assert not arb(a) * arb(p) + arb(b) > value and not arb(c) * arb(p) + arb(d) < value, p
