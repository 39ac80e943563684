"""All models of the zoo, one check of any of them, and the table of results."""

from __future__ import annotations

import dataclasses
import gc
import multiprocessing
import statistics
from collections.abc import Iterable, Iterator

import torch

from intervaltorch.errors import IntervalError

from . import huggingface, timm_models, torchvision_stub
from .harness import RADIUS, Result, check, inf, nan

MODELS = [f"timm/{name}" for name in timm_models.TIMM] + [f"transformers/{name}" for name in huggingface.HUGGING_FACE]

REFUSED = {"transformers/longformer": "no interval rule for torch.Tensor.as_strided"}
"""Models that cannot be bounded, with a part of the message that says why."""


@dataclasses.dataclass
class Row:
    """One line of the table: a model, what its check found, and why it was refused."""

    model: str
    result: Result
    refusal: str = ""

    @property
    def status(self) -> str:
        """`ok`, `refused` as expected, or `FAILED`."""
        expected = REFUSED.get(self.model)
        if expected or self.refusal:
            return "refused" if expected and expected in self.refusal else "FAILED"
        return "FAILED" if self.result.problems else "ok"


def run(model: str, seed: int = 0) -> Row:
    """Check one model of `MODELS`."""
    torch.set_num_threads(1)
    torchvision_stub.install()
    library, _, name = model.partition("/")
    family = timm_models if library == "timm" else huggingface
    try:
        row = Row(model, check(*family.build(name, seed), getattr(family, "RADII", {}).get(name, RADIUS), seed))
    except IntervalError as error:
        row = Row(model, Result(), str(error))
    gc.collect()
    return row


def run_all(models: Iterable[str], workers: int) -> Iterator[Row]:
    """Check models in processes of their own, and give the rows in order."""
    if workers == 1:
        yield from map(run, models)
        return
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=20) as pool:
        yield from pool.imap(run, models)


HEAD = [
    "| model | layers | numbers | ratio | median ratio | own ratio | own median | alone | ratio alone | calls | seconds"
    " | status |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|",
]
COLUMNS = HEAD[1].count("---")


def line(row: Row) -> str:
    """One row as Markdown."""
    found = row.result
    if row.refusal:
        return f"| {row.model} |{' |' * (COLUMNS - 2)} {row.status}: {' '.join(row.refusal.split())} |"
    status = "; ".join([row.status, *found.problems])
    ratios = " | ".join(f"{x:.3g}" for x in (found.ratio, found.median, found.own_ratio, found.own_median))
    alone = f"{found.alone} | {found.ratio_alone:.3g} | {found.calls}"
    return f"| {row.model} | {found.layers} | {found.entries} | {ratios} | {alone} | {found.seconds:.1f} | {status} |"


def read(page: str) -> dict[str, str]:
    """The rows of a page that was written before, by model."""
    rows = [text for text in page.splitlines() if text.startswith(("| timm/", "| transformers/"))]
    return {text.split("|")[1].strip(): text for text in rows}


def _cells(rows: Iterable[str]) -> list[dict[str, str]]:
    names = [name.strip() for name in HEAD[0].split("|")[1:-1]]
    return [dict(zip(names, (cell.strip() for cell in row.split("|")[1:]))) for row in rows]


def summary(rows: Iterable[str]) -> str:
    """Counts in one sentence."""
    cells = _cells(rows)
    ok = [cell for cell in cells if cell["status"] == "ok"]
    counts = [
        f"{sum(cell['model'].startswith(library) for cell in ok)} of"
        f" {sum(cell['model'].startswith(library) for cell in cells)} {library} models"
        for library in ("timm", "transformers")
    ]
    layers, numbers, calls = (sum(int(cell[column]) for cell in ok) for column in ("layers", "numbers", "calls"))
    refused, failed = (sum(cell["status"].startswith(kind) for cell in cells) for kind in ("refused", "FAILED"))
    return (
        f"{' and '.join(counts)} are enclosed in all of {layers} layers ({numbers} numbers) and"
        f" {calls} calls of functions;"
        f" {refused} refused by name, {failed} failed."
    )


def widths(rows: Iterable[str]) -> str:
    """How wide boxes are with the weights drawn here and with those that models are made with, in one sentence."""
    pairs = [(_number(cell["ratio"]), _number(cell["own ratio"])) for cell in _cells(rows) if cell["status"] == "ok"]
    known = [(drawn, own) for drawn, own in pairs if own == own]
    if not known:
        return ""
    drawn, own = zip(*known)
    return (
        f"Over the {len(known)} models with a number there, the median is {statistics.median(own):.1g}, and that of"
        f" the column *ratio* is {statistics.median(drawn):.1g}; {sum(ratio > 1e10 for ratio in own)} are above 1e10,"
        f" {sum(ratio == inf for ratio in own)} of them infinite."
    )


def _number(cell: str) -> float:
    return float(cell) if cell else nan
