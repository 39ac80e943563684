"""Models that torch recorded (scripted, traced, exported, fx) run on boxes; boxes themselves are not recorded."""

import subprocess
import sys
import warnings

import pytest
import torch
import torch.fx.experimental.optimization
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from intervaltorch import GradientWarning, IntervalTensor, UnsupportedOpError
from tests.patterns.check import ball, check, refuses

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
EXAMPLE = torch.linspace(-1, 1, 60, dtype=torch.float64).reshape(2, 3, 10)


class Head(nn.Module):
    """Some of everything that graphs record differently: views, a loop, a keyword, two outputs."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(10, 4)
        self.norm = nn.LayerNorm(4)

    def forward(self, x):
        y = self.norm(torch.nn.functional.gelu(self.linear(x), approximate="tanh"))
        for step in range(2):
            y = y + 0.5 * torch.tanh(y) * step
        return y.softmax(-1), y.flatten(1).amax(1)


def exported(model):
    return torch.export.export(model, (EXAMPLE,)).module()


def exported_with_free_batch(model):
    shapes = ({0: torch.export.Dim("batch")},)
    return torch.export.export(model, (EXAMPLE,), dynamic_shapes=shapes).module()


def decomposed(model):
    return torch.export.export(model, (EXAMPLE,)).run_decompositions().module()


RECORDERS = {
    "script": torch.jit.script,
    "freeze": lambda model: torch.jit.freeze(torch.jit.script(model)),
    "trace": lambda model: torch.jit.trace(model, EXAMPLE),
    "fx": torch.fx.symbolic_trace,
    "export": exported,
    "export with a free batch": exported_with_free_batch,
    "export, decomposed": decomposed,
}


@pytest.mark.filterwarnings("ignore::intervaltorch.GradientWarning")
@pytest.mark.parametrize("name", RECORDERS)
def test_recorded_models_enclose(name):
    check(RECORDERS[name](Head().double().eval()), ball(2, 3, 10))


@pytest.mark.parametrize("name", ["script", "trace", "fx", "export"])
def test_recorded_models_give_gradients_to_their_parameters(name):

    class Fresh(Head):
        """TorchScript keeps what it has optimised for a class, see the next test."""

    model = Fresh().double().eval()
    X = ball(2, 3, 10)
    model(X)[0].upper[..., 0].sum().backward()
    expected = model.linear.weight.grad.clone()
    model.zero_grad()
    recorded = RECORDERS[name](model)
    for _ in range(3):  # TorchScript optimises after the first run
        model.zero_grad()
        recorded.zero_grad()
        recorded(X)[0].upper[..., 0].sum().backward()
    weight = dict(recorded.named_parameters())["linear.weight"]
    torch.testing.assert_close(weight.grad, expected)
    assert expected.abs().sum() > 0


@torch.jit.script
def scripted_shrink(x, factor: float):
    y = x * factor + x.relu()
    return y.view(y.size(0), -1).sum(1)


@torch.jit.script
def scripted_branch(x):
    if x.sum() > 0:
        return x
    else:
        return -x


def test_a_scripted_program_that_differentiates_itself_warns():
    """TorchScript cuts what it has optimised off the graph: here in the first two of three layers.

    In a process of its own: importing torch's own tests, as others here do, exchanges the executor for good.
    """
    code = "from tests.patterns.test_graphs import scripts_warn; scripts_warn()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def scripts_warn():
    layers = nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.Softplus(), nn.Linear(2, 2)
    model = torch.jit.script(nn.Sequential(*layers).double())
    for _ in range(3):
        model(torch.zeros(1, 3, dtype=torch.float64))
    with pytest.warns(GradientWarning, match="optimized_execution"):
        check(model, ball(2, 3))

    @torch.jit.script
    def scaled(x, weight):
        return torch.tanh(x * weight) * 2

    weight = torch.ones(3, dtype=torch.float64, requires_grad=True)
    with torch.jit.optimized_execution(False), warnings.catch_warnings():
        warnings.simplefilter("error", GradientWarning)
        for _ in range(3):
            assert scaled(ball(2, 3), weight).requires_grad
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error", GradientWarning)
        model(ball(2, 3))


def test_scripted_helpers():
    check(lambda x: scripted_shrink(x, 0.5), ball(2, 3))
    check(scripted_branch, ball(2, 3, offset=9.0))
    check(scripted_branch, ball(2, 3, offset=-9.0))


def test_fused_convolutions():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).double().eval()
    model[1].running_mean += 0.5
    model[1].running_var += 1.5
    X = ball(2, 1, 5, 5)
    fused = fuse_conv_bn_eval(model[0], model[1])
    check(fused, X)
    check(torch.fx.experimental.optimization.fuse(model), X)
    check(fuse_linear_bn_eval(nn.Linear(5, 3).double().eval(), nn.BatchNorm1d(3).double().eval()), ball(4, 5))


# --- recording programs with boxes ------------------------------------------------------------------------------------


@pytest.fixture
def dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(10, 4)
        self.rest = nn.Sequential(nn.Tanh(), nn.Linear(4, 2))

    def forward(self, x):
        return self.rest(self.first(x) * 2)[0]


@pytest.mark.parametrize("view", [False, True], ids=["whole", "view"])
def test_a_compiled_model_runs_uncompiled_on_boxes(dynamo, view):
    model = Nested().double()
    X = ball(2, 3, 10)
    X = X[0] if view else X
    compiled = torch.compile(model, backend="eager")
    Y, expected = compiled(X), model(X)
    assert type(Y) is IntervalTensor and Y.lower.equal(expected.lower) and Y.upper.equal(expected.upper)
    Y.upper.sum().backward()
    assert model.first.weight.grad.abs().sum() > 0
    x = X.center.detach()
    torch.testing.assert_close(compiled(x), model(x))


def test_a_whole_graph_of_boxes_is_refused(dynamo):
    compiled = torch.compile(Nested().double(), backend="eager", fullgraph=True)
    with pytest.raises(torch._dynamo.exc.Unsupported, match=r"Record a function of its bounds"):
        compiled(ball(3, 10))


@pytest.mark.parametrize("strict", [False, True], ids=["non-strict", "strict"])
def test_export_takes_no_boxes(dynamo, strict):
    with pytest.raises(Exception, match="Record a function of its bounds"):
        torch.export.export(Nested().double(), (ball(3, 10),), strict=strict)


def test_operators_with_bodies_refuse(dynamo):
    """`torch.cond` and its kind record their bodies even outside of `torch.compile`."""
    X = ball(3)
    with pytest.raises(Exception, match="Record a function of its bounds"):
        torch.cond(X.sum() > 0, torch.sin, torch.cos, (X,))
    check(lambda x: torch.cond(True, torch.sin, torch.cos, (x,)), X)  # a Python bool needs no recording


class Bounds(nn.Module):
    """The form that torch can record: bounds in, bounds out."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, lower, upper):
        Y = self.model(IntervalTensor(lower, upper))
        return Y.lower, Y.upper


