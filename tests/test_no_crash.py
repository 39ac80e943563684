"""Ways in which torch's C++ takes memory from a tensor: a box has none, so each refuses or answers, and none crashes.

A crash ends the interpreter, so the attempts run in a process of their own.
"""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from intervaltorch import IntervalTensor

ATTEMPTS: dict[str, tuple[str, Callable[[], Any]]] = {}
"""What is to come of each attempt: `refuses`, `box`, `plain` or `runs`."""


def attempt(outcome: str, name: str = "") -> Any:
    def enter(function: Callable[[], Any]) -> Callable[[], Any]:
        ATTEMPTS[name or function.__name__] = outcome, function
        return function

    return enter


def box(*shape: int) -> IntervalTensor:
    return IntervalTensor(torch.zeros(shape), torch.ones(shape))


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(box(*shape))


def undecided() -> Any:
    return box(3).argmax()


def interval_layer() -> nn.Linear:
    layer = nn.Linear(2, 2).eval()
    layer.weight = parameter(2, 2)
    return layer


def used(tensor: Any) -> Any:
    """Read a tensor to the last byte."""
    tensor = tensor.detach()
    repr((tensor, tensor.sum(), tensor.clone(), tensor + 1))
    return tensor


# --- memory that a plain tensor takes ---------------------------------------------------------------------------------

TAKERS = {
    "tensor": lambda: torch.rand(3),
    "parameter": lambda: nn.Parameter(torch.rand(3)),
    "integers": lambda: torch.tensor([1, 2, 3]),
    "uninitialized": nn.UninitializedParameter,
}
GIVERS = {
    "box": lambda: box(3),
    "parameter": lambda: parameter(3),
    "undecided": undecided,
    "bools": lambda: box(3) > 0.5,
    "view": lambda: box(2, 3)[1],
    "detached": lambda: box(3).data,
}
WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "data": lambda x, y: setattr(x, "data", y),
    "data.__set__": lambda x, y: torch.Tensor.data.__set__(x, y),
    "set_": lambda x, y: x.set_(y),
    "set_ with strides": lambda x, y: x.set_(y, 0, (1,), (1,)),
    "aten.set_": lambda x, y: torch.ops.aten.set_(x, y),
}
for _taker, _make_taker in TAKERS.items():
    for _giver, _make_giver in GIVERS.items():
        for _way, _take in WAYS.items():

            @attempt("refuses", f"{_way} of a {_taker} from {_giver}")
            def _(x: Any = _make_taker, y: Any = _make_giver, take: Any = _take) -> Any:
                target = x()
                take(target, y())
                return used(target)


@attempt("refuses")
def data_without_torch_function():
    x = torch.rand(3)
    with torch._C.DisableTorchFunctionSubclass():
        x.data = box(3)
    return used(x)


@attempt("refuses")
def data_in_inference_mode():
    x = torch.rand(3)
    with torch.inference_mode():
        x.data = box(3)
    return used(x)


@attempt("refuses")
def vector_to_parameters():
    parameters = [nn.Parameter(torch.rand(2, 2)), nn.Parameter(torch.rand(3))]
    nn.utils.vector_to_parameters(box(7), parameters)
    return [used(p) for p in parameters]


@attempt("box")
def parameters_to_vector():
    return nn.utils.parameters_to_vector([box(2, 2), box(3)])


@attempt("refuses")
def data_of_skip_init():
    layer = nn.utils.skip_init(nn.Linear, 2, 2)
    layer.weight.data = box(2, 2)
    return used(layer.weight)


@attempt("refuses")
def data_of_running_statistics():
    norm = nn.BatchNorm1d(3)
    norm.running_mean.data = box(3)
    return norm(torch.rand(2, 3))


@attempt("refuses")
def plain_data_of_a_box():
    x = box(3)
    x.data = torch.rand(3)


@attempt("box")
def data_of_a_box():
    x = box(3)
    x.data = box(3) + 1
    return used(x)


