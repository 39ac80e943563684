"""Recurrent layers, their cells, and packed sequences."""

import itertools

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence, pad_sequence, unpack_sequence

import intervaltorch as it
from intervaltorch import IntervalTensor
from intervaltorch._ops.layers import recurrent
from intervaltorch.testing import assert_encloses, check_op, check_unbounded, sample_points

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}
LAYERS = {
    "RNN": lambda *args, **kwargs: nn.RNN(*args, **kwargs),
    "RNN relu": lambda *args, **kwargs: nn.RNN(*args, nonlinearity="relu", **kwargs),
    "LSTM": lambda *args, **kwargs: nn.LSTM(*args, **kwargs),
    "LSTM projected": lambda *args, **kwargs: nn.LSTM(*args, proj_size=2, **kwargs),
    "GRU": lambda *args, **kwargs: nn.GRU(*args, **kwargs),
}
each_layer = pytest.mark.parametrize("name", LAYERS)


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def boxes(*shape, radius=0.3, seed=0):
    radii = radius * (0.1 + 0.9 * torch.rand(shape, generator=torch.Generator().manual_seed(seed)))
    centre = numbers(*shape, seed=seed)
    return IntervalTensor(centre - radii, centre + radii)


# --- cells ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("varies", ["input", "state", "weights", "all", "nothing but the bias"])
@pytest.mark.parametrize("name", GATES)
def test_cells_keep_their_contract(name, varies, biases):
    def one(what, *shape, seed):
        return boxes(*shape, seed=seed) if varies in (what, "all") else numbers(*shape, seed=seed)

    rows, cell = GATES[name] * 2, getattr(torch, f"{name}_cell")
    weights = [one("weights", rows, 3, seed=1), one("weights", rows, 2, seed=2)]
    if biases or varies == "nothing but the bias":
        weights += [boxes(rows, seed=3), numbers(rows, seed=4)]
    state = one("state", 2, 2, seed=5)
    hx = [state, one("state", 2, 2, seed=6)] if name == "lstm" else state
    check_op(lambda *args: cell(*args), one("input", 2, 3, seed=7), hx, *weights, samples=12)


@pytest.mark.parametrize("name", GATES)
def test_cells_of_infinite_boxes(name):
    cell, rows = getattr(torch, f"{name}_cell"), GATES[name] * 2
    hx = [boxes(2, 2, seed=5), boxes(2, 2, seed=6)] if name == "lstm" else boxes(2, 2, seed=5)
    check_unbounded(lambda *args: cell(*args), boxes(2, 3), hx, numbers(rows, 3), numbers(rows, 2))


@pytest.mark.parametrize("mode", ["nearest", "outward"])
def test_gated_recurrence_is_the_hull_of_its_gates(mode):
    """(1 - z) n + z h at all corners; a rule that read z twice would be wider."""
    z = torch.rand(2, 500).double().sort(0).values
    n, h = (torch.randn(2, 500).double().sort(0).values for _ in range(2))
    with it.rounding(mode):
        box = recurrent._between(*(it.Box(*ends) for ends in (z, n, h)))
    corners = torch.stack([(1 - a) * b + a * c for a, b, c in itertools.product(z, n, h)])
    slack = 1e-14 if mode == "outward" else 4e-16
    assert torch.allclose(box.lower, corners.amin(0), rtol=0, atol=slack)
    assert torch.allclose(box.upper, corners.amax(0), rtol=0, atol=slack)
    assert (box.lower >= torch.minimum(n[0], h[0]) - slack).all()


def test_cells_of_torch_reject_what_torch_rejects():
    x, h = boxes(2, 3), numbers(1, 2)
    for cell in (torch.gru_cell, torch.rnn_tanh_cell):
        rows = 6 if cell is torch.gru_cell else 2
        with pytest.raises(RuntimeError):
            cell(x, h, numbers(rows, 3), numbers(rows, 2))


