r"""Discrete Fourier transforms: linear maps, bounded as products with a table of cosines and sines.

The radius of a transform is $|W| r$. No fast algorithm computes it, so a transform of n entries costs $n^2$. Real and
imaginary parts stand side by side, as in $\mathrm{Re}\,X_k = \sum_m a_m \cos \theta_{km} - \sigma b_m \sin
\theta_{km}$, so the bound of each part of each entry is the hull. All of `torch.fft` calls three kernels of ATen.

*The table.* All angles are $2 \pi J / L$ with an integer $J$. They are reduced exactly to at most a quarter turn. There
the angle $\frac{\pi}{2} \cdot q$, with q in [0, 1] rounded once, errs by less than 4u in float64. Its sine and cosine
err by at most one ulp more, so by less than 8u = 4 eps. At multiples of a quarter turn the values are exact.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import _rounding as rounding
from ..._records.registry import Box
from ..._theorems.families import rule
from ..._theorems.rectangles import parts, unchanged
from ..elementwise.arithmetic import div
from .affine import affine

_LARGEST = 2**20
"""How many entries a table may have. Several dimensions are transformed together, which gives the hull, or one after
the other if their table would be larger. A long dimension is transformed in pieces."""


@rule(
    torch.ops.aten._fft_r2c, formula=r"\sum_m x_m e^{-2 \pi i k m / n}", family="fourier", proven=True,
    affine_in=({"input"},),
)  # fmt: skip
def real_to_complex(input: Box, dim: Sequence[int], normalization: int, onesided: bool) -> Box:
    """The hull of both parts. Several large dimensions are bounded one after the other, which is wider."""
    shape = [input.lower.shape[d] for d in dim]
    kept = [*shape[:-1], shape[-1] // 2 + 1 if onesided else shape[-1]]
    last, rest = [dim[-1]], list(dim[:-1])
    if rest and _is_large(shape, kept):
        half = _transform(input, None, last, shape[-1:], kept[-1:], -1, True)
        result = complex_to_complex(half, rest, 0, True)
    else:
        result = _transform(input, None, list(dim), shape, kept, -1, True)
    return _normalized(result, math.prod(shape), normalization)


@rule(
    torch.ops.aten._fft_c2c, formula=r"\sum_m x_m e^{\mp 2 \pi i k m / n}", family="fourier", proven=True,
    complex=unchanged,
    affine_in=({"input"},),
)  # fmt: skip
def complex_to_complex(input: Box, dim: Sequence[int], normalization: int, forward: bool) -> Box:
    """The hull of both parts. Several large dimensions are bounded one after the other, which is wider."""
    shape = [input.lower.shape[d] for d in dim]
    steps = [[d] for d in dim] if _is_large(shape, shape) else [list(dim)]
    for step in steps:
        sizes = [input.lower.shape[d] for d in step]
        input = _transform(*parts(input), step, sizes, sizes, -1 if forward else 1, True)
    return _normalized(input, math.prod(shape), normalization)


@rule(
    torch.ops.aten._fft_c2r, formula=r"\operatorname{Re} \sum_k w_k x_k e^{2 \pi i k m / n}", family="fourier",
    proven=True, complex=unchanged,
    affine_in=({"input"},),
)  # fmt: skip
def complex_to_real(input: Box, dim: Sequence[int], normalization: int, last_dim_size: int) -> Box:
    """The hull. An entry that stands for a conjugate pair counts twice; other entries count without imaginary part."""
    given = [input.lower.shape[d] for d in dim]
    shape = [*given[:-1], last_dim_size]
    if len(dim) > 1 and _is_large(given, shape):
        input, steps = complex_to_complex(input, dim[:-1], 0, False), [dim[-1]]
    else:
        steps = list(dim)
    k = torch.arange(given[-1], device=input.lower.device)
    twice = 1.0 + ((k > 0) & (2 * k != last_dim_size))
    real, imaginary = (_scaled(x, twice, dim[-1]) for x in parts(input))
    count = len(steps)
    result = _transform(real, imaginary, steps, given[-count:], shape[-count:], 1, False)
    return _normalized(result, math.prod(shape), normalization)


def _is_large(before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether several dimensions would need a table that is too large."""
    return len(before) > 1 and math.prod(before) * math.prod(after) > _LARGEST


def _scaled(x: Box, factor: Tensor, dim: int) -> Box:
    """Multiply by 1 or 2 along a dimension, which is exact."""
    factor = factor.to(x.lower.dtype).reshape([-1 if d == dim % x.lower.ndim else 1 for d in range(x.lower.ndim)])
    return Box(x.lower * factor, x.upper * factor)


