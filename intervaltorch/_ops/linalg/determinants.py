r"""Determinants: by minors of small matrices, and by elimination of a matrix near the identity.

Let R be an approximate inverse of the midpoint. Then $\det A = \det(RA) / \det R$. Interval elimination of $RA$ needs
no exchange of rows. Its pivots are as wide as its diagonal up to second order (Alefeld & Herzberger 1983, *Introduction
to interval computations*, chapter 15). To first order their product is the hull.

R is a matrix without radius, $P^\top L U$. Let X and Y be approximate inverses of L and U, both triangular. Then
$\det R = \det P \det(X P R Y) / (\prod X_{ii} \prod Y_{ii})$ exactly, and elimination bounds $\det(X P R Y)$.

Hadamard's inequality holds for every box: the product of the lengths of the rows is at least $|\det A|$.
"""

from __future__ import annotations

import itertools
from math import inf
from typing import Any

import torch
from torch import Tensor

from ..._records.registry import Box
from ..._theorems.boxes import as_box, both, intersect
from ..._theorems.families import rule
from ..._theorems.sums import in_double
from ..._theorems.undecided import Undecided
from ...errors import DomainError
from ..elementwise.arithmetic import absolute, add, div, mul, sub
from ..elementwise.elementary import log
from ..linear.products import matmul
from ..reductions.moments import vector_norm
from ..reductions.reductions import prod, sum_
from .solving import narrowed

_RECORD: dict[str, Any] = {"family": "linear algebra", "proven": True, "sharp": False, "torch_checks": True}
_TYPES: Any = torch.return_types
_FEW = 4
"""Up to this size all minors are computed."""


@rule("det", torch.linalg.det, formula=r"\det A", **_RECORD)
def det(input: Box) -> Box:
    """The hull for 2 x 2 matrices. Larger ones get a finite bound, close to the hull if the box is narrow."""
    return narrowed(_determinant(in_double(as_box(input))), input.lower.dtype)


def _determinant(a: Box) -> Box:
    """The intersection of all bounds of the determinant, in float64."""
    n = a.lower.shape[-1]
    if n <= 1:
        return both(torch.linalg.det, a)
    lengths = prod(vector_norm(a, 2, -1), -1).upper
    box = Box(-lengths, lengths)
    if n <= _FEW:
        box = _meet(box, _by_minors(a))
    if n > 2:
        box = _meet(box, prod(_factors(a), -1))
    return box


def _meet(x: Box, y: Box) -> Box:
    """The intersection of two boxes of one value. In nearest mode rounding may part them; then the gap between them."""
    both_in = intersect(x, y)
    return Box(torch.minimum(*both_in), torch.maximum(*both_in))


def _by_minors(a: Box) -> Box:
    """Laplace's expansion along the rows, over all minors of the first rows."""
    n = a.lower.shape[-1]

    def entry(i: int, j: int) -> Box:
        return both(lambda t: t[..., i, j], a)

    minors: dict[tuple[int, ...], Box] = {(j,): entry(0, j) for j in range(n)}
    for i in range(1, n):
        larger: dict[tuple[int, ...], Box] = {}
        for columns in itertools.combinations(range(n), i + 1):
            terms = [mul(entry(i, j), minors[columns[:k] + columns[k + 1 :]]) for k, j in enumerate(columns)]
            total = terms[i]  # the last one is positive
            for k in range(i - 1, -1, -1):
                total = (add if (i + k) % 2 == 0 else sub)(total, terms[k])
            larger[columns] = total
        minors = larger
    return minors[tuple(range(n))]


def _factors(a: Box) -> Box:
    """Numbers whose product is the determinant, `(*batch, n)`; infinite if elimination meets a pivot around 0.

    Where autograd records, the identity replaces such matrices, so that infinite factors are constants.
    """
    if not (torch.is_grad_enabled() and (a.lower.requires_grad or a.upper.requires_grad)):
        return _eliminated(a)
    with torch.no_grad():
        lower, upper = _eliminated(a)
        known = (lower.isfinite() & upper.isfinite()).all(-1, keepdim=True)
    identity = torch.eye(a.lower.shape[-1], dtype=a.lower.dtype, device=a.lower.device)
    factors = _eliminated(both(lambda t: torch.where(known[..., None], t, identity), a))
    return Box(torch.where(known, factors.lower, lower), torch.where(known, factors.upper, upper))


def _eliminated(a: Box) -> Box:
    """As `_factors`, without regard to autograd."""
    inverse, _ = torch.linalg.inv_ex(torch.lerp(a.lower, a.upper, 0.5))
    if not bool(inverse.isfinite().all()):
        return _unknown(a)
    return div(_pivots(matmul(inverse, a)), _factors_of_point(inverse))


