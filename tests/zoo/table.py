"""All models of the zoo, one check of any of them, and the table of results."""

from __future__ import annotations

import dataclasses
import gc
import multiprocessing
from collections.abc import Iterable, Iterator

import torch

from intervaltorch.errors import IntervalError

from . import huggingface, timm_models, torchvision_stub
from .harness import RADIUS, Result, check

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
    "| model | layers | numbers | ratio | median ratio | alone | ratio alone | calls | seconds | status |",
    "|---|---|---|---|---|---|---|---|---|---|",
]


def line(row: Row) -> str:
    """One row as Markdown."""
    found = row.result
    if row.refusal:
        return f"| {row.model} | | | | | | | | | {row.status}: {' '.join(row.refusal.split())} |"
    status = "; ".join([row.status, *found.problems])
    ratios = f"{found.ratio:.3g} | {found.median:.3g} | {found.alone} | {found.ratio_alone:.3g} | {found.calls}"
    return f"| {row.model} | {found.layers} | {found.entries} | {ratios} | {found.seconds:.1f} | {status} |"


def read(page: str) -> dict[str, str]:
    """The rows of a page that was written before, by model."""
    rows = [text for text in page.splitlines() if text.startswith(("| timm/", "| transformers/"))]
    return {text.split("|")[1].strip(): text for text in rows}


def summary(rows: Iterable[str]) -> str:
    """Counts in one sentence."""
    cells = [[cell.strip() for cell in text.split("|")[1:11]] for text in rows]
    ok = [cell for cell in cells if cell[9] == "ok"]
    counts = [
        f"{sum(cell[0].startswith(library) for cell in ok)} of"
        f" {sum(cell[0].startswith(library) for cell in cells)} {library} models"
        for library in ("timm", "transformers")
    ]
    layers, numbers, calls = (sum(int(cell[column]) for cell in ok) for column in (1, 2, 7))
    refused, failed = (sum(cell[9].startswith(kind) for cell in cells) for kind in ("refused", "FAILED"))
    return (
        f"{' and '.join(counts)} are enclosed in all of {layers} layers ({numbers} numbers) and"
        f" {calls} calls of functions;"
        f" {refused} refused by name, {failed} failed."
    )
