"""Running a module at points of a box, and keeping what its submodules return and are given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as trees

from intervaltorch import IntervalTensor


class Inputs:
    """The arguments of a module, of which some tensors vary in a box.

    Args:
        args: the arguments.
        kwargs: the keyword arguments.
        radius: of the box around each tensor that requires grad. Such a tensor given twice is one variable.
    """

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any], radius: float) -> None:
        self._flat, self._form = trees.tree_flatten((args, kwargs))
        varying = {id(leaf): leaf for leaf in self._flat if isinstance(leaf, Tensor) and leaf.requires_grad}
        self._ids = list(varying)
        self.centre = [tensor.detach() for tensor in varying.values()]
        self.radius = radius

    def given(self, tensors: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with other tensors in the places that vary."""
        by_id = dict(zip(self._ids, tensors))
        flat = [by_id.get(id(leaf), leaf.clone() if isinstance(leaf, Tensor) else leaf) for leaf in self._flat]
        return trees.tree_unflatten(flat, self._form)

    def boxes(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with boxes in the places that vary."""
        return self.given([IntervalTensor.from_ball(tensor, self.radius) for tensor in self.centre])

    def points(self, module: nn.Module, generator: torch.Generator, inner: int = 4) -> Iterator[list[Tensor]]:
        """Points of the box: inside, at corners, and where gradients say that some outputs of layers are extreme."""
        yield self.centre
        for _ in range(2):
            yield self._moved([2 * torch.rand(c.shape, generator=generator, dtype=c.dtype) - 1 for c in self.centre])
            yield self._moved([torch.randint(0, 2, c.shape, generator=generator).to(c) * 2 - 1 for c in self.centre])
        yield from [self._moved(directions) for directions in self._gradient_signs(module, generator, inner)]

    def _gradient_signs(self, module: nn.Module, generator: torch.Generator, inner: int) -> Iterator[list[Tensor]]:
        """Corners at which two outputs of the module and `inner` ones of its layers are extreme, as they look here."""
        start = [c.clone().requires_grad_() for c in self.centre]
        values = layer_values(module, *self.given([tensor.clone() for tensor in start]))
        tensors = [leaf for output in values.values() for _, leaf in output if leaf.requires_grad and leaf.numel()]
        if not tensors:
            return
        chosen = [tensors[int(torch.randint(0, len(tensors), (), generator=generator))] for _ in range(inner)]
        for tensor in [tensors[-1]] * 2 + chosen:
            flat = tensor.flatten()
            entry = flat[int(torch.randint(0, len(flat), (), generator=generator))]
            gradients = torch.autograd.grad(entry, start, retain_graph=True, allow_unused=True, materialize_grads=True)
            yield [-gradient.sign() for gradient in gradients]
            yield [gradient.sign() for gradient in gradients]

    def _moved(self, directions: list[Tensor]) -> list[Tensor]:
        return [c + self.radius * d for c, d in zip(self.centre, directions)]


def layer_values(module: nn.Module, args: Any, kwargs: Any) -> dict[str, list[tuple[str, Tensor]]]:
    """Run a module on plain tensors and copy every submodule's output, under the names of `layer_bounds`."""
    names: dict[nn.Module, list[str]] = {}
    for name, submodule in module.named_modules(remove_duplicate=False):
        names.setdefault(submodule, []).append(name)
    calls = dict.fromkeys(names, 0)
    values: dict[str, list[tuple[str, Tensor]]] = {}

    def keep(submodule: nn.Module, args: Any, output: Any) -> None:
        call, known = calls[submodule], names[submodule]
        calls[submodule] += 1
        name = known[call] if call < len(known) else f"{known[0]}#{call + 1}"
        values[name] = [(path, leaf.clone()) for path, leaf in leaves(output)]

    with contextlib.ExitStack() as stack:
        for submodule in names:
            if not isinstance(submodule, torch.jit.ScriptModule):
                stack.callback(submodule.register_forward_hook(keep).remove)
        module(*args, **kwargs)
    return values


def leaves(tree: Any, path: str = "") -> list[tuple[str, Any]]:
    """The tensors and undecided indices in an output, whatever holds them, with their places."""
    if isinstance(tree, Tensor) or type(tree).__name__ == "Undecided":
        return [(path, tree)]
    if isinstance(tree, dict):
        items: Any = tree.items()
    elif isinstance(tree, (tuple, list)):
        items = enumerate(tree)
    elif hasattr(tree, "__dict__") and not isinstance(tree, nn.Module):
        items = vars(tree).items()
    else:
        return []
    return [found for key, item in items for found in leaves(item, f"{path}.{key}")]


def small_submodules(model: nn.Module, inputs: Inputs, most: int = 30) -> dict[str, tuple[nn.Module, Inputs]]:
    """One submodule of each class, if it has few of its own, with the arguments that the model gives to it.

    Left out are submodules that get objects which they may change; caches of keys and values are replaced by None.
    """
    found: dict[type, tuple[str, nn.Module, Inputs]] = {}
    names = {module: name for name, module in model.named_modules() if name}

    def keep(module: nn.Module, args: Any, kwargs: Any) -> None:
        if type(module) in found or sum(1 for _ in module.modules()) > most:
            return
        copied = trees.tree_map(_copy, (args, kwargs))
        plain = (Tensor, bool, int, float, str, torch.dtype, torch.device, torch.Size, type(None))
        if all(isinstance(leaf, plain) for leaf in trees.tree_leaves(copied)):
            alone = Inputs(*_same_identity((args, kwargs), copied), inputs.radius)
            if alone.centre:
                found[type(module)] = names[module], module, alone

    with contextlib.ExitStack() as stack:
        for module in names:
            if not isinstance(module, torch.jit.ScriptModule):
                stack.callback(module.register_forward_pre_hook(keep, with_kwargs=True).remove)
        args, kwargs = inputs.given([tensor.clone().requires_grad_().clone() for tensor in inputs.centre])
        model(*args, **kwargs)
    return {name: (module, alone) for name, module, alone in found.values()}


def _copy(leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        return leaf.clone()
    return None if hasattr(leaf, "get_seq_length") else leaf


def _same_identity(original: Any, copied: Any) -> Any:
    """Copies in which what was one tensor is one tensor again."""
    flat, form = trees.tree_flatten(copied)
    first: dict[int, Any] = {}
    return trees.tree_unflatten(
        [first.setdefault(id(old), new) for old, new in zip(trees.tree_leaves(original), flat)], form
    )
