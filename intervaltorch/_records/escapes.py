"""The errors for programs that treat a box as one tensor, and the base class of tensors without memory."""

from __future__ import annotations

from typing import Any

from .. import _compat
from ..errors import EscapeError, UnsupportedOpError
from .refusals import RAW_VALUES

__all__ = ["Memoryless", "escape", "traced"]


def escape(what: str) -> EscapeError:
    """The error for an attempt to read a box as raw values."""
    return EscapeError(f"{what} would turn a box into raw values and lose a bound", RAW_VALUES.instead)


def traced() -> UnsupportedOpError:
    """The error under `torch.jit.trace`, whose record would keep the decisions that a rule makes by values."""
    return UnsupportedOpError(
        "torch.jit.trace cannot record boxes",
        "trace the model on a plain example, and call the traced model on boxes",
        "or record a function of bounds: torch.export.export(module, (X.lower, X.upper), strict=False)",
    )


def _refuse_as_memory(taker: Any, giver: Any) -> None:
    """Refuse to give the memory of a box, or of an undecided index, to a plain tensor.

    Raises:
        EscapeError: if a plain tensor would take the memory.
    """
    if isinstance(giver, Memoryless) and not isinstance(taker, Memoryless):
        raise EscapeError(
            f"a plain tensor cannot take the memory of {type(giver).__name__}, which has no memory of its own",
            "assign the box in place of the tensor: module.weight = torch.nn.Parameter(box); or run the module with"
            " other parameters for one call: torch.func.functional_call(module, {'weight': box}, args)",
        )


class Memoryless:
    """A tensor that wraps others and has no storage of its own."""


_compat.guard_memory(_refuse_as_memory)
