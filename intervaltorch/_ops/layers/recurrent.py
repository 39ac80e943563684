r"""Recurrent layers and their cells: `RNN`, `LSTM`, `GRU`, padded and packed.

The gates are sigmoids, so they lie in [0, 1]. So the products of a cell are monotone.

*LSTM*, $c' = f c + i g$ and $h' = o \tanh c'$. A gate times x increases in x, so each extreme is the product of one end
of x with one end of the gate.

*GRU*, $h' = (1 - z) n + z h$. This is increasing in n and in h, and linear in z. So the greatest value has
$n = \overline n$, $h = \overline h$ and $z = \overline z$ if $\overline h > \overline n$, else $z = \underline z$. That
is the hull for independent z, n and h. Composed rules would read z twice.

Each rule is the hull of one cell over the boxes of its gates. The gates of a step share their inputs, and steps share
their states; these dependencies are lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ... import _rounding as rounding
from ..._records.registry import EVERYTHING, Box
from ..._rounding import untracked
from ..._theorems.boxes import as_box, both, lower_of, map_boxes, ordered, unbounded, upper_of
from ..._theorems.families import rule
from ..._theorems.infinite_ends import smooth
from ..._theorems.operands import operand, widened
from ..elementwise.activations import relu
from ..elementwise.arithmetic import add
from ..elementwise.elementary import sigmoid, tanh
from ..linear.affine import linear
from . import programs
from .dropout import dropout as drop

State = list[Box]  # the hidden state, and the cell state of an LSTM
Step = Callable[[Box, State, Any, Any, Any], State]

# --- cells ------------------------------------------------------------------------------------------------------------
# A step takes the contribution W x + b of the input to the gates, the state, and the state's own weight, bias and
# projection. It returns the new state.


def _tanh_step(x: Box, state: State, weight: Any, bias: Any, projection: Any) -> State:
    """A step of an RNN with tanh."""
    return [tanh(add(x, linear(state[0], weight, bias)))]


def _relu_step(x: Box, state: State, weight: Any, bias: Any, projection: Any) -> State:
    """A step of an RNN with ReLU."""
    return [relu(add(x, linear(state[0], weight, bias)))]


def _lstm_step(x: Box, state: State, weight: Any, bias: Any, projection: Any) -> State:
    """A step of an LSTM, whose state is hidden state and cell state."""
    gates = add(x, linear(state[0], weight, bias))
    i, f, _, o = both(torch.chunk, sigmoid(gates), 4, -1)  # one call costs less than three
    g = tanh(both(torch.chunk, gates, 4, -1)[2])
    cell = add(_gated(f, state[1]), _gated(i, g))
    hidden = _gated(o, tanh(cell))
    return [hidden if projection is None else linear(hidden, projection), cell]


def _gru_step(x: Box, state: State, weight: Any, bias: Any, projection: Any) -> State:
    """A step of a GRU."""
    size = state[0].lower.shape[-1]
    x_gates, x_n = both(torch.split, x, [2 * size, size], -1)
    h_gates, h_n = both(torch.split, linear(state[0], weight, bias), [2 * size, size], -1)
    r, z = both(torch.chunk, sigmoid(add(x_gates, h_gates)), 2, -1)
    return [_between(z, tanh(add(x_n, _gated(r, h_n))), state[0])]


@smooth
def _gated(gate: Box, x: Box) -> Box:
    """The hull of gate·x for a gate in [0, 1]: increasing in x, and between 0 and x."""
    lower = torch.minimum(gate.lower * x.lower, gate.upper * x.lower)
    upper = torch.maximum(gate.lower * x.upper, gate.upper * x.upper)
    return _within(widened(unbounded(lower, upper)), x.lower.clamp(max=0), x.upper.clamp(min=0))


def _within(box: Box, least: Tensor, greatest: Tensor) -> Box:
    """Cut fresh bounds that were widened to a range that contains every value."""
    if rounding.outward():
        untracked(box.lower).clamp_(min=least.detach())
        untracked(box.upper).clamp_(max=greatest.detach())
    return box


@smooth
def _between(z: Box, n: Box, h: Box) -> Box:
    """The hull of (1 - z) n + z h for z in [0, 1]; see the top of this file.

    Rounding: 1 - z, its product with n, and z h together err by at most 2u max(|n|, |h|), and their sum by
    u of itself. A weighted mean lies between the two values.
    """
    at_least = torch.where(h.lower < n.lower, z.upper, z.lower)
    at_most = torch.where(h.upper > n.upper, z.upper, z.lower)
    lower = (1 - at_least) * n.lower + at_least * h.lower
    upper = (1 - at_most) * n.upper + at_most * h.upper
    box = unbounded(lower, upper)
    if not rounding.outward():
        return ordered(*box)
    with torch.no_grad():
        sizes = [torch.maximum(a.abs(), b.abs()) for a, b in zip(n, h, strict=True)]
        least, greatest = torch.minimum(n.lower, h.lower), torch.maximum(n.upper, h.upper)
    box = widened(box, rounding.ieee_budget(0.5, input=1), at=(sizes[0], sizes[1]))
    return _within(box, least, greatest)


def _register_cell(name: str, step: Step) -> None:
    """Register a cell, such as `torch.lstm_cell`."""
    function: Any = getattr(torch, name)

    def enclose(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
        """The hull over the boxes of the gates. That the gates share input and state is lost."""
        state = [as_box(x) for x in hx] if isinstance(hx, (tuple, list)) else [as_box(hx)]
        if as_box(input).lower.shape[:-1] != state[0].lower.shape[:-1]:
            function(*map_boxes(lower_of, (input, hx, w_ih, w_hh, b_ih, b_hh)))  # raises torch's own error
        new = step(linear(input, w_ih, b_ih), state, w_hh, b_hh, None)
        return new[0] if len(new) == 1 else tuple(new)

    kind = name.removesuffix("_cell")
    rule(name, formula=_FORMULAS[kind], parts=programs.cell(programs.STEPS[kind]), **_RECORD)(enclose)


# --- layers -----------------------------------------------------------------------------------------------------------


def _sweep(step: Step, x: Box, sizes: list[int], state: State, own: tuple, reverse: bool) -> tuple[Box, State]:
    """Run one direction of one layer. Sequences are sorted, the longest first.

    A sequence that has ended (or, in reverse, not yet begun) keeps its state.

    Args:
        step: the cell.
        x: the contributions of the inputs to the gates, `(sum(sizes), gates)`.
        sizes: how many sequences take part in each step.
        state: initial states, `(sizes[0], features)` each.
        own: weight, bias and projection of the state.
        reverse: whether to begin with the last step.
    """
    inputs = both(torch.split, x, sizes)
    outputs: list[Any] = [None] * len(sizes)
    for position in reversed(range(len(sizes))) if reverse else range(len(sizes)):
        rows = sizes[position]
        if rows == state[0].lower.shape[0]:
            state = step(inputs[position], state, *own)
            outputs[position] = state[0]
            continue
        new = step(inputs[position], [both(torch.narrow, s, 0, 0, rows) for s in state], *own)
        outputs[position] = new[0]
        state = [_joined([n, both(_beyond, s, rows)], 0) for n, s in zip(new, state, strict=True)]
    return _joined(outputs, 0), state


def _beyond(x: Tensor, rows: int) -> Tensor:
    """The rows after the first ones."""
    return x[rows:]


def _joined(boxes: list[Box], dim: int) -> Box:
    """Boxes side by side along one dimension."""
    return both(torch.cat, boxes, dim)


def _layers(
    step: Step, x: Box, sizes: list[int], initial: list[Box], params: Any, has_biases: bool, num_layers: int,
    dropout: float, train: bool, bidirectional: bool,
) -> tuple[Box, list[Box]]:  # fmt: skip
    """Run all layers.

    Returns:
        The outputs, `(sum(sizes), features)`, and the final states, stacked as the initial ones.
    """
    directions = 2 if bidirectional else 1
    each = len(params) // (num_layers * directions)  # two weights, two biases if any, a projection if any
    states = list(zip(*(both(torch.unbind, s, 0) for s in initial), strict=True))
    final: list[State] = []
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            index = layer * directions + direction
            w_ih, w_hh, *rest = params[index * each : (index + 1) * each]
            b_ih, b_hh = rest[:2] if has_biases else (None, None)
            own = w_hh, b_hh, rest[-1] if each % 2 else None
            output, state = _sweep(step, linear(x, w_ih, b_ih), sizes, list(states[index]), own, direction == 1)
            outputs.append(output)
            final.append(state)
        x = outputs[0] if directions == 1 else _joined(outputs, -1)
        if layer < num_layers - 1:
            x = drop(x, dropout, train)
    return x, [both(torch.stack, [state[k] for state in final]) for k in range(len(initial))]


def _register_layer(name: str, step: Step) -> None:
    """Register a recurrent layer, such as `torch.lstm`, for padded and for packed sequences."""

    def run(rows: Any, sizes: list[int], hx: Any, params: Any, *settings: Any, **named: Any) -> tuple:
        states = [as_box(x) for x in hx] if isinstance(hx, (tuple, list)) else [as_box(hx)]
        output, final = _layers(step, as_box(rows), sizes, states, params, *settings, **named)
        return output, *final

    def packed(data: Any, batch_sizes: Tensor, hx: Any, params: Any, *settings: Any, **named: Any) -> tuple:
        return run(data, batch_sizes.tolist(), hx, params, *settings, **named)

    def padded(
        input: Any, hx: Any, params: Any, has_biases: bool, num_layers: int, dropout: float, train: bool,
        bidirectional: bool, batch_first: bool,
    ) -> tuple:  # fmt: skip
        x = both(torch.transpose, as_box(input), 0, 1) if batch_first else as_box(input)
        steps, batch = x.lower.shape[:2]
        if not steps:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        settings = has_biases, num_layers, dropout, train, bidirectional
        output, *final = run(both(torch.flatten, x, 0, 1), [batch] * steps, hx, params, *settings)
        output = both(torch.unflatten, output, 0, (steps, batch))
        return both(torch.transpose, output, 0, 1) if batch_first else output, *final

    def enclose(*args: Any, **kwargs: Any) -> tuple:
        """The hull of each cell over the boxes of its gates. That steps and layers share states is lost."""
        is_packed = "batch_sizes" in kwargs or (len(args) > 3 and isinstance(args[3], (tuple, list)))
        return (packed if is_packed else padded)(*args, **kwargs)

    rule(name, formula=_FORMULAS[name], parts=programs.layer(programs.STEPS[name]), **_RECORD)(enclose)


_RECORD: dict[str, Any] = {"family": "recurrent", "proven": True, "sharp": False}
_FORMULAS = {
    "rnn_tanh": r"\tanh(W x + b + V h)",
    "rnn_relu": r"\max(W x + b + V h, 0)",
    "lstm": r"o \tanh(f c + i g)",
    "gru": r"(1 - z) n + z h",
}
for _name, _step in zip(_FORMULAS, (_tanh_step, _relu_step, _lstm_step, _gru_step), strict=True):
    _register_layer(_name, _step)
    _register_cell(f"{_name}_cell", _step)

# --- packed sequences -------------------------------------------------------------------------------------------------


@rule(
    "_pack_padded_sequence", formula="x", family="structural", affine_in=EVERYTHING, budget=rounding.EXACT, proven=True
)
def pack_padded_sequence(input: Box, lengths: Tensor, batch_first: bool) -> tuple[Box, Tensor]:
    """The entries before the end of each sequence, step by step."""
    (lower, sizes), (upper, _) = (torch.ops.aten._pack_padded_sequence(end, lengths, batch_first) for end in input)
    return Box(lower, upper), sizes


@rule("_pad_packed_sequence", formula="x", family="structural", affine_in=EVERYTHING, proven=True)
def pad_packed_sequence(
    data: Box, batch_sizes: Tensor, batch_first: bool, padding_value: Any, total_length: int
) -> tuple[Box, Tensor]:  # fmt: skip
    """The inverse of `pack_padded_sequence`. A padding value that the dtype cannot hold becomes an interval."""
    ends = zip(data, operand(padding_value, data), strict=True)
    (lower, lengths), (upper, _) = (
        torch.ops.aten._pad_packed_sequence(end, batch_sizes, batch_first, float(value), total_length)
        for end, value in ends
    )
    return Box(lower, upper), lengths


@rule("pad_sequence", formula="x", family="structural", affine_in=EVERYTHING, proven=True)
def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Box:  # fmt: skip
    """Sequences of several lengths side by side. The padding value is treated as in `pad_packed_sequence`."""
    pad = torch.ops.aten.pad_sequence
    given = list(sequences)
    ends = operand(padding_value, given[0])
    lower, upper = (
        pad(map_boxes(pick, given), batch_first, float(value), padding_side)
        for pick, value in zip((lower_of, upper_of), ends, strict=True)
    )
    return Box(lower, upper)
