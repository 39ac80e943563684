"""Every private or unstable part of torch that the library uses, each with the reason. No other file imports them."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any, NamedTuple

import torch
import torch._functorch.eager_transforms
import torch._functorch.vmap
import torch.nn.parallel.distributed as data_parallel
from torch._decomp import decomposition_table
from torch._subclasses.fake_tensor import FakeTensor, UnsupportedFakeTensorException
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.overrides import enable_reentrant_dispatch, redispatch_function
from torch.utils._pytree import tree_leaves, tree_map

__all__ = [
    "Checked",
    "above_autograd",
    "anywhere",
    "autocasting",
    "behind",
    "below_autograd",
    "called_by_backward_hooks",
    "called_by_fsdp",
    "called_by_fully_shard",
    "called_by_script",
    "called_by_tracer",
    "called_by_transform",
    "called_by_vmap",
    "checked_by_distribution",
    "data_parallel",
    "decomposition",
    "divergence",
    "forward_mode",
    "generator_state",
    "guard_memory",
    "inside_custom_function",
    "is_aten",
    "jit_tracing",
    "leaving_vmap",
    "lost_out",
    "make_wrapper",
    "out_of_place",
    "overload_packet",
    "plain_tensors_only",
    "print_options",
    "readable",
    "redispatch_function",
    "scripted",
    "scripted_autodiff",
    "stft_kernel",
    "tracing",
    "transforming",
    "transforms_seen",
    "tree_leaves",
    "tree_map",
    "untraceable",
    "vmapping",
    "without_reason",
    "without_saved_tensor_hooks",
    "without_torch_function",
]


def make_wrapper(cls: type, like: torch.Tensor) -> Any:
    """Make an instance of a tensor subclass that has `like`'s metadata and no storage.

    Private, but the documented way to write a wrapper subclass (`torch.testing._internal.two_tensor` is the model).
    """
    if torch.is_inference_mode_enabled() and not like.is_inference():
        # `like` is a view of a tensor from outside inference mode, so its wrapper must not be an inference tensor.
        with torch.inference_mode(False):
            return make_wrapper(cls, like)
    wrapper: Any = torch.Tensor._make_wrapper_subclass(
        cls, like.shape, strides=like.stride(), dtype=like.dtype, device=like.device
    )
    # There is no memory to read: DLPack and kernels of C++ extensions get an error instead of a null pointer.
    torch._C._set_throw_on_mutable_data_ptr(wrapper)
    return wrapper


_guards = torch.library.Library("aten", "IMPL")


def guard_memory(check: Callable[..., None]) -> None:
    """Call `check(taker, giver)` before C++ gives the memory of a tensor subclass to another tensor.

    `x.data = y` and `x.set_(y, offset, size, stride)` do not ask a subclass. They take the memory of `y`; a wrapper has
    no memory, so the next kernel that reads it ends the interpreter. But both call a composite operator first. The
    dispatcher passes this operator to kernels for a key that only tensors with `__torch_dispatch__` have.
    """

    def guard(operator: Any) -> None:
        def checked(taker: Any, giver: Any, *rest: Any, **named: Any) -> Any:
            check(taker, giver)
            with torch._C._ExcludeDispatchKeyGuard(key), torch._C.DisableTorchFunctionSubclass():
                return operator(taker, giver, *rest, **named)

        _guards.impl(operator, checked, "PythonTLSSnapshot", allow_override=True)

    key = torch._C.DispatchKeySet(torch._C.DispatchKey.PythonTLSSnapshot)
    guard(torch.ops.aten._has_compatible_shallow_copy_type.default)
    guard(torch.ops.aten.set_.source_Tensor_storage_offset)


def print_options() -> Any:
    """The options of `torch.set_printoptions`. No public function returns them."""
    return torch._tensor_str.PRINT_OPTS


def overload_packet(function: Any) -> Any:
    """Return `aten.exp` for `aten.exp.default` and for a custom op of `torch.library`; any other callable as it is."""
    if isinstance(function, torch.library.CustomOpDef):
        function = function._opoverload
    return function.overloadpacket if isinstance(function, torch._ops.OpOverload) else function


def out_of_place(function: torch._ops.OpOverload) -> Any:
    """Return `aten.exp` for `aten.exp_.default`, or None if there is no such operator."""
    return getattr(torch.ops.aten, function.overloadpacket.__name__.removesuffix("_"), None)


def is_aten(function: Any) -> bool:
    """Whether a callable is an operator of torch's C++ dispatcher, with all its overloads."""
    return isinstance(function, torch._ops.OpOverloadPacket)


