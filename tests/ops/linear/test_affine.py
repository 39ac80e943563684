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


# --- two boxes --------------------------------------------------------------------------------------------------------


def around(shape, radius, seed, dtype=torch.float64):
    """A box whose centre has entries of both signs, and radii of up to `radius` times their size."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.randn(shape, generator=generator, dtype=dtype)
    return IntervalTensor.from_ball(centre, radius * centre.abs() * torch.rand(shape, generator=generator, dtype=dtype))


PRODUCTS = {
    "linear": (F.linear, (20, 40), (30, 40)),
    "linear with a vector": (F.linear, (3000,), (2, 3000)),
    "matmul": (torch.matmul, (4, 10, 40), (40, 12)),
    "mm": (torch.mm, (30, 40), (40, 20)),
    "bmm": (torch.bmm, (3, 20, 40), (3, 40, 20)),
    "mv": (torch.mv, (60, 50), (50,)),
    "dot": (torch.dot, (3000,), (3000,)),
    "inner": (torch.inner, (20, 40), (30, 40)),
    "einsum": (lambda x, w: torch.einsum("bij,jk->bik", x, w), (4, 10, 40), (40, 12)),
    "addmm": (lambda x, w: torch.addmm(torch.zeros(()).double(), x, w), (30, 40), (40, 20)),
    "baddbmm": (lambda x, w: torch.baddbmm(torch.zeros(()).double(), x, w), (3, 20, 40), (3, 40, 20)),
    "addbmm": (lambda x, w: torch.addbmm(torch.zeros(()).double(), x, w), (3, 20, 40), (3, 40, 20)),
    "addmv": (lambda x, w: torch.addmv(torch.zeros(()).double(), x, w), (60, 50), (50,)),
    "conv1d": (lambda x, w: F.conv1d(x, w, padding=2, dilation=2, groups=2), (2, 4, 30), (6, 2, 3)),
    "conv2d": (lambda x, w: F.conv2d(x, w, stride=2, padding=1), (2, 3, 8, 8), (5, 3, 3, 3)),
    "conv3d": (F.conv3d, (1, 2, 4, 4, 4), (3, 2, 2, 2, 2)),
    "conv_transpose1d": (lambda x, w: F.conv_transpose1d(x, w, stride=2, groups=2), (2, 4, 20), (4, 3, 3)),
    "conv_transpose2d": (lambda x, w: F.conv_transpose2d(x, w, padding=1), (2, 3, 6, 6), (3, 4, 3, 3)),
    "conv_tbc": (lambda x, w: torch.conv_tbc(x, w, torch.zeros(4).double(), 1), (9, 3, 5), (3, 5, 4)),
    "bilinear": (lambda x, w: F.bilinear(x, torch.ones(20, 1).double(), w), (20, 9), (30, 9, 1)),
}  # fmt: skip


def hull_of_products(function, x: IntervalTensor, w: IntervalTensor) -> tuple[Tensor, Tensor]:
    """The hull of a bilinear function: x⁺ = max(x, 0), x⁻ = min(x, 0), and no product of two intervals around 0."""
    pairs = [(x.lower.clamp(max=0), x.upper.clamp(max=0)), (x.lower.clamp(min=0), x.upper.clamp(min=0))]
    (xl_neg, xu_neg), (xl_pos, xu_pos) = pairs
    (wl_neg, wu_neg), (wl_pos, wu_pos) = [(w.lower.clamp(**k), w.upper.clamp(**k)) for k in ({"max": 0}, {"min": 0})]
    upper = function(xu_pos, wu_pos) + function(xl_neg, wl_neg) + function(xu_neg, wl_pos) + function(xl_pos, wu_neg)
    lower = function(xl_pos, wl_pos) + function(xu_neg, wu_neg) + function(xl_neg, wu_pos) + function(xu_pos, wl_neg)
    return lower, upper


@pytest.mark.parametrize("mode", ["nearest", "outward"])
@pytest.mark.parametrize("signed", ["first", "second", "positive", "negative", "some of each"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_is_the_hull_where_one_factor_keeps_its_sign(name, signed, mode):
    function, *shapes = PRODUCTS[name]
    x, w = (around(shape, 0.9 if signed == "some of each" else 3.0, i) for i, shape in enumerate(shapes))
    if signed == "first":
        x = torch.where(torch.arange(x.shape[-1]) % 2 == 0, x.abs(), -x.abs())
    elif signed == "second":
        w = torch.where(torch.arange(w.shape[-1]) % 2 == 0, w.abs(), -w.abs())
    elif signed in ("positive", "negative"):
        x = F.relu(x) if signed == "positive" else -F.relu(x)
    with it.rounding(mode):
        y = function(x, w)
    lower, upper = hull_of_products(function, x, w)
    size = hull_of_products(function, abs(x), abs(w))[1] * 1e-12 + 1e-300
    assert ((lower - y.lower).abs() <= size).all()
    assert ((upper - y.upper).abs() <= size).all()


@pytest.mark.parametrize("radius, most", [(1.0, 1.0), (2.0, 1.1), (10.0, 1.18)])
def test_a_product_of_boxes_around_zero_is_at_most_1_18_times_as_wide(radius, most):
    x, w = around((50, 30), radius, 0), around((40, 30), radius, 1)
    y = F.linear(x, w)
    products = x[:, None] * w  # each the hull
    ratio = y.width / products.width.sum(-1)
    assert ratio.max() <= most * (1 + 1e-12)
    worst = IntervalTensor(torch.full((50, 50), -1 + 2**0.5 - 1), torch.full((50, 50), 2**0.5))  # c = (√2 - 1) r
    assert (worst @ worst).width.max() / (50 * (worst * worst.clone()).width.max()) == pytest.approx(4 - 8**0.5, 1e-4)


def test_a_box_that_is_a_point_counts_as_fixed():
    x, w = around((50, 60), 0.5, 0), IntervalTensor.point(torch.randn(60, 50).double())
    y, plain = x @ w, x @ w.lower
    assert y.lower.equal(plain.lower)
    assert y.upper.equal(plain.upper)
    assert (w @ x).upper.equal((w.lower @ x).upper)


def test_products_of_two_boxes_need_no_values():
    x, w = around((4, 30, 20), 1.5, 0), around((40, 20), 1.5, 1)
    expected = F.linear(x, w)
    mapped = torch.vmap(lambda l, u: (lambda y: (y.lower, y.upper))(F.linear(IntervalTensor(l, u), w)))(
        x.lower, x.upper
    )
    torch.testing.assert_close(mapped[0], expected.lower)
    torch.testing.assert_close(mapped[1], expected.upper)
    assert F.linear(x.to("meta"), w.to("meta")).shape == (4, 30, 40)


@pytest.mark.parametrize("mode", ["nearest", "outward"])
def test_gradients_of_a_product_of_two_large_boxes(mode):
    x, w = around((3, 30), 1.5, 0), around((30, 40), 1.5, 1)
    testing.check_gradient(lambda x, w: (x @ w)[:, :2], x[:, :8], w[:8].repeat(1, 8))
    upper, weights = F.relu(x).upper.requires_grad_(), w.upper.clone().requires_grad_()
    with it.rounding(mode):  # lower ends of 0: each upper bound is the sum of x.upper times the positive w.upper
        y = IntervalTensor(torch.zeros(3, 30).double(), upper) @ IntervalTensor(w.lower, weights)
    of_x, of_w = torch.autograd.grad(y.upper.sum(), (upper, weights))
    inside = upper > 0
    torch.testing.assert_close(of_x[inside], w.upper.clamp(min=0).sum(1).expand(3, 30)[inside])
    torch.testing.assert_close(of_w, upper.sum(0)[:, None] * (w.upper > 0))
