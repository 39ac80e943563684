r"""Joint bounds of `torch.distributions.kl_divergence` for distributions whose divergence uses a parameter twice.

Torch looks up the divergence of two distributions by their classes. `torch.distributions.kl.register_kl` enters a
function into this table. The functions entered here call torch's own function for distributions of plain tensors. For
boxes, they evaluate torch's own function at the points at which the divergence is extreme.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributions
from torch.distributions.kl import register_kl

from .. import _compat
from .._records.registry import Box
from .._tensor.interval import IntervalTensor
from .._theorems.boxes import absolute_range

Divergence = Callable[[Any, Any], Any]


def _joint(kind: type, parameters: tuple[str, ...]) -> Callable[[Callable[..., Any]], None]:
    """Register `bound(theirs, p, q)` for two distributions of a class that have boxes among these attributes."""
    theirs: Divergence = _compat.divergence(kind, kind)

    def register(bound: Callable[..., Any]) -> None:
        @functools.wraps(theirs)
        def divergence(p: Any, q: Any) -> Any:
            given = (vars(each).get(name) for each in (p, q) for name in parameters)
            return bound(theirs, p, q) if any(isinstance(x, IntervalTensor) for x in given) else theirs(p, q)

        register_kl(kind, kind)(divergence)

    return register


def _point(x: Tensor) -> IntervalTensor:
    return IntervalTensor._wrap(Box(x, x))


def _ends(x: Tensor) -> tuple[Tensor, Tensor]:
    return (x.lower, x.upper) if isinstance(x, IntervalTensor) else (x, x)


# --- normal distributions ---------------------------------------------------------------------------------------------


@_joint(distributions.Normal, ("loc", "scale"))
def _of_normals(theirs: Divergence, p: Any, q: Any) -> Any:
    r"""The hull of $\frac12 \bigl(\frac{s + d}{w} - 1 - \log \frac sw\bigr)$, where $s, w$ are the variances and $d$
    the squared distance of the means.

    The divergence grows with d. It is convex in $a = \log s$ and $b = \log w$, so its largest value is at a corner. For
    given b the smallest value is at the a nearest to b. With this a, the divergence falls up to $b = \log(\max s + d)$
    and rises from there. A minimiser that is off by a rounding changes the value to second order, far less than the
    value's own rounding.
    """
    least, most = absolute_range(_as_box(p.loc - q.loc))
    (s, s_high), (w, w_high) = (absolute_range(_as_box(each.scale)) for each in (p, q))
    best = torch.hypot(s_high.detach(), least.detach())
    to = torch.minimum(torch.maximum(best, w), w_high)
    at = torch.minimum(torch.maximum(to, s), s_high)
    corners = [(least, at, to), *((most, a, b) for a in (s, s_high) for b in (w, w_high))]
    distances, froms, tos = (torch.stack(torch.broadcast_tensors(*ends)) for ends in zip(*corners, strict=True))
    normal = functools.partial(distributions.Normal, validate_args=False)
    values = theirs(normal(_point(distances), _point(froms)), normal(torch.zeros_like(distances), _point(tos)))
    return IntervalTensor._wrap(Box(values.lower[0].clamp(min=0), values.upper[1:].amax(0)))


def _as_box(x: Any) -> Box:
    return Box(*_ends(x))


@register_kl(distributions.HalfNormal, distributions.HalfNormal)
def _of_half_normals(p: Any, q: Any) -> Any:
    """The divergence of the normal distributions with doubled densities; torch's own calls their function by name."""
    return distributions.kl_divergence(p.base_dist, q.base_dist)


# --- families of one parameter ----------------------------------------------------------------------------------------


def _of_one_parameter(theirs: Divergence, p: Any, q: Any) -> Any:
    r"""The hull for an exponential family of one parameter.

    $\partial_\eta KL(\theta, \eta) = \mu(\eta) - \mu(\theta)$ and $\partial_\theta KL = (\theta - \eta) \mu'(\theta)$,
    where the mean $\mu$ grows with the parameter. So the divergence grows as one parameter moves away from the other.
    The largest value is at opposite ends. The smallest value is at the nearest ends, or 0 where the boxes meet.
    """
    (p_low, p_high), (q_low, q_high) = (_at_ends(each) for each in (p, q))
    values = [theirs(p_low, q_high), theirs(p_high, q_low)]
    rising, falling = (_as_box(value) for value in values)
    name = next(name for name in ("rate", "probs") if hasattr(p, name))
    x, y = (_as_box(getattr(each, name)) for each in (p, q))
    apart = torch.where(x.lower > y.upper, rising.lower, torch.zeros_like(rising.lower))
    lower = torch.where(x.upper < y.lower, falling.lower, apart).clamp(min=0)
    return IntervalTensor._wrap(Box(lower, torch.maximum(rising.upper, falling.upper)))


def _at_ends(d: Any) -> list[Any]:
    """The distributions at both ends of the parameter, made with the keyword by which the parameter was given."""
    name = next(name for name in ("rate", "probs", "logits") if name in vars(d))
    return [type(d)(**{name: _point(end)}, validate_args=False) for end in _ends(getattr(d, name))]


_RATE, _CHANCE = ("rate",), ("probs", "logits")
_ONE_PARAMETER: dict[type, tuple[str, ...]] = {
    distributions.Exponential: _RATE,
    distributions.Poisson: _RATE,
    distributions.Bernoulli: _CHANCE,
    distributions.Geometric: _CHANCE,
}
for _kind, _names in _ONE_PARAMETER.items():
    _joint(_kind, _names)(_of_one_parameter)
