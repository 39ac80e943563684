"""Functions that neither have one argument nor appear among torch's samples: private spellings, ATen names, properties.

With `test_contract.py` and `test_op_samples.py` they make up the whole table, which the last test checks: registering
an op without testing it fails.
"""

import warnings
from fractions import Fraction
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch.testing._internal.common_methods_invocations import op_db

from intervaltorch import IntervalTensor, UnsupportedOpError, rounding, testing
from intervaltorch._records.registry import OPS
from tests import boxes
from tests.boxes import seeded_ball
from tests.table import BUILT_IN, UNARY

aten, private = torch.ops.aten, torch._C._nn


ball = partial(seeded_ball, salt=sum)


def plain(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1 + sum(shape)))


box = partial(boxes.box, dtype=None)


WEIGHTS = [plain(2, 3), plain(2, 2), plain(2), plain(2)]

CASES = [
    (aten.convolution, (ball(1, 2, 4, 4), plain(3, 2, 2, 2), plain(3), [1, 1], [0, 0], [1, 1], False, [0, 0], 1)),
    (aten.convolution, (ball(1, 2, 4, 4), plain(2, 3, 2, 2), None, [2, 1], [0, 0], [1, 1], True, [1, 0], 1)),
    (torch.Tensor.__rfloordiv__, (box([1.5, -3.0], [1.9, -2.5]), 5.0)),
    (F.scaled_dot_product_attention, (ball(1, 3, 4), ball(1, 3, 4), ball(1, 3, 4))),
    (aten.scaled_dot_product_attention, (ball(1, 3, 4), plain(1, 3, 4), plain(1, 3, 4))),
    (
        aten._scaled_dot_product_flash_attention_for_cpu,
        (ball(1, 1, 3, 4), plain(1, 1, 5, 4), ball(1, 1, 5, 4), 0.0, True),
    ),
    (aten._scaled_dot_product_attention_math, (ball(1, 3, 4), ball(1, 3, 4), ball(1, 3, 4))),
    (aten._softmax, (ball(2, 3), -1, False)),
    (aten._log_softmax, (ball(2, 3), -1, False)),
    (aten._safe_softmax, (ball(2, 3), -1)),
    (aten._unsafe_index_put, (ball(4, 3), [torch.tensor([0, 2])], ball(2, 3))),
    (aten._unsafe_index_put, (ball(4, 3), [torch.tensor([0, 0])], plain(2, 3), True)),
    (aten.copy, (ball(2, 3), ball(3))),
    (aten.copy, (plain(2, 3), ball(3))),
    (torch.Tensor.fill_diagonal_, (ball(3, 3), 0.5)),
    (torch.Tensor.__getitem__, (ball(3, 3), (slice(1, None), [0, 2]))),
    (torch.Tensor.__getitem__, (ball(3), torch.tensor([True, False, True]))),
    (aten.index, (ball(3, 3), [None, torch.tensor([2, 0])])),
    (private.upsample_linear1d, (ball(1, 2, 3), [5], True)),
    (private.upsample_bilinear2d, (ball(1, 2, 3, 3), [5, 4], False)),
    (private.upsample_bicubic2d, (ball(1, 2, 3, 3), [5, 4], False)),
    (private._upsample_bicubic2d_aa, (ball(1, 1, 6, 6), [3, 4], False)),
    (private.upsample_trilinear3d, (ball(1, 1, 2, 2, 3), [3, 4, 4], False)),
    (private.upsample_nearest1d, (ball(1, 2, 3), [5])),
    (private.upsample_nearest2d, (ball(1, 2, 3, 3), [5, 4])),
    (private.upsample_nearest3d, (ball(1, 1, 2, 2, 3), [3, 4, 4])),
    (private._upsample_nearest_exact1d, (ball(1, 2, 3), [5])),
    (private._upsample_nearest_exact2d, (ball(1, 2, 3, 3), [5, 4])),
    (private._upsample_nearest_exact3d, (ball(1, 1, 2, 2, 3), [3, 4, 4])),
    (private.reflection_pad1d, (ball(1, 2, 3), [1, 2])),
    (private.reflection_pad2d, (ball(1, 1, 3, 3), [1, 2, 0, 1])),
    (private.reflection_pad3d, (ball(1, 1, 2, 3, 3), [1, 2, 0, 1, 1, 1])),
    (private.replication_pad1d, (ball(1, 2, 3), [1, 2])),
    (private.replication_pad2d, (ball(1, 1, 3, 3), [1, 2, 0, 1])),
    (private.replication_pad3d, (ball(1, 1, 2, 3, 3), [1, 2, 0, 1, 1, 1])),
    (private._pad_circular, (ball(1, 1, 3, 3), [1, 2, 0, 1])),
    (torch.native_channel_shuffle, (ball(1, 4, 2, 2), 2)),
    (private.binary_cross_entropy, (box([0.2, 0.5], [0.3, 0.9]), torch.tensor([0.0, 0.7]), None, 1)),
    (aten.binary_cross_entropy, (box([0.2, 0.5], [0.3, 0.9]), torch.tensor([0.0, 0.7]), None, 2)),
    (private.huber_loss, (ball(3), plain(3), 1, 0.5)),
    (private.smooth_l1_loss, (ball(3), ball(3), 2, 0.5)),
    (aten._native_batch_norm_legit_no_training, (ball(3, 2), plain(2), plain(2), plain(2), plain(2).abs(), 0.1, 1e-3)),
    (torch.instance_norm, (ball(2, 3, 4), plain(3), plain(3), None, None, True, 0.1, 1e-5, False)),
    (F.adaptive_max_pool1d_with_indices, (ball(1, 2, 5), 2)),
    (F.adaptive_max_pool2d_with_indices, (ball(1, 2, 4, 5), 2)),
    (F.adaptive_max_pool3d_with_indices, (ball(1, 1, 2, 4, 3), 2)),
    (F.max_pool1d_with_indices, (ball(1, 2, 5), 2)),
    (F.max_pool2d_with_indices, (ball(1, 2, 4, 5), 2, 1)),
    (F.max_pool3d_with_indices, (ball(1, 1, 2, 4, 3), 2, 1)),
    (private.col2im, (ball(1, 4, 9), [4, 4], [2, 2], [1, 1], [0, 0], [1, 1])),
    (F.rrelu, (ball(4),)),
    (F.dropout, (ball(4), 0.5, False)),
    (F.alpha_dropout, (ball(4), 0.5, False)),
    (F.feature_alpha_dropout, (ball(1, 4), 0.5, False)),
    (torch.feature_dropout, (ball(1, 4), 0.5, False)),
    (torch.native_dropout, (ball(4), 0.5, False)),
    (torch.rnn_tanh, (ball(2, 2, 3), plain(1, 2, 2), WEIGHTS[:2], False, 1, 0.0, False, False, False)),
    (torch.rnn_relu, (ball(2, 2, 3), plain(1, 2, 2), WEIGHTS[:2], False, 1, 0.0, False, False, True)),
    (torch.gru, (ball(2, 2, 3), ball(1, 2, 2), [plain(6, 3), ball(6, 2)], False, 1, 0.0, False, False, False)),
    (
        torch.gru,
        (ball(3, 3), torch.tensor([2, 1]), ball(1, 2, 2), [plain(6, 3), plain(6, 2)], False, 1, 0.0, False, False),
    ),
    (
        torch.lstm,
        (
            ball(2, 2, 3),
            [ball(1, 2, 2), plain(1, 2, 2)],
            [plain(8, 3), plain(8, 2)],
            False,
            1,
            0.0,
            False,
            False,
            False,
        ),
    ),
    (torch.rnn_tanh_cell, (ball(2, 3), ball(2, 2), *WEIGHTS)),
    (torch.rnn_relu_cell, (ball(2, 3), ball(2, 2), *WEIGHTS)),
    (torch.gru_cell, (ball(2, 3), ball(2, 2), plain(6, 3), plain(6, 2))),
    (torch.lstm_cell, (ball(2, 3), [ball(2, 2), ball(2, 2)], plain(8, 3), plain(8, 2))),
    (torch._pack_padded_sequence, (ball(4, 2, 3), torch.tensor([4, 2]), False)),
    (torch._pad_packed_sequence, (ball(5, 3), torch.tensor([2, 2, 1]), True, 0.5, 4)),
    (private.pad_sequence, ([ball(4, 3), plain(2, 3)], True, 0.5)),
    (private.multilabel_margin_loss, (ball(2, 4), torch.tensor([[1, 3, -1, 0], [0, -1, -1, -1]]), 2)),
    (aten.multilabel_margin_loss_forward, (ball(2, 4), torch.tensor([[1, 3, -1, 0], [0, -1, -1, -1]]), 0)),
    (aten._to_copy, (ball(3),)),
    (aten._reshape_alias, (ball(2, 3), [3, 2], [2, 1])),
    (aten._reshape_alias_copy, (ball(2, 3), [3, 2], [2, 1])),
    (aten._unsafe_view, (ball(2, 3), [3, 2])),
    (aten.alias, (ball(3),)),
    (aten._conj_physical, (ball(3),)),
    (aten.detach, (ball(3),)),
    (aten.detach_copy, (ball(3),)),
    (torch.Tensor.detach_, (ball(3),)),
    (aten.lift_fresh, (ball(3),)),
    (aten.lift_fresh_copy, (ball(3),)),
    (aten.select_copy, (ball(2, 3), 1, 0)),
    (aten.slice_copy, (ball(2, 3), 1, 0, 2)),
    (aten.split_copy, (ball(2, 3), 1)),
    (torch.unsafe_split_with_sizes, (ball(2, 3), [1, 1])),
    (aten.embedding, (ball(4, 3), torch.tensor([0, 2]))),
    (torch.concat, ([ball(2, 3), plain(2, 3)],)),
    (torch.concatenate, ([ball(2, 3), plain(2, 3)], 1)),
    (torch.row_stack, ([ball(3), plain(3)],)),
    (torch.adjoint, (ball(2, 3),)),
    (torch.moveaxis, (ball(2, 3), 0, 1)),
    (torch.swapaxes, (ball(2, 3), 0, 1)),
    (torch.swapdims, (ball(2, 3), 0, 1)),
    (torch.Tensor.T.__get__, (ball(2, 3),)),
    (torch.Tensor.H.__get__, (ball(2, 3),)),
    (torch.Tensor.mT.__get__, (ball(2, 3),)),
    (torch.Tensor.mH.__get__, (ball(2, 3),)),
    (torch.Tensor.real.__get__, (ball(2, 3),)),
    (torch.Tensor.cpu, (ball(2, 3),)),
    (torch.Tensor.type_as, (ball(2, 3), plain(1))),
    (torch.conv_tbc, (ball(4, 2, 3), plain(2, 3, 2), plain(2), 1)),
    (torch.conv_tbc, (plain(4, 2, 3), ball(2, 3, 2), ball(2))),
    (aten.conv_tbc, (ball(4, 2, 3), ball(2, 3, 2), ball(2), 1)),
    (torch.bincount, (torch.tensor([0, 2, 2]), ball(3), 5)),
    (torch.Tensor.bincount, (torch.tensor([3, 3, 0]), ball(3))),
]

