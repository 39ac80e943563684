"""Functions without a rule of their own: their bounds are right, and no gradient is lost on the way.

Composite functions of torch run on intervals through their Python bodies, or through the ATen calls of their C++
kernels. Kernels treat grad mode and wrappers in ways that can silently drop the gradient of a weight, or mark a result
as requiring grad though only its bounds do.
"""

import functools
import warnings

import pytest
import torch
import torch.nn.functional as F

from intervaltorch import GradientWarning, IntervalTensor, testing
from intervaltorch._dispatch.calls import _fallback
from intervaltorch.testing._trees import flatten, map_tensors

DOUBLE = {"dtype": torch.float64}


def weights(*shape):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, **DOUBLE)


def ball(*shape, radius=0.1):
    return IntervalTensor.from_ball(weights(*shape) + 0.3, radius)


def without_rule(function):
    """Run a function as the dispatcher runs those it has no rule for, though it has one for this."""

    def call(*args, **kwargs):
        if not any(isinstance(arg, IntervalTensor) for arg in args):
            return function(*args, **kwargs)
        return _fallback(IntervalTensor, function, (IntervalTensor,), args, kwargs)

    call.__name__ = f"{function.__name__} without its rule"
    return call


FALLBACKS = [
    (F.linear, (ball(3, 4), weights(5, 4), weights(5))),
    (without_rule(F.linear), (ball(3, 4), weights(5, 4), weights(5))),
    (without_rule(F.linear), (ball(2, 3, 4), weights(5, 4), weights(5))),
    (without_rule(F.linear), (weights(3, 4), ball(5, 4), weights(5))),
    (without_rule(torch.matmul), (ball(3, 4), weights(4, 2))),
    (without_rule(torch.matmul), (ball(2, 3, 4), weights(4, 2))),
    (without_rule(torch.matmul), (weights(3, 4), ball(4))),
    (without_rule(F.conv2d), (ball(1, 2, 4, 4), weights(3, 2, 3, 3), weights(3))),
    (without_rule(F.conv1d), (ball(1, 2, 5), weights(3, 2, 3), weights(3))),
    (torch.einsum, ("bi,oi->bo", ball(3, 4), weights(5, 4))),
    (torch.einsum, ("bij,bjk->bik", ball(2, 3, 4), weights(2, 4, 2))),
    (torch.einsum, ("bi,oi,o->b", ball(2, 3), weights(4, 3), weights(4))),
    (torch.tensordot, (ball(2, 3, 4), weights(3, 4, 2), 2)),
    (torch.kron, (ball(2, 2), weights(2, 3))),
    (torch.chain_matmul, (ball(2, 3), weights(3, 4), weights(4, 2))),
    (torch.linalg.multi_dot, ([ball(2, 3), weights(3, 4), weights(4, 2)],)),
    (torch.linalg.vecdot, (ball(3, 4), weights(3, 4))),
    (torch.inner, (ball(3, 4), weights(2, 4))),
    (torch.cdist, (ball(3, 2), weights(4, 2))),
    (torch.cosine_similarity, (ball(3, 4), weights(3, 4))),
    (torch.lerp, (ball(3), weights(3), 0.3)),
    (torch.addcmul, (ball(3), weights(3), weights(3))),
    (torch.trapezoid, (ball(3, 4),)),
    (torch.cov, (ball(2, 4),)),
    (torch.diff, (ball(2, 4),)),
    (torch.cross, (ball(2, 3), weights(2, 3))),
    (F.mse_loss, (ball(3, 2), weights(3, 2))),
    (F.l1_loss, (ball(3, 2), weights(3, 2))),
    (F.smooth_l1_loss, (ball(3, 2), weights(3, 2))),
    (F.cross_entropy, (ball(3, 4), torch.tensor([0, 2, 3]))),
    (F.nll_loss, (ball(3, 4), torch.tensor([0, 2, 3]))),
    (F.binary_cross_entropy_with_logits, (ball(3), weights(3).sigmoid())),
    (functools.partial(F.kl_div, reduction="batchmean"), (ball(3, 2), weights(3, 2).exp())),
    (F.gaussian_nll_loss, (ball(3), weights(3), weights(3).abs() + 0.5)),
    (F.layer_norm, (ball(3, 4), (4,), weights(4), weights(4))),
    (F.group_norm, (ball(2, 4, 3), 2, weights(4), weights(4))),
    (F.instance_norm, (ball(2, 3, 4), None, None, weights(3), weights(3))),
    (F.prelu, (ball(2, 3), weights(3).abs())),
    (F.glu, (ball(2, 4),)),
    (F.bilinear, (ball(2, 3), weights(2, 2), weights(4, 3, 2), weights(4))),
    (F.scaled_dot_product_attention, (ball(1, 3, 4), weights(1, 5, 4), weights(1, 5, 4))),
    (F.embedding, (torch.tensor([0, 2]), ball(3, 4))),
    (F.interpolate, (ball(1, 1, 3),)),
    (F.unfold, (ball(1, 1, 4, 4), 2)),
    (F.normalize, (ball(2, 3),)),
]


