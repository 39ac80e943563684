"""Random draws inside `bound`: one warning that names the place and the remedy, and none for a model in `eval()`."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import intervaltorch as it
from intervaltorch import IntervalTensor, RandomnessWarning, bound, layer_bounds


def ball(*shape):
    return IntervalTensor.from_ball(torch.rand(*shape, generator=torch.Generator().manual_seed(0)), 0.1)


class Of(nn.Module):
    """A function as a module that hands its mode on."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x, self.training)


def drop_path(x, training):  # as in timm
    return x * x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(0.5).div_(0.5) if training else x


MODULES = {
    "Dropout": (nn.Dropout(0.5), (2, 3)),
    "in place": (nn.Dropout(0.5, inplace=True), (2, 3)),
    "Dropout1d": (nn.Dropout1d(0.5), (2, 3, 4)),
    "Dropout2d": (nn.Dropout2d(0.5), (2, 3, 4, 4)),
    "Dropout3d": (nn.Dropout3d(0.5), (2, 3, 2, 2, 2)),
    "AlphaDropout": (nn.AlphaDropout(0.5), (2, 3)),
    "FeatureAlphaDropout": (nn.FeatureAlphaDropout(0.5), (2, 3, 4)),
    "LSTM": (nn.LSTM(3, 4, num_layers=2, dropout=0.5), (2, 3)),
    "GRU": (nn.GRU(3, 4, num_layers=2, dropout=0.5), (2, 3)),
    "RNN": (nn.RNN(3, 4, num_layers=2, dropout=0.5), (2, 3)),
    "TransformerEncoderLayer": (nn.TransformerEncoderLayer(4, 1, 8, dropout=0.5, batch_first=True), (2, 3, 4)),
    "functional": (Of(lambda x, training: F.dropout(x, 0.5, training)), (2, 3)),
    "native": (Of(lambda x, training: torch.native_dropout(x, 0.5, training)[0]), (2, 3)),
    "drop path": (Of(drop_path), (2, 3)),
    "bernoulli": (Of(lambda x, training: torch.bernoulli(x.clamp(0, 1)) if training else x), (2, 3)),
    "gumbel_softmax": (Of(lambda x, training: F.gumbel_softmax(x) if training else x.softmax(-1)), (2, 3)),
    "plain mask": (Of(lambda x, training: x * (torch.rand(3) > 0.5) if training else x), (2, 3)),
    "plain bernoulli": (Of(lambda x, training: x * torch.empty(3).bernoulli_(0.5) if training else x), (2, 3)),
    "plain choice": (Of(lambda x, training: x[:, torch.randperm(3)] if training else x), (2, 3)),
    "stochastic noise layer": (Of(lambda x, training: x * torch.rand_like(x) if training else x), (2, 3)),
}
CALLS = {"bound": bound, "layer_bounds": layer_bounds}


def warnings_of(call, *args):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*args)
    return [w for w in caught if w.category is RandomnessWarning]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(("module", "shape"), MODULES.values(), ids=MODULES)
def test_one_warning_in_training_and_none_in_evaluation(module, shape, call):
    model = nn.ModuleDict({"inner": module})
    model.forward = lambda x: module(x)
    if isinstance(module, nn.TransformerEncoderLayer):
        module.self_attn.dropout = 0.0  # which is refused
    (warning,) = warnings_of(call, model.train(), ball(*shape))
    for part in ("one random draw", "in inner", "model.eval()", "RandomnessWarning"):
        assert part in str(warning.message)
    assert warning.filename == __file__
    assert not warnings_of(call, model.eval(), ball(*shape))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.dropout(x),
        lambda x: F.gumbel_softmax(x),
        lambda x: torch.bernoulli(x.clamp(0, 1)),
        lambda x: x.new_empty(3).bernoulli_(0.5) * x,
    ],
    ids=["dropout", "gumbel_softmax", "bernoulli", "bernoulli_"],
)
def test_functions_are_named_in_every_mode(function, request):
    name = request.node.callspec.id
    (warning,) = warnings_of(bound, function, ball(2, 3))
    assert f"Drawn: {name}." in str(warning.message)
    (warning,) = warnings_of(bound, Of(lambda x, training: function(x)).eval(), ball(2, 3))
    assert f"Drawn: {name} in (the model) (Of)" in str(warning.message)
    assert not warnings_of(function, ball(2, 3))  # outside bound a draw is what was asked for


def test_the_place_is_the_module_that_draws():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.blocks = nn.Linear(3, 3), nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 3), nn.Dropout(0.5))

        def forward(self, x):
            return self.first(F.dropout(self.blocks(self.first(x)) * torch.rand(3)))

    (warning,) = warnings_of(bound, Net(), ball(2, 3))
    text = str(warning.message)
    assert "dropout in blocks.0 (Dropout), dropout in blocks.2 (Dropout), dropout in (the model) (Net)." in text
    layers = nn.Sequential(*(nn.Dropout(0.5) for _ in range(5)))
    (warning,) = warnings_of(bound, layers, ball(2, 3))
    assert "and 2 more" in str(warning.message)


def test_what_does_not_draw_is_silent():
    for p in (0.0, 1.0):
        assert not warnings_of(bound, nn.Dropout(p), ball(2, 3))
        assert not warnings_of(bound, nn.AlphaDropout(p), ball(2, 3))
    assert not warnings_of(bound, nn.Sequential(nn.Linear(3, 4), nn.ReLU()).train(), ball(2, 3))


def test_noise_of_a_vae_is_part_of_the_program():
    def sample(x, training):
        return x + x.exp() * torch.randn_like(x)

    assert not warnings_of(bound, Of(sample).train(), ball(2, 3))
    assert not warnings_of(bound, Of(sample).eval(), ball(2, 3))
    normal = Of(lambda x, training: torch.distributions.Normal(x, 1.0).rsample())
    assert not warnings_of(bound, normal.eval(), ball(2, 3))


def test_draws_on_purpose():
    generator = torch.Generator()
    assert not warnings_of(bound, lambda x: torch.bernoulli(x.clamp(0, 1), generator=generator), ball(2, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=RandomnessWarning)
        bound(nn.Dropout(0.5), ball(2, 3))


def test_nested_bounds_and_errors():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 3))
    assert len(warnings_of(bound, lambda x: bound(model, x) + bound(model, x), ball(2, 3))) == 1
    with pytest.raises(it.DomainError), warnings.catch_warnings():
        warnings.simplefilter("error")
        bound(lambda x: F.dropout(x).sub(9).log(), ball(2, 3))
    assert not warnings_of(bound, nn.Linear(3, 3), ball(2, 3))  # nothing is left over


def test_transforms_modes_and_recorders_see_nothing_of_the_search():
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)).train()

    def lowest(lower):
        return bound(model, IntervalTensor(lower, lower + 1)).lower.sum()

    x = torch.rand(2, 3)
    assert len(warnings_of(torch.func.grad(lowest), x)) == 1
    assert len(warnings_of(torch.vmap(lowest, randomness="different"), x)) == 1
    with FlopCounterMode(display=False), torch.no_grad():
        assert len(warnings_of(lowest, x)) == 1
    with torch.inference_mode():
        assert len(warnings_of(lowest, x)) == 1
    model.eval()
    for call in (torch.func.grad(lowest), torch.vmap(lowest), lowest):
        assert not warnings_of(call, x)

    class Lowest(nn.Module):
        def forward(self, lower):
            return lowest(lower)

    for mode in (True, False):
        model.train(mode)
        torch.export.export(Lowest(), (x,), strict=False)
