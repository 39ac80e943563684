"""Arguments for functions of torch, by bare or by full name: for all that have no rule of their own, and some that do.

A call is a tuple of plain arguments, with a dictionary of keyword arguments last if there are any. Tests make boxes of
the floating tensors among them.
"""

import copy

import torch
from torch.overrides import resolve_name

_GENERATOR = torch.Generator().manual_seed(0)


def normal(*shape):
    return torch.randn(*shape, generator=_GENERATOR)


x = torch.tensor([0.3, -0.7, 1.2, 0.6])
y = torch.tensor([0.5, 0.25, -1.5, 2.0])
p = torch.tensor([0.2, 0.5, 0.7, 0.9])
one = torch.tensor(0.5)
square = torch.tensor([[2.0, 0.3, -0.1], [0.2, 1.5, 0.4], [-0.3, 0.1, 1.8]])
spd = square @ square.T
tall = normal(4, 3)
wide = normal(3, 4)
column = normal(3, 1)
pairs = normal(3, 2)
batch = normal(2, 3, 4)
image = normal(1, 2, 4, 4)
volume = normal(1, 1, 4, 4, 4)
signal = normal(16)
labels = torch.tensor([0, 2, 1])
counts = torch.tensor([1, 2, 0, 3])
signs = torch.tensor([1.0, -1.0, 1.0, 1.0])
pivots = torch.tensor([1, 2, 3], dtype=torch.int32)
zeros = torch.zeros(3)
ones = torch.ones(3)
mask = torch.tensor([True, False, True, True])


def cell(gates, inputs=3, hidden=2):
    return (
        normal(2, inputs),
        normal(2, hidden),
        normal(gates * hidden, inputs),
        normal(gates * hidden, hidden),
        normal(gates * hidden),
        normal(gates * hidden),
    )


def layer(gates):
    _, state, *weights = cell(gates)
    return normal(4, 2, 3), state.unsqueeze(0), weights, True, 1, 0.0, False, False, False


def quantized_cell(gates):
    first, state, *weights = cell(gates)
    packed = torch.zeros(4, dtype=torch.uint8)
    return (first, state, *weights, packed, packed, pivots, pivots, 1.0, 1.0, 0, 0)


_lstm = cell(4)
_triplet = (tall, tall + 1, tall - 1)
_conv = (image, normal(3, 2, 3, 3), normal(3))
_conv_args = ([0, 0], [1, 1], [1, 1], 1, False, False)

_ALONE = (
    "__cuda_array_interface__", "__dlpack__", "__dlpack_device__", "__len__", "__repr__", "__reversed__",
    "_backward_hooks", "_base", "_cdata", "_clear_non_serializable_cached_data", "_dimI", "_dimV", "_grad", "_grad_fn",
    "_indices", "_nested_tensor_size", "_nested_tensor_storage_offsets", "_nested_tensor_strides", "_nnz",
    "_post_accumulate_grad_hooks", "_to_dense", "_values", "_version", "airy_ai", "alpha_dropout", "backward",
    "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "byte", "ccol_indices", "ccol_indices_copy", "cdouble",
    "cfloat", "chalf", "char", "coalesce", "col_indices", "col_indices_copy", "conj_physical", "conj_physical_",
    "const_data_ptr", "corrcoef", "count_nonzero", "cov", "crow_indices", "crow_indices_copy", "cumulative_trapezoid",
    "data", "data_ptr", "dense_dim", "dequantize", "detach_", "device", "diff", "dim", "dropout", "dtype", "erfcx",
    "fft", "fftn", "fftshift", "frexp", "grad", "grad_dtype", "grad_fn", "gradient", "gumbel_softmax", "hash_tensor",
    "hfft", "hfftn", "histc", "i0", "i0_", "i0e", "i1", "i1e", "ifft", "ifftn", "ifftshift", "ihfft", "ihfftn",
    "indices", "indices_copy", "int_repr", "ipu", "irfft", "irfftn", "is_coalesced", "is_distributed", "is_leaf",
    "itemsize", "layout", "log_ndtr", "mode", "modified_bessel_i0", "modified_bessel_i1", "modified_bessel_k0",
    "modified_bessel_k1", "mtia", "nanmean", "nansum", "native_norm", "ndim", "ndtr", "norm", "numpy",
    "q_per_channel_axis", "q_per_channel_scales", "q_per_channel_zero_points", "q_scale", "q_zero_point", "qscheme",
    "real", "requires_grad", "requires_grad_", "retain_grad", "rfft", "rfftn", "row_indices", "row_indices_copy",
    "scaled_modified_bessel_k0", "scaled_modified_bessel_k1", "shape", "share_memory_", "sparse_dim",
    "spherical_bessel_j0", "squeeze_", "storage", "storage_type", "t_", "to_dense", "to_mkldnn", "to_sparse", "tolist",
    "trapezoid", "trapz", "unique", "unique_consecutive", "untyped_storage", "values", "values_copy", "vander", "xpu",
)  # fmt: skip

