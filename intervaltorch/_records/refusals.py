"""Functions that are refused on purpose, grouped by the reason. Messages, tests and docs read this table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..errors import EscapeError, IntervalError, UnsupportedOpError
from .registry import bare_name, spelled

__all__ = ["GROUPS", "RAW_VALUES", "Group", "refusal"]


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Functions that are refused for one reason.

    Attributes:
        title: the name of the group.
        reason: why no box is returned, as a clause after "because".
        instead: the remedy.
        functions: their bare names, separated by spaces; the full name if the bare name has other meanings.
        particular: more specific remedies for some functions, by their names.
        error: the class of the error.
    """

    title: str
    reason: str
    instead: str
    functions: str
    particular: Mapping[str, str] = dataclasses.field(default_factory=dict)
    error: type[IntervalError] = UnsupportedOpError

    def advice(self) -> dict[str, str]:
        """The remedy for each function, by its bare name."""
        lines = {self.functions: self.instead, **self.particular}
        return {name: instead for names, instead in lines.items() for name in names.split()}


RAW_VALUES = Group(
    "Raw values",
    "one number, array or pointer would keep one bound and silently drop the other",
    "take a bound: Y.lower and Y.upper are plain tensors (so is Y.center, but it is one point and no bound)",
    "__array__ __complex__ __dlpack__ __dlpack_device__ __cuda_array_interface__ numpy data_ptr const_data_ptr"
    " storage untyped_storage _typed_storage",
    {"__contains__": "X.contains(value) says which entries contain it; (X == value).any() compares entries"},
    EscapeError,
)

