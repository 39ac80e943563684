"""Tensors on several devices: refused by name. The meta device, where tensors have no values, stands for any other."""

import copy
import operator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from intervaltorch import DeviceError, IntervalTensor, UnsupportedOpError, bound, hull, rounding
from tests.boxes import ball
from tests.patterns.check import refuses

# Each takes a box of shape (2, 3, 4) and a tensor like it.
COMBINATIONS = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": lambda x, m: x.abs() ** m,
    "@": lambda x, m: x @ m.mT, ">": operator.gt, "==": operator.eq,
    "maximum": torch.maximum, "atan2": torch.atan2, "lerp": lambda x, m: torch.lerp(x, m, 0.5),
    "addcmul": lambda x, m: torch.addcmul(x, m, m), "clamp": lambda x, m: x.clamp(min=m),
    "where": lambda x, m: torch.where(x > 0, x, m), "where, by a mask": lambda x, m: torch.where(m > 0, x, x),
    "masked_fill": lambda x, m: x.masked_fill(m > 0, 0.0), "masked_scatter": lambda x, m: x.masked_scatter(m > 0, x),
    "index by a mask": lambda x, m: x[m > 0], "index": lambda x, m: x[m[0, 0, :2].long()],
    "write": lambda x, m: x.clone().__setitem__(0, m[0]), "copy_": lambda x, m: x.clone().copy_(m),
    "write by index": lambda x, m: x.clone().__setitem__(m[0, 0, :2].long(), 0.0),
    "+=": lambda x, m: x.clone().add_(m), "cat": lambda x, m: torch.cat([x, m]),
    "stack": lambda x, m: torch.stack([x, m]), "gather": lambda x, m: x.gather(0, m.long()),
    "take": lambda x, m: x.take(m.long()), "index_select": lambda x, m: x.index_select(0, m[0, 0].long()),
    "index_add": lambda x, m: x.index_add(0, m[0, 0, :2].long(), x),
    "scatter": lambda x, m: x.scatter(0, m.long(), 1.0),
    "embedding": lambda x, m: F.embedding(m.long(), x[0]), "einsum": lambda x, m: torch.einsum("abc,abd->acd", x, m),
    "linear": lambda x, m: F.linear(x, m[0]), "conv1d": lambda x, m: F.conv1d(x, m[:, :, :2]),
    "attention": lambda x, m: F.scaled_dot_product_attention(x, m, m), "prelu": lambda x, m: F.prelu(x, m[0, 0, :1]),
    "layer_norm": lambda x, m: F.layer_norm(x, (4,), m[0, 0]), "mse_loss": F.mse_loss, "cdist": torch.cdist,
    "cross_entropy": lambda x, m: F.cross_entropy(x[0], m[0, :, 0].long()), "kron": torch.kron,
    "bilinear": lambda x, m: F.bilinear(x, x, m.new_empty(2, 4, 4)),
    "searchsorted": lambda x, m: torch.searchsorted(m, x),
    "pairwise_distance": F.pairwise_distance,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["plain", "box"])
@pytest.mark.parametrize("name", COMBINATIONS)
def test_values_are_not_combined_with_tensors_without_values(name, kind):
    """Some kernels of torch would: a box on the CPU times a matrix on meta came out as a box of memory as it lay."""
    X, M = ball(2, 3, 4), ball(2, 3, 4).to("meta")
    M = M if kind == "box" else M.lower
    combine = COMBINATIONS[name]
    with pytest.raises((DeviceError, UnsupportedOpError)) as caught:
        combine(X, M)
    if not isinstance(caught.value, DeviceError):  # an index is never a box
        assert kind == "box"
        return
    for word in ("several devices", "on cpu", "on meta", "module.to(X.device)"):
        assert word in str(caught.value)
    with pytest.raises(DeviceError), rounding("outward"):
        combine(X, M)


@pytest.mark.parametrize("name", ["+", "-", "*", "/", "@", "maximum", ">", "cat", "where", "linear", "mse_loss"])
def test_nor_the_other_way_round(name):
    X, M = ball(2, 3, 4), torch.empty(2, 3, 4, device="meta")
    combine = COMBINATIONS[name]
    for call in (
        lambda: combine(M, X),
        lambda: combine(X.to("meta"), X.center),
        lambda: combine(X.center, X.to("meta")),
    ):
        refuses(DeviceError, call, "several devices", "module.to(X.device)")


