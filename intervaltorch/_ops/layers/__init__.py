"""Layers of networks with a joint rule: normalisation, softmax, attention, recurrence, dropout."""

from . import attention, dropout, normalization, quantization, recurrent, rms, softmax, spectrogram

__all__ = ["attention", "dropout", "normalization", "quantization", "recurrent", "rms", "softmax", "spectrogram"]