GROUPS = (
    RAW_VALUES,
    Group(
        "Answers that are not unique, or jump",
        "a factorisation or a basis is a choice among many, and a small change of the matrix may change it entirely",
        "bound a value that does not depend on the choice: torch.linalg.solve, inv, det, eigvalsh, svdvals or a norm",
        "eig eigvals geqrf orgqr ormqr householder_product qr ldl_factor ldl_factor_ex ldl_solve",
        {
            "lu lu_factor lu_factor_ex lu_solve lu_unpack _lu_with_info": "use torch.linalg.solve(A, B), inv(A) or"
            " det(A), which have verified rules",
            "lstsq pinv pinverse": "where A has full column rank, torch.linalg.solve(A.mT @ A, A.mT @ B) is the same in"
            " real numbers",
            "svd_lowrank pca_lowrank": "torch.linalg.svdvals(A) bounds all singular values",
            "lobpcg": "torch.linalg.eigvalsh(A) bounds all eigenvalues of a symmetric matrix",
        },
    ),
    Group(
        "Roots and factors of matrices",
        "they come from an eigendecomposition, whose vectors have no bound of their own",
        "torch.linalg.eigvalsh(A).sqrt() bounds the eigenvalues of a root, svdvals(A) those of the symmetric factor",
        "torch.linalg.matrix_sqrth torch.linalg.polar",
    ),
    Group(
        "Results whose size or content counts values",
        "the number of values that are equal, or that fall into a bin, jumps where two values meet",
        "compare or sort values instead: torch.sort, torch.searchsorted, torch.bucketize; a count is a sum of"
        " comparisons, torch.where((x > a) & (x < b), 1.0, 0.0).sum()",
        "unique unique_consecutive unique_dim unique_dim_consecutive _unique _unique2 mode histc histogram histogramdd",
    ),
    Group(
        "Random numbers of a distribution that varies",
        "a draw jumps with its parameters, so no box around one draw says anything about another",
        "draw outside, from plain parameters, and pass the draw in as an argument: the bounds then hold for that draw;"
        " or bound a function that does not draw, such as log_prob, mean and kl_divergence",
        "poisson binomial multinomial _standard_gamma _sample_dirichlet",
        {
            "fractional_max_pool2d fractional_max_pool2d_with_indices": "pooling over random windows has no rule, even"
            " if _random_samples are given: use max_pool2d or adaptive_max_pool2d",
            "fractional_max_pool3d fractional_max_pool3d_with_indices": "pooling over random windows has no rule, even"
            " if _random_samples are given: use max_pool3d or adaptive_max_pool3d",
        },
    ),
    Group(
        "Functions of integers and of bits",
        "they take integers or the bits of a number, but a box holds an interval of real numbers",
        "keep integers in plain tensors; torch.ldexp(x, n) shifts a box by powers of two",
        "__lshift__ __rshift__ __ilshift__ __irshift__ __rlshift__ __rrshift__ bitwise_left_shift bitwise_left_shift_"
        " bitwise_right_shift bitwise_right_shift_ gcd gcd_ lcm lcm_ hash_tensor one_hot unravel_index",
        {
            "sym_max sym_min": "torch.maximum and torch.minimum take boxes",
        },
    ),
    Group(
        "Quantised tensors",
        "a quantised tensor stores integers and a scale, but a box holds an interval of real numbers",
        "bound the model before it is converted, with torch.fake_quantize_per_tensor_affine in place of quantisation",
        "quantize_per_tensor quantize_per_tensor_dynamic quantize_per_channel dequantize int_repr q_scale"
        " q_zero_point q_per_channel_scales q_per_channel_zero_points q_per_channel_axis qscheme"
        " quantized_batch_norm quantized_gru_cell quantized_lstm_cell quantized_max_pool1d quantized_max_pool2d"
        " quantized_max_pool3d quantized_rnn_relu_cell quantized_rnn_tanh_cell choose_qparams_optimized"
        " fbgemm_linear_fp16_weight fbgemm_linear_fp16_weight_fp32_activation fbgemm_linear_int8_weight"
        " fbgemm_linear_int8_weight_fp32_activation fbgemm_linear_quantize_weight fbgemm_pack_gemm_matrix_fp16"
        " fbgemm_pack_quantized_matrix",
        {
            "fused_moving_avg_obs_fake_quant": "disable the observer and use torch.fake_quantize_per_tensor_affine",
        },
    ),
    Group(
        "Sparse and other layouts",
        "both bounds of a box are dense (strided) tensors",
        "keep the box dense; a plain sparse matrix A may multiply a box, A @ X; for other functions use A.to_dense()",
        "to_sparse sparse_mask sparse_resize_ sparse_resize_and_clear_ resize_as_sparse_ coalesce is_coalesced"
        " _coalesced_ _to_dense indices indices_copy values values_copy _indices _values _nnz _dimI _dimV crow_indices"
        " crow_indices_copy col_indices col_indices_copy ccol_indices ccol_indices_copy row_indices row_indices_copy"
        " smm hspmm hsmm saddmm sspaddmm _sparse_mm _sparse_addmm _sparse_sum _sparse_softmax _sparse_log_softmax"
        " native_norm _sparse_mask_projection to_mkldnn _nested_tensor_size"
        " _nested_tensor_strides _nested_tensor_storage_offsets",
        {
            "_nested_tensor_from_tensor_list _nested_view_from_buffer _nested_view_from_buffer_copy"
            " _nested_view_from_jagged _nested_view_from_jagged_copy": "keep boxes of several lengths in a list, or pad"
            " them to one length with torch.nn.utils.rnn.pad_sequence and mask the padding",
        },
    ),
    Group(
        "Kernels of one backend",
        "torch calls them on certain devices only, and they do not run on a box",
        "call the function that torch has for every device, such as conv2d, batch_norm or lstm",
        "miopen_batch_norm miopen_convolution miopen_convolution_add_relu miopen_convolution_relu"
        " miopen_convolution_transpose miopen_depthwise_convolution miopen_rnn",
        {
            "batch_norm_stats batch_norm_elemt batch_norm_update_stats batch_norm_gather_stats"
            " batch_norm_gather_stats_with_counts batch_norm_backward_elemt batch_norm_backward_reduce": "it is a step"
            " of SyncBatchNorm in training: call model.eval() first, or use torch.nn.functional.batch_norm",
        },
    ),
    Group(
        "Memory",
        "a box is two tensors and not one block of memory",
        "work on the bounds, X.lower and X.upper, which are plain tensors",
        "is_set_to __setstate__ storage_type record_stream apply_ map_ map2_",
        {
            "as_strided as_strided_ as_strided_copy": "use x.unfold(...), x.diagonal(...), x.expand(...) or an index:"
            " they do not depend on the layout in memory",
            "as_strided_scatter": "use torch.slice_scatter, select_scatter or index_put",
            "set_": "use x = y, or x.copy_(y) to write values",
            "embedding_renorm_": "max_norm rescales rows in place: rescale the box of weights before the call",
        },
    ),
    Group(
        "Shape in place",
        "the shape of a box cannot change",
        "assign the result of the out-of-place operation",
        "",
        {
            "unsqueeze_": "use x = x.unsqueeze(dim)",
            "squeeze_": "use x = x.squeeze(dim)",
            "transpose_": "use x = x.transpose(dim0, dim1)",
            "swapaxes_": "use x = x.swapaxes(axis0, axis1)",
            "swapdims_": "use x = x.swapdims(dim0, dim1)",
            "t_": "use x = x.t()",
            "resize resize_": "use x = x.reshape(size), or torch.nn.functional.pad(x, ...) to make room",
            "resize_as resize_as_": "use x = x.reshape_as(other)",
        },
    ),
    Group(
        "Gradients of a box",
        "a box has two values, and gradients belong to its bounds",
        "differentiate a bound: Y.lower.sum().backward() or Y.upper.sum().backward()",
        "backward",
        {
            "torch.autograd.grad": "differentiate a bound: torch.autograd.grad(Y.lower.sum(), [X.lower, X.upper])",
            "register_hook register_post_accumulate_grad_hook": "register the hook on Y.lower or on Y.upper",
        },
        EscapeError,
    ),
)
"""All groups of refused functions."""

_REFUSED = {
    name.rpartition(".")[2]: (name, group, instead) for group in GROUPS for name, instead in group.advice().items()
}


def refusal(function: Any) -> tuple[Group, str] | None:
    """Return why a function of torch is refused on purpose and what to do instead; None if it is not."""
    found = _REFUSED.get(bare_name(function))
    if found is None:
        return None
    name, group, instead = found
    of_torch = spelled(function).startswith(name if "." in name else ("torch.", "aten."))
    return (group, instead) if of_torch else None
