"""From a torch call to a rule.

A call on intervals goes, in this order, to its rule; to its own body or its ATen calls, each of which comes back here;
to a decomposition of torch; or it is refused by name. The class of interval tensors arrives as an argument.
"""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import _compat, rounding
from ._registry import OPS, Box, Spelling, spelled
from .errors import GradientWarning, UnsupportedOpError

__all__ = ["dispatch", "dispatch_aten"]


def dispatch(cls: type, function: Any, types: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Answer `function(*args, **kwargs)` for arguments of which some are instances of `cls`."""
    spelling = OPS.get(function)
    if spelling is None:
        spelling = OPS.get(_compat.overload_packet(function))
        if spelling is None:
            return _fallback(cls, function, types, args, kwargs)
    return run(cls, spelling, args, kwargs)


def dispatch_aten(cls: type, function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Answer an ATen call that a C++ kernel made on intervals: by a rule or a decomposition of torch."""
    spelling = OPS.get(function.overloadpacket)
    # Below autograd its kernels are switched off; reentrant dispatch brings them back, so that the
    # rule's own operations on the bounds are recorded.
    with _compat.enable_reentrant_dispatch():
        if spelling is not None:
            return run(cls, spelling, args, kwargs)
        decomposed = _compat.decomposition(function)
        if decomposed is not None:
            result = decomposed(*args, **kwargs)
            if result is not NotImplemented:
                return result
    raise unsupported(cls, function, args, kwargs)


def run(cls: type, spelling: Spelling, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Apply a rule, in place if the spelling says so, and wrap its boxes."""
    if not torch.is_grad_enabled():
        _warn_lost_gradient(cls, spelling, args)
    if kwargs:
        if kwargs.get("out") is not None:
            raise UnsupportedOpError(
                f"{spelled(spelling.function)} does not write intervals into out=", "assign the result instead"
            )
        kwargs = {name: unwrap(cls, value) for name, value in kwargs.items() if name != "out"}
    inplace = spelling.inplace
    if spelling.inplace_position is not None:
        inplace, args, kwargs = _take_inplace(spelling.inplace_position, args, kwargs)
    if inplace:
        return _run_in_place(cls, spelling, args, kwargs)
    boxes = [arg._box if type(arg) is cls else unwrap(cls, arg) for arg in args]
    try:
        result = spelling.enclose(*boxes, **kwargs)
    except TypeError as error:
        raise _explain(cls, error, spelling, args, kwargs) from error
    return cls._wrap(result) if type(result) is Box else wrap(cls, result)  # type: ignore[attr-defined]


def _take_inplace(position: int, args: tuple, kwargs: dict[str, Any]) -> tuple[bool, tuple, dict[str, Any]]:
    """Take the `inplace` flag out of the arguments of a function of `torch.nn.functional`."""
    if len(args) > position:
        return bool(args[position]), args[:position] + args[position + 1 :], kwargs
    rest = dict(kwargs)
    return bool(rest.pop("inplace", False)), args, rest


def _run_in_place(cls: type, spelling: Spelling, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Compute out of place, then copy the new bounds into the old memory.

    Copying keeps views right. Where autograd records, the rule sees clones: whatever it saves for the
    backward pass is then not what the copy overwrites, so gradients are right too.
    """
    if args:
        target = args[0]
    else:
        name = "self" if "self" in kwargs else "input"
        target = kwargs.pop(name)
        target = cls._wrap(target) if isinstance(target, Box) else target  # type: ignore[attr-defined]
    if not isinstance(target, cls):
        raise UnsupportedOpError(
            f"{spelled(spelling.function)} would write an interval into a plain tensor, which cannot hold its bounds",
            f"called with: {describe(args)}",
            "make the destination a box first: IntervalTensor.point(tensor); or use the out-of-place operation",
        )
    box: Box = target._box  # type: ignore[attr-defined]
    read = box
    if torch.is_grad_enabled():
        read = Box(box.lower.clone(), box.upper.clone())
    others = [read if arg is target else unwrap(cls, arg) for arg in args[1:]]
    result = spelling.enclose(read, *others, **kwargs)
    write(box, result)
    return target


def write(box: Box, result: Any) -> None:
    """Copy new bounds into the memory of a box.

    Raises:
        RuntimeError: if the shapes differ, as torch does for in-place operations that would broadcast.
    """
    lower, upper = result if isinstance(result, Box) else (result, result)
    if lower.shape != box.lower.shape:
        raise RuntimeError(
            f"output with shape {list(box.lower.shape)} doesn't match the broadcast shape {list(lower.shape)}"
        )
    if not torch.can_cast(lower.dtype, box.lower.dtype):
        raise RuntimeError(f"result type {lower.dtype} can't be cast to the desired output type {box.lower.dtype}")
    lower, upper = rounding.cast(lower, upper, box.lower.dtype)
    box.lower.copy_(lower)
    box.upper.copy_(upper)


def unwrap(cls: type, value: Any) -> Any:
    """Replace interval tensors by their boxes, also inside tuples, lists and dicts; NumPy arrays by tensors."""
    if isinstance(value, cls):
        return value._box  # type: ignore[attr-defined]
    kind = type(value)
    if kind is tuple or kind is list:
        return kind([unwrap(cls, item) for item in value])
    if kind is dict:
        return {key: unwrap(cls, item) for key, item in value.items()}
    if isinstance(value, slice):
        return value
    if kind is np.ndarray:
        return torch.as_tensor(value)
    return value


def wrap(cls: type, value: Any) -> Any:
    """Replace boxes by interval tensors, also inside tuples, lists, dicts and torch's named results."""
    if type(value) is Box:
        return cls._wrap(value)  # type: ignore[attr-defined]
    if isinstance(value, (tuple, list)):
        items = [wrap(cls, item) for item in value]
        if type(value) in (tuple, list, torch.Size) or hasattr(value, "n_fields"):
            return type(value)(items)
        return type(value)(*items)
    return value


def _fallback(cls: type, function: Any, types: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Run the function's own body or kernel on the intervals; each call inside comes back to the dispatcher."""
    if not callable(function) or _returns_raw_values(function):
        raise unsupported(cls, function, args, kwargs)
    try:
        result = _compat.redispatch_function(function, types, args, kwargs)
    except UnsupportedOpError as error:
        raise _as_called(cls, error, function, args, kwargs) from error
    return _rewrap(cls, result)


def _rewrap(cls: type, result: Any) -> Any:
    """Free results from the autograd marks that outer C++ kernels leave on the wrappers."""
    if isinstance(result, cls):
        return cls._wrap(result._box)  # type: ignore[attr-defined]
    if type(result) in (tuple, list):
        return type(result)([_rewrap(cls, item) for item in result])
    return result


def _returns_raw_values(function: Any) -> bool:
    return getattr(function, "__name__", "") in ("__set__", "__delete__")


# --- errors -----------------------------------------------------------------------------------------------------------


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


def unsupported(cls: type, function: Any, args: tuple, kwargs: dict[str, Any]) -> UnsupportedOpError:
    """The error for a function without rule, body or decomposition."""
    called = describe(args) + "".join(f", {name}={describe(value)}" for name, value in kwargs.items())
    return UnsupportedOpError(
        f"no interval rule for {spelled(function)}",
        f"called with: {called}",
        "write one in a few lines with intervaltorch.register (docs: how-to, add an op);"
        " intervaltorch.supported_ops() lists what is there",
    )


def _as_called(cls: type, error: UnsupportedOpError, function: Any, args: tuple, kwargs: dict) -> UnsupportedOpError:
    """Name the function that the user called, and the inner one that has no rule."""
    outer = unsupported(cls, function, args, kwargs)
    inner = error.headline if error.headline.startswith("it needs ") else f"it needs {error.headline}"
    outer.details.insert(1, inner.replace("it needs no interval rule for", "inside it, no rule for"))
    outer.module_path = error.module_path
    return outer if error.headline.startswith("no interval rule") and error.headline != outer.headline else error


def _explain(cls: type, error: TypeError, spelling: Spelling, args: tuple, kwargs: dict[str, Any]) -> Exception:
    """Turn a signature mismatch between a call and its rule into a refusal by name."""
    try:
        inspect.signature(spelling.enclose).bind(*args, **kwargs)
    except TypeError as mismatch:
        refusal = unsupported(cls, spelling.function, args, kwargs)
        refusal.headline = f"the interval rule of {spelled(spelling.function)} does not take these arguments"
        refusal.details.insert(1, f"reason: {mismatch}")
        return refusal
    return error


def _warn_lost_gradient(cls: type, spelling: Spelling, args: tuple) -> None:
    """Warn inside a `torch.autograd.Function`, whose forward runs without grad."""
    for arg in args:
        tracked = arg._box.lower.requires_grad if type(arg) is cls else isinstance(arg, Tensor) and arg.requires_grad  # type: ignore[attr-defined]
        if tracked:
            if _compat.inside_custom_function():
                warnings.warn(
                    f"{spelled(spelling.function)} runs inside a torch.autograd.Function, whose forward is not recorded:"
                    " its bounds are right, but no gradient flows through them."
                    " Give the function a rule with intervaltorch.register, or write it as a plain function.",
                    GradientWarning,
                    stacklevel=4,
                )
            return
