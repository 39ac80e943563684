"""Random expressions and modules: linear bounds contain every value, and lie within those of intervals.

In float64 and nearest rounding, where bounds hold up to rounding errors; these are far below the room given here, and
far below what a wrong line, row or sample would do.
"""

import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from intervaltorch import IntervalError, IntervalTensor, bound
from intervaltorch.testing.strategies import boxes_with_points
from tests.test_programs import evaluate, expressions, image_models

pytestmark = pytest.mark.usefixtures("quiet")
METHODS = ("crown-ibp", "crown")


def assert_between(wide, tight, values):
    """Values lie in the tight box, and the tight box in the wide one, up to the rounding of either."""
    room = 1e-12 * (1 + wide.magnitude)
    assert bool((tight.lower >= wide.lower - room).all()) and bool((tight.upper <= wide.upper + room).all())
    for value in values:
        room = 1e-9 * (1 + wide.magnitude.clamp(max=1e12) + value.abs())
        outside = (value < tight.lower - room) | (value > tight.upper + room)
        assert not bool(outside.any()), f"{value[outside][0]} outside {tight[outside][0]!r}"


@settings(max_examples=80)
@given(
    expressions, st.sampled_from(METHODS), boxes_with_points((3, 3), min_value=-4, max_value=4),
    boxes_with_points((3, 3), max_radius=0.1),
)  # fmt: skip
def test_random_expressions(expression, method, x, y):
    """Samples may be mixed, arguments may occur several times, and branches may be undecided."""
    constant = torch.tensor([[0.5, -1.0, 0.1], [3.0, 0.0, -0.3], [1.0, 1.0, 1.0]]).double()

    def program(x, y):
        return evaluate(expression, {"x": x, "y": y, "constant": constant})

    inputs = x[0].double(), y[0].double()
    try:
        wide = bound(program, *inputs)
    except TypeError:  # the expression is a constant
        assume(False)
    except IntervalError:
        with pytest.raises(IntervalError):
            bound(program, *inputs, method=method)
        return
    assume(isinstance(wide, IntervalTensor))
    tight = bound(program, *inputs, method=method)
    assert_between(wide, tight, [program(a, b) for a, b in zip(x[1].double(), y[1].double())])


@settings(max_examples=25)
@given(
    image_models(), st.sampled_from(METHODS), boxes_with_points((2, 2, 6, 6), min_value=-1, max_value=1, max_radius=0.1)
)
def test_random_modules(model, method, x):
    model = copy.deepcopy(model).double()
    wide, tight = bound(model, x[0].double()), bound(model, x[0].double(), method=method)
    assert_between(wide, tight, [model(point) for point in x[1].double()])
