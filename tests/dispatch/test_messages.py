"""What a refusal advises applies to the call that was made, and loses no bound."""

import re

import pytest
import torch
import torch.nn.functional as F

from intervaltorch import DomainError, EscapeError, IntervalTensor, UnsupportedOpError, intersection
from intervaltorch._records.refusals import GROUPS, RAW_VALUES

ZERO_IN = IntervalTensor(-torch.ones(1, 3), torch.ones(1, 3))
pytestmark = pytest.mark.usefixtures("quiet")
X = IntervalTensor.from_ball(torch.full((1, 1, 4, 4), 0.5), 0.1)


def message(kind, program):
    with pytest.raises(kind) as caught:
        program()
    return str(caught.value)


@pytest.mark.parametrize("group", [group for group in GROUPS if group is not RAW_VALUES], ids=lambda group: group.title)
def test_no_advice_to_take_one_point_for_the_box(group):
    """Not every number of a box bounds what is made of it: `center` does not, and neither does a count of one bound."""
    for instead in group.advice().values():
        assert not re.search(r"\.center\b|take a bound first", instead), instead


def test_the_centre_of_a_box_is_called_a_point():
    assert "no bound" in message(EscapeError, lambda: float(X.sum()))


def test_samples_at_places_that_vary():
    grid = IntervalTensor.from_ball(torch.zeros(1, 2, 2, 2), 0.1)
    text = message(UnsupportedOpError, lambda: F.grid_sample(X, grid))
    assert "center" not in text and "amin" in text
    sample = F.grid_sample(X, grid.lower)
    assert bool((X.amin((-2, -1)).lower <= sample.lower).all() & (sample.upper <= X.amax((-2, -1)).upper).all())
    assert "bilinear" in message(UnsupportedOpError, lambda: F.grid_sample(X, grid.lower, mode="bicubic"))


def test_fractional_pooling_with_given_samples():
    pool = torch.nn.FractionalMaxPool2d(2, output_size=(2, 2), _random_samples=torch.rand(1, 1, 2))
    assert "even if _random_samples are given" in message(UnsupportedOpError, lambda: pool(X))


def test_scales_that_vary():
    scale = IntervalTensor(torch.tensor([0.1]), torch.tensor([0.2]))
    fake = lambda: torch.fake_quantize_per_tensor_affine(X, scale, torch.zeros(1, dtype=torch.int32), 0, 255)  # noqa: E731
    assert "center" not in message(UnsupportedOpError, fake)


def test_a_box_with_a_point_at_which_a_norm_is_0_over_0():
    zeros = IntervalTensor.point(torch.zeros(1, 3))
    for program in (
        lambda: F.layer_norm(zeros, (3,), eps=0),
        lambda: F.rms_norm(ZERO_IN, (3,), eps=0),
        lambda: F.normalize(ZERO_IN, eps=0),
        lambda: F.cosine_similarity(ZERO_IN, torch.ones(1, 3), eps=0),
    ):
        text = message(DomainError, program)
        assert "0 / 0 at a point of the box" in text and "eps > 0" in text
    assert F.layer_norm(IntervalTensor(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 3.0])), (2,), eps=0).shape == (2,)


def test_numbers_that_a_function_does_not_take():
    assert "pass eps >= 0" in message(DomainError, lambda: F.layer_norm(X, (4,), eps=-1.5))
    assert "at most 1/2" in message(DomainError, lambda: torch.logit(X, eps=0.6))
    assert "NaN at every point" in message(DomainError, lambda: X * float("nan"))
    assert "finite scale" in message(DomainError, lambda: F.scaled_dot_product_attention(X, X, X, scale=float("inf")))


def test_boxes_that_share_no_point():
    first = IntervalTensor(torch.tensor([0.0, 3.0]), torch.tensor([1.0, 4.0]))
    second = IntervalTensor(torch.tensor([2.0, 3.0]), torch.tensor([3.0, 5.0]))
    for program in (lambda: first.intersection(second), lambda: intersection(first, second)):
        text = message(ValueError, program)
        assert "share no point at index (0,)" in text and "1 of 2 entries" in text and "exchange" not in text


def test_bounds_of_eight_bits_and_of_many_shapes():
    eighth = torch.ones(1).to(torch.float8_e4m3fn)
    assert ".float()" in message(TypeError, lambda: IntervalTensor(eighth, eighth))
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    assert "unbind" in message(TypeError, lambda: IntervalTensor(nested, nested))


def test_nested_tensors_of_boxes():
    for make in (torch.nested.nested_tensor, torch.nested.as_nested_tensor):
        assert "pad_sequence" in message(UnsupportedOpError, lambda: make([X[0, 0, 0], X[0, 0, 0, :2]]))  # noqa: B023


def test_attention_that_compiles_itself():
    from torch.nn.attention.flex_attention import flex_attention

    query = IntervalTensor.from_ball(torch.zeros(1, 1, 16, 16), 0.1)
    validated = torch.distributions.Distribution._validate_args
    try:
        with pytest.raises(Exception, match=r"use torch.nn.functional.scaled_dot_product_attention"):
            flex_attention(query, query, query)
    finally:  # torch._dynamo switches the validation of distributions off where it is imported
        torch.distributions.Distribution.set_default_validate_args(validated)
