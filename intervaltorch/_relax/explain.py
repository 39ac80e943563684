"""What each operation contributes to the width of linear bounds."""

from __future__ import annotations

import dataclasses
import math

from .state import Run

__all__ = ["Explanation", "Row", "explained"]


@dataclasses.dataclass(frozen=True)
class Row:
    """One operation of a program, in one module.

    Attributes:
        share: its part of the total width of all outputs.
        operation: the name of the function; a part of a function has the name of the function first.
        how: how it is relaxed: `"lines"`, `"planes"`, `"selection"` or `"affine"`, or `"box"` if only the box of its
            result is known.
        module: the innermost module in which it ran.
        entries: how many numbers it computed.
    """

    share: float
    operation: str
    how: str
    module: str
    entries: int


class Explanation(list[Row]):
    """Rows, the largest share first; printed as a table."""

    def __str__(self) -> str:
        """The table, without rows whose share is below half a percent."""
        head = ("share", "operation", "how", "module", "entries")
        rows = [
            (f"{row.share:4.0%}", row.operation, row.how, row.module, str(row.entries))
            for row in self
            if row.share >= 0.005
        ]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = [(cells[0].rjust(widths[0]), *map(str.ljust, cells[1:], widths[1:])) for cells in (head, *rows)]
        return "\n".join("  ".join(cells).rstrip() for cells in lines)


def explained(run: Run) -> Explanation:
    """The account of a run as a table. All nodes of one operation in one module make one row."""
    total = sum(run.account.values())
    found: dict[tuple[str, str, str], list[float]] = {}
    for node, width in run.account.items():
        operation, module = node.place or ("", "")
        entry = found.setdefault((operation, node.how, module), [0.0, 0.0])
        entry[0] += width / total if total > 0 and math.isfinite(total) else math.nan
        entry[1] += node.shape.numel()
    rows = (Row(share, operation, how, module, int(n)) for (operation, how, module), (share, n) in found.items())
    return Explanation(sorted(rows, key=lambda row: -row.share))
