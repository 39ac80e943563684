"""From a torch call to a rule.

A call on intervals goes, in this order, to its rule; to its own body or its ATen calls, each of which comes back here;
to a decomposition of torch; or it is refused by name. The class of interval tensors arrives as an argument.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import _compat, rounding
from ._escapes import traced
from ._messages import as_called, explain, no_place, unsupported
from ._refusals import refusal
from ._registry import OPS, Box, Spelling, in_place, spelled
from .errors import GradientWarning, UnprovenOpError, UnsupportedOpError

__all__ = ["dispatch", "dispatch_aten"]


def dispatch(cls: type, function: Any, types: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Answer `function(*args, **kwargs)` for arguments of which some are instances of `cls`."""
    if _compat.jit_tracing():
        raise traced()
    spelling = OPS.get(function)
    if spelling is None:
        spelling = OPS.get(_compat.overload_packet(function))
        if spelling is None:
            return _fallback(cls, function, types, args, kwargs)
    return run(cls, spelling, args, kwargs)


def dispatch_aten(cls: type, function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Answer an ATen call that a C++ kernel made on intervals: by a rule or a decomposition of torch."""
    if _compat.scripted_autodiff(function) and not args[0].requires_grad:
        warnings.warn(
            "TorchScript differentiates what it has optimised by itself: the bounds are right, but no gradient flows"
            " through them. Leave the program unscripted, or keep torch.jit.optimized_execution(False) from its first"
            " call on.",
            GradientWarning,
            stacklevel=3,
        )
    spelling = OPS.get(function.overloadpacket)
    if _compat.leaving_vmap():
        raise UnsupportedOpError(
            "torch.vmap cannot put boxes together again",
            "return bounds: torch.vmap(lambda l, u: f(IntervalTensor(l, u)).lower)(X.lower, X.upper)",
        )
    if spelling is None and refusal(function):
        raise unsupported(function, args, kwargs)
    if _compat.vmapping():
        raise UnsupportedOpError(
            f"{spelled(function)} cannot run on a box under torch.vmap",
            "rules act on whole batches: call the function on the batch itself; or return bounds, Y.lower and Y.upper",
        )
    # Below autograd its kernels are switched off; reentrant dispatch brings them back, so that the
    # rule's own operations on the bounds are recorded.
    with _compat.enable_reentrant_dispatch():
        if spelling is not None:
            return run(cls, spelling, args, kwargs)
        functional = _compat.out_of_place(function) if in_place(function.overloadpacket) else None
        if functional is not None:
            if not isinstance(args[0], cls):
                raise no_place(function, args, kwargs)
            # As in `_run_in_place`: what is saved for the backward pass must not be what is overwritten.
            target: Any = args[0]
            result = functional(target.clone(), *args[1:], **kwargs)
            write(target._box, result._box)
            return target
        decomposed = _compat.decomposition(function)
        if decomposed is not None:
            result = decomposed(*_as_points(cls, args), **_as_points(cls, kwargs))
            if result is not NotImplemented:
                return result
    raise unsupported(function, args, kwargs)


def run(cls: type, spelling: Spelling, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Apply a rule, in place if the spelling says so, and wrap its boxes."""
    if rounding.outward():
        _check_outward(spelling)
    if not torch.is_grad_enabled():
        _warn_lost_gradient(cls, spelling, args)
    if kwargs:
        if kwargs.get("out") is not None:
            raise UnsupportedOpError(
                f"{spelled(spelling.function)} does not write intervals into out=", "assign the result instead"
            )
        names = {} if inspect.isfunction(spelling.function) else _NUMPY_NAMES
        kwargs = {names.get(name, name): value for name, value in kwargs.items() if name != "out"}
    inplace = spelling.inplace
    if spelling.inplace_position is not None:
        inplace, args, kwargs = _take_inplace(spelling.inplace_position, args, kwargs)
    if inplace:
        return _run_in_place(cls, spelling, args, kwargs)
    boxes = [arg._box if type(arg) is cls else unwrap(cls, arg) for arg in args]  # type: ignore[attr-defined]
    named = {name: unwrap(cls, value) for name, value in kwargs.items()} if kwargs else kwargs
    enclose = _rule_for(spelling, (boxes, named), args, kwargs)
    try:
        result = enclose(*boxes, **named)
    except TypeError as error:
        raise explain(error, spelling, args, kwargs) from error
    return cls._wrap(result) if type(result) is Box else wrap(cls, result)  # type: ignore[attr-defined]


def _check_outward(spelling: Spelling) -> None:
    """Refuse to round outward what may be computed otherwise than the error bounds assume."""
    rounding.check_underflow()
    if _compat.autocasting():
        raise UnprovenOpError(
            f"{spelled(spelling.function)} cannot be rounded outward under torch.autocast",
            "it may compute in a narrower dtype than the error bounds are stated for",
            'leave autocast off here, or use rounding("nearest")',
        )


_NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}  # functions of torch in C++ take these too


