"""What a box refuses, and what to do instead: everything that would keep one bound and drop the other in silence."""

from __future__ import annotations

from typing import Any, NoReturn

from torch import Tensor

from . import _compat
from ._refusals import RAW_VALUES
from .errors import EscapeError, UnsupportedOpError

__all__ = ["Memoryless", "Refusals", "escape", "traced"]


def escape(what: str) -> EscapeError:
    """The error for an attempt to read a box as raw values."""
    return EscapeError(f"{what} would turn a box into raw values and lose a bound", RAW_VALUES.instead)


def traced() -> UnsupportedOpError:
    """The error under `torch.jit.trace`, which would freeze what a rule decides by looking at values."""
    return UnsupportedOpError(
        "torch.jit.trace cannot record boxes",
        "trace the model on a plain example and call what that returns on boxes",
        "or record a function of bounds: torch.export.export(module, (X.lower, X.upper), strict=False)",
    )


_RECORD_BOUNDS = (
    "torch.compile, torch.export and torch.cond cannot record a box. Record a function of its bounds:"
    " torch.export.export(module, (X.lower, X.upper), strict=False) where module.forward makes IntervalTensor(lower,"
    " upper) and returns bounds; torch.compile takes what .module() of that returns. In place of flex_attention, which"
    " compiles what it calls, torch.nn.functional.scaled_dot_product_attention has a rule"
)


def _refuse_as_memory(taker: Any, giver: Any) -> None:
    """Refuse to give the memory of a box, or of an undecided index, to a plain tensor.

    Raises:
        EscapeError: where a plain tensor is to take it.
    """
    if isinstance(giver, Memoryless) and not isinstance(taker, Memoryless):
        raise EscapeError(
            f"a plain tensor cannot take the memory of {type(giver).__name__}, which has none of its own",
            "assign the box in place of the tensor: module.weight = torch.nn.Parameter(box); or run the module with"
            " other parameters for one call: torch.func.functional_call(module, {'weight': box}, args)",
        )


class Memoryless:
    """A tensor that wraps others and has no storage of its own."""


_compat.guard_memory(_refuse_as_memory)


class Refusals(Memoryless):
    """Methods of a tensor that have no meaning for a box; each names the way out."""

    def __contains__(self, value: Any) -> NoReturn:
        """Refuse: `in` asks about entries of a tensor, `contains` about points of a box."""
        raise EscapeError(
            "`value in box` is ambiguous", "X.contains(value) says which entries contain it",
            "(X == value).any() compares entries, three-valued",
        )  # fmt: skip

    def untyped_storage(self) -> NoReturn:
        """Refuse: a box is not one block of memory.

        Raises:
            EscapeError: if a program asks.
            Exception: if a tracer of torch asks, its own kind; see `untraceable`.
        """
        if _compat.called_by_tracer():
            raise _compat.untraceable(_RECORD_BOUNDS)
        raise escape("untyped_storage()")

    def _is_view(self) -> bool:
        """Always False: bounds may be views; the box itself has no memory, and so no base to be described by."""
        return False


_RAISES = "Raises:\n    EscapeError: always."


def _refuse(name: str) -> Any:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise escape(f"{name}()")

    refuse.__name__ = name
    refuse.__doc__ = f"Refuse `{name}`: a box is not one value, nor one block of memory.\n\n" + _RAISES
    return refuse


for _name in RAW_VALUES.functions.split():
    if _name not in vars(Refusals) and callable(getattr(Tensor, _name)):
        setattr(Refusals, _name, _refuse(_name))
