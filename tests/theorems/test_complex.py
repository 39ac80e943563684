"""Rectangles of complex numbers: what admits them encloses both parts, everything else refuses by name."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F

from intervaltorch import EscapeError, IntervalTensor, UndecidedError, UnsupportedOpError, hull, rounding, testing
from tests.boxes import seeded_ball as ball

A, B, C, D = (ball(3, 3, seed=seed) for seed in range(4))
W = torch.complex(C.lower, D.lower)
x, y = A[0], B[0]


def rectangles(function):
    """A function of two complex arguments, as one of their four parts."""
    return lambda a, b, c, d: function(torch.complex(a, b), torch.complex(c, d))


def rectangle(function):
    """A function of one complex argument, as one of its parts."""
    return lambda a, b: function(torch.complex(a, b))


PAIRS = {
    "add": lambda z, w: z + w,
    "add alpha": lambda z, w: torch.add(z, w, alpha=2),
    "sub": lambda z, w: z - w,
    "mul": lambda z, w: z * w,
    "square": lambda z, w: z * z,
    "div": lambda z, w: z / (w + 5),
    "div real": lambda z, w: z / (w.real + 5),
    "real div": lambda z, w: z.real / (w + 5),
    "reciprocal": lambda z, w: 1 / (w + 5j) + (w + 5).reciprocal(),
    "numbers": lambda z, w: (2 - 1j) * z + w / (1 - 3j) - 1j + (1 - w),
    "real mul": lambda z, w: z.real * w,
    "real add": lambda z, w: z.real + w - z.imag[0],
    "matmul": lambda z, w: z @ w,
    "matmul real": lambda z, w: z.real @ w.real * w,
    "adjoint": lambda z, w: z.mH @ w.H,
    "bmm": lambda z, w: torch.bmm(z[None], w[None]),
    "mv": lambda z, w: torch.mv(z, w[0]),
    "outer": lambda z, w: torch.outer(z[0], w[0]),
    "inner": lambda z, w: torch.inner(z, w),
    "vdot": lambda z, w: torch.vdot(z[0], w[0]),
    "einsum": lambda z, w: torch.einsum("ij,kj->ik", z, w),
    "where": lambda z, w: torch.where(torch.tensor([True, False, True]), z, w) + torch.where(z.real > 0, z.real, w),
    "where number": lambda z, w: torch.where(z.imag > 0, z, 1j).masked_fill(w.real > 0, 2.0),
    "cat": lambda z, w: torch.cat([z, w]).sum(0),
}
SINGLES = {
    "exp": torch.exp,
    "abs": torch.abs,
    "angle": torch.angle,
    "conj": lambda z: torch.conj(z).imag,
    "conj_physical": torch.conj_physical,
    "neg": torch.neg,
    "sum": torch.sum,
    "mean": lambda z: z.mean(0, keepdim=True),
    "cumsum": lambda z: z.cumsum(1),
    "view_as_real": torch.view_as_real,
    "pad": lambda z: F.pad(z, (1, 2)),
    "index": lambda z: z[1:, [0, 2]],
    "to": lambda z: z.to(torch.complex128),
    "in place": lambda z: z.clone().mul_(2 + 1j).add_(1),
    "real part in place": lambda z: (c := z.clone(), c.real.add_(1))[0],
    "zeros": torch.zeros_like,
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs(name):
    testing.check_op(rectangles(PAIRS[name]), A, B, C, D, samples=24)


@pytest.mark.parametrize("name", SINGLES)
def test_singles(name):
    if name in ("in place", "real part in place", "to"):
        testing.check_sound(rectangle(SINGLES[name]), A, B)
    else:
        testing.check_op(rectangle(SINGLES[name]), A, B, samples=24)


def test_products_with_a_fixed_factor_are_the_smallest_rectangle():
    z = torch.complex(x, y)
    product = z * W[0]
    corners = torch.stack([torch.complex(a, b) * W[0] for a in (x.lower, x.upper) for b in (y.lower, y.upper)])
    torch.testing.assert_close(product.lower.real, corners.real.amin(0))
    torch.testing.assert_close(product.upper.imag, corners.imag.amax(0))


def test_polar():
    testing.check_op(torch.polar, ball(4).abs(), ball(4, radius=1.0, seed=3))


def test_outward_conversion_to_a_narrower_complex_dtype():
    z = torch.complex(torch.tensor([0.1], dtype=torch.float64), torch.tensor([-0.1], dtype=torch.float64))
    with rounding("outward"):
        narrow = IntervalTensor.point(z).to(torch.complex64)
    assert narrow.contains(z).all() and narrow.lower.dtype is torch.complex64
    assert not IntervalTensor.point(z).to(torch.complex64).contains(z).any()


def test_construction_and_sets():
    z = IntervalTensor(torch.tensor([0j, 1 + 1j]), torch.tensor([1 + 1j, 1 + 1j]))
    assert z.dtype is torch.complex64 and z.is_complex() and not z.is_floating_point()
    assert z.contains(torch.tensor([0.5 + 1j, 1 + 2j])).tolist() == [True, False]
    assert z.center.tolist() == [0.5 + 0.5j, 1 + 1j] and z.width.tolist() == [1 + 1j, 0]
    assert z.magnitude[0] == pytest.approx(2**0.5) and z.mignitude[0] == 0
    assert hull(z, torch.tensor(2j)).upper.tolist() == [1 + 2j, 1 + 2j]
    assert repr(z) == "IntervalTensor([[0, 1] + [0, 1]j, 1 + 1j])"
    assert IntervalTensor.point(torch.tensor([1j]).conj()).imag.lower.item() == -1
    with pytest.raises(ValueError, match="exceeds"):
        IntervalTensor(torch.tensor([1j]), torch.tensor([1.0 + 0j]))


def test_writing_by_index():
    """As in Fourier neural operators: some frequencies of a spectrum of zeros are written."""
    h, w = ball(2, 3, 16), torch.randn(3, 3, 4, dtype=torch.complex64)

    def layer(h):
        spectrum = torch.fft.rfft(h)
        out = torch.zeros_like(spectrum)
        out[..., :4] = torch.einsum("bix,iox->box", spectrum[..., :4], w.to(spectrum.dtype))
        return torch.fft.irfft(out, n=h.shape[-1])

    testing.check_op(layer, h, samples=12)
    with pytest.raises(UndecidedError):
        z = torch.complex(x, y)
        z[IntervalTensor(torch.tensor([True, False, False]), torch.tensor([True, True, False]))] = 1j


def test_rotary_embeddings():
    h, angles = ball(2, 4, 8), torch.polar(torch.ones(4, 4), torch.arange(16.0).view(4, 4))

    def rotate(h):
        pairs = torch.view_as_complex(h.reshape(*h.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * angles.to(pairs.dtype)).flatten(-2)

    testing.check_op(rotate, h, samples=12)


def test_files_and_copies(tmp_path):
    z = torch.complex(x, y)
    torch.save(z, tmp_path / "z.pt")
    for other in (
        torch.load(tmp_path / "z.pt", weights_only=True),
        copy.deepcopy(z),
        z.clone(),
        pickle.loads(pickle.dumps(z)),
    ):
        assert torch.equal(other.lower, z.lower) and torch.equal(other.upper, z.upper)


def test_everything_else_refuses():
    z = torch.complex(x, y)
    for refused in (
        lambda: z < 1,
        lambda: torch.sin(z),
        lambda: F.relu(z),
        lambda: z.sort(),
        lambda: torch.relu_(z),
        lambda: x.softmax(0, dtype=torch.complex64),
        lambda: F.linear(x, W),
        lambda: torch.maximum(x, W[0]),
        lambda: z.long(),
    ):
        with pytest.raises(UnsupportedOpError):
            refused()
    with pytest.raises(EscapeError):
        z.sum().item()
    with pytest.raises(RuntimeError, match="can't be cast"):
        x.clone().add_(1j)
    assert bool(z[0] + 10)
    with pytest.raises(UndecidedError):
        bool(torch.complex(ball(1, radius=9.0), ball(1, radius=9.0)))
