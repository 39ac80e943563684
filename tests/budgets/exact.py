"""Real values of the functions that have an error budget, as balls of python-flint that certainly contain them."""

from __future__ import annotations

import math
from collections.abc import Callable

from flint import arb, ctx

ONE, HALF = arb(1), arb(1) / 2


def value(function: Callable[..., arb], *arguments: float, **kwargs: float) -> arb:
    """Enclose a real value to a relative error of 2^-80, or to far below the smallest float.

    Args:
        function: takes and returns balls.
        *arguments: floats, which are taken as the exact numbers they are.
        **kwargs: further arguments of the function.
    """
    for precision in (128, 256, 1024, 4096, 16384):
        ctx.prec = precision
        ball = function(*[arb(x) for x in arguments], **kwargs)
        error, size = ball.rad(), abs(ball)
        if ball.is_finite() and (error <= size * arb(2) ** -80 or error < arb(2) ** -1200):
            return ball
    return ball


def sigmoid(x: arb) -> arb:
    return 1 / (1 + (-x).exp())


def softplus(x: arb, beta: float = 1, threshold: float = 20) -> arb:
    """As torch defines it: x itself beyond the threshold."""
    return x if x * beta > threshold else (x * beta).exp().log1p() / beta


def log1p_exp(x: arb) -> arb:
    """log(1 + e^x), where e^x may be far below one ulp of 1 or overflow."""
    return x + (-x).exp().log1p() if x > 0 else x.exp().log1p()


def mish(x: arb) -> arb:
    """x tanh(log(1 + e^x)) = x e^x (e^x + 2) / (e^x (e^x + 2) + 2)."""
    if x > 0:
        e = (-x).exp()
        return x * (1 + 2 * e) / (1 + 2 * e + 2 * e * e)
    e = x.exp()
    return x * e * (e + 2) / (e * (e + 2) + 2)


def gelu(x: arb, approximate: str = "none") -> arb:
    if approximate == "tanh":
        inner = (2 / arb.pi()).sqrt() * (x + arb(0.044715).mid() * x**3)
        return x * sigmoid(2 * inner)
    return x * (-x / arb(2).sqrt()).erfc() / 2


def logit(x: arb) -> arb:
    return x.log() - (-x).log1p()


def hardswish(x: arb) -> arb:
    return x * clip(x + 3, 0, 6) / 6


def clip(x: arb, low: float, high: float) -> arb:
    return arb(low) if x <= low else arb(high) if x >= high else x


def elu(x: arb, alpha: float = 1.0, scale: float = 1.0, rate: float = 1.0) -> arb:
    return x * scale if x > 0 else ((x * rate).expm1()) * alpha * scale


def celu(x: arb, alpha: float = 1.0) -> arb:
    return x if x > 0 else (x / alpha).expm1() * alpha


def selu(x: arb) -> arb:
    """With the two constants of Klambauer et al. (2017) to the binary64 precision that torch writes them in."""
    return elu(x, alpha=1.6732632423543772848170429916717, scale=1.0507009873554804934193349852946)


def softshrink(x: arb, lambd: float = 0.5) -> arb:
    return x - lambd if x > lambd else x + lambd if x < -lambd else arb(0)


def sinc(x: arb) -> arb:
    return ONE if x == 0 else (x * arb.pi()).sin() / (x * arb.pi()) if not x.is_integer() else arb(0)


def erfcx(x: arb) -> arb:
    """e^(x²) erfc x, right of 1 as U(1/2, 1/2, x²)/√π (DLMF 7.11.5), because both factors are extreme."""
    return (x * x).hypgeom_u(HALF, HALF) / arb.pi().sqrt() if x > 1 else (x * x).exp() * x.erfc()


def log_ndtr(x: arb) -> arb:
    z = -x / arb(2).sqrt()
    return (erfcx(z) / 2).log() - z * z if x < 0 else (-(-z).erfc() / 2).log1p()


def entr(x: arb) -> arb:
    return arb(0) if x == 0 else -x * x.log()


def angle(x: arb) -> arb:
    return arb.pi() if x < 0 else arb(0)


