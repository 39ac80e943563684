"""What a box refuses, and what to do instead: everything that would keep one bound and drop the other in silence."""

from __future__ import annotations

from typing import Any, NoReturn

from . import _compat
from .errors import EscapeError, UnsupportedOpError

__all__ = ["Refusals", "escape", "remedy", "traced"]

_TAKE_A_BOUND = "take a bound first: Y.lower, Y.upper or Y.center are plain tensors"


def escape(what: str) -> EscapeError:
    """The error for an attempt to read a box as raw values."""
    return EscapeError(f"{what} would turn a box into raw values and lose a bound", _TAKE_A_BOUND)


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
    " upper) and returns bounds; torch.compile takes what .module() of that returns"
)


class Refusals:
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


for _name in (
    "__complex__", "__array__", "__dlpack__", "__dlpack_device__", "numpy", "data_ptr", "const_data_ptr", "storage",
    "_typed_storage",
):  # fmt: skip
    setattr(Refusals, _name, _refuse(_name))


# --- functions without a rule for which more can be said than that ----------------------------------------------------

_REMEDIES = {
    "grad": "gradients are those of bounds: torch.autograd.grad(Y.lower.sum(), [X.lower, X.upper])",
    "_local_scalar_dense": _TAKE_A_BOUND,
    "embedding_renorm_": "it rescales rows of a table in place, for max_norm: rescale the box of weights before",
    "new": "use x.new_zeros(size), x.new_tensor(data) or torch.empty(size)",
    # A tensor that wraps two others has one shape from its beginning to its end.
    "unsqueeze_": "use x = x.unsqueeze(dim)",
    "squeeze_": "use x = x.squeeze(dim)",
    "transpose_": "use x = x.transpose(dim0, dim1)",
    "swapaxes_": "use x = x.swapaxes(axis0, axis1)",
    "swapdims_": "use x = x.swapdims(dim0, dim1)",
    "t_": "use x = x.t()",
    "resize_": "use x = x.reshape(size), or torch.nn.functional.pad(x, ...) to make room",
    "resize_as_": "use x = x.reshape_as(other)",
    "set_": "use x = y, or x.copy_(y) to write values",
    "as_strided": "use x.unfold(...), x.diagonal(...), x.expand(...) or an index: they do not read memory as it lies",
    "as_strided_": "use x.unfold(...), x.diagonal(...), x.expand(...) or an index: they do not read memory as it lies",
    "as_strided_scatter": "use torch.slice_scatter, select_scatter or index_put",
    "fractional_max_pool2d": "its windows are random: use max_pool2d or adaptive_max_pool2d",
    "fractional_max_pool3d": "its windows are random: use max_pool3d or adaptive_max_pool3d",
    "fractional_max_pool2d_with_indices": "its windows are random: use max_pool2d or adaptive_max_pool2d",
    "fractional_max_pool3d_with_indices": "its windows are random: use max_pool3d or adaptive_max_pool3d",
}


def remedy(function: Any) -> str | None:
    """Return what to do instead of a function that is refused for a known reason."""
    return _REMEDIES.get(getattr(function, "__name__", "").partition(".")[0])
