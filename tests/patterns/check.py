"""What the tests of patterns share: a program run on a box and at points of it."""

import re
from functools import partial

import pytest
import torch

from intervaltorch import IntervalTensor, rounding
from intervaltorch.testing import assert_encloses, sample_points
from tests import boxes

ball = partial(boxes.ball, dtype=torch.float64)


def boxes_of(result):
    """The boxes in nested dicts, tuples and lists."""
    if isinstance(result, IntervalTensor):
        return [result]
    if isinstance(result, dict):
        result = list(result.values())
    return [box for item in result for box in boxes_of(item)] if isinstance(result, (tuple, list)) else []


def check(program, X, *, count=12):
    """Run a program on a box and at points of it. Returns its box.

    Outward, every value lies in its box, without tolerance. In nearest mode, the box is the same up to the rounding
    that outward mode adds, which in these small programs in float64 is far below a billionth.
    """
    with rounding("outward"):
        Y = program(X.clone())
    for x in sample_points(X, count):
        assert_encloses(Y, program(x.clone()))
    Z = program(X.clone())
    for outer, inner in zip(boxes_of(Y), boxes_of(Z), strict=True):
        assert bool(inner.issubset(outer).all()) if outer.dtype.is_floating_point else True
        torch.testing.assert_close(inner.lower, outer.lower, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(inner.upper, outer.upper, rtol=1e-9, atol=1e-9)
    return Z


def refuses(kind, program, *words):
    """Expect an error of one kind whose message contains words, the remedy among them."""
    with pytest.raises(kind) as caught:
        program()
    assert type(caught.value) is kind
    for word in words:
        assert re.search(re.escape(word), str(caught.value)), str(caught.value)
