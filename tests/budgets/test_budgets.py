"""Error budgets hold on this machine, and every budget is measured."""

import dataclasses
import functools

import pytest
import torch

import intervaltorch as it
from intervaltorch import EXACT, Budget
from tests.budgets.cases import CASES, Case
from tests.budgets.measure import spent, swept
from tests.table import BUILT_IN

DTYPES = (torch.float32, torch.float64)
UNARY = [case for case in CASES if case.arity == 1]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
each_unary_case = pytest.mark.parametrize("case", UNARY, ids=lambda case: case.name)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype)[6:])

UNMEASURED = {"__rpow__": "the rule of pow with its arguments exchanged"}
"""Ops whose budget needs no measurement, with the reason."""


def check(worst):
    assert worst.count > 0
    assert worst.part <= 1, f"{worst.part:.3g} of the budget at {worst.at}, computed as {worst.computed} ({worst.path})"


def test_every_budget_is_measured():
    stated = {op.name for op in BUILT_IN if op.budget not in (None, EXACT)}
    measured = {case.op.name for case in CASES}
    assert stated - measured <= set(UNMEASURED), "measure these in tests/budgets/exact.py, or say why not"
    assert not set(UNMEASURED) & measured


@each_case
@each_dtype
def test_budgets_hold(case, dtype):
    check(spent(case, 40, dtype, alone=10))


@each_unary_case
def test_budgets_hold_all_over_float32(case):
    check(swept(case, step=999983))


@pytest.mark.slow
@each_case
@each_dtype
@pytest.mark.parametrize("seed", range(2))
def test_budgets_hold_at_many_points(case, dtype, seed):
    check(spent(case, 3000, dtype, seed=seed))


@pytest.mark.slow
@each_unary_case
def test_budgets_hold_in_most_of_float32(case):
    check(swept(case, step=509))


# --- that the measurement finds what it is for ------------------------------------------------------------------------


def with_function(name, function, **record):
    """A case whose rule evaluates another function."""
    (case,) = (case for case in CASES if case.name == name)

    def enclose(x, **kwargs):
        return functools.partial(case.op.enclose, **kwargs)(type(x)(function(x.lower), function(x.upper)))

    return dataclasses.replace(case, op=dataclasses.replace(case.op, enclose=enclose, **record))


@each_dtype
@pytest.mark.parametrize("name", ["exp", "log", "tanh", "erf", "sigmoid"])
def test_measurement_finds_an_error_of_the_argument(name, dtype):
    wrong = with_function(name, lambda x: x * (1 + 16 * torch.finfo(x.dtype).eps))
    assert spent(wrong, 40, dtype).part > 1
    assert swept(wrong, step=999983).part > 1


def test_measurement_finds_a_budget_that_is_too_small():
    (case,) = (case for case in CASES if case.name == "sinh")
    mean = dataclasses.replace(case, op=dataclasses.replace(case.op, budget=Budget(0.5, absolute=0)))
    assert spent(mean, 40, torch.float32).part > 1
    assert swept(mean, step=999983).part > 1


def test_cases_name_ops_of_the_table():
    assert {case.op.name for case in CASES} <= {op.name for op in it.supported_ops()}
    assert all(isinstance(case, Case) for case in CASES)
