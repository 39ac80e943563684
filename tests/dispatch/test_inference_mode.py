"""What runs under `torch.no_grad` gives the same under `torch.inference_mode`, and beneath the modes of other people.

In inference mode torch leaves autograd out, so kernels that C++ would run themselves arrive whole at the boxes. A
`TorchDispatchMode` (`FlopCounterMode` is one) meets what kernels call before the boxes do, and passes the calls on from
below autograd. A `TorchFunctionMode` (a default device is one) meets everything.
"""

import contextlib
import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import intervaltorch
from intervaltorch import IntervalTensor, rounding
from intervaltorch.testing._trees import flatten, map_tensors
from tests.dispatch.test_fallbacks import each_fallback, keywords
from tests.test_no_plain_results import FUNCTIONS, call_of, with_boxes


class Calls(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


class Functions(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def all_of_them():
    with torch.inference_mode(), Functions(), Calls(), Calls():
        yield


MODES = {
    "inference": torch.inference_mode,
    "dispatch": Calls,
    "flops": lambda: FlopCounterMode(display=False),
    "function": Functions,
    "device": lambda: torch.device("cpu"),
    "all": all_of_them,
}


def outcome(function, args, kwargs, mode, inside=False):
    """What a call gives on copies made inside or outside a mode; of an error, its type."""
    torch.manual_seed(0)
    with contextlib.nullcontext() if inside else torch.no_grad():
        outside = map_tensors(lambda x: x.clone(), (args, kwargs))
    try:
        with mode():
            args, kwargs = map_tensors(lambda x: x.clone(), outside) if inside else outside
            return function(*args, **kwargs)
    except Exception as error:
        return type(error), str(error)


def assert_same(result, expected):
    assert isinstance(result, tuple) or not isinstance(expected, tuple), result
    if isinstance(result, tuple) and isinstance(result[0], type):
        assert isinstance(expected, tuple) and result[0] is expected[0], result[1]
        return
    for x, y in zip(*(flatten(tree)[0] for tree in (result, expected)), strict=True):
        assert type(x) is type(y)
        for a, b in zip(bounds(x), bounds(y), strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype
            if a.layout == torch.strided and not a.is_meta:
                assert a.stride() == b.stride()
                assert bool(((a == b) | (a != a) & (b != b)).all())


def bounds(x):
    if isinstance(x, IntervalTensor):
        return x.lower, x.upper
    return (x,) if type(x) in (torch.Tensor, torch.nn.Parameter) else ()


# Asked of an inference tensor, torch raises.
NOT_THERE = {"torch.Tensor._version.__get__"}


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("thorough", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "thorough"])
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: resolve_name(f) or getattr(f, "__name__", str(f)))
def test_every_function(function, thorough):
    call = call_of(function)
    if call is None or resolve_name(function) in NOT_THERE:
        pytest.skip("no call")
    boxes, named = next(iter(with_boxes(call)), call)
    expected = outcome(function, boxes, named, torch.no_grad)
    assert_same(outcome(function, boxes, named, torch.inference_mode, True), expected)
    if thorough:
        assert_same(outcome(function, boxes, named, torch.inference_mode, False), expected)
        assert_same(outcome(function, boxes, named, Calls), expected)


@pytest.mark.parametrize(
    "mode, rounded", [("inference", "nearest"), ("dispatch", "nearest"), ("device", "nearest"), ("all", "outward")]
)
@each_fallback
@pytest.mark.usefixtures("quiet")
def test_fallbacks(function, inputs, mode, rounded):
    with rounding(rounded):
        expected = outcome(function, inputs, keywords(function), torch.no_grad)
        assert isinstance(expected, IntervalTensor), expected
        for inside in (False, True):
            # Close and not equal: what these do "without a rule" goes other ways in inference mode.
            found = outcome(function, inputs, keywords(function), MODES[mode], inside)
            torch.testing.assert_close(found.lower, expected.lower, rtol=1e-14, atol=1e-14)
            torch.testing.assert_close(found.upper, expected.upper, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("mode", ["dispatch", "function"])
@each_fallback
@pytest.mark.usefixtures("quiet")
def test_gradients_beneath_modes(function, inputs, mode):
    """A mode that only looks on leaves the gradients as they are."""

    def gradients(mode):
        leaves = [b.detach().clone().requires_grad_() for x in flatten(inputs)[0] for b in bounds(x) if is_real(b)]
        given = iter(leaves)
        tensors, rebuild = flatten(inputs)
        with mode():
            args = rebuild([tracked(x, given) for x in tensors])
            result = function(*args, **keywords(function))
            loss = result.upper.sum() - 0.5 * result.lower.sum()
        return torch.autograd.grad(loss, leaves, allow_unused=True)

    for found, expected in zip(gradients(MODES[mode]), gradients(contextlib.nullcontext), strict=True):
        assert (found is None) == (expected is None)
        assert found is None or torch.equal(found, expected)


def is_real(x):
    return x.dtype.is_floating_point


def tracked(x, leaves):
    if isinstance(x, IntervalTensor):
        return IntervalTensor(next(leaves), next(leaves))
    return next(leaves) if is_real(x) else x


# --- boxes that cross the border --------------------------------------------------------------------------------------


def make():
    return IntervalTensor(torch.tensor([[-1.0, 2.0], [0.5, 1.0]]), torch.tensor([[1.0, 3.0], [0.75, 4.0]]))


@pytest.mark.parametrize("inside", [False, True], ids=["from outside", "from inside"])
@pytest.mark.parametrize(
    "write",
    [
        lambda x: x[0].mul_(2.0),
        lambda x: x.T[1].add_(x[:, 0]),
        lambda x: x.view(-1).relu_(),
        lambda x: x.unsqueeze(0).squeeze(0).copy_(torch.zeros(2, 2)),
        lambda x: F.relu(x[:, 1], inplace=True),
        lambda x: x.__setitem__(0, 7.0),
        lambda x: x.unbind(0)[1].zero_(),
        lambda x: torch.einsum("ij->ji", x).mul_(-1.0),
        lambda x: x.lower.diagonal().sub_(1.0),
    ],
)
def test_views_written_in_place(write, inside):
    expected = make()
    write(expected)
    with torch.inference_mode(inside):
        x = make()
    with torch.inference_mode():
        write(x)
        assert torch.equal(x.lower, expected.lower) and torch.equal(x.upper, expected.upper)


def test_what_comes_from_inside_behaves_outside_as_tensors_do():
    """It is read, and used for new boxes; written to, or saved for a backward pass, it is refused in torch's words."""
    with torch.inference_mode():
        x = make()
    assert x.lower.is_inference()
    y = F.cross_entropy(x, torch.tensor([0, 1])) + torch.einsum("ij,ij->", x, x)
    assert not y.lower.is_inference()
    for write in (
        lambda x: x.add_(1.0),
        lambda x: x[0].add_(1.0),
        lambda x: x.__setitem__(0, 1.0),
        lambda x: x.relu_(),
    ):
        with pytest.raises(RuntimeError, match="Inplace update to inference tensor outside InferenceMode"):
            write(x)
        assert torch.equal(x.lower, make().lower) and torch.equal(x.upper, make().upper)
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        x * torch.ones(2, requires_grad=True)
    z = x.clone() * torch.ones(2, requires_grad=True)
    assert z.lower.requires_grad
    again = pickle.loads(pickle.dumps(x))
    assert torch.equal(again.lower, x.lower) and repr(again) == repr(x) == repr(copy.deepcopy(make()))


def test_what_comes_from_outside_keeps_its_graph():
    w = torch.ones(2, requires_grad=True)
    y = make() * w
    with torch.inference_mode():
        assert not (y + 1).lower.requires_grad
        view = y[0]
        assert not view.lower.is_inference()
    y.upper.sum().backward()
    assert w.grad.tolist() == [1.75, 7.0]


@pytest.mark.parametrize("mode", MODES)
def test_bounds_of_models(mode):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.ReLU(inplace=True), torch.nn.Flatten(),
        torch.nn.LayerNorm(8), torch.nn.Linear(8, 4),
    ).eval()  # fmt: skip
    encoder = torch.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True).eval()

    def run():
        x = IntervalTensor.from_ball(torch.rand(2, 1, 4, 4), 0.01)
        y = intervaltorch.bound(model, x)
        return y, encoder(y.unsqueeze(1)), intervaltorch.hull(y, y + 1), dict(intervaltorch.layer_bounds(model, x))

    torch.manual_seed(1)
    with torch.no_grad():
        expected = run()
    torch.manual_seed(1)
    with torch.no_grad(), MODES[mode]():  # FlopCounterMode hooks the gradients of modules, which boxes refuse
        found = run()
    assert_same(list(found), list(expected))


def test_flops_of_a_fallback_are_counted():
    with FlopCounterMode(display=False) as counter:
        torch.einsum("bij,bjk->bik", make().unsqueeze(0), torch.ones(1, 2, 2))
    assert counter.get_total_flops() > 0
