"""Whole programs: random expressions, random modules, and small nets against exact rational arithmetic.

All run in outward mode, where a box contains the exact value and no tolerance is needed.
"""

import copy
import itertools
import warnings
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from intervaltorch import IntervalTensor, bound, layer_bounds, rounding, testing
from intervaltorch.testing import sample_points
from intervaltorch.testing.strategies import boxes, boxes_with_points, tensors


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*guessed error budget")
        yield


# --- random expressions -----------------------------------------------------------------------------------------------

UNARY = [
    torch.neg, torch.abs, torch.relu, torch.tanh, torch.sigmoid, torch.sin, torch.square, torch.atan, F.softplus,
    F.gelu, F.silu, lambda x: x * x, lambda x: torch.exp(x.clamp(max=3.0)), lambda x: torch.log(x.abs() + 1.5),
    lambda x: torch.sqrt(x.square() + 1.0), lambda x: 1.0 / (x.abs() + 0.5), lambda x: x.clamp(-1.0, 2.0),
    lambda x: 0.1 * x, lambda x: x.flip(-1), lambda x: x - x.mean(-1, keepdim=True), lambda x: torch.softmax(x, -1),
    lambda x: torch.cumsum(x, -1), lambda x: torch.where(x > 0, x, 0.1 * x), lambda x: x[..., [2, 0, 1]],
]  # fmt: skip
BINARY = [
    torch.add, torch.sub, torch.mul, torch.maximum, torch.minimum, lambda x, y: x / (y.abs() + 1.0),
    lambda x, y: torch.where(x > y, x, y), lambda x, y: torch.cat([x, y], -1)[..., ::2], lambda x, y: x @ y.mT,
]  # fmt: skip

expressions = st.recursive(
    st.sampled_from(["x", "y", "constant"]),
    lambda inner: st.one_of(
        st.tuples(st.integers(0, len(UNARY) - 1), inner),
        st.tuples(st.integers(0, len(BINARY) - 1), inner, inner),
    ),
    max_leaves=8,
)


def evaluate(expression, leaves):
    if isinstance(expression, str):
        return leaves[expression]
    arguments = [evaluate(part, leaves) for part in expression[1:]]
    return (UNARY if len(arguments) == 1 else BINARY)[expression[0]](*arguments)


@settings(max_examples=300)
@given(expressions, boxes_with_points((3, 3), min_value=-4, max_value=4), boxes_with_points((3, 3), max_radius=0.1))
def test_random_expressions(expression, x, y):
    """The exact value of any expression lies in its box; also with an argument that occurs several times."""
    constant = torch.tensor([[0.5, -1.0, 0.1], [3.0, 0.0, -0.3], [1.0, 1.0, 1.0]])
    with rounding("outward"):
        # A point: what a program computes from plain tensors alone is plain arithmetic, rounded as ever.
        result = evaluate(expression, {"x": x[0], "y": y[0], "constant": IntervalTensor.point(constant)})
    for a, b in zip(x[1].double(), y[1].double()):
        value = evaluate(expression, {"x": a, "y": b, "constant": constant.double()})
        testing.assert_encloses(result, value)


@settings(max_examples=100)
@given(expressions, boxes((3, 3), min_value=-4, max_value=4))
def test_random_expressions_are_inclusion_monotone(expression, x):
    """A box inside gives a box inside: in float64, whose rounding the outward gap of the larger box covers."""
    x = x.double()
    inner = IntervalTensor(x.lower + 0.25 * x.width, x.lower + 0.75 * x.width)
    leaves = {"y": x, "constant": IntervalTensor.point(torch.ones(3, 3).double())}
    small = evaluate(expression, {**leaves, "x": inner})
    with rounding("outward"):
        large = evaluate(expression, {**leaves, "x": x})
    room = 1e-9 * (1 + large.magnitude)  # not a bound on a value: monotonicity in nearest mode is up to rounding
    assert bool(((large.lower - room <= small.lower) & (small.upper <= large.upper + room)).all())


# --- random modules ---------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        y = self.inner(x)
        y += x
        return y


ACTIVATIONS = [
    nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.Softplus, nn.Hardtanh, nn.Mish,
    nn.Hardswish, nn.Softsign, nn.Identity, nn.PReLU, nn.CELU, nn.SELU, nn.ReLU6, nn.LogSigmoid, nn.Tanhshrink,
    nn.Softshrink,
]  # fmt: skip


