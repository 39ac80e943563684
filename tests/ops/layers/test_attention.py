"""Attention: the function, multi-head attention and transformer layers."""

import copy
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import intervaltorch as it
from intervaltorch import IntervalTensor, UnsupportedOpError
from intervaltorch._ops.layers import attention
from intervaltorch.testing import assert_encloses, check_gradient, check_op, check_sound, check_thin
from tests.boxes import seeded_box

inf = math.inf


boxes = partial(seeded_box, radius=0.3)


MASK = torch.tensor([[True, False, True, True], [True, True, False, False], [False, False, False, True]])
MODES = {
    "plain": {},
    "boolean mask": {"attn_mask": MASK},
    "padding mask": {"attn_mask": MASK[:1]},
    "added mask": {"attn_mask": torch.tensor([[0.5, -1.0, 0.0, 2.0]] * 3)},
    "added mask with -inf": {"attn_mask": torch.where(MASK, 0.25, -inf)},
    "causal": {"is_causal": True},
    "scale": {"scale": 0.25},
    "grouped": {"enable_gqa": True},
}


def inputs(name, radius=0.3):
    heads = 1 if name == "grouped" else 2
    return (
        boxes(2, 2, 3, 5, radius=radius),
        boxes(2, heads, 4, 5, radius=radius, seed=1),
        boxes(2, heads, 4, 3, radius=radius, seed=2),
    )


@pytest.mark.parametrize("radius", [1e-4, 0.3, 3.0])
@pytest.mark.parametrize("name", MODES)
def test_rules_keep_their_contract(name, radius):
    def attend(query, key, value):
        mask = MODES[name].get("attn_mask")
        options = dict(MODES[name])
        if mask is not None and mask.dtype is not torch.bool:
            options["attn_mask"] = mask.to(query.dtype)
        return F.scaled_dot_product_attention(query, key, value, **options)

    check_op(attend, *inputs(name, radius))


@pytest.mark.parametrize("which", range(3))
def test_each_argument_alone_may_vary(which):
    arguments = [x if i == which else x.center for i, x in enumerate(inputs("plain"))]
    check_op(F.scaled_dot_product_attention, *arguments)


@pytest.mark.parametrize("name", MODES)
def test_a_point_gives_the_value(name):
    points = [x.center for x in inputs(name)]
    y = F.scaled_dot_product_attention(*points, **MODES[name])
    Y = F.scaled_dot_product_attention(*map(IntervalTensor.point, points), **MODES[name])
    torch.testing.assert_close(Y.lower, y)
    torch.testing.assert_close(Y.upper, y)


@pytest.mark.parametrize("name", MODES)
def test_outputs_lie_among_the_values_that_are_not_masked(name):
    query, key, value = inputs(name, radius=30.0)
    Y = F.scaled_dot_product_attention(query, key, value, **MODES[name])
    mask = MODES[name].get("attn_mask", torch.ones(3, 4, dtype=torch.bool))
    mask = torch.ones(3, 4).tril().bool() if name == "causal" else mask if mask.dtype is torch.bool else mask > -inf
    shown = mask.expand(3, 4)[..., None]
    low = torch.where(shown, value.lower[:, :, None], inf).amin(-2)
    high = torch.where(shown, value.upper[:, :, None], -inf).amax(-2)
    assert (low <= Y.lower).all()
    assert (Y.upper <= high).all()


def test_a_query_without_keys_gives_zero():
    mask = MASK.clone()
    mask[1] = False
    query, key, value = inputs("plain")
    for m in (mask, torch.where(mask, 0.0, -inf)):
        Y = F.scaled_dot_product_attention(query, key, value, m)
        assert Y.magnitude[:, :, 1].eq(0).all()
        assert_encloses(Y[:, :, 1], F.scaled_dot_product_attention(query.center, key.center, value.center, m)[:, :, 1])


def test_positions_are_searched_in_pieces():
    value, allowed = torch.randn(2, 1, 4, 3), torch.rand(1, 3, 50, 4) < 0.7
    whole = attention._least(value, allowed)
    assert attention._least(value, allowed, entries=100).equal(whole)
    assert whole.shape == (2, 3, 50, 3)


