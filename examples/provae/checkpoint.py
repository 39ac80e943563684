"""A run's folder: `config.json`, `metrics.jsonl` and `checkpoint.pt`, whole at every moment."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch

from examples.provae.config import Config
from examples.provae.errors import RunError
from examples.provae.model import VAE

CONFIG, METRICS, CHECKPOINT = "config.json", "metrics.jsonl", "checkpoint.pt"
FORMAT = 1


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears whole or not at all: written beside its place, flushed to disk, then
    moved.
    """
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as file:
        file.write(text.encode())


class State(NamedTuple):
    """Training after `step` of `steps`: with the configuration, all that the next step depends on."""

    model: dict[str, Any]
    optimizer: dict[str, Any]
    step: int
    steps: int
    seconds: float


def save(folder: Path, config: Config, state: State) -> None:
    """Write the checkpoint."""
    with atomic(folder / CHECKPOINT) as file:
        torch.save({"format": FORMAT, "config": config.to_json(), **state._asdict()}, file)


def load(folder: Path, device: str | None = None) -> tuple[Config, State]:
    """Read a run's checkpoint.

    Raises:
        RunError: There is none, or it is damaged.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        raise RunError(f"{folder}: holds no {CHECKPOINT}. Train a model first: train --out {folder}")
    advice = f"Delete it and start again: train --out {folder} --overwrite"
    try:
        # torch.load does not look at the archive's checksums; a flipped bit in a weight would pass.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise RunError(f"{path}: damaged: wrong checksum of {damaged}. {advice}")
        # weights_only: a checkpoint is data and must not be able to run code.
        content = torch.load(path, map_location=device or "cpu", weights_only=True)  # noqa: TID251
    except RunError:
        raise
    except Exception as error:  # a damaged file makes the readers fail in many ways; each means the same
        reason = (str(error).splitlines() or [""])[0]
        raise RunError(f"{path}: damaged or not a checkpoint: {type(error).__name__}: {reason}\n{advice}") from error
    expected = {"format", "config", *State._fields}
    if not isinstance(content, dict) or set(content) != expected or content["format"] != FORMAT:
        raise RunError(f"{path}: not a checkpoint of this program (format {FORMAT}). {advice}")
    config = Config.from_dict(json.loads(content["config"]), path)
    return config, State(**{name: content[name] for name in State._fields})


def read_config(folder: Path) -> Config:
    """Read a run's configuration.

    Raises:
        RunError: There is none, or it is damaged.
    """
    path = folder / CONFIG
    if not path.exists():
        raise RunError(f"{folder}: holds no run ({CONFIG} is missing)")
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise RunError(f"{path}: damaged: {error}") from error
    return Config.from_dict(values, path)


def load_model(folder: Path, device: str | None = None) -> tuple[Config, VAE, State]:
    """The trained model of a run, in evaluation mode.

    Raises:
        RunError: There is no checkpoint, it is damaged, or its weights do not fit.
    """
    config, state = load(folder, device)
    model = config.build(device)
    try:
        model.load_state_dict(state.model)
    except RuntimeError as error:
        raise RunError(f"{folder / CHECKPOINT}: its weights do not fit the model: {error}") from error
    return config, model.eval(), state


def keep_metrics(folder: Path, step: int) -> None:
    """Cut the metrics back to a step, so that a resumed run writes each line once.

    A kill can leave lines after the last checkpoint, the last of them torn.
    """
    path = folder / METRICS
    if not path.exists():
        return
    kept = []
    for line in path.read_text(errors="replace").splitlines(keepends=True):
        try:
            if json.loads(line)["step"] > step:
                break
        except (ValueError, TypeError, KeyError):
            break
        kept.append(line)
    write_text(path, "".join(kept))
