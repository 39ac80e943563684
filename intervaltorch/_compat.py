"""Every private or unstable part of torch that the library touches, with the reason. Nothing else imports them."""

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
        # A view of a tensor from outside; for kernels its wrapper must not be one from inside.
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

    `x.data = y` and `x.set_(y, offset, size, stride)` ask no subclass: they take the memory of `y`, which a wrapper
    does not have, and the next kernel that reads it ends the interpreter. But both call a composite operator first, and
    the dispatcher offers that one to kernels for the key that tensors with `__torch_dispatch__` alone have.
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
    """What `torch.set_printoptions` set, which no public function returns."""
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
    # First what C++ runs itself unless autograd is left out; past torch functions for one step, which would bring the
    # operator back as it is.
    if isinstance(function, torch._ops.OpOverload) and function._can_decompose():
        return lambda *args, **kwargs: redispatch_function(function.decompose, (), args, kwargs)
    return decomposition_table.get(function)


def without_torch_function() -> AbstractContextManager:
    """Run C++ kernels on wrappers: their ATen calls then reach `__torch_dispatch__`."""
    return torch._C.DisableTorchFunctionSubclass()


@contextlib.contextmanager
def above_autograd() -> Iterator[None]:
    """Bring the kernels of autograd back inside `__torch_dispatch__`, as they were when the kernel was called.

    A `TorchDispatchMode` that passed the call on is off by now, but torch brings its mark back too, and would send
    every plain tensor to a mode that is not there.
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

    That is inside the `__torch_dispatch__` of a mode; in inference mode autograd alone is off.
    """
    return isinstance(function, torch._ops.OpOverload) and torch._C._dispatch_tls_is_dispatch_key_excluded(
        torch._C.DispatchKey.Conjugate
    )


@contextlib.contextmanager
def plain_tensors_only() -> Iterator[None]:
    """Run on real tensors whatever mode is on: a fake or recording mode would see the operations, or make them its own.

    `FakeTensorMode` and its kind have no public way out.
    """
    with torch.no_grad(), torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
        yield


def generator_state() -> bytes:
    """The state of torch's random generator, which changes with every draw; nothing while a graph is recorded."""
    if torch.compiler.is_compiling():
        return b""
    with plain_tensors_only(), transforms_seen(False):
        return torch.default_generator.get_state().numpy().tobytes()


@contextlib.contextmanager
def without_saved_tensor_hooks() -> Iterator[None]:
    """Set aside the hooks of `torch.autograd.graph.saved_tensors_hooks`, which `torch.func` refuses to run under.

    Checkpoints are made of such hooks; what runs in here is no part of what they recompute.
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
    """Whether derivatives are computed along with values, which tensors do not tell by `requires_grad`."""
    return torch.autograd.forward_ad._current_level >= 0


def vmapping() -> bool:
    """Whether a `torch.vmap` is running, whose tensors have no single values that can be read."""
    stack = torch._C._functorch.get_interpreter_stack()
    return bool(stack) and any(level.key() == torch._C._functorch.TransformType.Vmap for level in stack)


def readable(x: torch.Tensor) -> bool:
    """Whether a plain tensor has values that can be asked about: not on the meta device, nor while it is recorded."""
    if x.is_meta or torch.compiler.is_compiling() or isinstance(x, FakeTensor):
        return False
    return get_proxy_mode() is None


def anywhere(mask: torch.Tensor) -> bool:
    """Whether a plain Boolean tensor is true anywhere: in any of the samples, where `torch.vmap` runs over some."""
    return bool(behind(mask).any())


def behind(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor for which transforms of `torch.func` have put stand-ins."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def called_by_vmap() -> bool:
    """Whether the caller of the caller is `torch.vmap`, which asks for the size of the dimension it is to hide.

    It is the only question that vmap asks of every tensor that it is about to take apart.
    """
    return sys._getframe(2).f_code.co_filename == torch._functorch.vmap.__file__


def leaving_vmap() -> bool:
    """Whether it is `torch.vmap` that calls a kernel on a box, putting the batch back into what it returns."""
    return _kernel_caller().f_code.co_name == "_remove_batch_dim"


def _kernel_caller() -> FrameType:
    """The Python frame below which C++ came to call `__torch_dispatch__`."""
    frame = sys._getframe(2)
    while frame.f_code.co_name != "__torch_dispatch__":
        frame = frame.f_back  # type: ignore[assignment]
    return frame.f_back  # type: ignore[return-value]


def transforming() -> bool:
    """Whether a transform of `torch.func` is running."""
    return torch._C._functorch.maybe_current_level() is not None


@contextlib.contextmanager
def transforms_seen(on: bool) -> Iterator[None]:
    """Whether transforms of `torch.func` see what C++ kernels call; if not, kernels meet boxes as they are."""
    keys = torch._C.DispatchKey
    with (
        torch._C._SetExcludeDispatchKeyGuard(keys.FuncTorchDynamicLayerFrontMode, not on),
        torch._C._SetExcludeDispatchKeyGuard(keys.FuncTorchDynamicLayerBackMode, not on),
    ):
        yield


def called_by_transform() -> bool:
    """Whether C++ calls straight below a frame that `torch.func` runs: so it does for its stand-in of a box.

    What a program itself calls on a box passes `redispatch_function` or `torch.ops` on its way to C++.
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
    """What `out=` is in a call of `torch.chain_matmul`, which keeps the argument from torch functions."""
    frame: FrameType | None = sys._getframe(2)
    while function is torch.chain_matmul and frame is not None:
        if frame.f_code is torch.functional.chain_matmul.__code__:
            return frame.f_locals["out"]
        frame = frame.f_back
    return None


