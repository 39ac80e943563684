"""Bounds of functions and models: results of any structure, errors with their place, one box for each layer."""

import collections
import dataclasses
import functools
import logging

import pytest
import torch
from torch import nn

import intervaltorch as it
from intervaltorch import IntervalTensor, bound, layer_bounds
from intervaltorch._compat import _Uncompiled
from tests.boxes import ball


class Refusing(nn.Module):
    """Uses an op that has no rule."""

    def forward(self, x):
        return torch.linalg.eigvals(x)


class Recovering(nn.Module):
    """Catches the error of a submodule, then goes on."""

    def __init__(self, then):
        super().__init__()
        self.attempt, self.then = Refusing(), then

    def forward(self, x):
        try:
            return self.attempt(x)
        except it.UnsupportedOpError:
            return self.then(x)


def hooks_left(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


# --- results ----------------------------------------------------------------------------------------------------------

Pair = collections.namedtuple("Pair", "mean std")


@dataclasses.dataclass
class Output:
    logits: torch.Tensor
    note: str


def test_results_keep_their_structure():
    x = ball(3)
    programs = {
        "tuple": lambda x: (x, x + 1, 2),
        "dict": lambda x: {"a": x, "b": [x, None]},
        "namedtuple": lambda x: Pair(x, x.exp()),
        "dataclass": lambda x: Output(x * 2, "kept"),
    }
    assert isinstance(bound(programs["tuple"], x)[1], IntervalTensor)
    assert bound(programs["tuple"], x)[2] == 2
    assert isinstance(bound(programs["dict"], x)["b"][0], IntervalTensor)
    assert isinstance(bound(programs["namedtuple"], x).std, IntervalTensor)
    result = bound(programs["dataclass"], x)
    assert result.note == "kept"
    assert result.logits.upper.equal(2 * x.upper)


def test_any_callable_is_bounded():
    model, x = nn.Linear(3, 2), ball(4, 3)
    expected = model(x)
    for function in (
        model,
        model.forward,
        lambda x: model(x),
        functools.partial(nn.functional.linear, weight=model.weight),
    ):
        assert bound(function, x).shape == expected.shape
    assert bound(lambda: model(x)).lower.equal(expected.lower)
    assert bound(lambda *, x: x + 1, x=x).shape == (4, 3)
    assert bound(lambda o: o.logits + 1, Output(x, "")).shape == (4, 3)


def test_without_a_box_there_is_nothing_to_bound():
    with pytest.raises(TypeError, match=r"from_ball\(x, radius\)"):
        bound(nn.Linear(3, 2), torch.ones(3))


def test_boxes_may_be_in_the_parameters():
    model = nn.Linear(3, 2)
    model.weight = nn.Parameter(ball(2, 3))
    assert isinstance(bound(model, torch.ones(3)), IntervalTensor)


def test_the_box_contains_the_values_at_points():
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    X = ball(4, 3)
    Y = bound(model, X)
    for _ in range(50):
        point = X.lower + torch.rand(4, 3) * X.width
        slack = 1e-5 * Y.magnitude  # far above the rounding of sums of 8 and 3 terms, far below the width
        assert ((Y.lower - slack <= model(point)) & (model(point) <= Y.upper + slack)).all()


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "place"),
    [
        (Refusing(), r"in: \(the model\) \(Refusing\)"),
        (nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.ReLU(), Refusing())), r"in: 1\.1 \(Refusing\)"),
        (nn.Sequential(Recovering(nn.Linear(3, 3)), Refusing()), r"in: 1 \(Refusing\)"),
        (Recovering(nn.Sequential(nn.ReLU(), Refusing())), r"in: then\.1 \(Refusing\)"),
    ],
)
def test_errors_name_the_innermost_module(model, place):
    with pytest.raises(it.UnsupportedOpError, match=place) as caught:
        bound(model, ball(3, 3))
    assert str(caught.value).count("in: ") == 1
    assert hooks_left(model) == 0


