"""Every exception of the library: what happened, with what, and what to do next."""

from __future__ import annotations

from typing import Any

__all__ = [
    "DeviceError",
    "DomainError",
    "EscapeError",
    "GradientWarning",
    "IntervalError",
    "RandomnessWarning",
    "RegistrationError",
    "UndecidedError",
    "UnprovenOpError",
    "UnsupportedOpError",
]


class IntervalError(Exception):
    """Base class of the library's errors.

    The message is a headline followed by indented details. `bound` adds the path of the submodule in which the error
    arose.

    Args:
        headline: what happened.
        *details: with what, and what to do next.
        function: the function that the headline names, if it is not certain that the user called it.
        lacks_rule: whether that function has no rule.
    """

    def __init__(self, headline: str, *details: str, function: Any = None, lacks_rule: bool = False) -> None:
        super().__init__(headline, *details)
        self.headline = headline
        self.details = list(details)
        self.function = function
        self.lacks_rule = lacks_rule
        self.module_path: str | None = None

    def locate(self, path: str) -> None:
        """Remember the innermost module path in which the error arose."""
        if self.module_path is None:
            self.module_path = path

    def __str__(self) -> str:
        where = [f"in: {self.module_path}"] if self.module_path else []
        return "\n  ".join([self.headline, *where, *self.details])

    def __reduce__(self) -> tuple:
        return (_rebuild, (type(self), self.headline, self.details, self.module_path))


def _rebuild(kind: type[IntervalError], headline: str, details: list[str], path: str | None) -> IntervalError:
    error = kind(headline, *details)
    error.module_path = path
    return error


class UnsupportedOpError(IntervalError, NotImplementedError):
    """A function has no rule that bounds its values."""


class UnprovenOpError(IntervalError):
    """`rounding("outward", strict=True)` met an op whose rounding error has no stated budget."""


class DomainError(IntervalError, ValueError):
    """A box leaves the domain of a function: some of its points would give NaN."""


class UndecidedError(IntervalError, RuntimeError):
    """A program needs one Boolean or one index, but the answer is not the same at all points of the box."""


class DeviceError(IntervalError, RuntimeError):
    """An operation got tensors on several devices."""


class EscapeError(IntervalError, TypeError):
    """A program asks a box for one number or for its memory, and would lose a bound."""


class RegistrationError(IntervalError, ValueError):
    """A rule was registered twice, or its record contradicts itself."""


class GradientWarning(UserWarning):
    """The bounds of an operation are right, but no gradient flows through them."""


class RandomnessWarning(UserWarning):
    """A bound holds for one random draw only: the model is in training mode, or an operation drew a random mask."""
