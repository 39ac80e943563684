"""What the commands share: their options, opening a trained run, and printing rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch

from examples.provae import checkpoint, data, report
from examples.provae.data import Images
from examples.provae.model import VAE

FOLDER = click.Path(path_type=Path, file_okay=False)
"""The type of an option that names a folder."""


def options(*decorators: Callable[..., Any]) -> Callable[..., Any]:
    """Several decorators as one."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


threads_option = click.option(
    "--threads",
    metavar="N",
    default=1,
    type=click.IntRange(1),
    help="Torch threads; layers this small rarely gain from more.",
)
seed_option = click.option("--seed", metavar="N", default=0, type=click.IntRange(0), help="Seed of everything random.")
download_option = click.option(
    "--download", is_flag=True, help="Fetch the dataset into the data folder, and verify it."
)
run_options = options(
    click.argument("run", type=FOLDER),
    click.option("--data", "data_folder", type=FOLDER, help="Folder of the dataset.  [default: as in training]"),
    download_option,
    click.option("--split", default="test", type=click.Choice(["test", "train"]), help="Which images."),
    click.option("--limit", metavar="N", type=click.IntRange(1), help="Use the first so many images only."),
    click.option(
        "--eps",
        "radii",
        metavar="EPS",
        multiple=True,
        type=click.FloatRange(0),
        help="Radius of the ball; repeat for several.  [default: that of training; 0.01 for a VAE]",
    ),
    click.option("--clip/--no-clip", default=True, help="Intersect the ball with [0, 1]."),
    click.option("--samples", metavar="K", default=8, type=click.IntRange(1), help="Noise samples K for each image."),
    seed_option,
    threads_option,
    click.option("--device", metavar="NAME", help="Torch device.  [default: as in training]"),
    click.option(
        "--json",
        "json_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Also write the table to this file.",
    ),
)


class Job(NamedTuple):
    """A trained model and what to do with it."""

    dataset: str
    model: VAE
    images: Images
    radii: tuple[float, ...]
    samples: int
    seed: int
    clip: bool
    json_file: Path | None


def open_run(
    *,
    run: Path,
    radii: tuple[float, ...],
    data_folder: Path | None,
    limit: int | None,
    samples: int,
    seed: int,
    threads: int,
    device: str | None,
    download: bool = False,
    split: str = "test",
    clip: bool = True,
    json_file: Path | None = None,
) -> Job:
    """Load the model and the images of a command that works on a trained run."""
    torch.set_num_threads(threads)
    if device is not None:
        check_device(device)
    config, model, state = checkpoint.load_model(run, device)
    if state.step < state.steps:
        click.echo(f"note: training of {run} stopped at step {state.step} of {state.steps}", err=True)
    folder = Path(config.data) if data_folder is None else data_folder
    splits = data.load(config.dataset, folder, download=download, partial=config.partial)
    if splits.note:
        click.echo(splits.note)
    images = (splits.test if split == "test" else splits.train).first(limit)
    click.echo(f"{run}: {config.dataset}, epochs@eps = {config.schedule}; {len(images)} {split} images\n")
    radii = radii or (config.eps or 0.01,)
    return Job(config.dataset, model, images, radii, samples, seed, clip, json_file)


def check_device(name: str) -> None:
    """Refuse a device that torch does not have."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise click.BadParameter(f"cannot use the device {name!r}: {reason}", param_hint="--device") from error


def print_rows(rows: Sequence[dict[str, float]], json_file: Path | None) -> None:
    """A table in which what is certified is rounded to the safe side."""
    safe = {
        "eps": "{:g}".format,
        "rounding": "{:.1e}".format,
        "certified": report.below,
        "expected": report.below,
        "upper": report.above,
    }
    cells = [[safe.get(name, report.plain)(value) for name, value in row.items()] for row in rows]
    click.echo(report.table(list(rows[0]), cells))
    if json_file is not None:
        checkpoint.write_text(json_file, json.dumps(rows, indent=2) + "\n")
