"""einops on boxes: patterns as functions and as layers."""

import einops
import pytest
import torch
from einops import einsum, pack, rearrange, reduce, repeat, unpack
from einops.layers.torch import EinMix, Rearrange, Reduce
from torch import nn

from intervaltorch import EscapeError
from tests.patterns.check import ball, check, refuses

W = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(4, 6)

FUNCTIONS = {
    "rearrange": lambda x: rearrange(x, "b c (h h2) w -> b (c h2) h w", h2=2),
    "rearrange ...": lambda x: rearrange(x, "b ... -> b (...)"),
    "rearrange a list": lambda x: rearrange([x, 2 * x], "n b c h w -> b (n c) h w"),
    "repeat": lambda x: repeat(x, "b c h w -> b c (h 2) (w r)", r=3),
    "einsum": lambda x: einsum(x, W, "b c h w, h k -> b c k w"),
    "einsum of two boxes": lambda x: einsum(x, x, "b c h w, b c k w -> b c h k"),
    "pack": lambda x: pack([x, x[:, 0]], "b * w")[0],
    "unpack": lambda x: unpack(*pack([x, x[:, 0]], "b * w"), "b * w"),
    "a reduction of one's own": lambda x: reduce(x, "b c h w -> b c", lambda t, axes: t.amax(axes)),
    "reduce Booleans": lambda x: reduce(x > 0, "b c h w -> b c", "any"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    check(FUNCTIONS[name], ball(2, 3, 4, 5))


@pytest.mark.parametrize("how", ["mean", "sum", "min", "max", "prod"])
def test_reductions(how):
    check(lambda x: reduce(x, "b c (h h2) w -> b c h w", how, h2=2), ball(2, 3, 4, 5))


def test_a_rearranged_box_is_the_rearranged_bounds():
    X = ball(2, 3, 4)
    Y = rearrange(X, "a b c -> (c a) b")
    assert Y.lower.equal(rearrange(X.lower, "a b c -> (c a) b"))
    assert Y.upper.equal(rearrange(X.upper, "a b c -> (c a) b"))


LAYERS = {
    "Rearrange": nn.Sequential(Rearrange("b c h w -> b (c h w)"), nn.Linear(60, 3)),
    "Reduce": nn.Sequential(Reduce("b c (h 2) w -> b c h w", "max"), nn.Linear(5, 2)),
    "EinMix": EinMix("b c h w -> b c h k", weight_shape="w k", bias_shape="k", w=5, k=7),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::intervaltorch.GradientWarning")
@pytest.mark.parametrize("name", ["Rearrange", "Reduce"])
def test_scripted_layers(name):
    check(torch.jit.script(LAYERS[name].double()), ball(2, 3, 4, 5))


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    check(LAYERS[name].double(), ball(2, 3, 4, 5))


def test_gradients_of_a_layer_reach_its_weights():
    layer = LAYERS["EinMix"].double()
    X = ball(2, 3, 4, 5)
    layer.zero_grad()
    layer(X).upper.sum().backward()
    size = layer.weight.grad.abs().sum()
    # upper = W c + |W| r + b with c, r summed over the 24 rows
    centre = X.center.sum((0, 1, 2))[:, None]
    radius = X.radius.sum((0, 1, 2))[:, None]
    torch.testing.assert_close(layer.weight.grad, centre + layer.weight.detach().sign() * radius)
    assert size > 0 and bool((layer.bias.grad == 24).all())


def test_questions_about_shapes_and_raw_values():
    X = ball(2, 3)
    assert einops.parse_shape(X, "a b") == {"a": 2, "b": 3}
    refuses(EscapeError, lambda: einops.asnumpy(X), "Y.lower", "Y.upper")
