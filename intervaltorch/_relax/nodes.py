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
from .._rounding import down, gamma, unit
from .._theorems.lines import Free, Lines, valued
from .rigour import Planes, Spread
from .samples import Samples

__all__ = ["Affine", "Leaf", "Node", "Product", "Selection", "Through", "Totals"]

_numbers = itertools.count()
_TINY = torch.finfo(torch.float64).tiny


class Totals:
    r"""Sums over the entries of each sample, or over all entries where samples are mixed.

    In a rigorous pass they keep two more sums: the sizes of all terms, which bound the rounding of the sums, and the
    payments of nodes for their own rounding.

    Args:
        count: how many samples; None to take all entries together.
        side: 0 for a pass from lower bounds of values, 1 from those of their negatives.
        rigorous: whether the bounds hold in real arithmetic.
    """

    def __init__(self, count: int | None, side: int = 0, rigorous: bool = False) -> None:
        self.count, self.side, self.rigorous = count, side, rigorous
        self._sizes: Any = 0.0
        self._paid: Any = 0.0
        self._longest, self._sums = 0, 0

    def __call__(self, terms: Tensor, samples: Samples) -> Tensor:
        """Sum terms of shape `(rows, *shape)`, each rounded once, to `(rows, samples)`."""
        if self.rigorous:
            with torch.no_grad():
                self._note(terms)
                self._sizes = self._sizes + self._sum(terms.abs(), samples)
        return self._sum(terms, samples)

    def pay(self, terms: Tensor, samples: Samples, share: float = 1.0, extra: float = 0.0) -> None:
        """Subtract `share` times the sum of non-negative terms, each rounded once, and `extra` from the final bound."""
        with torch.no_grad():
            self._note(terms)
            self._paid = self._paid + (self._sum(terms, samples) * share + extra)

    def pay_for_rows(self, rows: Tensor, samples: Samples, spread: Spread) -> None:
        r"""Pay for the rounding of $A J$: $\gamma_n |A|\,|J| r$, where n is at most the number of entries and a few."""
        share = gamma(rows[0].numel() + 8, torch.float64)
        self.pay(times(rows.detach().abs(), spread.room), samples, share, spread.underflow)

    def pay_for_products(self, rows: Tensor, samples: Samples, reach: Tensor) -> None:
        """Pay for one rounding of each coefficient of values of at most this size."""
        self.pay(
            times(rows.detach().abs(), reach),
            samples,
            unit(torch.float64),
            _TINY * float(reach.nan_to_num(0.0, 0.0).sum()),
        )

    def _note(self, terms: Tensor) -> None:
        """Count the roundings of a sum, and pay for products that underflow."""
        length = terms[0].numel()
        self._longest, self._sums = max(self._longest, length), self._sums + 1
        self._paid = self._paid + length * _TINY

    def below(self, total: Tensor) -> Tensor:
        r"""A lower bound of the real sum of all terms less all payments; `total` is the computed sum of the terms.

        A term t passes through at most k = longest + sums + 2 roundings, so the sum errs by $\gamma_k \sum |t|$. The
        computed sum S of the rounded $|t|$ obeys $(1 - \gamma_k) \sum |t| \le S$. So the error is at most
        $\frac12 \gamma_{2k} S$, and payments P are at most $(1 + \gamma_{2k}) P$. Half of $\gamma_{2k}$ is left for the
        roundings of this bound.
        """
        with torch.no_grad():
            share = gamma(2 * (self._longest + self._sums + 8), torch.float64)
            error = (self._sizes * share + self._paid * (1 + 2 * share)) * (1 + share) + 2 * _TINY
        return down(total, error)

    def _sum(self, terms: Tensor, samples: Samples) -> Tensor:
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
    return rows * torch.where(rows == 0, 0.0, value)