def _factors_of_point(matrix: Tensor) -> Box:
    """Numbers whose product is the determinant of a matrix without radius, `(*batch, n)`."""
    packed, pivots, _ = torch.linalg.lu_factor_ex(matrix)
    permutation, lower, upper = torch.lu_unpack(packed, pivots)
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device).expand_as(matrix)
    left = torch.linalg.solve_triangular(lower, identity, upper=False, unitriangular=True).tril()
    right = torch.linalg.solve_triangular(upper, identity, upper=True).triu()
    if not bool(left.isfinite().all() and right.isfinite().all()):
        return _unknown(as_box(matrix))
    # This exchanges rows. The product is exact, since each sum has one term that is not zero.
    rows = as_box(permutation.transpose(-2, -1) @ matrix)
    scales = mul(as_box(left.diagonal(dim1=-2, dim2=-1)), right.diagonal(dim1=-2, dim2=-1))
    factors = div(_pivots(matmul(matmul(left, rows), right)), scales)
    first = mul(both(lambda t: t[..., :1], factors), torch.linalg.det(permutation).round()[..., None])
    return both(lambda f, t: torch.cat([f, t[..., 1:]], -1), first, factors)


def _unknown(a: Box) -> Box:
    """Factors of which nothing is known."""
    line = torch.full_like(a.upper[..., 0], inf)
    return Box(-line, line)


def _pivots(c: Box) -> Box:
    """The pivots of interval Gaussian elimination without exchanges."""
    found = []
    while (n := c.lower.shape[-1]) > 0:
        pivot = both(lambda t: t[..., :1, :1], c)
        found.append(both(lambda t: t[..., 0], pivot))
        if n > 1:
            ratio = div(both(lambda t: t[..., 1:, :1], c), pivot)
            c = sub(both(lambda t: t[..., 1:, 1:], c), mul(ratio, both(lambda t: t[..., :1, 1:], c)))
        else:
            break
    return both(lambda *ts: torch.cat(ts, -1), *found)


# --- logarithms -------------------------------------------------------------------------------------------------------


@rule("slogdet", torch.linalg.slogdet, formula=r"(\operatorname{sgn} \det A, \log |\det A|)", **_RECORD)
def slogdet(A: Box) -> Any:
    """The sign is a point where the determinant does not contain 0. The logarithm is the sum over the factors."""
    return _TYPES.linalg_slogdet(_signed_log(A))


def _signed_log(a: Box) -> tuple[Box, Box]:
    """The sign of the determinant and the logarithm of its absolute value."""
    wide = in_double(as_box(a))
    value = _determinant(wide)
    size = _log_of_size(value)
    if a.lower.shape[-1] > 2:  # a product may overflow where the sum of logarithms does not
        size = _meet(_certain(size, value), sum_(_log_of_size(_factors(wide)), -1))
    sign = Box(torch.sign(value.lower), torch.sign(value.upper))
    return narrowed(sign, a.lower.dtype), narrowed(size, a.lower.dtype)


def _log_of_size(x: Box) -> Box:
    """The logarithm of |x|. Its value -inf at 0 is a constant for autograd."""
    size = absolute(x)
    zero = Box(size.lower == 0, size.upper == 0)
    logs = log(both(lambda t, at: torch.where(at, 1.0, t), size, zero))
    return both(lambda t, at: torch.where(at, -inf, t), logs, zero)


def _certain(size: Box, value: Box) -> Box:
    """Replace a logarithm whose argument underflowed to zero or overflowed by the whole line."""
    finite = value.lower.isfinite() & value.upper.isfinite() & ((value.lower != 0) | (value.upper != 0))
    return Box(torch.where(finite, size.lower, -inf), torch.where(finite, size.upper, inf))


@rule("logdet", formula=r"\log \det A", **_RECORD)
def logdet(input: Box) -> Box:
    """The logarithm from `slogdet`, for matrices whose determinant is not negative.

    Raises:
        DomainError: if a determinant may be negative, since its logarithm is NaN.
    """
    sign, size = _signed_log(input)
    if bool((sign.lower < 0).any()):
        raise DomainError(
            "logdet: the box contains a matrix with a negative determinant, or this cannot be excluded",
            f"called with matrices of shape {tuple(input.lower.shape)}",
            "call torch.linalg.slogdet, which gives the sign and the logarithm",
        )
    return size


def _factorisation(a: Tensor) -> tuple[Undecided, Undecided]:
    """The factorisation that the kernels return beside their result. It is undecided, and nobody reads it."""
    pivots = torch.zeros(a.shape[:-1], dtype=torch.int32, device=a.device)
    return Undecided(a, "a factorisation"), Undecided(pivots, "a factorisation")


@rule(torch.ops.aten._linalg_det, formula=r"\det A", **_RECORD)
def det_kernel(A: Box) -> Any:
    """As `det`; the factors are undecided."""
    return (det(A), *_factorisation(A.lower))


@rule(torch.ops.aten._linalg_slogdet, formula=r"(\operatorname{sgn} \det A, \log |\det A|)", **_RECORD)
def slogdet_kernel(A: Box) -> Any:
    """As `slogdet`; the factors are undecided."""
    return (*_signed_log(A), *_factorisation(A.lower))
