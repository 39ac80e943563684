"""Every function of torch is in exactly one class, and what happens on boxes is what its class says.

The classes are read from the registry, from the refusals and from two lists of the catalogue. Rules have
tests of their own (`test_other_spellings.py` sees to that); here are the other three classes.
"""

import pathlib
import re

import pytest
import torch

import intervaltorch as it
from intervaltorch import IntervalTensor, testing
from intervaltorch._catalogue import coverage as _coverage
from intervaltorch._catalogue.coverage import KINDS, kinds, overridable
from intervaltorch._records.refusals import GROUPS, refusal
from intervaltorch._records.registry import OPS, bare_name, spelled
from intervaltorch.testing._trees import flatten, map_tensors
from tests.calls import arguments
from tests.modules.table import names

pytestmark = pytest.mark.usefixtures("quiet")

ROOT = pathlib.Path(__file__).parents[2]

WHERE = {
    "rule": "the rule in intervaltorch/_ops",
    "fallback": "the line of _FALLBACK in intervaltorch/_catalogue/coverage.py",
    "point": "the line of _POINT in intervaltorch/_catalogue/coverage.py, or of intervaltorch/_ops/shapes/metadata.py",
    "refused": "the line of GROUPS in intervaltorch/_records/refusals.py",
}


def of_kind(kind):
    functions = dict.fromkeys(function for function in overridable() if kinds(function) == [kind])
    return pytest.mark.parametrize("function", functions, ids=spelled)


# --- the classes ------------------------------------------------------------------------------------------------------


def misplaced():
    """What is wrong with the classes, a line for each function."""
    for function in overridable():
        found = kinds(function)
        if not found:
            yield f"{spelled(function)} is in no class: enter {', or '.join(WHERE.values())}"
        if len(found) > 1:
            yield f"{spelled(function)} is in two classes: remove {' or '.join(WHERE[kind] for kind in found)}"


def test_each_function_is_in_exactly_one_class():
    wrong = list(misplaced())
    assert not wrong, "\n".join(wrong)


def test_a_function_with_a_rule_that_is_refused_is_found(monkeypatch):
    monkeypatch.setattr(_coverage, "refusal", lambda function: (GROUPS[0], "") if function is torch.exp else None)
    assert any(line.startswith("torch.exp is in two classes: remove the rule") for line in misplaced())
    assert any(line.startswith("torch.linalg.qr is in no class") for line in misplaced())


def test_each_name_of_the_tables_is_a_function_of_torch():
    known = {name for function in overridable() for name in (bare_name(function), spelled(function))}
    listed = _coverage._FALLBACK | _coverage._POINT
    assert not listed - known
    refused = {name for group in GROUPS for name in group.advice()} - known
    assert {name for name in refused if not hasattr(torch.ops.aten, name)} <= {
        "new", "_typed_storage", "_lu_with_info", "torch.autograd.grad",
        "torch.linalg.matrix_sqrth", "torch.linalg.polar",  # since torch 2.14
    }  # fmt: skip


def test_no_function_is_in_two_groups():
    names = [name for group in GROUPS for name in group.advice()]
    assert len(names) == len(set(names))


def test_supported_ops_counts_every_function():
    ops = it.supported_ops()
    assert set(ops.counts) == set(KINDS)
    assert sum(ops.counts.values()) == len(overridable())
    assert all(f"{count} " in repr(ops) for count in (len(ops), *ops.counts.values()))
    assert isinstance(ops, list)
    assert len(ops) == len({id(spelling.op) for spelling in OPS.values()})


@pytest.mark.skipif(not torch.__version__.startswith("2.13."), reason="the README counts the functions of torch 2.13")
def test_the_numbers_of_the_readme():
    readme = (ROOT / "README.md").read_text()
    refused = it.supported_ops().counts["refused"]
    total = len(overridable())
    assert f"torch hands {total} functions to tensor subclasses" in readme
    assert f"{total - refused} take boxes, and {refused} are refused" in readme
    assert f"all {len(names())} classes of `torch.nn`" in readme
    zoo = (ROOT / "docs" / "reference" / "zoo.md").read_text()
    models = re.search(r"\d+ of \d+ timm models and \d+ of \d+ transformers models are enclosed", zoo)
    assert models and models[0].removesuffix(" are enclosed") in readme


# --- what each class says ---------------------------------------------------------------------------------------------


def on_boxes(function):
    """The arguments of a function with a box for each floating tensor, then with a box for one of them at a time."""
    tensors, rebuild = flatten(arguments(function) or ((torch.tensor([0.3, -0.7, 1.2]),), {}))
    floating = [i for i, x in enumerate(tensors) if x.dtype.is_floating_point and x.layout is torch.strided]
    assert floating or function is torch.autocast, f"tests/calls.py has no floating tensor for {spelled(function)}"
    for chosen in dict.fromkeys([tuple(floating), *((i,) for i in floating)]):
        yield rebuild([_ball(x) if i in chosen else x for i, x in enumerate(tensors)])


