"""Discrete Fourier transforms against torch's, at many points, and against mpmath's exact values."""

import mpmath
import pytest
import torch

from intervaltorch import _compat, rounding, testing
from intervaltorch._ops.linear import fourier
from tests.boxes import seeded_ball as ball

ONE = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
MANY = [name + ending for name in ONE for ending in "2n"]
ARGUMENTS = [{}, {"n": 5}, {"n": 9, "norm": "ortho"}, {"norm": "forward", "dim": 0}, {"n": 1}, {"n": 2}]
SEVERAL = [{}, {"s": (5, 4)}, {"norm": "ortho"}, {"dim": (1, 0)}, {"s": (3,), "dim": (0,)}]
CASES = [(name, kwargs) for names, rest in ((ONE, ARGUMENTS), (MANY, SEVERAL)) for name in names for kwargs in rest]


@pytest.fixture(params=["together", "in pieces"])
def pieces(request, monkeypatch):
    """Tables as large as they need be, or so small that dimensions and outputs are taken one after the other."""
    if request.param == "in pieces":
        monkeypatch.setattr(fourier, "_LARGEST", 10)


@pytest.mark.parametrize("name, kwargs", CASES, ids=str)
@pytest.mark.usefixtures("pieces")
def test_transforms(name, kwargs):
    function = getattr(torch.fft, name)
    x, y = ball(3, 6), ball(3, 6, seed=5)

    def of_parts(a, b):
        return function(torch.complex(a, b), **kwargs)

    for transform, inputs in ((lambda a: function(a, **kwargs), (x,)), (of_parts, (x, y))):
        try:
            transform(*(box.lower for box in inputs))
        except (RuntimeError, TypeError):  # the latter since torch 2.14
            continue  # only for real signals
        testing.check_sound(transform, *inputs, samples=10)
        testing.check_result(transform, *inputs)
        testing.check_thin(transform, *inputs)
        testing.check_nested(transform, *inputs)


def test_each_part_is_the_hull():
    x = ball(4, 4, radius=1.0)
    for function in (torch.fft.fft2, torch.fft.rfft2):
        for part in (torch.real, torch.imag):
            jacobian = torch.func.jacrev(lambda t: part(function(t)))(x.center)  # noqa: B023
            torch.testing.assert_close(part(function(x)).width, 2 * jacobian.abs().sum((-2, -1)), atol=1e-5, rtol=0)


def test_gradients():
    testing.check_gradient(torch.fft.rfft, ball(5))
    testing.check_gradient(lambda a, b: torch.fft.irfft(torch.complex(a, b)), ball(5), ball(5, seed=2))
    testing.check_gradient(lambda a: torch.fft.fft2(a, norm="ortho"), ball(3, 4))


def test_exact_values_in_float64():
    x = ball(12, radius=0.0, dtype=torch.float64)
    with rounding("outward"):
        result = torch.fft.fft(x)
    with mpmath.workdps(50):
        for k in range(12):
            value = sum(
                mpmath.mpf(v) * mpmath.expjpi(mpmath.mpf(-2 * k * m) / 12) for m, v in enumerate(x.lower.tolist())
            )
            assert result.lower[k].real.item() <= value.real <= result.upper[k].real.item()
            assert result.lower[k].imag.item() <= value.imag <= result.upper[k].imag.item()
    assert result.width.abs().max() < 1e-13


def test_the_table_errs_by_less_than_stated():
    cosines, sines = fourier._table((7, 9), (7, 9), (0, 63))
    with mpmath.workdps(40):
        for row in range(0, 63, 5):
            for column in range(63):
                k, m = divmod(row, 9), divmod(column, 9)
                turn = mpmath.mpf(2 * (k[0] * m[0] * 9 + k[1] * m[1] * 7)) / 63
                assert abs(cosines[row, column].item() - mpmath.cospi(turn)) < 4 * 2.0**-52
                assert abs(sines[row, column].item() - mpmath.sinpi(turn)) < 4 * 2.0**-52
    cosines, sines = fourier._table((4,), (4,), (0, 4))
    assert cosines[1].tolist() == [1, 0, -1, 0] and sines[1].tolist() == [0, 1, 0, -1]


def test_filters_and_mixers_run_unmodified():
    h, w = ball(2, 8, 4), torch.randn(5, dtype=torch.complex64)
    testing.check_sound(lambda h: torch.fft.irfft(torch.fft.rfft(h, dim=1) * w[:, None], n=8, dim=1), h)
    testing.check_sound(lambda h: torch.fft.fft(torch.fft.fft(h, dim=-1), dim=-2).real, h)
    testing.check_sound(lambda h: torch.fft.fftshift(torch.fft.fft(h)).abs(), h)


WINDOWS = [
    {"window": torch.hann_window(8)},
    {"window": torch.hann_window(6), "win_length": 6, "hop_length": 2},
    {"hop_length": 3},
    {"window": torch.hann_window(8), "center": False, "hop_length": 2, "normalized": True},
    {"window": torch.hann_window(8), "onesided": False},
]


def named(kwargs, like):
    return {key: value.to(like.dtype) if key == "window" else value for key, value in kwargs.items()}


@pytest.mark.parametrize("kwargs", WINDOWS, ids=lambda kwargs: " ".join(kwargs))
@pytest.mark.parametrize("return_complex", [True, False])
@pytest.mark.filterwarnings("ignore")
def test_stft(kwargs, return_complex):
    for x in (ball(40), ball(2, 40)):
        testing.check_op(lambda x: torch.stft(x, 8, return_complex=return_complex, **named(kwargs, x)), x, samples=8)
    window = ball(8, radius=0.01)
    testing.check_sound(lambda x, w: torch.stft(x, 8, window=w, return_complex=True), ball(40), window, samples=8)
    signal = ball(40).lower
    testing.check_sound(lambda w: torch.stft(signal.to(w.dtype), 8, window=w, return_complex=True), window)


@pytest.mark.parametrize("args", [(), (False,), (True, "constant"), (False, True), (False, None, True)], ids=str)
def test_kernel_of_stft_takes_the_signature_that_torch_takes(args):
    signal, window = ball(12), torch.hann_window(6)
    named = {} if len(args) == 3 else {"return_complex": True}
    result = _compat.stft_kernel(signal, 6, None, None, window, *args, **named)
    point = _compat.stft_kernel(signal.center, 6, None, None, window, *args, **named)
    assert result.shape == point.shape
    assert bool(result.contains(point).all())


@pytest.mark.parametrize("kwargs", [WINDOWS[0], WINDOWS[2]], ids=lambda kwargs: " ".join(kwargs))
@pytest.mark.parametrize("length", [None, 38])
@pytest.mark.filterwarnings("ignore")
def test_istft(kwargs, length):
    def inverse(a, b):
        return torch.istft(torch.complex(a, b), 8, length=length, **named(kwargs, a))

    testing.check_op(inverse, ball(2, 5, 21, radius=0.01), ball(2, 5, 21, radius=0.01, seed=3), samples=8)
