"""Tables, and words that say what kind of statement a number is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from examples.provae.evaluate import Rounding

MEANING = {
    "outward": "in real arithmetic (outward rounding)",
    "nearest": "up to floating-point rounding (nearest rounding)",
}


def below(value: float) -> str:
    """Two decimals, rounded down: what is printed is still a lower bound."""
    return f"{math.floor(value * 100) / 100:.2f}" if math.isfinite(value) else str(value)


def above(value: float) -> str:
    """Two decimals, rounded up: what is printed is still an upper bound."""
    return f"{math.ceil(value * 100) / 100:.2f}" if math.isfinite(value) else str(value)


def plain(value: float) -> str:
    """Two decimals."""
    return f"{value:.2f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned on the right, the first on the left."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        return "  ".join((cells[0].ljust(len(first)), *rest)).rstrip()

    return "\n".join([line(head), "  ".join("-" * width for width in widths), *map(line, rows)])


def fixed_noise_meaning(samples: int, seed: int, rounding: Rounding, clip: bool) -> str:
    """What a certificate with fixed noise states."""
    where = "in [0, 1]" if clip else "not clipped to [0, 1]"
    return (
        f"certified: no image of the ball ({where}) has a lower ELBO under the same {samples} noise samples\n"
        f"  (seed {seed}); exact, {MEANING[rounding]}. About the expectation over all noise it\n"
        "  is an unbiased estimate of a bound, not itself a bound: for one, see evaluate --confidence."
    )


def rounding_meaning(rounding: Rounding) -> str:
    """What the column about the rounding mode states."""
    other = "nearest" if rounding == "outward" else "outward"
    return f"rounding: with --rounding {other} the certificate of an image differs by at most this (first 100 images)."


def confidence_meaning(level: float, draws: int) -> str:
    """What a confidence bound states."""
    return (
        f"expected: with {100 * level:g} % confidence over {draws} noise draws, the lowest expected ELBO of\n"
        "  each ball, averaged over the images, is at least this."
    )
