"""From a torch call to a rule.

A call on intervals is answered by its rule. A call without a rule runs its own body or its ATen calls, each of which
comes back to the dispatcher, or a decomposition of torch. Any other call is refused by name. The class of interval
tensors is an argument of the dispatcher.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import _compat
from .. import _rounding as rounding
from .._records import draws as _draws
from .._records.escapes import traced
from .._records.refusals import refusal
from .._records.registry import OPS, Box, Spelling, in_place, spelled
from .._theorems.boxes import check_writable
from .._theorems.layout import rearranged
from .._trees import leaves
from ..errors import GradientWarning, IntervalError, UnprovenOpError, UnsupportedOpError
from . import scripts as _scripts
from . import transforms as _transforms
from .arguments import Call, as_points, boxed, has_unusual, is_complex, rewrap, unwrap, wrap
from .failures import check_devices, check_numbers, check_reading
from .infinite_ends import differentiable
from .messages import as_called, no_place, not_for, unsupported
from .torch_errors import answer_as_torch_does, as_torch_lays_out, as_torch_returns

__all__ = ["dispatch", "dispatch_aten"]


def dispatch(cls: type, function: Any, types: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Answer `function(*args, **kwargs)`, where some arguments are instances of `cls`."""
    if _compat.jit_tracing():
        raise traced()
    spelling = OPS.get(function)
    if spelling is None:
        if _compat.below_autograd(function):  # a mode passes on what a kernel called
            return dispatch_aten(cls, function, args, kwargs)
        spelling = OPS.get(_compat.overload_packet(function))
        if spelling is None:
            return _fallback(cls, function, types, args, kwargs)
    return run(cls, spelling, args, kwargs)


def dispatch_aten(cls: type, function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Answer an ATen call that a C++ kernel made on intervals: by a rule or a decomposition of torch."""
    _scripts.warn_of_cut_graph(function, args)
    try:
        return _answer_kernel(cls, function, args, kwargs)
    except Exception as error:
        _scripts.keep_error(error)
        raise


def _answer_kernel(cls: type, function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    spelling = OPS.get(function.overloadpacket)
    _transforms.check_caller(function)
    if spelling is None and refusal(function):
        raise unsupported(function, args, kwargs)
    _refuse_out(function, kwargs)
    # Here the kernels of autograd are switched off. Switch them on again, so that autograd records the operations of
    # the rule on the bounds.
    with _compat.above_autograd(), _transforms.seen_again():
        if spelling is not None:
            return run(cls, spelling, args, kwargs)
        functional = _compat.out_of_place(function) if in_place(function.overloadpacket) else None
        if functional is not None:
            if not isinstance(args[0], cls):
                raise no_place(function, args, kwargs)
            # As in `_run_in_place`: a tensor that is saved for the backward pass must not be overwritten.
            target: Any = args[0]
            result = functional(target.clone(), *args[1:], **kwargs)
            write(target._box, result._box)
            return target
        decomposed = _compat.decomposition(function)
        if decomposed is not None:
            if rounding.outward():
                args, kwargs = as_points(cls, args), as_points(cls, kwargs)
            result = decomposed(*args, **kwargs)
            if result is not NotImplemented:
                return result
    raise unsupported(function, args, kwargs)


def run(cls: type, spelling: Spelling, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Apply a rule, in place if the spelling says so, and wrap its boxes."""
    if rounding.outward():
        _check_outward(spelling)
    if not torch.is_grad_enabled() and _compat.inside_custom_function():
        _warn_lost_gradient(spelling, args, kwargs)
    if kwargs:
        _refuse_out(spelling.function, kwargs)
        names = {} if inspect.isfunction(spelling.function) else _NUMPY_NAMES
        kwargs = {names.get(name, name): value for name, value in kwargs.items() if name != "out"}
    inplace = spelling.inplace
    if spelling.inplace_position is not None:
        inplace, args, kwargs = _take_inplace(spelling.inplace_position, args, kwargs)
    if inplace:
        return _run_in_place(cls, spelling, args, kwargs)
    boxes = [arg._box if type(arg) is cls else unwrap(cls, arg) for arg in args]  # type: ignore[attr-defined]
    named = {name: unwrap(cls, value) for name, value in kwargs.items()} if kwargs else kwargs
    result = _apply(Call(spelling, boxes, named, args, kwargs))
    return cls._wrap(result) if type(result) is Box else wrap(cls, result)  # type: ignore[attr-defined]


def _refuse_out(function: Any, kwargs: dict[str, Any]) -> None:
    if kwargs.get("out") is not None:
        raise UnsupportedOpError(
            f"{spelled(function)} does not write intervals into out=", "assign the result instead", function=function
        )


def _check_outward(spelling: Spelling) -> None:
    """Refuse outward rounding where torch may compute in another way than the error bounds assume."""
    rounding.check_underflow()
    if _compat.autocasting():
        raise UnprovenOpError(
            f"{spelled(spelling.function)} cannot be rounded outward under torch.autocast",
            "autocast may compute in a narrower dtype than the error bounds assume",
            'leave autocast off here, or use rounding("nearest")',
        )


_NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}  # torch's C++ functions take NumPy's names too


