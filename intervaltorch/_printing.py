"""How a box prints: intervals as `[lower, upper]`, points as one number, long tensors abbreviated as in torch."""

from __future__ import annotations

import torch
from torch import Tensor

from ._registry import Box

__all__ = ["format_box", "format_interval"]

_EDGE = 3
_THRESHOLD = 200
_LINE = 100

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


def format_interval(box: Box, spec: str = ".4g") -> str:
    """Return the text of a single entry, with a format for its numbers.

    Example:
        >>> import torch
        >>> format_interval(Box(torch.tensor(0.5), torch.tensor(2.0)), ".2f")
        '[0.50, 2.00]'
    """
    if box.lower.is_complex():
        sides = (Box(box.lower.real, box.upper.real), Box(box.lower.imag, box.upper.imag))
        return " + ".join(format_interval(side, spec) for side in sides) + "j"
    low, high = box.lower.item(), box.upper.item()
    if isinstance(low, bool):
        return str(low) if low == high else "undecided"
    return format(low, spec) if low == high else f"[{low:{spec}}, {high:{spec}}]"


def _layout(lower: Tensor, upper: Tensor, indent: int) -> str:
    cells = _cells(lower, upper, lower.numel() > _THRESHOLD)
    if isinstance(cells, str):
        return cells
    widest = max(map(len, _flat(cells)))
    if lower.ndim == 1:
        line = f"[{', '.join(cells)}]"
        if indent + len(line) <= _LINE:
            return line
    return _brackets(cells, lower.ndim, widest, indent)


def _cells(lower: Tensor, upper: Tensor, summarize: bool) -> _Cells | str:
    """Nested texts of the entries; `None` marks what a long dimension leaves out."""
    if lower.ndim == 0:
        return format_interval(Box(lower, upper))
    count = len(lower)
    if not summarize or count <= 2 * _EDGE:
        return [_cells(lower[i], upper[i], summarize) for i in range(count)]
    shown = [_cells(lower[i], upper[i], summarize) for i in (*range(_EDGE), *range(count - _EDGE, count))]
    return [*shown[:_EDGE], "...", *shown[_EDGE:]]


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
    per_line = max(1, (_LINE - indent) // (widest + 2))
    lines = [", ".join(texts[i : i + per_line]) for i in range(0, len(texts), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
