"""Helpers of rules: boxes in nested arguments, hulls, unknown entries, undecided Booleans, domains."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._compat import anywhere, readable, vmapping
from .._records.registry import Box
from .._rounding import outward, untracked
from .._trees import map_kind, zip_results
from ..errors import DomainError, UndecidedError

inf = math.inf


def as_box(x: Any) -> Box:
    """Return a box as it is, and a tensor or number as the box of that one point."""
    return x if isinstance(x, Box) else Box(x, x)


def map_boxes(pick: Callable[[Box], Any], args: Any) -> Any:
    """Replace every box in nested tuples, lists and dicts by `pick(box)`."""
    return map_kind(Box, pick, args)


def zip_boxes(lower: Any, upper: Any) -> Any:
    """Make boxes of the results of a function at both ends, also in nested tuples and lists."""
    return zip_results(lambda l, u: Box(l, u) if isinstance(l, Tensor) else l, lower, upper)


def lower_of(box: Box) -> Tensor:
    """Pick the lower bound."""
    return box.lower


def upper_of(box: Box) -> Tensor:
    """Pick the upper bound."""
    return box.upper


def magnitude(x: Box) -> Tensor:
    """The largest |x| in each entry."""
    return torch.maximum(-x.lower, x.upper)


def absolute_range(x: Box) -> tuple[Tensor, Tensor]:
    """The smallest and the largest |x| in each entry."""
    return torch.maximum(x.lower, -x.upper).clamp(min=0), magnitude(x)


def hull(x: Box, y: Box) -> Box:
    """The smallest box around both."""
    return Box(torch.minimum(x.lower, y.lower), torch.maximum(x.upper, y.upper))


def intersect(x: Box, y: Box) -> Box:
    """The points in both boxes; only for two boxes that both contain the value that is to be bounded."""
    return ordered(torch.maximum(x.lower, y.lower), torch.minimum(x.upper, y.upper))


def ordered(lower: Tensor, upper: Tensor) -> Box:
    """The box with these bounds, which were computed independently.

    In nearest mode rounding may exchange the bounds of a thin box. Then the box between them is the answer; each bound
    keeps its own gradient.
    """
    if outward():
        return Box(lower, upper)
    crossed = lower > upper
    if readable(lower) and not anywhere(crossed):
        return Box(lower, upper)
    return Box(torch.where(crossed, _moved(lower, upper), lower), torch.where(crossed, _moved(upper, lower), upper))


def _moved(x: Tensor, to: Tensor) -> Tensor:
    """The values of one tensor with the gradients of another."""
    return to.detach() + (x - x.detach()).nan_to_num(0.0)


def both(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Apply a function to the lower bounds and to the upper bounds."""
    lower = function(*map_boxes(lower_of, args), **map_boxes(lower_of, kwargs))
    upper = function(*map_boxes(upper_of, args), **map_boxes(upper_of, kwargs))
    return Box(lower, upper) if isinstance(lower, Tensor) else zip_boxes(lower, upper)


def unbounded(lower: Tensor, upper: Tensor) -> Box:
    """Replace NaN bounds of fresh tensors by -inf and +inf: nothing is known there."""
    untracked(lower).nan_to_num_(-inf, inf, -inf)
    untracked(upper).nan_to_num_(inf, inf, -inf)
    return Box(lower, upper)


def sides_of_zero(x: Box) -> tuple[Tensor, Tensor]:
    """Whether a box reaches 0 from below, and whether it reaches 0 from above: needed at a pole at 0.

    Where a function is continuous, the sign of a zero does not matter. At a pole torch's kernels take -0.0 as the end
    of the negative numbers and 0.0 as the start of the positive ones. A box follows this: its points are the floats
    from its lower to its upper end, and -0.0 is the float just below 0.0. So [0.0, 1] reaches 0 from above only, [-1,
    -0.0] from below only, [-0.0, 1] and [-1, 0.0] from both sides. A zero of no width reaches 0 from both sides,
    because rounding may have chosen its sign.
    """
    l, u = x
    meets = (l <= 0) & (u >= 0)
    return meets & (l.signbit() | (u == 0)), meets & (~u.signbit() | (l == 0))


