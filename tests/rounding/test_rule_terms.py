"""Terms of the errors of single rules: inputs on which a bound without that term misses the exact value."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import pytest
import torch
import torch.nn.functional as F

import intervaltorch as it
from intervaltorch import IntervalTensor
from intervaltorch import _rounding as rounding
from intervaltorch._ops.layers import attention, recurrent, softmax, standardising
from intervaltorch._ops.reductions import moments
from intervaltorch._ops.special import polynomials
from intervaltorch._records.registry import Box

DTYPES = [torch.float32, torch.float64]
point = IntervalTensor.point


def thin(x):
    """A box whose bounds are equal, but not known to be."""
    return IntervalTensor(x, x.clone())


def contains(box, exact) -> bool:
    """Whether each entry of a box contains the exact value, with no tolerance."""
    rows = zip(box.lower.flatten().tolist(), box.upper.flatten().tolist(), exact, strict=True)
    return all(Fraction(low) <= value <= Fraction(high) for low, high, value in rows)


def around_one(dtype, n, seed=0):
    return (1 + torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).to(dtype)


def smallest(dtype) -> float:
    return torch.finfo(dtype).tiny * torch.finfo(dtype).eps


# --- products: other spellings of their counts ------------------------------------------------------------------------

N = 1024


def filled(c, *shape):
    return c.reshape(-1, *[1] * len(shape)).expand(-1, *shape).contiguous()


def weight(*shape, like):
    return torch.ones(shape, dtype=like.dtype)


COUNTED = {  # of boxes filled with one number each: N products to the entry that is kept
    "padded": lambda c, x: F.conv1d(x(filled(c, 1, N)), weight(1, 1, N + 8, like=c), padding=4)[..., 0],
    "padded on one side": lambda c, x: F.conv1d(F.pad(x(filled(c, 1, N)), (3, 0)), weight(1, 1, N + 3, like=c))[..., 0],
    "dilated": lambda c, x: F.conv2d(x(filled(c, 1, 63, 63)), weight(1, 1, 32, 32, like=c), dilation=2)[..., 0, 0],
    "strided": lambda c, x: F.conv2d(x(filled(c, 4, 20, 20)), weight(1, 4, 16, 16, like=c), stride=3)[..., 0, 0],
    "grouped and dilated": lambda c, x: F.conv1d(x(filled(c, 64, 63)), weight(2, 32, 32, like=c), dilation=2,
                                                 groups=2)[:, 1, 0],
    "transposed, of groups": lambda c, x: F.conv_transpose1d(x(filled(c, 64, 63)), weight(64, 1, 32, like=c),
                                                             groups=2)[:, 1, 31],
    "transposed and dilated": lambda c, x: F.conv_transpose1d(x(filled(c, 32, 63)), weight(32, 1, 32, like=c),
                                                              dilation=2)[:, 0, 62],
    "addmm with beta": lambda c, x: torch.addmm(torch.zeros(1, dtype=c.dtype), x(filled(c, N)), weight(N, 3, like=c),
                                                beta=0.5)[:, 0],
    "addmm with alpha": lambda c, x: torch.addmm(torch.ones(1, dtype=c.dtype), x(filled(c, N)), weight(N, 3, like=c),
                                                 beta=0, alpha=1)[:, 0],
    "baddbmm": lambda c, x: torch.baddbmm(torch.zeros(1, dtype=c.dtype), x(filled(c, N)[None]),
                                          weight(1, N, 2, like=c))[0, :, 0],
    "einsum of three": lambda c, x: torch.einsum("ij,jk,k->i", x(filled(c, N)), weight(N, 2, like=c),
                                                 torch.tensor([1.0, 0.0], dtype=c.dtype)),
    "einsum that sums": lambda c, x: torch.einsum("ij->i", x(filled(c, N))),
    "tensordot": lambda c, x: torch.tensordot(x(filled(c, 32, 32)), weight(32, 32, like=c), 2),
    "chain": lambda c, x: torch.linalg.multi_dot([x(filled(c, N)), weight(N, 4, like=c)])[:, 0],
}  # fmt: skip


@pytest.mark.parametrize("mode", [{}, {"accumulate": "float64"}], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", COUNTED)
def test_products_count_what_meets_in_one_entry(name, dtype, mode):
    c = around_one(dtype, 12)
    exact = [Fraction(v) * N for v in c.tolist()]
    with it.rounding("outward", **mode):
        assert contains(COUNTED[name](c, point), exact)
        radius = COUNTED[name](c, lambda t: IntervalTensor(-t, t))
    assert contains(radius, exact) and contains(-radius, exact)


@pytest.mark.parametrize("beta, alpha", [(0.1, 1), (1, 0.1), (3, -0.7), (-0.3, 7)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_factors_of_sums_with_products_mean_their_binary64_values(dtype, beta, alpha):
    """What is added is much larger than the products, whose own rounding cannot stand in for its."""
    c, rows = 2.0**20 * around_one(dtype, 900).reshape(30, 30), around_one(dtype, 60, 1).reshape(30, 2)
    columns = around_one(dtype, 60, 2).reshape(2, 30)
    with it.rounding("outward"):
        y = torch.addmm(c, point(rows), columns, beta=beta, alpha=alpha)
    products = [
        sum(Fraction(a) * Fraction(b) for a, b in zip(row, column))
        for row in rows.tolist()
        for column in columns.T.tolist()
    ]
    exact = [Fraction(beta) * Fraction(s) + Fraction(alpha) * p for s, p in zip(c.flatten().tolist(), products)]
    assert contains(y, exact)


# --- softmax, logsumexp, attention ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 60])
def test_logarithms_of_sums_that_cancel(n, dtype):
    """Where the sum of exponentials is about 1 its logarithm is about 0, and all of its error is absolute."""
    centre = -math.log(n)
    with it.rounding("outward"):
        for k in range(-12, 13):
            x = torch.full((n,), centre, dtype=dtype) + k * torch.finfo(dtype).eps
            y = torch.logsumexp(point(x), 0)
            with mpmath.workdps(60):
                exact = mpmath.mpf(x[0].item()) + mpmath.log(n)
                assert y.lower.item() <= exact <= y.upper.item()


@pytest.mark.parametrize("dtype", DTYPES)
def test_long_sums_of_exponentials(dtype):
    """Equal numbers whose sums round one way: the probability of an entry far below them errs by as much."""
    n = 2**17
    for gap in (0.30, 0.35, 0.43, 0.55, 0.62):
        x = torch.full((n,), -gap, dtype=dtype)
        x[0], x[1] = 0, -20.0
        with it.rounding("outward"):
            p = point(x).softmax(0)
        with mpmath.workdps(60):
            terms = [mpmath.exp(mpmath.mpf(v)) for v in x[:3].tolist()]
            total = terms[0] + terms[1] + (n - 2) * terms[2]
            for i in range(3):
                assert p.lower[i].item() <= terms[i] / total <= p.upper[i].item()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("others", [1, 2, 3, 40])
def test_log_odds_before_the_budget_of_a_sigmoid(others, dtype):
    """Near 0, where the rounding of the logarithm is all, and far from it, where that of the sizes is."""
    for offset in (0.0, math.log(others), -70.0, 65.0):
        x = around_one(dtype, 25 * (1 + others), others).reshape(25, -1)
        x[:, 0] += offset
        with it.rounding("outward"):
            low, high = (softmax._log_odds(x, x, -1, side)[:, 0].tolist() for side in (-1, 1))
        with mpmath.workdps(50):
            for row, least, most in zip(x.tolist(), low, high):
                exact = mpmath.mpf(row[0]) - mpmath.log(mpmath.fsum(mpmath.exp(mpmath.mpf(v)) for v in row[1:]))
                assert least <= exact <= most


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_the_least_weights_leave_may_go_to_a_value_far_above_the_others(dtype):
    """The least weights sum to about 1; what they leave, which rounding hides, may go to the greatest value."""
    n = 1002
    value = torch.zeros(n, 1, dtype=dtype)
    value[-2], value[-1] = 1, -1
    caught = 0
    for scale in (1 - around_one(dtype, 60) * torch.finfo(dtype).eps * 8).tolist():
        least = torch.full((1, n), scale / (n - 2), dtype=dtype)
        least[0, -2:] = 0
        most = least.clone()
        most[0, -2] = 1e-3
        left = 1 - (n - 2) * Fraction(least[0, 0].item())
        if left >= 0:
            caught += float(1 - least.sum()) < float(left)
            with it.rounding("outward"):
                mean = attention._mean_of_values(Box(least, most), value, None)
            assert left <= Fraction(mean.upper.item())
    assert caught


@pytest.mark.parametrize("dtype", DTYPES)
def test_means_whose_products_underflow(dtype):
    """The smallest number times weights below 1/2 is 0, many times over."""
    n = 64
    value = torch.full((n, 1), smallest(dtype), dtype=dtype)
    value[::2] *= 4
    weights = torch.full((1, n), 1 / n, dtype=dtype)
    with it.rounding("outward"):
        for sign in (1, -1):
            mean = attention._mean_of_values(Box(weights, weights.clone()), sign * value, None)
            assert contains(mean, [sign * Fraction(5, 2) * Fraction(smallest(dtype))])


# --- recurrent cells --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_gates_and_means_of_recurrent_cells(dtype):
    z, n, h = (around_one(dtype, 400, seed) - 1 for seed in range(3))
    h = torch.cat([h[:200], n[200:] * (1 - torch.finfo(dtype).eps * 3)])  # and such as nearly agree
    rows = [list(map(Fraction, row)) for row in zip(z.tolist(), n.tolist(), h.tolist())]
    with it.rounding("outward"):
        for sign in (1, -1):
            gate, a, b = (Box(t, t.clone()) for t in (z, sign * n, sign * h))
            assert contains(recurrent._gated(gate, a), [sign * z * n for z, n, _ in rows])
            assert contains(recurrent._between(gate, a, b), [sign * ((1 - z) * n + z * h) for z, n, h in rows])
            mixed = recurrent._between(gate, a, Box(-b.upper, -b.lower))  # of opposite signs: they cancel
            assert contains(mixed, [sign * ((1 - z) * n - z * h) for z, n, h in rows])


# --- quantiles, remainders, quantisation ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("q", [0.1, 0.25, 1 / 3, 0.7, 0.9])
def test_quantiles_between_two_entries(q, dtype):
    q = torch.tensor(q, dtype=dtype).item()
    for n in (2, 3, 4, 7, 11):
        x = around_one(dtype, 40 * n, n)
        x[::2] *= -1
        x = x.reshape(40, n)
        with it.rounding("outward"):
            y = point(x).quantile(q, -1)
        exact = []
        for row in x.sort(-1).values.tolist():
            rank = Fraction(q) * (n - 1)
            k = min(math.floor(rank), n - 2)
            exact.append(Fraction(row[k]) + (rank - k) * (Fraction(row[k + 1]) - Fraction(row[k])))
        assert contains(y, exact)


@pytest.mark.parametrize("dtype", DTYPES)
def test_remainders_of_multiples_that_are_rounded(dtype):
    """A quotient just below an integer is rounded to it, and a small negative remainder becomes the divisor."""
    y = around_one(dtype, 60)
    for factor in (3, 5, 11):
        x = y * factor
        exact = [Fraction(a) % Fraction(b) for a, b in zip(x.tolist(), y.tolist())]
        with it.rounding("outward"):
            assert contains(torch.remainder(point(x), thin(y)), exact)
            assert contains(torch.remainder(point(x), y), exact)
        nearest = torch.remainder(point(x), thin(y))  # of about 0 or of about y, unless either is known
        room = 4 * torch.finfo(dtype).eps * x.double()
        value = torch.tensor([float(v) for v in exact], dtype=torch.float64)
        assert bool((nearest.lower <= value + room).all() and (value - room <= nearest.upper).all())
    small = -y * torch.finfo(dtype).eps / 8
    with it.rounding("outward"):
        result = torch.remainder(point(small), 3 * y)
    assert contains(result, [Fraction(a) % Fraction(b) for a, b in zip(small.tolist(), (3 * y).tolist())])


@pytest.mark.parametrize("dtype", DTYPES)
def test_steps_of_quantisation(dtype):
    """Numbers next to the border between two steps, and steps that are rounded."""
    for scale in torch.tensor([0.1, 0.3, 0.7, 1.1, 1 / 3]).tolist():
        borders = torch.tensor([(k + 0.5) * scale for k in range(-40, 40)], dtype=dtype)
        for x in (borders, torch.nextafter(borders, borders + 1), torch.nextafter(borders, borders - 1)):
            with it.rounding("outward"):
                y = torch.fake_quantize_per_tensor_affine(thin(x), scale, 3, -128, 127)
            exact = [round(Fraction(v) / Fraction(scale)) * Fraction(scale) for v in x.tolist()]
            assert contains(y, exact)


# --- transforms and tables --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [20, 23])
@pytest.mark.parametrize("entry", [0.25, 1.0, 3.0])
def test_what_is_left_out_of_the_series_of_an_exponential(entry, n):
    """A chain whose ends only the powers beyond degree 18 connect."""
    a = torch.zeros(n, n, dtype=torch.float64)
    a.diagonal(1).fill_(entry)
    with it.rounding("outward"):
        y = torch.linalg.matrix_exp(point(a))
    exact = [Fraction(entry) ** k / math.factorial(k) for k in range(n)]
    assert contains(y[0], exact)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [7, 49, 399])
def test_tables_of_cosines_and_sines(n, dtype):
    """Columns of the table itself: near a quarter turn its error is large compared with its entries."""
    x = torch.eye(n, dtype=dtype)[:2]
    with it.rounding("outward"):
        y = torch.fft.fft(point(x))
    low, high = (torch.view_as_real(end).tolist() for end in (y.lower, y.upper))
    with mpmath.workdps(40):
        for m in range(2):
            for k in range(n):
                turn = 2 * mpmath.pi * m * k / n
                for j, value in enumerate((mpmath.cos(turn), -mpmath.sin(turn))):
                    assert low[m][k][j] <= value <= high[m][k][j]


@pytest.mark.parametrize("norm", ["ortho", "forward"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_transforms_are_divided_by_a_root(dtype, norm):
    for n in (2, 3, 5, 6, 7, 8, 10):
        x = torch.zeros(n, dtype=dtype)
        x[0] = 1
        with it.rounding("outward"):
            y = torch.fft.fft(point(x), norm=norm)
        low, high = (Fraction(end.real[0].item()) for end in (y.lower, y.upper))
        assert low**2 * n <= 1 <= high**2 * n if norm == "ortho" else low * n <= 1 <= high * n


# --- resizing ---------------------------------------------------------------------------------------------------------


def linear_places(n, m, align) -> list:
    """Where samples lie in the source, exactly."""
    if align:
        return [Fraction(k * (n - 1), m - 1) for k in range(m)]
    return [min(max((k + Fraction(1, 2)) * n / m - Fraction(1, 2), Fraction(0)), Fraction(n - 1)) for k in range(m)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize("n, m", [(2, 3), (2, 7), (3, 11), (50, 77), (1000, 1201)])
def test_places_between_pixels_are_rounded(n, m, align, dtype):
    """A steep saw turns the error of a place into one of a value; two pixels far from 0 show that of the sum."""
    saw = torch.zeros(n, dtype=dtype)
    saw[1::2] = 1
    step = around_one(dtype, n)
    for image in (saw, step):
        with it.rounding("outward"):
            y = F.interpolate(point(image[None, None]), size=m, mode="linear", align_corners=align)[0, 0]
        row, exact = list(map(Fraction, image.tolist())), []
        for place in linear_places(n, m, align):
            k = min(math.floor(place), n - 2)
            exact.append(row[k] + (place - k) * (row[k + 1] - row[k]))
        assert contains(y, exact)


# --- polynomials and losses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degree", [1, 2, 5, 20, 61])
@pytest.mark.parametrize("name", ["chebyshev_polynomial_t", "legendre_polynomial_p", "hermite_polynomial_he",
                                  "laguerre_polynomial_l"])  # fmt: skip
def test_recurrences_are_rounded(name, degree):
    generator = torch.Generator().manual_seed(degree)
    x = torch.cat([2 * torch.rand(40, generator=generator, dtype=torch.float64) - 1,
                   30 * torch.rand(40, generator=generator, dtype=torch.float64)])  # fmt: skip
    with it.rounding("outward"):
        y = getattr(torch.special, name)(point(x), degree)
    assert contains(y, [polynomials._value(polynomials.KINDS[name], degree, Fraction(v)) for v in x.tolist()])


@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_whose_terms_cancel(dtype):
    """Terms of the size of 1 whose difference is some last bits, where the loss has its zero."""
    y = around_one(dtype, 60) + 1
    generator = torch.Generator().manual_seed(5)
    steps = torch.randint(-3, 4, (60,), generator=generator) * torch.finfo(dtype).eps
    x = torch.log(y) + steps
    with it.rounding("outward"):
        divergence = F.kl_div(thin(x), y, reduction="none")
        poisson = F.poisson_nll_loss(thin(x), y, reduction="none")
        smooth = F.smooth_l1_loss(thin(x), y, reduction="none", beta=0.3)
        huber = F.huber_loss(thin(x), y, reduction="none", delta=0.7)
        logits = F.binary_cross_entropy_with_logits(thin(x), y, reduction="none")
    with mpmath.workdps(60):
        for i, (a, b) in enumerate(zip(x.tolist(), y.tolist())):
            a, b = mpmath.mpf(a), mpmath.mpf(b)
            distance, beta, delta = abs(a - b), mpmath.mpf(0.3), mpmath.mpf(0.7)
            pairs = [
                (divergence, b * (mpmath.log(b) - a)),
                (poisson, mpmath.exp(a) - b * a),
                (smooth, distance**2 / (2 * beta) if distance < beta else distance - beta / 2),
                (huber, distance**2 / 2 if distance < delta else delta * (distance - delta / 2)),
                (logits, (1 - b) * a + mpmath.log1p(mpmath.exp(-a))),
            ]
            for box, value in pairs:
                assert box.lower[i].item() <= value <= box.upper[i].item()


# --- roots and norms --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("eps", [0.1, 1e-5, 1 / 3, 0.5 + 2.0**-24 * 5.49, 0.5 + 2.0**-24 * 9.51, 2.0 + 2.0**-22 * 3.49])
def test_roots_of_sums_with_a_number(eps, dtype):
    """The number is rounded, the sum, and its root: each bound is one of the root of the real sum."""
    x = around_one(dtype, 1500)
    x = torch.cat([torch.zeros(1, dtype=dtype), x[:300], x[:300] * eps, (x - 1) / 16])
    with it.rounding("outward"):
        lower, upper = standardising.root_below(x, eps), standardising.root_above(x, eps)
    for low, high, value in zip(lower.tolist(), upper.tolist(), x.tolist()):
        assert Fraction(low) ** 2 <= Fraction(value) + Fraction(eps) <= Fraction(high) ** 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 8, 1000, 2**16])
def test_norms_of_equal_numbers(n, dtype):
    """Sums of equal squares round one way."""
    c = around_one(dtype, 8)
    with it.rounding("outward"):
        y = torch.linalg.vector_norm(thin(c[:, None].expand(-1, n).contiguous()), dim=-1)
    for low, high, value in zip(y.lower.tolist(), y.upper.tolist(), c.tolist()):
        assert Fraction(low) ** 2 <= n * Fraction(value) ** 2 <= Fraction(high) ** 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [2, 3, 4, 9])
def test_norms_of_deviations(n, dtype):
    """Rows a few last bits apart, far from 0, and with an outlier; exact values of each."""
    generator = torch.Generator().manual_seed(n)
    eps = torch.finfo(dtype).eps
    steps = torch.randint(-4, 5, (60, n), generator=generator).double()
    noise = torch.randn(60, n, generator=generator, dtype=torch.float64)
    outlier = noise.clone()
    outlier[:, 0] += 1 / eps**0.5
    x = torch.cat([1 + steps * eps, 7 + noise * eps * 100, noise, outlier, steps * smallest(dtype)]).to(dtype)
    with it.rounding("outward"):
        found = moments.deviations(Box(x, x.clone()), -1)
        variances = thin(x).var(-1)
    rows = zip(x.tolist(), found.least.flatten().tolist(), found.most.flatten().tolist(), *(v.tolist() for v in (
        variances.lower, variances.upper)))  # fmt: skip
    for row, least, most, low, high in rows:
        mean = sum(map(Fraction, row)) / n
        square = sum((Fraction(v) - mean) ** 2 for v in row)
        assert Fraction(least) ** 2 <= square <= Fraction(most) ** 2
        assert Fraction(low) <= square / (n - 1) <= Fraction(high)


def assert_reached(direction, x) -> None:
    """What is taken off the product of a direction and a row makes it a bound of that with the row's deviations.

    Half an eps of it is left for a quotient.
    """
    n, z = x.shape[-1], Box(x, x.clone())
    with it.rounding("outward"):
        product = (direction.clamp(min=0) * x + direction.clamp(max=0) * x).sum(-1, keepdim=True)
        lower = Fraction(rounding.down(product, moments._reach_error(z, direction, -1, n)).item())
    row, along = list(map(Fraction, x.tolist())), list(map(Fraction, direction.tolist()))
    mean = sum(row) / n
    exact = sum(e * (v - mean) for e, v in zip(along, row))
    assert max(lower, 0) * (1 + Fraction(torch.finfo(x.dtype).eps) / 2) <= exact


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_with_a_direction(dtype):
    info = torch.finfo(dtype)
    u = info.eps / 2
    offset = torch.full((2,), 1000.0, dtype=dtype)  # the direction does not sum to 0
    assert_reached(torch.tensor([1.0, -0.9], dtype=dtype), offset)
    drifting = around_one(dtype, 300) - 1.5  # nor does this one, by an error that its computed sum hides
    assert_reached(drifting - drifting.mean(), 1e4 + around_one(dtype, 300, 1))
    n = 2048  # one large product, and many that are rounded up against it
    direction, row = torch.full((n,), -1 / (n - 1), dtype=dtype), torch.full((n,), -1.1 * u * (n - 1), dtype=dtype)
    direction[0], row[0] = 1, 1
    assert_reached(direction, row)
    tiny = torch.tensor([0.0, -smallest(dtype), 0.0], dtype=dtype)  # a product that underflows, upwards
    assert_reached(torch.tensor([1.0, -0.75, -0.25], dtype=dtype), tiny)
