"""Questions whose answer does not depend on the values in a box: shapes, dtypes, devices, random draws of that shape."""

from __future__ import annotations

import functools
from typing import Any

import torch

from .._registry import Op, add_op, spelled, spellings
from ..rounding import EXACT
from ._families import lower_of, map_boxes


def _ask(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Ask the lower bound."""
    return function(*map_boxes(lower_of, args), **map_boxes(lower_of, kwargs))


def point(*names: Any) -> None:
    """Register functions that read only metadata."""
    for name in names:
        functions = spellings(name) if isinstance(name, str) else [name]
        title = name if isinstance(name, str) else spelled(name).rpartition(".")[2]
        op = Op(title, "", "metadata", functools.partial(_ask, functions[0]), functions[0], budget=EXACT, proven=True)
        add_op(op, functions, enclose_by=lambda function: functools.partial(_ask, function))


point(
    "stride", "storage_offset", "is_contiguous", "is_floating_point", "is_complex", "is_signed", "is_same_size",
    "is_conj", "is_neg", "is_inference", "get_device", "element_size", "nelement", "ndimension", "is_pinned", "dim_order",
    "result_type", "numel", "sym_size", "sym_numel", "sym_stride", "size", "rand_like", "randn_like", "randint_like",
)  # fmt: skip

for _name in (
    "is_cuda", "is_cpu", "is_sparse", "is_sparse_csr", "is_quantized", "is_meta", "is_mps", "is_xpu", "is_mkldnn", "is_nested",
    "is_vulkan", "is_ipu", "is_xla", "is_maia", "is_mtia", "is_ort", "itemsize", "nbytes", "names", "output_nr", "name",
    "retains_grad", "volatile",
):  # fmt: skip
    if hasattr(torch.Tensor, _name):
        point(getattr(torch.Tensor, _name).__get__)