def test_functions_of_bounds_are_exported_and_compiled(dynamo):
    model = Nested().double()
    X = ball(3, 10)
    program = torch.export.export(Bounds(model), tuple(X._box), strict=False).module()
    compiled = torch.compile(program, backend="aot_eager")
    for bounds in (program, compiled):
        other = ball(3, 10)
        Y = model(other)
        lower, upper = bounds(other.lower, other.upper)
        torch.testing.assert_close(lower, Y.lower)
        torch.testing.assert_close(upper, Y.upper)
        model.zero_grad()
        program.zero_grad()
        Y.upper.sum().backward()
        upper.sum().backward()
        for mine, theirs in zip(program.parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, theirs.grad)


@pytest.mark.slow
def test_functions_of_bounds_go_through_inductor(dynamo):
    model = Nested().double()
    X = ball(3, 10)
    program = torch.export.export(Bounds(model), tuple(X._box), strict=False).module()
    lower, upper = torch.compile(program, backend="inductor")(X.lower, X.upper)
    torch.testing.assert_close(lower, model(X).lower)
    torch.testing.assert_close(upper, model(X).upper)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_jit_trace_refuses_boxes():
    X = ball(3, 10)
    refuses(UnsupportedOpError, lambda: torch.jit.trace(Nested().double(), X), "torch.jit.trace", "on a plain example")
    refuses(UnsupportedOpError, lambda: torch.jit.trace(Bounds(torch.tanh), tuple(X._box)), "torch.export.export")
    check(Nested().double(), X)  # and leaves nothing behind
