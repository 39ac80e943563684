"""The whole story on handwritten digits: train a VAE and a proVAE, attack both, certify both."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from examples.provae import checkpoint, data, figures, report
from examples.provae.config import PRESETS, Config
from examples.provae.data import Images, Splits
from examples.provae.evaluate import Finding, certify, draw_noise, examine, mean
from examples.provae.model import VAE
from examples.provae.train import train

RADII = (0.02, 0.05, 0.1)
TRAINED = PRESETS["digits"].eps
SAMPLES = 8
STEPS = 40
HEAD = ("model", "eps", "train certified", "test certified", "test ELBO", "attacked ELBO")
Row = dict[str, Any]


def run(folder: Path, *, threads: int = 1, seed: int = 0, say: Callable[[str], None] = print) -> None:
    """Train, attack and certify; the story goes to `say`, models, figures and numbers to the folder.

    A demo that was interrupted goes on where it was.
    """
    began = time.monotonic()
    splits = data.load("digits", Path())
    say(
        f"{len(splits.train)} training and {len(splits.test)} test images of digits, 8x8 pixels.\n"
        "The ELBO is a VAE's score of an image: low means unlike the training images. An attacker who may\n"
        "change every pixel by eps lowers it; the certified ELBO is what no such attacker can get below."
    )
    models = {}
    for name, eps in (("VAE", 0.0), ("proVAE", TRAINED)):
        config = Config.preset("digits", eps, seed=seed, threads=threads)
        models[name] = _trained(name, config, folder, splits.train, say)

    say(f"\nAttacking and certifying {len(splits.test)} test images at eps = {', '.join(map(str, RADII))} ...\n")
    findings, rows = {}, []
    for name, model in models.items():
        findings[name], more = _examined(name, model, splits, seed)
        rows += more
    say(report.table(HEAD, [_cells(row) for row in rows]))
    say("\n" + _reading(rows, seed))

    figures.draw(models, findings, splits.test, folder)
    checkpoint.write_text(folder / "results.json", json.dumps(rows, indent=2) + "\n")
    say(
        f"\nDone in {time.monotonic() - began:.0f} s. In {folder.resolve()}:\n"
        "  attack_curve.png     ELBO under attack and certified ELBO, against eps\n"
        "  reconstructions.png  test images, attacked images, and what each model makes of them\n"
        "  samples.png          new digits, drawn by each model\n"
        "  results.json         the table\n"
        "  VAE/, proVAE/        config.json, metrics.jsonl, checkpoint.pt: for evaluate, attack and figures"
    )


def _trained(name: str, config: Config, folder: Path, images: Images, say: Callable[[str], None]) -> VAE:
    """A model trained from where an earlier demo with the same configuration left it, else from scratch."""
    place = folder / name
    resume = (place / checkpoint.CONFIG).exists() and checkpoint.read_config(place) == config
    say(f"\n{'Continuing' if resume else 'Training'} {name} in {place}: epochs@eps = {config.schedule}")
    return train(config, images, place, resume=resume)


def _examined(name: str, model: VAE, splits: Splits, seed: int) -> tuple[list[Finding], list[Row]]:
    """What certificates and attacks say about one model at each radius, and the rows of the table."""
    noise = draw_noise(model, splits.test, SAMPLES, seed)
    findings = [examine(model, splits.test, noise, eps, seed=seed, steps=STEPS) for eps in RADII]
    rows = []
    noise = draw_noise(model, splits.train, SAMPLES, seed)
    for found in findings:
        training = certify(model, splits.train, noise, found.eps)
        columns = (training.lower, found.certified, found.clean, found.attacked)
        rows.append(dict(zip(HEAD, (name, found.eps, *map(mean, columns)), strict=True)))
    return findings, rows


def _reading(rows: list[Row], seed: int) -> str:
    """What the table says."""
    proven = {row["model"]: report.below(row["test certified"]) for row in rows if row["eps"] == TRAINED}
    return (
        "certified <= attacked <= clean holds for every model, every eps and every test image.\n"
        f"{report.fixed_noise_meaning(SAMPLES, seed, 'outward', clip=True)}\n"
        f"attacked: projected gradient descent, {STEPS} steps, on the same ball with the same noise.\n\n"
        f"Whatever an attacker changes by up to {TRAINED:g}, the proVAE's mean test ELBO provably stays above "
        f"{proven['proVAE']};\nfor the VAE these bounds prove no more than {proven['VAE']}. How little PGD lowers "
        "the VAE's ELBO is an\nobservation about this attack, not a guarantee."
    )


def _cells(row: Row) -> tuple[str, ...]:
    certified = (report.below(row[column]) for column in HEAD[2:4])
    measured = (report.plain(row[column]) for column in HEAD[4:])
    return (row["model"], f"{row['eps']:g}", *certified, *measured)
