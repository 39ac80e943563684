r"""Affine maps, in centre and radius.

With $c, r$ the centre and radius of the input, $Wx + b$ ranges over $Wc + b \pm |W| r$ (Gowal et al. 2018, *On the
effectiveness of interval bound propagation*, eq. 6). This is the hull for a fixed W. `_two_boxes` bounds the product of
two boxes: by the hull where, of each two factors, one keeps its sign.

*Outward rounding.* Let each sum have n products, and let $G = \gamma_{n+5}$.

- The computed centre errs by at most $\gamma_{n+1}(|W||c| + |b|)$, in whatever order it is summed. The input radius
  $r + G|c|$ and the bias radius $G|b|$ cover this error and the rounding of the ends. The radius $r + G|c|$ also
  reaches both ends from a rounded midpoint.
- The radius product errs relatively by at most $\gamma_{n+20}$.
- Underflow adds less than `_FLOOR`.

The proof is in the documentation, *Rounding and the guarantee*; steps named here are steps of that proof.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import _rounding as rounding
from ..._records.registry import Box
from ..._rounding import untracked
from ..._theorems.boxes import as_box
from ..._theorems.families import rule
from ..._theorems.signs import keep_signs
from ..._theorems.sums import finite, in_double
from ..elementwise.arithmetic import add, mul

inf = math.inf
Product = Callable[[Tensor, Tensor, Any], Tensor]


def affine(product: Product, x: Any, weight: Any, bias: Any, terms: int) -> Box:
    """Bound `product(x, weight, bias)`: sums of products of an entry of `x` and one of `weight`, and `bias`.

    Args:
        product: called with plain tensors.
        x: box or tensor.
        weight: box or tensor.
        bias: box, tensor or None; `product` adds it.
        terms: how many products are summed to one entry of the result, at the most.
    """
    if not isinstance(x, Box) and not isinstance(weight, Box):
        x = Box(x, x)  # only the bias varies
    dtype = _dtype(x)
    if rounding.accumulating(dtype):
        # In float64 products of float32 numbers are exact and sums nearly so. One rounding outward remains.
        if (
            terms <= _SHORT
            and isinstance(x, Box)
            and isinstance(weight, Tensor)
            and isinstance(bias, (Tensor, type(None)))
        ):
            wide = _mixed(product, x, weight, bias, terms)
        else:
            wide = affine(product, in_double(x), in_double(weight), in_double(bias), terms)
        return Box(*rounding.cast(wide.lower, wide.upper, dtype))
    if isinstance(x, Box) and isinstance(weight, Box):
        weight = _unless_point(weight)
        x = _unless_point(x) if isinstance(weight, Box) else x
    boxes = isinstance(x, Box) + isinstance(weight, Box)
    growth = rounding.gamma(terms + (5 if boxes == 1 else 9), dtype) if rounding.outward() else None
    floor = _FLOOR * torch.finfo(dtype).tiny if growth is not None else 0.0
    bias_centre, bias_radius = _bias(bias, growth, floor)
    if not isinstance(weight, Box):
        x_centre, x_radius = _centre_and_radius(x, growth)
        centre = product(x_centre, weight, bias_centre)
        radius = product(x_radius, weight.abs(), bias_radius)
    elif not isinstance(x, Box):
        w_centre, w_radius = _centre_and_radius(weight, growth)
        centre = product(x, w_centre, bias_centre)
        radius = product(x.abs(), w_radius, bias_radius)
    else:
        centre, radius = _two_boxes(product, x, weight, (bias_centre, bias_radius), growth)
    if growth is not None:
        factor = (1 + rounding.gamma(terms + 20, dtype)) ** boxes
        error = untracked(radius).mul_(factor)
        if bias is None:
            error.add_(floor)
    box = finite(centre - radius, centre + radius)
    if growth is not None:
        keep_signs(product, as_box(x), as_box(weight), bias, box, rounding.gamma(terms + 20, dtype))
    return box


def _two_boxes(
    product: Product, x: Box, weight: Box, bias: tuple[Any, Any], growth: float | None
) -> tuple[Tensor, Tensor]:
    r"""Centre and radius of a product of two boxes: the hull where, of each pair of factors, one keeps its sign.

    Let $q$ be the centre cut to $[-r, r]$. For numbers in $c \pm r$ and $d \pm s$, by their four corners,

    $$|x w - c d - q_x q_w| \le |c| s + r |d| + r s - |q_x q_w| = |c| s + r \max(|d|, s) + (r - |q_x|) |q_w|$$

    (Rump 2012, *Fast interval matrix multiplication*, Numerical Algorithms 61). Both ends are attained unless 0 lies
    inside both intervals. Then the result is at most 4 - 2√2 = 1.18 times as wide as the hull.
    """
    none = None if growth is None else 0.0  # `enlarged` also pays for the rounding of midpoints
    (x_centre, x_radius), (w_centre, w_radius) = (_centre_and_radius(box, none) for box in (x, weight))
    x_cut, w_cut = (torch.clamp(c, -r, r) for c, r in ((x_centre, x_radius), (w_centre, w_radius)))
    enlarged = w_radius
    if growth is not None:  # pays for the rounding of the first product; the second errs relative to the radius
        enlarged = w_radius + w_centre.detach().abs() * growth
    centre = product(x_centre, w_centre, bias[0]) + product(x_cut, w_cut, None)
    radius = product(x_centre.abs(), enlarged, bias[1])
    radius = radius + product(x_radius, torch.maximum(w_centre.abs(), w_radius), None)
    return centre, radius + product(x_radius - x_cut.abs(), w_cut.abs(), None)


_FLOOR = 16
"""In units of `tiny`. The underflow of m products, u·tiny each, adds up to less than m/2n, since n u < 1/2. Steps 4 and
6 count 7n and 28n products."""

_SHORT = 1024
"""Up to this number of products in a sum, float32 rounding adds less than 7e-5 of itself to a radius."""


def _mixed(product: Product, x: Box, weight: Tensor, bias: Tensor | None, terms: int) -> Box:
    """As `affine`, with the centre in float64 and the radius in float32.

    Where rounding is large compared with the box, the rounding of the centre dominates. So γ is that of float64 for the
    centre and that of float32 for the radius, which is rounded up to float32.
    """
    tiny = torch.finfo(torch.float32).tiny
    growth = rounding.gamma(terms + 5, torch.float64)
    x_centre, reach = _centre_and_radius(in_double(x), growth)
    x_radius = reach.float()
    untracked(x_radius).add_(tiny)
    centre = product(x_centre, weight.double(), in_double(bias))
    radius = product(x_radius, weight.abs(), _bias(bias, growth, _FLOOR * tiny)[1]).double()
    factor = 1 + rounding.gamma(terms + 20, torch.float32)
    error = untracked(radius).mul_(factor)
    if bias is None:
        error.add_(_FLOOR * tiny)
    box = finite(centre - radius, centre + radius)
    keep_signs(product, x, as_box(weight), bias, box, rounding.gamma(terms + 20, torch.float32))
    return box


def _unless_point(x: Box) -> Any:
    """The box, or its bound as a plain tensor if both bounds are one object."""
    return x.lower if x.is_point else x


def _dtype(x: Any) -> torch.dtype:
    """The dtype of a box or tensor."""
    return (x.lower if isinstance(x, Box) else x).dtype


def _centre_and_radius(x: Box, growth: float | None) -> tuple[Tensor, Tensor]:
    """A point near the middle of x, and a radius around it.

    In outward mode (`growth` given) the radius reaches both ends, up to 3u|centre| and a relative error of a few u, and
    then `growth`·|centre| further. That enlargement is a constant for autograd.
    """
    centre = torch.lerp(x.lower, x.upper, 0.5)
    radius = x.upper - centre
    if growth is not None:
        untracked(radius).add_(untracked(centre).abs(), alpha=growth).add_(torch.finfo(radius.dtype).tiny)
    return centre, radius


def _bias(bias: Any, growth: float | None, floor: float) -> tuple[Any, Any]:
    """Centre and radius of the bias. Outward, the radius is at least `growth`·|centre| + `floor`, up to rounding."""
    if isinstance(bias, Box):
        centre, radius = _centre_and_radius(bias, growth)
        if growth is not None:
            untracked(radius).add_(floor)
        return centre, radius
    if bias is None or growth is None:
        return bias, None
    return bias, bias.detach().abs().mul_(growth).add_(floor)


def size_of(x: Any, dim: int) -> int:
    """The size of one dimension of a box or tensor; 1 for a 0-d tensor."""
    tensor = x.lower if isinstance(x, Box) else x
    return tensor.shape[dim] if tensor.ndim else 1


def mapped(function: Callable[[Tensor], Tensor], x: Any) -> Any:
    """Apply a function that moves entries to a tensor, or to both bounds of a box."""
    return Box(function(x.lower), function(x.upper)) if isinstance(x, Box) else function(x)


_SMALL = 2048
"""Up to this number of products in all, two boxes are multiplied by corners. This was measured to cost 25 microseconds
more (250 in outward mode). It gives the hull, where centres and radii give a box up to 18 % wider."""


def corner_product(x: Box, y: Box) -> Box:
    """The hull of a product of two boxes: the sum of the hulls of all products, which share no variables in one sum."""
    if y.lower.ndim == 1:
        products, dim = mul(x, y), -1
    else:
        left = mapped(lambda t: t.unsqueeze(-1), x)
        products, dim = mul(left, mapped(lambda t: t.unsqueeze(-3), y) if x.lower.ndim > 1 else y), -2
    one = products.lower.new_ones(())
    return affine(lambda t, w, _: (t * w).sum(dim), products, one, None, products.lower.shape[dim])


def small_boxes(x: Any, y: Any, count: int = 1) -> bool:
    """Whether two factors are boxes, and small enough to be multiplied by corners."""
    both = isinstance(x, Box) and isinstance(y, Box)
    return both and max(x.lower.numel(), y.lower.numel()) <= _SMALL and 0 < count <= _SMALL


# --- layers -----------------------------------------------------------------------------------------------------------


AFFINE_RECORD: dict[str, Any] = {"family": "affine", "proven": True, "sharp": False}


@rule(
    F.linear, torch.ops.aten.linear, formula=r"x W^\top + b", affine_in=({"input", "bias"}, {"weight", "bias"}),
    **AFFINE_RECORD, products=True,
)  # fmt: skip
def linear(input: Any, weight: Any, bias: Any = None) -> Box:
    """The hull if input or weight is fixed, or if both are small; else at most 1.18 times as wide."""
    if small_boxes(input, weight) and small_boxes(
        input, weight, _linear_size(input, weight, bias) * size_of(input, -1)
    ):
        y = corner_product(input, mapped(lambda w: w.t() if w.ndim == 2 else w, weight))
        return y if bias is None else add(y, bias)
    return affine(F.linear, input, weight, bias, size_of(weight, -1))


def _linear_size(input: Box, weight: Box, bias: Any) -> int:
    """How many entries the result of `F.linear` has."""
    return F.linear(input.lower, weight.lower, None if bias is None else as_box(bias).lower).numel()


def _convolution(function: Any, input: Any, weight: Any, bias: Any, transposed: bool, *args: Any, **kwargs: Any) -> Box:
    """Bound a convolution; `args` and `kwargs` are its geometry."""
    if rounding.outward():
        rounding.check_convolution(input.lower if isinstance(input, Box) else input)
    shape = (weight.lower if isinstance(weight, Box) else weight).shape
    # A transposed convolution's weight is (in, out/groups, ...): every input channel may meet every tap.
    terms = math.prod(shape[2:]) * (shape[0] if transposed else shape[1])

    def product(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        return function(x, w, b, *args, **kwargs)

    return affine(product, input, weight, bias, terms)


def _register_convolutions() -> None:
    """Register convolutions and transposed convolutions in one to three dimensions."""
    for dims in (1, 2, 3):
        for transposed in (False, True):
            name = f"conv_transpose{dims}d" if transposed else f"conv{dims}d"
            function = getattr(F, name)

            def enclose(
                input: Any, weight: Any, bias: Any = None, *args: Any,
                _function: Any = function, _transposed: bool = transposed, **kwargs: Any,
            ) -> Box:  # fmt: skip
                """The hull if input or weight is fixed; else at most 1.18 times as wide."""
                return _convolution(_function, input, weight, bias, _transposed, *args, **kwargs)

            rule(
                name,
                formula=r"W * x + b",
                functional=True,
                affine_in=({"input", "bias"}, {"weight", "bias"}),
                products=True,
                **AFFINE_RECORD,
            )(enclose)


_register_convolutions()


@rule(
    "conv_tbc", formula=r"W * x + b", family="affine", functional=True, proven=True,
    affine_in=({"input", "bias"}, {"weight", "bias"}), products=True,
)  # fmt: skip
def conv_tbc(input: Any, weight: Any, bias: Any, pad: int = 0) -> Box:
    """As `conv1d`, for an input `(time, batch, channel)` and a weight `(width, in, out)`."""

    def product(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        return torch.conv_tbc(x, w, w.new_zeros(w.shape[2]) if b is None else b, pad)

    width, channels = (weight.lower if isinstance(weight, Box) else weight).shape[:2]
    return affine(product, input, weight, bias, width * channels)


@rule(
    torch.convolution, torch.ops.aten.convolution, torch.ops.aten._convolution, formula=r"W * x + b", **AFFINE_RECORD,
    affine_in=({"input", "bias"}, {"weight", "bias"}), products=True,
)  # fmt: skip
def convolution(
    input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool, output_padding: Any,
    groups: int, *flags: Any,
) -> Box:  # fmt: skip
    """The general convolution. The hull if input or weight is fixed; else at most 1.18 times as wide."""
    return _convolution(
        torch.convolution,
        input,
        weight,
        bias,
        transposed,
        stride,
        padding,
        dilation,
        transposed,
        output_padding,
        groups,
    )