def decomposition(function: Any) -> Callable[..., Any] | None:
    """Return a Python program for an ATen overload in terms of simpler ones, if torch has one.

    `torch._decomp.decomposition_table` is private; `torch.export`'s public table holds only what export needs.
    """
    # First the decomposition that C++ uses itself. It skips torch functions for one step, because they would call the
    # same operator again.
    if isinstance(function, torch._ops.OpOverload) and function._can_decompose():
        return lambda *args, **kwargs: redispatch_function(function.decompose, (), args, kwargs)
    return decomposition_table.get(function)


def without_torch_function() -> AbstractContextManager:
    """Run C++ kernels on wrappers: their ATen calls then reach `__torch_dispatch__`."""
    return torch._C.DisableTorchFunctionSubclass()


@contextlib.contextmanager
def above_autograd() -> Iterator[None]:
    """Switch the kernels of autograd on again inside `__torch_dispatch__`, as they were when the kernel was called.

    If a `TorchDispatchMode` passed the call on, the mode is off by now. But torch restores the mark of the mode too,
    and would send every plain tensor to a mode that is off.
    """
    keys = torch._C.DispatchKey
    with enable_reentrant_dispatch():
        if torch._C._len_torch_dispatch_stack() or not torch._C._dispatch_tls_is_dispatch_key_included(keys.Python):
            yield
            return
        included = torch._C._dispatch_tls_local_include_set().remove(keys.Python).remove(keys.PythonTLSSnapshot)
        with torch._C._ForceDispatchKeyGuard(included, torch._C._dispatch_tls_local_exclude_set()):
            yield


def below_autograd(function: Any) -> bool:
    """Whether an ATen operator is called where the kernels of autograd, and lazy conjugation, are switched off.

    They are off inside the `__torch_dispatch__` of a mode. In inference mode only autograd is off.
    """
    return isinstance(function, torch._ops.OpOverload) and torch._C._dispatch_tls_is_dispatch_key_excluded(
        torch._C.DispatchKey.Conjugate
    )


@contextlib.contextmanager
def plain_tensors_only() -> Iterator[None]:
    """Run on real tensors, whatever mode is on; a fake or recording mode would replace or record the operations.

    There is no public way to leave `FakeTensorMode` and similar modes.
    """
    with torch.no_grad(), torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
        yield


def generator_state() -> bytes:
    """The state of torch's random generator, which changes with every draw; empty while a graph is recorded."""
    if torch.compiler.is_compiling():
        return b""
    with plain_tensors_only(), transforms_seen(False):
        return torch.default_generator.get_state().numpy().tobytes()


@contextlib.contextmanager
def without_saved_tensor_hooks() -> Iterator[None]:
    """Remove the hooks of `torch.autograd.graph.saved_tensors_hooks` for a while, because `torch.func` refuses them.

    Checkpoints are made of such hooks, and do not recompute operations inside this block.
    """
    hooks = []
    while (top := torch._C._autograd._top_saved_tensors_default_hooks(True)) is not None:
        hooks.append(top)
        torch._C._autograd._pop_saved_tensors_default_hooks()
    try:
        yield
    finally:
        for pack, unpack in reversed(hooks):
            torch._C._autograd._push_saved_tensors_default_hooks(pack, unpack)


def tracing() -> bool:
    """Whether this call is being recorded by export or compile, where values cannot be read."""
    return torch.compiler.is_compiling() or torch._C._functorch.maybe_current_level() is not None


def forward_mode() -> bool:
    """Whether forward-mode differentiation is on; `requires_grad` of tensors does not show it."""
    return torch.autograd.forward_ad._current_level >= 0


def vmapping() -> bool:
    """Whether `torch.vmap` is running, so that tensors have no single values to read."""
    stack = torch._C._functorch.get_interpreter_stack()
    return bool(stack) and any(level.key() == torch._C._functorch.TransformType.Vmap for level in stack)


