"""`RelaxedTensor`: a box with the node from which a backward pass bounds it by linear functions of the inputs."""

from __future__ import annotations

from typing import Any

from .._compat import enable_reentrant_dispatch
from .._dispatch.calls import dispatch, dispatch_aten
from .._tensor.interval import IntervalTensor
from . import follow, state
from .nodes import Node

__all__ = ["RelaxedTensor"]


class RelaxedTensor(IntervalTensor):
    """A box with a node.

    Attributes:
        sharp: whether a backward pass has bounded all entries of this box.
        view_of: the box of which this one is a view, with the function that takes the view; None if it is no view.
    """

    _node: Node | None = None
    _written: int = -1  # the versions of both bounds when the node was attached
    sharp: bool = False
    view_of: Any = None

    def attach(self, node: Node) -> None:
        """Give the box its node, which holds until the memory of the box is written to."""
        self._node, self._written = node, self._box.lower._version + self._box.upper._version

    @property
    def node(self) -> Node | None:
        """The node; None if there is none, or if the box was written to since."""
        fresh = self._written == self._box.lower._version + self._box.upper._version
        return self._node if fresh else None

    def rewrapped(self) -> RelaxedTensor:
        """The same box and node in another wrapper."""
        other: Any = super().rewrapped()
        other._node, other._written = self._node, self._written
        return other

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Answer a torch function by its rule, and give the results their nodes."""
        args, kwargs = state.relaxed(cls, args), state.relaxed(cls, kwargs or {})
        return follow.answer(cls, func, args, kwargs, lambda *a, **k: dispatch(cls, func, types, a, k))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Answer the ATen calls of a C++ kernel by their rules, and give the results their nodes."""
        args, kwargs = state.relaxed(cls, args), state.relaxed(cls, kwargs or {})
        return follow.answer(
            cls, func, args, kwargs, lambda *a, **k: dispatch_aten(cls, func, a, k), enable_reentrant_dispatch
        )
