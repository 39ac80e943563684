"""Subnormal, tiny and huge arguments: bounds of outward mode contain the real value, which ball arithmetic gives.

Every function with an exact counterpart in `tests.budgets.exact`, and the special functions of two arguments or with a
parameter, over a grid of both. What torch's kernels flush to zero, overflow or mistreat there must not reach a bound.
"""

import functools
import math

import pytest
import torch
from flint import arb, ctx

from intervaltorch import IntervalTensor, rounding, supported_ops
from tests.budgets import exact

pytestmark = pytest.mark.usefixtures("quiet")
inf = float("inf")
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
both_sizes = pytest.mark.parametrize("count", [24, pytest.param(160, marks=pytest.mark.slow)], ids=["few", "many"])
OPS = {op.name: op for op in supported_ops()}


def magnitudes(dtype, count):
    """Positive numbers: the least and the greatest, the borders of the subnormal ones, moderate ones, some between."""
    info = torch.finfo(dtype)
    least, normal, top = (math.frexp(x)[1] - 1 for x in (info.tiny * info.eps, info.tiny, info.max))
    notable = [least, least + 1, (least + normal) // 2, normal - 1, normal, -24, -8, -1, 0, 1, 3, 6, 10, top]
    spread = torch.linspace(least, top, count).long().tolist()
    ends = [math.ldexp(m, k) for k in (*notable, *spread) for m in (1.0, 1.37)]
    ends += [info.tiny * (1 - info.eps), 1 - info.eps, 1 + info.eps, 20.0, info.max]
    x = torch.tensor(ends, dtype=torch.float64).to(dtype)
    return x[x.isfinite() & (x > 0)].unique()


def on_the_line(dtype, count):
    """The magnitudes with both signs, and zero."""
    x = magnitudes(dtype, count)
    return torch.cat([-x, torch.zeros(1, dtype=dtype), x])


def real_value(function, *arguments):
    """A ball around the real value; None where it is not known well enough."""
    for precision in (128, 512, 2048):
        ctx.prec = precision
        try:
            ball = function(*map(arb, arguments))
        except (ValueError, ZeroDivisionError, OverflowError):
            return None
        if not ball.is_finite():
            continue
        if ball.rad() <= abs(ball) * arb(2) ** -70 or ball.rad() < arb(2) ** -1200:
            return ball
    return None


def check(function, real, *arguments, known=0.5):
    """Compare bounds at points with real values; at least this share of the values must be known."""
    with rounding("outward", strict=True):
        box = function(*map(IntervalTensor.point, arguments))
    nearest = function(*map(IntervalTensor.point, arguments))
    assert bool((nearest.lower <= nearest.upper).all() and (box.lower <= box.upper).all())
    values = [real_value(real, *x) for x in zip(*(t.tolist() for t in arguments))]
    for k, value in enumerate(values):
        low, high = box.lower[k].item(), box.upper[k].item()
        at = [x[k].item() for x in arguments]
        if value is not None:
            assert not (arb(low) > value or arb(high) < value), f"{at} has the value {value}, outside [{low}, {high}]"
    assert sum(value is not None for value in values) >= known * len(values)


# --- functions of one argument ----------------------------------------------------------------------------------------

WITHIN = {
    **dict.fromkeys(("exp", "exp2", "expm1", "sinh", "cosh", "selu", "elu", "celu", "mish", "gelu", "silu"), 1e9),
    **dict.fromkeys(("softplus", "sigmoid", "logsigmoid", "sin", "cos", "tan", "sinc", "spherical_bessel_j0"), 1e9),
    **dict.fromkeys(("i0", "i1", "i0e", "i1e", "erfcx", "log_ndtr", "tanh", "erf", "erfc", "tanhshrink"), 1e4),
    **dict.fromkeys(("bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1"), 1e6),
    **dict.fromkeys((f"{scaled}modified_bessel_k{n}" for scaled in ("", "scaled_") for n in (0, 1)), 1e4),
}
"""How far the real values are found quickly."""


@pytest.mark.parametrize("name", exact.UNARY)
@each_dtype
@both_sizes
def test_functions_of_one_argument(name, dtype, count):
    op, x = OPS[name], on_the_line(dtype, count)
    low, high = op.domain
    x = x[(x >= low) & (x <= high) & (x.abs() <= WITHIN.get(name, inf))]
    if name in ("lgamma", "digamma"):
        x = x[x > 0]
    check(op.function, exact.UNARY[name], x)


# --- functions with a parameter ---------------------------------------------------------------------------------------


def polygamma(n):
    return lambda x: (-1) ** (n + 1) * arb(math.factorial(n)) * arb(n + 1).zeta(x)


def mvlgamma(p):
    constant = arb(p * (p - 1)) / 4
    return lambda x: sum([(x - arb(i) / 2).lgamma() for i in range(p)], constant * arb.pi().log())


PARAMETERS = {
    **{f"pow({p})": (lambda x, p=p: x**p, lambda x, p=p: exact.power(x, arb(p)), 0, 1e300)
       for p in (2, 3, -1, -2, 0.5, -0.5, 0.25, -3.5, 2.0**-100)},
    **{f"polygamma({n})": (functools.partial(torch.polygamma, n), polygamma(n), 0, 1e5) for n in (1, 2, 7, 30)},
    **{f"mvlgamma({p})": (lambda x, p=p: torch.mvlgamma(x, p), mvlgamma(p), (p - 1) / 2 + 1e-3, 1e60)
       for p in (1, 2, 5)},
    **{f"softplus({b})": (functools.partial(torch.nn.functional.softplus, beta=b),
                          functools.partial(exact.softplus, beta=b), -1e4, 1e4) for b in (0.125, 3.0)},
    **{f"{f.__name__.removeprefix('special_')}({n})": (
           lambda x, f=f, n=n: f(x, n), lambda x, g=g, n=n: g(x, n), -1e30, 1e30)
       for f, g in ((torch.special.chebyshev_polynomial_t, arb.chebyshev_t),
                    (torch.special.hermite_polynomial_h, arb.hermite_h),
                    (torch.special.laguerre_polynomial_l, arb.laguerre_l),
                    (torch.special.legendre_polynomial_p, arb.legendre_p))
       for n in (0, 1, 5, 33)},
    "airy_ai": (torch.special.airy_ai, arb.airy_ai, -1e5, 1e5),
    "ndtr": (torch.special.ndtr, lambda x: (-x / arb(2).sqrt()).erfc() / 2, -1e4, 1e4),
}  # fmt: skip
"""Function, its exact counterpart, and where it is tried."""


@pytest.mark.parametrize("name", PARAMETERS)
@each_dtype
@both_sizes
def test_functions_with_a_parameter(name, dtype, count):
    function, real, low, high = PARAMETERS[name]
    x = on_the_line(dtype, count)
    check(function, real, x[(x > low) & (x <= high)])


# --- functions of two arguments ---------------------------------------------------------------------------------------


def lower_part(a, x):
    """The regularised incomplete gamma function P, by Chernoff's bound where it is extreme."""
    return arb(0) if x == 0 else arb(1) if a == 0 or _far(a, x) else arb(0) if _near(a, x) else _gamma("lower", a, x)


def upper_part(a, x):
    return arb(1) if x == 0 else arb(0) if a == 0 or _far(a, x) else arb(1) if _near(a, x) else _gamma("upper", a, x)


def _far(a, x):
    return x > 4 * a + 1000 or (a > 1e6 and x > 2 * a)


def _near(a, x):
    return a > 2000 and x < a / 8


def _gamma(part, a, x):
    if not (a < 500 and x < 1e4):
        return arb.nan()
    if part == "upper":
        return x.gamma_upper(a, regularized=1)
    # By the confluent hypergeometric function, which is faster where the result is small.
    return (
        1 - x.gamma_upper(a, regularized=1) if x > a else x**a * (-x).exp() / (a + 1).gamma() * x.hypgeom_1f1(1, a + 1)
    )


def zeta(s, q):
    """Hurwitz's zeta function, between two integrals where it is extreme."""
    if not (s > 1 and q > 0):
        return arb.nan()
    if s < 200 and q < 1e4:
        return s.zeta(q)
    first, integral = q ** (-s), q ** (1 - s) / (s - 1)
    return (first if first > integral else integral).union(first + integral)


MORE = {"igamma": lower_part, "igammac": upper_part, "zeta": zeta}
SEVERAL = {name: real for name, (count, real) in exact.SEVERAL.items() if count == 2}
SKIPPED = {"fmod", "remainder", "floor_divide", "add", "sub", "float_power"}
"""Exact, or sums of the same kind; another dtype."""


def pairs(name, dtype, count):
    """All pairs of extreme arguments in the domain of a function."""
    line, positive = on_the_line(dtype, count), magnitudes(dtype, count)
    grids = {
        **dict.fromkeys(MORE, (positive, positive)), "pow": (positive, line), "xlogy": (line, positive),
    }  # fmt: skip
    x, y = torch.cartesian_prod(*grids.get(name, (line, line))).T.contiguous()
    kept = torch.ones_like(x, dtype=torch.bool)
    if name == "xlog1py":
        kept = y > -1
    if name in ("div", "atan2"):
        kept = (y != 0) & (x != 0)
    if name == "pow":
        kept = (y.double() * x.double().log()).abs() < 2000
    if name.startswith("logaddexp"):
        kept = (x.double() - y.double()).abs() < 1e5
    if name == "zeta":
        kept = x > 1
    return x[kept], y[kept]


@pytest.mark.parametrize("name", [name for name in {**SEVERAL, **MORE} if name not in SKIPPED])
@each_dtype
@pytest.mark.parametrize("count", [1, pytest.param(30, marks=pytest.mark.slow)], ids=["few", "many"])
def test_functions_of_two_arguments(name, dtype, count):
    check(OPS[name].function, {**SEVERAL, **MORE}[name], *pairs(name, dtype, count), known=0.3)


# --- single cases -----------------------------------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("mode", ["nearest", "outward"])
def test_incomplete_gamma_functions_of_subnormal_shapes(mode, dtype):
    """torch's kernels take a subnormal shape for a large one."""
    least = torch.finfo(dtype).tiny * torch.finfo(dtype).eps
    shape = IntervalTensor(torch.tensor([least], dtype=dtype), torch.tensor([1e-3], dtype=dtype))
    x = torch.tensor([0.5], dtype=dtype)
    with rounding(mode):
        lower, upper = torch.special.gammainc(shape, x), torch.special.gammaincc(shape, x)
    assert 0.9994 < lower.lower.item() < 0.99945 and lower.upper.item() == 1
    assert upper.lower.item() <= least and 5.59e-4 < upper.upper.item() < 5.8e-4


@each_dtype
def test_large_arguments_of_zeta(dtype):
    """torch's kernel gives 0 for the first two pairs, and no number for the others."""
    x = torch.tensor([1.5, 2.0, 1e30, 5000.0, 1e30], dtype=dtype)
    y = torch.tensor([1e30, 1e36, 0.5, 1.0, 10.0], dtype=dtype)
    box = torch.special.zeta(IntervalTensor.point(x), y)
    expected = torch.tensor([2e-15, 1e-36, inf, 1.0, 0.0], dtype=dtype)
    torch.testing.assert_close(box.lower, expected, rtol=1e-5, atol=0.0)
    torch.testing.assert_close(box.upper, expected, rtol=1e-5, atol=0.0)
    with rounding("outward"):
        assert bool(torch.special.zeta(IntervalTensor.point(x), y).contains(expected).all())


@each_dtype
def test_digamma_is_narrow_far_from_its_root(dtype):
    x = torch.tensor([3.0, 1e3, 1e10, 1e30], dtype=dtype)
    with rounding("outward"):
        box = torch.digamma(IntervalTensor.point(x))
    assert bool((box.width <= 128 * torch.finfo(dtype).eps * (1 + box.magnitude)).all())
