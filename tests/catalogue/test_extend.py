"""Functions of one's own: what `register` adds to the rule it is given."""

import functools
import math

import pytest
import torch

import intervaltorch as it
from intervaltorch import Box, IntervalTensor
from intervaltorch._records.registry import OPS
from intervaltorch.testing import assert_encloses, check_op
from tests.boxes import intervals

inf = math.inf


@it.register(critical=(-1.0,), budget=it.Budget(relative=3))
def x_exp_x(x):
    return x * torch.exp(x)


@it.register(rule=lambda a, b: Box(a.lower / (a.lower + b.upper), a.upper / (a.upper + b.lower)), image=(0.0, 1.0))
def share(a, b):
    return a / (a + b)


@it.register(rule=lambda a: Box(torch.log1p(a.lower), torch.log1p(a.upper)), budget=it.Budget(2), domain=(-1.0, inf))
def log_of_sum(a):
    return torch.log1p(a)


def test_a_value_that_is_nan_leaves_the_box_unbounded_and_not_nan():
    result = x_exp_x(intervals((-inf, inf), (-inf, 0.0)))
    assert result.lower.tolist() == [-inf, -inf]
    assert result.upper.tolist() == [inf, inf]


def test_registered_functions_pass_their_own_check():
    check_op(x_exp_x)
    check_op(log_of_sum, intervals((-0.5, 2.0), (0.0, 1.0)))


def test_the_first_argument_may_be_given_by_name():
    x = intervals((-2.0, 0.0))
    assert x_exp_x(x=x).lower.equal(x_exp_x(x).lower)


def test_an_elementwise_rule_refuses_intervals_in_other_arguments():
    @it.register(monotone="increasing")
    def shifted(x, by):
        return x + by

    x = intervals((0.0, 1.0))
    assert shifted(x, torch.ones(1)).upper.item() == 2
    with pytest.raises(it.UnsupportedOpError, match="first argument"):
        shifted(x, x)
    with pytest.raises(it.UnsupportedOpError, match="first argument"):
        shifted(torch.ones(1), by=x)


def test_the_ends_that_a_rule_returns_are_rounded_outward_by_its_budget():
    x = intervals((0.1, 0.1))
    with it.rounding("outward"):
        y = log_of_sum(x)
    assert_encloses(y, torch.log1p(x.lower.double()))
    assert (y.width > 0).all()


def test_a_rule_without_a_budget_warns_and_strict_refuses_it():
    a, b = intervals((1.0, 2.0)), intervals((1.0, 3.0))
    with it.rounding("outward"), pytest.warns(UserWarning, match="share"):
        y = share(a, b)
    assert (y.lower < 0.25).all()
    with it.rounding("outward", strict=True), pytest.raises(it.UnprovenOpError, match="share"):
        share(a, b)


def test_a_rule_checks_its_domain_and_refuses_a_budget_of_which_input():
    with pytest.raises(it.DomainError):
        log_of_sum(intervals((-2.0, 0.0)))
    with pytest.raises(it.RegistrationError, match="input term"):
        it.register(lambda x: x, rule=lambda x: x, budget=it.Budget(input=1))


# --- what can be registered, and what cannot --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of"),
        ({"monotone": "increasing", "critical": ()}, "exactly one of"),
        ({"monotone": "up"}, "'increasing' or 'decreasing'"),
        ({"critical": (1.0, 0.0)}, "increasing order"),
        ({"critical": 0.0}, "tuple of distinct points"),
        ({"critical": (0.0, 0.0)}, "distinct"),
        ({"rule": 3}, "cannot be called"),
        ({"monotone": "increasing", "domain": (1, 0)}, r"domain=\(1, 0\)"),
        ({"monotone": "increasing", "image": 3}, "image=3"),
        ({"monotone": "increasing", "curvature": "round"}, "'convex' or 'concave'"),
    ],
)
def test_records_that_contradict_themselves_are_refused(arguments, message):
    def some_function(x):
        return x

    with pytest.raises(it.RegistrationError, match=message) as caught:
        it.register(some_function, **arguments)
    assert "some_function" in str(caught.value)


