"""What torch wraps around a module: checkpoints, hooks, parametrizations, modes that look on."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential
from torch.utils.flop_counter import FlopCounterMode

from intervaltorch import Box, EscapeError, GradientWarning, IntervalTensor, UndecidedError
from tests.patterns.check import ball, check, refuses


def net():
    return nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.LayerNorm(6), nn.Linear(6, 2), nn.Softmax(-1)).double()


def gradients(model, run, X):
    """The bounds that a program gives, and the gradients of the parameters and of the box."""
    model.zero_grad()
    X = X.detach().clone().requires_grad_()
    Y = run(X)
    (Y.upper.square().sum() - Y.lower[..., 0].sum()).backward()
    return [Y.lower, Y.upper, X.lower.grad, X.upper.grad, *(p.grad.clone() for p in model.parameters())]


# --- checkpoints ------------------------------------------------------------------------------------------------------


def of_bounds(model, X, reentrant=False):
    """Bounds in, bounds out: the form in which every checkpoint sees what it is to differentiate."""

    def bounds(lower, upper):
        return tuple(model(IntervalTensor(lower, upper))._box)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GradientWarning)  # a reentrant one records its second pass, not its first
        return IntervalTensor._wrap(Box(*checkpoint(bounds, *X._box, use_reentrant=reentrant)))


CHECKPOINTS = {
    "whole": lambda model, X: checkpoint(model, X, use_reentrant=False),
    "a keyword": lambda model, X: checkpoint(model, input=X, use_reentrant=False),
    "in parts": lambda model, X: checkpoint_sequential(model, 2, X, use_reentrant=False),
    "of bounds": of_bounds,
    "of bounds, reentrant": lambda model, X: of_bounds(model, X, reentrant=True),
    "of bounds, one inside another": lambda model, X: of_bounds(lambda x: model[3:](of_bounds(model[:3], x)), X),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints_change_neither_bounds_nor_gradients(name):
    model, X = net(), ball(5, 4)
    expected = gradients(model, model, X)
    got = gradients(model, lambda x: CHECKPOINTS[name](model, x), X)
    assert all(bool(g.any()) for g in expected)
    torch.testing.assert_close(got, expected)


def test_a_checkpoint_draws_the_same_dropout_again():
    torch.manual_seed(3)
    model, X = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2)).double(), ball(5, 4)
    torch.manual_seed(5)
    expected = gradients(model, model, X)
    torch.manual_seed(5)
    torch.testing.assert_close(gradients(model, lambda x: checkpoint(model, x, use_reentrant=False), X), expected)


def test_what_checkpoints_cannot_do_with_a_box_is_heard():
    model, X = net(), ball(5, 4).requires_grad_()
    with pytest.warns(GradientWarning, match="use_reentrant=False"):
        checkpoint(model, X, use_reentrant=True)
    Y = checkpoint(lambda x: model[3:](checkpoint(model[:3], x, use_reentrant=False)), X, use_reentrant=False)
    with pytest.raises(CheckpointError):  # the outer one gives the inner one back a box without its graph
        Y.lower.sum().backward()


# --- hooks ------------------------------------------------------------------------------------------------------------


def test_forward_hooks_with_keywords_and_of_all_modules():
    model, seen = net(), []
    model[0].register_forward_pre_hook(lambda module, args, kwargs: ((args[0] * 2,), kwargs), with_kwargs=True)
    model[3].register_forward_hook(lambda module, args, kwargs, output: output - 1, with_kwargs=True)
    everywhere = nn.modules.module.register_module_forward_hook(lambda module, args, output: seen.append(type(output)))
    try:
        check(model, ball(3, 4))
    finally:
        everywhere.remove()
    assert seen.count(IntervalTensor) == 2 * 6


@pytest.mark.parametrize("of_all", [False, True])
def test_backward_hooks_of_modules_are_refused_where_they_would_see_half(of_all):
    model, X = net(), ball(3, 4)
    if of_all:
        hook = nn.modules.module.register_module_full_backward_hook(lambda *arguments: None)
    else:
        hook = model[0].register_full_backward_hook(lambda *arguments: None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GradientWarning)
            refuses(EscapeError, lambda: model(X), "backward hook", "output.lower.register_hook", "no_grad")
        with torch.no_grad():
            check(model, X)
    finally:
        hook.remove()
    check(model, X)


def test_hooks_on_bounds_and_parameters_see_gradients():
    layer, X, seen = nn.Linear(4, 2).double(), ball(3, 4), {}

    def keep(name):
        def hook(grad):
            seen[name] = (grad.grad if name == "bias" else grad).clone()

        return hook

    layer.register_forward_hook(lambda module, args, output: output.upper.register_hook(keep("upper")) and None)
    layer.weight.register_hook(keep("weight"))
    layer.bias.register_post_accumulate_grad_hook(keep("bias"))
    Y = layer(X)
    Y.lower.register_hook(lambda g: 3 * g)
    (Y.upper.sum() + Y.lower.sum()).backward()
    assert seen["upper"].eq(1).all()
    assert seen["bias"].equal(torch.full((2,), 3.0 + 9.0, dtype=torch.float64))
    both = X.center.sum(0) * 4 - 2 * layer.weight.detach().sign() * X.radius.sum(0)
    torch.testing.assert_close(seen["weight"], both)
    refuses(EscapeError, lambda: Y.register_hook(print), "Y.lower or on Y.upper")
    refuses(EscapeError, lambda: torch.autograd.graph.register_multi_grad_hook([Y], print), "output.lower")


# --- parametrizations -------------------------------------------------------------------------------------------------


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight.abs()

    def right_inverse(self, weight):
        return weight / 2


def parametrized(wrap):
    return nn.Sequential(wrap(nn.Linear(4, 3)), nn.Tanh(), wrap(nn.Linear(3, 2))).double()


WRAPPERS = {
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "one's own": lambda layer: parametrize.register_parametrization(layer, "weight", Doubled()),
    "two": lambda layer: parametrize.register_parametrization(parametrizations.weight_norm(layer), "bias", Doubled()),
    "pruned at random": lambda layer: prune.random_unstructured(layer, "weight", 0.4),
    "pruned in rows": lambda layer: prune.ln_structured(layer, "weight", 1, n=2, dim=0),
    "pruned for good": lambda layer: prune.remove(prune.l1_unstructured(layer, "weight", 0.4), "weight"),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_computed_weights_enclose_and_train(name):
    model, X = parametrized(WRAPPERS[name]), ball(5, 4)
    check(model.eval(), X)
    model.train()(X).upper.sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.parameters())
    with parametrize.cached():
        check(model.eval(), X)


def test_computed_from_a_box_of_weights():
    layer = parametrize.register_parametrization(nn.Linear(4, 3).double(), "weight", Doubled())
    original = layer.parametrizations.weight.original
    W = IntervalTensor.from_ball(original.detach(), 0.1)
    x = torch.randn(2, 4, dtype=torch.float64)
    check(lambda w: torch.func.functional_call(layer, {"parametrizations.weight.original": w}, (x,)), W)
    layer = nn.Linear(4, 3)
    layer.weight = nn.Parameter(IntervalTensor.from_ball(layer.weight.detach(), 0.5))
    refuses(UndecidedError, lambda: prune.l1_unstructured(layer, "weight", 0.5), "topk", "bisect")


# --- modes that look on -----------------------------------------------------------------------------------------------


class Functions(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


class Kernels(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


MODES = {
    "functions": Functions,
    "kernels": Kernels,
    "device": lambda: torch.device("cpu"),
    "saved tensors": lambda: torch.autograd.graph.saved_tensors_hooks(torch.clone, lambda tensor: tensor),
    "on the CPU": torch.autograd.graph.save_on_cpu,
    "anomalies": torch.autograd.detect_anomaly,
    "profile": lambda: torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]),
}


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("name", MODES)
def test_modes_change_nothing(name):
    model, X = net(), ball(5, 4)
    expected = gradients(model, model, X)
    with MODES[name]():
        got = gradients(model, model, X)
    torch.testing.assert_close(got, expected)


def test_counting_operations_needs_no_gradients():
    model, X = net(), ball(5, 4)
    with FlopCounterMode(display=False):
        refuses(EscapeError, lambda: model(X), "no_grad")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(X)
    assert counter.get_total_flops() >= 2 * (2 * 5 * 4 * 6 + 2 * 5 * 6 * 2)  # two products for each affine layer
