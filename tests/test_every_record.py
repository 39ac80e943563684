"""Every record is checked directly in both rounding modes, on calls from torch's samples, the tables, and by hand."""

import itertools

import pytest
import torch

from intervaltorch import IntervalTensor, testing
from intervaltorch._rounding import rounding
from intervaltorch.testing._comparison import assert_near
from tests.boxes import seeded_ball
from tests.table import BUILT_IN, UNARY
from tests.tightness.cases import Call, calls, several_first

pytestmark = pytest.mark.usefixtures("quiet")

TRUTH = IntervalTensor(torch.tensor([True, False]), torch.tensor([True, True]))
X = seeded_ball(6)

BY_HAND = {
    "_is_all_true": (torch._is_all_true, TRUTH[:1]),
    "_is_any_true": (torch._is_any_true, TRUTH),
    "is_nonzero": (torch.is_nonzero, TRUTH[:1]),
    "slice_inverse": (lambda x: torch.ops.aten.slice_inverse(x, x, 0, 0, 6, 1), X),
    "type": (lambda x: x.type(torch.float64), X),
    "new_tensor": (lambda x: x.new_tensor(x), X),
}

UNCHECKED = {
    "_assert_async": "returns nothing",
    "_local_scalar_dense": "returns a number, see is_nonzero",
    "bernoulli": "draws",
    **dict.fromkeys(("cuda", "ipu", "mtia", "pin_memory", "xpu"), "needs a device"),
    **dict.fromkeys(("empty_like", "new", "new_empty", "new_empty_strided"), "leaves memory as it was"),
}
"""Records whose results are no functions of the values; those of two families besides: metadata and draws."""

INACCURATE = ("airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1")
"""Functions whose values torch computes too badly to compare with."""

OTHERS = [op for op in BUILT_IN if op not in UNARY and op.name not in INACCURATE]


def calls_of(op):
    if op.name in BY_HAND:
        function, *args = BY_HAND[op.name]
        return [Call(op.name, function, args, {})]
    return list(itertools.islice(several_first(calls(op)), 2))


@pytest.mark.parametrize("op", OTHERS, ids=lambda op: op.name)
def test_bounds_enclose_in_outward_mode_and_are_near_in_nearest_mode(op):
    found = calls_of(op)
    if not found:
        reason = UNCHECKED.get(op.name) or {"metadata": "reads no values", "random": "draws"}.get(op.family)
        assert reason, f"write a call of {op.name} into BY_HAND"
        pytest.skip(reason)
    assert op.name not in UNCHECKED
    for call in found:
        testing.check_sound(call.function, *call.args, samples=5, **call.kwargs)
        testing.check_result(call.function, *call.args, **call.kwargs)


@pytest.mark.parametrize("op", [op for op in BUILT_IN if op.name in INACCURATE], ids=lambda op: op.name)
def test_bounds_are_near_in_nearest_mode(op):
    """That outward bounds enclose is checked against exact values elsewhere."""
    boxes = IntervalTensor(torch.tensor([0.5, 1.0, 2.0, 4.0, 6.0]), torch.tensor([1.0, 1.5, 4.0, 6.0, 6.5]))
    results = []
    for x in (boxes, boxes.double()):
        for mode in ("outward", "nearest"):
            with rounding(mode):
                results.append(op.function(x))
    assert_near(*results)
