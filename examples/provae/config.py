"""What a run is: the dataset's model and the choices of training, saved beside the results."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch

from examples.provae.errors import RunError
from examples.provae.model import VAE
from examples.provae.schedule import Schedule


class Preset(NamedTuple):
    """The model for a dataset, and the unit of its schedule: epochs that make about 450 steps."""

    channels: int
    size: int
    latent: int
    variance: float
    epochs: int
    eps: float


PRESETS = {
    # With variance 1/2 a code would not pay: the digits' largest principal variance is 0.7.
    "digits": Preset(channels=1, size=8, latent=16, variance=1 / 16, epochs=20, eps=0.1),
    "mnist": Preset(channels=1, size=28, latent=50, variance=0.5, epochs=1, eps=0.1),
    "cifar10": Preset(channels=3, size=32, latent=50, variance=0.5, epochs=1, eps=0.1),
}


@dataclass(frozen=True)
class Config:
    """All that determines a training run, on one machine with one number of threads.

    Attributes:
        dataset: A key of `PRESETS`.
        schedule: Radius of the training ball, in the notation of `Schedule.parse`.
        seed: Of the initial weights, the order of the images and the noise.
        batch: Images in a step.
        lr: Adam's learning rate at radius 0.
        robust_lr: Adam's learning rate at larger radii.
        limit: Train on the first so many images only.
        clip: Whether the training ball is intersected with [0, 1].
        threads: Torch threads.
        device: Where the model lives.
        data: Folder of the dataset's files; where they lie makes no difference to a run.
        partial: Whether CIFAR-10 may lack some training batches.
    """

    dataset: str
    schedule: str
    seed: int = 0
    batch: int = 128
    lr: float = 1e-3
    robust_lr: float = 7e-4
    limit: int | None = None
    clip: bool = True
    threads: int = 1
    device: str = "cpu"
    data: str = field(default="data", compare=False)
    partial: bool = False

    @property
    def stages(self) -> Schedule:
        """The schedule, parsed."""
        return Schedule.parse(self.schedule)

    @property
    def eps(self) -> float:
        """The radius that training ends with."""
        return self.stages.final_radius

    def build(self, device: str | None = None) -> VAE:
        """The model with its initial weights; the global random state is left as it was."""
        preset = PRESETS[self.dataset]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = VAE(preset.channels, preset.size, preset.latent, preset.variance)
        return model.to(device or self.device)

    def to_json(self) -> str:
        """The configuration as readable text."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: Path) -> Config:
        """The configuration with these values, checked.

        Raises:
            RunError: `source` does not describe a run of this program.
        """
        names = {entry.name for entry in fields(cls)}
        if not isinstance(values, dict) or set(values) != names:
            wrong = sorted(names.symmetric_difference(values)) if isinstance(values, dict) else values
            raise RunError(f"{source}: not the configuration of a run: missing or unknown entries {wrong}")
        config = cls(**values)
        try:
            config.stages  # noqa: B018 - parsing is the check
            PRESETS[config.dataset]
        except (KeyError, ValueError, AttributeError) as error:
            raise RunError(f"{source}: not the configuration of a run: {error}") from error
        return config
