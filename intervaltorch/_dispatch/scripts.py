"""TorchScript runs programs in C++, and hides errors and lost gradients. This file raises the errors and warns."""

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
    """Raise the error that stopped a script inside this block. TorchScript's own error names the line, but no reason.

    Raises:
        Exception: the error that stopped the script, from TorchScript's error.
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
    """Keep an error that goes to C++, to raise it again after TorchScript; outside `bound`, warn of the error."""
    errors = _hidden.get()
    if errors is not None:
        errors.append(error)
    elif _compat.called_by_script():
        warnings.warn(
            f"TorchScript hides the reason of the following error. The reason is {type(error).__name__}: {error}",
            RuntimeWarning,
            stacklevel=4,
        )


@contextlib.contextmanager
def running(method: Any) -> Iterator[None]:
    """Run a function; if it is a method of a scripted module, without optimisation and with hidden errors raised.

    An optimised scripted module computes its own derivatives, and the bounds would lose the gradients of its
    parameters.
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
            "TorchScript differentiates optimised programs by itself: the bounds are right, but no gradient flows"
            " through them. Leave the program unscripted, or keep torch.jit.optimized_execution(False) from its first"
            " call on.",
            GradientWarning,
            stacklevel=4,
        )
