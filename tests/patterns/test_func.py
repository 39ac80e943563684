"""`torch.func`: transforms of functions that build a box inside and return bounds; boxes themselves are refused."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, linearize, stack_module_state, vjp, vmap

from intervaltorch import DomainError, IntervalTensor, UndecidedError, UnsupportedOpError, rounding, supported_ops
from intervaltorch.testing import assert_encloses, sample_points
from tests.patterns.check import ball, refuses

A, B = (torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))


def written(x, w):
    y = x * w
    y[0] = w[0]
    return y


PROGRAMS = {
    "linear": lambda x, w: F.linear(x, w),
    "product of boxes": lambda x, w: (x * w) @ x.mT,
    "softmax": lambda x, w: (x * w).softmax(-1),
    "log_softmax": lambda x, w: (x * w).log_softmax(-1),
    "layer norm": lambda x, w: F.layer_norm(x, (4,), w[0]),
    "attention": lambda x, w: F.scaled_dot_product_attention(x, x * w, x),
    "gelu": lambda x, w: F.gelu(x * w),
    "sine": lambda x, w: torch.sin(x * w),
    "quotient": lambda x, w: w / (x.abs() + 1),
    "square root": lambda x, w: (x * x + 0.1).sqrt() * w,
    "power": lambda x, w: (x**3) * w,
    "greatest": lambda x, w: (x * w).max(0)[0],
    "sorted": lambda x, w: (x * w).sort(1)[0],
    "norm": lambda x, w: (x * w).norm(dim=1),
    "variance": lambda x, w: (x * w).var(0),
    "where": lambda x, w: torch.where(x > 0, x * w, -x),
    "in place": lambda x, w: (x * w).relu_().add_(w),
    "written by index": written,
    "loss": lambda x, w: F.cross_entropy(x * w, torch.tensor([0, 1, 2])),
    "product of entries": lambda x, w: (x * w).prod(1),
    # Without a rule of their own, in C++:
    "distance": lambda x, w: F.pairwise_distance(x, w),
    "cosine": lambda x, w: F.cosine_similarity(x, w),
    "triplet": lambda x, w: F.triplet_margin_loss(x, x * w, x + w),
    "chain of matrices": lambda x, w: torch.linalg.multi_dot([x, w.mT, w]),
}
each_program = pytest.mark.parametrize("name", PROGRAMS)


def score(name):
    """A number made of both bounds of the program's box."""

    def of_bounds(lower, width, w):
        Y = PROGRAMS[name](IntervalTensor(lower, lower + width.abs()), w)
        return 1.5 * Y.upper.sum() - (Y.lower * Y.lower).sum()

    return of_bounds


INPUTS = (A, 0.3 + B.abs(), B)


@pytest.mark.parametrize("mode", ["nearest", "outward"])
@each_program
def test_derivatives_are_those_of_autograd(name, mode):
    f = score(name)
    tangents = [torch.randn_like(x) for x in INPUTS]
    with rounding(mode):
        leaves = [x.clone().requires_grad_() for x in INPUTS]
        expected = torch.autograd.grad(f(*leaves), leaves, materialize_grads=True)
        assert any(bool(g.any()) for g in expected)
        close = {"rtol": 1e-9, "atol": 1e-9}
        torch.testing.assert_close(grad(f, (0, 1, 2))(*INPUTS), expected, **close)
        torch.testing.assert_close(jacrev(f, (0, 1, 2))(*INPUTS), expected, **close)
        value, pull = vjp(f, *INPUTS)
        torch.testing.assert_close(pull(torch.ones_like(value)), expected, **close)
        along = sum((g * t).sum() for g, t in zip(expected, tangents, strict=True))
        torch.testing.assert_close(jvp(f, INPUTS, tuple(tangents))[1], along, **close)


