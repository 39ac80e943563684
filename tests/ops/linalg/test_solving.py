"""Linear systems, inverses, determinants, spectra: enclosed with a proof, or refused; against exact rationals too."""

import itertools
from fractions import Fraction

import mpmath
import pytest
import torch

from intervaltorch import DomainError, IntervalTensor, UndecidedError, rounding, testing

L = torch.linalg


def matrices(*batch, n=4, radius=0.01, seed=0, dtype=torch.float32, diagonal=3.0):
    generator = torch.Generator().manual_seed(seed)
    centre = torch.randn(*batch, n, n, generator=generator).to(dtype) + diagonal * torch.eye(n, dtype=dtype)
    return IntervalTensor.from_ball(centre, radius)


def symmetric(n=4, radius=0.01, dtype=torch.float32, seed=0):
    centre = matrices(n=n, seed=seed, dtype=dtype, diagonal=0.0).center
    return IntervalTensor.from_ball(centre @ centre.mT + torch.eye(n, dtype=dtype), radius)


A, B, S = matrices(2), matrices(2, n=4, seed=3), symmetric()
b = B[..., :1]
CASES = {
    "inv": (L.inv, A),
    "inverse": (torch.inverse, A),
    "inv_ex": (lambda a: L.inv_ex(a).inverse, A),
    "power": (lambda a: L.matrix_power(a, -2), A),
    "solve": (L.solve, A, B),
    "solve fixed matrix": (lambda b: L.solve(A.center.to(b.dtype), b), B),
    "solve fixed side": (lambda a: L.solve(a, B.center.to(a.dtype)), A),
    "solve vector": (L.solve, A[0], B[0, 0]),
    "solve vectors": (L.solve, A, B[:, 0]),
    "solve left": (lambda a, b: L.solve(a, b, left=False), A, B),
    "solve_ex": (lambda a, b: L.solve_ex(a, b).result, A, b),
    "tensorsolve": (lambda a, b: L.tensorsolve(a.reshape(2, 2, 4), b.reshape(2, 2)), A[0], B[0, 0]),
    "tensorinv": (lambda a: L.tensorinv(a.reshape(2, 2, 2, 2)), A[0]),
    "triangular": (lambda a, b: L.solve_triangular(a, b, upper=True), A, b),
    "triangular left": (lambda a, b: L.solve_triangular(a, b, upper=False, left=False, unitriangular=True), A, B),
    "triangular_solve": (lambda a, b: torch.triangular_solve(b, a, transpose=True).solution, A, b),
    "cholesky": (L.cholesky, S),
    "cholesky upper": (lambda a: L.cholesky(a, upper=True), S),
    "cholesky_ex": (lambda a: torch.linalg.cholesky_ex(a).L, S),
    "cholesky_solve": (torch.cholesky_solve, b[0], S),
    "cholesky_inverse": (lambda a: torch.cholesky_inverse(a, upper=True), S),
    "det 1": (torch.det, matrices(n=1)),
    "det 2": (torch.det, matrices(3, n=2)),
    "det 3": (torch.det, matrices(3, n=3, diagonal=0.0)),
    "det 4": (torch.det, A),
    "det 6": (L.det, matrices(n=6)),
    "slogdet": (lambda a: tuple(L.slogdet(a)), A),
    "logdet": (torch.logdet, S),
    "eigvalsh": (L.eigvalsh, S),
    "eigvalsh U": (lambda a: L.eigvalsh(a, UPLO="U"), A),
    "eigh": (lambda a: L.eigh(a).eigenvalues, S),
    "svdvals": (L.svdvals, matrices(2)[..., :2]),
    "svd": (lambda a: L.svd(a).S, A[..., :3, :]),
    "nuclear": (lambda a: L.matrix_norm(a, "nuc"), A),
    "spectral": (lambda a: L.matrix_norm(a, 2), A),
    "cond": (L.cond, A),
    "matrix_exp": (torch.matrix_exp, A * 0.3),
}


@pytest.mark.parametrize("name", CASES)
def test_contract(name):
    function, *boxes = CASES[name]
    testing.check_sound(function, *boxes, samples=30)
    testing.check_result(function, *boxes)
    testing.check_thin(function, *boxes)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("cond", "eigvalsh U")])
def test_gradient(name):
    function, *boxes = CASES[name]
    testing.check_gradient(function, *boxes)


@pytest.mark.parametrize("name", ["inv", "solve vector", "det 3", "det 6", "cholesky", "triangular", "matrix_exp"])
def test_close_to_the_hull_of_a_narrow_box(name):
    """To first order the hull of a differentiable function is as wide as 2 sum |slope| radius."""
    function, *boxes = CASES[name]
    boxes = [x[0] if x.ndim > 2 else x for x in boxes]
    boxes = [IntervalTensor.from_ball(x.center.double(), 1e-4) for x in boxes]
    slopes = torch.func.jacrev(function, argnums=tuple(range(len(boxes))))(*(x.center for x in boxes))
    hull = sum(2e-4 * slope.abs().sum() for slope in slopes)
    ratio = function(*boxes).width.sum() / hull
    assert 0.999 < ratio < {"matrix_exp": 1.6, "cholesky": 1.2}.get(name, 1.02), ratio


# --- exact values -----------------------------------------------------------------------------------------------------