@attempt("box")
def swap_tensors():
    x, y = torch.rand(3), box(3)
    torch.utils.swap_tensors(x, y)
    used(y)
    return used(x)


# --- state of modules -------------------------------------------------------------------------------------------------

STATE = {"weight": lambda: box(2, 2), "bias": lambda: box(2)}


def _state() -> dict[str, Any]:
    return {name: make() for name, make in STATE.items()}


@attempt("refuses")
def load_state_dict():
    nn.Linear(2, 2).load_state_dict(_state())


@attempt("box")
def load_state_dict_assign():
    layer = nn.Linear(2, 2)
    layer.load_state_dict(_state(), assign=True)
    return layer(torch.rand(2))


@attempt("box")
def load_plain_state_into_boxes():
    layer = interval_layer()
    layer.load_state_dict(nn.Linear(2, 2).state_dict())
    return layer(torch.rand(2))


for _conversion in ("swap", "overwrite"):
    for _name, _change in {
        "double": lambda layer: layer.double().float(),
        "load": lambda layer: layer.load_state_dict(nn.Linear(2, 2).state_dict()) and layer,
        "share": lambda layer: layer.share_memory(),
        "deepcopy": copy.deepcopy,
        "apply": lambda layer: nn.Linear(2, 2)._apply(lambda t: IntervalTensor(t, t)),
    }.items():

        @attempt("box", f"{_name} with {_conversion}_module_params_on_conversion")
        def _(conversion: str = _conversion, change: Any = _change) -> Any:
            switch = getattr(torch.__future__, f"set_{conversion}_module_params_on_conversion")
            switch(True)
            try:
                return change(interval_layer())(torch.rand(2))
            finally:
                switch(False)


@attempt("box")
def functional_call():
    return torch.func.functional_call(nn.Linear(2, 2), {"weight": box(2, 2)}, torch.rand(2))


@attempt("box")
def fuse_conv_bn():
    conv, norm = nn.Conv2d(1, 2, 1).eval(), nn.BatchNorm2d(2).eval()
    conv.weight = parameter(2, 1, 1, 1)
    return nn.utils.fusion.fuse_conv_bn_eval(conv, norm)(torch.rand(1, 1, 2, 2))


class Widen(nn.Module):
    def forward(self, weight):
        return IntervalTensor(weight - 1, weight + 1)

    def right_inverse(self, weight):
        return weight


@attempt("box")
def parametrize():
    layer = nn.Linear(2, 2)
    nn.utils.parametrize.register_parametrization(layer, "weight", Widen())
    return layer(torch.rand(2))


@attempt("refuses")
def assign_a_box_to_a_parametrized_weight():
    layer = nn.Linear(2, 2)
    nn.utils.parametrize.register_parametrization(layer, "weight", Widen())
    layer.weight = box(2, 2)
    return layer(torch.rand(2))


# --- optimisers -------------------------------------------------------------------------------------------------------

