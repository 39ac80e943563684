"""What is measured: each op with an error budget, some with further arguments, and where it may err most."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from flint import arb
from torch import Tensor

import intervaltorch as it
from intervaltorch import EXACT, Op
from intervaltorch._records.registry import Box
from tests.budgets import exact

inf = math.inf


@dataclasses.dataclass(frozen=True)
class Case:
    """An op with further arguments.

    Attributes:
        op: its record.
        real: the function on balls.
        arity: how many boxes it takes.
        kwargs: further arguments of both.
        near: arguments near which its error may be large, besides those that every function is tried at.
        within: where it is measured, if that is less than the domain.
    """

    op: Op
    real: Callable[..., arb]
    arity: int = 1
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    near: tuple[float, ...] = ()
    within: tuple[float, float] = (-inf, inf)

    @property
    def name(self) -> str:
        """The op, and its further arguments."""
        further = ", ".join(f"{key}={value}" for key, value in self.kwargs.items())
        return f"{self.op.name}({further})" if further else self.op.name

    @property
    def by_bounds(self) -> bool:
        """Whether to measure by what outward mode adds, because the record's budget is not stated for this case."""
        return bool(self.kwargs) or self.op.budget in (None, EXACT)

    def enclose(self, *ends: tuple[Tensor, Tensor]) -> Box:
        """The rule on boxes given by their ends."""
        return self.op.enclose(*[Box(*pair) for pair in ends], **self.kwargs)

    def value(self, *arguments: float) -> arb:
        """The real value."""
        return exact.value(functools.partial(self.real, **self.kwargs), *arguments)


FURTHER: dict[str, list[dict[str, Any]]] = {
    "gelu": [{"approximate": "tanh"}],
    "softplus": [{"beta": 3.0}, {"beta": 0.125, "threshold": 1.0}],
    "elu": [{"alpha": 0.25}, {"alpha": 2.5}],
    "celu": [{"alpha": 0.25}, {"alpha": 4.0}],
    "softshrink": [{"lambd": 0.25}],
}
"""Further arguments: numbers that both dtypes hold, because the conversion of others is tested elsewhere."""

LOGARITHM = (1.0, 0.5, 0.75, 1.5, math.sqrt(0.5), math.sqrt(2), 2.0)
EXPONENTIAL = (*(k * math.log(2) / 2 for k in range(-8, 9)), -103.97, -87.34, 88.72, -745.13, -708.4, 709.78)
TAILS = (*EXPONENTIAL, -30.0, -20.0, -13.0, -5.0, 20.0)
CIRCLE = (*(k * math.pi / 4 for k in (*range(-8, 9), 41, 1000, 12345)), 1e4, 39000.0, 1e5, 1e7, 1e14, 1e22)

NEAR: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(("exp", "exp2", "expm1", "sigmoid", "tanh", "selu", "elu", "celu"), EXPONENTIAL),
    **dict.fromkeys(("log", "log2", "log10", "entr", "acosh"), LOGARITHM),
    **dict.fromkeys(("sin", "cos", "tan"), CIRCLE),
    **dict.fromkeys(("logsigmoid", "softplus", "silu", "mish", "gelu"), TAILS),
    "log1p": (-1.0, -0.5, -0.25, 0.25, 0.5, 1.0),
    "logit": (0.0, 0.25, 0.5, 0.75, 1.0),
    "erf": (-1.0, 0.84375, 1.0, 1.25, 2.857, 4.0, 6.0),
    "erfc": (-1.0, 0.84375, 1.0, 1.25, 2.857, 6.0, 9.19, 10.05, 26.5),
    "erfinv": (-1.0, -0.7, 0.7, 1.0),
    "lgamma": (1.0, 2.0, 1.4616321449683623, 3.0, 8.0, 2.5e305),
    "sinc": (*range(-5, 6), 0.5, 1.4303, 2.459, 100.0, 1000.5),
    "asin": (-1.0, -0.5, 0.5, 1.0),
    "acos": (-1.0, -0.5, 0.5, 1.0),
    **dict.fromkeys(("sinh", "cosh"), (*EXPONENTIAL, -30.0, 30.0, -1.0, 1.0, 89.4, 710.47)),
    **dict.fromkeys(("i0", "i1", "i0e", "i1e"), (*EXPONENTIAL, -8.0, 8.0, -60.0, 60.0, 91.9, 713.9)),
    **dict.fromkeys(("modified_bessel_k0", "scaled_modified_bessel_k0", "modified_bessel_k1"), (2.0, 88.0, 705.0)),
    "erfcx": (-26.6, -9.3, -5.0, 5.0, 10.0, 50.0),
    "log_ndtr": (-38.5, -14.0, -5.0, -1.0, 0.0, 5.0, 9.0, 38.0),
    "ndtri": (0.135335, 0.5, 0.864665, 1.0),
    "hardsigmoid": (-3.0, 3.0),
    "hardswish": (-3.0, -1.5, 3.0),
    "softshrink": (-0.5, 0.5, 0.25, -0.25),
    "tanhshrink": (-1.0, 1.0, 0.625),
}