def exact_inverse(rows):
    """Gauss-Jordan elimination on rationals."""
    n = len(rows)
    work = [[*map(Fraction, row), *(Fraction(int(i == j)) for j in range(n))] for i, row in enumerate(rows)]
    for k in range(n):
        pivot = next(i for i in range(k, n) if work[i][k])
        work[k], work[pivot] = work[pivot], work[k]
        work[k] = [x / work[k][k] for x in work[k]]
        for i in range(n):
            if i != k:
                work[i] = [x - work[i][k] * y for x, y in zip(work[i], work[k], strict=True)]
    return [row[n:] for row in work]


def exact_det(rows):
    def sign(order):
        return (-1) ** sum(a > b for i, a in enumerate(order) for b in order[i + 1 :])

    total = Fraction(0)
    for order in itertools.permutations(range(len(rows))):
        term = Fraction(sign(order))
        for i, j in enumerate(order):
            term *= Fraction(rows[i][j])
        total += term
    return total


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_points_against_rationals(dtype):
    """Outward, with no tolerance; the Hilbert matrix of order 5 has condition 5e5."""
    hilbert = 1 / (torch.arange(5.0)[:, None] + torch.arange(5.0) + 1)
    for matrix in (hilbert.to(dtype), matrices(n=5, dtype=dtype).center, symmetric(n=3, dtype=dtype).center):
        with rounding("outward"):
            x = IntervalTensor.point(matrix)
            inverse, value, log = torch.inverse(x), torch.det(x), torch.logdet(x) if torch.det(matrix) > 0 else None
        for row, low, high in zip(exact_inverse(matrix.tolist()), inverse.lower.tolist(), inverse.upper.tolist()):
            for v, a, c in zip(row, low, high, strict=True):
                assert Fraction(a) <= v <= Fraction(c)
        exact = exact_det(matrix.tolist())
        assert Fraction(value.lower.item()) <= exact <= Fraction(value.upper.item())
        if log is not None:
            with mpmath.workdps(40):
                assert (
                    log.lower.item() <= mpmath.log(mpmath.mpf(exact.numerator) / exact.denominator) <= log.upper.item()
                )
        relative = inverse.width.max() / inverse.magnitude.max()
        assert relative < (1e-6 if dtype is torch.float32 else 1e-9)


def test_spectra_against_many_digits():
    matrix = symmetric(n=4, dtype=torch.float64).center
    with rounding("outward"):
        x = IntervalTensor.point(matrix)
        values, singular, power = L.eigvalsh(x), L.svdvals(x), torch.matrix_exp(x)
    with mpmath.workdps(40):
        exact = mpmath.matrix(matrix.tolist())
        eigenvalues = sorted(mpmath.eigsy(exact, eigvals_only=True))
        for v, low, high in zip(eigenvalues, values.lower.tolist(), values.upper.tolist(), strict=True):
            assert low <= v <= high
        for v, low, high in zip(eigenvalues[::-1], singular.lower.tolist(), singular.upper.tolist(), strict=True):
            assert low <= v <= high
        exponential = mpmath.expm(exact)
        for i, j in itertools.product(range(4), repeat=2):
            assert power.lower[i, j].item() <= exponential[i, j] <= power.upper[i, j].item()
    assert values.width.max() < 1e-12 and (power.width / power.magnitude).max() < 1e-12


# --- refusals and limits ----------------------------------------------------------------------------------------------


def test_singular_matrices_are_refused():
    singular = IntervalTensor.from_ball(torch.ones(2, 2), 0.1)
    for function in (torch.inverse, torch.logdet, L.cholesky, lambda a: L.solve(a, torch.ones(2))):
        with pytest.raises(DomainError, match=r"singular|negative|positive definite"):
            function(singular)
    with pytest.raises(DomainError, match="singular"):
        torch.inverse(IntervalTensor.point(torch.zeros(3, 3)))
    with pytest.raises(DomainError, match="singular"):
        torch.inverse(IntervalTensor(torch.full((2, 2), -float("inf")), torch.full((2, 2), float("inf"))))


def test_regularity_is_shown_up_to_the_edge():
    """[[1, r], [r, 1]] with entries in [-r, r] is regular exactly for r < 1."""

    def off_diagonal(r):
        return IntervalTensor(torch.tensor([[1.0, -r], [-r, 1.0]]), torch.tensor([[1.0, r], [r, 1.0]]))

    testing.check_sound(torch.inverse, off_diagonal(0.99), samples=30)
    with pytest.raises(DomainError):
        torch.inverse(off_diagonal(1.0))


def test_determinants_that_may_vanish_are_finite():
    for n in (3, 4, 6):
        x = IntervalTensor.from_ball(torch.ones(n, n), 0.3)
        testing.check_sound(torch.det, x, samples=30)
        assert torch.det(x).width.isfinite()
        sign, size = L.slogdet(x)
        assert (sign.lower, sign.upper) == (-1, 1) and size.lower == -float("inf")


def test_bases_are_undecided():
    values, vectors = L.eigh(S)
    with pytest.raises(UndecidedError, match="not unique"):
        vectors @ vectors
    assert isinstance(values, IntervalTensor)


def test_no_entries():
    empty = IntervalTensor.point(torch.zeros(2, 0, 0))
    assert torch.det(empty).lower.tolist() == [1, 1]
    assert torch.inverse(empty).shape == (2, 0, 0) and L.eigvalsh(empty).shape == (2, 0)
    assert torch.matrix_exp(empty).shape == (2, 0, 0) and L.cholesky(empty).shape == (2, 0, 0)
