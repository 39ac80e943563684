"""The command line: demo, train, evaluate, attack, figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from examples.provae import checkpoint, data, report
from examples.provae.config import PRESETS, Config
from examples.provae.errors import ProvaeError, RunError
from examples.provae.evaluate import Rounding, mean
from examples.provae.job import (
    FOLDER,
    check_device,
    download_option,
    open_run,
    print_rows,
    run_options,
    seed_option,
    threads_option,
)


class Group(click.Group):
    """Lists its commands in the order of use, and prints the program's own errors without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands as they are defined."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (ProvaeError, OSError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Group, context_settings={"show_default": True, "max_content_width": 100})
def main() -> None:
    """Provably robust variational autoencoders, with bounds by intervaltorch.

    Start with demo. Then train a model of your own on digits, MNIST or CIFAR-10; evaluate certifies its
    ELBO on every point of a ball around each image, attack searches those balls for the worst image, and
    figures draws what was found.
    """


@main.command(short_help="Train, attack and certify on handwritten digits.")
@click.option("--out", type=FOLDER, default=Path("results/demo"), help="Where everything is written.")
@click.option("--fresh", is_flag=True, help="Forget the models of an earlier demo in that folder.")
@seed_option
@threads_option
def demo(out: Path, fresh: bool, seed: int, threads: int) -> None:
    """Train a VAE and a proVAE on handwritten digits, attack and certify both, draw figures.

    Takes a few minutes on one core and needs no download. Interrupted, it goes on where it was.
    """
    from examples.provae import demo as story

    if fresh:
        for name in ("VAE", "proVAE"):
            (out / name / checkpoint.CONFIG).unlink(missing_ok=True)
    try:
        story.run(out, threads=threads, seed=seed, say=click.echo)
    except KeyboardInterrupt:
        raise RunError("interrupted; the same command goes on from here") from None


@main.command(short_help="Train a VAE or a proVAE.")
@click.option("--dataset", default="digits", type=click.Choice(list(PRESETS)), help="What to learn.")
@click.option(
    "--data",
    "data_folder",
    type=FOLDER,
    default=Path("data"),
    help="Folder of MNIST/raw or cifar-10-batches-bin.",
)
@download_option
@click.option("--partial", is_flag=True, help="Accept CIFAR-10 without some of its training batches.")
@click.option(
    "--eps",
    metavar="EPS",
    type=click.FloatRange(0),
    help="Radius to be robust against; 0 trains a plain VAE.  "
    f"[default: {PRESETS['mnist'].eps:g}; {PRESETS['digits'].eps:g} for digits]",
)
@click.option(
    "--schedule",
    metavar="STAGES",
    help="How the radius gets there, as 'EPOCHS@RADIUS EPOCHS@FROM..TO ...', instead of --eps.  "
    f"[default for MNIST: '{PRESETS['mnist'].schedule(0.1)}']",
)
@click.option("--limit", metavar="N", type=click.IntRange(1), help="Train on the first so many images only.")
@click.option("--batch", metavar="N", default=128, type=click.IntRange(1), help="Images in a step.")
@click.option(
    "--lr",
    metavar="RATE",
    type=click.FloatRange(0, min_open=True),
    help=f"Adam's learning rate at radius 0.  [default: {PRESETS['mnist'].lr:g}; {PRESETS['digits'].lr:g} for digits]",
)
@click.option(
    "--robust-lr",
    metavar="RATE",
    type=click.FloatRange(0, min_open=True),
    help="The same at other radii.  "
    f"[default: {PRESETS['mnist'].robust_lr:g}; {PRESETS['digits'].robust_lr:g} for digits]",
)
@click.option("--clip/--no-clip", default=True, help="Intersect the ball with [0, 1].")
@seed_option
@threads_option
@click.option("--device", metavar="NAME", default="cpu", help="Torch device.")
@click.option("--out", type=FOLDER, help="Folder of the run.  [default: results/DATASET-EPS]")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out, with the configuration saved there.")
@click.option("--overwrite", is_flag=True, help="Start again in a folder that already holds a run.")
@click.option(
    "--save-seconds",
    metavar="SECONDS",
    default=30.0,
    type=click.FloatRange(0),
    help="Time between checkpoints.",
)
@click.pass_context
def train(
    ctx: click.Context,
    out: Path | None,
    resume: bool,
    overwrite: bool,
    save_seconds: float,
    download: bool,
    eps: float | None,
    data_folder: Path,
    **choices: Any,
) -> None:
    """Train a VAE or a proVAE and leave it in a folder.

    The folder holds config.json, metrics.jsonl (a line for each measurement) and checkpoint.pt. A run that
    was killed goes on with --resume and ends with the same weights, bit for bit, on the same machine with
    the same number of threads.
    """
    from examples.provae.train import train as run_training

    try:
        config = Config.preset(eps=eps, data=str(data_folder.resolve()), **choices)
        config = dataclasses.replace(config, schedule=str(config.stages))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--schedule") from error
    folder = out or Path("results", f"{config.dataset}-{config.eps:g}")
    if resume:
        config = _resumed(ctx, config, folder)
    elif (folder / checkpoint.CONFIG).exists() and not overwrite:
        raise RunError(f"{folder} already holds a run: go on with --resume, start again with --overwrite")
    check_device(config.device)
    splits = data.load(config.dataset, Path(config.data), download=download, partial=config.partial)
    if splits.note:
        click.echo(splits.note)
    count = len(splits.train.first(config.limit))
    click.echo(f"{config.dataset}: {count} training images; epochs@eps = {config.schedule}; run folder {folder}")
    try:
        run_training(config, splits.train, folder, resume=resume, save_seconds=save_seconds)
    except KeyboardInterrupt:
        raise RunError(f"interrupted; go on with: train --resume --out {folder}") from None
    click.echo(f"done; next: evaluate {folder}")


