"""NumPy's operators and functions on boxes: `array * box`, `np.exp(box)`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .errors import EscapeError

__all__ = ["apply_ufunc"]

_NAMES = {"power": "pow", "absolute": "abs", "conjugate": "conj", "arcsin": "asin", "arccos": "acos", "arctan": "atan"}
_NAMES |= {"invert": "bitwise_not", "equal": "eq", "not_equal": "ne", "rint": "round", "greater_equal": "ge"}
_NAMES |= {"less": "lt", "less_equal": "le", "greater": "gt"}


def apply_ufunc(ufunc: Any, method: str, inputs: tuple, kwargs: dict[str, Any]) -> Any:
    """Call the torch function that a NumPy ufunc names, with arrays turned into tensors.

    Raises:
        EscapeError: if torch has no such function, or the ufunc is asked to reduce or to write into an array.
    """
    function = getattr(torch, _NAMES.get(ufunc.__name__, ufunc.__name__), None)
    if method != "__call__" or function is None or kwargs:
        raise EscapeError(
            f"np.{ufunc.__name__} cannot be applied to a box", "use the torch function, or take .lower or .upper first"
        )
    return function(*[torch.as_tensor(x) if isinstance(x, (np.ndarray, np.generic)) else x for x in inputs])
