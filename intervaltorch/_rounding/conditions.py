"""The conditions on torch and the processor under which rounding error bounds are true, and a check for each.

Each check raises `UnprovenOpError`, which names the setting to change. The checks are cheap enough for every operation,
except the check of the thread pool. It runs on entering outward mode and whenever the number of threads changes.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import torch

from .. import _compat
from ..errors import UnprovenOpError

__all__ = ["check_convolution", "check_precision", "check_underflow"]

_INSTEAD = 'or use rounding("nearest")'

# --- precision --------------------------------------------------------------------------------------------------------


def check_precision(dtype: torch.dtype) -> None:
    """Refuse dtypes and settings under which sums and products are not computed in float32 or float64."""
    if dtype is torch.float64:
        return
    if dtype is not torch.float32:
        raise _refusal(f"{dtype} sums have no error bound", "convert inputs and model to float32 or float64")
    for name, device in (("mkldnn", _mkldnn), ("cuda", _cuda)):
        precision = device.matmul.fp32_precision
        if precision in _REDUCED and (name == "mkldnn" or torch.cuda.is_initialized()):
            raise _refusal(
                f"float32 products may be computed in {precision}",
                'call torch.set_float32_matmul_precision("highest"),'
                f' or set torch.backends.{name}.matmul.fp32_precision = "ieee"',
            )


_mkldnn: Any = torch.backends.mkldnn
_cuda: Any = torch.backends.cuda
_REDUCED = ("tf32", "bf16")


def check_convolution(x: torch.Tensor) -> None:
    """Refuse convolutions that torch may compute in other ways than as sums of products, or in less precision.

    On the CPU oneDNN computes convolutions directly; without oneDNN torch may use Winograd's algorithm. On CUDA cuDNN
    chooses among algorithms, Winograd's and Fourier transforms included, and allows TF32 by default.
    """
    if x.device.type == "cuda" and torch.backends.cudnn.enabled:
        raise _refusal(
            "cuDNN may convolve by Winograd's algorithm or Fourier transforms, whose errors exceed that of a sum",
            "set torch.backends.cudnn.enabled = False around the certificate",
        )
    if x.dtype is not torch.float32:
        return
    if x.device.type == "cpu" and not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        raise _refusal(
            "without the oneDNN backend float32 convolutions may use Winograd's algorithm, whose error exceeds that of"
            " a sum of products",
            "set torch.backends.mkldnn.enabled = True, or convert inputs and model to float64",
        )
    precision = _mkldnn.conv.fp32_precision
    if x.device.type == "cpu" and precision in _REDUCED:
        raise _refusal(
            f"float32 convolutions may be computed in {precision}",
            'set torch.backends.mkldnn.conv.fp32_precision = "ieee"',
        )
    if _FPMATH not in ("", "STRICT"):
        raise _refusal(
            f"float32 convolutions may be computed in less precision, by ONEDNN_DEFAULT_FPMATH_MODE={_FPMATH}",
            "unset this environment variable before the program starts",
        )


# oneDNN reads it once, under its present or its former name.
_FPMATH = (os.environ.get("ONEDNN_DEFAULT_FPMATH_MODE") or os.environ.get("DNNL_DEFAULT_FPMATH_MODE") or "").upper()


# --- gradual underflow ------------------------------------------------------------------------------------------------


class _Pool(threading.local):
    """The size of the thread pool that this thread has last found to underflow gradually."""

    size = 1


_pool = _Pool()
_SMALLEST_NORMAL = sys.float_info.min
_GRAIN = 32768
"""The smallest number of elements that torch gives to one thread (`at::internal::GRAIN_SIZE`)."""


def check_underflow(entering: bool = False) -> None:
    """Refuse to go on if subnormal numbers are flushed to zero, in this thread or in a thread of its pool.

    Each thread has a flag of its own, and inherits it from the thread that starts it. So a pool that was started under
    the flag keeps the flag. Python's own arithmetic shows the flag of this thread.

    Args:
        entering: whether to check the pool again; otherwise the pool is checked only if its size has changed.
    """
    if _SMALLEST_NORMAL * 0.5 == 0.0:
        _pool.size = 1
        raise _refusal(
            "this thread flushes subnormal numbers to zero, so results that underflow lose their error bound",
            "call torch.set_flush_denormal(False)",
        )
    threads = torch.get_num_threads()
    if threads == 1 or (threads == _pool.size and not entering) or torch.compiler.is_compiling():
        return
    with _compat.plain_tensors_only():
        x = torch.full((_GRAIN * threads,), torch.finfo(torch.float32).tiny, device="cpu", dtype=torch.float32)
        flushed = not torch.equal(x.mul(0.5).mul_(2), x)
    if flushed:
        _pool.size = 1
        raise _refusal(
            "a thread of torch's pool flushes subnormal numbers to zero: the pool was started under"
            " torch.set_flush_denormal(True)",
            "leave the flag off until the pool has started, or call torch.set_num_threads(1)",
        )
    _pool.size = threads


def _refusal(reason: str, remedy: str) -> UnprovenOpError:
    return UnprovenOpError(f"outward bounds cannot be claimed: {reason}", remedy, _INSTEAD)