@st.composite
def image_models(draw):
    """A small net on images of shape (2, 6, 6): convolutions, norms, activations, pooling, then dense layers."""
    layers, channels, side = [], 2, 6
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["conv", "norm", "pool", "residual", "transposed"]))
        if kind == "conv":
            padding_mode = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
            layers.append(nn.Conv2d(channels, 4, 3, padding=1, padding_mode=padding_mode))
            channels = 4
        elif kind == "transposed":
            layers.append(nn.ConvTranspose2d(channels, 2, 3, padding=1))
            channels = 2
        elif kind == "norm":
            norms = [nn.BatchNorm2d(channels), nn.GroupNorm(2, channels), nn.InstanceNorm2d(channels, affine=True)]
            layers.append(draw(st.sampled_from(norms)))
        elif kind == "pool" and side % 2 == 0:
            pools = [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(side // 2), nn.Upsample(size=side // 2)]
            layers.append(draw(st.sampled_from(pools)))
            side //= 2
        else:
            layers.append(Residual(nn.Conv2d(channels, channels, 1)))
        layers.append(draw(st.sampled_from(ACTIVATIONS))())
    dense = [nn.Flatten(), nn.Dropout(0.5), nn.Linear(channels * side * side, 5), nn.LayerNorm(5)]
    return randomised(nn.Sequential(*layers, *dense, draw(st.sampled_from([nn.Softmax(-1), nn.LogSoftmax(-1)]))), draw)


def randomised(model, draw):
    """Random parameters and running statistics, the same for the same example."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        if tensor.is_floating_point():
            tensor.data = 0.5 * torch.randn(tensor.shape, generator=generator)
    for name, tensor in model.named_buffers():
        if name.endswith("running_var"):
            tensor.data = tensor.data.abs() + 0.1
    return model.eval()


@settings(max_examples=60)
@given(image_models(), boxes_with_points((1, 2, 6, 6), min_value=-1, max_value=1, max_radius=0.3, count=5))
def test_random_modules(model, x):
    """Every layer's box contains the output of the same layer in float64, residual connections in place included."""
    exact = copy.deepcopy(model).double()
    with rounding("outward"):
        result = layer_bounds(model, x[0])
    seen = {}
    for path, module in exact.named_modules():
        module.register_forward_hook(lambda m, a, output, path=path: seen.__setitem__(path, output.clone()))
    for point in x[1].double():
        exact(point)
        for path, value in seen.items():
            if not path.endswith("inner"):  # `y += x` changed this output in place after it was recorded
                testing.assert_encloses(result[path], value, what=f"layer {path!r}")


def rms_norm(width):
    """With a number for eps: the default is that of the dtype, so in float64 it would be another function."""
    return nn.RMSNorm(width, eps=1e-6)


class Block(nn.Module):
    """A transformer block as people write it."""

    def __init__(self, width, heads, norm, causal):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm1, self.norm2 = norm(width), norm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attention = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.out(attention.transpose(1, 2).reshape(batch, length, width))
        return x + self.mlp(self.norm2(x))


@settings(max_examples=20)
@given(st.data(), st.sampled_from([nn.LayerNorm, rms_norm]), st.booleans())
def test_transformer_blocks(data, norm, causal):
    model = randomised(Block(4, 2, norm, causal), data.draw)
    x, points = data.draw(boxes_with_points((1, 3, 4), max_radius=0.2, min_value=-2, max_value=2, count=6))
    exact = copy.deepcopy(model).double()
    with rounding("outward"):
        result = bound(model, x)
    for point in points.double():
        testing.assert_encloses(result, exact(point))


@settings(max_examples=30)
@given(st.data())
def test_interval_weights(data):
    """Boxes for the parameters as well: `functional_call` with interval weights."""
    model = randomised(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), data.draw)
    x, points = data.draw(boxes_with_points((2, 3), max_radius=0.2, count=5))
    weights = {name: IntervalTensor.from_ball(p.detach(), 0.05) for name, p in model.named_parameters()}
    with rounding("outward"):
        result = torch.func.functional_call(model, weights, (x,))
    drawn = {name: sample_points(box, 5).double() for name, box in weights.items()}
    for position, point in enumerate(points.double()):
        chosen = {name: values[position] for name, values in drawn.items()}
        testing.assert_encloses(result, torch.func.functional_call(model, chosen, (point,)))


# --- exact rationals --------------------------------------------------------------------------------------------------

# Numbers of very different size cancel: that is where float32 bounds without outward rounding miss the value.
weights_of_all_sizes = st.sampled_from(
    [0.0, 1.0, -1.0, 0.1, -0.3, 2.0**25, -(2.0**25), 2.0**-20, 1.0000001, 33554433.0, -16777217.0, 1e-30, 3e20]
) | st.floats(-10, 10, width=32)


@st.composite
def matrices(draw, rows, columns):
    flat = draw(st.lists(weights_of_all_sizes, min_size=rows * columns, max_size=rows * columns))
    return torch.tensor(flat, dtype=torch.float32).reshape(rows, columns)


def rationals(tensor):
    return [[Fraction(value) for value in row] for row in tensor.double().tolist()]


def exact_linear(x, weight, bias):
    return [sum((w * v for w, v in zip(row, x)), b) for row, b in zip(weight, bias)]


@settings(max_examples=150)
@given(st.data(), st.sampled_from([F.relu, torch.abs, torch.square, torch.neg]))
def test_small_nets_against_rationals(data, activation):
    """Two linear layers and an exact activation between: the box contains the value in exact arithmetic."""
    exact_activation = {
        F.relu: lambda v: max(v, 0),
        torch.abs: abs,
        torch.square: lambda v: v * v,
        torch.neg: lambda v: -v,
    }
    first, second = data.draw(matrices(3, 4)), data.draw(matrices(2, 3))
    b1, b2 = data.draw(matrices(1, 3)), data.draw(matrices(1, 2))
    x = data.draw(boxes((4,), max_radius=0.01) | boxes((4,)))
    with rounding("outward"):
        result = F.linear(activation(F.linear(x, first, b1[0])), second, b2[0])
    ends = zip(x.lower.tolist(), x.upper.tolist())
    middle = sample_points(x, 3)[2].tolist()
    for corner in [*itertools.islice(itertools.product(*ends), 16), middle]:
        hidden = exact_linear([Fraction(v) for v in corner], rationals(first), rationals(b1)[0])
        hidden = [exact_activation[activation](v) for v in hidden]
        value = exact_linear(hidden, rationals(second), rationals(b2)[0])
        for low, exact, high in zip(result.lower.tolist(), value, result.upper.tolist()):
            assert as_rational(low) <= exact <= as_rational(high), (low, float(exact), high)


def as_rational(end):
    return Fraction(end) if abs(end) < float("inf") else end


@settings(max_examples=200)
@given(boxes((3,), max_radius=0.1), tensors((3,)), boxes((3,)), st.sampled_from([2, 3, 4]))
def test_rational_functions_against_rationals(x, c, y, n):
    """Sums, products, quotients and powers of boxes at their corners."""
    with rounding("outward"):
        result = (x * y + c) / (y * y + 1) - x**n
    for position in range(3):
        for a, b in itertools.product((x.lower, x.upper), (y.lower, y.upper)):
            a, b, k = (Fraction(t[position].item()) for t in (a, b, c))
            exact = (a * b + k) / (b * b + 1) - a**n
            low, high = result.lower[position].item(), result.upper[position].item()
            assert as_rational(low) <= exact <= as_rational(high)


@settings(max_examples=100)
@given(boxes((1, 2, 5), max_radius=0.1), st.data())
def test_convolutions_against_rationals(x, data):
    weight = data.draw(matrices(3, 4)).reshape(3, 2, 2)
    with rounding("outward"):
        result = F.conv1d(x, weight)
    flat = weight.reshape(3, 4)
    for end in (x.lower, x.upper):
        windows = end.unfold(2, 2, 1)[0].transpose(0, 1).reshape(4, 4)  # position by (channel, tap)
        for position, window in enumerate(rationals(windows)):
            value = exact_linear(window, rationals(flat), [Fraction(0)] * 3)
            for channel, exact in enumerate(value):
                low, high = result.lower[0, channel, position].item(), result.upper[0, channel, position].item()
                assert as_rational(low) <= exact <= as_rational(high)


def test_cancelling_sum():
    """W = [1, 2^25, -2^25] at x = [0.7, 1, 1]: a float32 sum may lose the 0.7; its bounds may not."""
    weight = torch.tensor([[1.0, 2.0**25, -(2.0**25)]])
    with rounding("outward"):
        result = F.linear(IntervalTensor.point(torch.tensor([0.7, 1.0, 1.0])), weight)
    testing.assert_encloses(result, torch.tensor([0.7]).double())
