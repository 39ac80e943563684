"""Training by the certified ELBO, on a ball that grows stage by stage."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from examples.provae import checkpoint
from examples.provae.certify import ball
from examples.provae.checkpoint import State
from examples.provae.config import Config
from examples.provae.data import Images
from examples.provae.errors import RunError, TrainingError
from examples.provae.model import VAE
from examples.provae.randomness import generator, normal
from examples.provae.schedule import Schedule, learning_rate_factor

COLLAPSED_KL = 0.5
"""Below this many nats the code says nothing about the image."""


def loss(model: VAE, x: Tensor, eps: float, noise: Tensor, clip: bool = True) -> Tensor:
    """Minus the mean ELBO that is certified on the ball, or minus the mean ELBO at radius 0."""
    if eps == 0:
        return -model.elbo(x, noise).mean()
    return -model.elbo(ball(x, eps, clip), noise).lower.mean()


class Clock:
    """Turns a step into a position: epoch, radius, learning rate, and the images of the batch."""

    def __init__(self, config: Config, images: int) -> None:
        self.config = config
        self.images = images
        self.schedule: Schedule = config.stages
        self.steps_per_epoch = math.ceil(images / config.batch)
        self.steps = self.schedule.epochs * self.steps_per_epoch
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def eps(self, step: int) -> float:
        """Radius of the training ball."""
        return self.schedule.radius(step / self.steps_per_epoch)

    def stage(self, step: int) -> int:
        """Index of the stage."""
        return self.schedule.locate(step / self.steps_per_epoch)[0]

    def learning_rate(self, step: int) -> float:
        """Adam's learning rate."""
        base = self.config.lr if self.eps(step) == 0 else self.config.robust_lr
        return base * learning_rate_factor(step / self.steps)

    def batch(self, step: int) -> Tensor:
        """Indices of the batch; each epoch has its own order, drawn from the seed."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            order = torch.randperm(self.images, generator=generator(self.config.seed, "order", epoch))
            self._order = (epoch, order)
        return self._order[1][position * self.config.batch : (position + 1) * self.config.batch]


def train(config: Config, images: Images, folder: Path, *, resume: bool = False, save_seconds: float = 30.0) -> VAE:
    """Train a VAE and leave its configuration, metrics and checkpoint in a folder.

    The noise and the order of the images are functions of the seed and the step, so a run that is killed and
    resumed ends with the same bits as one that was not, on the same machine with the same number of threads.

    Args:
        config: The run.
        images: Training images.
        folder: Where the run lives; it is created.
        resume: Go on from the checkpoint in the folder, or from the start where there is none yet.
        save_seconds: Time between checkpoints.

    Returns:
        The trained model, in evaluation mode.

    Raises:
        TrainingError: The loss is no longer finite.
        RunError: The folder's checkpoint is damaged or belongs to another configuration.
    """
    torch.set_num_threads(config.threads)
    images = images.first(config.limit)
    clock = Clock(config, len(images))
    model, optimizer, state = _start(config, folder, resume)
    first, before = state.step, state.seconds
    began = saved = time.monotonic()
    log_every = max(10, clock.steps_per_epoch // 10)
    warned = False

    bar = tqdm(total=clock.steps, initial=first, unit="step", disable=None, smoothing=0.05)
    with bar, (folder / checkpoint.METRICS).open("a") as metrics:
        for step in range(first, clock.steps):
            x = images[clock.batch(step)].to(config.device)
            noise = normal((1, len(x), model.latent), config.seed, "train", step).to(config.device)
            done, eps = step + 1, clock.eps(step)
            stage_over = done == clock.steps or clock.stage(done) != clock.stage(step)
            measured = stage_over or done % clock.steps_per_epoch == 0 or done % log_every == 0
            record = _measure(model, x, noise) if measured else {}
            value = _update(model, optimizer, clock, step, x, noise)
            bar.update()

            seconds = before + time.monotonic() - began
            if measured:
                record |= {"certified": -value, "eps": eps}
                line = {
                    "step": done,
                    "epoch": done / clock.steps_per_epoch,
                    **record,
                    "seconds": round(seconds, 3),
                }
                metrics.write(json.dumps(line) + "\n")
                metrics.flush()
                bar.set_postfix_str(_describe(record))
            if stage_over:
                stage = clock.schedule.stages[clock.stage(step)]
                bar.write(f"  {stage!s:>14}  {_describe(record)}  {seconds:.0f} s")
                if record["kl"] < COLLAPSED_KL and not warned:
                    warned = True
                    bar.write(_collapse_warning(record["kl"], eps))
            if done == clock.steps or time.monotonic() - saved >= save_seconds:
                state = State(model.state_dict(), optimizer.state_dict(), done, clock.steps, seconds)
                checkpoint.save(folder, config, state)
                saved = time.monotonic()
    return model.eval()


def _start(config: Config, folder: Path, resume: bool) -> tuple[VAE, torch.optim.Adam, State]:
    """The model, its optimiser and the step to begin with."""
    model = config.build()
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    state = State({}, {}, 0, 0, 0.0)
    if resume and (folder / checkpoint.CHECKPOINT).exists():
        saved, model, state = checkpoint.load_model(folder, config.device)
        if saved != config:
            raise RunError(f"{folder}: the checkpoint belongs to another configuration than {checkpoint.CONFIG}")
        optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
        optimizer.load_state_dict(state.optimizer)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / checkpoint.CHECKPOINT).unlink(missing_ok=True)
    checkpoint.write_text(folder / checkpoint.CONFIG, config.to_json())
    checkpoint.keep_metrics(folder, state.step)
    return model.train(), optimizer, state


def _update(model: VAE, optimizer: torch.optim.Adam, clock: Clock, step: int, x: Tensor, noise: Tensor) -> float:
    """One step of Adam; returns the loss before it."""
    eps = clock.eps(step)
    optimizer.param_groups[0]["lr"] = clock.learning_rate(step)
    optimizer.zero_grad()
    objective = loss(model, x, eps, noise, clock.config.clip)
    value = objective.item()
    if not math.isfinite(value):
        raise TrainingError(
            f"the loss is {value} at step {step} (radius {eps:g}): training has diverged.\n"
            "Use a smaller --robust-lr, or a schedule in which the radius grows more slowly."
        )
    objective.backward()
    optimizer.step()
    return value


@torch.no_grad()
def _measure(model: VAE, x: Tensor, noise: Tensor) -> dict[str, float]:
    reconstruction, kl = model.terms(x, noise)
    return {"elbo": -(reconstruction + kl).mean().item(), "kl": kl.mean().item()}


def _describe(record: dict[str, float]) -> str:
    return "ELBO {elbo:.2f}  certified {certified:.2f}  KL {kl:.2f}  eps {eps:.3g}".format(**record)


def _collapse_warning(kl: float, eps: float) -> str:
    return (
        f"  warning: the posterior has collapsed at radius {eps:g} (KL {kl:.2f} < {COLLAPSED_KL}): the\n"
        "  code says nothing about the image. Train longer in the stages before, or raise the radius slowly."
    )
