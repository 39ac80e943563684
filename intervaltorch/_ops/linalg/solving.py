r"""Linear systems and inverses, enclosed with a proof that no matrix of the box is singular.

Let R be an approximate inverse of the midpoint. A solution of $Ax = b$ also solves $Cx = d$, where $C = RA$ is near the
identity and $d = Rb$ (Rump 2010, *Verification methods: rigorous results using floating-point arithmetic*,
section 10.5). Let $\Delta \ge |C - I|$.

- If $w = v - \Delta v > 0$ for some $v > 0$, the spectral radius of $\Delta$ is below 1 (Collatz). So C, R and A are
  regular.
- Then $|x| \le u$ for every u with $u - \Delta u \ge |d|$ (Neumaier 1990, *Interval methods for systems of equations*,
  section 3.7). An approximate u is computed, and $t v$ is added, where t is so large that $t w$ covers the defect.
- One step $x_i \in (d_i - \sum_{j \ne i} C_{ij} u_j [-1, 1]) / C_{ii}$ gives the hull up to terms of second order in
  the radius.

All this is computed in float64. The rules for products account for its rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..._records.registry import Box
from ..._rounding import untracked
from ..._theorems.boxes import as_box, both, magnitude
from ..._theorems.families import rule
from ..._theorems.sums import in_double
from ..._theorems.undecided import Undecided
from ...errors import DomainError
from ..elementwise.arithmetic import add, div, mul, square, sub
from ..elementwise.conversions import convert
from ..elementwise.elementary import sqrt
from ..linear.products import matmul
from ..reductions.reductions import sum_

_RECORD: dict[str, Any] = {"family": "linear algebra", "proven": True, "sharp": False, "torch_checks": True}
_TYPES: Any = torch.return_types


def narrowed(x: Box, dtype: torch.dtype) -> Box:
    """Convert a result to the dtype of the arguments, rounded outward if the mode asks."""
    return convert(torch.Tensor.to, x, dtype)


def transposed(x: Box) -> Box:
    """Rows and columns exchanged."""
    return both(lambda t: t.transpose(-2, -1), x)


def _unproven(a: Box) -> DomainError:
    """The error for matrices that are not proven to be regular."""
    radius = float((a.upper - a.lower).max()) / 2
    return DomainError(
        "the box contains a singular matrix, or this cannot be excluded",
        f"called with matrices of shape {tuple(a.lower.shape)} and radii up to {radius:.3g}",
        "narrow the box: bisect it, or let fewer entries vary",
    )


# --- the verified system ----------------------------------------------------------------------------------------------


def solved(a: Box, b: Box | None) -> Box:
    """Enclose the solutions of `a x = b`, or the inverses of `a` if `b` is None. All in float64.

    Raises:
        DomainError: if the box contains a singular matrix, or this cannot be excluded.
    """
    if a.lower.numel() == 0:
        return both(torch.linalg.inv, a) if b is None else both(torch.linalg.solve, a, b)
    inverse, _ = torch.linalg.inv_ex(torch.lerp(a.lower, a.upper, 0.5))
    if not bool(inverse.isfinite().all()):
        raise _unproven(a)
    near_one = matmul(inverse, a)
    right = Box(inverse, inverse.clone()) if b is None else matmul(inverse, b)
    identity = torch.eye(a.lower.shape[-1], dtype=a.lower.dtype, device=a.lower.device)
    delta = magnitude(sub(near_one, identity))
    size = _largest(a, delta, identity, magnitude(right))
    beside = matmul(as_box(delta * (1 - identity)), size).upper
    return div(sub(right, Box(-beside, beside)), both(lambda t: t.diagonal(dim1=-2, dim2=-1).unsqueeze(-1), near_one))


def _largest(a: Box, delta: Tensor, identity: Tensor, right: Tensor) -> Tensor:
    """A tensor u with u - delta u >= right, which bounds every |x|. To find it is to prove regularity.

    Raises:
        DomainError: if there is no proof.
    """
    system = identity - delta
    size, info = torch.linalg.solve_ex(system, right)
    with torch.no_grad():
        ones = torch.ones_like(delta[..., :1])
        v, _ = torch.linalg.solve_ex(system, ones)
        w = sub(v, matmul(as_box(delta), v)).lower
        if not bool((info == 0).all()) or not bool(((v > 0) & (w > 0) & v.isfinite()).all()):
            raise _unproven(a)
        missing = sub(add(matmul(as_box(delta), size), right), size).upper
        share = div(as_box(missing), w).upper.clamp(min=0).amax(-2, keepdim=True)
        complete = add(mul(as_box(share), v), size).upper
    size = size.clone()
    untracked(size).copy_(complete)
    return size


@rule(torch.inverse, torch.linalg.inv, torch.Tensor.inverse, torch.ops.aten.inverse, formula=r"A^{-1}", **_RECORD)
def inv(A: Box) -> Box:
    """The hull up to second order in the radius. Refused if the box is not proven to be regular."""
    return narrowed(solved(in_double(as_box(A)), None), A.lower.dtype)


@rule(torch.linalg.inv_ex, torch.ops.aten.linalg_inv_ex, formula=r"A^{-1}", **_RECORD)
def inv_ex(A: Box, *, check_errors: bool = False) -> Any:
    """As `inv`, with the error code 0 of a regular matrix."""
    result = inv(A)
    return _pair(_TYPES.linalg_inv_ex, result, A)


def _pair(kind: Any, result: Box, a: Box) -> Any:
    """A result with error codes 0, in the named tuple that torch returns."""
    return kind((result, torch.zeros(a.lower.shape[:-2], dtype=torch.int32, device=a.lower.device)))


@rule(torch.linalg.solve, formula=r"A^{-1} B", affine_in=({"B"},), **_RECORD)
def solve(A: Any, B: Any, *, left: bool = True) -> Box:
    """The hull up to second order in the radius. Refused if the box is not proven to be regular."""
    a, b = as_box(A), as_box(B)
    vector = b.lower.ndim == 1 or (a.lower.ndim - 1 == b.lower.ndim and b.lower.shape == a.lower.shape[:-1])
    right = both(lambda t: t.unsqueeze(-1), b) if vector else b
    if not left:
        a, right = transposed(a), right if vector else transposed(right)
    x = narrowed(solved(in_double(as_box(a)), in_double(as_box(right))), b.lower.dtype)
    if vector:
        return both(lambda t: t.squeeze(-1), x)
    return x if left else transposed(x)


@rule(torch.linalg.solve_ex, formula=r"A^{-1} B", affine_in=({"B"},), **_RECORD)
def solve_ex(A: Any, B: Any, *, left: bool = True, check_errors: bool = False) -> Any:
    """As `solve`, with the error code 0 of a regular matrix."""
    return _pair(_TYPES.linalg_solve_ex, solve(A, B, left=left), as_box(A))


@rule(torch.ops.aten._linalg_solve_ex, formula=r"A^{-1} B", affine_in=({"B"},), **_RECORD)
def solve_kernel(A: Any, B: Any, *, left: bool = True, check_errors: bool = False) -> Any:
    """As `solve`, with a factorisation that is undecided; nobody reads it."""
    a = as_box(A).lower
    pivots = torch.zeros(a.shape[:-1], dtype=torch.int32, device=a.device)
    result, info = solve_ex(A, B, left=left)
    return result, Undecided(a, "a factorisation"), Undecided(pivots, "a factorisation"), info


# --- triangular systems -----------------------------------------------------------------------------------------------


@rule(
    torch.linalg.solve_triangular, torch.ops.aten.linalg_solve_triangular, formula=r"T^{-1} B", affine_in=({"B"},),
    **_RECORD,
)  # fmt: skip
def solve_triangular(A: Any, B: Any, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Box:
    """As `solve`, for one triangle. It is regular if no interval on its diagonal contains 0."""
    return solve(_triangle(as_box(A), upper, unitriangular), B, left=left)


def _triangle(a: Box, upper: bool, unit: bool = False) -> Box:
    """One triangle of a matrix, with ones on its diagonal if `unit`."""
    cut = torch.triu if upper else torch.tril
    if not unit:
        return both(cut, a)
    ones = torch.ones_like(a.lower.diagonal(dim1=-2, dim2=-1))
    return both(lambda t: cut(t, 1 if upper else -1) + torch.diag_embed(ones), a)


@rule("triangular_solve", formula=r"T^{-1} B", affine_in=({"input"},), **_RECORD)
def triangular_solve(
    input: Any, A: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Any:  # fmt: skip
    """As `solve_triangular`, together with a copy of the matrix."""
    triangle = _triangle(as_box(A), upper, unitriangular)
    copy = both(torch.clone, A) if isinstance(A, Box) else A
    result = solve(transposed(triangle) if transpose else triangle, input)
    return _TYPES.triangular_solve((result, copy))


@rule("cholesky_solve", formula=r"(L L^\top)^{-1} B", affine_in=({"input"},), **_RECORD)
def cholesky_solve(input: Any, input2: Any, upper: bool = False) -> Box:
    """Two triangular systems, one after the other. The factor occurs in both, so this is not the hull."""
    factor = _triangle(as_box(input2), upper)
    first, second = (transposed(factor), factor) if upper else (factor, transposed(factor))
    return solve(second, solve(first, input))


@rule("cholesky_inverse", formula=r"(L L^\top)^{-1}", **_RECORD)
def cholesky_inverse(input: Box, upper: bool = False) -> Box:
    """As `cholesky_solve`, for the identity."""
    n = input.lower.shape[-1]
    identity = torch.eye(n, dtype=input.lower.dtype, device=input.lower.device).expand(input.lower.shape)
    return cholesky_solve(identity, input, upper)


# --- cholesky ---------------------------------------------------------------------------------------------------------


@rule("cholesky", torch.linalg.cholesky, formula=r"L : L L^\top = A", **_RECORD)
def cholesky(input: Box, *, upper: bool = False) -> Box:
    """Column by column in interval arithmetic. Wider than the hull where many products are subtracted.

    Raises:
        DomainError: if a matrix of the box is not positive definite, or this cannot be excluded.
    """
    a = transposed(in_double(as_box(input))) if upper else in_double(as_box(input))  # torch reads one triangle
    columns: list[Box] = []
    for j in range(a.lower.shape[-1]):
        rest = both(lambda t: t[..., j:, j], a)  # noqa: B023
        if columns:
            known = both(lambda *ts: torch.stack([t[..., j:] for t in ts], -1), *columns)  # noqa: B023
            pivots = both(lambda t: t[..., :1, :], known)
            below = mul(both(lambda t: t[..., 1:, :], known), pivots)
            products = both(lambda p, q: torch.cat([p, q], -2), square(pivots), below)
            rest = sub(rest, sum_(products, -1))
        pivot = both(lambda t: t[..., :1], rest)
        if not bool((pivot.lower > 0).all()):
            least = float(pivot.lower.min())
            raise DomainError(
                "the box contains a matrix that is not positive definite, or this cannot be excluded",
                f"called with matrices of shape {tuple(a.lower.shape)}; pivot {j} may be {least:.3g}",
                "narrow the box, or add a multiple of the identity",
            )
        root = sqrt(pivot)
        tail = div(both(lambda t: t[..., 1:], rest), root)
        zeros = root.lower.new_zeros(*root.lower.shape[:-1], j)
        columns.append(both(lambda r, t: torch.cat([zeros, r, t], -1), root, tail))  # noqa: B023
    factor = narrowed(both(lambda *ts: torch.stack(ts, -1), *columns), input.lower.dtype) if columns else input
    return transposed(factor) if upper else factor


@rule(torch.linalg.cholesky_ex, torch.ops.aten.linalg_cholesky_ex, formula=r"L : L L^\top = A", **_RECORD)
def cholesky_ex(input: Box, *, upper: bool = False, check_errors: bool = False) -> Any:
    """As `cholesky`, with the error code 0 of a positive definite matrix."""
    return _pair(_TYPES.linalg_cholesky_ex, cholesky(input, upper=upper), input)
