"""Models with several inputs, some of them plain, and with outputs of every structure."""

import collections
import dataclasses
import types
import typing

import pytest
import torch
from torch import nn

from intervaltorch import IntervalTensor, bound, layer_bounds
from intervaltorch.testing import assert_encloses, sample_points
from tests.patterns.check import ball


class ModelOutput(collections.OrderedDict):
    """A dictionary whose items are attributes too, as libraries of transformers write it."""

    def __init_subclass__(cls):
        dataclasses.dataclass(cls)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if getattr(self, field.name) is not None:
                super().__setitem__(field.name, getattr(self, field.name))

    def __getitem__(self, key):
        return super().__getitem__(key) if isinstance(key, str) else tuple(self.values())[key]

    def __setattr__(self, name, value):
        if name in self.keys() and value is not None:
            super().__setitem__(name, value)
        super().__setattr__(name, value)

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        super().__setattr__(key, value)


class LayerOutput(ModelOutput):
    first: typing.Any = None
    second: typing.Any = None
    note: typing.Any = None


@dataclasses.dataclass
class Plain:
    first: typing.Any
    second: typing.Any


@dataclasses.dataclass(frozen=True)
class Frozen:
    first: typing.Any
    second: typing.Any


@dataclasses.dataclass(slots=True)
class Slotted:
    first: typing.Any
    second: typing.Any


class Items(dict):
    """A dictionary of one's own."""


class Named(typing.NamedTuple):
    first: typing.Any
    second: typing.Any


OUTPUTS = {
    "tuple": lambda a, b: (a, b),
    "list": lambda a, b: [a, b],
    "dict": lambda a, b: {"first": a, "second": b},
    "ordered": lambda a, b: collections.OrderedDict(first=a, second=b),
    "default": lambda a, b: collections.defaultdict(list, first=a, second=b),
    "dict of one's own": lambda a, b: Items(first=a, second=b),
    "named tuple": Named,
    "dataclass": Plain,
    "frozen dataclass": Frozen,
    "dataclass with slots": Slotted,
    "namespace": lambda a, b: types.SimpleNamespace(first=a, second=b),
    "model output": lambda a, b: LayerOutput(a, b, note="kept"),
    "tuples of tuples": lambda a, b: ((a, (b, None)), "note", 3),
    "a mixture": lambda a, b: {"first": (Plain(a, [b]), 1.5)},
    "model output in a tuple": lambda a, b: (LayerOutput((a, b)), torch.arange(3)),
}


def parts(output):
    """The tensors in an output, in the order in which they stand."""
    if isinstance(output, torch.Tensor):
        return [output] if output.is_floating_point() else []
    if dataclasses.is_dataclass(output):
        output = [getattr(output, field.name) for field in dataclasses.fields(output)]
    elif isinstance(output, types.SimpleNamespace):
        output = vars(output)
    output = list(output.values()) if isinstance(output, dict) else output
    return [part for item in output for part in parts(item)] if isinstance(output, (tuple, list)) else []


class Layer(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.linear, self.make = nn.Linear(4, 3), make

    def forward(self, x, scale, *, mask=None, skip=False):
        y = self.linear(x) * scale
        y = y if mask is None else y.masked_fill(mask, 0.0)
        return self.make(y, y.softmax(-1) if not skip else y)


class Model(nn.Module):
    """Overwrites what its layer returned, as models that work in place do."""

    def __init__(self, make):
        super().__init__()
        self.layer = Layer(make)

    def forward(self, x, scale, **options):
        output = self.layer(x, scale, **options)
        total = sum(part.sum(-1, keepdim=True) for part in parts(output))
        for part in parts(output):
            part.mul_(0.5).add_(total)
        return output


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_keep_their_structure_and_their_layers_are_kept(name, grad):
    model, X = Model(OUTPUTS[name]).double(), ball(2, 4)
    scale = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    mask = torch.tensor([[True, False, False], [False, False, True]])
    with torch.set_grad_enabled(grad):
        Y = bound(model, X.clone(), scale, mask=mask)
        layers = layer_bounds(model, X.clone(), scale=scale, mask=mask)
        assert list(layers) == ["layer.linear", "layer", ""]
        for x in sample_points(X, 8):
            value = model(x, scale, mask=mask)
            inner = model.layer(x, scale, mask=mask)
            for got, want in ((Y, value), (layers[""], value), (layers["layer"], inner)):
                assert type(got) is type(want)
                for box, point in zip(parts(got), parts(want), strict=True):
                    assert_encloses(box, point)
    if name == "model output":
        assert Y.note == "kept" and Y["first"] is Y.first and Y[1] is Y.second
        kept = layers["layer"]
        assert kept.note == "kept" and kept["first"] is kept.first and not kept.first.lower.equal(Y.first.lower)


def test_inputs_of_every_kind():
    model = Model(OUTPUTS["tuple"]).double()
    X, W = ball(2, 4), ball(3)
    for call in (
        lambda x, w: bound(model, x, w),
        lambda x, w: bound(model, x=x, scale=w, mask=None, skip=True),
        lambda x, w: bound(lambda batch: model(batch["x"], batch["w"]), {"x": x, "w": w, "label": 3}),
        lambda x, w: bound(lambda *pairs, **named: model(pairs[0], named["w"]), x, torch.ones(2), w=w),
        lambda x, w: bound(model, x, 2.0),
        lambda x, w: bound(model, x.center, w),
    ):
        first, second = call(X.clone(), W.clone())
        assert type(first) is type(second) is IntervalTensor and bool((first.width > 0).any())


def test_one_input_may_be_plain_and_the_box_depends_on_the_other():
    model, X, W = Model(OUTPUTS["dict"]).double(), ball(2, 4), ball(3)
    both = bound(model, X.clone(), W)["first"]
    for half in (bound(model, X.center, W)["first"], bound(model, X.clone(), W.center)["first"]):
        assert bool((half.width <= both.width + 1e-12).all())  # rounding aside, less varies
