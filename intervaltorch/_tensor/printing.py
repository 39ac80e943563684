"""Printing: decimals that enclose, points as one number, long tensors abbreviated as in torch.

In both rounding modes the ends of an interval are rounded outward to decimals: the lower end down, the upper end up. A
point is printed as one number, with `~` before the decimals if they are not exact. The options of
`torch.set_printoptions` apply: `precision` is the number of significant digits, or of digits after the point if
`sci_mode` is True or False.
"""

from __future__ import annotations

import math
import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

import torch
from torch import Tensor

from .._compat import print_options
from .._records.registry import Box

__all__ = ["format_box", "format_interval"]

_Cells = list  # nested lists of texts, in the shape of what is shown


def format_box(name: str, box: Box) -> str:
    """Return the text of `repr(box)`."""
    lower, upper = box.lower.detach(), box.upper.detach()
    hidden = lower.is_meta or lower.numel() == 0
    extras = [f"size={tuple(lower.shape)}"] if hidden and lower.shape != (0,) else []
    if lower.device.type != "cpu":
        extras.append(f"device='{lower.device}'")
    if lower.dtype not in (torch.bool, torch.get_default_dtype(), torch.get_default_dtype().to_complex()):
        extras.append(f"dtype={lower.dtype}")
    if box.lower.requires_grad or box.upper.requires_grad:
        extras.append("requires_grad=True")
    body = ("..." if lower.is_meta else "[]") if hidden else _layout(lower, upper, len(name) + 1)
    return f"{name}({', '.join([body, *extras])})"


def format_interval(box: Box, spec: str = "") -> str:
    """Return the text of a single entry, with a format for its numbers.

    Example:
        >>> import torch
        >>> format_interval(Box(torch.tensor(0.5), torch.tensor(2.0)), ".2f")
        '[0.50, 2.00]'
        >>> root = torch.tensor(2.0, dtype=torch.float64).sqrt()
        >>> format_interval(Box(root, root + 1e-12), ".3f"), format_interval(Box(root, root), ".3f")
        ('[1.414, 1.415]', '~1.414')
    """
    if box.lower.is_complex():
        sides = (Box(box.lower.real, box.upper.real), Box(box.lower.imag, box.upper.imag))
        return " + ".join(format_interval(side, spec) for side in sides) + "j"
    low, high = box.lower.item(), box.upper.item()
    if isinstance(low, bool):
        return str(low) if low == high else "undecided"
    spec = spec or _usual_format()
    below, above = _decimals(low, spec, ROUND_FLOOR), _decimals(high, spec, ROUND_CEILING)
    if low != high:
        return f"[{below}, {above}]"
    return below if below == above else f"~{format(low, spec)}"


def _usual_format() -> str:
    options = print_options()
    kind = {None: "g", True: "e", False: "f"}[options.sci_mode]
    return f".{options.precision}{kind}"


_SPEC = re.compile(r"(?:\.(\d+))?([eEfFgGn%]?)$")


def _decimals(x: float, spec: str, direction: str) -> str:
    """Format a number rounded in one direction to the decimals that the format shows."""
    if not math.isfinite(x):
        return format(x, spec)
    exact = Decimal(x)
    found: Any = _SPEC.search(spec)
    digits, kind = found[1], found[2]
    if digits is None and not kind:  # all digits that tell this float from others
        shortest = Decimal(repr(x))
        if shortest == exact or (shortest < exact) == (direction == ROUND_FLOOR):
            return format(x, spec)
        return format(Context(prec=17, rounding=direction).create_decimal(exact), spec)
    if kind in ("f", "F", "%") and kind:
        places = int(digits or 6)
        unit = Decimal(1).scaleb(-places - (2 if kind == "%" else 0))
        rounded, shown = exact.quantize(unit, direction, Context(prec=2000)), f".{places}f"
    else:
        count = max(1, int(digits or 6) + (kind in ("e", "E")))
        rounded, shown = Context(prec=count, rounding=direction).create_decimal(exact), f".{count - 1}e"
    if rounded == 0:
        return format(0.0, spec)
    near = float(rounded)  # prints as users know floats, where it stands for these decimals
    if kind == "%" or (math.isfinite(near) and Decimal(format(near, shown)) != rounded):
        return format(rounded, spec)
    return format(near, spec)


def _layout(lower: Tensor, upper: Tensor, indent: int) -> str:
    cells = _cells(lower, upper, lower.numel() > print_options().threshold)
    if isinstance(cells, str):
        return cells
    widest = max(map(len, _flat(cells)))
    if lower.ndim == 1:
        line = f"[{', '.join(cells)}]"
        if indent + len(line) <= print_options().linewidth:
            return line
    return _brackets(cells, lower.ndim, widest, indent)


def _cells(lower: Tensor, upper: Tensor, summarize: bool) -> _Cells | str:
    """Nested texts of the entries; `None` marks what a long dimension leaves out."""
    if lower.ndim == 0:
        return format_interval(Box(lower, upper))
    count, edge = len(lower), print_options().edgeitems
    if not summarize or count <= 2 * edge:
        return [_cells(lower[i], upper[i], summarize) for i in range(count)]
    shown = [_cells(lower[i], upper[i], summarize) for i in (*range(edge), *range(count - edge, count))]
    return [*shown[:edge], "...", *shown[edge:]]


def _flat(cells: _Cells | str) -> list[str]:
    return [cells] if isinstance(cells, str) else [text for cell in cells for text in _flat(cell)]


def _brackets(cells: _Cells | str, ndim: int, widest: int, indent: int) -> str:
    """Nest the texts in brackets: entries right-aligned, rows and blocks on lines of their own, as torch does."""
    if isinstance(cells, str):
        return cells
    if ndim > 1:
        parts = [_brackets(cell, ndim - 1, widest, indent + 1) for cell in cells]
        return "[" + ("," + "\n" * (ndim - 1) + " " * (indent + 1)).join(parts) + "]"
    texts = [cell if cell == "..." else cell.rjust(widest) for cell in cells]
    per_line = max(1, (print_options().linewidth - indent) // (widest + 2))
    lines = [", ".join(texts[i : i + per_line]) for i in range(0, len(texts), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
