"""Bounds of whole functions and models."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from ._tensor import IntervalTensor
from .errors import IntervalError

__all__ = ["bound", "layer_bounds"]


def bound(function: Callable[..., Any], *inputs: Any, **kwargs: Any) -> Any:
    """Run a function or module on boxes and return what it returns.

    Every box in the result contains the corresponding value of `function` at every point of the input boxes. The
    function is run once, as it is: its mode, its parameters and its Python control flow are untouched.

    Args:
        function: any callable or `nn.Module`.
        *inputs: its arguments; interval tensors, plain tensors or anything else.
        **kwargs: its keyword arguments.

    Returns:
        What the function returns: an interval tensor, or a tuple, dict, dataclass... of them.

    Raises:
        IntervalError: one of the library's errors, naming the submodule in which it arose.
        TypeError: if no argument holds an interval tensor.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> Y = bound(model, IntervalTensor.from_ball(torch.zeros(4, 2), 0.1))
        >>> Y.shape, bool((Y.lower <= Y.upper).all())
        (torch.Size([4, 1]), True)
    """
    modules = [function] if isinstance(function, nn.Module) else []
    if not _holds_interval((inputs, kwargs)) and not any(_holds_interval(list(m.parameters())) for m in modules):
        raise TypeError(
            "bound() found no IntervalTensor among the arguments; wrap an input: IntervalTensor.from_ball(x, radius)"
        )
    with contextlib.ExitStack() as stack:
        for module in modules:
            stack.enter_context(_located_errors(module))
        return function(*inputs, **kwargs)


def layer_bounds(model: nn.Module, *inputs: Any, **kwargs: Any) -> dict[str, Any]:
    """Bound the output of every submodule in one forward pass.

    Args:
        model: any module; it is left as it was.
        *inputs: its arguments, with interval tensors.
        **kwargs: its keyword arguments.

    Returns:
        A dict from module path to output, in the order of completion; the model itself is `""`. A module that runs
        several times has its last output.

    Raises:
        IntervalError: as `bound` does.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> list(layer_bounds(model, IntervalTensor.from_ball(torch.zeros(1, 2), 0.1)))
        ['0', '1', '']
    """
    outputs: dict[str, Any] = {}

    def record(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            outputs.pop(path, None)
            outputs[path] = output

        return hook

    with contextlib.ExitStack() as stack:
        for path, module in model.named_modules():
            handle = module.register_forward_hook(record(path))
            stack.callback(handle.remove)
        bound(model, *inputs, **kwargs)
    return outputs


def _holds_interval(tree: Any) -> bool:
    return any(isinstance(leaf, IntervalTensor) for leaf in pytree.tree_leaves(_open_dataclasses(tree)))


def _open_dataclasses(tree: Any) -> Any:
    """Show the fields of dataclass arguments to a search."""
    leaves = pytree.tree_leaves(tree)
    return [vars(leaf) if hasattr(leaf, "__dataclass_fields__") else leaf for leaf in leaves]


@contextlib.contextmanager
def _located_errors(model: nn.Module) -> Iterator[None]:
    """Add the path of the innermost running submodule to errors that arise inside the model."""
    running: list[str] = []
    handles = []
    for path, module in model.named_modules():
        title = f"{path or '(the model)'} ({type(module).__name__})"
        handles.append(module.register_forward_pre_hook(lambda m, a, title=title: running.append(title)))
        handles.append(module.register_forward_hook(lambda m, a, o: running.pop() and None))
    try:
        yield
    except IntervalError as error:
        if running:
            error.locate(running[-1])
        raise
    finally:
        for handle in handles:
            handle.remove()
