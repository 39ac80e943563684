r"""Covariances and correlations of the rows of a matrix.

The deviations $c_i = x_i - \bar x$ of a row sum to 0. So $\sum_i c_i (y_i - \bar y) = \sum_i c_i (y_i - m)$ for every
number m, and only one of the two factors needs a mean. In this factor each entry occurs once, as
$c_i = \frac{n-1}{n} x_i - \frac1n \sum_{j \ne i} x_j$.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import Any

import torch
from torch import Tensor

from ..._records.registry import Box
from ..._rounding import CORRECTLY_ROUNDED
from ..._theorems.boxes import as_box, both, intersect
from ..._theorems.families import rule
from ..._theorems.rectangles import join, parts
from ..._theorems.sums import above, below
from ...errors import DomainError
from ..elementwise.arithmetic import add, div, mul, sub
from ..layers.standardising import own_share, standardise
from ..linear.products import matmul
from ..reductions.moments import std, var
from ..reductions.reductions import floating, mean, sum_

_RECORD: dict[str, Any] = {"family": "reduction", "proven": True, "sharp": False, "torch_checks": True}


def _of_complex_rows(rule: Any) -> Any:
    """Make the rule for complex rows a + ib: cov(a, a') + cov(b, b') + i (cov(b, a') - cov(a, b'))."""

    def enclose(input: Box, **options: Any) -> Box:
        rows = [both(lambda t: t.reshape(1, -1) if t.ndim < 2 else t, part) for part in parts(input)]
        n = len(rows[0].lower)
        stacked = rule(Box(*(torch.cat(sides) for sides in zip(*rows, strict=True))), **options)
        aa, ab, ba, bb = (both(lambda t, i=i, j=j: t[i, j], stacked) for i, j in _quarters(n))
        return both(torch.squeeze, join(add(aa, bb), sub(ba, ab)))

    return enclose


def _quarters(n: int) -> list[tuple[slice, slice]]:
    """The indices of the four n x n blocks of a matrix of size 2 n."""
    halves = slice(None, n), slice(n, None)
    return [(i, j) for i in halves for j in halves]


@rule("cov", formula=r"\sum_i (x_i - \bar x)(y_i - \bar y) / (n - c)", complex=_of_complex_rows, **_RECORD)
def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Box:
    """Not the hull: rows occur in both factors, and weights that vary also in means. Variances are as in `var`."""
    x = floating(as_box(input), None, "cov")
    rows = both(lambda t: t.reshape(1, -1) if t.ndim < 2 else t, x)
    n = rows.lower.shape[-1]
    if fweights is None and aweights is None:
        if n - correction <= 0:
            raise DomainError(
                f"cov of {n} observations with correction {correction} divides by {n - correction}",
                "pass more observations, or correction=0",
            )
        result = _covariances(rows, n, correction)
    else:
        result = _weighted(rows, correction, fweights, aweights)
    return both(torch.squeeze, result)


def _covariances(x: Box, n: int, correction: int) -> Box:
    """Covariances without weights of rows with n entries."""
    z = sub(x, _middle(x))
    product = matmul(_once(z, mean(z, -1, keepdim=True), 1 / n), both(torch.t, z))
    result = div(intersect(product, both(torch.t, product)), n - correction)
    spread = std(x, -1, correction=correction).upper
    result = intersect(result, _cauchy_schwarz(spread))
    return _with_diagonal(result, var(x, -1, correction=correction))


def _cauchy_schwarz(spread: Tensor) -> Box:
    """Bounds from Cauchy-Schwarz: at most the product of both standard deviations; infinite where one is unbounded."""
    known = spread.isfinite()
    finite = torch.where(known, spread, 0.0)
    most = torch.where(known[:, None] & known, above(finite[:, None] * finite, CORRECTLY_ROUNDED), inf)
    return Box(-most, most)


def _middle(x: Box) -> Tensor:
    """The mean of the midpoints of each row; 0 where the mean is not finite. Any number would be sound."""
    return (x.lower.mean(-1, keepdim=True) / 2 + x.upper.mean(-1, keepdim=True) / 2).nan_to_num(0.0, 0.0, 0.0)


def _once(z: Box, average: Box, share: Any) -> Box:
    """Deviations from a mean in which each entry has at least this share. The entry is counted once, not twice."""
    own = own_share(z, share)
    return Box(
        below(below(z.lower - average.upper, CORRECTLY_ROUNDED) + own, CORRECTLY_ROUNDED),
        above(above(z.upper - average.lower, CORRECTLY_ROUNDED) - own, CORRECTLY_ROUNDED),
    )


def _with_diagonal(x: Box, diagonal: Box) -> Box:
    """Matrices with another diagonal."""
    own = torch.eye(len(x.lower), dtype=torch.bool, device=x.lower.device)
    return Box(*(torch.where(own, torch.diag(d), end) for d, end in zip(diagonal, x)))


def _weighted(x: Box, correction: int, fweights: Any, aweights: Any) -> Box:
    """Weighted products of deviations from weighted means. If the weights are fixed, one factor needs a mean."""
    weights = [w for w in (fweights, aweights) if w is not None]
    weight = as_box(weights[0] if len(weights) == 1 else mul(*weights))
    weight = both(lambda w: w.to(x.lower.dtype), weight)
    total = sum_(weight)
    fixed = not any(isinstance(w, Box) for w in weights)
    z = sub(x, _middle(x)) if fixed else x
    average = div(sum_(mul(z, weight), -1, keepdim=True), total)
    centred = _once(z, average, div(weight, total).lower) if fixed else sub(x, average)
    if correction == 0:
        degrees = total
    elif aweights is None:
        degrees = sub(total, correction)
    else:
        degrees = sub(total, mul(div(sum_(mul(weight, aweights)), total), correction))
    degrees = both(lambda t: t.clamp(min=0), degrees)
    product = div(matmul(mul(centred, weight), both(torch.t, z if fixed else centred)), degrees)
    return intersect(product, both(torch.t, product))


def _by_deviations(_: Any) -> Any:
    """Make the rule for complex rows: covariances divided by the standard deviations, bounded independently."""

    def enclose(input: Box) -> Box:
        covariances = both(torch.atleast_2d, _of_complex_rows(cov)(input, correction=0))
        real, imaginary = parts(covariances)
        deviation = both(torch.sqrt, both(lambda t: t.diagonal().clamp(min=0), real))
        deviation = Box(below(deviation.lower, CORRECTLY_ROUNDED), above(deviation.upper, CORRECTLY_ROUNDED))
        scales = mul(both(lambda s: s[:, None], deviation), deviation)
        known = (deviation.lower > 0) & deviation.upper.isfinite()
        known = known[:, None] & known
        real, imaginary = (both(lambda t: t.clamp(-1, 1), div(part, scales)) for part in (real, imaginary))
        one = torch.ones_like(deviation.lower)
        sides = [
            Box(torch.where(known, part.lower, -inf), torch.where(known, part.upper, inf))
            for part in (_with_diagonal(real, Box(one, one)), imaginary)
        ]
        return both(torch.squeeze, join(*sides))

    return enclose


@rule("corrcoef", formula=r"\mathrm{cov}(x, y) / (\sigma_x \sigma_y)", complex=_by_deviations, **_RECORD)
def corrcoef(input: Any) -> Box:
    """Within [-1, 1], or the whole line if a row may be constant.

    Two bounds are intersected: products of standardised rows, and covariances divided by the standard deviations.
    """
    x = floating(as_box(input), None, "corrcoef")
    rows = both(lambda t: t.reshape(1, -1) if t.ndim < 2 else t, x)
    n = rows.lower.shape[-1]
    unit = div(standardise(rows, -1, 0.0), Box(*_root_of(n, rows.lower)))
    products = matmul(unit, both(torch.t, unit))
    spread = std(rows, -1, correction=0)
    scales = mul(both(lambda s: s[:, None], spread), spread)
    quotients = div(_covariances(rows, n, 0), scales)
    lower, upper = intersect(products, Box(quotients.lower.nan_to_num(-inf), quotients.upper.nan_to_num(inf)))
    one = torch.ones_like(spread.lower)
    result = _with_diagonal(Box(lower.clamp(-1, 1), upper.clamp(-1, 1)), Box(one, one))
    # A row that may be constant or infinite may have no correlation, even with itself.
    known = (spread.lower > 0) & spread.upper.isfinite()
    known = known[:, None] & known
    result = Box(torch.where(known, result.lower, -inf), torch.where(known, result.upper, inf))
    return both(torch.squeeze, result)


def _root_of(n: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds of the square root of n in the dtype of a tensor."""
    root = like.new_tensor(sqrt(n))
    return below(root, CORRECTLY_ROUNDED), above(root, CORRECTLY_ROUNDED)
