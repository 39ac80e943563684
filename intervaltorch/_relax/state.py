"""The run of a program that is followed, and the nodes of its boxes."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch

from .._tensor.interval import IntervalTensor
from .._trees import map_kind
from .nodes import Leaf, Node
from .rigour import doubled, reach
from .samples import first_dimension

__all__ = ["Run", "bounded", "current", "following", "is_constant", "node_of", "relaxed"]


@dataclasses.dataclass
class Run:
    """How a program is followed.

    Attributes:
        method: the method of `bound`.
        rigorous: whether passes hold in real arithmetic.
        keeps_account: whether final passes record what each node contributes to the width.
        count: the size of the batch, or None.
        account: what each node has contributed.
        modules: the modules that are running, outermost first.
        operations: the operations that are running as programs of their parts, outermost first.
    """

    method: str
    keeps_account: bool = False
    rigorous: bool = False
    count: int | None = None
    account: dict[Node, float] = dataclasses.field(default_factory=dict)
    modules: list[str] = dataclasses.field(default_factory=list)
    operations: list[str] = dataclasses.field(default_factory=list)

    @property
    def sharpens(self) -> bool:
        """Whether arguments of nonlinear functions are bounded by passes of their own first (CROWN)."""
        return self.method != "crown-ibp"

    def enter(self, title: str, training: bool) -> None:
        """A module begins."""
        self.modules.append(title)

    def leave(self) -> None:
        """The innermost module ends."""
        if self.modules:
            self.modules.pop()

    def name(self, node: Node, operation: str) -> None:
        """Note what computed a value, unless that is known."""
        if node.place is None:
            node.place = " ".join([*self.operations, operation]), self.modules[-1] if self.modules else ""


_run: contextvars.ContextVar[Run] = contextvars.ContextVar("intervaltorch_following")


@contextlib.contextmanager
def following(run: Run) -> Iterator[Run]:
    """Follow the calls of a program on relaxed boxes."""
    token = _run.set(run)
    try:
        yield run
    finally:
        _run.reset(token)


def current() -> Run:
    """The run that is being followed."""
    return _run.get()


def relaxed(cls: Any, value: Any) -> Any:
    """Turn plain boxes among arguments into relaxed ones."""
    return map_kind(IntervalTensor, lambda x: x if isinstance(x, cls) else cls._wrap(x._box), value)


def node_of(x: Any, why: str = "") -> Node:
    """The node of a box; one that has none becomes a leaf."""
    node = x.node
    if node is None:
        run = _run.get()
        node = Leaf(doubled(x._box) if run.rigorous else x._box, first_dimension(x.shape, run.count))
        run.name(node, why or "box")
        x.attach(bounded(node, x))
    return node


def bounded(node: Node, x: Any) -> Node:
    """The node, with the reach of its value if passes are rigorous."""
    if _run.get().rigorous and node.reach is None:
        node.reach = reach(x._box)
    return node


def is_constant(x: Any) -> bool:
    """Whether a box has no node and is a point."""
    return x._node is None and torch.equal(x._box.lower, x._box.upper)