def decided(mask: Any, what: str) -> Any:
    """Return a Boolean box as a plain tensor, if every entry is decided.

    Raises:
        UndecidedError: if an entry may be true or false.
    """
    if not isinstance(mask, Box):
        return mask
    undecided = mask.lower != mask.upper
    if not anywhere(undecided):
        return mask.lower
    raise UndecidedError(
        f"{what} depends on the point of the box",
        share(undecided, "are undecided"),
        "use torch.where, which takes the hull of both branches, or bisect the box",
    )


def check_writable(box: Box) -> None:
    """Refuse to write into a box if autograd forbids to write into one of its bounds.

    In some cases torch would raise the error after it has written the first bound, and would leave a wrong box.

    Raises:
        RuntimeError: as torch does.
    """
    for bound in box:
        if bound.is_inference() and not torch.is_inference_mode_enabled():
            raise RuntimeError(
                "Inplace update to inference tensor outside InferenceMode is not allowed:"
                " the box was made in torch.inference_mode(); clone it before it is written to"
            )
        if bound.requires_grad and torch.is_grad_enabled():
            whole = bound if bound._base is None else bound._base
            if whole.is_leaf and whole.requires_grad:
                raise RuntimeError(
                    "a leaf box that requires grad is being used in an in-place operation:"
                    " use the out-of-place operation, or clone the box"
                )


def share(mask: Tensor, verb: str) -> str:
    """Say for how many entries a mask is true, and where the first of them is."""
    if vmapping():
        return f"entries of some samples {verb}"
    first = tuple(mask.nonzero()[0].tolist())
    return f"{int(mask.sum())} of {mask.numel()} entries {verb}, the first at index {first}"


# --- domains ----------------------------------------------------------------------------------------------------------


def check_domain(op_name: str, x: Any, domain: tuple[float, float]) -> Any:
    """Return a box whose points all lie in the closed domain, or refuse the box.

    In outward mode rounding moves an end that lies on the edge of the domain out of the domain. So a box is cut to its
    part inside the domain if it has points inside and leaves the domain by no more than `_ROUNDINGS` roundings of
    numbers of its size or of 1. All values of the function belong to the part inside. The end that is cut is a
    constant for autograd.

    Raises:
        DomainError: with the first offending index, its bounds, and how to stay inside.
    """
    l, u = as_box(x)
    low, high = domain
    if not isinstance(l, Tensor) or not readable(l):
        return x
    outside = (l < low) | (u > high) if high < inf else l < low
    if low == -inf:
        outside = u > high
    if not anywhere(outside):
        return x
    by_rounding = outward() and isinstance(x, Box) and l.dtype.is_floating_point
    if by_rounding and not anywhere(outside & ~_nearly_inside(l, u, domain, _ROUNDINGS)):
        return Box(l.clamp(low, high), u.clamp(low, high))
    at = "" if vmapping() else ": [{:.9g}, {:.9g}]".format(*(bound[outside][0].item() for bound in (l, u)))
    rounded = by_rounding and anywhere(outside & _nearly_inside(l, u, domain, 2.0**-8 / torch.finfo(l.dtype).eps))
    raise DomainError(
        f"a box leaves the domain [{low:g}, {high:g}] of {op_name}",
        f"{share(outside, 'do')}{at}",
        *([_BY_ROUNDING] if rounded else []),
        f"some of its points give NaN; clamp the argument first, as in x.clamp({_clamp_hint(domain)}); "
        "a branch guarded by torch.where still meets the whole box",
    )


_ROUNDINGS = 64
"""By how many eps a box may leave a domain in outward mode; several elementwise operations add less to an end."""
_BY_ROUNDING = (
    "it leaves by so little that outward rounding of an earlier step may be the cause: if the exact values stay "
    "inside, the clamp below loses nothing"
)


@torch.no_grad()
def _nearly_inside(l: Tensor, u: Tensor, domain: tuple[float, float], roundings: float) -> Tensor:
    """Whether a box has points in a domain and leaves the domain by a few roundings at most."""
    low, high = domain
    size = torch.maximum(l.abs(), u.abs()).clamp(min=1.0, max=torch.finfo(l.dtype).max)
    room = size * (roundings * torch.finfo(l.dtype).eps)
    return (l >= low - room) & (u <= high + room) & (u >= low) & (l <= high)


def _clamp_hint(domain: tuple[float, float]) -> str:
    ends = zip(("min", "max"), domain)
    return ", ".join(f"{name}={end:g}" for name, end in ends if math.isfinite(end))
