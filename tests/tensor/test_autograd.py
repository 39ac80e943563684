"""Gradients: they flow through the bounds, and what cannot have one says so."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import intervaltorch as it
from intervaltorch import IntervalTensor
from tests.boxes import ball


def test_the_wrapper_never_requires_grad_and_its_bounds_do():
    x = ball(2, 3).requires_grad_()
    assert x.requires_grad
    assert x.lower.requires_grad
    assert x.upper.requires_grad
    assert x.is_leaf
    for y in (x.exp(), F.linear(x, torch.ones(4, 3, requires_grad=True)), F.threshold(x, 0.0, 1.0)):
        assert y.requires_grad
        assert not y.is_leaf
        with torch._C.DisableTorchFunctionSubclass():
            assert not torch._C.TensorBase.requires_grad.__get__(y)
    assert not x.detach().requires_grad
    assert not x.data.requires_grad
    x.requires_grad = False
    assert not x.lower.requires_grad


def test_bounds_differentiate_by_hand():
    x = IntervalTensor(torch.tensor([-1.0, 2.0]), torch.tensor([3.0, 4.0])).requires_grad_()
    y = x * torch.tensor([-2.0, 5.0])
    y.lower.sum().backward()
    assert x.upper.grad.tolist() == [-2, 0]
    assert x.lower.grad.tolist() == [0, 5]
    assert x.grad is None
    assert y.grad_fn is None


def test_bounds_agree_with_finite_differences():
    lower = torch.randn(2, 3, dtype=torch.float64)
    weight = torch.randn(4, 3, dtype=torch.float64)

    def bounds(lower, width, weight):
        y = F.linear(IntervalTensor(lower, lower + width), weight)
        y = (y * y).exp() / (1 + y.abs())
        return y.lower, y.upper

    inputs = [lower, torch.rand(2, 3, dtype=torch.float64) + 0.1, weight]
    assert torch.autograd.gradcheck(bounds, [x.requires_grad_() for x in inputs])


def test_backward_of_a_box_explains_itself():
    x = ball(2).requires_grad_()
    with pytest.raises(it.EscapeError, match=r"Y\.lower\.sum\(\)\.backward"):
        x.exp().backward()
    with pytest.raises(it.EscapeError, match=r"Y\.lower or on Y\.upper"):
        x.exp().register_hook(print)
    with pytest.raises(it.EscapeError, match=r"\[X\.lower, X\.upper\]"):
        torch.autograd.grad(x.exp().lower.sum(), x)
    with pytest.raises(it.EscapeError, match=r"x\.lower\.grad"):
        x.grad = torch.zeros(2)
    x.grad = None


def test_the_parts_of_a_gradient_come_by_name():
    x = ball(2).requires_grad_()
    low, high = torch.autograd.grad(x.exp().upper.sum(), [x.lower, x.upper], allow_unused=True)
    assert low is None
    assert high.equal(x.upper.exp())


def test_retained_gradients():
    y = ball(2).requires_grad_() * 2
    y.retain_grad()
    (3 * y).lower.sum().backward()
    assert y.lower.grad.tolist() == [3, 3]


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_keeps_gradients_or_warns(reentrant):
    weight = torch.ones(3, requires_grad=True)
    x = ball(2, 3).requires_grad_()

    def run(x):
        return (x * weight).exp()

    if reentrant:
        with pytest.warns(it.GradientWarning):
            checkpoint(run, x, use_reentrant=True)
        return
    checkpoint(run, x, use_reentrant=False).lower.sum().backward()
    expected = weight.grad.clone()
    weight.grad = None
    run(x).lower.sum().backward()
    assert weight.grad.equal(expected)


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.mul(x, 2)

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad


def test_a_custom_function_warns_that_it_loses_the_gradient():
    x = ball(2).requires_grad_()
    with pytest.warns(it.GradientWarning, match=r"torch\.mul runs inside a torch\.autograd\.Function(.|\n)*register"):
        y = Doubled.apply(x)
    assert y.lower.equal(2 * x.lower)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with torch.no_grad():
            torch.mul(x, 2)
        Doubled.apply(x.detach())


def test_a_custom_function_with_a_rule_keeps_the_gradient():
    double = it.register(Doubled.apply, monotone="increasing")
    x = ball(2).requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = double(x)
    y.lower.sum().backward()
    assert x.lower.grad.tolist() == [2, 2]
    assert double(torch.ones(1)).item() == 2


# --- hooks ------------------------------------------------------------------------------------------------------------


def test_forward_hooks_see_and_may_replace_boxes():
    layer, seen = nn.Linear(3, 2), []
    layer.register_forward_pre_hook(lambda module, args: (args[0] * 0,))
    layer.register_forward_hook(lambda module, args, output: seen.append(output) or output + 1)
    y = layer(ball(4, 3))
    assert seen[0].lower.equal(layer.bias.expand(4, 2))
    assert y.upper.equal(seen[0].upper + 1)


@pytest.mark.parametrize(
    "register", ["register_full_backward_hook", "register_full_backward_pre_hook", "register_backward_hook"]
)
def test_backward_hooks_of_modules_are_refused(register):
    layer = nn.Linear(3, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(layer, register)(lambda *arguments: None)
        with pytest.raises(it.EscapeError, match=r"backward hook(.|\n)*output\.lower\.register_hook"):
            layer(ball(4, 3))
        with torch.no_grad():
            assert layer(ball(4, 3)).shape == (4, 2)
        assert layer(torch.ones(3)).shape == (2,)


# --- modes ------------------------------------------------------------------------------------------------------------


def test_inference_mode_runs_models():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Hardshrink(), nn.Linear(4, 2))
    x = ball(5, 3)
    with torch.inference_mode():
        y, z = model(x), IntervalTensor.from_ball(torch.zeros(2), 1.0)
        z += 1
    with torch.no_grad():
        expected = model(x)
    assert y.lower.equal(expected.lower)
    assert y.upper.equal(expected.upper)
    assert z.upper.tolist() == [2, 2]


def test_autocast_computes_in_its_dtype():
    x, weight = ball(5, 3), torch.randn(4, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = F.linear(x, weight)
    assert y.dtype == torch.bfloat16
    exact = F.linear(x, weight)
    assert (y.lower - exact.lower).abs().max() < 0.05


def test_autocast_is_refused_outward():
    x, weight = ball(5, 3), torch.randn(4, 3)
    refused = pytest.raises(it.UnprovenOpError, match=r"torch\.autocast")
    with torch.autocast("cpu", dtype=torch.bfloat16), it.rounding("outward"), refused:
        F.linear(x, weight)


def test_functions_of_bounds_transform():
    lower = torch.randn(4)

    def sum_of_lower(lower):
        return (IntervalTensor(lower, lower + 1).exp() * 2).lower.sum()

    assert torch.func.grad(sum_of_lower)(lower).allclose(2 * lower.exp())
    assert torch.func.jacrev(lambda l: IntervalTensor(l, l + 1).exp().upper)(lower).allclose((lower + 1).exp().diag())


def test_weights_may_be_boxes():
    layer = nn.Linear(3, 2)
    weight = IntervalTensor.from_ball(layer.weight.detach(), 0.1).requires_grad_()
    x = torch.randn(5, 3)
    y = torch.func.functional_call(layer, {"weight": weight}, (x,))
    for sign in (-1, 0, 1):
        assert y.contains(F.linear(x, weight.center + sign * 0.0999, layer.bias)).all()
    y.lower.sum().backward()
    assert weight.lower.grad.ne(0).any()
    assert layer.bias.grad.eq(5).all()


def test_parameter_gradients_of_a_model_on_points_are_those_of_the_model():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.Softmax(-1))
    x = torch.randn(5, 3)
    model(x).square().sum().backward()
    plain = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    Y = model(IntervalTensor.point(x))
    ((Y.lower.square() + Y.upper.square()) / 2).sum().backward()
    for p, expected in zip(model.parameters(), plain, strict=True):
        torch.testing.assert_close(p.grad, expected)
