"""Powers, quadrature and grids of numbers. Composed rules would read some entries twice."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..._records.registry import Box
from ..._theorems.boxes import as_box, both, intersect
from ..._theorems.families import rule
from ..elementwise.arithmetic import add, div, mul, sub
from ..elementwise.conversions import convert
from ..elementwise.powers import power
from ..reductions.reductions import sum_

_RECORD: dict[str, Any] = {"family": "linear algebra", "proven": True, "torch_checks": True}


def _powers(x: Box, exponents: range) -> Box:
    """Powers of each entry, along a new last dimension."""
    columns = [power(x, k) if k else as_box(torch.ones_like(x.lower)) for k in exponents]
    return Box(torch.stack([c.lower for c in columns], -1), torch.stack([c.upper for c in columns], -1))


@rule(torch.vander, formula=r"x_i^{n - 1 - j}", **_RECORD)
def vander(x: Box, N: int | None = None, increasing: bool = False) -> Box:
    """The hull of each power."""
    exponents = range(len(x.lower) if N is None else N)
    return _powers(x, exponents if increasing else exponents[::-1])


@rule(torch.linalg.vander, formula=r"x_i^j", **_RECORD)
def linalg_vander(x: Box, *, N: int | None = None) -> Box:
    """The hull of each power."""
    x = both(torch.atleast_1d, x)
    return _powers(x, range(x.lower.shape[-1] if N is None else N))


# --- quadrature -------------------------------------------------------------------------------------------------------


@rule(
    "trapezoid", "trapz", formula=r"\sum_i (x_{i+1} - x_i) (y_i + y_{i+1}) / 2", **{**_RECORD, "sharp": False},
    affine_in=({"y"}, {"x"}),
)  # fmt: skip
def trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Box:
    r"""The hull if the places x or the values y are fixed; otherwise their entries occur twice.

    The sum is $\sum_i w_i y_i$, where $w_i$ is half the sum of the two neighbouring steps. If the places vary, it is
    also bounded as $\sum_i x_i (y_{i-1} - y_{i+1}) / 2$, where $y_{-1} = -y_0$ and $y_n = -y_{n-1}$.
    """
    if isinstance(x, Box):
        steps = mul(_steps(x, dim if x.lower.ndim > 1 else -1), 0.5)
        by_steps = sum_(mul(_spread(steps, y, dim), add(_part(y, dim, 0, -1), _part(y, dim, 1, None))), dim)
        return by_steps if not as_box(y).lower.shape[dim] else intersect(by_steps, _by_places(as_box(y), x, dim))
    values = as_box(y)
    n = values.lower.shape[dim]
    if n == 0:
        return as_box(values.lower.sum(dim))
    if x is None:
        steps = as_box(values.lower.new_ones(n - 1))
    else:
        steps = _steps(as_box(x), dim if x.ndim > 1 else -1)
    steps = _spread(steps, y, dim)
    ends = (_padded(steps, dim, 1, 0), _padded(steps, dim, 0, 1))
    total = sum_(mul(values, mul(add(*ends), 0.5)), dim)
    return total if x is not None or dx is None or dx == 1 else mul(total, dx)


def _by_places(y: Box, x: Box, dim: int) -> Box:
    """The sum in which every place occurs once."""
    n = y.lower.shape[dim]
    first, last = (both(torch.narrow, y, dim, start, 1) for start in (0, n - 1))
    around = [Box(-first.upper, -first.lower), y, Box(-last.upper, -last.lower)]
    lower, upper = (torch.cat([getattr(part, end) for part in around], dim) for end in ("lower", "upper"))
    before, after = (Box(lower.narrow(dim, start, n), upper.narrow(dim, start, n)) for start in (0, 2))
    return sum_(mul(_spread(x, y, dim), mul(sub(before, after), 0.5)), dim)


def _steps(x: Box, dim: int) -> Box:
    """Differences of neighbouring places."""
    return sub(_part(x, dim, 1, None), _part(x, dim, 0, -1))


def _part(x: Any, dim: int, start: int, stop: int | None) -> Box:
    """All entries along a dimension but the first (start 1) or the last (start 0)."""

    def cut(t: Tensor) -> Tensor:
        return t.narrow(dim, start, t.shape[dim] - 1)

    return both(cut, as_box(x))


def _spread(steps: Box, y: Any, dim: int) -> Box:
    """Shape steps for broadcasting along a dimension of `y`."""
    count = as_box(y).lower.ndim
    if steps.lower.ndim > 1:
        return steps
    return both(lambda t: t.reshape([-1 if d == dim % count else 1 for d in range(count)]), steps)


def _padded(x: Box, dim: int, before: int, after: int) -> Box:
    """Zeros before and after the entries along a dimension."""

    def pad(t: Tensor) -> Tensor:
        zero = torch.zeros_like(t.narrow(dim, 0, 1) if t.shape[dim] else t.sum(dim, keepdim=True))
        return torch.cat([zero] * before + [t] + [zero] * after, dim)

    return both(pad, x)


# --- grids ------------------------------------------------------------------------------------------------------------


@rule(
    torch.linspace, torch.ops.aten.linspace, formula=r"a + (b - a) i / (n - 1)", affine_in=({"start", "end"},),
    **_RECORD,
)  # fmt: skip
def linspace(start: Any, end: Any, steps: int, *, dtype: torch.dtype | None = None, **options: Any) -> Box:
    """The hull: a mean of both ends, whose weights are integers."""
    a, b = (as_box(x) for x in (start, end))
    like = a.lower if isinstance(a.lower, Tensor) else b.lower
    # Float64 holds the weights and the numbers of every dtype exactly.
    weights = torch.arange(steps, dtype=torch.float64, device=like.device)
    a, b = (Box(*(torch.as_tensor(x, device=like.device).double() for x in end)) for end in (a, b))
    if steps == 1:
        result = both(lambda t: t.reshape(1), a)
    else:
        result = div(add(mul(a, weights.flip(0)), mul(b, weights)), steps - 1)
        # The first and the last entry are the ends themselves.
        result = Box(*(_with_ends(t, x, y, steps) for t, x, y in zip(result, a, b, strict=True)))
    kind = torch.get_default_dtype() if dtype is None else dtype
    return convert(torch.Tensor.to, result, kind)


def _with_ends(t: Tensor, first: Tensor, last: Tensor, steps: int) -> Tensor:
    """Exchange the first and the last entry."""
    return torch.cat([first.reshape(1), t[1:-1], last.reshape(1)]) if steps > 1 else t


@rule(torch.logspace, torch.ops.aten.logspace, formula=r"c^{a + (b - a) i / (n - 1)}", **_RECORD)
def logspace(
    start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: torch.dtype | None = None, **options: Any
) -> Box:
    """The hull: powers of a mean of both ends."""
    exponents = linspace(start, end, steps, dtype=torch.float64)
    kind = torch.get_default_dtype() if dtype is None else dtype
    return convert(torch.Tensor.to, power(base, exponents), kind)