UNARY: dict[str, Callable[..., arb]] = {
    "exp": arb.exp,
    "exp2": lambda x: (x * arb(2).log()).exp(),
    "expm1": arb.expm1,
    "log": arb.log,
    "log2": lambda x: x.log() / arb(2).log(),
    "log10": lambda x: x.log() / arb(10).log(),
    "log1p": arb.log1p,
    "sqrt": arb.sqrt,
    "rsqrt": arb.rsqrt,
    "square": lambda x: x * x,
    "reciprocal": lambda x: 1 / x,
    "sin": arb.sin,
    "cos": arb.cos,
    "tan": arb.tan,
    "asin": arb.asin,
    "acos": arb.acos,
    "atan": arb.atan,
    "deg2rad": lambda x: x * arb.pi() / 180,
    "rad2deg": lambda x: 180 * x / arb.pi(),
    "sinh": arb.sinh,
    "cosh": arb.cosh,
    "tanh": arb.tanh,
    "asinh": arb.asinh,
    "acosh": arb.acosh,
    "atanh": arb.atanh,
    "erf": arb.erf,
    "erfc": arb.erfc,
    "erfinv": arb.erfinv,
    "erfcx": erfcx,
    "ndtri": lambda p: -arb(2).sqrt() * (2 * p).erfcinv() if 0 < p < 1 else arb.nan(),
    "log_ndtr": log_ndtr,
    "i0": lambda x: x.bessel_i(0),
    "i1": lambda x: x.bessel_i(1),
    "i0e": lambda x: x.bessel_i(0) * (-abs(x)).exp(),
    "i1e": lambda x: x.bessel_i(1) * (-abs(x)).exp(),
    "modified_bessel_k0": lambda x: x.bessel_k(0),
    "modified_bessel_k1": lambda x: x.bessel_k(1),
    "scaled_modified_bessel_k0": lambda x: x.bessel_k(0) * x.exp(),
    "scaled_modified_bessel_k1": lambda x: x.bessel_k(1) * x.exp(),
    "bessel_j0": lambda x: x.bessel_j(0),
    "bessel_j1": lambda x: x.bessel_j(1),
    "bessel_y0": lambda x: x.bessel_y(0),
    "bessel_y1": lambda x: x.bessel_y(1),
    "spherical_bessel_j0": lambda x: ONE if x == 0 else x.sin() / x,
    "lgamma": arb.lgamma,
    "digamma": arb.digamma,
    "sigmoid": sigmoid,
    "logit": logit,
    "logsigmoid": lambda x: -log1p_exp(-x),
    "softplus": softplus,
    "softsign": lambda x: x / (1 + abs(x)),
    "tanhshrink": lambda x: x - x.tanh(),
    "softshrink": softshrink,
    "hardsigmoid": lambda x: clip(x + 3, 0, 6) / 6,
    "hardswish": hardswish,
    "gelu": gelu,
    "silu": lambda x: x * sigmoid(x),
    "mish": mish,
    "elu": elu,
    "celu": celu,
    "selu": selu,
    "entr": entr,
    "sinc": sinc,
    "angle": angle,
}
"""By the name of the op's record."""


# --- several arguments ------------------------------------------------------------------------------------------------


def power(x: arb, p: arb) -> arb:
    if x == 0 or p == 0:
        return arb(1) if p == 0 else arb(0)
    size = abs(x) ** p
    return -size if x < 0 and float(p) % 2 == 1 else size


def logaddexp(x: arb, y: arb) -> arb:
    high, low = (x, y) if x > y else (y, x)
    return high + (low - high).exp().log1p()


def logaddexp2(x: arb, y: arb) -> arb:
    high, low = (x, y) if x > y else (y, x)
    return high + ((low - high) * arb(2).log()).exp().log1p() / arb(2).log()


def times(x: arb, y: arb) -> arb:
    return arb(0) if x == 0 else x * y


def fmod(x: arb, y: arb) -> arb:
    return arb(math.fmod(float(x), float(y)))  # exact


def remainder(x: arb, y: arb) -> arb:
    r = fmod(x, y)
    return r + y if r != 0 and (r > 0) != (y > 0) else r


def atan2(y: arb, x: arb) -> arb:
    return arb.atan2(y, x)


SEVERAL: dict[str, tuple[int, Callable[..., arb]]] = {
    "add": (2, lambda x, y: x + y),
    "sub": (2, lambda x, y: x - y),
    "mul": (2, lambda x, y: x * y),
    "div": (2, lambda x, y: x / y),
    "pow": (2, power),
    "float_power": (2, power),
    "atan2": (2, atan2),
    "hypot": (2, lambda x, y: (x * x + y * y).sqrt()),
    "logaddexp": (2, logaddexp),
    "logaddexp2": (2, logaddexp2),
    "xlogy": (2, lambda x, y: times(x, y.log())),
    "xlog1py": (2, lambda x, y: times(x, y.log1p())),
    "fmod": (2, fmod),
    "remainder": (2, remainder),
    "floor_divide": (2, lambda x, y: (x / y).floor()),
    "lerp": (3, lambda x, y, w: x + w * (y - x)),
    "addcmul": (3, lambda x, y, z: x + y * z),
    "addcdiv": (3, lambda x, y, z: x + y / z),
}
"""Number of arguments and function, by the name of the op's record."""
