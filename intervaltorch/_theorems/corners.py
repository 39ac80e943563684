"""Lines of functions with one corner, such as ReLU: two straight halves, so lines have closed forms (Ehlers 2017).

Across the corner the chord lies on one side of the function. On its other side lies the half that holds the centre of
the box, prolonged beyond the corner. Beside the corner both lines are the function.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .._records.registry import Box
from .lines import Free, Lines, constant_lines

__all__ = ["corner_lines"]


def corner_lines(function: Callable[[Tensor], Tensor], corner: float, x: Box, y: Box) -> tuple[Lines, Free]:
    """Lines of a function that is straight on both sides of a number, and the lines of other slopes.

    Args:
        function: elementwise on plain tensors.
        corner: where its slope changes.
        x: the box of its argument.
        y: the box of its values, for infinite entries.
    """
    l, u = x
    around = torch.tensor([corner - 1, corner, corner + 1], dtype=l.dtype, device=l.device)
    before, at, after = function(around).tolist()
    # As tensors: torch.where of two Python numbers would round them to float32.
    left, right = l.new_tensor(at - before), l.new_tensor(after - at)
    across = (l < corner) & (u > corner)
    at_l = at + torch.where(l < corner, left, right) * (l - corner)
    at_u = at + torch.where(u < corner, left, right) * (u - corner)
    width = torch.where(across, u - l, 1.0)
    slope = torch.where(u <= corner, left, right)
    chord = torch.where(across, (left * (corner - l) + right * (u - corner)) / width, slope)
    chord_offset = torch.where(across, at_l - chord * l, at - slope * corner)
    half = torch.where(l / 2 + u / 2 < corner, left, right)
    half_offset = at - half * corner
    parts = (half, half_offset, chord, chord_offset) if right >= left else (chord, chord_offset, half, half_offset)

    def finished(*parts: Tensor) -> Lines:
        good = (at_l.isfinite() & at_u.isfinite()).detach()
        if bool(good.all()):
            return Lines(*parts)
        return Lines(*(torch.where(good, part, flat) for part, flat in zip(parts, constant_lines(y), strict=True)))

    def of_slopes(lower: Tensor, upper: Tensor) -> Lines:
        below, above = (
            torch.stack([at_l - a * l, at_u - a * u, torch.where(across, at - a * corner, at_l - a * l)])
            for a in (lower, upper)
        )
        return finished(lower, below.amin(0), upper, above.amax(0))

    least, greatest = (pick(left, right).expand_as(l) for pick in (torch.minimum, torch.maximum))
    return finished(*parts), Free(of_slopes, least, greatest)
