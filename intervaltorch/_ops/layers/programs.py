"""Layers as programs of functions that have lines, for `Op.parts`.

Each program computes the function of its name in real arithmetic. It returns `NotImplemented` for arguments that it
does not take.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from ..._rounding import outward
from ..reductions.programs import log_sum, shift_down


def log_softmax(input: Any, dim: int, *_: Any, **__: Any) -> Any:
    """Compute x - log Σ e^x, for rows without masked entries."""
    shifted, _top, allowed = shift_down(input, dim)
    if not bool(allowed.all()):
        return NotImplemented
    return shifted - log_sum(shifted, allowed, dim)


def softmax(input: Any, dim: int, *_: Any, **__: Any) -> Any:
    """The exponential of the log-softmax; 0 for masked entries."""
    shifted, _top, allowed = shift_down(input, dim)
    return torch.exp(shifted - log_sum(shifted, allowed, dim)) * allowed


def _inverse_root(query: Any) -> Any:
    """The number 1/√n for vectors of n entries; in outward rounding a box around it, unless it is a power of two."""
    n = query.shape[-1]
    computed = 1 / math.sqrt(n)
    if not outward() or (math.frexp(computed)[0] == 0.5 and computed * computed * n == 1):
        return computed
    return torch.rsqrt(query.new_full((), float(n), dtype=torch.float64))


def attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    *, scale: Any = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    """The softmax of the scaled scores, times the values; without dropout and grouped queries."""
    if dropout_p or enable_gqa:
        return NotImplemented
    scores = (query * (_inverse_root(query) if scale is None else scale)) @ key.transpose(-2, -1)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        attn_mask = torch.where(attn_mask, 0.0, -math.inf)
    scores = scores if attn_mask is None else scores + attn_mask
    return softmax(scores, -1) @ value


def _mean_square(x: Any, dims: Any) -> Any:
    """The mean of the squares."""
    return torch.square(x).mean(dims, keepdim=True)


def _standardised(x: Any, dims: Any, eps: float) -> Any:
    """Deviations from the mean, divided by the root of their mean square plus eps."""
    centred = x - x.mean(dims, keepdim=True)
    return centred * torch.rsqrt(_mean_square(centred, dims) + eps)


def _scaled(y: Any, weight: Any, bias: Any) -> Any:
    """Apply a weight and a bias."""
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any
) -> Any:
    """Standardise over the last dimensions, then apply weight and bias."""
    return _scaled(_standardised(input, tuple(range(-len(normalized_shape), 0)), eps), weight, bias)


def _by_channel(x: Any, ndim: int) -> Any:
    """Shape a parameter with one value for each channel for broadcasting."""
    return x if x is None else x.reshape(1, -1, *[1] * (ndim - 2))


def batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False,
    eps: float = 1e-5, **_: Any,
) -> Any:  # fmt: skip
    """Normalise by running statistics or by those of the batch, then apply weight and bias."""
    mean, var, weight, bias = (_by_channel(x, input.ndim) for x in (running_mean, running_var, weight, bias))
    if not training and mean is not None:
        return _scaled((input - mean) * torch.rsqrt(var + eps), weight, bias)
    dims = [d for d in range(input.ndim) if d != 1]
    return _scaled(_standardised(input, dims, eps), weight, bias)


def instance_norm(
    input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
    use_input_stats: bool = True, eps: float = 1e-5, **_: Any,
) -> Any:  # fmt: skip
    """Normalise each channel of each sample, or by running statistics; then apply weight and bias."""
    if input.ndim < 3:
        return NotImplemented
    mean, var, weight, bias = (_by_channel(x, input.ndim) for x in (running_mean, running_var, weight, bias))
    if not use_input_stats:
        return _scaled((input - mean) * torch.rsqrt(var + eps), weight, bias)
    return _scaled(_standardised(input, list(range(2, input.ndim)), eps), weight, bias)


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any) -> Any:
    """Standardise each group of channels, then apply weight and bias."""
    grouped = input.reshape(input.shape[0], num_groups, -1)
    y = _standardised(grouped, -1, eps).reshape(input.shape)
    shape = [1, -1, *[1] * (input.ndim - 2)]
    return _scaled(y, *(p if p is None else p.reshape(shape) for p in (weight, bias)))


def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Any:
    """The input divided by the root of its mean square plus eps, times the weight."""
    dims = tuple(range(-len(normalized_shape), 0))
    eps = torch.finfo(input.dtype).eps if eps is None else eps
    return _scaled(input * torch.rsqrt(_mean_square(input, dims) + eps), weight, None)


def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None) -> Any:
    """The input divided by its Euclidean norm, which is cut at eps."""
    if p != 2 or out is not None:
        return NotImplemented
    return input * torch.reciprocal(torch.sqrt(torch.square(input).sum(dim, keepdim=True)).clamp(min=eps))


def lstm_step(x: Any, state: Any, w: Any, b: Any) -> Any:
    """A step of an LSTM."""
    i, f, g, o = (x + F.linear(state[0], w, b)).chunk(4, -1)
    cell = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def gru_step(x: Any, state: Any, w: Any, b: Any) -> Any:
    """A step of a GRU, as n + z (h - n), so that z occurs once."""
    x_r, x_z, x_n = x.chunk(3, -1)
    h_r, h_z, h_n = F.linear(state[0], w, b).chunk(3, -1)
    n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    return (n + torch.sigmoid(x_z + h_z) * (state[0] - n),)


def tanh_step(x: Any, state: Any, w: Any, b: Any) -> Any:
    """A step of an RNN with tanh."""
    return (torch.tanh(x + F.linear(state[0], w, b)),)


def relu_step(x: Any, state: Any, w: Any, b: Any) -> Any:
    """A step of an RNN with ReLU."""
    return (torch.relu(x + F.linear(state[0], w, b)),)


def cell(step: Any) -> Any:
    """Make the program of a cell from its step."""

    def program(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
        state = tuple(hx) if isinstance(hx, (tuple, list)) else (hx,)
        new = step(F.linear(input, w_ih, b_ih), state, w_hh, b_hh)
        return new if isinstance(hx, (tuple, list)) else new[0]

    return program


def layer(step: Any) -> Any:
    """Make the program of a recurrent layer from its step, for padded sequences without dropout and projection."""

    def program(
        input: Any, hx: Any, params: Any, has_biases: Any, num_layers: Any, dropout: float, train: bool,
        bidirectional: bool, batch_first: bool = False,
    ) -> Any:  # fmt: skip
        if not isinstance(has_biases, bool) or (dropout and train):
            return NotImplemented
        directions = 2 if bidirectional else 1
        each = len(params) // (num_layers * directions)
        if each != (4 if has_biases else 2):
            return NotImplemented
        several = isinstance(hx, (tuple, list))
        states = list(zip(*(h.unbind(0) for h in (hx if several else (hx,)))))
        x, final = (input.transpose(0, 1) if batch_first else input), []
        for layer in range(num_layers):
            outputs = []
            for direction in range(directions):
                index = layer * directions + direction
                w_ih, w_hh, *biases = params[index * each : (index + 1) * each]
                b_ih, b_hh = biases or (None, None)
                steps = F.linear(x, w_ih, b_ih).unbind(0)
                state, found = states[index], []
                for at in reversed(steps) if direction else steps:
                    state = step(at, state, w_hh, b_hh)
                    found.append(state[0])
                outputs.append(torch.stack(found[::-1] if direction else found))
                final.append(state)
            x = outputs[0] if directions == 1 else torch.cat(outputs, -1)
        last = [torch.stack([state[k] for state in final]) for k in range(len(states[0]))]
        return (x.transpose(0, 1) if batch_first else x, *last)

    return program


STEPS: dict[str, Callable[..., Any]] = {
    "rnn_tanh": tanh_step, "rnn_relu": relu_step, "lstm": lstm_step, "gru": gru_step,
}  # fmt: skip