MODULES = {
    "linear": (nn.Linear(4, 2), (2, 3, 4)), "conv": (nn.Conv1d(3, 2, 1), (2, 3, 4)),
    "norm": (nn.LayerNorm(4), (2, 3, 4)),
    "transposed": (nn.ConvTranspose1d(3, 2, 2), (2, 3, 4)), "batch norm": (nn.BatchNorm1d(3).eval(), (2, 3, 4)),
    "prelu": (nn.PReLU(), (2, 3, 4)), "lstm": (nn.LSTM(4, 2), (2, 3, 4)), "cell": (nn.GRUCell(4, 2), (3, 4)),
    "block": (nn.TransformerEncoderLayer(4, 2, 3, batch_first=True).eval(), (2, 3, 4)),
}  # fmt: skip


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("name", MODULES)
def test_modules(name, grad):
    module, shape = MODULES[name]
    X, elsewhere = ball(*shape), copy.deepcopy(module).to("meta")
    model = nn.Sequential(nn.Identity(), elsewhere)
    with torch.set_grad_enabled(grad):
        refuses(DeviceError, lambda: bound(model, X), "in: 1", "on cpu", "on meta", "to_empty")
        result = elsewhere(X.to("meta"))  # wholly on meta a model tells the shapes
        expected = module(X)
    pairs = zip(*((r if isinstance(r, tuple) else (r,)) for r in (result, expected)), strict=True)
    for got, want in pairs:
        if isinstance(got, IntervalTensor):
            assert got.device.type == "meta" and got.shape == want.shape


@pytest.mark.parametrize("name", COMBINATIONS)
def test_wholly_on_meta_shapes_are_told_or_values_are_asked_for_by_name(name):
    X = ball(2, 3, 4).to("meta")
    try:
        Y = COMBINATIONS[name](X, X.lower)
    except UnsupportedOpError as error:
        assert "reads values" in str(error) and name in ("index by a mask", "searchsorted", "cross_entropy")
    else:
        assert Y is None or Y.device.type == "meta"


def test_what_takes_only_a_shape_a_device_a_number_or_a_place_takes_it_from_anywhere():
    X, M = ball(2, 3, 4), torch.empty(2, 3, 4, device="meta")
    assert X.view(6, 4).view_as(M).lower.equal(X.lower)
    assert X.expand_as(M).device == X.device and X.reshape_as(M).device == X.device
    assert X.to(M).device == M.device and X.type_as(M).device == M.device
    assert (X.to("meta") + torch.tensor(1.0)).device == M.device
    assert X.to("meta")[torch.tensor([0, 1])].device == M.device


def test_what_torch_finds_out_is_said_in_the_same_words():
    """As on any two devices, of which the library does not look at each before torch does."""
    refuses(
        DeviceError, lambda: ball(2, 3).to("meta") + torch.ones(3, dtype=torch.long), "on meta", "on cpu", "X.device"
    )


def test_sets_are_on_one_device():
    X, M = ball(2, 3), ball(2, 3).to("meta")
    for relate in (X.contains, X.issubset, X.isdisjoint, X.hull, X.intersection, lambda m: hull(X, m)):
        for other in (M, M.lower):
            refuses(DeviceError, lambda relate=relate, other=other: relate(other), "meta", "cpu", "to(")
    refuses(DeviceError, lambda: M.hull(X), "meta", "cpu")
    assert M.hull(M).device.type == "meta" and bool(X.contains(X.center).all())


@pytest.mark.parametrize("ask", [lambda x: bool(x.sum() > 0), lambda x: (x > 0).tolist(), lambda x: int(x[0, 0] > 0)])
def test_python_gets_no_answer_without_values(ask):
    refuses(UnsupportedOpError, lambda: ask(ball(2, 3).to("meta")), "reads values", "meta device")
    refuses(
        UnsupportedOpError, lambda: torch.vmap(lambda l: l + ask(IntervalTensor(l, l + 1)))(torch.ones(4, 2, 3)), "vmap"
    )


def test_moving_a_module_mends_it():
    X = ball(2, 4)
    module = nn.Linear(4, 2, device="meta")
    refuses(DeviceError, lambda: module(X), "to_empty")
    module.to_empty(device=X.device).reset_parameters()
    assert bool(module(X).contains(module(X.center)).all())
