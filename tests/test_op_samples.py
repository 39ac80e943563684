"""Every function of torch, on torch's own sample inputs: it encloses, or it refuses by name.

The samples are those with which torch tests itself (`op_db`). Each floating tensor among the arguments becomes a box,
alone and together with the others. `enclosed_ops.txt` lists the functions that must not refuse; to list
those that do not refuse now: `python tests/test_op_samples.py`.
"""

import itertools
import pathlib
import warnings

import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db

from intervaltorch import (
    DomainError,
    EscapeError,
    IntervalTensor,
    UndecidedError,
    UnsupportedOpError,
    testing,
)
from intervaltorch.testing._trees import flatten

ENCLOSED = set((pathlib.Path(__file__).parent / "enclosed_ops.txt").read_text().split())
OPS = [op for op in op_db if {torch.float32, torch.float64} <= set(op.dtypes) and not op.name.startswith("jiterator")]

# Their values are not functions of their arguments. Dropout and rrelu draw; their rules have tests of their own.
RANDOM = {
    "bernoulli", "cauchy", "empty", "empty_like", "empty_permuted", "empty_strided", "exponential", "geometric",
    "log_normal", "multinomial", "new_empty", "new_empty_strided", "normal", "normal.in_place",
    "normal.number_mean", "nn.functional.alpha_dropout", "nn.functional.dropout", "nn.functional.dropout2d",
    "nn.functional.dropout3d", "nn.functional.feature_alpha_dropout.with_train",
    "nn.functional.fractional_max_pool2d", "nn.functional.fractional_max_pool3d", "nn.functional.rrelu", "rand_like",
    "randint_like", "randn", "randn_like", "uniform", "torch.ops.aten._safe_softmax.default",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def samples(op, count):
    """A few samples, spread over the first sixty."""
    torch.manual_seed(0)
    found = list(itertools.islice(op.sample_inputs("cpu", torch.float32, requires_grad=False), 60))
    for position in range(0, len(found), max(1, len(found) // count)):
        sample = found[position]
        yield (sample.input, *sample.args), sample.kwargs


def variants(args, kwargs):
    """Each floating tensor alone as a box, then all together; boxes of two widths."""
    tensors, rebuild = flatten((args, kwargs))
    floating = [i for i, x in enumerate(tensors) if x.dtype.is_floating_point]
    if any(bool(tensors[i].isnan().any()) for i in floating):
        return
    for chosen in dict.fromkeys([*((i,) for i in floating), tuple(floating)]):
        for ball in (_relative_ball, _ball) if chosen else ():
            yield rebuild([ball(x) if i in chosen else x for i, x in enumerate(tensors)])


def _relative_ball(x):
    return IntervalTensor.from_ball(x.detach(), x.detach().abs() / 8)


def _ball(x):
    return IntervalTensor.from_ball(x.detach(), 0.05)


def enclosures(op, count):
    """Check the contract on all variants; return how many enclosed, and the refusals."""
    enclosed, refused = 0, []
    for args, kwargs in samples(op, count):
        for boxes, named in variants(args, kwargs):
            try:
                check(op, boxes, named)
                enclosed += 1
            except (UnsupportedOpError, DomainError, UndecidedError, EscapeError) as refusal:
                refused.append(refusal)
    return enclosed, refused


def check(op, boxes, kwargs):
    testing.check_sound(op.op, *boxes, samples=6, **kwargs)
    testing.check_result(op.op, *boxes, **kwargs)
    testing.check_nested(op.op, *boxes, **kwargs)


def by_name(op):
    return op.full_name


def deterministic(ops):
    return [op for op in ops if op.full_name not in RANDOM and op.name not in RANDOM]


@pytest.mark.parametrize("op", deterministic(OPS), ids=by_name)
def test_encloses_or_refuses(op):
    enclosed, refused = enclosures(op, 3)
    if op.full_name in ENCLOSED:
        unsupported = [refusal for refusal in refused if isinstance(refusal, UnsupportedOpError)]
        assert not unsupported, f"{len(unsupported)} refusals, the first: {unsupported[0]}"
        assert enclosed, f"all samples refused: {refused[0]}"
    elif not enclosed:
        pytest.skip(str(refused[0]) if refused else "no floating argument")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for info in deterministic(OPS):
        try:
            if enclosures(info, 3)[0]:
                print(info.full_name)
        except Exception as problem:
            print(f"# {info.full_name}: {type(problem).__name__}: {str(problem).splitlines()[0][:200]}")