def test_errors_between_submodules_name_the_module_around_them():
    class Taking(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x):
            return self.layer(x).log()

    with pytest.raises(it.DomainError, match=r"in: 0 \(Taking\)"):
        bound(nn.Sequential(Taking()), ball(2, 3))


def test_errors_in_methods_are_located_too():
    class Coder(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Refusing()

        def encode(self, x):
            return self.inner(x)

    with pytest.raises(it.UnsupportedOpError, match=r"in: inner \(Refusing\)"):
        bound(Coder().encode, ball(3, 3))


def test_other_errors_pass_as_they_are():
    model = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(RuntimeError) as caught:
        bound(model, ball(2, 5))
    assert not isinstance(caught.value, it.IntervalError)
    assert hooks_left(model) == 0


def test_an_error_being_handled_is_not_taken_for_one_of_the_model():
    try:
        ball(3).item()
    except it.EscapeError as error:
        bound(nn.Linear(3, 2), ball(3))
        assert error.module_path is None


def test_the_users_hooks_and_mode_stay():
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)).train()
    calls = []
    model[0].register_forward_hook(lambda *a: calls.append(1))
    torch.manual_seed(0)
    bound(model, ball(2, 3))
    assert calls == [1]
    assert model.training
    assert hooks_left(model) == 1


# --- layers -----------------------------------------------------------------------------------------------------------


def test_layer_bounds_are_those_of_one_forward_pass():
    model = nn.Sequential(
        collections.OrderedDict(fc=nn.Linear(3, 4), act=nn.ReLU(), head=nn.Sequential(nn.Linear(4, 2)))
    )
    X = ball(5, 3)
    layers = layer_bounds(model, X)
    assert list(layers) == ["fc", "act", "head.0", "head", ""]
    assert layers["fc"].lower.equal(model.fc(X).lower)
    assert layers["act"].upper.equal(model.fc(X).relu().upper)
    assert layers[""].lower.equal(model(X).lower)
    assert hooks_left(model) == 0


def test_layer_bounds_are_taken_before_later_layers_overwrite_them():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True))
    X = ball(5, 3)
    with torch.no_grad():
        layers = layer_bounds(model, X)
        assert layers["0"].lower.equal(model[0](X).lower)
    assert (layers["0"].lower < 0).any()
    assert (layers["1"].lower >= 0).all()


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.act, self.fc = nn.ReLU(), nn.Linear(3, 3)

    def forward(self, x):
        return self.act(self.fc(self.act(x)))


def test_modules_that_run_several_times_keep_every_output():
    model, X = Twice(), ball(2, 3)
    layers = layer_bounds(model, X)
    assert list(layers) == ["act", "fc", "act#2", ""]
    assert layers["act"].lower.equal(X.relu().lower)
    assert layers["act#2"].lower.equal(layers[""].lower)


def test_shared_modules_have_an_output_under_each_name():
    shared = nn.Linear(3, 3)
    layers = layer_bounds(nn.Sequential(shared, nn.ReLU(), shared), ball(2, 3))
    assert list(layers) == ["0", "1", "2", ""]
    assert not layers["0"].lower.equal(layers["2"].lower)


def test_outputs_that_are_no_tensors_are_kept():
    class Several(nn.Module):
        def forward(self, x):
            return Output(x * 2, "note"), {"x": x, "n": 3}, None

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.several = Several()

        def forward(self, x):
            output, rest, _ = self.several(x)
            output.logits.zero_()
            rest["x"].zero_()
            return output.logits

    output, rest, none = layer_bounds(Model(), ball(2, 3) + 10)["several"]
    assert (output.logits.lower > 10).all()
    assert (rest["x"].lower > 5).all()
    assert (output.note, rest["n"], none) == ("note", 3, None)


