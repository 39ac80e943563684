"""Failures of rules that torch's own error would not explain: several devices, NaN, tensors without values."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._compat import readable, vmapping
from .._records.registry import Box, Spelling, spelled
from ..errors import DeviceError, DomainError, UnsupportedOpError
from .arguments import Call
from .messages import describe, not_for

__all__ = ["check_devices", "check_numbers", "check_reading", "check_values"]


def check_devices(values: list[Any], call: Call) -> None:
    """Refuse to combine values with tensors on the meta device, which have no values; some kernels would read garbage.

    Arguments that torch takes on any device (numbers as tensors, indices) are allowed, and so are functions that read
    only the shape or the device of an argument.

    Raises:
        DeviceError: with the arguments and their devices.
    """
    if call.spelling.op.name in _TAKES_METADATA:
        return
    bounds = [value.lower if isinstance(value, Box) else value for value in values]
    meta = [bound.is_meta for bound in bounds if isinstance(bound, Tensor)]
    if any(meta) and any(map(_is_real, values)):
        raise _several_devices(call)


_TAKES_METADATA = {"to", "type_as", "view_as", "reshape_as", "expand_as"}


def _is_real(value: Any) -> bool:
    """Whether an argument has values that must be on the device of the others."""
    if isinstance(value, Box):
        return not value.lower.is_meta
    if not isinstance(value, Tensor) or value.is_meta:
        return False
    return value.ndim > 0 and (value.is_floating_point() or value.is_complex())


def _several_devices(call: Call) -> DeviceError:
    tensors = [value for value in call.leaves() if isinstance(value, Tensor)]
    called = ", ".join(f"{describe(tensor)} on {tensor.device}" for tensor in tensors)
    remedy = "move them to one: module.to(X.device), tensor.to(X.device) or X.to(device)"
    if any(tensor.is_meta for tensor in tensors):
        remedy += "; tensors on meta have no values yet: call module.to_empty(device=X.device), then load the weights"
    function = spelled(call.spelling.function)
    return DeviceError(f"{function} got tensors on several devices", f"called with: {called}", remedy)


def check_numbers(values: list[Any], spelling: Spelling) -> None:
    """Refuse the number NaN among the arguments of a function: torch gives NaN, which no box contains.

    Raises:
        DomainError: unless the function only moves the number, or uses the number only in place of NaN, which no box
            contains.
    """
    if spelling.op.family in _MOVES or spelling.op.name == "nan_to_num":
        return
    if any(type(value) is float and value != value for value in values):
        raise DomainError(
            f"an argument of {spelled(spelling.function)} is NaN, so its value is NaN at every point",
            "NaN has no bounds: pass a number; to test for NaN, use torch.isnan(x)",
        )


_MOVES = {"indexing", "comparison", "metadata"}


def check_reading(error: Exception, call: Call) -> None:
    """Raise an error that explains the failure, if a rule failed because of several devices or tensors without values.

    Raises:
        IntervalError: from the error that the rule raised.
    """
    tensors = [value for value in call.leaves() if isinstance(value, Tensor)]
    text = str(error)
    if len({tensor.device for tensor in tensors}) > 1 and "device" in text.lower():
        raise _several_devices(call) from error
    if any(word in text for word in _READING) and (vmapping() or not all(map(_has_values, tensors))):
        raise not_for(
            call.spelling.function, call.args, call.kwargs, "reads values, and there are none here", _NO_VALUES,
            advice="call the function on boxes with values, outside the recorded or mapped program",
        ) from error  # fmt: skip


def check_values(bound: Tensor, what: str) -> None:
    """Refuse to give Python a value of a tensor without values.

    Raises:
        UnsupportedOpError: on the meta device, while a program is recorded, or under `torch.vmap`.
    """
    if vmapping() or not readable(bound):
        raise UnsupportedOpError(
            f"{what} reads values, and there are none here", _NO_VALUES, "use torch.where(condition, a, b) for a branch"
        )


_NO_VALUES = "tensors have no values to read on the meta device, while a program is recorded, or under torch.vmap"
_READING = ("data-dependent", "data-independent", "meta tensor", "Meta tensor", ".item()", "aten.equal", "aten::equal")


def _has_values(tensor: Any) -> bool:
    return readable(tensor._box.lower if hasattr(tensor, "_box") else tensor)