@pytest.mark.parametrize(
    "thing", [3, torch.nn.ReLU(), functools.partial(torch.clamp, min=0)], ids=["number", "module", "partial"]
)
def test_what_has_no_name_is_no_function(thing):
    with pytest.raises(it.RegistrationError, match="function with a name"):
        it.register(thing, monotone="increasing")


@pytest.mark.parametrize("function", [torch.exp, torch.Tensor.exp, torch.ops.aten.exp, x_exp_x])
def test_one_function_has_one_rule(function):
    with pytest.raises(it.RegistrationError, match="already registered"):
        it.register(function, monotone="increasing")


def test_a_decorator_keeps_the_function():
    assert x_exp_x.__name__ == "x_exp_x"
    assert x_exp_x(torch.zeros(2)).tolist() == [0, 0]
    op = next(op for op in it.supported_ops() if op.name == "x_exp_x")
    assert (op.family, op.critical, op.budget) == ("piecewise monotone", (-1.0,), it.Budget(relative=3))


def test_a_function_that_is_not_elementwise_is_found_out():
    total = it.register(lambda x: x.sum(), monotone="increasing")
    with pytest.raises(it.RegistrationError, match=r"not elementwise: it takes \(3,\) to \(\)"):
        total(IntervalTensor(torch.zeros(3), torch.ones(3)))


def test_a_rule_that_returns_no_box_is_found_out():
    pair = it.register(lambda x: x, rule=lambda x: (x.lower, x.upper))
    with pytest.raises(it.RegistrationError, match=r"plain tensors(.|\n)*return Box"):
        pair(intervals((0.0, 1.0)))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda x: Box(-x.lower, -x.upper), "lower bound above its upper bound"),
        (lambda x: {"y": Box(x.upper + 1, x.lower)}, "lower bound above its upper bound"),
        (lambda x: Box(x.lower > -9, x.lower > 9), "lower bound above its upper bound"),
        (lambda x: None, "returned NoneType, no box"),
        (lambda x: 3.0, "returned float, no box"),
        (lambda x: (), "returned tuple, no box"),
        (lambda x: Box(x.lower, x.upper[:1]), "do not fit"),
        (lambda x: Box(x.lower, x.upper.double()), "do not fit"),
        (lambda x: Box(0.0, 1.0), "do not fit"),
        (lambda x: (Box(x.lower, x.upper), Box(IntervalTensor(x.lower, x.upper), x.upper)), "do not fit"),
        (lambda x: Box(x.lower.long(), x.upper.long()), r"bounds of torch\.int64"),
    ],
)
@pytest.mark.parametrize("mode", ["nearest", "outward"])
@pytest.mark.filterwarnings("ignore:the outward bounds")
def test_a_rule_that_returns_a_wrong_box_is_found_out(rule, message, mode):
    wrong = it.register(lambda x: x, rule=rule)
    with it.rounding(mode), pytest.raises(it.RegistrationError, match=message):
        wrong(intervals((0.0, 1.0), (1.0, 2.0)))


def test_bounds_that_rounding_exchanged_are_put_in_order():
    near = it.register(lambda x: x, rule=lambda x: Box(x.lower + 3e-7, x.upper))
    Y = near(IntervalTensor.point(torch.ones(2)))
    assert (Y.lower <= Y.upper).all() and Y.contains(1.0).all()
    unknown = it.register(lambda x: x, rule=lambda x: Box(x.lower * math.nan, x.upper))
    assert unknown(intervals((0.0, 1.0))).lower.item() == -math.inf


@pytest.mark.filterwarnings("ignore:the outward bounds")
def test_an_image_that_does_not_hold_is_found_out():
    shifted = it.register(lambda x: x + 1, monotone="increasing", image=(0.0, math.inf))
    with it.rounding("outward"), pytest.raises(it.RegistrationError, match=r"the stated image or budget is wrong"):
        shifted(intervals((-9.0, -8.0)))


@pytest.mark.filterwarnings("ignore:the outward bounds")
def test_check_op_takes_a_bound_cut_to_the_image_for_what_it_is():
    check_op(
        it.register(lambda x: (x + torch.sqrt(x**2 + 4)) / 2, monotone="increasing", image=(0.0, math.inf)), samples=8
    )


