"""The sign of a zero: no rule crosses its bounds, loses a value or answers otherwise because an end is -0.0.

Every record is called on boxes that end at zero, with either sign. Where torch gives the same value at both zeros the
bounds are the same; where it tells them apart, as at a pole or a cut, they enclose its values at their own ends.
"""

import itertools
import warnings

import pytest
import torch
import torch.nn.functional as F

from intervaltorch import IntervalTensor, rounding
from intervaltorch.errors import IntervalError
from intervaltorch.testing import assert_encloses
from intervaltorch.testing._trees import boxes_in, flatten, map_tensors, real_parts, to_float64
from intervaltorch.testing.contract import _assert_encloses
from tests.calls import arguments, p, x, y
from tests.table import BUILT_IN
from tests.test_op_samples import OPS, samples

pytestmark = pytest.mark.usefixtures("quiet")

inf = float("inf")
MODES = ("nearest", "outward")
SAMPLED = {op.name.rpartition(".")[2]: op for op in OPS}
LEFT_OUT = {"nextafter", "empty_like"}  # the next float depends on the dtype, and nothing has no value


def call_of(op):
    """A function and plain arguments that torch takes and that decide its value, or None."""
    calls = [(op.function, *found) for spelling in op.spellings if (found := arguments(spelling.function))]
    calls += [(op.function, args, {}) for args in ((x,), (p,), (x, y), (p, p), (x, y, p), (x, 0), (p + 1,))]
    for function, args, kwargs in itertools.chain(calls, small_samples(op.name)):
        first, second = (value(function, args, kwargs, seed) for seed in (0, 1))
        if first is not None and equal_values(first, second):
            return function, args, kwargs
    return None


def small_samples(name):
    """Calls by which torch tests a function, with few numbers."""
    if name in SAMPLED:
        for args, kwargs in samples(SAMPLED[name], 6):
            if 0 < sum(t.numel() for t in flatten((args, kwargs))[0]) < 100:
                yield SAMPLED[name].op, args, kwargs


def value(function, args, kwargs, seed=0):
    """What torch gives, in float64 where the arguments are; None where it raises."""
    torch.manual_seed(seed)
    args, kwargs = map_tensors(torch.clone, (args, kwargs))
    try:
        return real_parts(function(*args, **kwargs))
    except Exception:
        return None


def answer(mode, function, args, kwargs):
    """The boxes of a result, or the kind of the refusal."""
    torch.manual_seed(0)
    try:
        with rounding(mode):
            return real_parts(function(*args, **kwargs))
    except (IntervalError, RuntimeError, ValueError) as refusal:
        return type(refusal)


def zero_ended(x, kind, zero):
    """A box like a tensor with one end, or both, at a zero."""
    size, zeros = x.abs() + 0.25, torch.full_like(x, zero)
    return IntervalTensor(*{"from": (zeros, size), "to": (-size, zeros), "at": (zeros, zeros.clone())}[kind])


def ends_of(tree, end):
    return map_tensors(lambda x: getattr(x, end) if isinstance(x, IntervalTensor) else x, tree)


def same(first, second):
    """Whether two results are equal, whatever the signs of their zeros."""
    if isinstance(first, type) or isinstance(second, type):
        return first is second
    return all(
        torch.equal(getattr(a, end).nan_to_num(7.0), getattr(b, end).nan_to_num(7.0))
        for a, b in zip(boxes_in(first), boxes_in(second), strict=True)
        for end in ("lower", "upper")
    )


def equal_values(first, second):
    if first is None or second is None:
        return first is second
    pairs = zip(flatten(first)[0], flatten(second)[0], strict=True)
    return all(torch.equal(torch.nan_to_num(a, 7.0), torch.nan_to_num(b, 7.0)) for a, b in pairs)