def _normalized(x: Box, n: int, normalization: int) -> Box:
    """Divide by sqrt(n) (mode 1), by n (mode 2) or by nothing."""
    if normalization == 0 or n == 1:
        return x
    divisor: Any = n
    if normalization == 1:
        root, dtype = math.sqrt(n), x.lower.real.dtype
        ends = (root, root) if root * root == n and root.is_integer() else (
            math.nextafter(root, 0.0), math.nextafter(root, math.inf))  # fmt: skip
        if rounding.outward():
            low, high = (rounding.neighbour(end, dtype, side) for end, side in zip(ends, (-math.inf, math.inf)))
            divisor = Box(x.lower.real.new_full((), low), x.lower.real.new_full((), high))
        else:
            divisor = root
    if not x.lower.is_complex():
        return div(x, divisor)
    return Box(*map(torch.view_as_complex, div(Box(*map(torch.view_as_real, x)), divisor)))


# --- the product ------------------------------------------------------------------------------------------------------


def _transform(
    real: Box, imaginary: Box | None, dim: list[int], before: list[int], after: list[int], sign: int, to_complex: bool,
) -> Box:  # fmt: skip
    """Sum over all indices m of `x[m] exp(sign 2πi Σ k m / n)` for all k, with n the larger of both sizes.

    Args:
        real: real part.
        imaginary: imaginary part, or None.
        dim: which dimensions are transformed.
        before: their sizes.
        after: their sizes in the result.
        sign: of the exponent.
        to_complex: whether the imaginary part of the result is wanted.
    """
    x = _flat(real, dim)
    if imaginary is not None:
        y = _flat(imaginary, dim)
        x = Box(torch.cat([x.lower, y.lower], -1), torch.cat([x.upper, y.upper], -1))
    rows = max(1, _LARGEST // max(1, math.prod(before)))
    total = math.prod(after)
    pieces = []
    for start in range(0, total, rows):
        span = (start, min(total, start + rows))
        build = _kept_table if total * math.prod(before) <= 2**16 else _table
        cosines, sines = (_in_dtype(t, real.lower) for t in build(tuple(before), tuple(after), span))
        weights = [_beside(cosines, _signed(sines, -sign))] if imaginary is not None else [cosines]
        if to_complex:
            turned = _signed(sines, sign)
            weights.append(turned if imaginary is None else _beside(turned, cosines))
        pieces.append([affine(F.linear, x, w, None, x.lower.shape[-1]) for w in weights])
    sides = [
        Box(torch.cat([p.lower for p in side], -1), torch.cat([p.upper for p in side], -1)) for side in zip(*pieces)
    ]
    if to_complex:
        result = Box(*(torch.complex(a, b) for a, b in zip(*sides, strict=True)))
    else:
        result = sides[0]
    return Box(*(torch.movedim(t.unflatten(-1, after), list(range(-len(dim), 0)), dim) for t in result))


def _flat(x: Box, dim: list[int]) -> Box:
    """The transformed dimensions as one, at the end."""
    return Box(*(torch.movedim(t, dim, list(range(-len(dim), 0))).flatten(-len(dim)) for t in x))


def _beside(x: Any, y: Any) -> Any:
    """Tables side by side."""
    if isinstance(x, Box):
        return Box(torch.cat([x.lower, y.lower], -1), torch.cat([x.upper, y.upper], -1))
    return torch.cat([x, y], -1)


def _signed(x: Any, sign: int) -> Any:
    """A table, or its negative if the sign is negative."""
    if sign > 0:
        return x
    return Box(-x.upper, -x.lower) if isinstance(x, Box) else -x


# --- the table --------------------------------------------------------------------------------------------------------


@torch.no_grad()
def _table(before: tuple[int, ...], after: tuple[int, ...], span: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Cosines and sines in float64 of 2π Σ k m / n, for the outputs k in a span (rows) and all inputs m (columns)."""
    lengths = [max(sizes) for sizes in zip(before, after, strict=True)]  # half of a spectrum has n // 2 + 1 entries
    period = math.lcm(*lengths)
    turns = torch.zeros(span[1] - span[0], math.prod(before), dtype=torch.int64)
    outputs = torch.unravel_index(torch.arange(*span), after)
    inputs = torch.unravel_index(torch.arange(math.prod(before)), before)
    for k, m, n in zip(outputs, inputs, lengths, strict=True):
        turns += (k[:, None] * m % n) * (period // n)
    quarter, rest = (4 * turns).div(period, rounding_mode="floor") % 4, 4 * turns % period
    angle = (math.pi / 2) * (rest.double() / period)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    cosines = torch.stack([cosine, -sine, -cosine, sine]).gather(0, quarter[None])[0]
    sines = torch.stack([sine, cosine, -sine, -cosine]).gather(0, quarter[None])[0]
    return cosines, sines


@torch.no_grad()
def _in_dtype(table: Tensor, like: Tensor) -> Any:
    """A table in the dtype of the data; in outward mode the box around it that covers its error."""
    near = table.to(like)
    if not rounding.outward():
        return near
    exact = (table == 0) | (table.abs() == 1)
    error = 5 * torch.finfo(torch.float64).eps  # 4 eps and the rounding of this sum
    ends = rounding.cast(table - error, table + error, like.dtype)
    return Box(*(torch.where(exact, near, end.to(like.device)) for end in ends))


_kept_table = functools.lru_cache(maxsize=16)(_table)
