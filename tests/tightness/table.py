"""The table of ratios: a row for each op of the registry, and one for each function that their rules compose."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
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


def row_of(op: Op, effort: Effort = THOROUGH, count: int = CALLS, arrange: Any = iter) -> Row:
    """Measure one op of the registry on the first few of its calls, as arranged."""
    if why := unmeasured(op):
        return Row(op.name, op.family, measure_calls(()), why)
    measured = measure_elementwise(op) if op in ELEMENTWISE else measure_calls(arrange(calls(op)), effort, count)
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


Key = tuple[str, str, int]
"""A line's name, its family (empty in the second table), and how often both came before."""


def keyed(lines: Iterable[str]) -> dict[Key, str]:
    """Lines of tables by their keys, in order; whatever else is on a page is left out."""
    seen: Counter[tuple[str, str]] = Counter()
    found = {}
    for text in lines:
        cells = _cells(text)
        if cells:
            place = (cells[0], cells[1] if len(cells) == 6 else "")
            found[(*place, seen[place])] = text
            seen[place] += 1
    return found


def keys(of: Iterable[tuple[str, str]]) -> list[Key]:
    """The keys of lines with these names and families."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for place in of:
        found.append((*place, seen[place]))
        seen[place] += 1
    return found


def _cells(text: str) -> list[str]:
    """The cells of a line, without the quotes of its name; nothing for other lines."""
    cells = [cell.strip() for cell in text.replace("\\|", "").split("|")[1:-1]]
    return [cells[0].strip("`"), *cells[1:]] if text.startswith("| `") and len(cells) in (5, 6) else []


def summary(lines: Iterable[str]) -> str:
    """Counts in a few sentences, from the lines of both tables."""
    tables: dict[int, list[list[str]]] = {6: [], 5: []}
    for text in lines:
        tables[len(_cells(text))].append(_cells(text))
    measured, others = ([cells for cells in part if cells[-2]] for part in tables.values())
    near = [cells for cells in measured if _below(cells[-2])]
    sharp = sum(not cells[-1] for cells in measured)
    below = sum(_below(cells[-2]) for cells in others)
    return (
        f"Of {len(tables[6])} ops {len(measured)} return boxes that can be measured: {sharp} are recorded as the hull,"
        f" and within {SHARP} of what the search found; {len(near) - sharp} more are within {SHARP} on these boxes, and"
        f" {len(measured) - len(near)} are looser. Of {len(others)} functions without a record, {below} are within"
        f" {SHARP} and {len(others) - below} looser."
    )


def _below(ratio: str) -> bool:
    return float(ratio.replace("∞", "inf")) <= SHARP
