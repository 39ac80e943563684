"""The published checks can fail: each sees the fault it is for, and takes points, Booleans and empty tensors."""

import pytest
import torch
import torch.nn.functional as F

import intervaltorch as it
from intervaltorch import Box, IntervalTensor
from intervaltorch.testing import check_op, check_sound
from tests.boxes import seeded_ball

EPS = torch.finfo(torch.float32).eps
X = seeded_ball(40, radius=0.25)
FAULTS = {}


def faulty(lower, upper):
    """The bounds moved in nearest mode by what `FAULTS` says, in eps of themselves."""
    scale = torch.finfo(lower.dtype).eps if it.get_rounding() == "nearest" else 0.0
    return Box(
        lower + FAULTS.get("lower", 0) * scale * lower.abs(), upper + FAULTS.get("upper", 0) * scale * upper.abs()
    )


@it.register(rule=lambda x: faulty(x.lower.exp(), x.upper.exp()), budget=it.Budget(2))
def exponential(x):
    return torch.exp(x)


@it.register(rule=lambda x: faulty(x.lower.exp(), x.upper.exp()))
def guessed_exponential(x):
    return torch.exp(x)


@it.register(rule=lambda x: faulty(-x.upper, -x.lower), budget=it.EXACT)
def negative(x):
    return -x


@it.register(rule=lambda x: faulty(x.lower.sum(-1), x.upper.sum(-1)), budget=it.Budget(8, absolute=100))
def total(x):
    return x.sum(-1)


def program(x):
    return torch.softmax(exponential(x), -1) + 1


@pytest.fixture(autouse=True)
def _sound():
    FAULTS.clear()
    yield
    FAULTS.clear()


each_function = pytest.mark.parametrize(
    "function", [exponential, negative, total, program], ids=lambda function: function.__name__
)


@each_function
def test_a_sound_rule_passes(function):
    check_op(function, X)


@each_function
@pytest.mark.parametrize("end", ["lower", "upper"])
@pytest.mark.parametrize("by", [-30, -10, 10, 30, 1e6])
def test_a_bound_of_nearest_mode_that_is_off_is_seen(function, end, by):
    """Ten eps exceed what rounding costs these functions, in either direction: too tight, or too loose."""
    if function in (total, program) and abs(by) < 30:
        pytest.skip("sums of forty terms may cost as much")
    FAULTS[end] = by
    with pytest.raises(AssertionError, match="bound of nearest mode is off"):
        check_sound(function, X)


@pytest.mark.filterwarnings("ignore:.*guessed error budget")
def test_without_a_budget_the_guess_is_what_may_hide():
    FAULTS["upper"] = 10
    check_sound(guessed_exponential, X)
    FAULTS["upper"] = 100
    with pytest.raises(AssertionError, match="upper bound of nearest mode is off"):
        check_sound(guessed_exponential, X)


def test_one_unit_in_the_last_place_is_seen_where_nothing_rounds():
    FAULTS["lower"] = 1
    with pytest.raises(AssertionError, match="lower bound of nearest mode is off"):
        check_sound(negative, X)


# --- what may be checked ----------------------------------------------------------------------------------------------

POINT = IntervalTensor.point(torch.tensor([0.3, -0.7, 1.2]))
PARTLY = IntervalTensor(torch.tensor([0.0, 0.5, -2.0]), torch.tensor([0.0, 1.0, -2.0]))
ULP = IntervalTensor(torch.tensor([0.5, 1.0, 3.0]), torch.nextafter(torch.tensor([0.5, 1.0, 3.0]), torch.tensor(9.0)))
TRUTH = IntervalTensor(torch.tensor([True, False, False]), torch.tensor([True, True, False]))
INFINITE = IntervalTensor(torch.tensor([-torch.inf, 0.0, 1.0]), torch.tensor([0.0, torch.inf, 2.0]))
EMPTY = IntervalTensor(torch.zeros(0, 3), torch.zeros(0, 3))

CASES = {
    "points": (torch.exp, POINT),
    "a scalar": (torch.exp, POINT[0]),
    "points of some": (torch.square, PARTLY),
    "one ulp": (torch.tanh, ULP),
    "products of points": (torch.mul, POINT, PARTLY),
    "products of matrices of points": (torch.matmul, POINT, POINT),
    "softmax of points": (lambda x: x.softmax(-1), POINT),
    "normalised points": (lambda x: F.layer_norm(x, (3,)), POINT),
    "indices": (lambda x: x.max(-1), POINT),
    "infinite": (torch.exp, INFINITE),
    "and": (torch.logical_and, TRUTH, TRUTH.flip(0)),
    "not": (torch.logical_not, TRUTH),
    "any": (torch.any, TRUTH),
    "less": (torch.lt, X[:3], POINT),
    "close": (torch.isclose, X[:3], POINT),
    "where": (torch.where, TRUTH, X[:3], POINT),
    "empty": (torch.exp, EMPTY),
    "empty sum": (torch.sum, EMPTY),
    "empty softmax": (lambda x: x.softmax(-1), EMPTY),
    "empty product": (lambda x: x @ torch.ones(3, 2, dtype=x.dtype), EMPTY),
}


@pytest.mark.parametrize("name", CASES)
def test_takes(name):
    function, *inputs = CASES[name]
    check_op(function, *inputs)


def test_says_that_there_is_nothing_to_check():
    with pytest.raises(ValueError, match="no argument is an interval tensor"):
        check_op(torch.add, torch.ones(2), torch.ones(2))
    with pytest.raises(ValueError, match=r"dtype torch\.float64: pass it as float32"):
        check_op(torch.exp, X.double())


def test_a_wrong_gradient_at_a_point_is_seen():
    @it.register(rule=lambda x: Box(x.lower.detach() + 0 * x.lower, x.upper), budget=it.EXACT)
    def same(x):
        return x + 0

    with pytest.raises(AssertionError, match="gradients of the bounds are wrong"):
        check_op(same, POINT)


def test_a_wrong_truth_is_seen():
    @it.register(rule=lambda x: Box(x.lower > 0, x.lower > 0))
    def positive(x):
        return x > 0

    with pytest.raises(AssertionError, match="does not enclose"):
        check_op(positive, X)
