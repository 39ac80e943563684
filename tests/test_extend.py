"""Functions of one's own: what `register` adds to the rule it is given."""

import math

import pytest
import torch

import intervaltorch as it
from intervaltorch import Box, IntervalTensor
from intervaltorch.testing import assert_encloses, check_op

inf = math.inf


def box(*ends):
    return IntervalTensor(*(torch.tensor(list(end)) for end in zip(*ends, strict=True)))


@it.register(critical=(-1.0,), budget=it.Budget(relative=3))
def x_exp_x(x):
    return x * torch.exp(x)


@it.register(rule=lambda a, b: Box(a.lower / (a.lower + b.upper), a.upper / (a.upper + b.lower)), image=(0.0, 1.0))
def share(a, b):
    return a / (a + b)


@it.register(
    rule=lambda a: Box(torch.log1p(a.lower), torch.log1p(a.upper)), budget=it.Budget(2), domain=(-1.0, inf)
)
def log_of_sum(a):
    return torch.log1p(a)


def test_a_value_that_is_nan_leaves_the_box_unbounded_and_not_nan():
    result = x_exp_x(box((-inf, inf), (-inf, 0.0)))
    assert result.lower.tolist() == [-inf, -inf]
    assert result.upper.tolist() == [inf, inf]


def test_registered_functions_pass_their_own_check():
    check_op(x_exp_x)
    check_op(log_of_sum, box((-0.5, 2.0), (0.0, 1.0)))


def test_the_first_argument_may_be_given_by_name():
    x = box((-2.0, 0.0))
    assert x_exp_x(x=x).lower.equal(x_exp_x(x).lower)


def test_an_elementwise_rule_refuses_intervals_in_other_arguments():
    @it.register(monotone="increasing")
    def shifted(x, by):
        return x + by

    x = box((0.0, 1.0))
    assert shifted(x, torch.ones(1)).upper.item() == 2
    with pytest.raises(it.UnsupportedOpError, match="first argument"):
        shifted(x, x)
    with pytest.raises(it.UnsupportedOpError, match="first argument"):
        shifted(torch.ones(1), by=x)


def test_the_ends_that_a_rule_returns_are_rounded_outward_by_its_budget():
    x = box((0.1, 0.1))
    with it.rounding("outward"):
        y = log_of_sum(x)
    assert_encloses(y, torch.log1p(x.lower.double()))
    assert (y.width > 0).all()


def test_a_rule_without_a_budget_warns_and_strict_refuses_it():
    a, b = box((1.0, 2.0)), box((1.0, 3.0))
    with it.rounding("outward"), pytest.warns(UserWarning, match="share"):
        y = share(a, b)
    assert (y.lower < 0.25).all()
    with it.rounding("outward", strict=True), pytest.raises(it.UnprovenOpError, match="share"):
        share(a, b)


def test_a_rule_checks_its_domain_and_refuses_a_budget_of_which_input():
    with pytest.raises(it.DomainError):
        log_of_sum(box((-2.0, 0.0)))
    with pytest.raises(it.RegistrationError, match="input term"):
        it.register(lambda x: x, rule=lambda x: x, budget=it.Budget(input=1))
