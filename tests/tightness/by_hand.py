"""Calls of the ops that torch has no samples for, and the ops of which there is nothing to measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from intervaltorch import IntervalTensor, Op, _compat
from tests.boxes import box

aten, private = torch.ops.aten, torch._C._nn


def number(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def ball(*shape: int, radius: float = 0.2, seed: int = 0) -> IntervalTensor:
    return IntervalTensor.from_ball(number(*shape, seed=seed), radius)


def disc(*shape: int) -> IntervalTensor:
    """A rectangle of complex numbers."""
    return torch.complex(ball(*shape), ball(*shape, seed=1))


def matrix(n: int, radius: float = 0.1) -> IntervalTensor:
    """A box of regular matrices."""
    return IntervalTensor.from_ball(number(n, n) + 6 * torch.eye(n, dtype=torch.float64), radius)


def symmetric(n: int) -> IntervalTensor:
    return IntervalTensor.from_ball(torch.diag(torch.arange(1.0, n + 1).double()), 0.1)


def write(x: Any, index: Any, value: Any) -> Any:
    x[index] = value
    return x


def quantize(x: Any) -> Any:
    scale, zero = torch.tensor([0.1, 0.3]), torch.tensor([0, 1], dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(x, scale, zero, 0, -8, 7)


WINDOW = torch.hann_window(6).double()
BITS = (IntervalTensor(torch.tensor([False, False, True]), torch.tensor([True, False, True])), torch.tensor(True))
INDEX = torch.tensor([0, 2])

CALLS: list[tuple[Any, Callable[..., Any], tuple, dict[str, Any]]] = [
    # the spelling by which the op is found, what is called, its arguments
    *((f, f, BITS, {}) for f in (torch.bitwise_and, torch.bitwise_or, torch.bitwise_xor)),
    (torch.bitwise_not, torch.bitwise_not, BITS[:1], {}),
    (torch.dropout, torch.dropout, (ball(4), 0.5, False), {}),
    (torch.alpha_dropout, torch.alpha_dropout, (ball(4), 0.5, False), {}),
    (torch.feature_alpha_dropout, torch.feature_alpha_dropout, (ball(1, 4), 0.5, False), {}),
    (aten._fft_r2c, torch.fft.rfft, (ball(5),), {}),
    (aten._fft_c2c, torch.fft.fft, (disc(4),), {}),
    (aten._fft_c2r, torch.fft.irfft, (disc(4),), {}),
    (torch.functional.stft, torch.stft, (ball(12), 6, None, None, WINDOW), {"return_complex": True}),
    (_compat.stft_kernel, _compat.stft_kernel, (ball(12), 6, None, None, WINDOW), {"return_complex": True}),
    (torch.istft, torch.istft, (disc(3, 4), 4), {"window": torch.ones(4).double()}),
    (torch.igamma, torch.igamma, (box([0.5, 1.0, 3.0], [0.7, 2.0, 3.0]), box([0.1, 1.0, 2.0], [0.3, 4.0, 2.5])), {}),
    (torch.igammac, torch.igammac, (box([0.5, 1.0, 3.0], [0.7, 2.0, 3.0]), box([0.1, 1.0, 2.0], [0.3, 4.0, 2.5])), {}),
    (torch.nextafter, torch.nextafter, (ball(4), number(4)), {}),
    (torch.Tensor.__setitem__, write, (ball(3, 2), INDEX, ball(2, 2)), {}),
    (torch.embedding_bag, torch.embedding_bag, (ball(4, 3), torch.tensor([0, 2, 1, 3]), INDEX), {}),
    (torch.where, torch.where, (torch.tensor([True, False, True]), ball(3), ball(3, seed=1)), {}),
    (torch.logspace, torch.logspace, (box(0.1, 0.3), box(1.0, 1.5), 4), {"dtype": torch.float64}),
    (torch.Tensor.where, torch.Tensor.where, (ball(3), torch.tensor([True, False, True]), ball(3, seed=1)), {}),
    (torch.grid_sampler, torch.grid_sampler, (ball(1, 1, 3, 3), 0.5 * number(1, 2, 2, 2).tanh(), 0, 0, False), {}),
    (aten._linalg_det, torch.linalg.det, (matrix(3),), {}),
    (aten._linalg_slogdet, torch.linalg.slogdet, (matrix(3),), {}),
    (aten._linalg_solve_ex, torch.linalg.solve, (matrix(3), ball(3)), {}),
    (aten._linalg_eigh, torch.linalg.eigvalsh, (symmetric(3),), {}),
    (aten._linalg_svd, torch.linalg.svdvals, (matrix(3),), {}),
    (torch.vander, torch.vander, (ball(3), 3), {}),
    (torch.ctc_loss, torch.ctc_loss, (ball(3, 1, 3), torch.tensor([[1, 2]]), (3,), (2,)), {}),
    (torch.fake_quantize_per_tensor_affine, torch.fake_quantize_per_tensor_affine, (ball(4), 0.1, 1, -8, 7), {}),
    (torch.fake_quantize_per_channel_affine, quantize, (ball(2, 3),), {}),
    (torch.kl_div, torch.kl_div, (ball(3), box([0.0, 0.1, 0.4], [0.2, 0.9, 0.4]), 0), {}),
    (torch.kl_div, torch.kl_div, (ball(4), ball(4, seed=1), 1), {"log_target": True}),
    (torch.poisson_nll_loss, torch.poisson_nll_loss, (ball(4), ball(4, seed=1), True, False, 1e-8, 0), {}),
    (torch.poisson_nll_loss, torch.poisson_nll_loss, (ball(3), box(1.1, 1.8), True, True, 1e-8, 0), {}),
    (torch.batch_norm, torch.batch_norm, (ball(3, 2), number(2), number(2), None, None, True, 0.1, 1e-3, False), {}),
    (torch.Tensor.__rpow__, torch.Tensor.__rpow__, (ball(4), 2.5), {}),
    (torch.special.zeta, torch.special.zeta, (box([1.5, 2.0], [2.5, 3.0]), box([1.0, 0.2], [1.5, 0.9])), {}),
    (aten._conj, torch.conj, (disc(3),), {}),
    (torch.imag, torch.imag, (disc(3),), {}),
    (torch.Tensor.imag.__get__, torch.Tensor.imag.__get__, (disc(3),), {}),
    (torch.view_as_real, torch.view_as_real, (disc(3),), {}),
    (torch.view_as_real_copy, torch.view_as_real_copy, (disc(3),), {}),
    (torch.view_as_complex_copy, torch.view_as_complex_copy, (ball(3, 2),), {}),
    (torch.detach_, torch.detach_, (ball(3),), {}),
    (private.im2col, private.im2col, (ball(1, 1, 3, 3), [2, 2], [1, 1], [0, 0], [1, 1]), {}),
]  # fmt: skip

FAMILIES_WITHOUT = {
    "metadata": "says nothing of values",
    "random": "draws its values: the box is where they may lie",
    "refused": "refused",
}
INDICES = ("argmax", "argmin", "argsort", "bucketize", "searchsorted", "argwhere", "nonzero", "nonzero_static")
NOTHING = dict.fromkeys(INDICES, "an index") | {
    "_local_scalar_dense": "a Python number",
    "is_nonzero": "a Python answer",
    "equal": "a Python answer",
    "allclose": "a Python answer",
    "_is_all_true": "one answer",
    "_is_any_true": "one answer",
    "_assert_async": "a check",
    "isreal": "the same for every point",
    **dict.fromkeys(("cuda", "pin_memory", "ipu", "mtia", "xpu"), "needs other hardware"),
    "new_tensor": "makes a tensor from data",
    "type": "a dtype in, a string out",
    "slice_inverse": "its tensors share memory that a box does not have",
}  # fmt: skip
NOTHING["bernoulli"] = FAMILIES_WITHOUT["random"]
NOTHING |= dict.fromkeys(("int", "long", "short"), "refused for boxes that vary")
NOTHING |= dict.fromkeys(("empty_like", "new", "new_empty", "new_empty_strided"), "unset memory")


def unmeasured(op: Op) -> str:
    """Why there is nothing to measure; the empty string if there is."""
    return FAMILIES_WITHOUT.get(op.family) or NOTHING.get(op.name, "")


def calls_by_hand(op: Op) -> Iterator[tuple[Callable[..., Any], tuple, dict[str, Any]]]:
    """The calls of an op above."""
    functions = [spelling.function for spelling in op.spellings]
    for spelling, function, args, kwargs in CALLS:
        if spelling in functions:
            yield function, args, kwargs
