"""Functions as programs of functions that have lines.

Each program computes what its function computes, in real arithmetic. A program may answer `NotImplemented` for
arguments that it does not take; the function's result is then known by its box alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from .._records.registry import Box
from .._rounding import outward
from .._tensor.interval import IntervalTensor

__all__ = ["PARTS"]

PARTS: dict[str, Callable[..., Any]] = {}


def parts(*names: str) -> Callable[[Any], Any]:
    """Enter a program under the names of the functions that it computes."""

    def enter(program: Any) -> Any:
        PARTS.update(dict.fromkeys(names, program))
        return program

    return enter


# --- quotients and selections -----------------------------------------------------------------------------------------


@parts("div")
def _div(input: Any, other: Any, *, rounding_mode: Any = None) -> Any:
    return NotImplemented if rounding_mode else input * torch.reciprocal(other)


@parts("__rdiv__")
def _rdiv(input: Any, other: Any) -> Any:
    return other * torch.reciprocal(input)


@parts("addcdiv")
def _addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    return input + value * (tensor1 / tensor2)


@parts("maximum", "fmax")
def _maximum(input: Any, other: Any) -> Any:
    return input + torch.relu(other - input)


@parts("minimum", "fmin")
def _minimum(input: Any, other: Any) -> Any:
    return input - torch.relu(input - other)


@parts("clamp")
def _clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    input = input if min is None else torch.maximum(input, torch.as_tensor(min))
    return input if max is None else torch.minimum(input, torch.as_tensor(max))


@parts("lerp")
def _lerp(input: Any, end: Any, weight: Any) -> Any:
    return input + weight * (end - input)


@parts("hypot")
def _hypot(input: Any, other: Any) -> Any:
    return torch.sqrt(torch.square(input) + torch.square(other))


@parts("logaddexp")
def _logaddexp(input: Any, other: Any) -> Any:
    return input + F.softplus(other - input, threshold=1e4)


@parts("amin")
def _amin(input: Any, dim: Any = (), keepdim: bool = False) -> Any:
    return -torch.amax(-input, dim, keepdim)


# --- activations ------------------------------------------------------------------------------------------------------


@parts("glu")
def _glu(input: Any, dim: int = -1) -> Any:
    value, gate = input.chunk(2, dim)
    return value * torch.sigmoid(gate)


@parts("softshrink")
def _softshrink(input: Any, lambd: float = 0.5) -> Any:
    return input - input.clamp(-lambd, lambd)


@parts("prelu")
def _prelu(input: Any, weight: Any) -> Any:
    shape = [1, -1, *[1] * (input.ndim - 2)] if weight.numel() > 1 and input.ndim > 1 else [-1]
    return torch.relu(input) - weight.reshape(shape) * torch.relu(-input)


# --- softmax ----------------------------------------------------------------------------------------------------------


def _shifted(input: Any, dim: Any) -> tuple[Any, Any, Any]:
    """Subtract a constant that keeps exponentials moderate; masked entries, which are -inf, become 0.

    Returns:
        The shifted input, the constant, and which entries are not masked (1 or 0).
    """
    allowed = input.upper.detach() > -math.inf
    top = input.upper.detach().amax(dim, keepdim=True)
    top = torch.where(top.isfinite(), top, 0.0)
    if not bool(allowed.all()):
        input = torch.where(allowed, input, top)
    return input - top, top, allowed.to(top.dtype)


def _log_sum(shifted: Any, allowed: Any, dim: Any) -> Any:
    return torch.log((torch.exp(shifted) * allowed).sum(dim, keepdim=True))


@parts("log_softmax", "_log_softmax")
def log_softmax(input: Any, dim: int, *_: Any, **__: Any) -> Any:
    shifted, _top, allowed = _shifted(input, dim)
    if not bool(allowed.all()):
        return NotImplemented
    return shifted - _log_sum(shifted, allowed, dim)


@parts("softmax", "_softmax", "_safe_softmax")
def softmax(input: Any, dim: int, *_: Any, **__: Any) -> Any:
    shifted, _top, allowed = _shifted(input, dim)
    return torch.exp(shifted - _log_sum(shifted, allowed, dim)) * allowed


@parts("logsumexp")
def _logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Any:
    shifted, top, allowed = _shifted(input, dim)
    total = _log_sum(shifted, allowed, dim) + top
    return total if keepdim else torch.squeeze(total, dim)


def _inverse_root(n: int) -> Any:
    """The number 1/√n; in outward rounding a box that contains it, unless it is a power of two."""
    computed = 1 / math.sqrt(n)
    if not outward() or (math.frexp(computed)[0] == 0.5 and computed * computed * n == 1):
        return computed
    x = torch.tensor(float(n), dtype=torch.float64)
    return torch.rsqrt(IntervalTensor._wrap(Box(x, x)))


@parts("scaled_dot_product_attention")
def _attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    *, scale: Any = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    if dropout_p or enable_gqa:
        return NotImplemented
    scores = (query * (_inverse_root(query.shape[-1]) if scale is None else scale)) @ key.transpose(-2, -1)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        attn_mask = torch.where(attn_mask, 0.0, -math.inf)
    scores = scores if attn_mask is None else scores + attn_mask
    return softmax(scores, -1) @ value


# --- moments and norms ------------------------------------------------------------------------------------------------


def _mean_square(x: Any, dims: Any) -> Any:
    return torch.square(x).mean(dims, keepdim=True)


def _standardised(x: Any, dims: Any, eps: float) -> Any:
    centred = x - x.mean(dims, keepdim=True)
    return centred * torch.rsqrt(_mean_square(centred, dims) + eps)


def _scaled(y: Any, weight: Any, bias: Any) -> Any:
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


@parts("layer_norm")
def _layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any
) -> Any:
    return _scaled(_standardised(input, tuple(range(-len(normalized_shape), 0)), eps), weight, bias)


def _by_channel(x: Any, ndim: int) -> Any:
    return x if x is None else x.reshape(1, -1, *[1] * (ndim - 2))


@parts("batch_norm")
def _batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False,
    eps: float = 1e-5, **_: Any,
) -> Any:  # fmt: skip
    mean, var, weight, bias = (_by_channel(x, input.ndim) for x in (running_mean, running_var, weight, bias))
    if not training and mean is not None:
        return _scaled((input - mean) * torch.rsqrt(var + eps), weight, bias)
    dims = [d for d in range(input.ndim) if d != 1]
    return _scaled(_standardised(input, dims, eps), weight, bias)


@parts("instance_norm")
def _instance_norm(
    input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
    use_input_stats: bool = True, eps: float = 1e-5, **_: Any,
) -> Any:  # fmt: skip
    if input.ndim < 3:
        return NotImplemented
    mean, var, weight, bias = (_by_channel(x, input.ndim) for x in (running_mean, running_var, weight, bias))
    if not use_input_stats:
        return _scaled((input - mean) * torch.rsqrt(var + eps), weight, bias)
    return _scaled(_standardised(input, list(range(2, input.ndim)), eps), weight, bias)


@parts("group_norm")
def _group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any) -> Any:
    grouped = input.reshape(input.shape[0], num_groups, -1)
    y = _standardised(grouped, -1, eps).reshape(input.shape)
    shape = [1, -1, *[1] * (input.ndim - 2)]
    return _scaled(y, *(p if p is None else p.reshape(shape) for p in (weight, bias)))


@parts("rms_norm")
def _rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Any:
    dims = tuple(range(-len(normalized_shape), 0))
    eps = torch.finfo(input.dtype).eps if eps is None else eps
    return _scaled(input * torch.rsqrt(_mean_square(input, dims) + eps), weight, None)


@parts("var")
def _var(input: Any, dim: Any = None, unbiased: Any = True, keepdim: bool = False, *, correction: Any = None) -> Any:
    if isinstance(dim, bool):
        return NotImplemented
    dims = tuple(range(input.ndim)) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    correction = (1 if unbiased else 0) if correction is None else correction
    count = math.prod(input.shape[d] for d in dims)
    if count <= correction:
        return NotImplemented
    centred = input - input.mean(dims, keepdim=True)
    return torch.square(centred).sum(dims, keepdim=keepdim) / (count - correction)


@parts("std")
def _std(*args: Any, **kwargs: Any) -> Any:
    found = _var(*args, **kwargs)
    return found if found is NotImplemented else torch.sqrt(found)


@parts("linalg_vector_norm")
def _vector_norm(x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    dims = tuple(range(x.ndim)) if dim is None else dim
    if ord == 1 and dtype is None:
        return x.abs().sum(dims, keepdim=keepdim)
    if ord == 2 and dtype is None:
        return torch.sqrt(torch.square(x).sum(dims, keepdim=keepdim))
    if ord == math.inf and dtype is None:
        return x.abs().amax(dims, keepdim=keepdim)
    return NotImplemented


@parts("normalize")
def _normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None) -> Any:
    if p != 2 or out is not None:
        return NotImplemented
    return input * torch.reciprocal(torch.sqrt(torch.square(input).sum(dim, keepdim=True)).clamp(min=eps))


@parts("cosine_similarity")
def _cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    if outward():  # the square of eps is rounded
        return NotImplemented
    norms = (torch.square(x).sum(dim, keepdim=True).clamp(min=eps * eps) for x in (x1, x2))
    y1, y2 = (x * torch.rsqrt(norm) for x, norm in zip((x1, x2), norms))
    return (y1 * y2).sum(dim)


# --- pooling ----------------------------------------------------------------------------------------------------------


def _max_pool(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
              ceil_mode: bool = False, return_indices: bool = False) -> Any:  # fmt: skip
    """The largest entry of each window, the padding being a number below all entries."""

    def pair(x: Any, n: int) -> list[int]:
        return [x] * n if isinstance(x, int) else list(x) * (n if len(x) == 1 else 1)

    n = 1 if isinstance(kernel_size, int) else len(kernel_size)
    n = max(n, len(padding) if not isinstance(padding, int) else 1)
    if ceil_mode or return_indices:
        return NotImplemented
    n = max(n, input.ndim - 2) if input.ndim > 2 else n
    kernel, pads, gaps = (pair(x, n) for x in (kernel_size, padding, dilation))
    steps = kernel if stride is None or stride == [] else pair(stride, n)
    if any(gap != 1 for gap in gaps):
        return NotImplemented
    if any(pads):
        least = float(input.lower.detach().amin()) - 1
        input = F.pad(input, [p for pad in reversed(pads) for p in (pad, pad)], value=least)
    for size, step in zip(kernel, steps):
        input = input.unfold(input.ndim - n, size, step)
    return torch.amax(input, tuple(range(-n, 0)))


parts("max_pool1d", "max_pool2d", "max_pool3d")(_max_pool)


# --- losses -----------------------------------------------------------------------------------------------------------


@parts("binary_cross_entropy_with_logits")
def _logistic_loss(input: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: Any = 1) -> Any:
    if reduction not in (0, 1, 2) or pos_weight is not None or weight is not None:
        return NotImplemented
    return _reduced(F.softplus(input, threshold=1e4) - input * target, reduction)


@parts("huber_loss")
def _huber(input: Any, target: Any, reduction: Any = 1, delta: float = 1.0) -> Any:
    if reduction not in (0, 1, 2):
        return NotImplemented
    size = (input - target).abs()
    near = size.clamp(max=delta)
    return _reduced(0.5 * torch.square(near) + delta * (size - near), reduction)


@parts("smooth_l1_loss")
def _smooth_l1(input: Any, target: Any, reduction: Any = 1, beta: float = 1.0) -> Any:
    if beta <= 0:
        return NotImplemented
    loss = _huber(input, target, reduction, beta)
    return loss if loss is NotImplemented else loss / beta


@parts("binary_cross_entropy")
def _binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: Any = 1) -> Any:
    if reduction not in (0, 1, 2) or weight is not None:
        return NotImplemented
    logs = (torch.log(x).clamp(min=-100) for x in (input, 1 - input))
    yes, no = logs
    return _reduced(-(target * yes + (1 - target) * no), reduction)


@parts("poisson_nll_loss")
def _poisson(input: Any, target: Any, log_input: Any, full: Any, eps: float, reduction: Any) -> Any:
    if full or reduction not in (0, 1, 2):
        return NotImplemented
    loss = torch.exp(input) - target * input if log_input else input - target * torch.log(input + eps)
    return _reduced(loss, reduction)


@parts("gaussian_nll_loss")
def _gaussian(input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: Any = "mean") -> Any:
    kinds = {"none": 0, "mean": 1, "sum": 2}
    if full or reduction not in kinds or not torch.is_tensor(var):
        return NotImplemented
    var = var.clamp(min=eps)
    loss = 0.5 * (torch.log(var) + torch.square(input - target) * torch.reciprocal(var))
    return _reduced(loss, kinds[reduction])


def _reduced(loss: Any, reduction: int) -> Any:
    return (loss, loss.mean(), loss.sum())[reduction] if reduction else loss


# --- recurrent layers -------------------------------------------------------------------------------------------------


def _lstm_step(x: Any, state: Any, w: Any, b: Any) -> Any:
    i, f, g, o = (x + F.linear(state[0], w, b)).chunk(4, -1)
    cell = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def _gru_step(x: Any, state: Any, w: Any, b: Any) -> Any:
    x_r, x_z, x_n = x.chunk(3, -1)
    h_r, h_z, h_n = F.linear(state[0], w, b).chunk(3, -1)
    n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    return (n + torch.sigmoid(x_z + h_z) * (state[0] - n),)


def _tanh_step(x: Any, state: Any, w: Any, b: Any) -> Any:
    return (torch.tanh(x + F.linear(state[0], w, b)),)


def _relu_step(x: Any, state: Any, w: Any, b: Any) -> Any:
    return (torch.relu(x + F.linear(state[0], w, b)),)


def _cell(step: Any) -> Any:
    def program(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
        state = tuple(hx) if isinstance(hx, (tuple, list)) else (hx,)
        new = step(F.linear(input, w_ih, b_ih), state, w_hh, b_hh)
        return new if isinstance(hx, (tuple, list)) else new[0]

    return program


def _layer(step: Any) -> Any:
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


for _name, _step in (("lstm", _lstm_step), ("gru", _gru_step), ("rnn_tanh", _tanh_step), ("rnn_relu", _relu_step)):
    PARTS[f"{_name}_cell"] = _cell(_step)
    PARTS[_name] = _layer(_step)