ELSEWHERE = {
    "_fft_r2c": "the kernel of torch.fft, which torch's samples go through: tests/ops/linear/test_fourier.py",
    "_fft_c2c": "the same",
    "_fft_c2r": "the same",
    "_conj": "of complex numbers only: tests/theorems/test_complex.py",
    "istft": "tests/ops/linear/test_fourier.py",
    "_linalg_det": "the kernel of torch.linalg.det: tests/ops/linalg/test_solving.py",
    "_linalg_slogdet": "the kernel of torch.linalg.slogdet: tests/ops/linalg/test_solving.py",
    "_linalg_solve_ex": "the kernel of torch.linalg.solve: tests/ops/linalg/test_solving.py",
    "_linalg_eigh": "the kernel of torch.linalg.eigvalsh: tests/ops/linalg/test_solving.py",
    "_linalg_svd": "the kernel of torch.linalg.svdvals: tests/ops/linalg/test_solving.py",
    "view_as_complex_copy": "below",
    "view_as_real_copy": "below",
    "__setitem__": "tests of writing by index",
    "_is_all_true": "a check: tests/patterns/test_distributions.py",
    "_is_any_true": "the same",
    "_assert_async": "the same",
    "new": "room of a size: tests/patterns/test_distributions.py",
    "_local_scalar_dense": "a question with a Python answer: tests/tensor/test_control_flow.py",
    "is_nonzero": "a question with a Python answer: tests/tensor/test_control_flow.py",
    "slice_inverse": "its tensors share memory that a box does not have",
    "new_tensor": "makes a tensor from data",
    "cuda": "needs a GPU",
    "pin_memory": "needs a GPU",
    "fake_quantize_per_tensor_affine": "computed in float32 whatever is quantised: below",
    "fake_quantize_per_channel_affine": "the same",
    "xpu": "needs a device of that kind",
    "ipu": "the same",
    "mtia": "the same",
    "type": "a dtype in, a string out: tests of conversions",
}