def _take_inplace(position: int, args: tuple, kwargs: dict[str, Any]) -> tuple[bool, tuple, dict[str, Any]]:
    """Take the `inplace` flag out of the arguments of a function of `torch.nn.functional`."""
    if len(args) > position:
        return bool(args[position]), args[:position] + args[position + 1 :], kwargs
    rest = dict(kwargs)
    return bool(rest.pop("inplace", False)), args, rest


def _rule_for(spelling: Spelling, values: Any, args: tuple, kwargs: dict[str, Any]) -> Callable[..., Any]:
    """The rule for these arguments: complex numbers have one of their own, or are refused by name."""
    if not _has_complex(values):
        return spelling.enclose
    if spelling.op.complex is not None:
        return spelling.op.complex(spelling.enclose)
    refusal = unsupported(spelling.function, args, kwargs)
    refusal.headline = f"the interval rule of {spelled(spelling.function)} is for real numbers"
    refusal.details[1:] = ["bound the parts: x.real, x.imag and x.abs() are boxes of real numbers"]
    raise refusal


def _has_complex(value: Any) -> bool:
    """Whether there is a complex tensor, box, number or dtype among arguments."""
    kind = type(value)
    if kind is Box:
        return value.lower.is_complex()
    if kind is tuple or kind is list:
        return any(map(_has_complex, value))
    if kind is dict:
        return any(map(_has_complex, value.values()))
    if isinstance(value, (Tensor, torch.dtype)):
        return value.is_complex if isinstance(value, torch.dtype) else value.is_complex()
    return kind is complex