def title(case):
    case = getattr(case, "func", case)
    return getattr(case, "__name__", "") if callable(case) else ""


def keywords(function):
    return {"scale_factor": 2.0} if function is F.interpolate else {}


each_fallback = pytest.mark.parametrize("function, inputs", FALLBACKS, ids=title)


@each_fallback
def test_gradients_of_parameters_and_boxes(function, inputs):
    """Both bounds against finite differences, with respect to every end and every plain tensor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        testing.check_gradient(function, *inputs, **keywords(function))


@each_fallback
def test_every_parameter_gets_a_gradient(function, inputs):
    """What torch differentiates on plain tensors, a bound differentiates too."""
    tensors, rebuild = flatten(inputs)
    plain = [x.lower if isinstance(x, IntervalTensor) else x for x in tensors]
    leaves = [x.detach().clone().requires_grad_(x.is_floating_point()) for x in plain]
    expected = function(*rebuild(leaves), **keywords(function)).sum()
    reached = [g is not None for g in torch.autograd.grad(expected, floating(leaves), allow_unused=True)]
    leaves = [x.detach().clone().requires_grad_(x.is_floating_point()) for x in plain]
    noise = IntervalTensor(torch.tensor(-0.05, **DOUBLE), torch.tensor(0.05, **DOUBLE))
    boxes = [x + noise if isinstance(y, IntervalTensor) else x for x, y in zip(leaves, tensors, strict=True)]
    result = function(*rebuild(boxes), **keywords(function))
    for bound in (result.lower, result.upper):
        gradients = torch.autograd.grad(bound.sum(), floating(leaves), allow_unused=True, retain_graph=True)
        assert [g is not None for g in gradients] == reached


def floating(tensors):
    return [x for x in tensors if x.is_floating_point()]


@each_fallback
@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no_grad"])
def test_no_wrapper_requires_grad(function, inputs, grad):
    """Results are fresh wrappers; autograd's marks are on their bounds, and only in grad mode."""
    tensors, rebuild = flatten(inputs)
    inputs = rebuild([x if isinstance(x, IntervalTensor) else parameter(x) for x in tensors])
    with torch.set_grad_enabled(grad):
        result = function(*inputs, **keywords(function))
    assert type(result) is IntervalTensor
    assert not c_requires_grad(result) and c_grad_fn(result) is None
    tracked = grad and any(x.requires_grad for x in flatten(inputs)[0])
    assert result.lower.requires_grad == result.upper.requires_grad == tracked


def parameter(x):
    return x.detach().clone().requires_grad_(x.is_floating_point())


def c_requires_grad(wrapper):
    """The flag of the C++ tensor behind the wrapper, which the class's own property hides."""
    with torch._C.DisableTorchFunctionSubclass():
        return torch.Tensor.requires_grad.__get__(wrapper)


def c_grad_fn(wrapper):
    with torch._C.DisableTorchFunctionSubclass():
        return torch.Tensor.grad_fn.__get__(wrapper)


@each_fallback
def test_bounds_do_not_depend_on_grad_mode(function, inputs):
    with torch.enable_grad():
        recorded = function(*inputs, **keywords(function))
    with torch.no_grad():
        plain = function(*inputs, **keywords(function))
    assert torch.equal(recorded.lower, plain.lower) and torch.equal(recorded.upper, plain.upper)


@each_fallback
def test_encloses(function, inputs):
    single = map_tensors(lambda x: x.float() if x.is_floating_point() else x, inputs)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*guessed error budget")
        testing.check_sound(function, *single, **keywords(function))