WITHIN = {
    # Left of 0 the rule claims little.
    "lgamma": (5e-324, inf),
    "digamma": (5e-324, inf),
    # Farther out the real values take too long; the bounds are those of a power or of the envelope.
    **dict.fromkeys(("i0", "i1", "i0e", "i1e"), (-1e4, 1e4)),
    **dict.fromkeys((f"{scaled}modified_bessel_k{n}" for scaled in ("", "scaled_") for n in (0, 1)), (0.0, 1e4)),
    **dict.fromkeys(("bessel_j0", "bessel_j1"), (-1e6, 1e6)),
    **dict.fromkeys(("bessel_y0", "bessel_y1"), (0.0, 1e6)),
    "erfcx": (-30.0, 1e30),
    "log_ndtr": (-1e30, 60.0),
}
"""Where an op is measured, if that is less than its domain."""


def _cases() -> list[Case]:
    ops = {op.name: op for op in it.supported_ops()}
    cases = []
    for name, real in exact.UNARY.items():
        for kwargs in ({}, *FURTHER.get(name, ())):
            cases.append(Case(ops[name], real, 1, kwargs, NEAR.get(name, ()), WITHIN.get(name, (-inf, inf))))
    for name, (arity, real) in exact.SEVERAL.items():
        cases.append(Case(ops[name], real, arity))
    return cases


CASES = _cases()


# --- arguments --------------------------------------------------------------------------------------------------------


def _neighbours(x: Tensor, count: int) -> Tensor:
    """Each number with `count` floats on either side."""
    found = [x]
    for towards in (-inf, inf):
        beside = x
        for _ in range(count):
            beside = torch.nextafter(beside, torch.full_like(x, towards))
            found.append(beside)
    return torch.cat(found)


def floats(count: int, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """Floats with random bits: every magnitude, subnormal numbers included, is as likely as any other."""
    integer, bits = (torch.int32, 32) if dtype is torch.float32 else (torch.int64, 64)
    least = -(2 ** (bits - 1))
    return torch.randint(least, -least - 1, (count,), dtype=integer, generator=generator).view(dtype)


def pool(case: Case, count: int, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """Arguments for one function of one variable: binade borders, thresholds, zeros, tails, subnormals, all sizes."""
    info = torch.finfo(dtype)
    lowest = math.frexp(info.tiny * info.eps)[1] - 1
    borders = torch.tensor([math.ldexp(1.0, k) for k in range(lowest, math.frexp(info.max)[1])], dtype=dtype)
    domain = [end for end in (*case.op.domain, *case.within) if math.isfinite(end)]
    named = torch.tensor([0.0, *case.op.critical, *case.near, *domain, info.max], dtype=torch.float64)
    named = named[named.abs() <= info.max].to(dtype)
    normal = torch.randn(count, dtype=dtype, generator=generator)
    around = named.repeat(-(-count // len(named)))[:count]
    x = torch.cat(
        [
            _neighbours(torch.cat([borders, -borders]), 2),
            _neighbours(named, 24),
            _neighbours(torch.arange(-20, 21, dtype=dtype), 1),
            around * (1 + normal * 10 ** -torch.rand(count, generator=generator).mul(7).to(dtype)),
            floats(count, dtype, generator),
            normal * 10 ** torch.rand(count, generator=generator).mul(5).sub(2).to(dtype),
        ]
    )
    low, high = max(case.op.domain[0], case.within[0]), min(case.op.domain[1], case.within[1])
    return x[x.isfinite() & (x >= low) & (x <= high)].unique()


def arguments(case: Case, count: int, dtype: torch.dtype, seed: int = 0) -> list[Tensor]:
    """Arguments of the case, one tensor for each."""
    generator = torch.Generator().manual_seed(seed)
    x = pool(case, count, dtype, generator)
    if case.arity == 1:
        return [x]
    x = x[torch.randperm(len(x), generator=generator)][: 4 * count]
    others = [_partner(case, x, dtype, generator) for _ in range(case.arity - 1)]
    chosen = _defined(case, x, *others)
    return [tensor[chosen] for tensor in (x, *others)]


def _partner(case: Case, x: Tensor, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """A second argument: of any size, of the size of the first, nearly it, its opposite, small, special."""
    size = len(x)
    shuffled = x[torch.randperm(size, generator=generator)]
    normal = torch.randn(size, dtype=dtype, generator=generator)
    near = x * (1 + normal * torch.finfo(dtype).eps * 8)
    special = torch.tensor([0.0, 1.0, -1.0, 0.5, 2.0, 3.0, -2.0, 1 / 3, 1.5, -0.5, 10.0, 0.1, 7.0], dtype=dtype)
    special = special[torch.randint(len(special), (size,), generator=generator)]
    kinds = torch.stack([shuffled, x * normal, near, -near, normal, normal * 100, special])
    return kinds.gather(0, torch.randint(len(kinds), (1, size), generator=generator))[0]


def _defined(case: Case, *x: Tensor) -> Tensor:
    """Where the function is defined and the rule claims more than the whole line."""
    chosen = functools.reduce(torch.logical_and, [argument.isfinite() for argument in x])
    name = case.op.name
    if name in ("div", "fmod", "remainder", "floor_divide", "addcdiv"):
        chosen &= x[-1] != 0
    if name in ("pow", "float_power"):
        chosen &= (x[0] > 0) | (x[0] < 0) & (x[1] % 1 == 0)
    if name == "atan2":
        chosen &= (x[0] != 0) | (x[1] > 0)
    if name == "xlogy":
        chosen &= x[1] > 0
    if name == "xlog1py":
        chosen &= x[1] > -1
    return chosen
