"""Outward bounds against exact rational arithmetic, with no tolerance; nearest ones shown to miss it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import intervaltorch as it
from intervaltorch import IntervalTensor

inf = float("inf")
DTYPES = [torch.float32, torch.float64]


def rational(x) -> np.ndarray:
    """The exact values of a tensor, as an array of fractions."""
    flat = [Fraction(v) for v in x.detach().flatten().tolist()]
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array.reshape(tuple(x.shape))


def holds(box, exact) -> np.ndarray:
    """Which entries of a box contain the exact values."""
    lower, upper = box.lower.detach().flatten().tolist(), box.upper.detach().flatten().tolist()
    pairs = zip(lower, upper, np.asarray(exact, dtype=object).ravel(), strict=True)
    return np.array(
        [
            (l == -inf or (l < inf and Fraction(l) <= e)) and (u == inf or (u > -inf and e <= Fraction(u)))
            for l, u, e in pairs
        ]
    )


# --- counterexamples to rounding to nearest ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_layer_at_a_point_nearest_misses_nearly_every_output(dtype):
    torch.manual_seed(0)
    layer = nn.Linear(100, 64, dtype=dtype)
    x = torch.rand(3, 100, dtype=dtype)
    exact = rational(x) @ rational(layer.weight).T + rational(layer.bias)
    nearest = holds(layer(IntervalTensor.point(x)), exact)
    assert nearest.mean() < 0.1
    with it.rounding("outward"):
        assert holds(layer(IntervalTensor.point(x)), exact).all()
    if dtype is torch.float32:
        with it.rounding("outward", accumulate="float64"):
            Y = layer(IntervalTensor.point(x))
        assert holds(Y, exact).all()
        assert (Y.upper <= torch.nextafter(Y.lower, torch.tensor(inf))).all()  # no wider than float32 can tell


def cancelling(dtype) -> nn.Sequential:
    """Two layers that add a large number to x and take it away again."""
    big = 8 / torch.finfo(dtype).eps
    model = nn.Sequential(nn.Linear(1, 2, dtype=dtype), nn.ReLU(), nn.Linear(2, 1, dtype=dtype))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [0.0]]))
        model[0].bias.fill_(big)
        model[2].weight.copy_(torch.tensor([[1.0, -1.0]]))
        model[2].bias.zero_()
    return model


@pytest.mark.parametrize("dtype", DTYPES)
def test_two_layers_nearest_is_disjoint_from_the_exact_range(dtype):
    box = IntervalTensor(torch.tensor([[0.25]], dtype=dtype), torch.tensor([[0.75]], dtype=dtype))  # y = x exactly
    nearest = cancelling(dtype)(box)
    assert nearest.upper < box.lower or box.upper < nearest.lower
    with it.rounding("outward"):
        assert box.issubset(cancelling(dtype)(box)).all()
    if dtype is torch.float32:
        with it.rounding("outward", accumulate="float64"):
            assert box.issubset(cancelling(dtype)(box)).all()


# --- small networks ---------------------------------------------------------------------------------------------------


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A convolution of one image `(channels, height, width)` without padding."""
    outputs, _, height, width = weight.shape
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
    y = np.empty((outputs, rows, columns), dtype=object)
    for o, i, j in np.ndindex(y.shape):
        y[o, i, j] = (weight[o] * x[:, i : i + height, j : j + width]).sum() + bias[o]
    return y


def blocks(x: np.ndarray) -> np.ndarray:
    """The 2x2 blocks of an image, `(channels, rows, columns, 4)`."""
    channels, height, width = x.shape
    return x.reshape(channels, height // 2, 2, width // 2, 2).transpose(0, 1, 3, 2, 4).reshape(channels, -1, 4)


class Small(nn.Module):
    """Convolution, ReLU, both poolings, a product of two layers, and a mean; and the same on fractions."""

    def __init__(self, dtype):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, dtype=dtype)
        self.gate, self.value = nn.Linear(24, 5, dtype=dtype), nn.Linear(24, 5, dtype=dtype)

    def forward(self, x):
        h = F.relu(self.conv(x))
        h = torch.cat([F.max_pool2d(h, 2).flatten(1), F.avg_pool2d(h, 2).flatten(1)], 1)
        product = self.gate(h) * self.value(h)
        return torch.cat([product, product.mean(1, keepdim=True), product.sum(1, keepdim=True)], 1)

    def exactly(self, x: np.ndarray) -> np.ndarray:
        h = np.maximum(convolve(x, rational(self.conv.weight), rational(self.conv.bias)), Fraction(0))
        cells = blocks(h)
        h = np.concatenate([cells.max(-1).ravel(), (cells.sum(-1) / 4).ravel()])
        gate, value = (rational(m.weight) @ h + rational(m.bias) for m in (self.gate, self.value))
        product = gate * value
        return np.concatenate([product, [product.sum() / 5], [product.sum()]])


