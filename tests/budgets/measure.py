"""How much of its error budget each op spends on this machine, against real values."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator

import torch
from flint import arb
from torch import Tensor

from intervaltorch import Budget, rounding
from tests.budgets.cases import Case, arguments

warnings.filterwarnings("ignore", message=".*guessed error budget")

inf = float("inf")


@dataclasses.dataclass
class Worst:
    """The largest error found, as a part of what the budget allows, and where."""

    part: float = 0.0
    at: tuple[float, ...] = ()
    computed: float = 0.0
    path: str = ""
    count: int = 0

    def see(self, part: float, at: tuple[float, ...], computed: float, path: str) -> None:
        self.count += 1
        if not part <= self.part:
            self.part, self.at, self.computed, self.path = part, at, computed, path


def paths(x: list[Tensor], alone: int = 0) -> Iterator[tuple[str, list[Tensor], Tensor]]:
    """The same numbers laid out so that different kernels of torch take them: vectors, scalars, one at a time.

    Args:
        x: arguments of the function.
        alone: how many of them to pass one at a time.
    """
    every = torch.arange(len(x[0]))
    yield "contiguous", x, every
    yield "strided", [torch.stack([t, t], 1)[:, 0] for t in x], every
    step = max(1, len(every) // max(alone, 1))
    for index in range(0, len(every) if alone else 0, step):
        yield "alone", [t[index] for t in x], every[index : index + 1]


def allowed(budget: Budget, y: float, x: float, dtype: torch.dtype) -> arb:
    """The error that a budget allows."""
    info = torch.finfo(dtype)
    size = abs(arb(max(min(y, info.max), -info.max)))
    k, s, a = budget.relative, budget.input, budget.absolute
    return (arb(k) * size + arb(s) * abs(arb(x))) * info.eps + arb(a) * info.tiny


def part(error: arb, most: arb) -> float:
    """An error as a part of what is allowed."""
    if not error > 0:
        return 0.0
    return float((error / most).upper()) if most > 0 else inf


def spent(case: Case, count: int, dtype: torch.dtype, alone: int = 200, seed: int = 0) -> Worst:
    """Measure one op in one dtype.

    An op whose record states a budget is measured by it; the bounds of others by the room that outward
    mode leaves between the computed value and the bound.
    """
    worst = Worst()
    x = arguments(case, count, dtype, seed)
    points = list(zip(*[t.tolist() for t in x]))
    real: dict[int, arb] = {}
    seen: set[tuple[float, ...]] = set()
    for path, laid_out, indices in paths(x, alone):
        # Two tensors, because a box whose ends are one object is a point, and some rules know.
        ends = [(t, t.view_as(t)) for t in laid_out]
        with rounding("nearest"):
            computed = case.enclose(*ends)
        with rounding("outward"):
            outward = case.enclose(*ends)
        rows = zip(*[t.reshape(-1).tolist() for t in (*computed, *outward)])
        for index, bounds in zip(indices.tolist(), rows):
            if (index, *bounds) in seen or bounds[2:] == (-inf, inf):
                continue
            seen.add((index, *bounds))
            if index not in real:
                real[index] = case.value(*points[index])
            share = _share(case, computed.lower.dtype, points[index], bounds, real[index])
            worst.see(share, points[index], bounds[0], path)
    return worst


def _share(case: Case, dtype: torch.dtype, at: tuple[float, ...], bounds: tuple[float, ...], f: arb) -> float:
    """The part of the allowed error that is spent at one point; infinite if the value is not enclosed.

    Args:
        case: the op.
        dtype: of the result.
        at: the point.
        bounds: lower and upper in nearest mode, equal unless the rule knows no better, then those in outward mode.
        f: the real value.
    """
    y, y_upper, low, high = bounds
    if not f.is_finite():
        return 0.0 if abs(y) == inf else inf
    if f < arb(low) or f > arb(high):
        return inf
    if y != y_upper:
        return 0.0
    largest = torch.finfo(dtype).max
    nearest = arb(max(min(y, largest), -largest))
    if abs(y) == inf and abs(f) >= nearest:
        return 0.0
    if case.by_bounds:
        return max(part(f - nearest, arb(high) - nearest), part(nearest - f, nearest - arb(low)))
    return part(abs(f - nearest), allowed(case.op.budget, y, max(abs(a) for a in at), dtype))


# --- all of float32 -------------------------------------------------------------------------------------------------


def swept(case: Case, step: int = 1, chunk: int = 2**22) -> Worst:
    """Measure a function of one variable at every `step`-th float32 that there is, against its float64 values.

    By their own budget, which `spent` measures, those err by 2^-29 of what the float32 budget allows.
    """
    worst = Worst()
    low, high = max(case.op.domain[0], case.within[0]), min(case.op.domain[1], case.within[1])
    for first in range(0, 2**32, step * chunk):
        bits = torch.arange(first, min(first + step * chunk, 2**32), step, dtype=torch.int64)
        x = (bits - 2**32 * (bits >= 2**31)).to(torch.int32).view(torch.float32)
        x = x[x.isfinite() & (x >= low) & (x <= high)]
        if len(x) == 0:
            continue
        shares, computed = _shares(case, x)
        index = int(shares.argmax())
        worst.see(shares[index].item(), (x[index].item(),), computed[index].item(), "swept")
        worst.count += len(x) - 1
    return worst


def _shares(case: Case, x: Tensor) -> tuple[Tensor, Tensor]:
    """The part of the allowed error that is spent at each float32, infinite where the bounds miss."""
    wide = x.double()
    with rounding("nearest"):
        (y, y_upper), (real, real_upper) = (case.enclose((t, t.view_as(t))) for t in (x, wide))
    y, undecided = y.double(), (y != y_upper) | (real != real_upper)
    with rounding("outward"):
        (low, high), (least, most) = (case.enclose((t, t.view_as(t))) for t in (x, wide))
    info = torch.finfo(torch.float32)
    nearest = y.clamp(-info.max, info.max)
    if case.by_bounds:
        room = torch.where(real > nearest, high.double() - nearest, nearest - low.double())
    else:
        k, s, a = case.op.budget.relative, case.op.budget.input, case.op.budget.absolute
        room = info.eps * (k * nearest.abs() + s * wide.abs()) + a * info.tiny
    error = torch.where(y.isinf() & (real.abs() >= info.max) & (real.sign() == y.sign()), 0.0, (real - nearest).abs())
    shares = torch.where((error > 0) & ~undecided, error / room, 0.0)
    missed = (high.double() < least) | (low.double() > most)
    return shares.masked_fill(missed, inf).nan_to_num(nan=inf), y
