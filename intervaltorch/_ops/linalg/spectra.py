r"""Eigenvalues of symmetric matrices, singular values, and the exponential of a matrix.

*Eigenvalues.* By Weyl, $|\lambda_i(A) - \lambda_i(A_c)| \le \|A - A_c\|_2$ for symmetric matrices. The solver computes
V and D for $A_c$, and its error is bounded afterwards. Let $\|V^\top V - I\| \le \gamma < 1$. Then the polar factor
$U = V H^{-1}$ of V is orthogonal and $\|H - I\| \le \gamma$. So $U D U^\top$ has exactly the eigenvalues D, and it
differs from $A_c$ by at most

$$\|A_c U - U D\| \le (\|A_c V - V D\| + 2 \gamma \|D\|) / (1 - \gamma) .$$

The radius matrix is symmetric and non-negative, so its norm is its largest eigenvalue (Perron).

*Singular values* are eigenvalues of $\begin{pmatrix} 0 & A \\ A^\top & 0 \end{pmatrix}$.

*The exponential.* Every term of the series obeys $|A^k - A_c^k| \le (|A_c| + R)^k - |A_c|^k$. So the sums obey the same
inequality.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ... import _rounding as rounding
from ..._records.registry import Box
from ..._rounding import untracked
from ..._theorems.boxes import as_box, both
from ..._theorems.families import rule
from ..._theorems.sums import in_double
from ..._theorems.undecided import Undecided
from ..elementwise.arithmetic import add, div, mul, sub
from ..elementwise.elementary import exp
from ..linear.products import matmul
from ..reductions.moments import vector_norm
from .solving import narrowed, transposed

_RECORD: dict[str, Any] = {"family": "linear algebra", "proven": True, "sharp": False, "torch_checks": True}

# --- eigenvalues ------------------------------------------------------------------------------------------------------


def _symmetric(a: Box, upper: bool) -> Box:
    """The symmetric matrix whose triangle torch reads."""
    if upper:
        return both(lambda t: t.triu() + t.triu(1).transpose(-2, -1), a)
    return both(lambda t: t.tril() + t.tril(-1).transpose(-2, -1), a)


def _eigenvalues(a: Box) -> Box:
    """Enclose the eigenvalues of symmetric matrices in increasing order, in float64."""
    if a.lower.numel() == 0:
        return both(torch.linalg.eigvalsh, a)
    middle = torch.lerp(a.lower, a.upper, 0.5).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    radius = torch.maximum(sub(a, middle).upper, sub(middle, a).upper)
    values = _computed(middle)
    reach = _computed(radius)
    reach = Box(-reach.upper[..., -1:], reach.upper[..., -1:])
    return add(values, reach)


def _computed(matrix: Tensor) -> Box:
    """Enclose the eigenvalues of symmetric matrices without radius: torch's values, outward with their error bound."""
    known = matrix.isfinite().all(-1, keepdim=True).all(-2)
    values = torch.linalg.eigvalsh(torch.where(known.unsqueeze(-1), matrix, 0.0))
    lower, upper = (torch.where(known, values, end) for end in (-math.inf, math.inf))
    if rounding.outward():
        error = _error(matrix.detach().nan_to_num(posinf=0.0, neginf=0.0), values.detach())
        lower, upper = sub(as_box(lower), error).lower, add(as_box(upper), error).upper
    return Box(lower, upper)


@torch.no_grad()
def _error(matrix: Tensor, values: Tensor) -> Tensor:
    """An upper bound of the error of sorted computed eigenvalues, `(*batch, 1)`; see the top of this file."""
    computed, vectors = torch.linalg.eigh(matrix)
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    gamma = _frobenius(sub(matmul(transposed(as_box(vectors)), vectors), identity))
    residual = _frobenius(sub(matmul(as_box(matrix), vectors), mul(as_box(vectors), computed.unsqueeze(-2))))
    largest = computed.abs().amax(-1, keepdim=True)
    error = div(add(residual, mul(mul(gamma, 2.0), largest)), sub(1.0, gamma)).upper
    # `values`, which autograd differentiates, come from another algorithm than the values with vectors.
    apart = torch.maximum(sub(as_box(values), computed).upper, sub(as_box(computed), values).upper)
    error = add(as_box(error), apart.amax(-1, keepdim=True)).upper
    return torch.where(gamma.upper < 1, error, math.inf)


def _frobenius(x: Box) -> Box:
    """The Frobenius norm, which is at least the spectral norm, `(*batch, 1)`."""
    return both(lambda t: t.unsqueeze(-1), vector_norm(x, 2, (-2, -1)))


@rule(torch.linalg.eigvalsh, formula=r"\lambda_i(A)", **_RECORD)
def eigvalsh(A: Box, UPLO: str = "L") -> Box:
    """Weyl's bound, whose width is twice the norm of the radius. The hull if the radius is a multiple of I."""
    return narrowed(_eigenvalues(_symmetric(in_double(as_box(A)), UPLO.upper() == "U")), A.lower.dtype)


@rule(torch.ops.aten._linalg_eigh, formula=r"\lambda_i(A)", **_RECORD)
def eigh_kernel(A: Box, UPLO: str = "L", compute_v: bool = True) -> Any:
    """As `eigvalsh`. The vectors are undecided, because they are not unique."""
    return eigvalsh(A, UPLO), Undecided(A.lower if compute_v else A.lower.new_empty(0), "a basis of eigenvectors")


