"""The table of operations, made from `intervaltorch.supported_ops()` when the documentation is built."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from intervaltorch import EXACT, Op, supported_ops

HEAD = ("operation", "formula", "domain", "image", "curvature", "sharp", "outward", "spellings")


class OpTable(SphinxDirective):
    """A paragraph of counts, then one section and table for each family."""

    def run(self) -> list[nodes.Node]:
        """Build the nodes from the records of the installed package."""
        self.env.note_reread()  # the package may have changed where the page has not
        ops = supported_ops()
        return [_counts(ops), *(_section(family, group) for family, group in _families(ops))]


def _families(ops: Iterable[Op]) -> Iterator[tuple[str, list[Op]]]:
    for family, group in groupby(ops, key=lambda op: op.family):
        yield family, list(group)


def _counts(ops: list[Op]) -> nodes.paragraph:
    spellings = sum(len(op.spellings) for op in ops)
    families = len({op.family for op in ops})
    kinds = Counter(_outward(op).partition(" ")[0] for op in ops)
    sharp = sum(op.sharp for op in ops)
    text = (
        f"{len(ops)} operations in {families} families, under {spellings} spellings. In outward mode "
        f"{kinds['exact']} are exact, {kinds['proof']} have a proof, {kinds['within']} a stated error budget "
        f"and {kinds['best']} neither. {sharp} give the hull of their range; the other {len(ops) - sharp} may "
        "give more."
    )
    return nodes.paragraph("", text, classes=["op-counts"])


def _section(family: str, ops: list[Op]) -> nodes.section:
    section = nodes.section(ids=[nodes.make_id(f"family-{family}")], names=[family])
    section += nodes.title("", f"{family} ({len(ops)})")
    section += _table(ops)
    return section


def _table(ops: list[Op]) -> nodes.table:
    group = nodes.tgroup(cols=len(HEAD))
    group += [nodes.colspec(colwidth=1) for _ in HEAD]
    head = nodes.thead()
    head += _row([nodes.paragraph("", title) for title in HEAD])
    body = nodes.tbody()
    body += [_row(_cells(op)) for op in ops]
    group += [head, body]
    table = nodes.table(classes=["op-table"])
    table += group
    return table


def _row(cells: Iterable[nodes.Element]) -> nodes.row:
    row = nodes.row()
    row += [nodes.entry("", cell) for cell in cells]
    return row


def _cells(op: Op) -> Iterator[nodes.Element]:
    yield nodes.paragraph("", "", nodes.literal("", op.name))
    yield nodes.paragraph("", "", nodes.math("", op.formula)) if op.formula else nodes.paragraph()
    for interval in (op.domain, op.image):
        yield nodes.paragraph("", "" if interval == (-math.inf, math.inf) else _interval(*interval))
    yield nodes.paragraph("", op.curvature or "")
    yield nodes.paragraph("", "yes" if op.sharp else "no")
    yield nodes.paragraph("", _outward(op))
    yield nodes.paragraph("", str(len(op.spellings)))


def _outward(op: Op) -> str:
    """What the outward bounds rest on."""
    if op.budget == EXACT:
        return "exact"
    if op.budget is not None:
        parts = ((op.budget.relative, "ε|y|"), (op.budget.input, "ε|x|"), (op.budget.absolute, "η"))
        return "within " + " + ".join(f"{size:g} {of}" for size, of in parts if size)
    return "proof" if op.proven else "best effort"


def _interval(low: float, high: float) -> str:
    """Closed at finite ends; short decimals, for readers and not for proofs."""
    left = "(-∞" if low == -math.inf else f"[{low:.5g}"
    right = "∞)" if high == math.inf else f"{high:.5g}]"
    return f"{left}, {right}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("op-table", OpTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
