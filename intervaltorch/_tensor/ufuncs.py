"""NumPy's operators and functions on boxes: `array * box`, `np.exp(box)`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .._records.registry import Box
from .._theorems.operands import operand
from ..errors import EscapeError

__all__ = ["apply_ufunc"]

# Where NumPy and torch differ in the name.
_NAMES = {
    "power": "pow", "absolute": "abs", "fabs": "abs", "conjugate": "conj", "invert": "bitwise_not", "rint": "round",
    "equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
    "degrees": "rad2deg", "radians": "deg2rad",
}  # fmt: skip

# Functions that take a Python number for a tensor; the others get a box of that number.
_TAKES_NUMBERS = {
    "add", "subtract", "multiply", "divide", "true_divide", "floor_divide", "pow", "float_power", "remainder", "fmod",
    "copysign", "eq", "ne", "lt", "le", "gt", "ge",
}  # fmt: skip


def apply_ufunc(ufunc: Any, method: str, inputs: tuple, kwargs: dict[str, Any]) -> Any:
    """Call the torch function that a NumPy ufunc names, with arrays turned into tensors.

    Raises:
        EscapeError: if torch has no such function, or the ufunc is asked to reduce or to write into an array.
    """
    name = _NAMES.get(ufunc.__name__, ufunc.__name__)
    function = getattr(torch, name, None)
    if kwargs.get("out") is not None:
        raise EscapeError(
            f"np.{ufunc.__name__} cannot write a box into an array: an array has no room for two bounds",
            "assign the result instead, as in a = a + X",
        )
    if method != "__call__" or function is None or kwargs:
        call = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
        raise EscapeError(
            f"{call} cannot be applied to a box", "use the torch function, or take .lower or .upper first"
        )
    box = next(x for x in inputs if hasattr(x, "_box"))
    return function(*[_operand(x, box, name in _TAKES_NUMBERS) for x in inputs])


def _operand(x: Any, box: Any, takes_numbers: bool) -> Any:
    if isinstance(x, np.ndarray):
        return torch.as_tensor(x, device=box.device)
    if isinstance(x, np.generic):
        x = x.item()
    if takes_numbers or not isinstance(x, (bool, int, float)):
        return x
    ends = (torch.as_tensor(end, dtype=box.dtype, device=box.device) for end in operand(x, box._box))
    return box._wrap(Box(*ends))
