"""What rules share: boxes of nested arguments, hulls, unknown entries, undecided Booleans, domains."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._compat import anywhere, readable, vmapping
from .._records.registry import Box
from .._rounding import outward, untracked
from ..errors import DomainError, UndecidedError

inf = math.inf


def as_box(x: Any) -> Box:
    """Return a box as it is, and a tensor or number as the box of that one point."""
    return x if isinstance(x, Box) else Box(x, x)


def map_boxes(pick: Callable[[Box], Any], args: Any) -> Any:
    """Replace every box in nested tuples, lists and dicts by `pick(box)`."""
    if isinstance(args, Box):
        return pick(args)
    if isinstance(args, dict):
        return {key: map_boxes(pick, value) for key, value in args.items()}
    if type(args) in (tuple, list):
        return type(args)([map_boxes(pick, value) for value in args])
    return args


def zip_boxes(lower: Any, upper: Any) -> Any:
    """Pair the results of a function at both ends, whatever tuples and lists hold them."""
    if isinstance(lower, Tensor):
        return Box(lower, upper)
    if isinstance(lower, (tuple, list)):
        paired = [zip_boxes(a, b) for a, b in zip(lower, upper)]
        return (
            type(lower)(paired) if type(lower) in (tuple, list) or hasattr(lower, "n_fields") else type(lower)(*paired)
        )
    return lower


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
    """The points in both boxes; only for boxes that are known to share the value sought."""
    return ordered(torch.maximum(x.lower, y.lower), torch.minimum(x.upper, y.upper))


def ordered(lower: Tensor, upper: Tensor) -> Box:
    """The box with these bounds, each of which was computed by itself.

    In nearest mode rounding may exchange them, and then what lies between them is the answer; each bound keeps the
    gradient that it has.
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
    return zip_boxes(lower, upper)


def unbounded(lower: Tensor, upper: Tensor) -> Box:
    """Replace NaN bounds of fresh tensors by -inf and +inf: nothing is known there."""
    untracked(lower).nan_to_num_(-inf, inf, -inf)
    untracked(upper).nan_to_num_(inf, inf, -inf)
    return Box(lower, upper)


def sides_of_zero(x: Box) -> tuple[Tensor, Tensor]:
    """Whether a box comes to 0 from below, and whether from above: what a function with a pole at 0 has to know.

    Zero is one real number, and the sign of a zero says nothing where a function is continuous. At a pole torch's
    kernels take -0.0 for the end of the negative numbers and 0.0 for the start of the positive ones. So does a box: its
    points are the floats from its lower to its upper end, where -0.0 is the one just below 0.0. [0.0, 1] comes to 0
    from above only, [-1, -0.0] from below only, [-0.0, 1] and [-1, 0.0] from both sides. A box of no width, whose sign
    is what rounding left, comes from both.
    """
    l, u = x
    meets = (l <= 0) & (u >= 0)
    return meets & (l.signbit() | (u == 0)), meets & (~u.signbit() | (l == 0))


def decided(mask: Any, what: str) -> Any:
    """Return the plain tensor that a Boolean box equals everywhere, or refuse.

    Raises:
        UndecidedError: if some entry may be either.
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
    """Refuse to write into a box of which autograd would let one bound be written and not the other, or neither.

    Raises:
        RuntimeError: where torch raises it, in some cases after it has written.
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
                    " use the other one, or clone it"
                )


def share(mask: Tensor, verb: str) -> str:
    """Say of how many entries a mask is true, and where the first of them is."""
    if vmapping():
        return f"entries of some samples {verb}"
    first = tuple(mask.nonzero()[0].tolist())
    return f"{int(mask.sum())} of {mask.numel()} entries {verb}, the first at index {first}"


# --- domains ----------------------------------------------------------------------------------------------------------


def check_domain(op_name: str, x: Any, domain: tuple[float, float]) -> Any:
    """Return a box as it is to be evaluated, or refuse one some of whose points lie outside the closed domain.

    In outward mode rounding moves an end that lies on the edge of the domain out of it. A box that reaches inside, and
    leaves by no more than `_ROUNDINGS` roundings of numbers of its size or of 1, is cut to its part inside: there the
    function has all of its values. The end that is cut is a constant for autograd.

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
"""By how many eps a box may leave a domain in outward mode: more than some elementwise operations add to an end."""
_BY_ROUNDING = (
    "it leaves by so little that outward rounding of an earlier step may have done it: where the exact values stay "
    "inside, the clamp below loses nothing"
)


@torch.no_grad()
def _nearly_inside(l: Tensor, u: Tensor, domain: tuple[float, float], roundings: float) -> Tensor:
    """Whether a box has points in a domain and leaves it by a few roundings at most."""
    low, high = domain
    size = torch.maximum(l.abs(), u.abs()).clamp(min=1.0, max=torch.finfo(l.dtype).max)
    room = size * (roundings * torch.finfo(l.dtype).eps)
    return (l >= low - room) & (u <= high + room) & (u >= low) & (l <= high)


def _clamp_hint(domain: tuple[float, float]) -> str:
    ends = zip(("min", "max"), domain)
    return ", ".join(f"{name}={end:g}" for name, end in ends if math.isfinite(end))
