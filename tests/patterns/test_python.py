"""Boxes among Python's own functions, NumPy's arrays and numbers of other types."""

import functools
import itertools
import math
import operator

import numpy as np
import pytest
import torch

from intervaltorch import EscapeError, IntervalTensor, UndecidedError, UnsupportedOpError, rounding
from tests.boxes import box
from tests.patterns.check import check, refuses

X = box([-2.0, -1.0, 1.0], [-1.5, 1.0, 2.0])
APART = box([3.0, -2.0, 0.0], [4.0, -1.0, 1.0])

BUILTINS = {
    "sum": sum,
    "sum from a box": lambda x: sum([x, x * x], x),
    "abs": abs,
    "pow": lambda x: pow(x, 3),
    "reversed": lambda x: torch.stack(list(reversed(x))),
    "iter": lambda x: torch.stack([2 * row for row in x]),
    "zip and enumerate": lambda x: sum(i * a * b for i, (a, b) in enumerate(zip(x, x.flip(0), strict=True))),
    "unpacking": lambda x: (lambda a, b, *rest: a * b + rest[0])(*x),
    "map": lambda x: torch.stack(list(map(torch.exp, x))),
    "reduce": lambda x: functools.reduce(torch.maximum, x),
    "accumulate": lambda x: torch.stack(list(itertools.accumulate(x, operator.mul))),
    "math.prod": math.prod,
    "floor division": lambda x: (x + 0.1) // 2.5,
    "remainder": lambda x: x % 2.5,
    "power of a number": lambda x: 2**x,
    "unary": lambda x: +x - -x,
    "sign": lambda x: x.sign() + math.copysign(1.0, -2.0),
}


@pytest.mark.parametrize("name", BUILTINS)
def test_builtins(name):
    check(BUILTINS[name], X)


DECIDING = {
    "max": max, "min": min, "max by a key": lambda x: max(x, key=lambda row: -row), "any": lambda x: x * any(x > 3.5),
    "sorted": lambda x: torch.stack(sorted(x)), "sorted down": lambda x: torch.stack(sorted(x, reverse=True)),
    "in": lambda x: x * (x[0] in [x[1], x[2]]),
    "filter": lambda x: torch.stack(list(filter(lambda row: row > -0.5, x))),
    "bisect": lambda x: x * __import__("bisect").bisect([-5.0, 1.5, 6.0], x[0]),
}  # fmt: skip


@pytest.mark.parametrize("name", DECIDING)
def test_builtins_that_compare(name):
    if name not in ("any", "filter"):
        check(DECIDING[name], APART)
    mixed = box([0.0, -2.0, -1.0], [5.0, 4.0, 6.0])
    refuses(UndecidedError, lambda: DECIDING[name](mixed), "depends on the point of the box", "torch.where")


@pytest.mark.parametrize(
    "read",
    [
        math.sqrt, math.exp, math.isnan, math.floor, int, float, complex, range, lambda x: [0, 1][x],
        lambda x: "ab" * x, lambda x: math.isclose(x, 1.0), lambda x: torch.full((2,), x), lambda x: torch.arange(x),
        lambda x: np.array([x, x]), lambda x: np.clip(x, 0, 1), np.sort, lambda x: np.where(x > 0, 1, 2),
    ],
)  # fmt: skip
def test_what_reads_a_number_is_refused_with_the_way_out(read):
    refuses(EscapeError, lambda: read(box(1.0, 2.0)), "lose a bound", "Y.lower")


@pytest.mark.parametrize("call", [round, math.trunc, lambda x: divmod(x, 2), lambda x: x.__delitem__(0)])
def test_what_tensors_refuse_boxes_refuse_too(call):
    with pytest.raises(TypeError):
        call(torch.ones(2))
    with pytest.raises((TypeError, EscapeError)):
        call(box([1.0, 1.0], [1.0, 2.0]))


def test_length_truth_and_hash():
    assert len(X) == 3 and len({X, X, X.clone()}) == 2 and {X: 1}[X] == 1
    with pytest.raises(RuntimeError, match="ambiguous"):
        bool(X)
    with pytest.raises(TypeError):
        len(X[0])
    assert f"{X[0]:.1f}" == "[-2.0, -1.5]" and "%s" % X[0] == str(X[0])  # noqa: UP031


# --- NumPy ------------------------------------------------------------------------------------------------------------

