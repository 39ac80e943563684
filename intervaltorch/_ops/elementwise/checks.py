"""Checks of a whole tensor, as programs use them to validate arguments. An undecided check is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from ..._compat import Checked, checked_by_distribution
from ..._records.registry import Box
from ..._rounding import EXACT
from ..._theorems.boxes import decided, share
from ..._theorems.families import rule
from ...errors import UndecidedError
from .comparisons import all_, any_

_RECORD: dict[str, Any] = {"family": "comparison", "budget": EXACT, "proven": True}


@rule("_is_all_true", formula=r"\bigwedge x", **_RECORD)
def is_all_true(input: Any) -> Tensor:
    """Whether all entries are true, if the answer is the same at every point."""
    return _answer(all_(input), input)


@rule("_is_any_true", formula=r"\bigvee x", **_RECORD)
def is_any_true(input: Any) -> Tensor:
    """Whether some entry is true, if the answer is the same at every point."""
    return _answer(any_(input), input)


@rule("_assert_async", formula="x", **_RECORD)
def assert_async(input: Any, assert_msg: str | None = None) -> None:
    """Raise torch's own error if the condition fails at every point of the box."""
    condition = decided(input, f"the condition of torch._assert_async ({assert_msg or 'without a message'})")
    torch._assert_async(condition) if assert_msg is None else torch._assert_async(condition, assert_msg)


def _answer(answer: Box, input: Box) -> Tensor:
    """The answer of a check, if all points of the box agree.

    Raises:
        UndecidedError: if they do not. The error names the distribution and its argument if `torch.distributions` asks.
    """
    if torch.equal(answer.lower, answer.upper):
        return answer.lower
    asked = checked_by_distribution()
    if asked is not None and _keeps_equation(asked):
        return answer.upper
    raise undecided_check(share(input.lower != input.upper, "are undecided"), asked)


def undecided_check(entries: str, asked: Checked | None) -> UndecidedError:
    """The error for a check that some points of the box pass and others fail."""
    if asked is None:
        return UndecidedError(
            "the result of a check of all entries depends on the point of the box",
            entries,
            "clamp the argument so that the check holds in the whole box, or bisect the box",
        )
    return UndecidedError(
        f"{asked.name} of {asked.distribution} may break the constraint {asked.constraint!r}, which holds at some"
        " points of the box only",
        entries,
        "keep the box inside the constraint, as in scale.clamp(min=1e-6) or p.clamp(0, 1)",
        f"or, if the program never reaches the points that break it: {asked.distribution}(..., validate_args=False)",
    )


_EQUATIONS: dict[Any, Callable[[Any], Any]] = {
    type(constraints.simplex): lambda x: x >= 0,
    type(constraints.lower_triangular): lambda x: x == x,
    type(constraints.lower_cholesky): lambda x: x.diagonal(dim1=-2, dim2=-1) > 0,
    type(constraints.corr_cholesky): lambda x: x.diagonal(dim1=-2, dim2=-1) > 0,
}
"""Constraints that demand an equation, each with the inequality that it demands besides."""


def _keeps_equation(asked: Checked) -> bool:
    """Whether the check of a constraint passes although only some points of the box keep the constraint.

    An equation, such as that probabilities add up to 1, never holds all over a box that has an interior. On plain
    tensors torch computes a value only at points that keep the equation. So bounds over the whole box contain every
    such value. The inequality besides must hold at every point.
    """
    inequality = _EQUATIONS.get(type(asked.constraint))
    return inequality is not None and bool(inequality(asked.value).all())
