"""`python -m tests.tightness [--write PAGE] [NAME...]`: measure how tight the bounds are, and print the table."""

from __future__ import annotations

import argparse
import pathlib
import sys

import torch

from tests.tightness.cases import COMPOSED, ENTRIES
from tests.tightness.table import HEAD, HEAD_COMPOSED, OPS, SHARP, keyed, keys, row_of, row_of_composed, summary

PAGE = """# Tightness

How much wider than need be are the bounds of one op? Written by `make tightness-table`, which measures all
(`python -m tests.tightness NAME...` measures some, and with `--write PAGE` replaces their lines): torch {torch},
float64, nearest mode.

{summary}

- *ratio*: width of the bound over width of the hull of the range, for each entry of each result; 1 where both are zero
  or infinite alike, ∞ where only one of them is (a width that rounding in float64 explains counts as zero).
- *boxes*: for functions of one argument, boxes that cover their domain, of all widths
  (`intervaltorch.testing.covering_boxes`); for the others calls, most of them torch's own samples (`op_db`) with balls
  around their floating tensors: an eighth of each entry, 0.05, and 0.5. At most {entries} entries of a call vary;
  where a sample has more, the others are points.
- *reason*: what is lost where the record does not claim the hull, from the record itself; see also the
  [table of operations](ops.md).

The hull is found by brute force: all corners, random points, points with equal entries, critical points, then ascents
for each entry and either end, along the gradient where torch gives one and along coordinates elsewhere. What a search
reaches lies inside the hull, so a ratio is never smaller than the true one; where a bound is the hull, the search need
only reach it, and does so within {sharp}. A value outside a bound would end the run: this is a test of soundness too.
The tests repeat a part of it, and fail if an op that claims the hull is above {sharp}, or one that does not gives no
reason.

These are ratios of single ops. A program of many is looser, because a box forgets how the results of its parts depend
on one another: [](zoo.md) has figures.

## Ops

{ops}

## Functions composed of them

Functions without a rule of their own, which run through their bodies: their bounds lose whatever correlation there is
between the parts.

{composed}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tightness", description="Measure how tight bounds are.")
    parser.add_argument("names", nargs="*", help="ops, families or functions; all if left out")
    parser.add_argument("--write", type=pathlib.Path, help="also write the lines to this page, and keep its others")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ops = [op for op in OPS if not options.names or {op.name, op.family} & set(options.names)]
    composed = [info for info in COMPOSED if not options.names or info.full_name in options.names]
    lines: list[str] = []
    claimed = []
    for head, measure, chosen in ((HEAD, row_of, ops), (HEAD_COMPOSED, row_of_composed, composed)):
        print(*head, sep="\n", flush=True)
        for one in chosen:
            row = measure(one)
            claimed += [row.name] if row.measured.worst > SHARP and not row.reason else []
            lines.append(row.line())
            print(lines[-1], flush=True)
            if options.write:
                _write(options.write, lines)
    print(summary(lines))
    if claimed:
        print(f"recorded as the hull, but wider: {', '.join(claimed)}")
    return int(bool(claimed))


def _write(page: pathlib.Path, lines: list[str]) -> None:
    """Put lines into the page, in the order of the registry, and keep those of other functions."""
    known = keyed(page.read_text().splitlines() if page.exists() else []) | keyed(lines)
    first = [known[key] for key in keys((op.name, op.family) for op in OPS) if key in known]
    second = [known[key] for key in keys((info.full_name, "") for info in COMPOSED) if key in known]
    page.write_text(
        PAGE.format(
            torch=torch.__version__,
            summary=summary([*first, *second]),
            ops="\n".join([*HEAD, *first]),
            composed="\n".join([*HEAD_COMPOSED, *second]),
            entries=ENTRIES,
            sharp=SHARP,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
