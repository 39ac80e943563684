"""The tables of all functions of torch by their kind, made from the tables that the library itself reads."""

from __future__ import annotations

from collections import defaultdict

from docutils import nodes
from op_table import row
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from intervaltorch._catalogue.coverage import KINDS, kinds, overridable
from intervaltorch._records.refusals import refusal
from intervaltorch._records.registry import OPS, spelled


class CoverageTable(SphinxDirective):
    """A table of counts, then one section for each of the four kinds of functions."""

    def run(self) -> list[nodes.Node]:
        """Build the nodes from the installed package and torch."""
        self.env.note_reread()
        found = {kind: [] for kind in KINDS}
        for function in overridable():
            (kind,) = kinds(function)
            found[kind].append(function)
        return [
            _table(("functions", "which"), [(str(len(found[kind])), meaning) for kind, meaning in KINDS.items()]),
            _section("Refused", _groups(found["refused"])),
            _section("Through their own body", [nodes.paragraph("", "", _names(found["fallback"]))]),
            _section("Without reading values", [nodes.paragraph("", "", _names(found["point"]))]),
            _section("By a rule", [_rules(found["rule"])]),
        ]


def _section(title: str, content: list[nodes.Node]) -> nodes.section:
    section = nodes.section(ids=[nodes.make_id(f"coverage-{title}")], names=[title.lower()])
    section.extend([nodes.title("", title), *content])
    return section


def _table(titles: tuple[str, ...], rows: list[tuple], widths: tuple[int, ...] = (1, 6)) -> nodes.table:
    group = nodes.tgroup(cols=len(titles))
    group += [nodes.colspec(colwidth=width) for width in widths]
    head, body = nodes.thead(), nodes.tbody()
    head += row(titles)
    body += [row(cells) for cells in rows]
    group += [head, body]
    return nodes.table("", group, classes=["op-table"])


def _groups(functions: list) -> list[nodes.Node]:
    """A section for each reason; functions for which more can be said have a row of their own."""
    groups: dict = defaultdict(lambda: defaultdict(list))
    for function in functions:
        group, instead = refusal(function)
        groups[group][instead].append(function)
    return [
        _section(
            f"{group.title} ({sum(map(len, rows.values()))})",
            [
                nodes.paragraph("", f"{group.reason[0].upper()}{group.reason[1:]}."),
                _table(("functions", "instead"), [(_names(which), instead) for instead, which in rows.items()], (3, 2)),
            ],
        )
        for group, rows in sorted(groups.items(), key=lambda item: item[0].title)
    ]


def _names(functions: list) -> nodes.inline:
    """The names, each once, those of one namespace together."""
    names = sorted(dict.fromkeys(map(spelled, functions)), key=lambda name: (name.rpartition(".")[0], name.lower()))
    parts = [part for name in names for part in (nodes.literal("", name), nodes.Text(", "))]
    return nodes.inline("", "", *parts[:-1])


def _rules(functions: list) -> nodes.table:
    """By family; a method that the class itself answers has no record."""
    families = defaultdict(list)
    for function in functions:
        families[OPS[function].op.family if function in OPS else "answered by IntervalTensor"].append(function)
    rows = [(family, _names(which)) for family, which in sorted(families.items())]
    return _table(("family", "functions"), rows)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("coverage-table", CoverageTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