def _ball(x):
    return IntervalTensor.from_ball(x, 0.01 * x.abs())


# They read one number, which only a Boolean box can have.
NUMBERS = (torch.sym_float, torch.sym_int, torch._sym_sqrt, torch.Tensor.__long__)


@pytest.mark.parametrize("function", NUMBERS, ids=spelled)
def test_a_number_is_read_where_it_is_decided(function):
    yes = torch.tensor(True)
    assert function(IntervalTensor.point(yes)) == function(yes)
    with pytest.raises(it.UndecidedError):
        function(IntervalTensor(~yes, yes))
    with pytest.raises(it.EscapeError):
        function(IntervalTensor.point(torch.tensor(4.0)))


BERNOULLI = (torch.bernoulli, torch.Tensor.bernoulli)


@pytest.mark.parametrize("function", BERNOULLI, ids=spelled)
def test_a_draw_is_certain_as_often_as_all_probabilities_have_it(function):
    """One uniform number for each entry is compared with every probability of the box."""
    drawn = function(IntervalTensor(torch.full((40_000,), 0.2), torch.full((40_000,), 0.6)))
    assert drawn.lower.mean().item() == pytest.approx(0.2, abs=0.01)
    assert drawn.upper.mean().item() == pytest.approx(0.6, abs=0.01)
    assert function(IntervalTensor.point(torch.tensor([0.0, 1.0]))).equal(
        IntervalTensor.point(torch.tensor([0.0, 1.0]))
    )


@of_kind("fallback")
def test_the_body_of_a_function_encloses(function):
    if function in (*NUMBERS, *BERNOULLI):
        pytest.skip("above")
    refusals = []
    for args, kwargs in on_boxes(function):
        try:
            testing.check_sound(seeded(function), *args, **kwargs)
            testing.check_result(seeded(function), *args, **kwargs)
            return
        except it.UnsupportedOpError as refused:
            refusals.append(refused)
    raise refusals[0]


def seeded(function):
    """Functions that draw numbers draw the same ones at each call."""

    def call(*args, **kwargs):
        torch.manual_seed(0)
        return function(*args, **kwargs)

    return call


@of_kind("refused")
def test_a_refusal_says_why_and_what_to_do(function):
    group, instead = refusal(function)
    for args, kwargs in on_boxes(function):
        with pytest.raises(group.error) as caught:
            function(*args, **kwargs)
        message = str(caught.value)
        if "no interval rule" in message:  # some functions of torch go by the name of another: hsmm by that of hspmm
            assert any(name in caught.value.headline for name in group.advice())
            assert group.reason in message and instead in message
        else:
            assert issubclass(group.error, it.EscapeError) and len(caught.value.details) == 1


# Of the wrapper itself, so another for each tensor.
OWN = (torch.Tensor._cdata.__get__, torch.autocast)


@of_kind("point")
def test_an_answer_that_reads_no_values_is_that_of_plain_tensors(function):
    for args, kwargs in on_boxes(function):
        plain, plain_kwargs = map_tensors(lambda x: getattr(x, "lower", x), (args, kwargs))
        got, expected = outcome(function, args, kwargs), outcome(function, plain, plain_kwargs)
        if isinstance(expected, torch.Tensor):
            assert getattr(got, "lower", got).equal(expected)
            continue
        assert type(got) is type(expected)
        if function not in OWN:
            assert got == expected


def outcome(function, args, kwargs):
    """What a function returns; the kind and message of the error that it raises."""
    torch.manual_seed(0)
    try:
        return function(*args, **kwargs)
    except RuntimeError as error:
        return type(error), str(error)


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
def test_a_sparse_matrix_multiplies_a_box_and_does_nothing_else(layout):
    dense = torch.tensor([[2.0, 0.0], [0.0, -3.0]])
    sparse, X = dense.to_sparse(layout=layout), _ball(torch.tensor([[1.0, -2.0], [0.5, 3.0]]))
    for mode in ("nearest", "outward"):
        with it.rounding(mode):
            for product in (torch.matmul, torch.mm, lambda a, x: torch.nn.functional.linear(x.T, a)):
                got, expected = product(sparse, X), product(dense, X)
                torch.testing.assert_close((got.lower, got.upper), (expected.lower, expected.upper))
            for function in (torch.sparse.mm, torch.mul, torch.div, torch.maximum):
                with pytest.raises((it.UnsupportedOpError, RuntimeError)):
                    function(*((sparse, X) if function is torch.sparse.mm else (X, sparse)))
