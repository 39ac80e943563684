"""Affine maps and products of matrices: against exact rationals in outward mode, and against the hull."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import intervaltorch as it
from intervaltorch import IntervalTensor, testing


def rational(x: Tensor) -> list:
    """Nested lists of the exact values of a tensor."""
    return [rational(row) for row in x] if x.ndim else Fraction(x.item())


def exact_product(a: Tensor, b: Tensor) -> list[list[Fraction]]:
    rows, columns = rational(a), rational(b.T)
    return [[sum((x * y for x, y in zip(row, column)), Fraction(0)) for column in columns] for row in rows]


def holds(box: IntervalTensor, values: list[list[Fraction]]) -> bool:
    lower, upper = rational(box.lower), rational(box.upper)
    return all(
        l <= v <= u
        for ls, vs, us in zip(lower, values, upper)
        for l, v, u in zip(ls, vs, us)
    )  # fmt: skip


def corner(box: IntervalTensor, seed: int) -> Tensor:
    choice = torch.rand(box.shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    return torch.where(choice, box.lower, box.upper)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("radius", [0.0, 1e-7, 1e-3, 1.0])
@pytest.mark.parametrize("scale", [1e-40, 1.0, 1e15])
def test_outward_linear_contains_exact_values(dtype, radius, scale):
    torch.manual_seed(0)
    x = IntervalTensor.from_ball(torch.randn(3, 20, dtype=dtype), radius)
    weight, bias = (torch.randn(4, 20) * scale).to(dtype), torch.randn(4).to(dtype)
    with it.rounding("outward"):
        y = F.linear(x, weight, bias)
        z = x @ weight.T
    for seed in range(4):
        point = corner(x, seed)
        products = exact_product(point, weight.T)
        assert holds(z, products)
        assert holds(y, [[p + b for p, b in zip(row, rational(bias))] for row in products])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("radius", [0.0, 1e-7, 1.0])
def test_outward_product_of_two_boxes_contains_exact_values(dtype, radius):
    torch.manual_seed(1)
    a = IntervalTensor.from_ball(torch.randn(3, 15, dtype=dtype), radius)
    b = IntervalTensor.from_ball(torch.randn(15, 4, dtype=dtype), radius)
    with it.rounding("outward"):
        y = a @ b
        from_the_left = a.lower @ b
    for seed in range(4):
        assert holds(y, exact_product(corner(a, seed), corner(b, seed + 9)))
        assert holds(from_the_left, exact_product(a.lower, corner(b, seed)))


def test_cancellation_is_contained_outward_and_missed_by_nearest():
    weight, x = torch.tensor([[1.0, 2.0**25, -(2.0**25)]]), torch.tensor([[0.7, 1.0, 1.0]])
    exact = exact_product(x, weight.T)
    with it.rounding("outward"):
        assert holds(F.linear(IntervalTensor.point(x), weight), exact)
    torch.manual_seed(3)
    weight, x = torch.randn(64, 64), torch.randn(8, 64)
    exact = exact_product(x, weight.T)
    assert not holds(F.linear(IntervalTensor.point(x), weight), exact)
    with it.rounding("outward"):
        assert holds(F.linear(IntervalTensor.point(x), weight), exact)


@pytest.mark.parametrize("mode", ["nearest", "outward"])
def test_overflow_gives_no_finite_bound(mode):
    weight = torch.tensor([[3e38, 3e38, -3e38]])
    with it.rounding(mode):
        y = F.linear(IntervalTensor.point(torch.ones(1, 3)), weight)
    assert bool(y.contains(torch.tensor(3e38)))


@pytest.mark.parametrize("ends", [(-float("inf"), float("inf")), (0.0, float("inf")), (-float("inf"), -1.0)])
def test_infinite_boxes_are_unbounded_and_never_nan(ends):
    x = IntervalTensor(torch.full((1, 2), ends[0]), torch.full((1, 2), ends[1]))
    for weight in (torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]])):
        y = F.linear(x, weight)
        assert not y.lower.isnan().any() and not y.upper.isnan().any()
        assert bool(y.contains(0.0))


def brute_hull(function, x: IntervalTensor) -> tuple[Tensor, Tensor]:
    """The hull of an affine function, by its values at all corners of a box with few entries."""
    n = x.numel()
    values = []
    for bits in range(2**n):
        choice = torch.tensor([(bits >> i) & 1 for i in range(n)], dtype=torch.bool).view(x.shape)
        values.append(function(torch.where(choice, x.upper, x.lower)))
    stacked = torch.stack(values)
    return stacked.amin(0), stacked.amax(0)


CONVOLUTIONS = [
    (F.conv1d, (1, 2, 5), (4, 1, 3), {"padding": 2, "dilation": 2, "groups": 2, "stride": 2}),
    (F.conv1d, (1, 2, 5), (3, 2, 3), {"padding": "same"}),
    (F.conv1d, (2, 5), (3, 2, 3), {"padding": "valid"}),
    (F.conv2d, (1, 1, 3, 3), (2, 1, 2, 2), {"padding": (1, 0)}),
    (F.conv3d, (1, 1, 2, 2, 2), (2, 1, 2, 1, 2), {}),
    (F.conv_transpose1d, (1, 2, 4), (2, 1, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}),
    (F.conv_transpose2d, (1, 1, 3, 3), (1, 2, 2, 2), {"stride": 2, "dilation": 2}),
    (F.conv_transpose3d, (1, 1, 2, 2, 2), (1, 2, 2, 2, 1), {}),
]


@pytest.mark.parametrize("function, shape, weight_shape, options", CONVOLUTIONS)
def test_convolutions_are_the_hull(function, shape, weight_shape, options):
    torch.manual_seed(2)
    weight = torch.randn(weight_shape, dtype=torch.float64)
    channels = weight_shape[1] * options.get("groups", 1) if "transpose" in function.__name__ else weight_shape[0]
    bias = torch.randn(channels, dtype=torch.float64)
    x = IntervalTensor.from_ball(torch.randn(shape, dtype=torch.float64), 0.3)
    lower, upper = brute_hull(lambda p: function(p, weight, bias, **options), x)
    y = function(x, weight, bias, **options)
    torch.testing.assert_close(y.lower, lower)
    torch.testing.assert_close(y.upper, upper)
    with it.rounding("outward"):
        z = function(x, weight, bias, **options)
    assert bool(z.contains(lower).all() & z.contains(upper).all())
    assert bool(((z.width - y.width) <= 1e-12).all())


def test_products_of_every_spelling_agree():
    torch.manual_seed(4)
    a = IntervalTensor.from_ball(torch.randn(2, 3), 0.1)
    b, c = torch.randn(3, 2), torch.randn(2, 2)
    expected = a @ b
    spelled = [
        torch.matmul(a, b), a.matmul(b), torch.mm(a, b), a.mm(b), torch.bmm(a[None], b[None])[0],
        torch.einsum("ij,jk->ik", a, b),
        torch.tensordot(a, b, 1), torch.addmm(torch.zeros(2, 2), a, b), torch.addmm(c, a, b, beta=0),
        torch.ops.aten.mm(a, b), torch.ops.aten.mm.default(a, b), F.linear(a, b.T), torch.linalg.multi_dot([a, b]),
        torch.stack([torch.mv(a, b[:, i]) for i in range(2)], 1),
        torch.baddbmm(torch.zeros(1, 2, 2), a[None], b[None])[0],
        torch.addbmm(torch.zeros(2, 2), a[None], b[None]),
        torch.stack([torch.addmv(torch.zeros(2), a, b[:, i]) for i in range(2)], 1),
    ]  # fmt: skip
    for y in spelled:
        torch.testing.assert_close(y.lower, expected.lower)
        torch.testing.assert_close(y.upper, expected.upper)
    scaled = torch.addmm(c, a, b, beta=-2.0, alpha=-0.5)
    torch.testing.assert_close(scaled.lower, -2 * c - 0.5 * expected.upper)
    exchanged = b.T @ a.T
    torch.testing.assert_close(exchanged.lower, expected.lower.T)


def test_bilinear_contains_and_is_tight_at_a_point():
    torch.manual_seed(5)
    first, second = torch.randn(4, 3), torch.randn(4, 2)
    weight, bias = torch.randn(5, 3, 2), torch.randn(5)
    value = F.bilinear(first, second, weight, bias)
    y = F.bilinear(IntervalTensor.point(first), IntervalTensor.point(second), weight, bias)
    torch.testing.assert_close(y.center, value)
    box = F.bilinear(IntervalTensor.from_ball(first, 0.1), second, weight, bias)
    assert bool(box.contains(F.bilinear(first + 0.1, second, weight, bias)).all())


@pytest.mark.parametrize("mode", ["nearest", "outward"])
def test_gradients_are_those_of_centre_and_radius(mode):
    torch.manual_seed(6)
    lower = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    width = torch.rand(3, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(2, dtype=torch.float64, requires_grad=True)

    def bounds(l, d, w, b):
        y = F.linear(IntervalTensor(l, l + d), w, b)
        return y.lower, y.upper

    with it.rounding(mode):
        assert torch.autograd.gradcheck(bounds, (lower, width, weight, bias))


def test_interval_weights_and_biases():
    torch.manual_seed(7)
    x, weight, bias = torch.randn(3, 4), torch.randn(2, 4), torch.randn(2)
    box = IntervalTensor.from_ball
    y = F.linear(box(x, 0.1), box(weight, 0.2), box(bias, 0.3))
    for seed in range(8):
        values = F.linear(
            *(corner(box(p, r), seed + i) for i, (p, r) in enumerate([(x, 0.1), (weight, 0.2), (bias, 0.3)]))
        )
        assert bool(y.contains(values).all())
    fixed = F.linear(x, weight, box(bias, 0.3))
    torch.testing.assert_close(fixed.radius, torch.full((3, 2), 0.3))


def test_wrong_shapes_raise_what_torch_raises():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        F.linear(IntervalTensor.point(torch.zeros(1, 3)), torch.zeros(2, 4))


def test_convolutions_without_a_summing_backend_are_refused_outward():
    x, weight = IntervalTensor.point(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 3, 3)
    with torch.backends.mkldnn.flags(enabled=False):
        F.conv2d(x, weight)
        with it.rounding("outward"):
            F.conv2d(x.double(), weight.double())
            with pytest.raises(it.UnprovenOpError, match="oneDNN"):
                F.conv2d(x, weight)
    with it.rounding("outward"):
        F.conv2d(x, weight)


@pytest.mark.parametrize(
    "shapes", [((3, 2), (2, 3)), ((2,), (2, 3)), ((3, 2), (2,)), ((2,), (2,)), ((2, 3, 2), (2, 1))]
)
def test_small_products_of_two_boxes_are_the_hull(shapes):
    """Every entry is a sum of products of different variables, so corners reach both of its ends."""
    torch.manual_seed(0)
    x, y = (IntervalTensor.from_ball(0.1 * torch.randn(shape), torch.rand(shape)) for shape in shapes)
    testing.check_op(torch.matmul, x, y)
    values = []
    for corner in itertools.product((False, True), repeat=4):  # an entry is made of two products of two variables
        left, right = torch.tensor(corner[:2]), torch.tensor(corner[2:])
        a = torch.where(left, x.upper, x.lower)
        values.append(a @ torch.where(right if y.ndim == 1 else right[:, None], y.upper, y.lower))
    torch.testing.assert_close((x @ y).lower, torch.stack(values).amin(0))
    torch.testing.assert_close((x @ y).upper, torch.stack(values).amax(0))


def test_the_product_of_a_vector_with_itself_is_a_sum_of_squares():
    x = IntervalTensor(torch.tensor([-1.0, -2.0]), torch.tensor([1.0, 3.0]))
    assert (torch.dot(x, x).lower, torch.dot(x, x).upper) == (0, 10)