def least(rows: Tensor, box: Box) -> Tensor:
    """The least product of a coefficient with a number in a box; NaN where the coefficient is NaN."""
    return times(rows, torch.where(rows > 0, box.lower, box.upper))


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
        reach: the largest absolute value that each entry can have, for rigorous passes.
    """

    how = ""
    place: tuple[str, str] | None = None
    reach: Tensor | None = None

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
        if totals.rigorous or not bool((centre.isfinite() & radius.isfinite()).all()):
            return [], totals(least(rows, Box(self.lower, self.upper)), self.samples)
        return [], totals(rows * centre - rows.abs() * radius, self.samples)


class Affine(Node):
    """An affine function of its parents.

    Args:
        function: from plain tensors to the value.
        centres: where to differentiate, one for each parent; any values do.
        by_hand: the vector-Jacobian product, and the value at 0.
        spread: bounds of the function around 0, for rigorous passes; None if its rows are computed without rounding.
    """

    how = "affine"

    def __init__(
        self, function: Callable[..., Tensor], parents: Sequence[Node], centres: Sequence[Tensor], samples: Samples,
        shape: Sequence[int], by_hand: Any = None, spread: Spread | None = None,
    ) -> None:  # fmt: skip
        super().__init__(shape, samples, parents)
        self.function, self.by_hand, self.spread = function, by_hand, spread
        self.zeros = [torch.zeros_like(centre) for centre in centres]

    def pull(self, rows: Tensor, totals: Totals) -> tuple[list[Tensor], Any]:
        """The vector-Jacobian product; the constant is the value at 0."""
        if self.spread is not None:
            totals.pay_for_rows(rows, self.samples, self.spread)
        if self.by_hand is not None:
            found, offset = self.by_hand(rows)
            return found, 0.0 if offset is None else totals(times(rows, offset), self.samples)
        value, vjp, *_ = torch.func.vjp(self.function, *self.zeros)
        terms = times(rows, value) if self.spread is None else least(rows, self.spread.near(value))
        return pulled(vjp, rows), totals(terms, self.samples)


class Through(Node):
    """An elementwise function between two lines.

    Args:
        parent: the node of the argument.
        found: the lines to begin with.
        free: makes lines of given slopes.
        argument: the largest absolute value of each argument, for rigorous passes.

    Attributes:
        lines: the lines for a pass from lower bounds, and those for a pass from upper bounds.
    """

    how = "lines"

    def __init__(self, parent: Node, found: Lines, free: Free, argument: Tensor | None = None) -> None:
        super().__init__(parent.shape, parent.samples, [parent])
        self.lines, self.free, self.argument = (found, found), free, argument

    def pull(self, rows: Tensor, totals: Totals) -> tuple[list[Tensor], Any]:
        """Positive coefficients take the lower line, negative ones the upper."""
        a_l, b_l, a_u, b_u = self.lines[totals.side]
        up, down = rows.clamp(min=0.0), rows.clamp(max=0.0)
        offset = torch.where(rows > 0, up * b_l, torch.where(rows < 0, down * b_u, 0.0))
        found = up * a_l + down * a_u
        if self.argument is not None:
            totals.pay_for_products(found, self.samples, self.argument)
        return [found], totals(offset, self.samples)


class Product(Node):
    r"""A function that is affine in each of two parents: x∘y = c_x∘y + x∘c_y - c_x∘c_y ± r_x∘r_y (McCormick 1976).

    Args:
        function: of both.
        bilinear: the part of it that is linear in each, for the radii.
        planes: computes, from the centres, the bounds that rigorous passes need.
    """

    how = "planes"

    def __init__(
        self, function: Callable[..., Tensor], bilinear: Callable[..., Tensor], parents: Sequence[Node],
        boxes: Sequence[Box], samples: Samples, shape: Sequence[int],
        planes: Callable[[Sequence[Tensor]], Planes] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(shape, samples, parents)
        self.function = function
        self.centres = [(box.upper + box.lower) / 2 for box in boxes]
        self.room = bilinear(*[(box.upper - box.lower) / 2 for box in boxes])
        self.planes = None if planes is None else planes([centre.detach() for centre in self.centres])
        if self.planes is not None:
            self.room = valued(self.planes.room, self.room)

    def pull(self, rows: Tensor, totals: Totals) -> tuple[list[Tensor], Any]:
        """The derivative at the centres, and the error of that."""
        value, vjp, *_ = torch.func.vjp(self.function, *self.centres)
        found = pulled(vjp, rows)
        if self.planes is None:
            constant = totals(rows * value - rows.abs() * self.room, self.samples)
        else:
            for spread in self.planes.spreads:
                totals.pay_for_rows(rows, self.samples, spread)
            constant = totals(least(rows, self.planes.spreads[0].near(value)), self.samples)
            constant = constant - totals(times(rows.abs(), self.room), self.samples)
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