_ONE = (
    "__bool__", "__complex__", "__float__", "__index__", "__int__", "__long__", "__nonzero__", "_sym_int", "item",
    "sym_float", "sym_not", "sym_sqrt",
)  # fmt: skip

_SQUARE = (
    "cholesky", "cholesky_ex", "cholesky_inverse", "cond", "det", "eig", "eigh", "eigvals", "eigvalsh", "fft2", "geqrf",
    "hfft2", "ifft2", "ihfft2", "inv", "inv_ex", "inverse", "irfft2", "ldl_factor", "ldl_factor_ex", "lobpcg", "logdet",
    "lu", "lu_factor", "lu_factor_ex", "matrix_exp", "matrix_norm", "matrix_rank", "nuclear_norm", "pca_lowrank",
    "pinv", "pinverse", "qr", "rfft2", "slogdet", "svd", "svd_lowrank", "svdvals", "trace",
)  # fmt: skip

_TWO = (
    "__ilshift__", "__irshift__", "__lshift__", "__rlshift__", "__rrshift__", "__rshift__", "binomial",
    "bitwise_left_shift", "bitwise_left_shift_", "bitwise_right_shift", "bitwise_right_shift_", "bucketize", "complex",
    "dist", "gammainc", "gammaincc", "gcd", "gcd_", "hinge_embedding_loss", "huber_loss", "igamma", "igamma_",
    "igammac", "igammac_", "is_set_to", "isclose", "isin", "kl_div", "kron", "l1_loss", "lcm", "lcm_", "module_load",
    "mse_loss", "nextafter", "nextafter_", "pairwise_distance", "polar", "resize_as", "resize_as_", "resize_as_sparse_",
    "set_", "smooth_l1_loss", "soft_margin_loss", "vecdot", "zeta",
)  # fmt: skip

_POLYNOMIALS = (
    "chebyshev_polynomial_t", "chebyshev_polynomial_u", "chebyshev_polynomial_v", "chebyshev_polynomial_w",
    "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p",
    "shifted_chebyshev_polynomial_t", "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w",
)  # fmt: skip