def _take_inplace(position: int, args: tuple, kwargs: dict[str, Any]) -> tuple[bool, tuple, dict[str, Any]]:
    """Take the `inplace` flag out of the arguments of a function of `torch.nn.functional`."""
    if len(args) > position:
        return bool(args[position]), args[:position] + args[position + 1 :], kwargs
    rest = dict(kwargs)
    return bool(rest.pop("inplace", False)), args, rest


def _apply(call: Call) -> Any:
    """The result of the rule. If the rule fails, raise torch's error, or an error that names the call."""
    spelling, boxes, named = call.spelling, call.boxes, call.named
    enclose = spelling.enclose
    if any(map(has_unusual, boxes)) or (named and has_unusual(named)):
        enclose = _rule_for_unusual(call)
    try:
        if torch.is_grad_enabled():
            result = differentiable(spelling.op, enclose, boxes, named)
        else:
            result = enclose(*boxes, **named)
    except IntervalError:
        raise
    except Exception as error:
        check_reading(error, call)
        if spelling.op.registered:  # a user's rule raises the user's errors
            raise
        return answer_as_torch_does(error, spelling.function, boxes, named)
    if spelling.op.torch_checks:
        return as_torch_returns(result, spelling.function, boxes, named)
    asked = not (spelling.op.each_bound or spelling.op.registered)
    if asked and (any(map(rearranged, boxes)) or (named and rearranged(list(named.values())))):
        return as_torch_lays_out(result, spelling.function, boxes, named)
    return result


def _rule_for_unusual(call: Call) -> Callable[..., Any]:
    """The rule for unusual arguments: complex numbers have a rule of their own, or are refused by name."""
    spelling = call.spelling
    values = list(leaves((call.boxes, call.named)))
    check_devices(values, call)
    check_numbers(values, spelling)
    if not any(map(is_complex, values)):
        return spelling.enclose
    if spelling.op.complex is not None:
        return spelling.op.complex(spelling.enclose)
    raise not_for(
        spelling.function, call.args, call.kwargs, "is for real numbers",
        advice="bound the parts: x.real, x.imag and x.abs() are boxes of real numbers",
    )  # fmt: skip