@pytest.mark.parametrize("name", ["linear", "softmax", "gelu", "attention", "layer norm", "loss", "sorted"])
def test_linearised_and_forward_jacobians(name):
    """These record the program, or map over tangents: rules ask for no value on the way."""
    f = score(name)
    expected = jacrev(f, (0, 1, 2))(*INPUTS)
    torch.testing.assert_close(jacfwd(f, (0, 1, 2))(*INPUTS), expected)
    tangents = [torch.randn_like(x) for x in INPUTS]
    along = sum((g * t).sum() for g, t in zip(expected, tangents, strict=True))
    torch.testing.assert_close(linearize(f, *INPUTS)[1](*tangents), along)


@pytest.mark.parametrize("name", ["product of boxes", "gelu", "quotient", "loss"])
def test_hessians(name):
    """The curvature of a bound: it is smooth where the same ends of the factors decide."""
    f = score(name)
    got = hessian(lambda w: f(*INPUTS[:2], w))(B)
    expected = torch.autograd.functional.hessian(lambda w: f(*INPUTS[:2], w), B)
    assert bool(expected.any())
    torch.testing.assert_close(got, expected)


@each_program
def test_mapped_over_samples(name):
    """`vmap` of a function of bounds gives the bounds of each sample, domain checks and all."""

    def bounds(lower, width, w):
        Y = PROGRAMS[name](IntervalTensor(lower, lower + width), w)
        return Y.lower, Y.upper

    many = A + torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None, None]
    got = vmap(bounds, (0, None, None))(many, INPUTS[1], B)
    each = [bounds(one, INPUTS[1], B) for one in many]
    for side, expected in zip(got, zip(*each, strict=True), strict=True):
        torch.testing.assert_close(side, torch.stack(expected))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 2)

    def forward(self, x, scale=1.0):
        return self.second(F.gelu(self.norm(self.first(x)))).softmax(-1) * scale


def test_an_ensemble_of_stacked_models():
    models = [Net().double() for _ in range(3)]
    params, buffers = stack_module_state(models)
    base = copy.deepcopy(models[0]).to("meta")
    X = ball(5, 4)

    def inside(params, buffers, lower, upper):
        Y = functional_call(base, (params, buffers), (IntervalTensor(lower, upper),), {"scale": 2.0})
        return Y.lower, Y.upper

    def around(params, buffers):
        Y = functional_call(base, (params, buffers), (X,), {"scale": 2.0})
        return Y.lower, Y.upper

    with rounding("outward"):
        lower, upper = vmap(inside, (0, 0, None, None))(params, buffers, X.lower, X.upper)
        again = vmap(around)(params, buffers)
    assert lower.shape == (3, 5, 2) and again[0].equal(lower) and again[1].equal(upper)
    for model, low, high in zip(models, lower, upper, strict=True):
        for x in sample_points(X, 10):
            assert_encloses(IntervalTensor(low, high), model(x, 2.0))
        torch.testing.assert_close(low, model(X, 2.0).lower)


def test_gradients_of_parameters_by_functional_call():
    model, X = Net().double(), ball(5, 4)
    params = {name: p.detach() for name, p in model.named_parameters()}
    got = grad(lambda params: functional_call(model, params, (X,)).upper.sum(0)[0])(params)
    model(X).upper.sum(0)[0].backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(got[name], p.grad)
    each = vmap(
        grad(lambda params, low, up: functional_call(model, params, (IntervalTensor(low, up),)).upper[0]), (None, 0, 0)
    )
    torch.testing.assert_close(each(params, X.lower, X.upper)["first.weight"].sum(0), model.first.weight.grad)


# --- every function of one variable in the table ----------------------------------------------------------------------

AT = torch.tensor([0.31, 0.42, 0.57], dtype=torch.float64)


def unary(op):
    """The sum of both bounds of an op on boxes around points, or None if the op does not take one box and give one."""

    def of_bounds(lower):
        Y = op.function(IntervalTensor(lower, lower + 0.1))
        return (1.5 * Y.upper - Y.lower).sum()

    try:
        leaf = AT.clone().requires_grad_()
        value = of_bounds(leaf)
        return of_bounds if value.dtype == torch.float64 and value.requires_grad else None
    except Exception:  # it takes other arguments, or refuses them
        return None


UNARY = {op.name: f for op in supported_ops() if not op.name.endswith("_") and (f := unary(op)) is not None}
UNARY.pop("detach_copy", None)  # torch itself does not differentiate it


