"""The methods that a box refuses, because they would keep one bound and silently drop the other."""

from __future__ import annotations

from typing import Any, NoReturn

from torch import Tensor

from .. import _compat
from .._records.escapes import Memoryless, escape
from .._records.refusals import RAW_VALUES
from ..errors import EscapeError

__all__ = ["Refusals"]

_RECORD_BOUNDS = (
    "torch.compile, torch.export and torch.cond cannot record a box. Record a function of its bounds:"
    " program = torch.export.export(module, (X.lower, X.upper), strict=False), where module.forward makes"
    " IntervalTensor(lower, upper) and returns bounds; torch.compile takes program.module(). flex_attention compiles"
    " the functions that it calls: use torch.nn.functional.scaled_dot_product_attention, which has a rule"
)


class Refusals(Memoryless):
    """Methods of a tensor that have no meaning for a box. Each error names a remedy."""

    def __contains__(self, value: Any) -> NoReturn:
        """Refuse: `in` asks about entries of a tensor, `contains` about points of a box."""
        raise EscapeError(
            "`value in box` is ambiguous", "X.contains(value) says which entries contain it",
            "(X == value).any() compares entries, three-valued",
        )  # fmt: skip

    def untyped_storage(self) -> NoReturn:
        """Refuse: a box is not one block of memory.

        Raises:
            EscapeError: if a program calls.
            Exception: if a tracer of torch calls; an error of the tracer's own kind, see `untraceable`.
        """
        if _compat.called_by_tracer():
            raise _compat.untraceable(_RECORD_BOUNDS)
        raise escape("untyped_storage()")

    def _is_view(self) -> bool:
        """Always False: the bounds may be views, but the box itself has no memory and so no base."""
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