def _run_in_place(cls: type, spelling: Spelling, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Compute out of place, then copy the new bounds into the old memory.

    The copy keeps views right. Where autograd records, the rule gets clones, so the copy does not overwrite tensors
    that the rule saved for the backward pass, and gradients are right too.
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
    result = _apply(Call(spelling, boxes, named, args, kwargs))
    if result is NotImplemented:
        return NotImplemented
    write(box, result)
    return target


def write(box: Box, result: Any) -> None:
    """Copy new bounds into the memory of a box. After an error, neither bound has changed.

    Raises:
        RuntimeError: as torch does for in-place operations: if shapes or dtypes do not fit, or if autograd needs the
        old
            value of a leaf.
    """
    lower, upper = result if isinstance(result, Box) else (result, result)
    if lower.shape != box.lower.shape:
        raise RuntimeError(
            f"output with shape {list(box.lower.shape)} doesn't match the broadcast shape {list(lower.shape)}"
        )
    if not torch.can_cast(lower.dtype, box.lower.dtype):
        raise RuntimeError(f"result type {lower.dtype} can't be cast to the desired output type {box.lower.dtype}")
    check_writable(box)
    if lower.is_complex():  # part by part
        sides = map(torch.view_as_real, (box.lower, box.upper, lower, upper))
        write(Box(*itertools.islice(sides, 2)), Box(*sides))
        return
    lower, upper = rounding.cast(lower, upper, box.lower.dtype)
    box.lower.copy_(lower)
    box.upper.copy_(upper)


def _fallback(cls: type, function: Any, types: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Run the function's own body or kernel on the intervals; each call inside comes back to the dispatcher."""
    if not callable(function) or _returns_raw_values(function) or refusal(function):
        raise unsupported(function, args, kwargs)
    _refuse_out(function, kwargs or {"out": _compat.lost_out(function)})
    if in_place(function) and args and isinstance(args[0], Tensor) and not isinstance(args[0], cls):
        raise no_place(function, args, kwargs)
    if function is F.gumbel_softmax:
        _draws.masked("gumbel_softmax")
    own = _methods(cls).get(function)
    if own is not None and args and isinstance(args[0], cls):
        return own(*args, **kwargs)
    transformed = _transforms.meets_kernel(function)
    points, named = args, kwargs
    if transformed or rounding.outward():
        points, named = as_points(cls, args), as_points(cls, kwargs)
    call = _transforms.run_kernel if transformed else _compat.redispatch_function
    try:
        with _scripts.running(function):
            result = call(function, types, points, named)
    except UnsupportedOpError as error:
        raise as_called(error, function, args, kwargs) from error
    except IntervalError:
        raise
    except Exception as error:
        return answer_as_torch_does(error, function, *boxed(cls, (args, kwargs)))
    if not in_place(function):
        boxes = boxed(cls, result)
        checked = as_torch_returns(boxes, function, *boxed(cls, (args, kwargs)))
        result = result if checked is boxes else wrap(cls, checked)
    return rewrap(cls, result, args)


@functools.lru_cache
def _methods(cls: type) -> dict[Any, Callable[..., Any]]:
    """The methods of the class that answer unbound calls of a tensor's methods or attributes, as `Tensor.tolist(x)`."""
    found: dict[Any, Callable[..., Any]] = {}
    for base in reversed(cls.__mro__[: cls.__mro__.index(Tensor)]):
        for name, value in vars(base).items():
            theirs: Any = getattr(Tensor, name, None)
            if isinstance(value, property):
                pairs = (("__get__", value.fget), ("__set__", value.fset))
                found |= {getattr(theirs, part): call for part, call in pairs if call and hasattr(theirs, part)}
            elif inspect.isfunction(value) and theirs is not None and not name.startswith("__torch_"):
                found[theirs] = value
    return found


def _returns_raw_values(function: Any) -> bool:
    return getattr(function, "__name__", "") in ("__set__", "__delete__")


def _warn_lost_gradient(spelling: Spelling, args: tuple, kwargs: dict[str, Any]) -> None:
    """Warn inside a `torch.autograd.Function` of gradients that are lost because its forward is not recorded."""
    if any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in leaves((args, kwargs))):
        warnings.warn(
            f"{spelled(spelling.function)} runs inside a torch.autograd.Function, whose forward is not"
            " recorded: its bounds are right, but no gradient flows through them."
            " Give the function a rule with intervaltorch.register, or write it as a plain function;"
            " for torch.utils.checkpoint, use_reentrant=False keeps the gradient.",
            GradientWarning,
            stacklevel=4,
        )
