"""Checks of users' arguments. Bounds are validated only here."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._compat import anywhere, readable, vmapping

__all__ = ["check_bounds", "check_clip", "check_meeting", "check_plain", "check_points", "check_radius"]


def check_bounds(lower: Tensor, upper: Tensor) -> None:
    """Raise TypeError or ValueError unless the tensors are the bounds of a box."""
    if lower.dtype != upper.dtype:
        raise TypeError(f"lower is {lower.dtype} but upper is {upper.dtype}: convert one with .to(dtype)")
    if lower.is_complex() and upper.layout == lower.layout == torch.strided:
        check_bounds(torch.view_as_real(lower), torch.view_as_real(upper))
        return
    if not (lower.dtype.is_floating_point or lower.dtype is torch.bool):
        raise TypeError(f"bounds are of a floating dtype (or bool), not {lower.dtype}: convert them with .float()")
    if lower.dtype.is_floating_point and torch.finfo(lower.dtype).bits < 16:
        raise TypeError(
            f"torch cannot compare numbers of {lower.dtype}, so they cannot be bounds: convert them with .float()"
        )
    if lower.is_nested or upper.is_nested:
        raise TypeError("bounds cannot be nested tensors: make a box of each tensor of .unbind()")
    if lower.layout != torch.strided or upper.layout != torch.strided:
        raise TypeError("bounds are dense tensors: convert them with .to_dense()")
    if lower.shape != upper.shape:
        raise ValueError(
            f"lower has shape {tuple(lower.shape)} but upper has shape {tuple(upper.shape)}:"
            " bring them to one shape with torch.broadcast_tensors(lower, upper)"
        )
    if lower.device != upper.device:
        raise ValueError(f"lower is on {lower.device} but upper is on {upper.device}: move one with .to(device)")
    if not readable(lower):
        return
    if vmapping():
        if anywhere(~(lower <= upper)):
            raise ValueError("lower exceeds upper, or a bound is NaN, in some sample of torch.vmap")
        return
    check_points(lower, "lower")
    check_points(upper, "upper")
    crossed = lower & ~upper if lower.dtype is torch.bool else lower > upper
    if bool(crossed.any()):
        index = _first(crossed)
        raise ValueError(
            f"lower exceeds upper at index {index}: {_at(lower, index)} > {_at(upper, index)}"
            f" ({_share(crossed)}); exchange the bounds there, or check the code that computed them"
        )


def check_points(x: Tensor, name: str = "the argument") -> None:
    """Raise ValueError if a tensor holds NaN, which no interval contains."""
    if not readable(x) or vmapping():
        return
    nan = x.isnan()
    if bool(nan.any()):
        raise ValueError(f"{name} is NaN at index {_first(nan)} ({_share(nan)})")


def check_plain(x: Any, name: str, remedy: str) -> Tensor:
    """Return an argument as a plain tensor, or raise TypeError if it is an interval tensor."""
    if hasattr(x, "_box"):
        raise TypeError(f"{name} is already an IntervalTensor: {remedy}")
    return torch.as_tensor(x).resolve_conj()


def check_radius(x: Tensor, radius: Any) -> None:
    """Raise TypeError or ValueError unless `radius` is a size of a ball around `x`."""
    if not x.dtype.is_floating_point:
        raise TypeError(f"a ball needs a floating centre, not {x.dtype}: convert it with .float()")
    radius = torch.as_tensor(radius)
    if radius.is_complex():
        raise TypeError(f"radius is a non-negative real number or tensor, not {radius.dtype}")
    pairs = zip(reversed(radius.shape), reversed(x.shape), strict=False)
    fits = radius.ndim <= x.ndim and all(r in (1, n) for r, n in pairs)
    if not fits:
        raise ValueError(f"radius of shape {tuple(radius.shape)} does not broadcast to the centre's {tuple(x.shape)}")
    if not readable(x) or not readable(radius) or vmapping():
        return
    bad = ~(radius >= 0)
    if bool(bad.any()):
        index = _first(bad)
        raise ValueError(f"radius must be >= 0, but is {_at(radius, index)} at index {index} ({_share(bad)})")
    check_points(x, "the centre")
    infinite = x.isinf() & radius.to(x.device).isinf()
    if bool(infinite.any()):
        raise ValueError(f"the ball has infinite centre and radius at index {_first(infinite)}")


def check_meeting(lower: Tensor, upper: Tensor) -> None:
    """Raise ValueError unless two boxes meet.

    Args:
        lower: the greater of the two lower bounds.
        upper: the lesser of the two upper bounds.
    """
    if not readable(lower) or vmapping():
        return
    apart = lower > upper
    if bool(apart.any()):
        index = _first(apart)
        raise ValueError(
            f"the boxes share no point at index {index}: one begins at {_at(lower, index)}, the other ends at"
            f" {_at(upper, index)} ({_share(apart)}); X.isdisjoint(Y) tells where boxes share no point"
        )


def check_clip(lower: Tensor, upper: Tensor, clip: tuple[float, float]) -> None:
    """Raise ValueError unless every interval meets the clip range."""
    try:
        low, high = clip
        ordered = bool(low <= high)
    except (TypeError, ValueError):
        raise TypeError(f"clip is a pair of numbers (low, high), such as (0, 1), not {clip!r}") from None
    if not ordered:
        raise ValueError(f"clip must be (low, high) with low <= high, not {clip}")
    if not readable(lower) or vmapping():
        return
    missed = (lower > high) | (upper < low)
    if bool(missed.any()):
        index = _first(missed)
        raise ValueError(
            f"the ball [{_at(lower, index)}, {_at(upper, index)}] at index {index} does not meet clip={clip}"
            f" ({_share(missed)}): scale the data to this range, or leave clip out"
        )


def _first(mask: Tensor) -> tuple[int, ...]:
    return tuple(mask.nonzero()[0].tolist())


def _at(x: Tensor, index: tuple[int, ...]) -> str:
    """One entry, with enough digits to distinguish it from the neighbouring floats."""
    value = x[index].item()
    return str(value) if isinstance(value, (bool, int)) else f"{value:.{17 if x.dtype is torch.float64 else 9}g}"


def _share(mask: Tensor) -> str:
    return f"{int(mask.sum())} of {mask.numel()} entries"
