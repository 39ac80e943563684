"""What the dispatcher says where it refuses: the function as the user spelt it, its arguments, and what to do."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._records.refusals import refusal
from .._records.registry import Box, spelled
from ..errors import IntervalError, UnsupportedOpError

__all__ = ["as_called", "describe", "no_place", "unsupported"]


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


def unsupported(function: Any, args: tuple, kwargs: dict[str, Any]) -> IntervalError:
    """The error for a function without rule, body or decomposition, and for one that is refused on purpose."""
    headline = f"no interval rule for {spelled(function)}"
    called = describe(args) + "".join(f", {name}={describe(value)}" for name, value in kwargs.items())
    known = refusal(function)
    if known is not None:
        group, instead = known
        return group.error(headline, f"called with: {called}", f"because {group.reason}", instead)
    return UnsupportedOpError(
        headline,
        f"called with: {called}",
        "write one in a few lines with intervaltorch.register (docs: how-to, add an op);"
        " intervaltorch.supported_ops() lists what is there",
    )


def no_place(function: Any, args: tuple, kwargs: dict[str, Any]) -> UnsupportedOpError:
    """The error for an interval that is to be written into a plain tensor."""
    return UnsupportedOpError(
        f"{spelled(function)} would write an interval into a plain tensor, which cannot hold its bounds",
        f"called with: {describe((*args, *kwargs.values()))}",
        "make the destination a box first: IntervalTensor.point(tensor); or use the out-of-place operation",
    )


def as_called(error: UnsupportedOpError, function: Any, args: tuple, kwargs: dict) -> IntervalError:
    """Name the function that the user called, and what stopped it inside; a refusal in its own words stays."""
    outer = unsupported(function, args, kwargs)
    if error.headline == outer.headline or not error.headline.startswith(("no interval rule", "aten.")):
        return error
    if error.headline.startswith("no interval rule"):
        outer.details[1:] = error.details[1:]  # the way out of what stopped it, if that is known
    outer.details.insert(1, "inside it, " + error.headline.replace("no interval rule", "no rule"))
    outer.module_path = error.module_path
    return outer
