"""An entry's answer is its own: alone or beside others it is refused alike, or has the same bounds, in both modes.

Every elementwise record is called on a batch of special entries (zeros of either sign, points, negative, infinite,
boxes across the domain's ends, integer exponents) and on each entry by itself; functions of rows likewise, row by row.
"""

import itertools
import warnings

import pytest
import torch
import torch.nn.functional as F

from intervaltorch import IntervalTensor, rounding
from intervaltorch.errors import IntervalError
from intervaltorch.testing._trees import boxes_in, real_parts
from tests.table import BUILT_IN

pytestmark = pytest.mark.usefixtures("quiet")

inf = float("inf")
SPECIAL = (
    (0.0, 0.0), (-0.0, 0.0), (0.0, 1.0), (-1.0, -0.0), (-1.0, 1.0), (1.0, 2.0), (2.0, 2.0), (-2.0, -2.0), (3.0, 3.0),
    (-1.0, -1.0), (0.5, 0.5), (-1.5, -0.5), (0.25, 0.75), (1.0, inf), (-inf, -1.0), (-inf, inf), (inf, inf),
    (-inf, -inf),
)  # fmt: skip
PAIRED = ((0.0, 1.0), (-1.0, 1.0), (1.0, 2.0), (2.0, 2.0), (-1.0, -1.0), (0.5, 0.5), (1.0, inf), (-inf, inf))
TRIPLED = ((0.0, 1.0), (-1.0, 1.0), (2.0, 2.0), (1.0, inf))
MODES = ("nearest", "outward")


def batch(entries):
    lower, upper = torch.tensor(entries).unbind(-1)
    return IntervalTensor(lower.clone(), upper.clone())


def operands(op):
    """How many boxes of one shape an elementwise function takes: the fewest that it runs on; None if it is no such."""
    for count in (1, 2, 3):
        x = [torch.tensor([0.75, 0.5, 0.625]) for _ in range(count)]
        try:
            whole = op.function(*x)
            parts = [op.function(*(t[k : k + 1].clone() for t in x)) for k in range(3)]
            if torch.equal(whole, torch.cat(parts)):
                return count
        except Exception:
            continue
    return None


def answer(mode, function, boxes):
    """The ends of the boxes in a result, or the refusal."""
    torch.manual_seed(0)
    try:
        with rounding(mode):
            result = real_parts(function(*(box.clone() for box in boxes)))
    except (IntervalError, RuntimeError, ValueError, TypeError) as refusal:
        return refusal
    return [end for box in boxes_in(result) for end in (box.lower, box.upper)] or [result]


def alike(x, y):
    """Whether ends are equal, but for the last bits, in which kernels for one number and for many differ."""
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        return bool(x == y)
    return torch.allclose(x, y, rtol=4 * torch.finfo(x.dtype).eps, atol=0, equal_nan=True)


def elementwise():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [(op, count) for op in BUILT_IN if "polynomial" not in op.name and (count := operands(op))]


ELEMENTWISE = elementwise()


@pytest.mark.parametrize("op, count", ELEMENTWISE, ids=[op.name for op, _ in ELEMENTWISE])
def test_entries_are_answered_alike_alone_and_together(op, count):
    combined = list(itertools.product((SPECIAL, PAIRED, TRIPLED)[count - 1], repeat=count))
    alone = {mode: [answer(mode, op.function, [batch([e]) for e in entry]) for entry in combined] for mode in MODES}
    for mode in MODES:
        answered = [k for k, found in enumerate(alone[mode]) if not isinstance(found, Exception)]
        if not answered:
            continue
        together = answer(mode, op.function, [batch(column) for column in zip(*(combined[k] for k in answered))])
        assert not isinstance(together, Exception), f"{mode}: refused only together: {together}"
        for row, k in enumerate(answered):
            for whole, single in zip(together, alone[mode][k], strict=True):
                assert alike(whole[row : row + 1], single), f"{mode}: {combined[k]} gives {whole[row]}, alone {single}"
    for entry, *answers in zip(combined, *(alone[mode] for mode in MODES), strict=True):
        kinds = [type(a) if isinstance(a, Exception) else None for a in answers]
        assert kinds[0] is kinds[1], f"{op.name} of {entry}: nearest gives {answers[0]}, outward gives {answers[1]}"


ROWS = (
    ((0.0, 1.0), (-1.0, 1.0), (2.0, 2.0)),
    ((-1.0, 2.0), (-inf, -inf), (0.5, 0.75)),
    ((0.0, 0.0), (-0.0, 0.0), (0.0, 0.0)),
    ((1.0, 1.0), (1.0, 1.0), (1.0, 1.0)),
    ((-inf, -inf), (-inf, -inf), (-inf, -inf)),
    ((-inf, inf), (0.0, 1.0), (1.0, 2.0)),
    ((1.0, inf), (0.0, 1.0), (1.0, 2.0)),
    ((-1.0, -0.5), (-2.0, -1.0), (-3.0, -2.0)),
    ((1e30, 1e38), (-1e38, 1.0), (1.0, 2.0)),
)
OF_ROWS = {
    "softmax": lambda x: x.softmax(-1),
    "log_softmax": lambda x: x.log_softmax(-1),
    "safe softmax": lambda x: torch._safe_softmax(x, -1),
    "logsumexp": lambda x: x.logsumexp(-1, True),
    "sum": lambda x: x.sum(-1, True),
    "prod": lambda x: x.prod(-1, True),
    "mean": lambda x: x.mean(-1, True),
    "var": lambda x: x.var(-1, keepdim=True),
    "std": lambda x: x.std(-1, keepdim=True),
    "amax": lambda x: x.amax(-1, True),
    "median": lambda x: x.median(-1, True).values,
    "sort": lambda x: x.sort(-1).values,
    "cumsum": lambda x: x.cumsum(-1),
    "cumprod": lambda x: x.cumprod(-1),
    "cummax": lambda x: x.cummax(-1).values,
    "logcumsumexp": lambda x: x.logcumsumexp(-1),
    "layer_norm": lambda x: F.layer_norm(x, (3,)),
    "rms_norm": lambda x: F.rms_norm(x, (3,)),
    "normalize": lambda x: F.normalize(x, dim=-1),
    "cosine_similarity": lambda x: F.cosine_similarity(x, torch.ones(3), -1, 1e-8)[:, None],
    **{
        f"vector_norm {p}": lambda x, p=p: torch.linalg.vector_norm(x, p, -1, True) for p in (0, 1, 2, 3, -1, inf, -inf)
    },
}


@pytest.mark.parametrize("name", OF_ROWS)
@pytest.mark.parametrize("mode", MODES)
def test_rows_are_answered_alike_alone_and_together(name, mode):
    alone = [answer(mode, OF_ROWS[name], [batch([row])]) for row in ROWS]
    answered = [k for k, found in enumerate(alone) if not isinstance(found, Exception)]
    together = answer(mode, OF_ROWS[name], [batch([ROWS[k] for k in answered])])
    assert not isinstance(together, Exception), f"refused only together: {together}"
    for row, k in enumerate(answered):
        for whole, single in zip(together, alone[k], strict=True):
            assert alike(whole[row : row + 1], single), f"{ROWS[k]} gives {whole[row]}, alone {single[0]}"
    other = answer(MODES[mode == MODES[0]], OF_ROWS[name], [batch([ROWS[k] for k in answered])])
    assert not isinstance(other, Exception), f"refused in the other mode only: {other}"
