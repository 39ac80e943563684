"""Each term of an outward error bound is needed: inputs on which a bound without that term misses the exact value.

Sums of many equal numbers are the worst that sums of one sign do: each addition rounds in the same direction. So they
show whether a rule counts all its terms. The other inputs are made for one term each, which their tests name.
"""

from __future__ import annotations

from fractions import Fraction

import mpmath
import pytest
import torch
import torch.nn.functional as F

import intervaltorch as it
from intervaltorch import IntervalTensor
from intervaltorch._ops.layers import attention
from intervaltorch._records.registry import Box

DTYPES = [torch.float32, torch.float64]
N, EDGE, COUNT = 4096, 64, 24


def contains(box, exact) -> bool:
    """Whether each entry of a box contains the exact value, with no tolerance."""
    rows = zip(box.lower.flatten().tolist(), box.upper.flatten().tolist(), exact, strict=True)
    return all(Fraction(low) <= value <= Fraction(high) for low, high, value in rows)


def constants(dtype, n=COUNT):
    return (1 + torch.rand(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).to(dtype)


def ones(box, *shape, dtype):
    return box(torch.ones(shape, dtype=dtype))


def rows(c):
    return c[:, None].expand(-1, N).contiguous()


def columns(c):
    return c.expand(N, -1).contiguous()


ZEROS = torch.zeros(N, dtype=torch.long)


def start(c):
    return torch.zeros(1, len(c), dtype=c.dtype)


PRODUCTS = {  # a box of numbers, boxes or tensors of ones; n products to a sum
    "linear": (lambda c, x, w: F.linear(x(rows(c)), w(1, N)), N),
    "mv": (lambda c, x, w: torch.mv(x(rows(c)), w(N)), N),
    "dot": (lambda c, x, w: torch.stack([torch.dot(x(row), w(N)) for row in rows(c)]), N),
    "mm": (lambda c, x, w: torch.mm(x(rows(c)), w(N, 8))[:, 0], N),
    "bmm": (lambda c, x, w: torch.bmm(x(rows(c)[None]), w(1, N, 8))[0, :, 0], N),
    "matmul": (lambda c, x, w: torch.matmul(w(8, N), x(columns(c)))[0], N),
    "addbmm": (lambda c, x, w: torch.addbmm(start(c)[:, 0], x(rows(c).view(-1, 4, 1024).transpose(0, 1)),
                                            w(4, 1024, 8))[:, 0], N),
    "einsum": (lambda c, x, w: torch.einsum("ij,jk->ik", x(rows(c)), w(N, 8))[:, 0], N),
    "bilinear": (lambda c, x, w: F.bilinear(x(rows(c)), torch.ones(len(c), 1, dtype=c.dtype), w(1, N, 1)), N),
    "conv1d": (lambda c, x, w: F.conv1d(x(columns(c)[None]), w(1, N, 1)), N),
    "conv2d of taps": (lambda c, x, w: F.conv2d(x(c[:, None, None, None].expand(-1, 1, 32, 32).contiguous()),
                                                w(1, 1, 32, 32)), 32 * 32),
    "conv1d of groups": (lambda c, x, w: F.conv1d(x(columns(c)[None].repeat(1, 2, 1)), w(2, N, 1), groups=2)[:, 0], N),
    "conv_transpose1d": (lambda c, x, w: F.conv_transpose1d(x(columns(c)[None]), w(N, 1, 1)), N),
    "conv_transpose2d of taps": (lambda c, x, w: F.conv_transpose2d(
        x(c[:, None, None, None].expand(-1, 1, 32, 32).contiguous()), w(1, 1, 32, 32))[:, 0, 31, 31], 32 * 32),
    "conv_transpose3d": (lambda c, x, w: F.conv_transpose3d(x(columns(c)[None, ..., None, None]), w(N, 1, 1, 1, 1)), N),
    "convolution, transposed": (lambda c, x, w: torch.convolution(x(columns(c)[None]), w(N, 1, 1), None, [1], [0], [1],
                                                                  True, [0], 1), N),
    "conv_tbc": (lambda c, x, w: torch.conv_tbc(x(c[None, :, None].expand(1, -1, N).contiguous()), w(1, N, 1),
                                                torch.zeros(1, dtype=c.dtype)), N),
}  # fmt: skip
SUMS = {
    "sum": (lambda c, x: x(rows(c)).sum(-1), N),
    "mean": (lambda c, x: x(rows(c)).mean(-1), 1),
    "cumsum": (lambda c, x: x(rows(c)).cumsum(-1)[:, -1], N),
    "trapezoid": (lambda c, x: torch.trapezoid(torch.cat([x(rows(c)), x(c[:, None])], -1)), N),
    "avg_pool1d": (lambda c, x: F.avg_pool1d(x(rows(c)), N), 1),
    "avg_pool2d": (lambda c, x: F.avg_pool2d(x(rows(c).view(1, -1, EDGE, EDGE)), EDGE), 1),
    "avg_pool3d": (lambda c, x: F.avg_pool3d(x(rows(c).view(1, -1, 16, 16, 16)), 16), 1),
    "adaptive_avg_pool2d": (lambda c, x: F.adaptive_avg_pool2d(x(rows(c).view(1, -1, EDGE, EDGE)), 1), 1),
    "fold": (lambda c, x: F.fold(x(c[:, None, None].expand(-1, 31**2, 31**2).contiguous()), (61, 61), 31)[:, 0, 30, 30],
             31**2),
    "index_add": (lambda c, x: x(start(c)).index_add(0, ZEROS, x(columns(c))), N),
    "scatter_add": (lambda c, x: x(start(c)).scatter_add(0, ZEROS[:, None].expand(-1, len(c)), x(columns(c))), N),
    "scatter_reduce mean": (lambda c, x: x(start(c)).scatter_reduce(
        0, ZEROS[:, None].expand(-1, len(c)), x(columns(c)), "mean", include_self=False), 1),
    "index_put": (lambda c, x: x(start(c)).index_put((ZEROS,), x(columns(c)), accumulate=True), N),
    "embedding_bag": (lambda c, x: F.embedding_bag(ZEROS[None], x(c[None]), mode="sum"), N),
    "norm of order 1": (lambda c, x: torch.linalg.vector_norm(x(rows(c)), 1, -1), N),
    "norm": (lambda c, x: torch.linalg.vector_norm(x(rows(c)), 2, -1), EDGE),
}  # fmt: skip
ACCURATE = {"cumsum": torch.float32}  # torch adds up in float64


def point(x):
    return IntervalTensor.point(x)


def thin(x):
    """A box whose bounds are equal, but not known to be."""
    return IntervalTensor(x, x.clone())


def fewer(name, c):
    """Fewer numbers where each needs an image of its own."""
    return c[:6] if name == "fold" else c


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SUMS)
def test_sums_count_all_their_terms(name, dtype):
    function, n = SUMS[name]
    c = fewer(name, constants(dtype))
    exact = [Fraction(value) * n for value in c.tolist()]
    with it.rounding("outward"):
        assert contains(function(c, point), exact)
        assert contains(-function(-c, point), exact) or "norm" in name
    if ACCURATE.get(name) is not dtype:  # a bound that counts one term is too narrow
        computed = function(c, point).lower.flatten().tolist()
        assert max(abs(Fraction(y) / value - 1) for y, value in zip(computed, exact)) > 5 * torch.finfo(dtype).eps / 2