def greatest_mean(weights, value):
    """The largest mean of values with weights in a box: in the order of the values, each takes what is left."""
    order = value[..., None, :, :].argsort(-2, descending=True)
    shape = (*weights.shape, value.shape[-1])
    order = order.expand(shape)
    least, most = (w[..., None].expand(shape).gather(-2, order) for w in (weights.lower, weights.upper))
    spent = (most - least).cumsum(-2) - (most - least)
    taken = least + torch.minimum(most - least, (1 - least.sum(-2, keepdim=True) - spent).clamp(min=0))
    return (taken * value[..., None, :, :].expand(shape).gather(-2, order)).sum(-2)


@pytest.mark.parametrize("mode", ["nearest", "outward"])
@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("radius", [0.0, 1e-3, 0.05, 0.3, 3.0])
def test_outputs_are_close_to_the_hull_of_weights_that_sum_to_one(radius, causal, offset, mode):
    query, key, value = (boxes(2, 20, 8, radius=r, seed=i).double() for i, r in enumerate((radius, radius, 0.1)))
    value = value + offset
    with it.rounding(mode):
        scores = query @ key.mT / math.sqrt(8)
        if causal:
            scores = scores.masked_fill(torch.ones(20, 20).triu(1).bool(), -inf)
        weights = scores.softmax(-1)
        Y = F.scaled_dot_product_attention(query, key, value, is_causal=causal)
    upper, lower = greatest_mean(weights, value.upper), -greatest_mean(weights, -value.lower)
    gap = 1e-12 * (1 + offset)
    assert (Y.upper >= upper - gap).all()
    assert (Y.lower <= lower + gap).all()
    assert (Y.width / (upper - lower)).mean() < 1.06


def test_without_keys_every_query_gives_zero():
    for query, key in ((boxes(2, 3, 4), torch.zeros(2, 0, 4)), (boxes(2, 3, 4), boxes(2, 0, 4))):
        assert F.scaled_dot_product_attention(query, key, key).magnitude.eq(torch.zeros(2, 3, 4)).all()


def test_the_kernel_in_plain_operations_agrees():
    for name, options in MODES.items():
        arguments = inputs(name)
        Y, W = torch.ops.aten._scaled_dot_product_attention_math(*arguments, **options)
        if "mask" in name:  # this kernel adds Boolean masks as numbers
            options = {"attn_mask": options["attn_mask"].float()}
        expected = F.scaled_dot_product_attention(*arguments, **options)
        assert Y.lower.equal(expected.lower)
        assert Y.upper.equal(expected.upper)
        value = torch.ops.aten._scaled_dot_product_attention_math(*[x.center for x in arguments], **options)
        assert_encloses(Y, value[0])
        assert_encloses(W, value[1])
    with pytest.raises(UnsupportedOpError, match="dropout_mask"):
        torch.ops.aten._scaled_dot_product_attention_math(*inputs("plain"), dropout_mask=torch.ones(3, 4).bool())


def test_an_infinite_value_that_is_masked_does_no_harm():
    query, key, value = inputs("plain")
    value[:, :, 1] = inf
    Y = F.scaled_dot_product_attention(query, key, value, torch.tensor([True, False, True, True]))
    assert Y.lower.isfinite().all()
    assert Y.upper.isfinite().all()


def test_dropout_is_refused():
    with pytest.raises(UnsupportedOpError, match=r"model\.eval\(\)"):
        F.scaled_dot_product_attention(*inputs("plain"), dropout_p=0.1)


MODULES = {
    "attention": lambda: nn.MultiheadAttention(8, 2, batch_first=True),
    "attention, bias_kv": lambda: nn.MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True),
    "encoder layer": lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
    "encoder layer, norm first": lambda: nn.TransformerEncoderLayer(8, 2, 16, norm_first=True, batch_first=True),
    "decoder layer": lambda: nn.TransformerDecoderLayer(8, 2, 16, batch_first=True),
}


def run(name, module, x, **options):
    if name.startswith("attention"):
        return module(x, x, x, **options)[0]
    return module(x, x) if name.startswith("decoder") else module(x)