# --- singular values --------------------------------------------------------------------------------------------------


@rule(torch.linalg.svdvals, formula=r"\sigma_i(A)", **_RECORD)
def svdvals(A: Box, *, driver: str | None = None) -> Box:
    """Weyl's bound, whose width is at most twice the norm of the radius."""
    a = in_double(as_box(A))
    m, n = a.lower.shape[-2:]
    corner = a.lower.new_zeros(*a.lower.shape[:-2], m, m), a.lower.new_zeros(*a.lower.shape[:-2], n, n)

    def beside(t: Tensor) -> Tensor:
        return torch.cat([torch.cat([corner[0], t], -1), torch.cat([t.transpose(-2, -1), corner[1]], -1)], -2)

    largest = both(lambda t: t[..., max(m, n) :].flip(-1).clamp(min=0), _eigenvalues(both(beside, a)))
    return narrowed(largest, A.lower.dtype)


@rule(torch.ops.aten._linalg_svd, formula=r"\sigma_i(A)", **_RECORD)
def svd_kernel(A: Box, full_matrices: bool = False, compute_uv: bool = True, *, driver: str | None = None) -> Any:
    """As `svdvals`. The vectors are undecided, because they are not unique."""
    m, n = A.lower.shape[-2:]
    widths = (m, n) if full_matrices else (min(m, n),) * 2
    shapes = ((m, widths[0]), (widths[1], n)) if compute_uv else ((0,), (0,))
    left, right = (
        Undecided(A.lower.new_empty((*A.lower.shape[:-2], *shape)), "a basis of singular vectors") for shape in shapes
    )
    return left, svdvals(A), right


@rule("svd", formula=r"\sigma_i(A)", **_RECORD)
def svd(input: Box, some: bool = True, compute_uv: bool = True) -> Any:
    """As `torch.linalg.svd`, with the right vectors in columns. Without `compute_uv` the vectors are zeros."""
    if not compute_uv:
        like = torch.svd(input.lower.detach(), some, compute_uv=False)
        return torch.return_types.svd((like.U, svdvals(input), like.V))
    left, values, right = svd_kernel(input, not some)
    columns = Undecided(right._like.mT, right._what)
    return torch.return_types.svd((left, values, columns))


# --- the exponential --------------------------------------------------------------------------------------------------


@rule("matrix_exp", torch.linalg.matrix_exp, torch.ops.aten.linalg_matrix_exp, formula=r"e^A", **_RECORD)
def matrix_exp(input: Box) -> Box:
    r"""The exponential of the midpoint, widened by $e^{|A_c| + R} - e^{|A_c|}$; see the top of this file.

    First the diagonal is shifted so that its least lower end is 0, by $e^A = e^\mu e^{A - \mu}$. If all entries off the
    diagonal are non-negative, the upper bound is that of the hull. The lower bound is not.
    """
    a = in_double(as_box(input))
    if a.lower.numel() == 0:
        return both(torch.matrix_exp, input)
    identity = torch.eye(a.lower.shape[-1], dtype=a.lower.dtype, device=a.lower.device)
    shift = a.lower.diagonal(dim1=-2, dim2=-1).amin(-1)[..., None, None]
    shifted = sub(a, mul(as_box(shift), identity))
    middle = torch.lerp(shifted.lower, shifted.upper, 0.5)
    radius = torch.maximum(sub(shifted, middle).upper, sub(middle, shifted).upper)
    size = middle.abs()
    reach = sub(_exponential(add(as_box(size), radius).upper), _exponential(size)).upper.clamp(min=0)
    around = add(_exponential(middle), Box(-reach, reach))
    return narrowed(mul(around, exp(as_box(shift))), input.lower.dtype)


_DEGREE = 18
"""The degree of the Taylor sum of the exponential."""


def _exponential(a: Tensor) -> Box:
    r"""Enclose the exponential of a matrix: torch's value, or outward a Taylor sum of $A / 2^s$, squared s times.

    With $\|A / 2^s\| \le 1/2$ the terms beyond degree 18 add up to less than $2 \cdot 2^{-19} / 19!$.
    """
    value = torch.linalg.matrix_exp(a)
    if not rounding.outward():
        return Box(value, value.clone())
    with torch.no_grad():
        norm = float(a.abs().sum(-1).amax())
        if not math.isfinite(norm) or norm > 700:
            line = torch.full_like(value, math.inf)
            return Box(-line, line)
        squarings = max(0, math.ceil(math.log2(norm + 1e-300)) + 2)
        fraction = mul(as_box(a.detach()), 2.0**-squarings)
        identity = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
        total = as_box(identity.expand_as(a))
        for k in range(_DEGREE, 0, -1):  # Horner's scheme
            total = add(div(matmul(fraction, total), k), identity)
        rest = 2.0 * 2.0 ** -(_DEGREE + 1) / math.factorial(_DEGREE + 1) * (1 + 1e-10)
        total = add(total, Box(*(torch.full_like(value, end) for end in (-rest, rest))))
        for _ in range(squarings):
            total = matmul(total, total)
    result = Box(value.clone(), value.clone())
    for end, bound in zip(result, total, strict=True):
        untracked(end).copy_(bound)
    return result
