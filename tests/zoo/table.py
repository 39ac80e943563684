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

REFUSED: dict[str, str] = {}
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
        if self.refusal:
            return "refused" if REFUSED.get(self.model, "\n") in self.refusal else "FAILED"
        return "FAILED" if self.result.problems or self.model in REFUSED else "ok"


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


HEAD = ["| model | layers | numbers | ratio | median ratio | seconds | status |", "|---|---|---|---|---|---|---|"]


def line(row: Row) -> str:
    """One row as Markdown."""
    found = row.result
    if row.refusal:
        return f"| {row.model} | | | | | | {row.status}: {' '.join(row.refusal.split())} |"
    status = "; ".join([row.status, *found.problems])
    numbers = f"{found.layers} | {found.entries} | {found.ratio:.3g} | {found.median:.3g} | {found.seconds:.1f}"
    return f"| {row.model} | {numbers} | {status} |"


def summary(rows: list[Row]) -> str:
    """Counts in one sentence."""
    ok = [row for row in rows if row.status == "ok"]
    counts = [
        f"{sum(row.model.startswith(library) for row in ok)} of"
        f" {sum(row.model.startswith(library) for row in rows)} {library} models"
        for library in ("timm", "transformers")
    ]
    layers, numbers = sum(row.result.layers for row in ok), sum(row.result.entries for row in ok)
    refused = sum(row.status == "refused" for row in rows)
    failed = sum(row.status == "FAILED" for row in rows)
    return (
        f"{' and '.join(counts)} are enclosed in all of {layers} layers ({numbers} numbers);"
        f" {refused} refused by name, {failed} failed."
    )