@pytest.mark.parametrize("mode", [{}, {"strict": True}, {"accumulate": "float64"}], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("radius", [0.0, 1e-7, 0.05])
def test_small_network_holds_exact_values(dtype, radius, mode):
    torch.manual_seed(1)
    model, x = Small(dtype), torch.rand(1, 2, 6, 6, dtype=dtype)
    with it.rounding("outward", **mode):
        box = IntervalTensor.from_ball(x, radius)
        Y = model(box)
    for _ in range(4):
        corner = torch.where(torch.rand_like(x) < 0.5, box.lower, box.upper)
        exact = model.exactly(rational(corner)[0])
        assert holds(Y, exact).all()
    if radius == 0.0:
        assert not holds(model(IntervalTensor.point(x)), model.exactly(rational(x)[0])).all()  # nearest


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1.0, 1e-38, 1e-44, 1e37])
def test_products_of_two_boxes_hold_exact_values(dtype, scale):
    torch.manual_seed(2)
    a, b = torch.randn(3, 7, dtype=dtype) * scale, torch.randn(7, 4, dtype=dtype)
    bias = torch.randn(4, dtype=dtype) * scale
    with it.rounding("outward"):
        A, B, C = (IntervalTensor.from_ball(t, float(t.abs().max()) / 1e6) for t in (a, b, bias))
        matrix, layer = A @ B, F.linear(A, B.T, C)
        fixed, weights = F.linear(A, b.T, bias), F.linear(a, B.T, bias)
    for pick in (lambda X: X.lower, lambda X: X.upper, lambda X: X.center):
        x, y, c = (rational(pick(X)) for X in (A, B, C))
        assert holds(matrix, x @ y).all()
        assert holds(layer, x @ y + c).all()
        assert holds(fixed, x @ rational(b) + rational(bias)).all()
        assert holds(weights, rational(a) @ y + rational(bias)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "options", [{}, {"padding": 1}, {"stride": 2, "padding": 2}, {"groups": 2}, {"dilation": 2}], ids=str
)
@pytest.mark.parametrize("transposed", [False, True])
def test_convolutions_hold_what_the_same_sum_is_in_integers(dtype, options, transposed):
    """Integers times powers of two: float64 computes them exactly, float32 with cancellation does not."""
    torch.manual_seed(3)
    groups = options.get("groups", 1)
    function = F.conv_transpose2d if transposed else F.conv2d
    x = torch.randint(-(2**12), 2**12, (2, 4, 6, 6)).double()
    weight = torch.randint(-(2**10), 2**10, (4, 4 // groups, 3, 3)).double()
    bias = torch.randint(-(2**20), 2**20, (4,)).double()
    exact = function(x, weight, bias, **options)
    assert exact.abs().max() < 2**53 / 4
    with it.rounding("outward"):
        Y = function(IntervalTensor.point(x.to(dtype)), weight.to(dtype), bias.to(dtype), **options)
    assert holds(Y, rational(exact)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_means_of_the_smallest_numbers(dtype):
    smallest = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    x = torch.tensor([-smallest, 0.0, 0.0, 0.0], dtype=dtype)
    exact = rational(x).sum()
    with it.rounding("outward"):
        assert holds(IntervalTensor.point(x).mean().reshape(1), [exact / 4]).all()
        assert holds(IntervalTensor.point(-x).mean().reshape(1), [-exact / 4]).all()
        assert IntervalTensor.point(-x).mean().lower >= 0
        assert holds(F.avg_pool1d(IntervalTensor.point(x.reshape(1, 1, 4)), 4), [exact / 4]).all()
        assert holds(IntervalTensor.point(x).sum().reshape(1), [exact]).all()


def test_plain_factors_that_underflow_before_the_box_comes_in():
    tiny, huge = torch.full((1, 1), 1e-30), torch.full((1, 1, 1), 1e38)
    with it.rounding("outward"):
        Y = F.bilinear(tiny, tiny, IntervalTensor.point(huge))
    assert holds(Y, rational(tiny) ** 2 * rational(huge)[0]).all()


@pytest.mark.parametrize("name", ["addmm", "addbmm", "baddbmm", "addmv", "addr"])
def test_scaled_sums_with_products(name):
    torch.manual_seed(4)
    one, two = torch.rand(3, 4), torch.rand(4, 2)
    if name in ("addbmm", "baddbmm"):
        one, two = one.unsqueeze(0), two.unsqueeze(0)
    elif name != "addmm":
        one, two = (one[:, 0], two[0]) if name == "addr" else (one, two[:, 0])
    product = np.multiply.outer if name == "addr" else np.matmul
    exact = product(rational(one), rational(two))
    start = torch.rand(exact.shape[1:] if name == "addbmm" else exact.shape)
    exact = Fraction(0.1) * rational(start) + Fraction(0.3) * exact
    with it.rounding("outward"):
        for first in (start, IntervalTensor.point(start)):
            Y = getattr(torch, name)(first, IntervalTensor.point(one), two, beta=0.1, alpha=0.3)
            assert holds(Y, exact).all()


# --- random expressions -----------------------------------------------------------------------------------------------

UNARY = {
    "neg": (torch.neg, lambda a: -a),
    "abs": (torch.abs, abs),
    "relu": (torch.relu, lambda a: max(a, Fraction(0))),
    "square": (torch.square, lambda a: a * a),
    "a tenth": (lambda x: x * 0.1, lambda a: a * Fraction(0.1)),
    "a third of": (lambda x: x / 3, lambda a: a / 3),
    "half": (lambda x: x * 0.5, lambda a: a / 2),
    "and a half": (lambda x: 1.5 - x, lambda a: Fraction(1.5) - a),
    "clamp": (lambda x: x.clamp(-0.7, 1e3), lambda a: min(max(a, Fraction(-0.7)), Fraction(1000))),
    "cube": (lambda x: x**3, lambda a: a**3),
    "mean": (lambda x: torch.stack([x, x + 1, 3 * x]).mean(0), lambda a: (5 * a + 1) / 3),
    "layer": (lambda x: torch.stack([x, 0.3 * x], -1).sum(-1), lambda a: a + Fraction(0.3) * a),
}
BINARY = {
    "add": (torch.add, lambda a, b: a + b),
    "sub": (torch.sub, lambda a, b: a - b),
    "mul": (torch.mul, lambda a, b: a * b),
    "max": (torch.maximum, max),
    "min": (torch.minimum, min),
    "dot": (lambda x, y: (x.reshape(1, 1) @ y.reshape(1, 1)).reshape(()), lambda a, b: a * b),
}
trees = st.recursive(
    st.sampled_from(["x", "y"]),
    lambda inner: (
        st.tuples(st.sampled_from(sorted(UNARY)), inner) | st.tuples(st.sampled_from(sorted(BINARY)), inner, inner)
    ),
    max_leaves=8,
)


def evaluate(tree, arguments, side: int):
    if isinstance(tree, str):
        return arguments[tree]
    table = UNARY if len(tree) == 2 else BINARY
    return table[tree[0]][side](*(evaluate(part, arguments, side) for part in tree[1:]))


def numbers(dtype):
    width = 32 if dtype is torch.float32 else 64
    borders = [1.0, 2.0, 0.5, 1024.0, torch.finfo(dtype).tiny, -0.0, 1 + torch.finfo(dtype).eps, 1e-3, 2.0**24 + 2]
    exact = st.sampled_from(borders) | st.floats(-1e4, 1e4, width=width, allow_subnormal=True)
    return exact.flatmap(lambda value: st.sampled_from([value, -value]))


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_random_expressions_hold_exact_values(dtype, data):
    tree = data.draw(trees)
    ends = {name: sorted(data.draw(st.tuples(numbers(dtype), numbers(dtype)))) for name in "xy"}
    if data.draw(st.booleans(), label="thin"):
        ends = {name: (low, low) for name, (low, _) in ends.items()}
    boxes = {
        name: IntervalTensor(torch.tensor(low, dtype=dtype), torch.tensor(high, dtype=dtype))
        for name, (low, high) in ends.items()
    }
    with it.rounding("outward", strict=True):
        Y = evaluate(tree, boxes, 0)
    for x in (bound.item() for bound in boxes["x"]._box):
        for y in (bound.item() for bound in boxes["y"]._box):
            exact = evaluate(tree, {"x": Fraction(x), "y": Fraction(y)}, 1)
            assert holds(Y.reshape(1), [exact]).all(), (tree, x, y, Y)


# --- conversions ------------------------------------------------------------------------------------------------------


VALUES = [0.1, 1 + 2**-24, -1 - 2**-24, 3.5e38, -1e308, 1e-46, 1e-39, 2.0**-149, -0.0, 0.0, 1.0, -2.5, 5e-324]


def test_casts_give_the_neighbours_and_leave_what_fits():
    x = torch.tensor(VALUES, dtype=torch.float64)
    with it.rounding("outward"):
        Y = IntervalTensor.point(x).float()
    assert holds(Y, rational(x)).all()
    fits = x == x.float().double()
    assert torch.equal(Y.lower.double()[fits], x[fits])
    assert torch.equal(Y.upper.double()[fits], x[fits])
    assert (Y.upper <= torch.nextafter(Y.lower, torch.tensor(inf))).all()
    assert not holds(IntervalTensor.point(x).float(), rational(x)).all()


def test_infinite_bounds_and_booleans_convert_exactly():
    with it.rounding("outward"):
        Y = IntervalTensor(torch.tensor([-inf], dtype=torch.float64), torch.tensor([inf], dtype=torch.float64)).float()
        truth = IntervalTensor(torch.tensor([False, True]), torch.tensor([True, True])).float()
    assert (Y.lower.item(), Y.upper.item()) == (-inf, inf)
    assert (truth.lower.tolist(), truth.upper.tolist()) == ([0.0, 1.0], [1.0, 1.0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("big", [2**24 + 1, 2**53 + 1, 2**60 + 1])
def test_integers_that_the_dtype_cannot_hold(dtype, big):
    x = torch.tensor([1.0, -3.0], dtype=dtype)
    box, integers = IntervalTensor.point(x), torch.full((2,), big)
    with it.rounding("outward"):
        for Y in (box + big, box + integers, integers + box):
            assert holds(Y, rational(x) + big).all()
        for Y in (box * big, box * integers):
            assert holds(Y, rational(x) * big).all()
        assert holds(box / integers, rational(x) / big).all()
        assert holds(IntervalTensor.from_ball(x, big), rational(x) - big).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tenth", [0.1, np.float64(0.1), torch.tensor(0.1, dtype=torch.float64)], ids=["py", "np", "t"])
def test_numbers_mean_their_binary64_value(dtype, tenth):
    x = torch.tensor([1.0, -3.0, 0.3, 1e-30, 1e20], dtype=dtype)
    box, exact, number = IntervalTensor.point(x), rational(x), Fraction(0.1)
    with it.rounding("outward"):
        for Y, value in [
            (box * tenth, exact * number),
            (tenth * box, exact * number),
            (box + tenth, exact + number),
            (tenth - box, number - exact),
            (box / tenth, exact / number),
            (tenth / box, number / exact),
            (box.clone().mul_(tenth), exact * number),
            (torch.where(torch.zeros(5, dtype=torch.bool), box, tenth), [number] * 5),
            (box.clamp(min=tenth), np.maximum(exact, number)),
        ]:
            assert holds(Y, value).all()


@pytest.mark.parametrize("radius", [0.1, 1e-60, 2**24 + 1, torch.full((5,), 0.1, dtype=torch.float64)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_balls_hold_their_ends(dtype, radius):
    x = torch.tensor([0.3, -1.0, 0.0, 1e-40, 1e20], dtype=dtype)
    exact = rational(radius) if isinstance(radius, torch.Tensor) else Fraction(radius)
    with it.rounding("outward"):
        ball = IntervalTensor.from_ball(x, radius)
        clipped = IntervalTensor.from_ball(torch.tensor([0.5], dtype=dtype), 0.45, clip=(0.1, 0.9))
    assert holds(ball, rational(x) - exact).all()
    assert holds(ball, rational(x) + exact).all()
    assert holds(clipped, [Fraction(0.1)]).all()
    assert holds(clipped, [Fraction(0.9)]).all()
