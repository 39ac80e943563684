"""Bounds of whole functions and models."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from ._compat import tree_leaves, tree_map
from ._dispatch.scripts import hidden_errors_raised
from ._records.draws import Draws, draws_told
from ._relax.explain import Explanation, explained
from ._relax.run import Method, check_method, finished, relaxed
from ._relax.state import Run
from ._tensor.interval import IntervalTensor
from .errors import GradientWarning, IntervalError

__all__ = ["bound", "explain", "layer_bounds"]


def bound(function: Callable[..., Any], *inputs: Any, method: Method = "ibp", **kwargs: Any) -> Any:
    """Run a function or module on boxes and return what it returns.

    Every box in the result contains the corresponding value of `function` at every point of the input boxes. The
    function runs once and unchanged, with its own mode, parameters and Python control flow.

    Args:
        function: any callable or `nn.Module`.
        *inputs: its arguments; interval tensors, plain tensors or anything else.
        method: `"ibp"`, intervals alone; `"crown-ibp"`, one backward pass of linear relaxations through the intervals;
            `"crown"`, such a pass for every nonlinear function on the way; `"alpha-crown"`, the same with slopes
            chosen by gradient steps. Each is tighter than the one before, and takes longer.
        **kwargs: its keyword arguments.

    Returns:
        What the function returns: an interval tensor, or a tuple, dict, dataclass... of them.

    Warns:
        RandomnessWarning: if an op masked or selected parts of a box at random, or a module in training mode drew
            random numbers. The bound then holds for this draw.

    Raises:
        IntervalError: an error of the library; its message names the submodule in which it arose.
        Exception: an error of torch or of the function; a message of torch then names the submodule, too.
        TypeError: if neither an argument, nor a parameter, nor the result holds an interval tensor.
        ValueError: if the method is unknown.
        UnprovenOpError: for another method than `"ibp"` in outward rounding on other devices than CPUs.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from intervaltorch import IntervalTensor, bound
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> Y = bound(model, IntervalTensor.from_ball(torch.zeros(4, 2), 0.1))
        >>> Y.shape, bool((Y.lower <= Y.upper).all())
        (torch.Size([4, 1]), True)
    """
    check_method(method)
    model = _module_of(function, inputs)
    _warn_of_scripts(model)
    run = None if method == "ibp" else Run(method)
    with draws_told() as draws, _watched(model, [draws, run]), hidden_errors_raised():
        result = function(*inputs, **kwargs) if run is None else relaxed(function, inputs, kwargs, run)
    if not _holds_interval([inputs, kwargs, list(model.parameters()) if model else [], result]):
        raise TypeError(
            "bound() found no IntervalTensor among the arguments; wrap an input: IntervalTensor.from_ball(x, radius)"
        )
    return result


def explain(function: Callable[..., Any], *inputs: Any, method: Method = "crown", **kwargs: Any) -> Explanation:
    """Say which operations of a program cost how much of the width of its bounds.

    The width of a linear bound is a sum: each input contributes the width of its box, and each operation what its
    relaxation gives away. An operation without a relaxation contributes the width of the box of its result.

    Args:
        function: any callable or `nn.Module`.
        *inputs: its arguments, with interval tensors.
        method: a method of `bound` other than `"ibp"`, which keeps no account.
        **kwargs: its keyword arguments.

    Returns:
        The rows of a table, the largest share first; `print` shows it.

    Raises:
        IntervalError, TypeError: as `bound` does.
        ValueError: for another method.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from intervaltorch import IntervalTensor, explain
        >>> X = IntervalTensor(torch.tensor([[-1.0, 0.0]]), torch.tensor([[1.0, 1.0]]))
        >>> print(explain(nn.Sequential(nn.Tanh()), X, method="crown-ibp"))
        share  operation  how    module    entries
          93%  input      box              2
           7%  tanh       lines  0 (Tanh)  2
    """
    if method == "ibp":
        raise ValueError('explain keeps account of linear bounds: method="crown-ibp", "crown" or "alpha-crown"')
    check_method(method)
    run = Run(method, keeps_account=True)
    model = _module_of(function, inputs)
    with _watched(model, [run]), hidden_errors_raised():
        relaxed(function, inputs, kwargs, run)
    return explained(run)


def _module_of(function: Any, inputs: tuple = ()) -> nn.Module | None:
    """The module that runs: of a method such as `model.encode`, its owner; of `functional_call`, its first argument."""
    if isinstance(function, functools.partial):
        return _module_of(function.func, (*function.args, *inputs))
    parts = (function, getattr(function, "__self__", None), *inputs)
    return next((part for part in parts if isinstance(part, nn.Module)), None)


def layer_bounds(
    function: Callable[..., Any], *inputs: Any, method: Method = "ibp", **kwargs: Any
) -> dict[str, Any]:  # fmt: skip
    """Bound the output of every submodule in one forward pass.

    Args:
        function: a module, which is not changed; a method of a module, such as `model.encode`; or a function that takes
            a module, such as `torch.func.functional_call`, which runs the module with interval parameters.
        *inputs: its arguments, with interval tensors.
        method: as in `bound`; other methods than `"ibp"` run a backward pass for each submodule.
        **kwargs: its keyword arguments.

    Returns:
        A dict of outputs by module path, in the order of completion; the model itself is `""`, if it is called.
        An output is what the submodule returned, an interval tensor or a tuple, dict... of them, before later layers
        wrote into it. The outputs of a module that runs several times are under its paths in turn, then under
        `path#2`, `path#3`... Scripted submodules are left out, because they take no hooks.

    Raises:
        IntervalError: as `bound` does.
        TypeError: as `bound` does, and if no module is found.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from intervaltorch import IntervalTensor, layer_bounds
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> list(layer_bounds(model, IntervalTensor.from_ball(torch.zeros(1, 2), 0.1)))
        ['0', '1', '']
    """
    model = _module_of(function, inputs)
    if model is None:
        raise TypeError(
            "layer_bounds() found no module: pass a module, a method of a module such as model.encode, or a function"
            " that takes a module as an argument"
        )
    outputs: dict[str, Any] = {}
    paths: dict[nn.Module, list[str]] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        if not isinstance(module, torch.jit.ScriptModule):
            paths.setdefault(module, []).append(path)
    calls = dict.fromkeys(paths, 0)

    def record(module: nn.Module, args: Any, output: Any) -> None:
        names, call = paths[module], calls[module]
        calls[module] += 1
        name = names[call] if call < len(names) else f"{names[0]}#{call + 1}"
        outputs[name] = _snapshot(output)

    with contextlib.ExitStack() as stack:
        for module in paths:
            stack.callback(module.register_forward_hook(record).remove)
        bound(function, *inputs, method=method, **kwargs)
    return outputs


def _warn_of_scripts(model: nn.Module | None) -> None:
    """Warn of TorchScript: its optimised graphs run with grad off and detach parameters, which Python cannot see."""
    scripts = [m for m in model.modules() if isinstance(m, torch.jit.ScriptModule)] if model is not None else []
    if torch.is_grad_enabled() and any(p.requires_grad for m in scripts for p in m.parameters()):
        warnings.warn(
            "a part of the model is TorchScript: its bounds are right, but from its second run on no gradient flows"
            " through them. Use the module from which the script was made, or torch.no_grad().",
            GradientWarning,
            stacklevel=3,
        )


# --- trees of results -------------------------------------------------------------------------------------------------


def _items(leaf: Any) -> dict[str, Any]:
    """The items of a dictionary of a user's class, which torch's trees take for a leaf."""
    return dict(leaf) if isinstance(leaf, dict) else {}


def _fields(leaf: Any) -> dict[str, Any]:
    """The fields of a dataclass or namespace, which torch's trees take for a leaf."""
    if isinstance(leaf, types.SimpleNamespace):
        return dict(vars(leaf))
    if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
        names = {field.name for field in dataclasses.fields(leaf)} | set(getattr(leaf, "__dict__", ()))
        return {name: getattr(leaf, name) for name in names if hasattr(leaf, name)}
    return {}


