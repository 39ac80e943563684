"""`python -m tests.zoo [--workers N] [--write PAGE] [PART OF A NAME...]`: check the models and print the table."""

from __future__ import annotations

import argparse
import importlib.metadata
import pathlib
import sys

from .table import HEAD, MODELS, line, read, run_all, summary, widths

PAGE = """# Models of timm and transformers

Written by `make zoo-table`, which checks them (`make test-zoo` checks without writing): timm {timm},
transformers {transformers}, torch {torch}, float64.

{summary}

**The weights are chosen so that boxes stay narrow.** They are drawn at random, nine in ten positive, and those of each
linear layer and convolution are rescaled until its box is about as wide as the input's. Models are small: of timm the
smallest variant of each family, of transformers a configuration of a few layers. So a box that misses a value is seen
in every layer; how wide boxes are in a model that somebody uses is another question. The columns *own ratio* and
*own median* answer it for the weights with which the model's own constructor starts. {widths}
Plain intervals do not certify deep models that were not trained for it: that takes linear relaxations, or training on
the bounds.

Each model's code is unmodified and is run on a box around a random input. Every submodule's box must be finite and
contain that submodule's output at the centre, at random points and corners, and at the corners to which gradients of
outputs point; then the same is asked of one submodule of each class alone, on a box around its own input. Nothing is
tolerated but the rounding that outward mode itself accounts for. `tests/zoo/harness.py` tells more.

- *layers*: outputs of submodules compared; *numbers*: entries of these.
- *ratio*: width of the model's box over the width that the points reached, at the output where it is smallest;
  *median ratio*: the same of each layer, median of the layers. Plain intervals grow with depth, most of all where
  normalisation divides by small deviations.
- *own ratio*, *own median*: both ratios with the weights that the model is made with; inf: the box is infinite or
  leaves the domain of a function; nan: the points give one value; empty: not measured yet. Whether points are enclosed
  is not asked there, since hardly a value could leave such a box.
- *alone*: submodules checked alone; *ratio alone*: the ratio of these, median.
- *calls*: functions of torch that these called on boxes, each compared with the function at corners of its arguments.

{table}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.zoo", description="Check the models of the zoo.")
    parser.add_argument("parts", nargs="*", help="parts of names; all models if left out")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--write", type=pathlib.Path, help="also write the table to this page")
    options = parser.parse_args()
    models = [m for m in MODELS if not options.parts or any(part in m for part in options.parts)]
    print(*HEAD, sep="\n")
    rows: dict[str, str] = {}
    failed = 0
    for row in run_all(models, options.workers):
        rows[row.model] = line(row)
        failed += row.status == "FAILED"
        print(rows[row.model], flush=True)
        if options.write:
            _write(options.write, rows)
    print(summary(rows.values()))
    return int(failed > 0)


def _write(page: pathlib.Path, rows: dict[str, str]) -> None:
    """Put rows into the page, and keep those of other models."""
    known = (read(page.read_text()) if page.exists() else {}) | rows
    known = {model: known[model] for model in MODELS if model in known}
    versions = {name: importlib.metadata.version(name) for name in ("timm", "transformers", "torch")}
    table = "\n".join([*HEAD, *known.values()])
    text = {"summary": summary(known.values()), "widths": widths(known.values())}
    page.write_text(PAGE.format(**text, table=table, **versions))


if __name__ == "__main__":
    sys.exit(main())
