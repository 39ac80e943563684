"""Padding of both bounds, with their own entries or with a number."""

from __future__ import annotations

from typing import Any

import torch

from ..._records.registry import Box
from ..._theorems.boxes import both
from ..._theorems.families import rule, structural
from ..._theorems.operands import operand
from ..._theorems.rectangles import unchanged

structural(
    "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d", "replication_pad2d",
    "replication_pad3d", "_pad_circular", functional=False,
)  # fmt: skip


def _pad(function: Any, input: Box, *places: Any, value: Any) -> Box:
    """Pad both bounds. Outward, a number that the dtype cannot hold becomes the interval of its two neighbours."""
    ends = operand(0 if value is None else value, input)
    return Box(*(function(x, *places, value=float(end)) for x, end in zip(input, ends, strict=True)))


_RECORD: dict[str, Any] = {"formula": "x", "family": "structural", "proven": True, "affine_in": ({"input"},)}


@rule("pad", functional=True, complex=unchanged, **_RECORD)
def pad(input: Box, pad: Any, mode: str = "constant", value: Any = None) -> Box:
    """Both bounds padded, with their own entries or with a number."""
    function = torch.nn.functional.pad
    if mode == "constant":
        return _pad(function, input, pad, mode, value=value)
    return both(function, input, pad, mode)


@rule("constant_pad_nd", complex=unchanged, **_RECORD)
def constant_pad_nd(input: Box, pad: Any, value: Any = 0) -> Box:
    """Both bounds padded with a number."""
    return _pad(torch.constant_pad_nd, input, pad, value=value)
