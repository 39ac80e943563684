"""How the radius of the training ball grows: a list of stages, written and read as one line.

A robust VAE trained from scratch, or with a radius that rises too fast, collapses to a constant decoder. So
training starts at radius 0, and each radius starts from a model trained at the one below.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite

_RADIUS = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_STAGE = re.compile(rf"(?P<epochs>\d+)@(?P<start>{_RADIUS})(?:\.\.(?P<end>{_RADIUS}))?")


@dataclass(frozen=True)
class Stage:
    """Some epochs during which the radius goes linearly from `start` to `end`."""

    epochs: int
    start: float
    end: float

    def __str__(self) -> str:
        ends = f"{self.start:g}" if self.start == self.end else f"{self.start:g}..{self.end:g}"
        return f"{self.epochs}@{ends}"


@dataclass(frozen=True)
class Schedule:
    """Stages, one after the other.

    >>> schedule = Schedule.parse("5@0 2@0.01 3@0.01..0.1 2@0.1")
    >>> schedule.epochs, schedule.radius(4.99), schedule.radius(6), round(schedule.radius(8.5), 4)
    (12, 0.0, 0.01, 0.055)
    """

    stages: tuple[Stage, ...]

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read `"5@0 2@0.01 3@0.01..0.1"`: 5 epochs at radius 0, 2 at 0.01, 3 growing from 0.01 to 0.1.

        Raises:
            ValueError: The text is not a list of stages.
        """
        stages = tuple(_parse_stage(word) for word in text.replace(",", " ").split())
        if not stages:
            raise ValueError("the schedule is empty: write for example '5@0 7@0.01'")
        return cls(stages)

    def __str__(self) -> str:
        return " ".join(str(stage) for stage in self.stages)

    @property
    def epochs(self) -> int:
        """Number of epochs of all stages."""
        return sum(stage.epochs for stage in self.stages)

    @property
    def final_radius(self) -> float:
        """The radius at the end."""
        return self.stages[-1].end

    def locate(self, epoch: float) -> tuple[int, float]:
        """The index of the stage at a position in epochs, and the fraction of it that is over."""
        begin = 0
        for index, stage in enumerate(self.stages):
            if epoch < begin + stage.epochs:
                return index, (epoch - begin) / stage.epochs
            begin += stage.epochs
        return len(self.stages) - 1, 1.0

    def radius(self, epoch: float) -> float:
        """The radius at a position in epochs."""
        index, fraction = self.locate(epoch)
        stage = self.stages[index]
        return stage.start + (stage.end - stage.start) * fraction


def _parse_stage(word: str) -> Stage:
    match = _STAGE.fullmatch(word)
    if match is None:
        raise ValueError(
            f"cannot read the stage {word!r}: write EPOCHS@RADIUS or EPOCHS@FROM..TO, as in '5@0 3@0.01..0.1'"
        )
    start = float(match["start"])
    stage = Stage(int(match["epochs"]), start, float(match["end"] or start))
    if stage.epochs == 0 or not (isfinite(stage.start) and isfinite(stage.end)):
        raise ValueError(f"the stage {word!r} needs at least one epoch and finite radii")
    return stage


def learning_rate_factor(progress: float) -> float:
    """1, then 0.3 from 60 % of the steps on, then 0.1 from 85 % on; `progress` is in [0, 1]."""
    return 1.0 if progress < 0.6 else 0.3 if progress < 0.85 else 0.1
