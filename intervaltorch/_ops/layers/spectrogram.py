"""Short-time Fourier transforms, which transform each window of a signal, and their inverse."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import _compat
from ..._records.registry import Box
from ..._theorems.boxes import as_box
from ..._theorems.families import rule
from ..._theorems.rectangles import parts, unchanged
from ..._theorems.sums import bound_sum
from ...errors import UnsupportedOpError
from ..elementwise.arithmetic import div, mul
from ..linear.fourier import complex_to_complex, complex_to_real, real_to_complex

_RECORD: dict[str, Any] = {
    "family": "fourier",
    "proven": True,
    "sharp": False,
    "complex": unchanged,
    "torch_checks": True,
}
_STFT = r"\sum_m x_{t h + m} w_m e^{-2 \pi i k m / n}"


@rule(torch.stft, torch.Tensor.stft, formula=_STFT, affine_in=({"input"}, {"window"}), **_RECORD)
def stft(
    input: Any, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Any = None,
    center: bool = True, pad_mode: str = "reflect", normalized: bool = False, onesided: bool | None = None,
    return_complex: bool | None = None, align_to_window: bool | None = None,
) -> Box:  # fmt: skip
    """The hull for a fixed window and center=False. Padding repeats entries, which are then bounded independently."""
    x = as_box(input)
    if align_to_window is not None:
        raise UnsupportedOpError("stft with align_to_window has no interval rule", "pad or cut the signal yourself")
    if return_complex is None and not x.lower.is_complex():
        raise RuntimeError("stft requires the return_complex parameter be given for real inputs")
    if center:
        x = Box(*(_padded(t, n_fft // 2, pad_mode) for t in x))
    hop, weights = hop_length or n_fft // 4, _window(window, win_length or n_fft, n_fft, x)
    frames = Box(*(t.unfold(-1, n_fft, hop) for t in x))
    frames = frames if weights is None else mul(frames, weights)
    if frames.lower.is_complex():
        result = complex_to_complex(frames, [frames.lower.ndim - 1], int(normalized), True)
        result = Box(*(t[..., : n_fft // 2 + 1] for t in result)) if onesided else result
    else:
        result = real_to_complex(frames, [frames.lower.ndim - 1], int(normalized), onesided is not False)
    result = Box(*(t.transpose(-1, -2) for t in result))
    return result if return_complex is not False else Box(*map(torch.view_as_real, result))


@rule(_compat.stft_kernel, formula=_STFT, affine_in=({"input"}, {"window"}), **_RECORD)
def stft_kernel(
    input: Any, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Any = None,
    *options: Any, **named: Any,
) -> Box:  # fmt: skip
    """As `stft`; callers mostly pad the signal first.

    The kernel has two signatures. A call that fits both takes the one with `center` and `pad_mode`.
    """
    if len(options) > 1 and not isinstance(options[1], str):
        options = (False, "", *options)
    return stft(input, n_fft, hop_length, win_length, window, *options, **named)


def _padded(x: Tensor, size: int, mode: str) -> Tensor:
    """Pad a signal or a batch of signals at both ends."""
    return F.pad(x.reshape(1, -1, x.shape[-1]), [size, size], mode=mode).reshape(*x.shape[:-1], -1)


def _window(window: Any, length: int, n_fft: int, x: Box) -> Any:
    """The window with zeros around it, or None if it is all ones."""
    if window is None and length == n_fft:
        return None
    if parts(window)[1] is not None or x.lower.is_complex():
        raise UnsupportedOpError(
            "a window has an interval rule only if the window and the signal are real",
            "transform the real and the imaginary part separately",
        )
    ends = as_box(x.lower.new_ones(length) if window is None else window)
    left = (n_fft - length) // 2
    low, high = (F.pad(end, [left, n_fft - length - left]) for end in ends)
    return Box(low, high) if isinstance(window, Box) else low


@rule(
    torch.istft, torch.Tensor.istft, formula=r"\sum_t w_{m - t h} y_{t, m - t h} / \sum_t w_{m - t h}^2", **_RECORD,
    affine_in=({"input"},),
)  # fmt: skip
def istft(
    input: Box, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Any = None,
    center: bool = True, normalized: bool = False, onesided: bool | None = None, length: int | None = None,
    return_complex: bool = False,
) -> Box:  # fmt: skip
    """The hull for a fixed window. Each entry is a linear map of the spectra, whose columns are independent."""
    if return_complex or onesided is False:
        raise UnsupportedOpError(
            "istft has an interval rule for real signals only", "leave out return_complex and onesided=False"
        )
    if isinstance(window, Box):
        raise UnsupportedOpError(
            "istft has no interval rule for a window that is a box, since it divides by the overlapping windows",
            "pass the window as a plain tensor",
        )
    batch, hop = input.lower.shape[:-2], hop_length or n_fft // 4
    spectra = Box(*(t.reshape(-1, *t.shape[-2:]).transpose(-1, -2) for t in input))
    weights = _window(window, win_length or n_fft, n_fft, Box(spectra.lower.real, spectra.upper.real))
    weights = spectra.lower.real.new_ones(n_fft) if weights is None else weights
    frames = mul(complex_to_real(spectra, [2], 1 if normalized else 2, n_fft), weights)
    count = frames.lower.shape[1]
    size = mul(as_box(weights.expand(1, count, n_fft)), as_box(weights))
    total, envelope = (_overlapped(x, n_fft, hop, count) for x in (frames, size))
    start = n_fft // 2 if center else 0
    stop = start + length if length is not None else (-start if center else None)
    total, envelope = (Box(*(t[:, start:stop] for t in x)) for x in (total, envelope))
    if not bool((envelope.lower.abs() > 1e-11).all()):
        raise RuntimeError("istft: the overlapping windows leave entries of the signal undetermined")
    signal = div(total, envelope)
    missing = 0 if length is None else length - signal.lower.shape[-1]
    return Box(*(F.pad(t, [0, missing]).reshape(*batch, -1) for t in signal))


def _overlapped(frames: Box, n_fft: int, hop: int, count: int) -> Box:
    """Sum frames where they overlap."""
    size = (1, n_fft + hop * (count - 1))

    def add(t: Tensor) -> Tensor:
        return F.fold(t.transpose(1, 2), size, (1, n_fft), stride=(1, hop)).flatten(1)

    return bound_sum(add, frames, -(-n_fft // hop))