A = np.array([2.0, -1.0, 0.5])
NUMPY = {
    "array on the right": lambda x: x * A + A, "array on the left": lambda x: A * x - A,
    "divided": lambda x: A / (x * x + 1), "number on the left": lambda x: np.float64(2.5) - x,
    "float32": lambda x: np.float32(0.1) * x, "int64": lambda x: np.int64(3) * x + np.int64(1),
    "int array": lambda x: np.arange(3) * x, "bool": lambda x: np.bool_(True) * x,
    "matrix": lambda x: np.outer(A, A) @ x,
    "vector": lambda x: x @ A, "power": lambda x: np.power(x, 2), "maximum": lambda x: np.maximum(x, A),
    "minimum": lambda x: np.minimum(A, x), "exp": np.exp, "tanh": np.tanh, "hypot": lambda x: np.hypot(x, A),
    "compared": lambda x: (x > A) & (x <= np.float64(1.5)), "sqrt": lambda x: np.sqrt(x + 3),
    "index": lambda x: x[np.array([2, 0])] + x[np.int64(1)], "mask": lambda x: x[A > 0],
    "clamp": lambda x: x.clamp(np.float32(-1)), "0-d array": lambda x: np.array(2.0) * x,
    "where": lambda x: torch.where(torch.from_numpy(A > 0), x, np.float64(0.1)),
    "float16": lambda x: np.float16(0.5) + x, "axis": lambda x: x.sum(axis=0, keepdims=True),
}  # fmt: skip


@pytest.mark.parametrize("name", NUMPY)
def test_numpy(name):
    """At a point NumPy's left operand would take the tensor apart, so the value comes from the other side of a box."""
    with rounding("outward"):
        Y = NUMPY[name](X)
    for t in (0.0, 0.3, 1.0):
        point = IntervalTensor.point(X.lower + t * X.width)
        assert bool(NUMPY[name](point).issubset(Y).all())
    assert type(Y) is IntervalTensor


@pytest.mark.parametrize(
    "call", [lambda x: np.array(A).__iadd__(x), lambda x: np.add.reduce(x), lambda x: np.exp(x, out=A)]
)
def test_numpy_does_not_write_or_reduce(call):
    before = A.copy()
    refuses(EscapeError, lambda: call(X), "np.")
    assert (before == A).all()


# --- other types of numbers -------------------------------------------------------------------------------------------

OTHERS = {
    "float64": torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64), "0-d": torch.tensor(0.1, dtype=torch.float64),
    "float16": torch.tensor([1.0, 2.0, 0.5], dtype=torch.float16), "bfloat16": torch.tensor([1.0, 2.0, 0.5]).bfloat16(),
    "int64": torch.tensor([1, 2, 3]), "uint8": torch.tensor([1, 2, 3], dtype=torch.uint8), "int": 3, "float": 0.1,
    "bool": torch.tensor([True, False, True]), "True": True, "complex": 2 + 1j,
    "complex tensor": torch.tensor([1j, 2.0, 1 + 1j]),
}  # fmt: skip
OPERATIONS = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, ">": operator.gt, "==": operator.eq,
    "maximum": torch.maximum, "cat": lambda a, b: torch.cat([a, b]), "stack": lambda a, b: torch.stack([a, b]),
    "where": lambda a, b: torch.where(torch.tensor([True, False, True]), a, b), "atan2": torch.atan2,
    "**": lambda a, b: torch.pow(a * a, b * b),
}  # fmt: skip


REFUSED = {"==", ">", "maximum", "atan2", "**"}  # of complex numbers


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("other", OTHERS)
def test_types_are_promoted_as_torch_promotes_them(other, operation, dtype):
    """The dtype of the box is that of the value; what torch refuses is refused."""
    x, y, operate = APART.to(dtype), OTHERS[other], OPERATIONS[operation]
    if "complex" in other and (operation in REFUSED or dtype is torch.float16):
        return
    for swap in (False, True):
        for operand in (y, IntervalTensor.point(y)) if isinstance(y, torch.Tensor) and y.is_floating_point() else (y,):
            try:
                value = operate(y, x.lower) if swap else operate(x.lower, y)
            except (TypeError, RuntimeError):
                with pytest.raises((TypeError, RuntimeError)):
                    operate(operand, x) if swap else operate(x, operand)
                continue
            result = operate(operand, x) if swap else operate(x, operand)
            assert type(result) is IntervalTensor and result.dtype == value.dtype and result.shape == value.shape


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_run_in_nearest_mode(dtype):
    x = APART.to(dtype)
    for f in (torch.exp, lambda t: t.softmax(-1), lambda t: t @ t, lambda t: t.to(torch.float32).sum()):
        Y = f(x)
        assert bool(Y.contains(f(x.center)).all())


def test_a_number_of_another_type_is_exact_outward():
    """0.1 in float64 is no float32: outward, the box of its float32 lies around it."""
    x = IntervalTensor.point(torch.ones(3))
    with rounding("outward"):
        for tenth in (0.1, np.float64(0.1), np.array([0.1] * 3), torch.tensor(0.1, dtype=torch.float64)):
            Y = x * tenth
            assert bool((Y.lower.double() <= 0.1).all() & (Y.upper.double() >= 0.1).all())


def test_a_complex_operand_makes_a_complex_box_or_is_refused_by_name():
    assert (APART * 2j).dtype == torch.complex128
    refuses(UnsupportedOpError, lambda: APART**2j, "is for real numbers", "x.real")