def _run_in_place(cls: type, spelling: Spelling, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Compute out of place, then copy the new bounds into the old memory.

    Copying keeps views right. Where autograd records, the rule sees clones: whatever it saves for the
    backward pass is then not what the copy overwrites, so gradients are right too.
    """
    name = None if args else "self" if "self" in kwargs else "input"
    target = args[0] if name is None else kwargs[name]
    if not isinstance(target, cls):
        raise no_place(spelling.function, args, kwargs)
    box: Box = target._box  # type: ignore[attr-defined]
    clones: dict[int, Box] = {}
    if torch.is_grad_enabled():
        # One clone for the target wherever it occurs, so that a rule still sees x * x as a square.
        clones[id(box)] = Box(box.lower.clone(), box.upper.clone())
    boxes = [unwrap(cls, arg, clones) for arg in args]
    named = {key: unwrap(cls, value, clones) for key, value in kwargs.items()}
    enclose = _rule_for(spelling, (boxes, named), args, kwargs)
    try:
        result = enclose(*boxes, **named)
    except TypeError as error:
        raise explain(error, spelling, args, kwargs) from error
    write(box, result)
    return target


def write(box: Box, result: Any) -> None:
    """Copy new bounds into the memory of a box: both, or neither and an error.

    Raises:
        RuntimeError: where torch raises it for in-place operations: if the shapes or dtypes do not fit, or autograd
            needs the old value of a leaf.
    """
    lower, upper = result if isinstance(result, Box) else (result, result)
    if lower.shape != box.lower.shape:
        raise RuntimeError(
            f"output with shape {list(box.lower.shape)} doesn't match the broadcast shape {list(lower.shape)}"
        )
    if not torch.can_cast(lower.dtype, box.lower.dtype):
        raise RuntimeError(f"result type {lower.dtype} can't be cast to the desired output type {box.lower.dtype}")
    if torch.is_grad_enabled() and any(bound.requires_grad and bound.is_leaf for bound in box):
        raise RuntimeError(
            "a leaf box that requires grad is being used in an in-place operation: use the other one, or clone it"
        )
    if lower.is_complex():  # part by part
        sides = map(torch.view_as_real, (box.lower, box.upper, lower, upper))
        write(Box(*itertools.islice(sides, 2)), Box(*sides))
        return
    lower, upper = rounding.cast(lower, upper, box.lower.dtype)
    box.lower.copy_(lower)
    box.upper.copy_(upper)


def unwrap(cls: type, value: Any, clones: Mapping[int, Box] = MappingProxyType({})) -> Any:
    """Replace interval tensors by their boxes, also in tuples, lists and dicts; NumPy's arrays and numbers by torch's.

    Args:
        cls: the class of interval tensors.
        value: an argument.
        clones: boxes to give in place of others, by identity.
    """
    if isinstance(value, cls):
        box = value._box  # type: ignore[attr-defined]
        return clones.get(id(box), box)
    kind = type(value)
    if kind is tuple or kind is list:
        return kind([unwrap(cls, item, clones) for item in value])
    if kind is dict:
        return {key: unwrap(cls, item, clones) for key, item in value.items()}
    if kind is np.ndarray:
        return torch.as_tensor(value)
    if isinstance(value, np.generic):
        return value.item()
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
    if not callable(function) or _returns_raw_values(function) or refusal(function):
        raise unsupported(function, args, kwargs)
    if in_place(function) and args and isinstance(args[0], Tensor) and not isinstance(args[0], cls):
        raise no_place(function, args, kwargs)
    # Once optimised, a scripted module differentiates itself, and the bounds lose the gradients of its parameters.
    plainly = torch.jit.optimized_execution(False) if _compat.scripted(function) else contextlib.nullcontext()
    try:
        with plainly:
            result = _compat.redispatch_function(function, types, _as_points(cls, args), _as_points(cls, kwargs))
    except UnsupportedOpError as error:
        raise as_called(error, function, args, kwargs) from error
    except SystemError as error:  # some kernels, such as gru's, lose an exception that is raised inside them
        raise unsupported(function, args, kwargs) from error
    return _rewrap(cls, result, args)


def _as_points(cls: type, value: Any) -> Any:
    """In outward mode, turn plain floating arguments into point boxes.

    A body may combine two of them before a box comes in; as points, that step too rounds outward.
    """
    if not rounding.outward():
        return value
    if isinstance(value, Tensor) and not isinstance(value, cls) and (value.is_floating_point() or value.is_complex()):
        return cls._wrap(Box(value, value))  # type: ignore[attr-defined]
    if type(value) in (tuple, list):
        return type(value)([_as_points(cls, item) for item in value])
    if type(value) is dict:
        return {key: _as_points(cls, item) for key, item in value.items()}
    return value


def _rewrap(cls: type, result: Any, args: tuple) -> Any:
    """Free results from the autograd marks that outer C++ kernels leave on the wrappers.

    What a function returns of its own arguments, as one in place does, stays the object that it was.
    """
    if isinstance(result, cls):
        return result if any(result is arg for arg in args) else cls._wrap(result._box)  # type: ignore[attr-defined]
    if isinstance(result, (tuple, list)):
        items = [_rewrap(cls, item, args) for item in result]
        if type(result) in (tuple, list) or hasattr(result, "n_fields"):
            return type(result)(items)
        return type(result)(*items) if hasattr(result, "_fields") else result
    return result


def _returns_raw_values(function: Any) -> bool:
    return getattr(function, "__name__", "") in ("__set__", "__delete__")


def _warn_lost_gradient(cls: type, spelling: Spelling, args: tuple) -> None:
    """Warn inside a `torch.autograd.Function`, whose forward runs without grad."""
    for arg in args:
        tracked = arg._box.lower.requires_grad if type(arg) is cls else isinstance(arg, Tensor) and arg.requires_grad  # type: ignore[attr-defined]
        if tracked:
            if _compat.inside_custom_function():
                warnings.warn(
                    f"{spelled(spelling.function)} runs inside a torch.autograd.Function, whose forward is not"
                    " recorded: its bounds are right, but no gradient flows through them."
                    " Give the function a rule with intervaltorch.register, or write it as a plain function.",
                    GradientWarning,
                    stacklevel=4,
                )
            return