@pytest.mark.filterwarnings("ignore:the outward bounds")
def test_check_op_shows_the_box_the_point_and_a_remedy():
    square = it.register(lambda x: x**2, monotone="increasing", image=(0.0, math.inf))
    with pytest.raises(AssertionError) as caught:
        check_op(square, samples=8)
    for part in ("the input box is [", "the point ", "check what is stated about the function: its direction"):
        assert part in str(caught.value)


def test_rules_take_and_return_structures():
    @it.register(rule=lambda xs, *, scale: {"sum": Box(xs[0].lower + xs[1].lower, xs[0].upper + xs[1].upper), "n": 2})
    def tally(xs, *, scale):
        return {"sum": xs[0] + xs[1], "n": 2}

    X = intervals((0.0, 1.0))
    result = tally([X, X], scale=1)
    assert result["n"] == 2
    assert result["sum"].upper.item() == 2


def test_parameters_of_ones_own_keep_their_names():
    total = it.register(lambda x, axis=0: x.sum(axis), rule=lambda x, axis=0: Box(x.lower.sum(axis), x.upper.sum(axis)))
    X = IntervalTensor(torch.zeros(2, 3), torch.ones(2, 3))
    assert total(X, axis=1).upper.tolist() == [3, 3]
    assert X.sum(axis=0, keepdims=True).shape == (1, 3)


def test_gradients_flow_through_registered_functions():
    lower = torch.tensor([-2.0, 0.5], requires_grad=True)
    x_exp_x(IntervalTensor(lower, lower + 0.1)).lower.sum().backward()
    # Decreasing left of -1, so there the lower bound moves with the upper end, which is lower + 0.1.
    ends = torch.tensor([-1.9, 0.5])
    assert lower.grad.allclose((1 + ends) * ends.exp())


@pytest.fixture
def restored():
    """The table of ops as it was before."""
    before = dict(OPS)
    yield
    OPS.clear()
    OPS.update(before)


@pytest.mark.usefixtures("restored")
def test_functions_of_torch_get_a_rule_under_every_spelling():
    it.register(torch.special.ndtr, monotone="increasing")
    X = intervals((-1.0, 2.0))
    for ndtr in (torch.special.ndtr, torch.ops.aten.special_ndtr):
        Y = ndtr(X)
        assert Y.lower.equal(torch.special.ndtr(X.lower)) and Y.upper.equal(torch.special.ndtr(X.upper))


@pytest.mark.usefixtures("restored")
def test_functions_that_are_refused_can_get_a_rule():
    X = intervals((1.0, 2.0), (5.0, 6.0))
    with pytest.raises(it.UnsupportedOpError, match="the number of values that are equal"):
        torch.histc(X, 3, 0, 6)
    it.register(torch.histc, rule=lambda x, *bins: it.Box(torch.zeros(3), torch.full((3,), 2.0)))
    assert torch.histc(X, 3, 0, 6).upper.tolist() == [2, 2, 2]


def test_custom_ops_get_a_rule():
    @torch.library.custom_op("intervaltorch_tests::cube", mutates_args=())
    def cube(x: torch.Tensor) -> torch.Tensor:
        return x**3

    X = intervals((-1.0, 2.0))
    with pytest.raises(it.UnsupportedOpError, match="cube"):
        cube(X)
    assert it.register(cube, monotone="increasing") is cube
    for call in (cube, torch.ops.intervaltorch_tests.cube):
        assert (call(X).lower.item(), call(X).upper.item()) == (-1, 8)


def test_a_function_with_an_inplace_flag_works_in_place():
    @it.register(monotone="increasing")
    def soft(x, inplace=False):
        return x.mul_(2) if inplace else x * 2

    X = intervals((0.0, 1.0))
    assert soft(X, inplace=True) is X
    assert X.upper.item() == 2


def test_supported_ops_are_records_of_every_op():
    ops = it.supported_ops()
    assert len({id(op) for op in ops}) == len(ops)
    assert {"exp", "linear", "add", "lt"} <= {op.name for op in ops}
    assert all(op.family and op.spellings for op in ops)