@pytest.mark.parametrize("mode", [{}, {"accumulate": "float64"}], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_count_all_their_terms(name, dtype, mode):
    """With both factors fixed, one, or none; and boxes around 0, whose radius is such a sum."""
    function, n = PRODUCTS[name]
    c = constants(dtype)[:6]
    exact = [Fraction(value) * n for value in c.tolist()]

    def fixed(*shape):
        return torch.ones(shape, dtype=dtype)

    def varying(*shape):
        return thin(fixed(*shape))

    def around_zero(x):
        return IntervalTensor(-x, x)

    with it.rounding("outward", **mode):
        for x, w in ((point, fixed), (lambda t: t, varying), (thin, varying)):
            assert contains(function(c, x, w), exact)
        for x, w in ((around_zero, fixed), (around_zero, varying), (thin, lambda *shape: around_zero(fixed(*shape)))):
            radius = function(c, x, w)
            assert contains(radius, exact)
            assert contains(-radius, exact)
    if not mode:  # a bound that counts one term, γ of 6, is too narrow
        c = constants(dtype)
        computed = function(c, point, fixed).lower.flatten().tolist()
        worst = max(abs(Fraction(y) / (Fraction(v) * n) - 1) for y, v in zip(computed, c.tolist()))
        assert worst > 7 * torch.finfo(dtype).eps / 2


# --- terms of affine maps ---------------------------------------------------------------------------------------------


def signed(box, sign):
    """Negation is exact; a product with 1 is rounded where it is subnormal."""
    return box if sign > 0 else -box


def smallest(dtype) -> float:
    """The smallest subnormal number."""
    return torch.finfo(dtype).tiny * torch.finfo(dtype).eps


@pytest.mark.parametrize("bias", [None, 0.0])
@pytest.mark.parametrize("weights", [torch.Tensor.clone, thin], ids=["fixed", "box"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_midpoints_of_subnormal_numbers(dtype, weights, bias):
    """The midpoint of [0, 3] subnormal steps is rounded to 2, so the radius to the upper end is 1."""
    weight = torch.full((3000, 1), 2.0**100, dtype=dtype)  # as many as make the product of boxes a large one
    bias = bias if bias is None else torch.full((3000,), bias, dtype=dtype)
    for steps in (1, 3, 5, 7):
        end = steps * smallest(dtype)
        x = IntervalTensor(torch.zeros(1, 1, dtype=dtype), torch.full((1, 1), end, dtype=dtype))
        with it.rounding("outward"):
            for sign in (1, -1):
                for arguments in (
                    (signed(x, sign), weights(weight)),
                    (weights(weight[:1]), signed(x, sign).expand(3000, 1)),
                ):
                    y = F.linear(*arguments, bias)
                    assert contains(y[:, :1], [Fraction(0)])
                    assert contains(y[:, :1], [sign * Fraction(end) * 2**100])


@pytest.mark.parametrize("bias", [None, 0.0])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("mode", [{}, {"accumulate": "float64"}], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_that_underflow(dtype, mode, both, bias):
    small = torch.finfo(dtype).tiny ** 0.75
    x, weight = torch.full((1, 3), small, dtype=dtype), torch.full((3000, 3), small, dtype=dtype)
    bias = bias if bias is None else torch.full((3000,), bias, dtype=dtype)
    exact = 3 * Fraction(x[0, 0].item()) ** 2
    with it.rounding("outward", **mode):
        for sign in (1, -1):
            y = F.linear(signed(thin(x), sign), thin(weight) if both else weight, bias)
            assert contains(y[:, :1], [sign * exact])
            radius = F.linear(IntervalTensor(-x, x), thin(weight) if both else weight, bias)
            assert contains(radius[:, :1], [sign * exact])


@pytest.mark.parametrize("mode", [{}, {"accumulate": "float64"}], ids=str)
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sum_with_a_large_bias(dtype, both, mode):
    """A product that the bias swallows: its rounding is relative to the bias, as the box of the bias may be."""
    x = torch.full((1, 1), torch.finfo(dtype).eps ** 2.5, dtype=dtype)
    weight, bias = torch.ones(3000, 1, dtype=dtype), torch.ones(3000, dtype=dtype)
    exact = 1 + Fraction(x.item())
    with it.rounding("outward", **mode):
        for c in (bias, thin(bias)):
            for sign in (1, -1):
                y = F.linear(signed(thin(x), sign), thin(weight) if both else weight, sign * c)
                assert contains(y[:, :1], [sign * exact])


def test_radii_that_underflow_between_float64_and_float32():
    x = torch.full((1, 2), 2.0**-100)
    weight = torch.tensor([[2.0**100, 2.0**40]])
    with it.rounding("outward", accumulate="float64"):
        assert contains(F.linear(thin(x), weight), [1 + Fraction(2) ** -60])


@pytest.mark.parametrize("dtype", DTYPES)
def test_midpoints_that_are_rounded(dtype):
    """Adjacent numbers have one of them as their midpoint; with one product, nothing else is rounded."""
    low = constants(dtype)[:, None]
    high = torch.nextafter(low, torch.full_like(low, 9.0))
    with it.rounding("outward"):
        for sign in (1, -1):
            y = F.linear(signed(IntervalTensor(low, high), sign), torch.ones(1, 1, dtype=dtype))
            for end in (low, high):
                assert contains(y, [sign * Fraction(v) for v in end.flatten().tolist()])


# --- terms of sums and means ------------------------------------------------------------------------------------------

MEANS = {
    "mean": lambda x: x.mean(),
    "avg_pool1d": lambda x: F.avg_pool1d(x[None], 4),
    "adaptive_avg_pool1d": lambda x: F.adaptive_avg_pool1d(x[None], 1),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MEANS)
def test_means_that_underflow(name, dtype):
    x = torch.zeros(4, dtype=dtype)
    x[0] = smallest(dtype)
    with it.rounding("outward"):
        for sign in (1, -1):
            assert contains(MEANS[name](point(sign * x)), [sign * Fraction(smallest(dtype)) / 4])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*MEANS, "sum"])
def test_sums_of_two_numbers_are_rounded(name, dtype):
    """1 + u is half way between two numbers."""
    x = torch.tensor([1.0, torch.finfo(dtype).eps / 2, 0.0, 0.0], dtype=dtype)
    exact = (1 + Fraction(torch.finfo(dtype).eps) / 2) / (1 if name == "sum" else 4)
    with it.rounding("outward"):
        for sign in (1, -1):
            y = MEANS.get(name, torch.sum)(point(sign * x))
            assert contains(y, [sign * exact])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 3])
