"""Random numbers that a program draws inside `bound`: the bound then holds for one draw, and `bound` warns.

Rules note the draws that mask or select parts of a box. Other draws change the state of torch's random generator, which
is compared wherever a module in training mode begins and ends. Noise that a program adds in evaluation mode, such as
`torch.randn_like(std)` in a VAE, is part of the program and causes no warning.
"""

from __future__ import annotations

import contextlib
import contextvars
import sys
import warnings
from collections.abc import Iterator

from .. import _compat
from ..errors import RandomnessWarning

__all__ = ["Draws", "draws_told", "masked", "noise"]


class Draws:
    """The draws inside one call of `bound`, by the innermost module in which they happened."""

    def __init__(self) -> None:
        self.known: list[str] = []
        self._found: dict[str, None] = {}
        self._modules: list[tuple[str, bool]] = [("", False)]
        self._state = b""

    def enter(self, title: str, training: bool) -> None:
        """A module begins."""
        self._take_down()
        self._modules.append((title, training))
        self._look()

    def leave(self) -> None:
        """The innermost module ends."""
        self._take_down()
        if len(self._modules) > 1:
            self._modules.pop()
        self._look()

    def _look(self) -> None:
        """Read the state of the generator, in training mode only."""
        if self._modules[-1][1]:
            self._state = _compat.generator_state()

    def _take_down(self) -> None:
        """Record the draws of the running module since it began, or since the last module inside it began or ended."""
        title, training = self._modules[-1]
        if training and not self.known and _compat.generator_state() != self._state:
            self.known.append("random numbers")
        where = f" in {title}" if title else ""
        self._found.update(dict.fromkeys(op + where for op in self.known if op))
        self.known.clear()

    def tell(self) -> None:
        """Warn of all draws at once."""
        self._take_down()
        if not self._found:
            return
        first, more = list(self._found)[:3], len(self._found) - 3
        warnings.warn(
            f"the bound holds for one random draw only, and another call gives another bound. Drawn: {', '.join(first)}"
            + (f" and {more} more." if more > 0 else ".")
            + " Call model.eval() first, which switches dropout off; to draw on purpose, pass a generator where the"
            " op takes one, or warnings.filterwarnings('ignore', category=intervaltorch.RandomnessWarning).",
            RandomnessWarning,
            stacklevel=_depth_of_caller(),
        )


_draws: contextvars.ContextVar[Draws | None] = contextvars.ContextVar("intervaltorch_draws", default=None)


@contextlib.contextmanager
def draws_told() -> Iterator[Draws | None]:
    """Warn of the draws in this block, at its end. A block inside another block leaves the warning to the outer one."""
    if _draws.get() is not None:
        yield None
        return
    draws = Draws()
    token = _draws.set(draws)
    try:
        yield draws
    finally:
        _draws.reset(token)
    draws.tell()


def masked(op: str) -> None:
    """Note that an op masks or selects parts of a box at random."""
    draws = _draws.get()
    if draws is not None:
        draws.known.append(op)


def noise() -> None:
    """Note a draw that needs no warning."""
    masked("")


def _depth_of_caller() -> int:
    """How many frames up the caller of the library is."""
    frame, depth = sys._getframe(1), 1
    inside = ((__package__ or "").partition(".")[0], "contextlib")
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in inside:
        frame, depth = frame.f_back, depth + 1
    return depth
