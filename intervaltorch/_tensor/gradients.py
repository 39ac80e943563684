"""A box under autograd: gradients belong to its bounds, and the wrapper itself never requires a gradient."""

from __future__ import annotations

from typing import Any, NoReturn

from .. import _compat
from .._records.registry import Box
from ..errors import EscapeError

__all__ = ["Gradients"]


class Gradients:
    """The attributes and methods of an interval tensor that are about gradients. `_box` holds the bounds."""

    _box: Box
    shape: Any
    dtype: Any
    device: Any
    detach: Any

    @property
    def requires_grad(self) -> bool:
        """Whether autograd records operations on a bound."""
        return self._box.lower.requires_grad or self._box.upper.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Let autograd record operations on both bounds; gradients appear in `x.lower.grad` and `x.upper.grad`."""
        for bound in self._box:
            bound.requires_grad_(requires_grad)
        return self

    def detach_(self) -> Any:
        """Take both bounds out of the autograd graph."""
        for bound in self._box:
            bound.detach_()
        return self

    def retain_grad(self) -> None:
        """Keep the gradients of both bounds."""
        for bound in self._box:
            bound.retain_grad()

    @property
    def grad(self) -> None:
        """Always None: gradients are those of the bounds, `x.lower.grad` and `x.upper.grad`."""
        return None

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            raise EscapeError("a box has no gradient of its own", "set x.lower.grad and x.upper.grad")

    @property
    def grad_fn(self) -> None:
        """Always None: `x.lower.grad_fn` and `x.upper.grad_fn` are part of the graph.

        Raises:
            EscapeError: if a module reads the attribute in order to attach a backward hook. The hook would never run.
        """
        if self.requires_grad and _compat.called_by_backward_hooks():
            raise EscapeError(
                "a backward hook of a module receives the gradient of one value, and a box has two",
                "remove the hook, or register one on a bound in a forward hook: output.lower.register_hook(...)",
                "if no gradient is needed, run the model in torch.no_grad(): then modules attach no backward hooks",
            )
        return None

    @property
    def is_leaf(self) -> bool:
        """Whether both bounds are leaves of the autograd graph."""
        return self._box.lower.is_leaf and self._box.upper.is_leaf

    @property
    def data(self) -> Any:
        """The same box outside the autograd graph."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        if not hasattr(value, "_box"):
            raise EscapeError("the data of a box is a box", "wrap the tensor: IntervalTensor.point(tensor)")
        if (value.shape, value.dtype, value.device) != (self.shape, self.dtype, self.device):
            raise EscapeError(
                "the shape, dtype and device of a box cannot change",
                "assign a new box instead of new data",
            )
        self._box.lower.data, self._box.upper.data = value.lower, value.upper

    def backward(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: a box has two values.

        Raises:
            EscapeError: always.
        """
        raise EscapeError(
            "a box has two values, so backward() has no single meaning",
            "differentiate a bound: Y.lower.sum().backward() or Y.upper.sum().backward()",
        )

    def register_hook(self, hook: Any) -> Any:
        """Refuse: gradients belong to the bounds.

        FSDP registers a hook to gather parameters before the backward pass; it gets a hook on each bound.

        Raises:
            EscapeError: unless FSDP calls.
        """
        if _compat.called_by_fsdp():
            return [bound.register_hook(hook) for bound in self._box if bound.requires_grad]
        if _compat.called_by_fully_shard():
            raise EscapeError(
                "fully_shard would cut a box off the autograd graph on its way into the next sharded module",
                "return bounds from each module that is sharded, and make the box inside the next one",
                "or use FullyShardedDataParallel or DistributedDataParallel, which take boxes",
            )
        raise EscapeError("a box has no gradient of its own", "register the hook on Y.lower or on Y.upper")

    register_post_accumulate_grad_hook = register_hook
