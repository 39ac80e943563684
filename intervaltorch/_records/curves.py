"""How a function of one argument bends: what lines below and above it are made from."""

from __future__ import annotations

import dataclasses

__all__ = ["Curve"]


@dataclasses.dataclass(frozen=True)
class Curve:
    """Where a function of one argument bends.

    Attributes:
        curvature: `"convex"` or `"concave"`: left of the first inflection point.
        inflections: in increasing order, where the curvature changes its sign; a kink that separates two pieces of one
            curvature is named twice.
        period: of a periodic function, whose inflection points are those of one period.
        kinks: of a continuous, piecewise linear function, where its slope changes; it needs no inflection points.
        slack: how far the function may lie from one that bends as stated, on a box that holds `jump`.
        jump: where the function leaves that one; None if that may be anywhere.
    """

    curvature: str = "convex"
    inflections: tuple[float, ...] = ()
    period: float | None = None
    kinks: tuple[float, ...] | None = None
    slack: float = 0.0
    jump: float | None = None
