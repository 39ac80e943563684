"""Conversions to another dtype or device. Outward mode rounds outward if digits are lost."""

from __future__ import annotations

from typing import Any

import torch

from ... import _rounding as rounding
from ..._compat import anywhere
from ..._records.registry import Box
from ..._theorems.boxes import both, lower_of, map_boxes
from ..._theorems.families import structural
from ..._theorems.layout import laid_out, strides
from ..._theorems.rectangles import join, parts, real_dtype
from ...errors import UndecidedError, UnsupportedOpError


def convert(function: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    """Convert both bounds. In outward mode a conversion to a narrower floating dtype rounds outward.

    Raises:
        UndecidedError: for integer dtypes, if points of the box convert to different integers.
    """
    if not isinstance(input, Box):  # plain.to(box) reads dtype and device of the box
        return function(input, *map_boxes(lower_of, args), **map_boxes(lower_of, kwargs))
    result = both(function, input, *args, **kwargs)
    if not isinstance(result, Box):
        return result
    before, after = input.lower.dtype, result.lower.dtype
    if before.is_complex or after.is_complex:
        return _convert_complex(input, before, after, result)
    if after.is_floating_point:
        if before.is_floating_point and rounding.outward() and rounding.narrows(before, after):
            ends = rounding.cast(input.lower.to(result.lower.device), input.upper.to(result.lower.device), after)
            return Box(*(laid_out(end, strides(result.lower)) for end in ends))
        return result
    if before is torch.bool or before == after:
        return result
    if after is torch.bool:
        certainly, possibly = (input.lower > 0) | (input.upper < 0), (input.lower != 0) | (input.upper != 0)
        return Box(*(laid_out(end, strides(result.lower)) for end in (certainly, possibly)))
    # Truncation is increasing, so equal truncated ends mean that every point of the box gives this integer. Comparing
    # the converted integers would not show this: numbers beyond their range wrap around.
    if anywhere(torch.trunc(input.lower) != torch.trunc(input.upper)):
        raise UndecidedError(
            f"the {after} value of some entries depends on the point of the box",
            "take a bound first: x.lower or x.upper",
        )
    return result.lower


def _convert_complex(input: Box, before: torch.dtype, after: torch.dtype, result: Box) -> Box:
    """Convert part by part. A real box gets the imaginary part 0; a box that becomes real loses its imaginary part.

    Raises:
        UnsupportedOpError: for a complex box that is to be Boolean or integer.
    """
    if not (after.is_complex or after.is_floating_point):
        raise UnsupportedOpError(f"a box of {before} cannot become {after}", "convert a part: x.real.to(dtype)")
    precision = real_dtype(after)
    if before == after or not rounding.outward() or not rounding.narrows(real_dtype(before), precision):
        return result
    sides = [Box(*rounding.cast(x.lower, x.upper, precision)) for x in parts(input) if x is not None]
    if not after.is_complex:
        return sides[0]
    return join(sides[0], sides[1] if len(sides) == 2 else torch.zeros_like(sides[0].lower))


for _name in ("to", "double", "float", "half", "bfloat16", "type", "type_as", "cuda", "cpu", "xpu", "ipu", "mtia"):
    structural(_name, functional=False, by=convert)
structural("cfloat", "cdouble", "_to_copy", functional=False, by=convert)
structural("bool", "int", "long", "short", functional=False, by=convert, affine_in=())
