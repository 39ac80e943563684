"""What relaxations know of single operations: which are affine in which arguments, how others bend, and their parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .._theorems.lines import Curve

VARIES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(["add", "sub", "rsub"], ("input other",)),
    "mul": ("input", "other"),
    "div": ("input",),
    "neg": ("input",),
    **dict.fromkeys(["linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
                     "conv_transpose3d", "convolution", "conv_tbc"], ("input bias", "weight bias")),
    "matmul": ("input", "other"), "mm": ("input", "mat2"), "bmm": ("input", "mat2"), "mv": ("input", "vec"),
    "dot": ("input", "other"), "outer": ("input", "vec2"),
    "addmm": ("input mat1", "input mat2"), "baddbmm": ("input batch1", "input batch2"),
    "addmv": ("input mat", "input vec"), "addcmul": ("input tensor1", "input tensor2"), "addcdiv": ("input tensor1",),
    **dict.fromkeys(["sum", "mean", "cumsum", "positive", "deg2rad", "rad2deg",
                     "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
                     "adaptive_avg_pool3d", "col2im", "grid_sampler", "trapezoid"], ("*",)),
    "kl_div": ("input",),
    "lerp": ("input end",),
    **dict.fromkeys(["upsample_bilinear2d", "upsample_linear1d", "upsample_bicubic2d", "upsample_trilinear3d",
                     "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"], ("*",)),
    **dict.fromkeys(["__getitem__", "__setitem__", "masked_fill", "index_add", "index_copy", "index_fill",
                     "scatter_add", "index", "masked_select", "copy", "index_put", "_unsafe_index_put", "scatter"],
                    ("*",)),
    "where": ("*",), "unfold": ("*",),
}  # fmt: skip

_tanh_like = Curve("convex", (0.0,))
_odd_growing = Curve("concave", (0.0,))
CURVES: dict[str, Curve] = {
    **dict.fromkeys(["sigmoid", "tanh", "atan", "asinh", "erf", "softsign", "acos"], _tanh_like),
    **dict.fromkeys(["sinh", "asin", "atanh", "erfinv", "tanhshrink", "i1", "erfc"], _odd_growing),
    **dict.fromkeys(["logit", "ndtri"], Curve("concave", (0.5,))),
    "relu": Curve("convex", kinks=(0.0,)), "abs": Curve("convex", kinks=(0.0,)),
    "relu6": Curve("convex", kinks=(0.0, 6.0)), "hardsigmoid": Curve("convex", kinks=(-3.0, 3.0)),
    "selu": Curve("convex", (0.0,)), "hardswish": Curve("concave", (-3.0, 3.0)),
    "gelu": Curve("concave", (-math.sqrt(2), math.sqrt(2))),
    "silu": Curve("concave", (-2.3993572805154676678, 2.3993572805154676678)),
    "mish": Curve("concave", (-2.25637639636079312, 1.4905711794854284593)),
    "i0e": Curve("convex", (0.0, 0.0)),
    "i1e": Curve("concave", (-2.7814929353479470786, 0.0, 2.7814929353479470786)),
    "sin": Curve("convex", (0.0, math.pi), 2 * math.pi),
    "cos": Curve("convex", (math.pi / 2, 3 * math.pi / 2), 2 * math.pi),
    "reciprocal": Curve("concave", (0.0,)),
}  # fmt: skip
# cos on (-pi/2, pi/2) is concave: left of pi/2 it is concave
CURVES["cos"] = Curve("concave", (math.pi / 2, 3 * math.pi / 2), 2 * math.pi)


def _number(x: Any) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool)


def _clamp(input: Any, min: Any = None, max: Any = None) -> Curve | None:
    if _number(min) and _number(max):
        return Curve("convex", kinks=(min, max)) if min < max else None
    if _number(min) and max is None:
        return Curve("convex", kinks=(min,))
    return Curve("concave", kinks=(max,)) if _number(max) and min is None else None


def _power(input: Any, exponent: Any) -> Curve | None:
    if not _number(exponent):
        return None
    if exponent == int(exponent) and exponent > 0:
        return Curve("convex") if exponent % 2 == 0 or exponent == 1 else Curve("concave", (0.0,))
    if exponent == int(exponent) and exponent < 0:
        return Curve("convex", (0.0, 0.0)) if exponent % 2 == 0 else Curve("concave", (0.0,))
    return Curve("concave") if 0 < exponent < 1 else Curve("convex")


def _elu(input: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0, *_: Any) -> Curve | None:
    if alpha <= 0 or scale <= 0 or input_scale <= 0:
        return None
    return Curve("convex") if alpha * input_scale <= 1 else Curve("convex", (0.0,))


def _softplus(beta: float, threshold: float) -> Curve | None:
    """Convex, but for a jump at the threshold by the logarithm of 1 + exp(-threshold)."""
    if beta <= 0 or threshold <= 0:
        return None
    return Curve("convex", slack=math.log1p(math.exp(-threshold)) / beta, jump=threshold / beta)


_TANH_GELU = Curve("concave", (-1.4185040087908283555, 1.4185040087908283555))

PARAMETRIC: dict[str, Callable[..., Curve | None]] = {
    "clamp": _clamp,
    "hardtanh": lambda input, min_val=-1.0, max_val=1.0, *_: _clamp(input, min_val, max_val),
    "clamp_min": lambda input, min: _clamp(input, min),
    "clamp_max": lambda input, max: _clamp(input, None, max),
    "leaky_relu": lambda input, negative_slope=0.01, *_: Curve("convex", kinks=(0.0,)),
    "rrelu": lambda input, lower=1 / 8, upper=1 / 3, training=False, *_: (
        None if training else Curve("convex", kinks=(0.0,))
    ),
    "elu": _elu,
    "celu": lambda input, alpha=1.0, *_: Curve("convex") if alpha > 0 else None,
    "softplus": lambda input, beta=1.0, threshold=20.0: _softplus(beta, threshold),
    "gelu": lambda input, approximate="none", **_: CURVES["gelu"] if approximate == "none" else _TANH_GELU,
    "pow": _power,
}


IDENTITIES = {"detach", "alias", "lift_fresh", "clone", "contiguous", "detach_copy", "alias_copy"}

CREATIONS = frozenset({
    "empty_like", "full_like", "ones_like", "zeros_like", "new", "new_empty", "new_empty_strided", "new_full",
    "new_ones", "new_tensor", "new_zeros",
})  # fmt: skip
"""What reads nothing but the shape of a box."""