def test_squares_of_a_norm_that_underflow(n, dtype):
    small = torch.finfo(dtype).tiny ** 0.75
    x = torch.full((n,), small, dtype=dtype)
    with it.rounding("outward"):
        y = torch.linalg.vector_norm(thin(x))
    assert Fraction(y.lower.item()) ** 2 <= n * Fraction(x[0].item()) ** 2 <= Fraction(y.upper.item()) ** 2


# --- terms of softmax and attention -----------------------------------------------------------------------------------


def exact_softmax(row: list[float]) -> list:
    with mpmath.workdps(60):
        powers = [mpmath.exp(mpmath.mpf(v)) for v in row]
        total = mpmath.fsum(powers)
        return [p / total for p in powers], [mpmath.log(p / total) for p in powers]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("others", [1, 2, 3, 50])
def test_log_odds_of_small_probabilities(others, dtype):
    """Far below the largest entry, half an ulp of each difference is many ulps of the probability."""
    generator = torch.Generator().manual_seed(others)
    edge = 64 if dtype is torch.float32 else 512
    x = torch.rand(300, 1 + others, generator=generator, dtype=torch.float64)
    x[:, 0] -= edge + 16 * torch.rand(300, generator=generator, dtype=torch.float64)
    x = x.to(dtype)
    with it.rounding("outward"):
        probabilities, logs = point(x).softmax(-1), point(x).log_softmax(-1)
    with mpmath.workdps(60):
        for i, row in enumerate(x.tolist()):
            for box, values in zip((probabilities, logs), exact_softmax(row)):
                assert box.lower[i, 0].item() <= values[0] <= box.upper[i, 0].item()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("others", [1, 9, 4000])
