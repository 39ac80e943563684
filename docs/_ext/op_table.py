"""The table of operations, made from `intervaltorch.supported_ops()` when the documentation is built."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import TypeAlias

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from intervaltorch import EXACT, Budget, Op, supported_ops
from intervaltorch._records.registry import ELEMENTWISE, EVERYTHING

Cell: TypeAlias = nodes.Element | str | None


class OpTable(SphinxDirective):
    """A paragraph of counts, then one section and table for each topic."""

    def run(self) -> list[nodes.Node]:
        """Build the nodes from the records of the installed package."""
        self.env.note_reread()  # the package may have changed where the page has not
        ops = supported_ops()
        return [_counts(ops), *(_section(topic, group) for topic, group in _topics(ops))]


def _topics(ops: Iterable[Op]) -> Iterator[tuple[str, list[Op]]]:
    """The ops by topic."""
    for topic, group in groupby(sorted(ops, key=lambda op: (op.topic, op.name)), key=lambda op: op.topic):
        yield topic, list(group)


def _counts(ops: list[Op]) -> nodes.paragraph:
    spellings = sum(len(op.spellings) for op in ops)
    topics = len({op.topic for op in ops})
    kinds = Counter(_outward(op).partition(" ")[0] for op in ops)
    sharp = sum(op.sharp for op in ops)
    text = (
        f"{len(ops)} operations on {topics} topics, under {spellings} spellings. In outward mode "
        f"{kinds['exact']} are exact, {kinds['proof']} have a proof, {kinds['within']} a stated error budget "
        f"and {kinds['best']} neither. {sharp} give the hull of their range; the other {len(ops) - sharp} "
        "may give more."
    )
    return nodes.paragraph("", text, classes=["op-counts"])


def _section(topic: str, ops: list[Op]) -> nodes.section:
    section = nodes.section(ids=[nodes.make_id(f"topic-{topic}")], names=[topic])
    section += nodes.title("", f"{topic} ({len(ops)})")
    section += _table(ops)
    return section


def _table(ops: list[Op]) -> nodes.table:
    columns = {title: [cell(op) for op in ops] for title, cell in COLUMNS.items()}
    columns = {title: cells for title, cells in columns.items() if any(cells)}
    group = nodes.tgroup(cols=len(columns))
    group += [nodes.colspec(colwidth=1) for _ in columns]
    head, body = nodes.thead(), nodes.tbody()
    head += row(columns)
    body += [row(cells) for cells in zip(*columns.values(), strict=True)]
    group += [head, body]
    table = nodes.table(classes=["op-table"])
    table += group
    return table


def row(cells: Iterable[Cell]) -> nodes.row:
    """Make a row of a table of text or nodes."""
    row = nodes.row()
    for cell in cells:
        content = cell if isinstance(cell, nodes.Element) else nodes.Text(cell or "")
        row += nodes.entry("", nodes.paragraph("", "", content))
    return row


# --- columns: each makes the cell of one record; a column that is empty in a whole topic is left out -------


def _outward(op: Op) -> str:
    """The basis of the outward bounds."""
    if op.budget == EXACT:
        return "exact"
    if op.budget is not None:
        return f"within {_terms(op.budget)}"
    return "proof" if op.proven else "best effort"


def _terms(budget: Budget) -> str:
    parts = ((budget.relative, "ε|y|"), (budget.input, "ε|x|"), (budget.absolute, "η"))
    return " + ".join(f"{size:g} {of}" for size, of in parts if size)


def _on_cuda(op: Op) -> str | None:
    """The budget on CUDA, where it is another than on CPUs."""
    if op.budget in (None, EXACT) or op.budget.cuda == op.budget.relative:
        return None
    if op.budget.cuda is None:
        return "best effort"
    return f"within {_terms(dataclasses.replace(op.budget, relative=op.budget.cuda))}"


def _interval(low: float, high: float) -> str | None:
    """Closed at finite ends; short decimals, for readers and not for proofs."""
    if (low, high) == (-math.inf, math.inf):
        return None
    left = "(-∞" if low == -math.inf else f"[{low:.5g}"
    right = "∞)" if high == math.inf else f"{high:.5g}]"
    return f"{left}, {right}"


def _remark(op: Op) -> nodes.Element | None:
    """The first sentence of the note."""
    sentence = re.split(r"\.\s+(?=[A-Z])|\n\s*\n", op.note)[0].rstrip(".")
    if not sentence:
        return None
    words = sentence.split("`")  # text and code in turn
    parts = [nodes.literal("", part) if i % 2 else nodes.Text(part) for i, part in enumerate(words)]
    return nodes.inline("", "", *parts)


def _lines(op: Op) -> str | None:
    """How linear relaxations follow the function."""
    ways = []
    if callable(op.affine_in):
        ways.append("affine, depending on the call")
    elif op.affine_in:
        names = "" if op.affine_in == EVERYTHING else " or ".join(", ".join(sorted(each)) for each in op.affine_in)
        ways.append(f"affine in {names}" if names else "affine")
    if op.curve is not None:
        ways.append("lines, depending on its parameters")
    elif op.kinks is not None:
        ways.append(f"lines with kinks at {', '.join(f'{x:g}' for x in op.kinks)}")
    elif op.family in ELEMENTWISE and op.curvature:
        ways.append("lines" + f" that bend at {', '.join(f'{x:.5g}' for x in op.inflections)}" * bool(op.inflections))
    if op.parts is not None:
        ways.append("parts")
    return "; ".join(ways) or None


COLUMNS: dict[str, Callable[[Op], Cell]] = {
    "operation": lambda op: nodes.literal("", op.name),
    "theorem": lambda op: op.family,
    "formula": lambda op: nodes.math("", op.formula) if op.formula else None,
    "domain": lambda op: _interval(*op.domain),
    "image": lambda op: _interval(*op.image),
    "curvature": lambda op: op.curvature,
    "relaxed": _lines,
    "sharp": lambda op: "yes" if op.sharp else "no",
    "outward": _outward,
    "outward on CUDA": _on_cuda,
    "spellings": lambda op: str(len(op.spellings)),
    "remark": _remark,
}


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("op-table", OpTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
