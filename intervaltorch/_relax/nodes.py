"""Nodes, which bound a linear function of a value by linear functions of the values it was computed from.

A pass asks each node for a lower bound of `A · y`, with one or more rows A. A node answers with rows for its parents
and a constant: `A · y >= sum of A_p · p over the parents p, + constant`. Rows have the shape `(rows, *shape)`,
constants the shape `(rows, samples)`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .._records.registry import Box
from .._theorems.lines import Free, Lines
from .samples import Samples

__all__ = ["Affine", "Leaf", "Node", "Product", "Selection", "Through", "Totals"]

_numbers = itertools.count()


class Totals:
    """Sums over the entries of each sample, or over all entries where samples are mixed.

    Args:
        count: how many samples; None to take all entries together.
        side: 0 for a pass from lower bounds of values, 1 from those of their negatives.
    """

    def __init__(self, count: int | None, side: int = 0) -> None:
        self.count, self.side = count, side

    def __call__(self, terms: Tensor, samples: Samples) -> Tensor:
        """Sum terms of shape `(rows, *shape)` to `(rows, samples)`."""
        if self.count is None:
            return terms.reshape(terms.shape[0], -1).sum(1, keepdim=True)
        assert samples is not None
        samples = samples.reshape(*[1] * (terms.ndim - 1 - samples.ndim), *samples.shape)
        dims = [d + 1 for d, size in enumerate(samples.shape) if size == 1]
        terms = (terms.sum(dims, keepdim=True) if dims else terms).reshape(terms.shape[0], -1)
        into = samples.expand(samples.shape).flatten().to(terms.device)
        total = torch.zeros(terms.shape[0], self.count + 1, dtype=terms.dtype, device=terms.device)
        return total.index_add(1, into, terms)


def times(rows: Tensor, value: Tensor) -> Tensor:
    """The product; 0 where the coefficient is 0, even if the value is infinite."""
    if bool(value.isfinite().all()):
        return rows * value
    return torch.where(rows == 0, 0.0, rows * value)


def pulled(vjp: Callable[[Tensor], tuple[Tensor, ...]], rows: Tensor) -> list[Tensor]:
    """Apply a vector-Jacobian product to every row; row by row if torch.vmap cannot run a backward function."""
    try:
        return list(torch.vmap(vjp)(rows))
    except RuntimeError:
        each = [vjp(row) for row in rows]
        return [torch.stack(parts) for parts in zip(*each)]


class Node:
    """A value of a program.

    Attributes:
        shape: the shape of the value.
        samples: the samples of its entries, see `samples.py`.
        parents: the nodes of the values that it was computed from.
        number: larger than the numbers of the parents.
        place: the operation that computed the value, and the module in which that ran; None until this is set.
    """

    how = ""
    place: tuple[str, str] | None = None

    def __init__(self, shape: Sequence[int], samples: Samples, parents: Sequence[Node] = ()) -> None:
        self.shape = torch.Size(shape)
        self.samples = samples
        self.parents = tuple(parents)
        self.number = next(_numbers)

    def pull(self, rows: Tensor, totals: Totals) -> tuple[list[Tensor], Any]:
        """Rows for the parents, and the constant; see the top of this file."""
        raise NotImplementedError


class Leaf(Node):
    """A value of which only the box is known: an input, or the result of an operation without lines."""

    how = "box"

    def __init__(self, box: Box, samples: Samples) -> None:
        super().__init__(box.lower.shape, samples)
        self.lower, self.upper = box.lower.clone(), box.upper.clone()

    def pull(self, rows: Tensor, totals: Totals) -> tuple[list[Tensor], Any]:
        """The least value over the box."""
        centre, radius = (self.upper + self.lower) / 2, (self.upper - self.lower) / 2
        if not bool(radius.isfinite().all()):
            least = torch.where(rows > 0, rows * self.lower, torch.where(rows < 0, rows * self.upper, 0.0))
            return [], totals(least, self.samples)
        return [], totals(rows * centre - rows.abs() * radius, self.samples)


class Affine(Node):
    """An affine function of its parents.

    Args:
        function: from plain tensors to the value.
        centres: where to differentiate, one for each parent; any values do.
    """

    how = "affine"

    def __init__(
        self, function: Callable[..., Tensor], parents: Sequence[Node], centres: Sequence[Tensor], samples: Samples,
        shape: Sequence[int], by_hand: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(shape, samples, parents)
        self.function, self.by_hand = function, by_hand
        self.zeros = [torch.zeros_like(centre) for centre in centres]

    def pull(self, rows: Tensor, totals: Totals) -> tuple[list[Tensor], Any]:
        """The vector-Jacobian product; the constant is the value at 0."""
        if self.by_hand is not None:
            found, offset = self.by_hand(rows)
            return found, 0.0 if offset is None else totals(times(rows, offset), self.samples)
        value, vjp, *_ = torch.func.vjp(self.function, *self.zeros)
        return pulled(vjp, rows), totals(times(rows, value), self.samples)


class Through(Node):
    """An elementwise function between two lines.

    Args:
        parent: the node of the argument.
        found: the lines to begin with.
        free: makes lines of given slopes.

    Attributes:
        lines: the lines for a pass from lower bounds, and those for a pass from upper bounds.
    """

    how = "lines"

    def __init__(self, parent: Node, found: Lines, free: Free) -> None:
        super().__init__(parent.shape, parent.samples, [parent])
        self.lines, self.free = (found, found), free

    def pull(self, rows: Tensor, totals: Totals) -> tuple[list[Tensor], Any]:
        """Positive coefficients take the lower line, negative ones the upper."""
        a_l, b_l, a_u, b_u = self.lines[totals.side]
        up, down = rows.clamp(min=0.0), rows.clamp(max=0.0)
        offset = torch.where(rows > 0, up * b_l, torch.where(rows < 0, down * b_u, 0.0))
        return [up * a_l + down * a_u], totals(offset, self.samples)


class Product(Node):
    r"""A function that is affine in each of two parents: x∘y = c_x∘y + x∘c_y - c_x∘c_y ± r_x∘r_y (McCormick 1976).

    Args:
        function: of both.
        bilinear: the part of it that is linear in each, for the radii.
    """

    how = "planes"

    def __init__(
        self, function: Callable[..., Tensor], bilinear: Callable[..., Tensor], parents: Sequence[Node],
        boxes: Sequence[Box], samples: Samples, shape: Sequence[int],
    ) -> None:  # fmt: skip
        super().__init__(shape, samples, parents)
        self.function = function
        self.centres = [(box.upper + box.lower) / 2 for box in boxes]
        self.room = bilinear(*[(box.upper - box.lower) / 2 for box in boxes])

    def pull(self, rows: Tensor, totals: Totals) -> tuple[list[Tensor], Any]:
        """The derivative at the centres, and the error of that."""
        value, vjp, *_ = torch.func.vjp(self.function, *self.centres)
        found = pulled(vjp, rows)
        constant = totals(rows * value - rows.abs() * self.room, self.samples)
        for node, part, centre in zip(self.parents, found, self.centres, strict=True):
            constant = constant - totals(part * centre, node.samples)
        return found, constant


class Selection(Node):
    """The largest of several entries. It is at least the entry with the largest lower bound.

    Args:
        pick: takes the selected entries of the parent.
        decided: where no other entry can be larger.
        upper: the upper bound of the value, for where it is not decided.
    """

    how = "selection"

    def __init__(
        self, pick: Callable[[Tensor], Tensor], parent: Node, decided: Tensor, upper: Tensor, samples: Samples
    ):
        super().__init__(upper.shape, samples, [parent])
        self.pick, self.decided, self.upper = pick, decided, upper

    def pull(self, rows: Tensor, totals: Totals) -> tuple[list[Tensor], Any]:
        """Positive coefficients take the selected entry; negative ones too if decided, else the upper bound."""
        passes = (rows > 0) | self.decided
        zero = torch.zeros(self.parents[0].shape, dtype=rows.dtype, device=rows.device)
        _value, vjp, *_ = torch.func.vjp(self.pick, zero)
        constant = torch.where(passes, 0.0, rows * self.upper)
        return pulled(vjp, torch.where(passes, rows, 0.0)), totals(constant, self.samples)
