"""Interleaved timing: every contender runs once a round, so that a busy moment slows them all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

ROUNDS = 25
LEAST_SECONDS = 0.004


def repetitions(run: Callable[[], object]) -> int:
    """How often to run in one measurement so that the clock's resolution does not matter."""
    run()
    start = time.perf_counter()
    run()
    return max(1, int(LEAST_SECONDS / (time.perf_counter() - start + 1e-9)))


def interleaved(contenders: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of each contender over the rounds."""
    counts = {name: repetitions(run) for name, run in contenders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            start = time.perf_counter()
            for _ in range(counts[name]):
                run()
            seconds[name].append((time.perf_counter() - start) / counts[name])
    return {name: statistics.median(values) for name, values in seconds.items()}
