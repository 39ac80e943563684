"""Points of a box, chosen where bounds are most likely to be wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from .._records.registry import Op
from .._tensor.interval import IntervalTensor

__all__ = ["covering_boxes", "neighbours", "sample_points", "smooth_boxes"]

inf = float("inf")


def sample_points(
    box: IntervalTensor,
    count: int = 16,
    *,
    critical: tuple[float, ...] = (),
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw points of a box: both extreme corners, the centre, random corners, points near and far from zero.

    Args:
        box: of shape `(*shape)`, complex too; infinite ends are allowed, the points are finite.
        count: how many points to draw, at least 3.
        critical: arguments of interest, such as the turning points of a function. Each adds three points whose
            entries are that number and its two neighbours, pulled into the box.
        generator: source of randomness; torch's default generator if left out.

    Returns:
        Points of shape `(count + 3 * len(critical), *shape)` and the dtype of the box.

    Raises:
        ValueError: if `count` is less than 3.

    Example:
        >>> import torch, intervaltorch as it
        >>> box = it.IntervalTensor(torch.tensor([-1.0, 2.0]), torch.tensor([1.0, 2.0]))
        >>> points = sample_points(box, 8, critical=(0.0,))
        >>> points.shape, bool(box.contains(points).all())
        (torch.Size([11, 2]), True)
    """
    if count < 3:
        raise ValueError(f"count must be at least 3 (two corners and the centre), not {count}")
    lower, upper = box.lower.detach(), box.upper.detach()
    if lower.dtype.is_complex:
        parts = IntervalTensor(torch.view_as_real(lower.resolve_conj()), torch.view_as_real(upper.resolve_conj()))
        return torch.view_as_complex(sample_points(parts, count, critical=critical, generator=generator))
    if lower.dtype is torch.bool:
        return _booleans(lower, upper, count, generator)
    largest = torch.finfo(lower.dtype).max
    l, u = lower.clamp(-largest, largest), upper.clamp(-largest, largest)
    drawn = [l, u, l / 2 + u / 2]
    for position in range(count - 3):
        t = torch.rand(l.shape, dtype=l.dtype, device=l.device, generator=generator)
        if position % 3 == 0:
            drawn.append(torch.where(t < 0.5, l, u))
        elif position % 3 == 1:
            drawn.append(l * (1 - t) + u * t)
        else:  # any order of magnitude, so that wide and infinite boxes are searched near zero too
            drawn.append((t - 0.5) * 10.0 ** (12 * torch.rand(t.shape, dtype=t.dtype, generator=generator) - 6))
    for number in critical:
        drawn.extend(torch.full_like(l, number) for number in neighbours(number, l.dtype))
    # Adding 0 turns -0.0 into 0.0: they are one real number, but 1 / x tells them apart.
    return torch.minimum(torch.maximum(torch.stack(drawn), l), u) + 0.0


def _booleans(lower: Tensor, upper: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """Truth values between *certainly* and *possibly*."""
    t = torch.rand((count, *lower.shape), generator=generator, device=lower.device)
    return torch.where(t < 0.5, lower, upper)


def neighbours(number: float, dtype: torch.dtype) -> tuple[float, float, float]:
    """Return the number rounded to a dtype, and the representable numbers just below and above it.

    Example:
        >>> import torch
        >>> below, middle, above = neighbours(1.0, torch.float32)
        >>> 1 - below, middle, above - 1
        (5.960464477539063e-08, 1.0, 1.1920928955078125e-07)
    """
    middle = torch.tensor(number, dtype=dtype)
    infinity = torch.tensor(float("inf"), dtype=dtype)
    return torch.nextafter(middle, -infinity).item(), middle.item(), torch.nextafter(middle, infinity).item()


# --- boxes for functions of one argument ----------------------------------------------------------------------


def covering_boxes(record: Op | None, dtype: torch.dtype, seed: int = 0) -> IntervalTensor:
    """Boxes that cover the domain of an elementwise function: every pair of notable numbers, and random boxes.

    Notable numbers are zero, the ends of the domain, critical points with their neighbours, and numbers of all sizes.

    Args:
        record: the record of the function; None for the whole line.
        dtype: floating dtype.
        seed: of the random boxes.

    Returns:
        Boxes of shape `(n,)`.
    """
    low, high = record.domain if record else (-inf, inf)
    ends = [n for x in (low, high, *(record.critical if record else ())) if abs(x) < inf for n in neighbours(x, dtype)]
    sizes = [0.0, 1e-6, 0.1, 0.5, 1.0, 2.0, 5.0, 20.0, 90.0, 1e4, 1e10]
    notable = torch.tensor([*ends, *sizes, *(-size for size in sizes)], dtype=dtype)
    notable = notable[(notable >= low) & (notable <= high)].unique()
    lower, upper = torch.combinations(notable, with_replacement=True).unbind(1)
    if low <= 0 <= high:  # the other zero
        lower = torch.cat([lower, torch.tensor([-0.0, -0.0, -0.0, max(low, -1.0)], dtype=dtype)])
        upper = torch.cat([upper, torch.tensor([-0.0, 0.0, min(high, 1.0), -0.0], dtype=dtype)])
    generator = torch.Generator().manual_seed(seed)
    centre = 3 * torch.randn(200, generator=generator, dtype=dtype)
    radius = 10.0 ** (5 * torch.rand(200, generator=generator, dtype=dtype) - 4)
    lower = torch.cat([lower, (centre - radius).clamp(low, high)])
    upper = torch.cat([upper, (centre + radius).clamp(low, high)])
    return IntervalTensor(lower, upper)


def smooth_boxes(record: Op | None) -> IntervalTensor:
    """A few boxes in float64 inside the domain, whose ends are unlikely to be kinks."""
    low, high = record.domain if record else (-inf, inf)
    low, high = max(low, -3.0), min(high, 3.0)
    low, high = (low, high) if low < high else (low, low + 3.0)
    ends = low + (high - low) * (0.01 + 0.97 * torch.rand(2, 12, generator=torch.Generator().manual_seed(1)))
    return IntervalTensor(ends.amin(0).double(), ends.amax(0).double() + 1e-3)