def test_probabilities_of_equal_entries(others, dtype):
    """What all the others have in common, the rounding of one exponential, is not averaged away."""
    for gap in torch.rand(40, generator=torch.Generator().manual_seed(1), dtype=torch.float64).tolist():
        x = torch.full((1 + others,), -gap, dtype=dtype)
        x[0] = 0
        with it.rounding("outward"):
            boxes = point(x).softmax(-1), point(x).log_softmax(-1), torch.logsumexp(point(x), -1)
        with mpmath.workdps(60):
            total = 1 + others * mpmath.exp(mpmath.mpf(x[1].item()))
            for box, exact in zip(boxes, (1 / total, -mpmath.log(total), mpmath.log(total))):
                assert box.lower.flatten()[0].item() <= exact <= box.upper.flatten()[0].item()


def attended(weights: torch.Tensor, value: torch.Tensor):
    """Means of values with given weights, which an attention takes after its softmax."""
    with it.rounding("outward"):
        return attention._mean_of_values(Box(weights, weights.clone()), value, None)


@pytest.mark.parametrize("dtype", DTYPES)
def test_means_with_weights_count_all_their_products(dtype):
    c = constants(dtype)
    value = torch.cat([c.expand(N // 2, -1), -c.expand(N // 2, -1)])
    mean = attended(torch.full((1, N), 1 / N, dtype=dtype), value)
    assert contains(mean, [Fraction(0)] * len(c))
    assert contains(mean, [Fraction(0)] * len(c))


@pytest.mark.parametrize("dtype", DTYPES)
def test_means_that_lie_between_two_numbers(dtype):
    """Far from 0 the last sum alone is rounded; among the smallest numbers the products are."""
    half = torch.full((1, 2), 0.5, dtype=dtype)
    step = torch.finfo(dtype).eps
    for unit in (1.0, smallest(dtype) / step):
        for odd in (1, 3, 5, 7):
            value = torch.tensor([[unit], [unit * (1 + odd * step)]], dtype=dtype)
            exact = sum(Fraction(v) for v in value.flatten().tolist()) / 2
            for sign in (1, -1):
                assert contains(attended(half, sign * value), [sign * exact])


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_the_least_weights_leave_is_rounded(dtype):
    """The weights that are left go to the greatest value, for which there is room enough."""
    n = 1000
    for c in constants(dtype, 40).tolist():
        least = torch.full((1, n), c / (2 * n), dtype=dtype)
        most = least.clone()
        most[0, 0] = 1
        value = torch.zeros(n, 1, dtype=dtype)
        value[0] = 1
        with it.rounding("outward"):
            mean = attention._mean_of_values(Box(least, most), value, None)
        assert 1 - (n - 1) * Fraction(least[0, 0].item()) <= Fraction(mean.upper.item())


# --- terms of variances and normalisation -----------------------------------------------------------------------------


def hard_rows(dtype, n):
    """Rows with offsets, outliers, equal entries, entries a few last bits apart, and subnormal ones."""
    generator = torch.Generator().manual_seed(n)
    info = torch.finfo(dtype)
    noise = torch.randn(40, n, generator=generator, dtype=torch.float64)
    steps = torch.randint(-3, 4, (40, n), generator=generator).double()
    rows = [
        noise,
        1e3 + noise,
        1 + steps * info.eps,
        2 + steps * info.eps,
        noise * 4.0**steps,
        3 * steps * smallest(dtype),
    ]
    outlier = noise.clone()
    outlier[:, 0] *= 1 / info.eps
    return torch.cat([*rows, outlier]).to(dtype)


def enclosed_root(low: float, high: float, square: Fraction, sign: int = 1) -> bool:
    """Whether sign * sqrt(square) lies in [low, high]."""
    low, high = (low, high) if sign > 0 else (-high, -low)
    return (low <= 0 or Fraction(low) ** 2 <= square) and high >= 0 and square <= Fraction(high) ** 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_variances_and_norms_of_hard_rows(n, dtype):
    x = hard_rows(dtype, n)
    box = thin(x)
    eps = 2.0**-30
    with it.rounding("outward"):
        norms, unit = torch.linalg.vector_norm(box, dim=-1), F.normalize(box, dim=-1)
        layer, rms = F.layer_norm(box, (n,), eps=eps), F.rms_norm(box, (n,), eps=eps)
        spread = (box.var(-1), box.std(-1)) if n > 1 else None
    for i, row in enumerate(x.tolist()):
        v = [Fraction(entry) for entry in row]
        mean, square = sum(v) / n, sum(entry**2 for entry in v)
        variance = sum((entry - mean) ** 2 for entry in v) / n
        assert enclosed_root(norms.lower[i].item(), norms.upper[i].item(), square)
        if spread is not None:
            unbiased = variance * n / (n - 1)
            assert Fraction(spread[0].lower[i].item()) <= unbiased <= Fraction(spread[0].upper[i].item())
            assert enclosed_root(spread[1].lower[i].item(), spread[1].upper[i].item(), unbiased)
        for j, entry in enumerate(v):
            results = [(layer, entry - mean, variance + Fraction(eps)), (rms, entry, square / n + Fraction(eps))]
            if square > Fraction(1e-20):
                results.append((unit, entry, square))
            for result, numerator, divisor in results:
                sign = 1 if numerator >= 0 else -1
                low, high = result.lower[i, j].item(), result.upper[i, j].item()
                assert enclosed_root(low, high, numerator**2 / divisor, sign), (row, j, low, high)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [2, 7])
def test_two_numbers_a_few_last_bits_apart(n, dtype):
    """A sum of products, a mean and a quotient of numbers that nearly cancel."""
    x = hard_rows(dtype, 2 * n)
    first, second = x[:, :n].contiguous(), x[:, n:].contiguous()
    with it.rounding("outward"):
        dots = (thin(first) * second).sum(-1), torch.einsum("ij,ij->i", thin(first), second)
        differences = (thin(first) - second).mean(-1)
    for i, (a, b) in enumerate(zip(first.tolist(), second.tolist())):
        exact = sum(Fraction(p) * Fraction(q) for p, q in zip(a, b))
        for dot in dots:
            assert Fraction(dot.lower[i].item()) <= exact <= Fraction(dot.upper[i].item())
        exact = sum(Fraction(p) - Fraction(q) for p, q in zip(a, b)) / n
        assert Fraction(differences.lower[i].item()) <= exact <= Fraction(differences.upper[i].item())