def readable(x: torch.Tensor) -> bool:
    """Whether a plain tensor has values to read: not on the meta device, and not while a program is recorded."""
    if x.is_meta or torch.compiler.is_compiling() or isinstance(x, FakeTensor):
        return False
    return get_proxy_mode() is None


def anywhere(mask: torch.Tensor) -> bool:
    """Whether a plain Boolean tensor is true anywhere; under `torch.vmap`, in any of the samples."""
    return bool(behind(mask).any())


def behind(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor inside the wrappers of `torch.func` transforms."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def called_by_vmap() -> bool:
    """Whether the caller of the caller is `torch.vmap`, which asks for the size of the dimension that it will map over.

    This is the only method that vmap calls on every tensor before it splits the tensor into samples.
    """
    return sys._getframe(2).f_code.co_filename == torch._functorch.vmap.__file__


def leaving_vmap() -> bool:
    """Whether `torch.vmap` calls a kernel on a box to put the samples of a result together."""
    return _kernel_caller().f_code.co_name == "_remove_batch_dim"


def _kernel_caller() -> FrameType:
    """The Python frame from which C++ called `__torch_dispatch__`."""
    frame = sys._getframe(2)
    while frame.f_code.co_name != "__torch_dispatch__":
        frame = frame.f_back  # type: ignore[assignment]
    return frame.f_back  # type: ignore[return-value]


def transforming() -> bool:
    """Whether a transform of `torch.func` is running."""
    return torch._C._functorch.maybe_current_level() is not None


@contextlib.contextmanager
def transforms_seen(on: bool) -> Iterator[None]:
    """Choose whether transforms of `torch.func` see the calls of C++ kernels; if not, kernels get boxes unwrapped."""
    keys = torch._C.DispatchKey
    with (
        torch._C._SetExcludeDispatchKeyGuard(keys.FuncTorchDynamicLayerFrontMode, not on),
        torch._C._SetExcludeDispatchKeyGuard(keys.FuncTorchDynamicLayerBackMode, not on),
    ):
        yield


def called_by_transform() -> bool:
    """Whether a transform of `torch.func` calls C++ directly, as it does when it has wrapped a box.

    A call of the program itself passes `redispatch_function` or `torch.ops` on its way to C++.
    """
    frame: FrameType | None = _kernel_caller()
    if frame is None or frame.f_code is redispatch_function.__code__ or frame.f_code.co_filename == torch._ops.__file__:
        return False
    while frame is not None:
        if frame.f_code.co_filename == _TRANSFORMS_FILE:
            return True
        frame = frame.f_back
    return False


def lost_out(function: Any) -> Any:
    """The argument `out` of a call of `torch.chain_matmul`, which does not pass it on to `__torch_function__`."""
    frame: FrameType | None = sys._getframe(2)
    while function is torch.chain_matmul and frame is not None:
        if frame.f_code is torch.functional.chain_matmul.__code__:
            return frame.f_locals["out"]
        frame = frame.f_back
    return None


def called_by_script() -> bool:
    """Whether TorchScript calls: then C++ is called directly from a frame of the user, without torch's own Python.

    Some methods of a tensor are also called like this. So the answer is False if no function has been scripted.
    """
    return bool(torch.jit._state._jit_caching_layer) and not _kernel_caller().f_code.co_filename.startswith(_TORCH)


def without_reason(error: Exception) -> bool:
    """Whether this is TorchScript's error in place of an error raised in Python, without the text of that error."""
    return "TorchScript" in str(error) and str(error).rstrip().endswith("RuntimeError:")


def scripted(function: Any) -> bool:
    """Whether a callable is a method of a scripted or traced module."""
    return isinstance(function, torch._C.ScriptMethod)


def scripted_autodiff(function: Any) -> bool:
    """Whether C++ detaches a tensor directly below a frame of the user, or of a scripted module, while grad is on.

    TorchScript detaches the inputs and outputs of a subgraph that it differentiates by itself. Autograd also detaches
    an output that it saves, but that output requires grad.
    """
    if function is not torch.ops.aten.detach.default or not torch.is_grad_enabled():
        return False
    frame = _kernel_caller()
    if frame.f_code is redispatch_function.__code__:
        return scripted(frame.f_locals["func"])
    return called_by_script()


_TORCH = torch.__path__[0]


def jit_tracing() -> bool:
    """Whether `torch.jit.trace` is recording; the public function takes three times as long."""
    return torch._C._is_tracing()


def called_by_tracer() -> bool:
    """Whether the caller of the caller describes a tensor to a tracer, which replaces it by a tensor without values."""
    return sys._getframe(2).f_code.co_filename.endswith("meta_utils.py")


def untraceable(reason: str) -> Exception:
    """The error by which a tensor tells a tracer of torch that it cannot be recorded.

    For Dynamo the error is a graph break: the program then runs uncompiled, unless `fullgraph=True`. Dynamo is also
    told not to compile the library's own code.
    """
    dynamo = sys.modules.get("torch._dynamo.trace_rules")
    if dynamo is not None:
        dynamo.add(__package__)
        log = logging.getLogger("torch._dynamo.utils")
        if not any(isinstance(known, _Uncompiled) for known in log.filters):
            log.addFilter(_Uncompiled(reason))
    return UnsupportedFakeTensorException(reason)


class _Uncompiled(logging.Filter):
    """Log once that a program runs on boxes uncompiled, in place of Dynamo's messages for every frame."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason, self.said = reason, False

    def filter(self, record: logging.LogRecord) -> bool:
        """Let other records pass, and the first record about boxes."""
        if self.reason not in record.getMessage():
            return True
        first, self.said = not self.said, True
        record.msg, record.args = "intervaltorch: torch.compile runs this program on boxes as it is, uncompiled", ()
        return first


def called_by_backward_hooks() -> bool:
    """Whether the caller of the caller sets up backward hooks: a module, or a tracker of modules."""
    code = sys._getframe(2).f_code
    if code.co_filename == torch.nn.modules.module.__file__:
        return code.co_name in ("inner", "_call_impl")
    return code.co_filename in (torch.utils.hooks.__file__, torch.autograd.graph.__file__)


def called_by_fsdp() -> bool:
    """Whether the caller of the caller is `FullyShardedDataParallel`, which waits for any gradient."""
    code = sys._getframe(2).f_code
    return code.co_name == "_register_hook" and code.co_filename.endswith("_runtime_utils.py")


def called_by_fully_shard() -> bool:
    """Whether the caller of the caller is `fully_shard`."""
    return "_fully_shard" in sys._getframe(2).f_code.co_filename


def autocasting() -> bool:
    """Whether autocast is on for any kind of device; the public function tells this for one kind."""
    return torch._C._is_any_autocast_enabled()


def inside_custom_function() -> bool:
    """Whether the forward of a `torch.autograd.Function` is running, which runs without grad.

    There is no public function for this. A forward also runs without forward-mode derivatives, which `torch.no_grad`
    leaves on.
    """
    return not torch._C._is_fwd_grad_enabled() and not torch.is_inference_mode_enabled()


class Checked(NamedTuple):
    """A check of `torch.distributions`: of an argument of a distribution, or of a value passed to its methods."""

    distribution: str
    name: str
    value: Any
    constraint: Any


def checked_by_distribution() -> Checked | None:
    """The current check of `torch.distributions`, if any. A check sees Booleans only, so this searches its callers."""
    frame = sys._getframe(1)
    while frame is not None:
        found, code = frame.f_locals, frame.f_code
        if code.co_filename == _DISTRIBUTION_FILE and code.co_name in ("__init__", "_validate_sample"):
            name, constraint = found.get("param", "the value"), found.get("constraint", found.get("support"))
            return Checked(type(found["self"]).__name__, name, found.get("value"), constraint)
        frame = frame.f_back  # type: ignore[assignment]
    return None


def divergence(p: type, q: type) -> Callable[[Any, Any], Any]:
    """The function by which torch computes the divergence of two kinds of distributions."""
    return torch.distributions.kl._dispatch_kl(p, q)


stft_kernel = torch._VF.stft  # type: ignore[attr-defined]
"""The kernel that `torch.stft` calls after padding a plain signal; only the kernel sees a window that is a box."""

_TRANSFORMS_FILE = torch._functorch.eager_transforms.__file__
_DISTRIBUTION_FILE = torch.distributions.distribution.__file__