def called_by_script() -> bool:
    """Whether a function of TorchScript calls: C++ straight below a frame of the user's, past torch's own Python.

    Some methods of a tensor do so too, hence the question whether any function has been scripted at all.
    """
    return bool(torch.jit._state._jit_caching_layer) and not _kernel_caller().f_code.co_filename.startswith(_TORCH)


def without_reason(error: Exception) -> bool:
    """Whether this is TorchScript's error for one that was raised in Python, whose text it loses."""
    return "TorchScript" in str(error) and str(error).rstrip().endswith("RuntimeError:")


def scripted(function: Any) -> bool:
    """Whether a callable is a method of a scripted or traced module."""
    return isinstance(function, torch._C.ScriptMethod)


def scripted_autodiff(function: Any) -> bool:
    """Whether C++ detaches a tensor straight below a frame of the user's, or of a scripted module, where grad is on.

    TorchScript does that to what enters and leaves a subgraph that it differentiates in its own way. So does autograd
    with an output that it saves, but that one requires grad.
    """
    if function is not torch.ops.aten.detach.default or not torch.is_grad_enabled():
        return False
    frame = _kernel_caller()
    if frame.f_code is redispatch_function.__code__:
        return scripted(frame.f_locals["func"])
    return called_by_script()


_TORCH = torch.__path__[0]


def jit_tracing() -> bool:
    """Whether `torch.jit.trace` is recording; the public question costs three times as much."""
    return torch._C._is_tracing()


def called_by_tracer() -> bool:
    """Whether the caller of the caller describes a tensor to a tracer, which replaces it by one without values."""
    return sys._getframe(2).f_code.co_filename.endswith("meta_utils.py")


def untraceable(reason: str) -> Exception:
    """The error by which a tensor tells a tracer of torch that it cannot be recorded.

    For Dynamo it is a graph break: the program then runs as it is, unless the whole graph was asked for. Dynamo is
    told to leave the library's own code alone, too.
    """
    dynamo = sys.modules.get("torch._dynamo.trace_rules")
    if dynamo is not None:
        dynamo.add(__package__)
        log = logging.getLogger("torch._dynamo.utils")
        if not any(isinstance(known, _Uncompiled) for known in log.filters):
            log.addFilter(_Uncompiled(reason))
    return UnsupportedFakeTensorException(reason)


class _Uncompiled(logging.Filter):
    """Say once, in place of what Dynamo logs for every frame, that a program runs on boxes uncompiled."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason, self.said = reason, False

    def filter(self, record: logging.LogRecord) -> bool:
        """Let records of others pass, and of ours the first."""
        if self.reason not in record.getMessage():
            return True
        first, self.said = not self.said, True
        record.msg, record.args = "intervaltorch: torch.compile runs this program on boxes as it is, uncompiled", ()
        return first


def called_by_backward_hooks() -> bool:
    """Whether the caller of the caller sets up backward hooks: a module on its input or output, or a tracker."""
    code = sys._getframe(2).f_code
    if code.co_filename == torch.nn.modules.module.__file__:
        return code.co_name in ("inner", "_call_impl")
    return code.co_filename in (torch.utils.hooks.__file__, torch.autograd.graph.__file__)


def called_by_fsdp() -> bool:
    """Whether the caller of the caller is `FullyShardedDataParallel`, to learn when a gradient comes, not which."""
    code = sys._getframe(2).f_code
    return code.co_name == "_register_hook" and code.co_filename.endswith("_runtime_utils.py")


def called_by_fully_shard() -> bool:
    """Whether the caller of the caller is `fully_shard`."""
    return "_fully_shard" in sys._getframe(2).f_code.co_filename


def autocasting() -> bool:
    """Whether autocast is on for any kind of device; the public question is about one kind."""
    return torch._C._is_any_autocast_enabled()


def inside_custom_function() -> bool:
    """Whether a `torch.autograd.Function` is running its forward, which it does without grad.

    Nothing public tells. It does so without derivatives of forward mode, too, which `torch.no_grad` leaves on.
    """
    return not torch._C._is_fwd_grad_enabled() and not torch.is_inference_mode_enabled()


class Checked(NamedTuple):
    """What `torch.distributions` is checking: an argument of a distribution, or a value that it is asked about."""

    distribution: str
    name: str
    value: Any
    constraint: Any


def checked_by_distribution() -> Checked | None:
    """What `torch.distributions` is checking, if it is: a check sees Booleans only, so this looks for who asks."""
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
"""What `torch.stft` calls once it has padded a plain signal; it alone sees that the window is a box."""

_TRANSFORMS_FILE = torch._functorch.eager_transforms.__file__
_DISTRIBUTION_FILE = torch.distributions.distribution.__file__