# --- layers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"bidirectional": True, "num_layers": 2}, {"bias": False, "batch_first": True}]
)
@each_layer
def test_layers_keep_their_contract(name, options):
    """Boxes for input, initial states and weights at once; gradients reach all of them."""
    layer = LAYERS[name](3, 4, **options)
    names, values = zip(*layer.named_parameters(), strict=True)

    def run(x, hx, *weights):
        layer.to(weights[0].dtype)
        return functional_call(layer, dict(zip(names, weights, strict=True)), (x, hx))

    stacked = 4 if options.get("bidirectional") else 1
    states = [boxes(stacked, 2, 2 if "proj" in name else 4, seed=1), boxes(stacked, 2, 4, seed=2)]
    hx = states[0] if "LSTM" not in name else tuple(states)
    weights = [IntervalTensor.from_ball(w.detach(), 0.01) for w in values]
    check_op(run, boxes(2, 2, 3, radius=0.1), hx, *weights, samples=8)


@each_layer
def test_gradients_reach_parameters(name):
    layer = LAYERS[name](3, 4, num_layers=2, bidirectional=True)
    output, _ = layer(boxes(3, 2, 3))
    output.width.sum().backward()
    assert all(bool(w.grad.abs().sum() > 0) for n, w in layer.named_parameters() if not n.startswith("bias_hh"))


@each_layer
def test_unbatched(name):
    layer, x = LAYERS[name](3, 4, bidirectional=True).double(), boxes(5, 3).double()
    result = layer(x)
    for point in sample_points(x, 8):
        assert_encloses(result, layer(point))


@each_layer
def test_dropout_between_layers_is_one_draw(name):
    layer, x = LAYERS[name](3, 4, num_layers=3, dropout=0.5, batch_first=True).double(), boxes(4, 5, 3).double()
    torch.manual_seed(1)
    result = layer(x)
    for point in sample_points(x, 8):
        torch.manual_seed(1)
        assert_encloses(result, layer(point))
    layer.eval()
    assert_encloses(layer(x), layer(x.center))


@each_layer
def test_no_batch_and_no_steps(name):
    layer = LAYERS[name](3, 4)
    output, _ = layer(boxes(2, 0, 3))
    assert output.shape == (2, 0, 2 if "proj" in name else 4)
    for x in (boxes(0, 2, 3), torch.zeros(0, 2, 3)):
        with pytest.raises(RuntimeError, match="sequence length to be larger than 0"):
            layer(x)


@pytest.mark.parametrize("mode", ["nearest", "outward"])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_values_stay_within_one(name, mode):
    """Gates lie in [0, 1] and tanh in [-1, 1], whatever the input."""
    x = IntervalTensor(torch.full((3, 1, 3), -torch.inf), torch.full((3, 1, 3), torch.inf))
    with it.rounding(mode):
        output, _ = LAYERS[name](3, 4)(x)
    assert (output.lower >= -1).all() and (output.upper <= 1).all()


@each_layer
def test_bounds_can_be_exported(name):
    layer, x = LAYERS[name](3, 4, num_layers=2, batch_first=True), boxes(2, 5, 3)

    class Bounds(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, lower, upper):
            output, _ = self.layer(IntervalTensor._wrap(it.Box(lower, upper)))
            return output.lower, output.upper

    exported = torch.export.export(Bounds(), (x.lower, x.upper), strict=False).module()
    expected = layer(x)[0]
    assert all(map(torch.equal, exported(x.lower, x.upper), (expected.lower, expected.upper)))


# --- packed sequences -------------------------------------------------------------------------------------------------

LENGTHS = {"sorted": ([5, 3, 2], True), "unsorted": ([2, 5, 5], False), "equal": ([5, 5, 5], True)}


