"""Random numbers that a program draws inside `bound`: the result then holds for one draw, and says so.

Draws that mask or select parts of a box are noted by their rules. Others leave a trace in the state of torch's random
generator, which is looked at wherever a module begins and ends. Noise that is added, as `torch.randn_like(std)` in a
VAE, is part of what the program computes, in training or not: nothing is said of it.
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
        """Look at the generator, of which nothing is asked outside training."""
        if self._modules[-1][1]:
            self._state = _compat.generator_state()

    def _take_down(self) -> None:
        """Take down what the module that runs has drawn since it, or the last one inside it, began or ended."""
        title, training = self._modules[-1]
        if training and not self.known and _compat.generator_state() != self._state:
            self.known.append("random numbers")
        where = f" in {title}" if title else ""
        self._found.update(dict.fromkeys(op + where for op in self.known if op))
        self.known.clear()

    def tell(self) -> None:
        """Warn of all of them at once."""
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
    """Warn, at the end of this block, of what was drawn in it; a block inside another leaves that to the outer one."""
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
    """Note that random numbers were drawn of which nothing is to be said."""
    masked("")


def _depth_of_caller() -> int:
    """How many frames up the caller of the library is."""
    frame, depth = sys._getframe(1), 1
    inside = ((__package__ or "").partition(".")[0], "contextlib")
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in inside:
        frame, depth = frame.f_back, depth + 1
    return depth