def test_layer_bounds_locate_errors_and_clean_up():
    model = nn.Sequential(nn.Linear(3, 3), Refusing())
    with pytest.raises(it.UnsupportedOpError, match=r"in: 1 \(Refusing\)"):
        layer_bounds(model, ball(3, 3))
    assert hooks_left(model) == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_modules_are_bounded_and_lose_gradients_aloud():
    plain = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    scripted, X = torch.jit.script(plain), ball(5, 3)
    for _ in range(3):
        with pytest.warns(it.GradientWarning, match="TorchScript"):
            Y = bound(scripted, X)
        torch.testing.assert_close(Y.lower, plain(X).lower)
    with torch.no_grad():
        assert list(layer_bounds(nn.Sequential(nn.Linear(3, 3), scripted), X)) == ["0", ""]


# --- methods, interval parameters, errors of torch --------------------------------------------------------------------


class Coder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(2, 3), nn.Linear(4, 2)

    def encode(self, x, scale=1.0):
        return self.encoder(x) * scale

    def forward(self, x):
        return self.decoder(self.encode(x))


def test_layers_of_a_method():
    model, X = Coder(), ball(5, 2)
    for method in (model.encode, functools.partial(model.encode, scale=2.0)):
        layers = layer_bounds(method, X)
        assert list(layers) == ["encoder"] and layers["encoder"].lower.equal(model.encoder(X).lower)
    assert hooks_left(model) == 0
    with pytest.raises(TypeError, match="found no module"):
        layer_bounds(lambda x: x, X)


@pytest.mark.parametrize("call", [torch.func.functional_call, functools.partial(torch.func.functional_call)])
def test_interval_parameters_for_one_call(call):
    model, x = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), torch.randn(5, 2)
    weights = {"0.weight": IntervalTensor.from_ball(model[0].weight.detach(), 0.1)}
    Y, layers = bound(call, model, weights, x), layer_bounds(call, model, weights, (x,))
    assert list(layers) == ["0", "1", "2", ""] and layers[""].lower.equal(Y.lower)
    for _ in range(20):
        moved = weights["0.weight"].lower + torch.rand(3, 2) * weights["0.weight"].width
        value = torch.func.functional_call(model, {"0.weight": moved}, x)
        assert bool(Y.contains(value).all())
    assert type(model[0].weight) is nn.Parameter and hooks_left(model) == 0
    weights["2.weight"] = IntervalTensor.point(torch.ones(1, 7))
    with pytest.raises(RuntimeError, match=r"in: 2 \(Linear\)"):
        bound(call, model, weights, x)


def test_errors_of_torch_name_the_innermost_module():
    model = nn.Sequential(nn.Linear(2, 2), Coder())
    with pytest.raises(RuntimeError, match=r"cannot be multiplied(.|\n)*in: 1\.decoder \(Linear\)") as caught:
        bound(model, ball(5, 2))
    assert str(caught.value).count("in: ") == 1
    with pytest.raises(RuntimeError, match=r"in: encoder \(Linear\)"):
        layer_bounds(Coder().encode, ball(5, 7))


def test_supported_ops_know_names_and_functions():
    ops = it.supported_ops()
    assert "exp" in ops and "torch.exp" in ops and torch.exp in ops and torch.Tensor.exp in ops and ops[0] in ops
    assert "qr" not in ops and torch.linalg.qr not in ops and None not in ops and 3 not in ops


def test_compile_says_once_that_boxes_run_uncompiled():
    log = logging.getLogger("torch._dynamo.utils")
    said, other = _Uncompiled("a box"), logging.LogRecord("x", logging.WARNING, "", 0, "of another", (), None)
    records = [logging.LogRecord(log.name, logging.WARNING, "", 0, "Encountered (a box)", (), None) for _ in range(3)]
    assert [said.filter(record) for record in (*records, other)] == [True, False, False, True]
    assert records[0].getMessage().endswith("as it is, uncompiled") and other.getMessage() == "of another"
