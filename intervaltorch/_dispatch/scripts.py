"""TorchScript, which runs programs in C++: what it would keep to itself, errors and lost gradients, is said here."""

from __future__ import annotations

import contextlib
import contextvars
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from .. import _compat
from ..errors import GradientWarning

__all__ = ["hidden_errors_raised", "keep_error", "running", "warn_of_cut_graph"]

_hidden: contextvars.ContextVar[list[Exception] | None] = contextvars.ContextVar("intervaltorch_hidden", default=None)


@contextlib.contextmanager
def hidden_errors_raised() -> Iterator[None]:
    """Raise the error that stopped a script inside this block, of which TorchScript tells the line but not the reason.

    Raises:
        Exception: that error, from TorchScript's.
    """
    errors: list[Exception] = []
    token = _hidden.set(errors)
    try:
        yield
    except RuntimeError as error:
        if errors and _compat.without_reason(error):
            raise errors[-1] from error
        raise
    finally:
        _hidden.reset(token)


def keep_error(error: Exception) -> None:
    """Keep an error that leaves for C++, in case TorchScript is there; where nobody can raise it again, warn of it."""
    errors = _hidden.get()
    if errors is not None:
        errors.append(error)
    elif _compat.called_by_script():
        warnings.warn(
            f"TorchScript hides the reason of the error that follows. It is {type(error).__name__}: {error}",
            RuntimeWarning,
            stacklevel=4,
        )


@contextlib.contextmanager
def running(method: Any) -> Iterator[None]:
    """Run a method of a scripted module, if it is one.

    Once optimised, a scripted module differentiates itself, and the bounds lose the gradients of its parameters.
    """
    if not _compat.scripted(method):
        yield
        return
    with torch.jit.optimized_execution(False), hidden_errors_raised():
        yield


def warn_of_cut_graph(function: Any, args: tuple) -> None:
    """Warn where TorchScript cuts a box off the autograd graph."""
    if _compat.scripted_autodiff(function) and not args[0].requires_grad:
        warnings.warn(
            "TorchScript differentiates what it has optimised by itself: the bounds are right, but no gradient flows"
            " through them. Leave the program unscripted, or keep torch.jit.optimized_execution(False) from its first"
            " call on.",
            GradientWarning,
            stacklevel=4,
        )