def _holds_interval(tree: Any) -> bool:
    for leaf in tree_leaves(tree):
        parts = [*_items(leaf).values(), *_fields(leaf).values()]
        if isinstance(leaf, IntervalTensor) or (parts and _holds_interval(parts)):
            return True
    return False


def _snapshot(tree: Any) -> Any:
    """The same values in memory of their own, because layers that work in place overwrite their inputs."""
    clones: dict[int, Any] = {}

    def keep(leaf: Any) -> Any:
        if isinstance(leaf, IntervalTensor):
            return clones.setdefault(id(leaf), finished(leaf).clone())
        items, fields = _items(leaf), _fields(leaf)
        if not items and not fields:
            return leaf
        kept = copy.copy(leaf)
        for name, value in items.items():
            kept[name] = tree_map(keep, value)
        for name, value in fields.items():
            object.__setattr__(kept, name, tree_map(keep, value))
        return kept

    return tree_map(keep, tree)


# --- where an error arose ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _watched(model: nn.Module | None, watchers: Sequence[Draws | Run | None]) -> Iterator[None]:
    """Tell errors of the library, random draws and relaxations in which submodule of a model they arose.

    A hook that is called even after an error sees it first where it passes the innermost module.
    """
    if model is None:
        yield
        return
    titles = {module: f"{path or '(the model)'} ({type(module).__name__})" for path, module in model.named_modules()}
    told = [watcher for watcher in watchers if watcher is not None]
    before = sys.exc_info()[1]
    located: list[BaseException] = []

    def enter(module: nn.Module, args: Any) -> None:
        for watcher in told:
            watcher.enter(titles[module], module.training)

    def locate(module: nn.Module, args: Any, output: Any) -> None:
        for watcher in told:
            watcher.leave()
        error = raised = sys.exc_info()[1]
        if error is before:
            return
        while error is not None and not isinstance(error, IntervalError):
            error = error.__cause__
        if error is not None:
            error.locate(titles[module])
        elif raised is not None and raised not in located:
            located.append(raised)
            _name_place(raised, titles[module])

    with contextlib.ExitStack() as stack:
        for module in titles:
            if not isinstance(module, torch.jit.ScriptModule):
                stack.callback(module.register_forward_pre_hook(enter).remove)
                stack.callback(module.register_forward_hook(locate, always_call=True).remove)
        yield


def _name_place(error: BaseException, place: str) -> None:
    """Add the submodule to torch's message about wrong arguments."""
    if type(error) in (RuntimeError, ValueError, TypeError, IndexError) and len(error.args) == 1:
        error.args = (f"{error.args[0]}\n  in: {place}",)