@pytest.mark.parametrize("mode", ["nearest", "outward"])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("lengths", LENGTHS)
@each_layer
def test_packed_sequences(name, lengths, batch_first, mode):
    """The box stays a box inside; states of sequences that have ended are those at their end."""
    layer = LAYERS[name](3, 4, num_layers=2, bidirectional=True, batch_first=batch_first)
    ends, is_sorted = torch.tensor(LENGTHS[lengths][0]), LENGTHS[lengths][1]

    def run(x):
        packed = pack_padded_sequence(x, ends, batch_first=batch_first, enforce_sorted=is_sorted)
        output, state = layer.to(x.dtype)(packed)
        assert type(output.data) is type(x)
        padded, sizes = pad_packed_sequence(output, batch_first=batch_first, padding_value=0.1, total_length=7)
        assert sizes.tolist() == ends.tolist()
        return padded, state

    x = boxes(*((3, 5, 3) if batch_first else (5, 3, 3)))
    x = x if mode == "outward" else x.double()
    with it.rounding(mode):
        result = run(x)
    for point in sample_points(x, 8):
        assert_encloses(result, run(point.double()))


def test_a_padding_value_is_its_exact_self():
    x = boxes(5, 2, 3)
    with it.rounding("outward"):
        padded, _ = pad_packed_sequence(pack_padded_sequence(x, [5, 3]), padding_value=0.1)
        beside = pad_sequence([x[:, 0], x[:3, 1]], padding_value=0.1)
    for box in (padded, beside):
        assert (box.lower[3:, 1].double() < 0.1).all() and (box.upper[3:, 1].double() > 0.1).all()


def test_packing_keeps_entries_and_gradients():
    x = boxes(5, 2, 3)
    lower = x.lower.requires_grad_()
    x = IntervalTensor(lower, x.upper)
    packed = pack_sequence([x[:3, 0], numbers(2, 3)])
    assert isinstance(packed.data, IntervalTensor) and packed.data.shape == (5, 3)
    first, second = unpack_sequence(packed)
    assert torch.equal(first.upper, x.upper[:3, 0]) and not second.width.any()
    first.lower.sum().backward()
    assert lower.grad.sum() == 9
    for batch_first, side in itertools.product((True, False), ("left", "right")):
        padded = pad_sequence([x[:3, 0], x[:, 1]], batch_first, padding_side=side)
        expected = pad_sequence([x.upper[:3, 0], x.upper[:, 1]], batch_first, padding_side=side)
        assert torch.equal(padded.upper, expected)


# --- tightness --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "limit"), [("RNN", 1 + 1e-9), ("LSTM", 1.5), ("GRU", 1.3)])
def test_width_of_one_step(name, limit):
    """Against what the corners of a small box span: a plain step is the hull, gates lose what they share."""
    layer, x = LAYERS[name](4, 8).double(), IntervalTensor.from_ball(torch.randn(1, 4).double(), 0.05)
    corners = torch.stack([torch.tensor(corner) for corner in itertools.product(*zip(x.lower[0], x.upper[0]))])
    with torch.no_grad():
        values, width = layer(corners[None])[0][0], layer(x)[0].width[0]
    ratio = width / (values.amax(0) - values.amin(0))
    assert ratio.min() >= 1 - 1e-9
    assert ratio.median() < limit, ratio


def test_gru_is_narrower_than_its_formula():
    """Which reads z twice: wider wherever the signs of n and h let both ends of z count."""
    layer, x, h = nn.GRUCell(4, 8), boxes(2, 4), boxes(2, 8, seed=1)
    x_r, x_z, x_n = torch.nn.functional.linear(x, layer.weight_ih, layer.bias_ih).chunk(3, -1)
    h_r, h_z, h_n = torch.nn.functional.linear(h, layer.weight_hh, layer.bias_hh).chunk(3, -1)
    z, n = torch.sigmoid(x_z + h_z), torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    composed, cell = (1 - z) * n + z * h, layer(x, h)
    assert cell.issubset(composed).all()
    assert (cell.width < 0.9 * composed.width).any()
