"""Arguments that torch refuses raise torch's own error on boxes, too.

Rules are written for arguments that torch takes. If a rule fails, torch's function is called on the lower bounds to see
its error. Some rules take arguments that torch refuses: other shapes, or a mixture of dtypes. After these rules torch's
function is called too, once for each combination of shapes, dtypes, strides and other arguments. It is also called if
arguments are not contiguous, because a result must have the strides of torch's result.
"""

from __future__ import annotations

import itertools
import types
import warnings
from typing import Any

import torch
from torch import Tensor
from torch.overrides import resolve_name

from .. import _compat
from .. import _rounding as rounding
from .._records.registry import OPS, Box, is_aten
from .._theorems.layout import copied, laid_out, strides
from .._trees import map_kind, map_result
from .messages import not_for, unsupported

__all__ = ["answer_as_torch_does", "as_torch_lays_out", "as_torch_returns"]


def answer_as_torch_does(error: Exception, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Raise torch's error for these arguments, after a rule or a body failed; if torch takes them, refuse by name.

    An operator that leaves the answer to its other operand returns `NotImplemented`, as torch's operator does.

    Args:
        error: what was raised.
        function: what was called.
        args: its arguments, with boxes.
        kwargs: its keyword arguments, with boxes.
    """
    if not _is_ordinary(error) or not _belongs_to_torch(function):
        raise error
    refused, returned = _ask(function, args, kwargs)
    if refused is not None:
        raise refused from None
    if returned is NotImplemented:
        return NotImplemented
    # Some kernels, such as gru's, replace what is raised inside them by a SystemError.
    reasons = [] if isinstance(error, SystemError) else [f"reason: {error}"]
    if function in OPS:
        raise not_for(function, args, kwargs, "does not take these arguments", *reasons) from error
    raise unsupported(function, args, kwargs, *reasons) from error


def _is_ordinary(error: Exception) -> bool:
    """Whether an error is about arguments, and not a warning made an error, a mistake in a rule or torch's signal."""
    kind = type(error)
    return kind is torch.linalg.LinAlgError or (kind.__module__ == "builtins" and not issubclass(kind, _OTHERS))


_OTHERS = (Warning, NameError, ImportError, MemoryError, RecursionError)


def as_torch_returns(result: Any, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Raise torch's error for arguments of these shapes and dtypes; else return boxes with torch's dtypes and strides.

    The rule itself refuses values that torch refuses, such as an index out of range.

    Args:
        result: boxes that a rule or a body returned.
        function: what was called.
        args: its arguments, with boxes.
        kwargs: its keyword arguments, with boxes.

    Raises:
        UnsupportedOpError: if torch returns other shapes, or dtypes of more digits.
        Exception: what torch raises.
    """
    found = _metadata(result)
    refused, returned = _remembered(found, function, args, kwargs)
    if refused is not None:
        raise refused
    if returned is None or returned == found:
        return result
    _check_alike(found, returned, function, args, kwargs)
    return _converted(result, returned)


def as_torch_lays_out(result: Any, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Return boxes with the strides of torch's own result; arguments as for `as_torch_returns`."""
    found = _metadata(result)
    returned = _remembered(found, function, args, kwargs)[1]
    return result if returned == found or not _fit(returned, found) else _converted(result, returned)


def _remembered(found: tuple, function: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Exception | None, Any]:
    """Torch's error or None, and the metadata of torch's result or None, remembered if shapes and dtypes fit."""
    key = _signature((function, args, kwargs))
    try:
        known = _KNOWN.get(key)
    except TypeError:  # something in it cannot be hashed
        known = key = None
    if _fit(known, found):
        return None, known
    if not _belongs_to_torch(function):
        return None, None
    refused, returned = _ask(function, args, kwargs)
    if refused is not None or returned is NotImplemented:
        return refused, None
    if key is not None and _fit(returned, found):
        if len(_KNOWN) >= _MANY:
            _KNOWN.clear()
        _KNOWN[key] = returned
    return None, returned


def _fit(returned: tuple | None, found: tuple) -> bool:
    """Whether shapes and dtypes are the same."""
    return returned is not None and [item[:2] for item in returned] == [item[:2] for item in found]


_KNOWN: dict[Any, Any] = {}
_MANY = 10_000


def _belongs_to_torch(function: Any) -> bool:
    """Whether a callable is torch's, and so has no side effects, which modules and operators of users may have."""
    return (
        function in OPS
        or isinstance(function, types.BuiltinFunctionType)
        or is_aten(function)
        or resolve_name(function) is not None
    )


def _ask(function: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Exception | None, Any]:
    """Call a function on copies of the lower bounds; return its error or None, and the metadata of its result."""
    try:
        plain, named = _lower(list(args)), _lower(kwargs)
    except _Unreadable:
        return None, None
    tensors = _compat.tree_leaves((plain, named))
    devices = {x.device.index for x in tensors if isinstance(x, Tensor) and x.device.type == "cuda"}
    try:
        with torch.no_grad(), torch.random.fork_rng(devices), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = function(*plain, **named)
            return None, NotImplemented if result is NotImplemented else _metadata(result)
    except Exception as refused:
        return refused, None


class _Unreadable(Exception):
    """A tensor has no values here: it is being recorded, or lies on the meta device."""


def _lower(value: Any) -> Any:
    """Copy lower bounds of boxes, and whatever else a function may write into, in nested tuples, lists and dicts."""
    return map_kind((Box, Tensor, torch.Generator), _copy, value)


def _copy(value: Any) -> Any:
    if isinstance(value, torch.Generator):
        return value.clone_state()
    bound = value.lower if isinstance(value, Box) else value
    if not isinstance(bound, Tensor):
        return bound
    if not _compat.readable(bound):
        raise _Unreadable
    return copied(bound)


def _signature(value: Any) -> Any:
    """The part of nested arguments on which the shapes, dtypes and strides of a result depend."""
    if isinstance(value, Box):
        value = value.lower
    if isinstance(value, Tensor):
        return value.shape, value.dtype, value.device, strides(value)
    if isinstance(value, (tuple, list)):
        return tuple([_signature(item) for item in value])
    if isinstance(value, dict):
        return tuple([(key, _signature(item)) for key, item in value.items()])
    if isinstance(value, slice):
        return value.start, value.stop, value.step
    return type(value), value


def _metadata(result: Any) -> tuple:
    """Shapes, dtypes and strides of the tensors and boxes of a result, in order."""
    if isinstance(result, Box):
        result = result.lower
    if isinstance(result, Tensor):
        return ((result.shape, result.dtype, strides(result)),)
    if isinstance(result, (tuple, list)):
        return tuple([kind for item in result for kind in _metadata(item)])
    return ()


def _check_alike(found: tuple, returned: tuple, function: Any, args: Any, kwargs: dict[str, Any]) -> None:
    """Refuse results of other shapes, or of dtypes with fewer digits, than torch returns."""
    for (shape, dtype, _), (other_shape, other, _) in itertools.zip_longest(found, returned, fillvalue=_NOTHING):
        narrower = dtype in _REAL and other in _REAL and rounding.narrows(dtype, other)
        if shape != other_shape or not (dtype == other or narrower):
            raise not_for(
                function, args, kwargs, "does not take these arguments",
                f"reason: it gives {tuple(shape)} {dtype} where torch gives {tuple(other_shape)} {other}",
                advice="give all arguments one dtype, and shapes as the documentation of torch names them",
            )  # fmt: skip


def _converted(result: Any, returned: tuple) -> Any:
    """Convert boxes to dtypes of fewer digits and to other layouts, as torch returns them."""
    given = iter(returned)

    def convert(item: Any) -> Any:
        if not isinstance(item, (Box, Tensor)):
            return item
        _, dtype, layout = next(given)
        if isinstance(item, Box):
            return Box(*(laid_out(bound, layout) for bound in rounding.cast(item.lower, item.upper, dtype)))
        return laid_out(item if item.dtype == dtype else item.to(dtype), layout)

    return map_result(convert, result)


_NOTHING: Any = ((), None, None)
_REAL = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