def test_the_table_is_swept():
    assert len(UNARY) > 120 and {"exp", "bessel_j0", "modified_bessel_k1", "softplus", "lgamma", "airy_ai"} <= set(
        UNARY
    )


@pytest.mark.parametrize("name", UNARY)
def test_derivatives_of_the_table(name):
    f, tangent = UNARY[name], torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    leaf = AT.clone().requires_grad_()
    expected = torch.autograd.grad(f(leaf), leaf)[0]
    torch.testing.assert_close(grad(f)(AT), expected)
    torch.testing.assert_close(jvp(f, (AT,), (tangent,))[1], (expected * tangent).sum())
    if name != "lift_fresh":  # torch itself does not map over it
        torch.testing.assert_close(vmap(f)(torch.stack([AT, AT + 0.05])), torch.stack([f(AT), f(AT + 0.05)]))


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "transform",
    [
        lambda f, X: grad(lambda x: f(x).lower.sum())(X),
        lambda f, X: grad(lambda x: f(x).sum())(X),
        lambda f, X: vjp(f, X),
        lambda f, X: jacrev(lambda x: f(x).lower)(X),
        lambda f, X: torch.func.functionalize(lambda x: f(x).lower)(X),
        lambda f, X: grad(lambda w, x: (f(x) * w).lower.sum())(torch.ones(2, dtype=torch.float64), X),
    ],
    ids=["grad", "grad of a box", "vjp", "jacrev", "functionalize", "a box beside"],
)
def test_boxes_are_no_arguments_of_transforms(transform):
    model, X = Net().double(), ball(5, 4)
    refuses(UnsupportedOpError, lambda: transform(model, X), "torch.func", "builds the box inside", "X.lower, X.upper")
    refuses(UnsupportedOpError, lambda: jvp(model, (X,), (X.lower,)), "forward-mode", "builds the box inside")
    model(X).lower.sum().backward()  # and leaves nothing behind


def test_mapping_over_boxes_is_refused():
    X = ball(5, 4)
    refuses(UnsupportedOpError, lambda: vmap(torch.exp)(X), "vmap", "whole batches")
    refuses(UnsupportedOpError, lambda: hessian(lambda x: x.exp().lower.sum())(X), "vmap", "X.lower, X.upper")
    refuses(UnsupportedOpError, lambda: vmap(lambda l: IntervalTensor(l, l + 1))(X.lower), "vmap", "return bounds")


def test_integers_that_differ_between_samples():
    """A target may be mapped over where rules take it; a kernel that computes with it by itself refuses."""
    many, targets = A + torch.arange(2.0)[:, None, None], torch.tensor([[0, 1, 2], [3, 0, 1]])
    for loss in (F.cross_entropy, F.nll_loss, lambda x, t: x.gather(1, t[:, None]), lambda x, t: F.embedding(t, x.mT)):

        def upper(lower, target, loss=loss):
            return loss(IntervalTensor(lower, lower + 1), target).upper

        each = [upper(low, target) for low, target in zip(many, targets, strict=True)]
        torch.testing.assert_close(vmap(upper)(many, targets), torch.stack(each))
    signs = vmap(lambda l, t: F.cosine_embedding_loss(IntervalTensor(l, l + 1), l, t).upper)
    refuses(UnsupportedOpError, lambda: signs(many, targets.sign()), "cosine_embedding_loss", "torch.autograd.grad")


def test_domains_and_decisions_hold_for_every_sample():
    low = torch.tensor([[1.0, 2.0], [-1.0, 2.0]], dtype=torch.float64)
    refuses(DomainError, lambda: vmap(lambda l: IntervalTensor(l, l + 1).log().lower)(low), "log", "clamp")
    vmap(lambda l: IntervalTensor(l, l + 1).log().lower)(low[:1])
    refuses(UndecidedError, lambda: vmap(lambda l: l[IntervalTensor(l, l + 2) > 0])(low), "where")
    with pytest.raises(ValueError, match="lower exceeds upper"):
        vmap(lambda l: IntervalTensor(l, -l).lower)(low)