EXPONENTS = (2, 3, 0, 0.5, 1.5, -0.5, -1, -1.5, -2, -3, inf, -inf)
SPELLINGS = {
    **{f"x ** {e}": lambda x, e=e: x**e for e in EXPONENTS},
    **{f"x ** tensor({e})": lambda x, e=e: torch.pow(x, torch.tensor(e, dtype=x.dtype)) for e in EXPONENTS},
    **{f"float_power(x, {e})": lambda x, e=e: torch.float_power(x, e) for e in EXPONENTS},
    **{f"vector_norm(x, {e})": lambda x, e=e: torch.linalg.vector_norm(x, e) for e in EXPONENTS},
    **{f"normalize(x, {e})": lambda x, e=e: F.normalize(x, e, 0) for e in EXPONENTS},
    **{f"x / {d}": lambda x, d=d: x / d for d in (3.0, -3.0, -1.0, -0.0, 0.0, inf)},
    **{f"x * {d}": lambda x, d=d: x * d for d in (3.0, -3.0, -1.0, -0.0, 0.0)},
    **{f"{d} / x": lambda x, d=d: d / x for d in (3.0, -3.0, 0.0, -0.0)},
    **{f"{d} // x": lambda x, d=d: d // x for d in (3.0, -3.0, 0.0)},
    **{f"{d} % x": lambda x, d=d: d % x for d in (3.0, -3.0)},
    **{f"1 / (x * {d})": lambda x, d=d: 1 / (x * d) for d in (3.0, -3.0, -1.0)},
    **{f"1 / (x / {d})": lambda x, d=d: 1 / (x / torch.full_like(x, d)) for d in (3.0, -3.0)},
    "1 / -x": lambda x: 1 / -x,
    "x // 3": lambda x: x // 3,
    "x % 3": lambda x: x % 3,
    "x % -3": lambda x: x % -3,
    "div(x, 3, trunc)": lambda x: torch.div(x, 3, rounding_mode="trunc"),
    "fmod(x, 3)": lambda x: torch.fmod(x, 3),
    "0 ** x": lambda x: 0.0**x,
    "2 ** x": lambda x: 2.0**x,
    "copysign(3, x)": lambda x: torch.copysign(torch.full_like(x, 3.0), x),
    "atan2(x, -1)": lambda x: torch.atan2(x, torch.full_like(x, -1.0)),
    "atan2(-1, x)": lambda x: torch.atan2(torch.full_like(x, -1.0), x),
    "atan2(x, x)": lambda x: torch.atan2(x, x),
    "angle(x - 1j)": lambda x: torch.angle(torch.complex(x, torch.full_like(x, -1.0))),
    "angle(-1 + ix)": lambda x: torch.angle(torch.complex(torch.full_like(x, -1.0), x)),
    "1 / (1 + ix)": lambda x: 1.0 / torch.complex(torch.ones_like(x), x),
    "round(x) / 2": lambda x: torch.round(x) / 2,
    "log(-x)": lambda x: torch.log(-x),
    "(-x).clamp(0) ** -0.5": lambda x: (-x).clamp(min=0) ** -0.5,
    "rsqrt(-x)": lambda x: torch.rsqrt(-x),
    "entr(-x)": lambda x: torch.special.entr(-x),
    "heaviside(x, 3)": lambda x: torch.heaviside(x, torch.full_like(x, 3.0)),
    "xlogy(1, x)": lambda x: torch.xlogy(1.0, x),
    "zeta(2, x)": lambda x: torch.special.zeta(2.0, x),
    "zeta(3, x)": lambda x: torch.special.zeta(3.0, x),
    "polygamma(1, x)": lambda x: torch.polygamma(1, x),
    "polygamma(2, x)": lambda x: torch.polygamma(2, x),
}


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.slow)], ids=str)
def test_spellings_with_numbers(name, dtype):
    for kind in ("from", "to", "at"):
        trees = [((zero_ended(p.to(dtype), kind, zero),), {}) for zero in (0.0, -0.0)]
        check(SPELLINGS[name], trees, f"{name}, {kind} zero")


def cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [(op.name, *call) for op in BUILT_IN if op.name not in LEFT_OUT and (call := call_of(op))]


CASES = cases()


@pytest.mark.parametrize("half", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name, function, args, kwargs", CASES, ids=[case[0] for case in CASES])
def test_zeros_of_either_sign(name, function, args, kwargs, half):
    tensors, rebuild = flatten((args, kwargs))
    floating = [i for i, t in enumerate(tensors) if t.dtype.is_floating_point and t.layout == torch.strided]
    few = 1 < len(floating) < 4 and sum(t.numel() for t in tensors) < 20
    tried = list(itertools.product(floating[:3], (torch.clone, wide)[: 1 + few], ("from", "to", "at")))
    for position, others, kind in tried[half::2]:

        def with_zero(zero):
            boxes = [others(t) if i in floating else t for i, t in enumerate(tensors)]  # noqa: B023
            boxes[position] = zero_ended(tensors[position], kind, zero)  # noqa: B023
            return rebuild(boxes)

        check(function, [with_zero(0.0), with_zero(-0.0)], f"{name}, argument {position}, {kind} zero")


def wide(x):
    return IntervalTensor(x, x + 0.125)


def has_both_sides(function, tree, what):
    """Whether the function is there for positive and for negative numbers, so that it is no end that torch tells."""

    def beside(v):
        return map_tensors(lambda x: torch.full_like(x.lower, v) if isinstance(x, IntervalTensor) else x, tree)

    if "clamp(0) **" in what:  # clamped to the end where torch gives -inf
        return False
    values = [value(function, *beside(v)) for v in (0.5, -0.5)]
    return all(v is not None and not any(t.isnan().any() for t in flatten(v)[0]) for v in values)


def check(function, trees, what):
    end = "upper" if "to zero" in what else "lower"
    values = [value(function, *to_float64(ends_of(tree, end))) for tree in trees]
    told_apart = not equal_values(*values)
    for mode in MODES:
        results = [answer(mode, function, *map_tensors(lambda x: x.clone(), tree)) for tree in trees]
        assert told_apart or same(*results), f"{what}: {mode} mode tells the zeros apart: {results}"
        for tree, result, expected in zip(trees, results, values, strict=True):
            if isinstance(result, type):
                continue
            for box in boxes_in(result):
                if box.dtype.is_floating_point:
                    assert bool((box.lower <= box.upper).all()), f"{what}: {mode} bounds are crossed or NaN: {box}"
            if mode == "outward" and expected is not None and told_apart and has_both_sides(function, tree, what):
                assert_encloses(result, expected, what=what)
            elif mode == "outward" and expected is not None:
                _assert_encloses(result, expected, function, *ends_of(tree, end), what, tree)
