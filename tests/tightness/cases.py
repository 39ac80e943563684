"""The boxes on which tightness is measured: torch's own samples with few entries, and calls written by hand."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.testing._internal.common_methods_invocations import op_db

from intervaltorch import IntervalTensor, Op
from intervaltorch._records.registry import OPS
from intervaltorch.testing._trees import boxes_in, flatten, map_tensors
from tests.table import BUILT_IN, FAMILIES, takes_one_argument
from tests.test_op_samples import ENCLOSED, REFUSALS, by_name, deterministic, samples, torch_accepts
from tests.test_other_spellings import CASES
from tests.tightness.by_hand import calls_by_hand

WIDTHS: tuple[tuple[float, float], ...] = ((0.125, 0.0), (0.0, 0.05), (0.0, 0.5))
"""Radii of the boxes around samples: this much of each entry, and this much more."""

ENTRIES = 12  # as many vary; the others become points

ELEMENTWISE = [
    op
    for op in BUILT_IN
    if op.family in (*FAMILIES, "periodic with poles", "activation", "gamma", "waves") and takes_one_argument(op)
]
"""Functions of one argument, which the boxes that cover their domain measure."""


@dataclasses.dataclass(frozen=True)
class Call:
    """A function on boxes."""

    name: str
    function: Callable[..., Any]
    args: tuple
    kwargs: dict[str, Any]


def record_of(info: Any) -> Op | None:
    """The record of a function that torch has samples for."""
    aten = getattr(torch.ops.aten, info.aten_name or "", None)
    for variant in (info.op, info.method_variant, info.inplace_variant, aten):
        if variant is not None and variant in OPS:
            return OPS[variant].op
    return None


INFOS = [info for info in deterministic(op_db) if torch.float32 in info.dtypes]
COMPOSED = sorted((info for info in INFOS if info.full_name in ENCLOSED and record_of(info) is None), key=by_name)
"""Functions among torch's samples that have no record: the rules of others compose their bounds."""


def calls(op: Op) -> Iterator[Call]:
    """Standard calls of an op: of each function among torch's samples that it answers, and those by hand."""
    for info in INFOS:
        if record_of(info) is op:
            yield from calls_of(info)
    functions = {spelling.function for spelling in op.spellings}
    for function, args in CASES:
        if function in functions:
            yield from enclosed(op.name, function, [(args, {})])
    for function, args, kwargs in calls_by_hand(op):
        yield from enclosed(op.name, function, [(args, kwargs)])


def calls_of(info: Any) -> Iterator[Call]:
    """Calls of a function on torch's samples, of the largest numbers of entries up to a dozen first."""
    torch.manual_seed(0)
    drawn = sorted(samples(info, 12), key=_order)
    yield from enclosed(
        info.full_name,
        info.op,
        [map_tensors(lambda x: ball(x, *width), case) for case in drawn for width in WIDTHS],  # noqa: B023
        lambda case: torch_accepts(info, *case),
    )


def several_first(found: Iterator[Call], least: int = 4, among: int = 12) -> Iterator[Call]:
    """Calls in which several entries vary before the others: one entry alone tells little of most functions."""
    others = []
    for call in itertools.islice(found, among):
        boxes = boxes_in((call.args, call.kwargs))
        if sum(int((box.lower != box.upper).sum()) for box in boxes) >= least:
            yield call
        else:
            others.append(call)
    yield from others
    yield from found


def _order(case: Any) -> tuple[bool, int]:
    count = sum(x.numel() for x in flatten(case)[0] if x.dtype.is_floating_point)
    return (count == 0, count - ENTRIES if count > ENTRIES else ENTRIES - count)


def ball(x: Any, relative: float, absolute: float) -> Any:
    """The box around a floating tensor."""
    return IntervalTensor.from_ball(x.detach(), relative * x.detach().abs() + absolute) if x.is_floating_point() else x


def enclosed(
    name: str, function: Callable[..., Any], cases: list[Any], accepted: Callable[[Any], bool] = lambda case: True
) -> Iterator[Call]:
    """Those of the calls that are neither refused by a rule nor by torch."""
    for args, kwargs in cases:
        try:
            if accepted((args, kwargs)):
                function(*map_tensors(torch.clone, args), **map_tensors(torch.clone, kwargs))
                yield Call(name, function, args, kwargs)
        except REFUSALS:
            continue
