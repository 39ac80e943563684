"""Print what each op spends of its error budget on this machine: `python -m tests.budgets --help`."""

from __future__ import annotations

import argparse

import torch

from tests.budgets.cases import CASES
from tests.budgets.measure import spent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.budgets", description=__doc__)
    parser.add_argument("names", nargs="*", help="ops to measure; all if left out")
    parser.add_argument("--count", type=int, default=3000, help="random arguments of each kind (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, kernels for {torch.backends.cpu.get_cpu_capability()}")
    print(f"{'op':32} {'dtype':8} {'budget':>18} {'spent':>7}  at")
    for case in CASES:
        if options.names and case.op.name not in options.names:
            continue
        for dtype in (torch.float32, torch.float64):
            worst = spent(case, options.count, dtype, seed=options.seed)
            budget = case.op.budget
            parts = () if case.by_bounds or budget is None else (budget.relative, budget.input, budget.absolute)
            stated = " ".join(f"{size:g}" for size in parts) or "outward bound"
            where = ", ".join(f"{x!r}" for x in worst.at)
            print(
                f"{case.name:32} {str(dtype)[6:]:8} {stated:>18} {worst.part:7.3f}  {where} -> {worst.computed!r} "
                f"({worst.path}, {worst.count} values)", flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
