"""Functions that do not read the values in a box: shape, dtype, device, and random draws of the shape of a box."""

from __future__ import annotations

import functools
from typing import Any

import torch

from ..._records import draws as _draws
from ..._records.registry import Box
from ..._rounding import EXACT
from ..._theorems.boxes import as_box, decided, lower_of, map_boxes
from ..._theorems.families import rule, structural
from ...errors import EscapeError


def _ask(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Answer for the lower bound, which has the metadata of the box."""
    return function(*map_boxes(lower_of, args), **map_boxes(lower_of, kwargs))


def _noise(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Draw noise in the shape of the lower bound."""
    _draws.noise()
    return _ask(function, *args, **kwargs)


def _draw(function: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    """Fill with random numbers. A draw is a point.

    Raises:
        TypeError: if a parameter of the distribution is an interval.
    """
    if any(isinstance(value, Box) for value in (*args, *kwargs.values())):
        raise TypeError(
            f"a parameter of {function.__name__} is an interval, but a random draw needs plain parameters; write"
            " mean + std * torch.randn_like(std)"
        )
    name = function.__name__
    if name in _SELECTING and kwargs.get("generator") is None:
        _draws.masked(name)
    elif name == "normal_":
        _draws.noise()
    like = as_box(input).lower
    return function(torch.empty_like(like), *args, **kwargs)


_SELECTING = {"bernoulli_", "geometric_", "random_"}


def point(*names: Any, ask: Any = _ask) -> None:
    """Register functions that read only metadata."""
    structural(*names, by=ask, family="metadata", affine_in=())


point(
    "stride", "storage_offset", "is_contiguous", "is_floating_point", "is_complex", "is_signed", "is_same_size",
    "is_conj", "is_neg", "is_inference", "get_device", "element_size", "nelement", "ndimension", "is_pinned",
    "dim_order", "result_type", "numel", "sym_size", "sym_numel", "sym_stride", "size", "rand_like",
    "randint_like", "is_shared", "_is_view", "dense_dim", "sparse_dim",
)  # fmt: skip

point("randn_like", ask=_noise)

for _name in (
    "normal_",
    "uniform_",
    "bernoulli_",
    "random_",
    "exponential_",
    "cauchy_",
    "log_normal_",
    "geometric_",
):
    _function = getattr(torch.Tensor, _name)
    _names = _function, getattr(torch.ops.aten, _name)
    rule(*_names, family="random", budget=EXACT, proven=True)(functools.partial(_draw, _function))

for _name in (
    "is_cuda", "is_cpu", "is_sparse", "is_sparse_csr", "is_quantized", "is_meta", "is_mps", "is_xpu", "is_mkldnn",
    "is_nested", "is_vulkan", "is_ipu", "is_xla", "is_maia", "is_mtia", "is_ort", "itemsize", "nbytes", "names",
    "output_nr",
    "name", "retains_grad", "volatile",
):  # fmt: skip
    if hasattr(torch.Tensor, _name):
        point(getattr(torch.Tensor, _name).__get__)


@rule("_nested_tensor_from_mask_left_aligned", family="metadata", budget=EXACT, proven=True)
def nested_tensor_from_mask_left_aligned(t: Any, mask: Any) -> Any:
    """Whether a padding mask keeps the first entries of each sequence. Only the shape of `t` is read."""
    return torch._nested_tensor_from_mask_left_aligned(as_box(t).lower, decided(mask, "a padding mask"))


_hooks: Any = torch.Tensor._backward_hooks


@rule(_hooks.__set__, family="metadata", budget=EXACT, proven=True)
def set_backward_hooks(input: Any, hooks: Any) -> None:
    """Lets autograd clear the hooks, as it does after a write in place. A box has none; its bounds may have some."""
    if hooks is not None:
        raise EscapeError("a box has no hooks of its own", "put them on its bounds: X.lower.register_hook(...)")


@rule(torch._has_compatible_shallow_copy_type, family="metadata", budget=EXACT, proven=True)
def has_compatible_shallow_copy_type(input: Any, from_: Any) -> bool:
    """Whether `from_` may become the data of `input`: if both are boxes. Modules ask this to convert parameters."""
    return isinstance(input, Box) and isinstance(from_, Box)
