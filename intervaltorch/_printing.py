"""How a box prints: intervals as `[lower, upper]`, points as one number, long tensors abbreviated as in torch."""

from __future__ import annotations

import torch

from ._registry import Box

__all__ = ["format_box"]

_EDGE = 3
_THRESHOLD = 64


def format_box(name: str, box: Box) -> str:
    """Return the text of `repr(box)`."""
    lower, upper = box.lower.detach(), box.upper.detach()
    extras = []
    if lower.dtype != torch.get_default_dtype() and lower.dtype is not torch.bool:
        extras.append(f"dtype={lower.dtype}")
    if lower.device.type != "cpu":
        extras.append(f"device='{lower.device}'")
    if lower.numel() == 0:
        extras.insert(0, f"size={tuple(lower.shape)}")
    if box.lower.requires_grad or box.upper.requires_grad:
        extras.append("requires_grad=True")
    summarize = lower.numel() > _THRESHOLD
    body = "[]" if lower.numel() == 0 else _nested(lower, upper, len(name) + 2, summarize)
    return f"{name}({', '.join([body, *extras])})"


def _nested(lower: torch.Tensor, upper: torch.Tensor, indent: int, summarize: bool) -> str:
    if lower.ndim == 0:
        return _interval(lower, upper)
    count = len(lower)
    shown = list(range(count))
    if summarize and count > 2 * _EDGE:
        shown = [*range(_EDGE), *range(count - _EDGE, count)]
    parts = [_nested(lower[i], upper[i], indent + 1, summarize) for i in shown]
    if len(shown) < count:
        parts.insert(_EDGE, "...")
    separator = ", " if lower.ndim == 1 else ",\n" + " " * indent
    return f"[{separator.join(parts)}]"


def _interval(lower: torch.Tensor, upper: torch.Tensor) -> str:
    low, high = lower.item(), upper.item()
    if lower.dtype is torch.bool:
        return str(low) if low == high else "undecided"
    return f"{low:.4g}" if low == high else f"[{low:.4g}, {high:.4g}]"
