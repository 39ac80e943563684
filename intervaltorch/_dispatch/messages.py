"""Errors of the dispatcher: they name the function as the user spelt it, its arguments, and a remedy."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._records.refusals import refusal
from .._records.registry import Box, is_aten, spelled
from ..errors import IntervalError, UnsupportedOpError

__all__ = ["as_called", "called_with", "describe", "no_place", "not_for", "unsupported"]


def describe(value: Any) -> str:
    """Say kinds and shapes of arguments, for messages."""
    if isinstance(value, Tensor):
        shape = ", ".join(map(str, value.shape))
        return f"{type(value).__name__}({shape}) {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, Box):
        return "IntervalTensor" + describe(value.lower).removeprefix("Tensor").removeprefix("Parameter")
    if isinstance(value, (tuple, list)):
        return ", ".join(describe(item) for item in value)
    return repr(value) if isinstance(value, (int, float, bool, str, type(None))) else type(value).__name__


def called_with(args: Any, kwargs: dict[str, Any]) -> str:
    """Say with which arguments a function was called."""
    return f"called with: {describe(args)}" + "".join(f", {name}={describe(value)}" for name, value in kwargs.items())


_WRITE_ONE = (
    "write one in a few lines with intervaltorch.register (docs: how-to, add an op);"
    " intervaltorch.supported_ops() lists what is there"
)


def unsupported(function: Any, args: Any, kwargs: dict[str, Any], *reasons: str) -> IntervalError:
    """The error for a function without rule, body or decomposition, and for one that is refused on purpose."""
    headline, called = f"no interval rule for {spelled(function)}", called_with(args, kwargs)
    known = refusal(function)
    if known is not None:
        group, instead = known
        advice = (f"because {group.reason}", instead)
        return group.error(headline, called, *reasons, *advice, function=function, lacks_rule=True)
    return UnsupportedOpError(headline, called, *reasons, _WRITE_ONE, function=function, lacks_rule=True)


def not_for(
    function: Any, args: Any, kwargs: dict[str, Any], problem: str, *details: str, advice: str = _WRITE_ONE
) -> UnsupportedOpError:
    """The error for arguments that the rule of a function does not take."""
    headline = f"the interval rule of {spelled(function)} {problem}"
    return UnsupportedOpError(headline, called_with(args, kwargs), *details, advice)


def no_place(function: Any, args: tuple, kwargs: dict[str, Any]) -> UnsupportedOpError:
    """The error for an interval that is to be written into a plain tensor."""
    return UnsupportedOpError(
        f"{spelled(function)} would write an interval into a plain tensor, which cannot hold its bounds",
        f"called with: {describe((*args, *kwargs.values()))}",
        "make the destination a box first: IntervalTensor.point(tensor); or use the out-of-place operation",
        function=function,
    )


def as_called(error: UnsupportedOpError, function: Any, args: tuple, kwargs: dict) -> IntervalError:
    """Name the function that the user called, and the inner function that stopped it. Other refusals stay unchanged."""
    inner = error.function
    if inner is None or spelled(inner) == spelled(function) or not (error.lacks_rule or is_aten(inner)):
        return error
    inside = f"no rule for {spelled(inner)}" if error.lacks_rule else error.headline
    advice = error.details[1:] if error.lacks_rule else [_WRITE_ONE]  # the remedy for the inner function, if known
    outer = UnsupportedOpError(
        f"no interval rule for {spelled(function)}", called_with(args, kwargs), f"inside it, {inside}", *advice,
        function=function, lacks_rule=True,
    )  # fmt: skip
    if error.module_path is not None:
        outer.locate(error.module_path)
    return outer