_OPTIMISERS = ("SGD", "Adam", "AdamW", "Adagrad", "Adadelta", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop")
_FUSED = ("SGD", "Adam", "AdamW", "Adagrad")
for _name in _OPTIMISERS:
    for _options in ({"foreach": False}, {"foreach": True}, {"fused": True}):
        if "fused" in _options and _name not in _FUSED:
            continue

        @attempt("refuses", f"{_name} {_options} of a box for a gradient")
        def _(name: str = _name, options: Any = _options) -> Any:
            weight = nn.Parameter(torch.rand(3, 2))
            optimiser = getattr(torch.optim, name)([weight], lr=0.1, **options)
            weight.grad = box(3, 2)
            optimiser.step()
            return used(weight)

        @attempt("runs", f"{_name} {_options} of boxes and tensors")
        def _(name: str = _name, options: Any = _options) -> Any:
            weight, interval = nn.Parameter(torch.rand(3, 2)), parameter(3, 2)
            optimiser = getattr(torch.optim, name)([weight, interval], lr=0.1, **options)
            (weight * interval).lower.sum().backward()
            optimiser.step()
            return used(weight), used(interval)


_LISTS = [name for name in dir(torch) if name.startswith("_foreach_")]
for _name in _LISTS:

    @attempt("runs", _name)
    def _(name: str = _name) -> Any:
        lists = ([box(3)], [torch.rand(3)], [torch.rand(3), box(3)])
        for first in lists:
            for rest in ((), (first,), ([torch.rand(3)] * len(first),), (2.0,), (first, first)):
                try:
                    getattr(torch, name)(first, *rest)
                    used(first[0])
                except (TypeError, RuntimeError, NotImplementedError):
                    pass


@attempt("refuses")
def scaled_gradients():
    weight = nn.Parameter(torch.rand(3))
    weight.grad = box(3)
    nn.utils.clip_grad_norm_([weight], 1.0, foreach=True)


# --- bytes ------------------------------------------------------------------------------------------------------------

for _name, _read in {
    "dlpack": torch.utils.dlpack.from_dlpack,
    "to_dlpack": torch.utils.dlpack.to_dlpack,
    "np.from_dlpack": np.from_dlpack,
    "np.asarray": np.asarray,
    "np.asarray of a list": lambda x: np.asarray([x]),
    "torch.from_numpy": lambda x: torch.from_numpy(np.asarray(x)),
    "numpy": lambda x: x.numpy(force=True),
    "memoryview": memoryview,
    "bytes": bytes,
    "frombuffer": lambda x: torch.frombuffer(x, dtype=torch.float32),
    "tensor of a list": lambda x: torch.tensor([x, x]),
    "storage": lambda x: x.storage(),
    "untyped_storage": lambda x: x.untyped_storage(),
    "UntypedStorage": torch.UntypedStorage,
    "data_ptr": lambda x: x.data_ptr(),
    "view of bits": lambda x: x.view(torch.int32),
    "pin_memory": lambda x: x.pin_memory(),
    "sparse values": lambda x: torch.sparse_coo_tensor(torch.tensor([[0, 1, 2]]), x, (3,)),
    "sparse rows": lambda x: torch.sparse_csr_tensor(torch.tensor([0, 1, 3]), torch.tensor([0, 0, 1]), x),
    "nested": lambda x: torch.nested.nested_tensor([x, x]),
    "quantize": lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
    "mkldnn": lambda x: x.to_mkldnn(),
    "into a plain tensor": lambda x: torch.rand(3).copy_(x),
    "into a slice": lambda x: torch.rand(3).__setitem__(slice(None), x),
    "out": lambda x: torch.add(x, 1, out=torch.rand(3)),
    "resize_as_": lambda x: torch.rand(3).resize_as_(x),
    "tolist in a script": lambda x: torch.jit.CompilationUnit(
        "def f(x: Tensor):\n    y: List[float] = x.tolist()\n    return y\n"
    ).f(x),
    "set_ in a script": lambda x: torch.jit.CompilationUnit("def f(x: Tensor):\n    return torch.rand(3).set_(x)\n").f(
        x
    ),
    "trace": lambda x: torch.jit.trace(lambda y: y * 2, x),
    "forward mode": lambda x: torch.func.jvp(torch.sin, (torch.rand(3),), (x,)),
    "vmap": torch.vmap(torch.sin),
    "as_subclass of plain": lambda x: repr(torch.rand(3).as_subclass(IntervalTensor)),
    "Tensor.__new__": lambda x: repr(torch.Tensor.__new__(IntervalTensor, 3)),
}.items():
    ATTEMPTS[_name] = "refuses", lambda read=_read: read(box(3))


def saved(value: Any, **options: Any) -> Any:
    file = io.BytesIO()
    torch.save(value, file, **options)
    file.seek(0)
    return torch.load(file, weights_only=True)


for _name, _copy in {
    "as_tensor": torch.as_tensor,
    "as_tensor of another dtype": lambda x: torch.as_tensor(x, dtype=torch.float64),
    "asarray": lambda x: torch.asarray(x, copy=True),
    "Tensor": torch.Tensor,
    "new_tensor": lambda x: torch.rand(1).new_tensor(x),
    "_to_copy": lambda x: torch.ops.aten._to_copy(x, dtype=torch.float64),
    "alias": torch.ops.aten.alias,
    "as_subclass": lambda x: x.as_subclass(torch.Tensor),
    "share_memory": lambda x: x.share_memory_(),
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "queue": lambda x: pickle.loads(ForkingPickler.dumps(x)),
    "save": saved,
    "save in the old format": lambda x: saved(x, _use_new_zipfile_serialization=False),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "collate and pin": lambda x: next(iter(torch.utils.data.DataLoader([x, x], batch_size=2, pin_memory=True))),
    "script": lambda x: torch.jit.CompilationUnit("def f(x: Tensor):\n    return x * 2 + x.sum()\n").f(x),
    "fork in a script": lambda x: torch.jit.wait(torch.jit.fork(torch.sin, x)),
    "without torch_function": lambda x: _below(torch.sin, x),
    "checkpoint": lambda x: torch.utils.checkpoint.checkpoint(torch.sin, x, use_reentrant=False),
}.items():
    ATTEMPTS[_name] = "box", lambda copy_=_copy: used(copy_(box(3)))


def _below(function: Any, x: Any) -> Any:
    with torch._C.DisableTorchFunctionSubclass():
        return function(x)


# --- autograd ---------------------------------------------------------------------------------------------------------


class Saving(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[1], None


@attempt("box")
def gradients_that_are_boxes():
    x = torch.rand(3, requires_grad=True)
    x.grad = box(3)
    (x * 2).sum().backward()
    (x * 2).backward(box(3))
    Saving.apply(x, box(3)).sum().backward()
    y = x * 2
    y.register_hook(lambda grad: IntervalTensor(grad, grad + 1))
    y.sum().backward()
    return used(x.grad)


@attempt("box")
def saved_tensors_that_are_boxes():
    with torch.autograd.graph.saved_tensors_hooks(lambda t: IntervalTensor(t, t), lambda t: t):
        x = torch.rand(3, requires_grad=True)
        y = (x * x).sum()
    y.backward()
    return used(x.grad)


# --- running them -----------------------------------------------------------------------------------------------------


def _outcomes(names: list[str]) -> dict[str, str]:
    """What came of each attempt: one process makes them in turn, and where one ends it, another goes on."""
    found: dict[str, str] = {}
    while len(found) < len(names):
        rest = names[len(found) :]
        here, there = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(here)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            for name in rest:
                signal.alarm(100)
                os.write(there, json.dumps(_answer(name)).encode() + b"\n")
            os._exit(0)
        os.close(there)
        with os.fdopen(here) as pipe:
            found |= dict(zip(rest, map(json.loads, pipe)))
        status = os.waitpid(child, 0)[1]
        if status:
            found[names[len(found)]] = f"ended by signal {os.WTERMSIG(status)}"
    return found


def _answer(name: str) -> str:
    try:
        result = ATTEMPTS[name][1]()
    except Exception as error:
        return f"refuses: {type(error).__name__}: {error}"[:500]
    kind = "box" if isinstance(result, IntervalTensor) else "plain" if isinstance(result, torch.Tensor) else "runs"
    return f"{kind}: {result!r}"[:500]


@pytest.fixture(scope="module")
def outcomes():
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", __file__]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="attempts run in forked processes")
@pytest.mark.parametrize("name", ATTEMPTS)
def test_no_attempt_ends_the_interpreter(name, outcomes):
    expected, outcome = ATTEMPTS[name][0], outcomes[name]
    allowed = ("runs", "box", "plain", "refuses") if expected == "runs" else (expected,)
    assert outcome.partition(":")[0] in allowed, outcome


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(_outcomes(list(ATTEMPTS))))