@pytest.mark.parametrize("mode", ["nearest", "outward"])
@pytest.mark.parametrize("name", MODULES)
def test_modules(name, mode):
    torch.manual_seed(0)
    module = MODULES[name]().eval()
    X = boxes(2, 3, 8, radius=0.1)
    with it.rounding(mode):
        Y = run(name, module, X)
        with torch.no_grad():
            without_grad = run(name, module, X)
    assert isinstance(Y, IntervalTensor)
    torch.testing.assert_close(without_grad.upper, Y.upper)


@pytest.mark.parametrize("name", MODULES)
def test_modules_keep_the_contract(name):
    torch.manual_seed(0)
    module = MODULES[name]().eval()
    wide = copy.deepcopy(module).double()
    X = boxes(2, 3, 8, radius=0.1)

    def call(x):
        return run(name, wide if x.dtype is torch.float64 else module, x)

    check_sound(call, X, samples=50)
    check_thin(call, X)


@pytest.mark.parametrize("need_weights", [True, False])
def test_attention_weights_and_masks(need_weights):
    torch.manual_seed(0)
    module = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    X = boxes(2, 4, 8, radius=0.1)
    padding = torch.tensor([[False, False, True, True], [False] * 4])
    causal = nn.Transformer.generate_square_subsequent_mask(4)
    options = {"key_padding_mask": padding, "attn_mask": causal.isinf(), "need_weights": need_weights}
    wide = copy.deepcopy(module).double()

    def call(x):
        y, weights = (wide if x.dtype is torch.float64 else module)(x, x, x, **options)
        assert (weights is not None) == need_weights
        return (y, weights) if need_weights else y

    check_sound(call, X, samples=50)


@pytest.mark.parametrize("name", MODULES)
def test_gradients_of_inputs_and_parameters(name):
    torch.manual_seed(0)
    module = MODULES[name]().double().eval()
    names, values = zip(*module.named_parameters())

    def function(x, *values):
        if name.startswith("attention"):
            return torch.func.functional_call(module, dict(zip(names, values)), (x, x, x), {"need_weights": False})[0]
        arguments = (x, x) if name.startswith("decoder") else (x,)
        return torch.func.functional_call(module, dict(zip(names, values)), arguments)

    check_gradient(function, boxes(2, 3, 8, radius=0.05).double(), *[v.detach() for v in values])


@pytest.mark.parametrize("mode", ["nearest", "outward"])
def test_gradients_of_a_row_that_is_masked_by_the_least_number(mode):
    """Outward its scores reach to -inf, all of them; the gradients are those of equal scores."""
    mask = torch.zeros(3, 3)
    mask[0], mask[1, 0] = torch.finfo(torch.float32).min, torch.finfo(torch.float32).min
    x = boxes(2, 3, 4)
    slopes = {}
    for rounded in ("nearest", mode):
        ends = [end.detach().clone().requires_grad_() for end in (x.lower, x.upper)]
        X = IntervalTensor(*ends)
        with it.rounding(rounded):
            result = F.scaled_dot_product_attention(X, X, X, attn_mask=mask)
        slopes[rounded] = torch.autograd.grad((result.lower + 2 * result.upper)[:, 1:].sum(), ends, retain_graph=True)
        assert all(bool(slope.isfinite().all()) for slope in torch.autograd.grad(result.upper.sum(), ends))
    torch.testing.assert_close(slopes[mode], slopes["nearest"], rtol=1e-3, atol=1e-4)


def test_gradients_through_infinite_queries_and_values():
    ends = [torch.full((1, 3, 2), value, requires_grad=True) for value in (-0.5, 0.5)]
    weight = torch.ones(2, requires_grad=True)
    far = IntervalTensor(torch.full((1, 3, 2), -inf), torch.full((1, 3, 2), inf))
    X = IntervalTensor(*ends)
    for query, value in ((X, X), (far * weight, X), (X, far * weight)):
        result = F.scaled_dot_product_attention(query, X * weight, value)
        kept = result.upper[result.upper.isfinite()].sum() + 0.0 * weight.sum()
        slopes = torch.autograd.grad(kept, (*ends, weight), allow_unused=True, materialize_grads=True)
        assert all(bool(slope.isfinite().all()) for slope in slopes)