# --- torch.autograd.Function ------------------------------------------------------------------------------------------


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 3 * x * x * gradient


def test_custom_function_warns_that_gradients_are_lost():
    x = IntervalTensor(torch.tensor([1.0]), torch.tensor([2.0])).requires_grad_()
    with pytest.warns(GradientWarning, match="register"):
        result = Cube.apply(x)
    testing.assert_encloses(result, torch.tensor([1.0, 3.375, 8.0]).unsqueeze(1))
    assert not c_requires_grad(result)


def test_custom_function_warns_for_parameters_too():
    class Scale(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight):
            return x * weight

    x = IntervalTensor(torch.tensor([1.0]), torch.tensor([2.0]))
    with pytest.warns(GradientWarning):
        Scale.apply(x, torch.tensor([2.0], requires_grad=True))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.cat([x, x]),
        lambda x: F.linear(input=x, weight=torch.ones(1, 1)),
        lambda x: F.nll_loss(x.unsqueeze(0), torch.tensor([0])),
        lambda x: 2 * upper_tracked(x),
    ],
    ids=["list", "keyword", "no rule of its own", "upper bound alone"],
)
@pytest.mark.parametrize("split", [False, True])
def test_a_custom_function_warns_wherever_the_gradient_is(function, split):
    class Plain(torch.autograd.Function):
        if split:
            forward = staticmethod(function)
            setup_context = staticmethod(lambda ctx, inputs, output: None)
        else:
            forward = staticmethod(lambda ctx, x: function(x))

    x = IntervalTensor(torch.tensor([1.0]), torch.tensor([2.0])).requires_grad_()
    with pytest.warns(GradientWarning, match="register"):
        Plain.apply(x)
    with warnings.catch_warnings(), torch.no_grad():  # nobody asks for gradients there
        warnings.simplefilter("error", GradientWarning)
        function(x)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("error", GradientWarning)
        x * 2


def upper_tracked(x):
    x = x.detach()
    x.upper.requires_grad_()
    return x


def test_no_warning_without_gradients_to_lose():
    x = IntervalTensor(torch.tensor([1.0]), torch.tensor([2.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Cube.apply(x)
        with torch.no_grad():
            torch.nn.Linear(1, 2)(x)


# --- modules ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inplace", [False, True])
def test_training_gradients_in_and_out_of_place(inplace):
    """A residual net written in place has the gradients of its out-of-place twin."""

    def loss(seed_inplace):
        torch.manual_seed(0)
        first, second = torch.nn.Linear(3, 3).double(), torch.nn.Linear(3, 3).double()
        x = IntervalTensor.from_ball(torch.linspace(-1, 1, 6, **DOUBLE).reshape(2, 3), 0.1)
        h = first(x)
        if seed_inplace:
            residual = h.clone()
            h = torch.nn.ReLU(inplace=True)(h)
            h += residual
            h.mul_(2.0)
        else:
            h = (torch.relu(h) + h) * 2.0
        y = second(h)
        (y.upper - 0.3 * y.lower).sum().backward()
        return [p.grad for p in (*first.parameters(), *second.parameters())]

    for got, expected in zip(loss(inplace), loss(False)):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.nn.MultiheadAttention(4, 2, batch_first=True),
        lambda: torch.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, dropout=0.0),
        lambda: torch.nn.BatchNorm1d(4),
        lambda: torch.nn.Bilinear(4, 4, 2),
    ],
    ids=["attention", "encoder layer", "batch norm", "bilinear"],
)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_parameters_of_modules_get_gradients(make, training):
    """Fast paths of torch's modules, taken in eval mode, must not cut the bounds off the parameters."""
    torch.manual_seed(0)
    module = make().double()
    module.train(training and not isinstance(module, torch.nn.BatchNorm1d))  # whose training mode couples the batch
    name = type(module).__name__
    x = ball(2, 3, 4) if name in ("MultiheadAttention", "TransformerEncoderLayer") else ball(2, 4)
    inputs = (x, x, x) if name == "MultiheadAttention" else (x, x) if name == "Bilinear" else (x,)
    result = module(*inputs)
    result = result[0] if isinstance(result, tuple) else result
    assert type(result) is IntervalTensor
    (result.upper * weights(*result.shape) - result.lower).sum().backward()
    for path, value in module.named_parameters():
        assert value.grad is not None and bool(value.grad.isfinite().all()), path
