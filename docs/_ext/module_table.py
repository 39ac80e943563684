"""The table of `torch.nn`, made from the table that the tests run (`tests/modules/table.py`)."""

from __future__ import annotations

from itertools import groupby

from docutils import nodes
from op_table import row
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from torch import nn

from tests.modules.table import ABSTRACT, CASES, CONTAINERS, Case, names

BOUNDED, PARTLY, REFUSED, CONTAINER, BASE = "bounded", "bounded, with exceptions", "refused", "container", "base class"


class ModuleTable(SphinxDirective):
    """A paragraph of counts, then one section and table for each file of `torch.nn.modules`."""

    def run(self) -> list[nodes.Node]:
        """Build the nodes from the table."""
        self.env.note_reread()
        ordered = sorted(names(), key=lambda name: (_group(name), name))
        sections = [_section(title, list(group)) for title, group in groupby(ordered, key=_group)]
        return [_counts(ordered), *sections]


def _group(name: str) -> str:
    """The file of torch that defines a module."""
    return getattr(nn, name).__module__.rpartition(".")[2]


def _cases(name: str) -> list[Case]:
    return [case for case in CASES if case.name == name]


def _status(name: str) -> tuple[str, str]:
    """Whether a module takes boxes, and the reasons where it refuses them."""
    if name in ABSTRACT:
        return BASE, ABSTRACT[name]
    if name in CONTAINERS:
        return CONTAINER, "holds other modules or parameters, boxes among them"
    refused = [case for case in _cases(name) if case.refusal]
    reasons = "; ".join(dict.fromkeys(f"{'in training: ' * case.training}{case.reason}" for case in refused))
    if not refused:
        return BOUNDED, ""
    return (REFUSED if len(refused) == len(_cases(name)) else PARTLY), reasons


def _counts(ordered: list[str]) -> nodes.paragraph:
    kinds = [_status(name)[0] for name in ordered]
    text = (
        f"{len(ordered)} modules: {kinds.count(BOUNDED)} are bounded in every way tried, {kinds.count(PARTLY)} with "
        f"exceptions named below, {kinds.count(REFUSED)} are refused, {kinds.count(CONTAINER)} are containers and "
        f"{kinds.count(BASE)} are base classes. {len(CASES)} ways to use them are tried."
    )
    return nodes.paragraph("", text, classes=["op-counts"])


def _section(title: str, group: list[str]) -> nodes.section:
    section = nodes.section(ids=[nodes.make_id(f"modules-{title}")], names=[f"modules {title}"])
    section += nodes.title("", f"{title} ({len(group)})")
    columns = nodes.tgroup(cols=4)
    columns += [nodes.colspec(colwidth=width) for width in (3, 2, 1, 5)]
    head, body = nodes.thead(), nodes.tbody()
    head += row(["module", "boxes", "ways tried", "remark"])
    for name in group:
        status, remark = _status(name)
        body += row([nodes.literal("", f"nn.{name}"), status, str(len(_cases(name)) or ""), _text(remark)])
    columns += [head, body]
    table = nodes.table(classes=["op-table"])
    table += columns
    section += table
    return section


def _text(remark: str) -> nodes.inline:
    """Text and code, in turn."""
    parts = remark.split("`")
    return nodes.inline("", "", *(nodes.literal("", p) if i % 2 else nodes.Text(p) for i, p in enumerate(parts)))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("module-table", ModuleTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