def _resumed(ctx: click.Context, asked: Config, folder: Path) -> Config:
    """The saved configuration; options given again must agree with it."""
    saved = checkpoint.read_config(folder)
    given = {name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    if "eps" in given:
        given.add("schedule")
    new, old = dataclasses.asdict(asked), dataclasses.asdict(saved)
    different = [
        f"--{name.replace('_', '-')}: {new[name]!r}, not {old[name]!r}"
        for name in new
        if name in given and new[name] != old[name]
    ]
    if different:
        raise RunError(
            f"{folder}: --resume goes on with the saved configuration, which differs:\n  " + "\n  ".join(different)
        )
    return dataclasses.replace(saved, data=asked.data) if "data_folder" in given else saved


@main.command(short_help="Certify the ELBO of a trained model.")
@run_options
@click.option(
    "--rounding",
    default="outward",
    type=click.Choice(["outward", "nearest"]),
    help="Bounds that hold in real arithmetic, or up to rounding errors.",
)
@click.option(
    "--confidence",
    metavar="LEVEL",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Also bound the expected ELBO at this level of confidence, such as 0.999.",
)
@click.option("--draws", metavar="N", default=10_000, type=click.IntRange(2), help="Noise draws for --confidence.")
def evaluate(confidence: float | None, draws: int, rounding: Rounding, **choices: Any) -> None:
    """Certify the ELBO of RUN on the ball around each image.

    Prints the mean ELBO, the mean certified lower bound (no image of the ball scores less) and upper bound
    (none scores more), how far the rounding mode moves a certificate, and says what kind of statement each
    number is.
    """
    from examples.provae.confidence import confident_elbo
    from examples.provae.evaluate import certify, draw_noise, rounding_moves

    job = open_run(**choices)
    noise = draw_noise(job.model, job.images, job.samples, job.seed)
    rows = []
    for eps in job.radii:
        scores = certify(job.model, job.images, noise, eps, rounding=rounding, clip=job.clip)
        row = {
            "eps": eps,
            "certified": mean(scores.lower),
            "ELBO": mean(scores.clean),
            "upper": mean(scores.upper),
            "rounding": rounding_moves(job.model, job.images, noise, eps, scores, rounding=rounding, clip=job.clip),
        }
        if confidence is not None:
            row["expected"] = confident_elbo(
                job.model,
                job.images,
                eps,
                level=confidence,
                draws=draws,
                seed=job.seed,
                rounding=rounding,
                clip=job.clip,
            )
        rows.append(row)
    print_rows(rows, job.json_file)
    click.echo("\n" + report.fixed_noise_meaning(job.samples, job.seed, rounding, job.clip))
    click.echo(report.rounding_meaning(rounding))
    if confidence is not None:
        click.echo(report.confidence_meaning(confidence, draws))


@main.command(short_help="Look for the worst images, by PGD.")
@run_options
@click.option("--steps", metavar="N", default=40, type=click.IntRange(1), help="Gradient steps.")
def attack(steps: int, **choices: Any) -> None:
    """Search the ball around each image of RUN for the lowest ELBO, by PGD.

    The attack works on the ball and with the noise of the certificate, keeps the best image it meets, and
    checks certified <= attacked <= clean for every image. The last column scores the attacked images under
    noise that the attack has not seen.
    """
    from examples.provae.evaluate import draw_noise, examine, score

    job = open_run(**choices)
    noise = draw_noise(job.model, job.images, job.samples, job.seed)
    fresh = draw_noise(job.model, job.images, job.samples, job.seed, purpose="fresh")
    rows = []
    for eps in job.radii:
        found = examine(job.model, job.images, noise, eps, seed=job.seed, steps=steps, clip=job.clip)
        rows.append(
            {
                "eps": eps,
                "certified": mean(found.certified),
                "attacked": mean(found.attacked),
                "ELBO": mean(found.clean),
                "attacked, fresh noise": mean(score(job.model, found.images, fresh)),
            }
        )
    print_rows(rows, job.json_file)
    click.echo(f"\ncertified <= attacked <= clean holds for each of the {len(job.images)} images.")
    click.echo(report.fixed_noise_meaning(job.samples, job.seed, "outward", job.clip))


@main.command(short_help="Draw attack curve, reconstructions, samples.")
@click.argument("runs", type=FOLDER, nargs=-1, required=True)
@click.option("--data", "data_folder", type=FOLDER, help="Folder of the dataset.  [default: as in training]")
@click.option(
    "--eps",
    "radii",
    metavar="EPS",
    multiple=True,
    type=click.FloatRange(0, min_open=True),
    default=(0.02, 0.05, 0.1),
    help="Radii of the attack curve; repeat for several.",
)
@click.option(
    "--limit", metavar="N", default=200, type=click.IntRange(10), help="Attack the first so many test images."
)
@click.option("--samples", metavar="K", default=8, type=click.IntRange(1), help="Noise samples K for each image.")
@seed_option
@threads_option
@click.option("--device", help="Torch device.  [default: as in training]")
@click.option("--out", type=FOLDER, default=Path("results/figures"), help="Where the PNG files go.")
def figures(runs: tuple[Path, ...], out: Path, radii: tuple[float, ...], **choices: Any) -> None:
    """Draw the attack curve, reconstructions and samples of one or more RUNS of one dataset."""
    from examples.provae import figures as pictures
    from examples.provae.evaluate import draw_noise, examine

    jobs = {run.name: open_run(run=run, radii=tuple(sorted(radii)), **choices) for run in runs}
    if len(jobs) != len(runs):
        raise RunError("the run folders must have different names: they label the figures")
    if len({job.dataset for job in jobs.values()}) != 1:
        raise RunError("the runs are of different datasets: draw each by itself")
    findings = {}
    for name, job in jobs.items():
        noise = draw_noise(job.model, job.images, job.samples, job.seed)
        findings[name] = [examine(job.model, job.images, noise, eps, seed=job.seed) for eps in job.radii]
    pictures.draw({name: job.model for name, job in jobs.items()}, findings, job.images, out)
    click.echo(f"attack_curve.png, reconstructions.png and samples.png are in {out.resolve()}")
