"""Checks of what users hand in: the only place where bounds are validated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["check_bounds", "check_clip", "check_radius"]


def check_bounds(lower: Tensor, upper: Tensor) -> None:
    """Raise TypeError or ValueError unless the tensors are the bounds of a box."""
    if lower.dtype != upper.dtype:
        raise TypeError(f"lower is {lower.dtype} but upper is {upper.dtype}: convert one with .to(dtype)")
    if not (lower.dtype.is_floating_point or lower.dtype is torch.bool):
        raise TypeError(f"bounds are of a floating dtype (or bool), not {lower.dtype}: convert them with .float()")
    if lower.shape != upper.shape:
        raise ValueError(f"lower has shape {tuple(lower.shape)} but upper has shape {tuple(upper.shape)}")
    if lower.device != upper.device:
        raise ValueError(f"lower is on {lower.device} but upper is on {upper.device}")
    if lower.layout != torch.strided or upper.layout != torch.strided:
        raise TypeError("bounds are dense tensors: convert them with .to_dense()")
    for name, bound in (("lower", lower), ("upper", upper)):
        nan = bound.isnan()
        if bool(nan.any()):
            raise ValueError(f"{name} is NaN at index {_first(nan)} ({int(nan.sum())} of {nan.numel()} entries)")
    crossed = lower & ~upper if lower.dtype is torch.bool else lower > upper
    if bool(crossed.any()):
        index = _first(crossed)
        raise ValueError(
            f"lower exceeds upper at index {index}: {lower[index].item():.9g} > {upper[index].item():.9g}"
            f" ({int(crossed.sum())} of {crossed.numel()} entries)"
        )


def check_radius(x: Tensor, radius: Any) -> None:
    """Raise TypeError or ValueError unless `radius` is a size of a ball around `x`."""
    if not x.dtype.is_floating_point:
        raise TypeError(f"a ball needs a floating centre, not {x.dtype}: convert it with .float()")
    radius = torch.as_tensor(radius)
    bad = ~(radius >= 0)
    if bool(bad.any()):
        index = _first(bad)
        raise ValueError(f"radius must be >= 0, but is {radius[index].item():.9g} at index {index}")
    nan = x.isnan()
    if bool(nan.any()):
        raise ValueError(f"the centre is NaN at index {_first(nan)} ({int(nan.sum())} of {nan.numel()} entries)")
    infinite = x.isinf() & radius.isinf()
    if bool(infinite.any()):
        raise ValueError(f"the ball has infinite centre and radius at index {_first(infinite)}")


def check_clip(lower: Tensor, upper: Tensor, clip: tuple[float, float]) -> None:
    """Raise ValueError unless every interval meets the clip range."""
    low, high = clip
    if not low <= high:
        raise ValueError(f"clip must be (low, high) with low <= high, not {clip}")
    missed = (lower > high) | (upper < low)
    if bool(missed.any()):
        index = _first(missed)
        raise ValueError(
            f"the ball [{lower[index].item():.9g}, {upper[index].item():.9g}] at index {index} does not meet"
            f" clip={clip}: scale the data to this range, or leave clip out"
        )


def _first(mask: Tensor) -> tuple[int, ...]:
    return tuple(mask.nonzero()[0].tolist())