CALLS = {
    **dict.fromkeys(_ALONE, (x,)),
    **dict.fromkeys(_SQUARE, (spd,)),
    **dict.fromkeys(_ONE, (one,)),
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor"), (mask, mask.flip(0))),
    **dict.fromkeys(("bitwise_and_", "bitwise_or_", "bitwise_xor_"), (mask, mask.flip(0))),
    **dict.fromkeys((f"__{place}{name}__" for name in ("and", "or", "xor") for place in ("", "i", "r")), (mask, mask)),
    **dict.fromkeys(("bitwise_not", "bitwise_not_", "__invert__"), (mask,)),
    **dict.fromkeys(("concat", "concatenate", "row_stack"), ([x, y],)),
    **dict.fromkeys(("moveaxis", "swapaxes", "swapdims"), (tall, 0, 1)),
    **dict.fromkeys(("adaptive_max_pool1d", "max_pool1d", "max_pool1d_with_indices"), (batch, 2)),
    **dict.fromkeys(("max_pool2d", "max_pool2d_with_indices", "adaptive_max_pool2d_with_indices"), (image, 2)),
    **dict.fromkeys(("max_pool3d", "max_pool3d_with_indices", "adaptive_max_pool3d_with_indices"), (volume, 2)),
    "adaptive_max_pool1d_with_indices": (batch, 2),
    "torch.batch_norm": (tall, ones, zeros, zeros, ones, False, 0.1, 1e-5, False),
    "torch.instance_norm": (batch, None, None, None, None, True, 0.1, 1e-5, False),
    "convolution": (*_conv, [1, 1], [0, 0], [1, 1], False, [0, 0], 1),
    "feature_dropout": (image, 0.5, True),
    "fill_diagonal_": (square, 0.5),
    "float_power_": (x.double(), 2),
    "grid_sampler": (image, normal(1, 2, 2, 2).sigmoid(), 0, 0, False),
    "is_nonzero": (one,),
    "native_dropout": (x, 0.5, True),
    "spmm": (square.to_sparse(), square),
    "unsafe_split_with_sizes": (x, [1, 3]),
    "__array__": (x,),
    "__array_wrap__": (x, x.numpy()),
    "bernoulli": (p,),
    "torch.dropout": (x, 0.5, True),
    "torch.alpha_dropout": (x, 0.5, True),
    "torch.feature_alpha_dropout": (image, 0.5, True),
    "torch.embedding": (wide, labels),
    "cosine_similarity": (tall, tall + 1),
    "frobenius_norm": (spd, 1),
    "torch.linalg.cross": (tall, tall + 1),
    "fbgemm_linear_quantize_weight": (tall,),
    "fbgemm_pack_gemm_matrix_fp16": (tall,),
    "fbgemm_pack_quantized_matrix": (tall,),
    "imag": (torch.complex(x, y),),
    "view_as_complex": (pairs,),
    "view_as_complex_copy": (pairs,),
    "view_as_real": (torch.complex(x, y),),
    "view_as_real_copy": (torch.complex(x, y),),
    **dict.fromkeys(_TWO, (x, p)),
    **dict.fromkeys(_POLYNOMIALS, (p, 3)),
    "__contains__": (x, 0.5),
    "__deepcopy__": (x, {}),
    "__format__": (x, ""),
    "__reduce_ex__": (x, 2),
    "__setstate__": (x, (False, None, {})),
    "_autocast_to_full_precision": (x, True, True),
    "_autocast_to_reduced_precision": (x, True, True, torch.float16, torch.bfloat16),
    "_coalesced_": (x, True),
    "_sparse_mask_projection": (x, x.to_sparse()),
    "affine_grid": (normal(1, 2, 3), [1, 1, 2, 2]),
    "affine_grid_generator": (normal(1, 2, 3), [1, 1, 2, 2], False),
    "apply_": (x, abs),
    "as_strided": (x, [2], [1]),
    "as_strided_": (x, [2], [1]),
    "as_strided_copy": (x, [2], [1]),
    "as_strided_scatter": (x, y[:2], [2], [1]),
    "autocast": ("cpu",),
    "batch_norm_backward_elemt": (tall, tall, zeros, ones, ones, zeros, zeros, pivots),
    "batch_norm_backward_reduce": (tall, tall, zeros, ones, ones, True, True, True),
    "batch_norm_elemt": (tall, ones, zeros, zeros, ones, 1e-5),
    "batch_norm_gather_stats": (tall, zeros, ones, zeros, ones, 0.1, 1e-5, 4),
    "batch_norm_gather_stats_with_counts": (tall, zeros, ones, zeros, ones, 0.1, 1e-5, ones),
    "batch_norm_stats": (tall, 1e-5),
    "batch_norm_update_stats": (tall, zeros, ones, 0.1),
    "binary_cross_entropy": (p, p),
    "binary_cross_entropy_with_logits": (x, p),
    "bincount": (counts, p),
    "chain_matmul": (wide, tall),
    "cholesky_solve": (column, spd),
    "choose_qparams_optimized": (x, 4, 200, 0.16, 8),
    "conv_tbc": (batch, normal(2, 4, 5), normal(5)),
    "cosine_embedding_loss": (tall, tall + 1, signs),
    "cross": (tall, tall + 1),
    "cross_entropy": (normal(3, 4), labels),
    "ctc_loss": (batch.log_softmax(-1), torch.tensor([[1], [2], [1]]), (2, 2, 2), (1, 1, 1)),
    "dropout1d": (batch,),
    "dropout2d": (image,),
    "dropout3d": (volume,),
    "einsum": ("ij,jk->ik", wide, tall),
    "embedding": (labels, wide),
    "torch.embedding_bag": (wide, labels, torch.tensor([0, 2])),
    "embedding_bag": (labels, wide, torch.tensor([0, 2])),
    "fake_quantize_per_channel_affine": (tall, ones, pivots - 1, 1, 0, 255),
    "fake_quantize_per_tensor_affine": (x, 0.1, 0, 0, 255),
    "fbgemm_linear_fp16_weight": (tall, wide.T, zeros),
    "fbgemm_linear_fp16_weight_fp32_activation": (tall, wide.T, zeros),
    "fbgemm_linear_int8_weight": (tall, tall.to(torch.int8), tall, x, 1.0, 0, x),
    "fbgemm_linear_int8_weight_fp32_activation": (tall, tall.to(torch.int8), tall, x, 1.0, 0, x),
    "feature_alpha_dropout": (image,),
    "fold": (normal(1, 8, 4), (3, 3), (2, 2)),
    "fractional_max_pool2d": (image, 2, {"output_size": (2, 2)}),
    "fractional_max_pool2d_with_indices": (image, 2, {"output_size": (2, 2)}),
    "fractional_max_pool3d": (volume, 2, {"output_size": (2, 2, 2)}),
    "fractional_max_pool3d_with_indices": (volume, 2, {"output_size": (2, 2, 2)}),
    "fused_moving_avg_obs_fake_quant": (
        x, counts[:1], counts[:1], ones[:1], ones[:1], ones[:1], pivots[:1], 0.1, 0, 255, 0
    ),
    "geometric_": (x, 0.5),
    "is_same_size": (x, y),
    "gaussian_nll_loss": (x, y, p),
    "gradient": (x,),
    "grid_sample": (image, normal(1, 2, 2, 2).sigmoid()),
    "gru": layer(3),
    "gru_cell": cell(3),
    "histogram": (x, 4),
    "histogramdd": (tall, [2, 2, 2]),
    "householder_product": (tall, ones),
    "hspmm": (wide.to_sparse(), tall),
    "interpolate": (image, (6, 6)),
    "istft": (torch.complex(normal(5, 6), normal(5, 6)), 8, {"window": torch.ones(8)}),
    "ldl_solve": (spd, pivots, column),
    "linear_cross_entropy": (tall, wide.T, torch.tensor([0, 1, 2, 1])),
    "local_response_norm": (image, 2),
    "log_softmax": (tall, -1),
    "lp_pool1d": (batch, 2, 2),
    "lp_pool2d": (image, 2, 2),
    "lp_pool3d": (volume, 2, 2),
    "lstm": (normal(4, 2, 3), (_lstm[1][None], _lstm[1][None]), _lstm[2:], True, 1, 0.0, False, False, False),
    "lstm_cell": (_lstm[0], (_lstm[1], _lstm[1]), *_lstm[2:]),
    "lstsq": (tall, normal(4, 1)),
    "lu_solve": (column, spd, pivots),
    "torch.linalg.lu_solve": (spd, pivots, column),
    "torch.linalg.matrix_sqrth": (spd,),
    "torch.linalg.polar": (tall,),
    "lu_unpack": (spd, pivots),
    "map_": (x, y, max),
    "map2_": (x, y, y, max),
    "margin_ranking_loss": (x, y, signs),
    "matrix_power": (square, 2),
    "max_unpool1d": (normal(1, 1, 2), torch.tensor([[[0, 3]]]), 2),
    "max_unpool2d": (normal(1, 1, 1, 2), torch.tensor([[[[0, 3]]]]), 2),
    "max_unpool3d": (normal(1, 1, 1, 1, 2), torch.tensor([[[[[0, 3]]]]]), 2),
    "miopen_batch_norm": (tall, ones, zeros, zeros, ones, False, 0.1, 1e-5),
    "miopen_convolution": (*_conv, *_conv_args),
    "miopen_depthwise_convolution": (*_conv, *_conv_args),
    "miopen_convolution_add_relu": (*_conv[:2], image, 1.0, _conv[2], [1, 1], [0, 0], [1, 1], 1),
    "miopen_convolution_relu": (*_conv, [1, 1], [0, 0], [1, 1], 1),
    "miopen_convolution_transpose": (*_conv, [0, 0], [0, 0], [1, 1], [1, 1], 1, False, False),
    "miopen_rnn": (
        normal(4, 2, 3), list(_lstm[2:]), 4, _lstm[1][None], _lstm[1][None], 2, 2, 1, False, 0.0, False, False,
        [], None,
    ),
    "multi_dot": ([wide, tall],),
    "multi_head_attention_forward": (
        normal(3, 1, 4), normal(3, 1, 4), normal(3, 1, 4), 4, 2, normal(12, 4), normal(12),
        None, None, False, 0.0, normal(4, 4), normal(4), {"training": False},
    ),
    "multi_margin_loss": (normal(3, 4), labels),
    "multilabel_margin_loss": (x, torch.tensor([2, 1, -1, 0])),
    "multilabel_soft_margin_loss": (tall, (tall > 0).float()),
    "multinomial": (p, 2),
    "multigammaln": (p + 1, 2),
    "mvlgamma": (p + 1, 2),
    "mvlgamma_": (p + 1, 2),
    "native_channel_shuffle": (image, 2),
    "ndtri": (p,),
    "nll_loss": (normal(3, 4), labels),
    "nonzero_static": (x, {"size": 2}),
    "norm_except_dim": (tall, 2, 0),
    "one_hot": (x, 4),
    "orgqr": (tall, ones),
    "ormqr": (tall, ones, normal(4, 2)),
    "pdist": (tall, 2),
    "poisson": (p,),
    "poisson_nll_loss": (x, p),
    "torch.poisson_nll_loss": (x, p, True, False, 1e-8, 1),
    "polygamma": (1, p),
    "torch.Tensor.polygamma": (p, 1),
    "polygamma_": (p, 1),
    "quantize_per_channel": (tall, ones, pivots, 1, torch.quint8),
    "quantize_per_tensor": (x, 0.1, 0, torch.quint8),
    "quantize_per_tensor_dynamic": (x, torch.quint8, False),
    "quantized_batch_norm": (image, ones[:2], ones[:2], zeros[:2], ones[:2], 1e-5, 0.1, 0),
    "quantized_gru_cell": quantized_cell(3),
    "quantized_lstm_cell": (_lstm[0], (_lstm[1], _lstm[1]), *quantized_cell(4)[2:]),
    "quantized_max_pool1d": (batch, [2]),
    "quantized_max_pool2d": (image, [2, 2]),
    "quantized_max_pool3d": (volume, [2, 2, 2]),
    "quantized_rnn_relu_cell": quantized_cell(1),
    "quantized_rnn_tanh_cell": quantized_cell(1),
    "record_stream": (x, torch.Stream("cpu")),
    "register_hook": (x, abs),
    "register_post_accumulate_grad_hook": (x, abs),
    "renorm": (tall, 2, 0, 1.0),
    "renorm_": (tall, 2, 0, 1.0),
    "resize": (x, 2, 2),
    "resize_": (x, [2, 2]),
    "rnn_relu": layer(1),
    "rnn_tanh": layer(1),
    "rnn_relu_cell": cell(1),
    "rnn_tanh_cell": cell(1),
    "searchsorted": (x.sort().values, p),
    "smm": (square.to_sparse(), square),
    "softmax": (tall, -1),
    "softmin": (tall, -1),
    "solve": (spd, column),
    "solve_ex": (spd, column),
    "solve_triangular": (spd, column, {"upper": True}),
    "sparse_mask": (x, x.to_sparse()),
    "sparse_resize_": (x, [2], 1, 0),
    "sparse_resize_and_clear_": (x, [2], 1, 0),
    "sspaddmm": (square, square.to_sparse(), square),
    "stft": (signal, 8, {"window": torch.ones(8), "return_complex": True}),
    "sum_to_size": (tall, [1, 3]),
    "swapaxes_": (tall, 0, 1),
    "swapdims_": (tall, 0, 1),
    "sym_ite": (True, x, y),
    "sym_max": (one, p[0]),
    "sym_min": (one, p[0]),
    "sym_sum": ([x, y],),
    "tensordot": (wide, tall, 1),
    "tensorinv": (spd.reshape(3, 3), 1),
    "tensorsolve": (spd, zeros),
    "transpose_": (tall, 0, 1),
    "triangular_solve": (column, spd),
    "triplet_margin_loss": _triplet,
    "triplet_margin_with_distance_loss": _triplet,
    "unravel_index": (x, (2, 2)),
    "unsqueeze_": (x, 0),
}  # fmt: skip


def arguments(function):
    """Fresh arguments and keyword arguments for a callable, or None if the table has none for it."""
    name = (resolve_name(function) or getattr(function, "__name__", "")).removesuffix(".__get__")
    found = CALLS.get(name) or CALLS.get(name.rpartition(".")[2])
    if found is None:
        return None
    found = tuple(copy.deepcopy(value) if isinstance(value, CONTAINERS) else value for value in found)
    return (found[:-1], found[-1]) if isinstance(found[-1], dict) and found[-1] else (found, {})


CONTAINERS = (torch.Tensor, tuple, list, dict)