def title(case):
    owner = getattr(getattr(case, "__self__", None), "__name__", "")
    return f"{owner}{getattr(case, '__name__', '')}" if callable(case) else ""


@pytest.mark.parametrize("function, inputs", CASES, ids=title)
def test_contract(function, inputs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        testing.check_sound(function, *inputs)
        testing.check_result(function, *inputs)
        testing.check_nested(function, *inputs)


def test_copies_of_complex_views():
    pairs = ball(3, 2)
    numbers = torch.view_as_complex_copy(pairs)
    assert torch.equal(numbers.lower, torch.view_as_complex(pairs.lower))
    assert torch.equal(numbers.upper, torch.view_as_complex(pairs.upper))
    back = torch.view_as_real_copy(numbers)
    assert torch.equal(back.lower, pairs.lower) and torch.equal(back.upper, pairs.upper)


def quantize_tensor(x):
    return torch.fake_quantize_per_tensor_affine(x, 0.03, 7, 0, 15)


def quantize_channels(x):
    scales, zeros = torch.tensor([0.02, 0.3]), torch.tensor([3, 0], dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(x, scales, zeros, 0, 0, 15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mode", ["nearest", "outward"])
@pytest.mark.parametrize("quantize", [quantize_tensor, quantize_channels])
def test_staircases(quantize, mode, dtype):
    x = ball(2, 3).to(dtype)
    with rounding(mode):
        boxes = quantize(x)
    for point in (x.lower, x.upper, *(x.lower + torch.rand(2, 3, dtype=dtype) * x.width for _ in range(100))):
        assert boxes.contains(quantize(point)).all()
    for check in (testing.check_result, testing.check_nested, testing.check_unbounded):
        check(quantize, x)


def test_staircases_have_the_gradient_of_torch_and_fixed_scales():
    x = box([[-1.0, 0.1], [1.0, 1.0]], [[1.0, 0.2], [9.0, 99.0]]).requires_grad_()
    quantize_channels(x).lower.sum().backward()
    assert x.lower.grad.tolist() == [[0, 1], [1, 1]]
    with pytest.raises(UnsupportedOpError, match="scale or zero point that is a box"):
        torch.fake_quantize_per_tensor_affine(ball(2), box(0.1, 0.2), torch.tensor(0), 0, 15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_staircases_contain_the_exact_value_at_their_edges(dtype):
    edges = torch.cat([(torch.arange(-12, 12, dtype=dtype) + 0.5) * scale for scale in (0.1, 1 / 3)])
    x = torch.cat([edges, *(edges.nextafter(torch.full_like(edges, end)) for end in (-9, 9))])
    for scale in (0.1, 1 / 3, 0.007):
        step = Fraction(torch.tensor(scale).item())
        with rounding("outward"):
            box = torch.fake_quantize_per_tensor_affine(IntervalTensor.point(x), scale, 7, 0, 15)
        for value, lower, upper in zip(x.tolist(), box.lower.tolist(), box.upper.tolist(), strict=True):
            exact = step * (min(max(round(Fraction(value) / step) + 7, 0), 15) - 7)
            assert lower <= exact <= upper


def test_a_convolution_along_the_first_dimension_rounds_as_one_along_the_last():
    x, weight, bias = IntervalTensor.point(plain(9, 2, 50)), plain(4, 50, 3), plain(3)
    with rounding("outward"):
        first = torch.conv_tbc(x, weight, bias, 1)
        last = F.conv1d(x.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=1).permute(2, 0, 1)
    torch.testing.assert_close(first.width, last.width, rtol=0.05, atol=0)
    assert bool((first.lower <= last.upper).all() & (last.lower <= first.upper).all())


def test_every_op_of_the_table_is_tested():
    """Each op is elementwise in one argument, among torch's samples, above, or listed with the place of its tests."""
    tested = {function for function, _ in CASES}
    for info in op_db:
        variants = (info.op, info.method_variant, info.inplace_variant, getattr(aten, info.aten_name or "", None))
        tested.update(variant for variant in variants if isinstance(variant, type(torch.relu)) or variant in OPS)
    named = {info.name.rpartition(".")[2] for info in op_db} | {function.__name__ for function, _ in CASES}
    for op in BUILT_IN:
        known = op in UNARY or op.name in named or op.name in ELSEWHERE or op.family in ("metadata", "random")
        assert known or any(spelling.function in tested for spelling in op.spellings), f"nothing tests {op.name}"
