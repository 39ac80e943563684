"""Rules of whole layers: normalisation, softmax, attention, recurrent layers, dropout, and others."""

from . import attention, dropout, normalization, quantization, recurrent, rms, softmax, spectrogram, standardising

__all__ = [
    "attention",
    "dropout",
    "normalization",
    "quantization",
    "recurrent",
    "rms",
    "softmax",
    "spectrogram",
    "standardising",
]
