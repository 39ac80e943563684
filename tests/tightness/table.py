"""The table of ratios: a row for each op of the registry, and one for each function that their rules compose."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable
from typing import Any

from intervaltorch import Op
from tests.table import BUILT_IN
from tests.tightness.by_hand import unmeasured
from tests.tightness.cases import ELEMENTWISE, calls, calls_of
from tests.tightness.measure import Measured, measure_calls, measure_elementwise
from tests.tightness.search import THOROUGH, Effort

SHARP = 1.05
"""Up to this ratio a bound counts as the hull: the search need not reach the hull itself."""

CALLS = 9  # at the most, for one function

OPS = sorted((op for op in BUILT_IN if op.family != "refused"), key=lambda op: (op.family, op.name))

HEAD = ["| op | family | boxes | median ratio | worst ratio | reason |", "|---|---|--:|--:|--:|---|"]
HEAD_COMPOSED = ["| function | boxes | median ratio | worst ratio | reason |", "|---|--:|--:|--:|---|"]


@dataclasses.dataclass(frozen=True)
class Row:
    """One line: what was measured, and why the worst ratio is what it is."""

    name: str
    family: str
    measured: Measured
    reason: str

    def cells(self) -> list[str]:
        """The line, without a family where there is none."""
        found = self.measured
        numbers = [str(found.boxes), written(found.median), written(found.worst)] if found.boxes else ["", "", ""]
        return [f"`{self.name}`", *([self.family] if self.family else []), *numbers, self.reason.replace("|", "\\|")]

    def line(self) -> str:
        """The line as Markdown."""
        return f"| {' | '.join(self.cells())} |".replace("  ", " ")


def written(ratio: float) -> str:
    """Three digits, rounded up so that nothing looks tighter than it is."""
    if not math.isfinite(ratio):
        return "∞" if ratio == math.inf else ""
    digits = 2 if ratio < 10 else 1 if ratio < 100 else 0
    return f"{math.ceil(ratio * 10**digits - 1e-6) / 10**digits:.{digits}f}" if ratio < 1e4 else f"{ratio:.1e}"


def row_of(op: Op, effort: Effort = THOROUGH, count: int = CALLS) -> Row:
    """Measure one op of the registry."""
    if why := unmeasured(op):
        return Row(op.name, op.family, measure_calls(()), why)
    measured = measure_elementwise(op) if op in ELEMENTWISE else measure_calls(calls(op), effort, count)
    return Row(op.name, op.family, measured, "" if op.sharp else reason(op))


def row_of_composed(info: Any, effort: Effort = THOROUGH, count: int = CALLS) -> Row:
    """Measure one function that runs through the rules of others."""
    measured = measure_calls(calls_of(info), effort, count)
    if not measured.boxes:
        return Row(info.full_name, "", measured, "returns no box")
    return Row(info.full_name, "", measured, "" if measured.worst <= SHARP else "composed of rules")


def reason(op: Op) -> str:
    """What a record says is loose: the first sentence of its note."""
    return re.split(r"\.\s+(?=[A-Z])|\n\s*\n", op.note)[0].replace("\n", " ").rstrip(".")


def summary(rows: Iterable[Row], composed: Iterable[Row]) -> str:
    """Counts in a few sentences."""
    rows, composed = list(rows), list(composed)
    measured, others = ([row for row in part if row.measured.boxes] for part in (rows, composed))
    near = [row for row in measured if row.measured.worst <= SHARP]
    sharp = sum(not row.reason for row in measured)
    below = sum(row.measured.worst <= SHARP for row in others)
    return (
        f"Of {len(rows)} ops {len(measured)} return boxes that can be measured: {sharp} are recorded as the hull, all"
        f" of them within {SHARP} of what the search found; {len(near) - sharp} more are within {SHARP} on these boxes,"
        f" and {len(measured) - len(near)} are looser. Of {len(others)} functions without a record, {below} are within"
        f" {SHARP} and {len(others) - below} looser."
    )


def names(page: str) -> tuple[list[tuple[str, str]], list[str]]:
    """The names and families of the first table of a page that was written before, and the names of the second."""
    lines = [[cell.strip() for cell in text.split(" | ")] for text in page.splitlines() if text.startswith("| `")]
    first = [(cells[0].strip("| `"), cells[1]) for cells in lines if len(cells) == len(HEAD[0].split(" | "))]
    second = [cells[0].strip("| `") for cells in lines if len(cells) == len(HEAD_COMPOSED[0].split(" | "))]
    return first, second
