"""What a run is: the dataset's model and the choices of training, saved beside the results."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn.utils import convert_conv2d_weight_memory_format

from examples.provae.errors import RunError
from examples.provae.model import VAE
from examples.provae.schedule import Schedule


class Preset(NamedTuple):
    """The model for a dataset, and how to train it; `{eps}` stands for the final radius."""

    channels: int
    size: int
    latent: int
    variance: float
    eps: float
    lr: float
    robust_lr: float
    plain: str
    slight: str
    robust: str

    def schedule(self, eps: float) -> Schedule:
        """The schedule that ends with radius `eps`.

        >>> print(PRESETS["mnist"].schedule(0.1))
        5@0 2@0..0.01 3@0.01..0.1 2@0.1
        """
        template = self.plain if eps == 0 else self.slight if eps <= 0.01 else self.robust
        return Schedule.parse(template.format(eps=repr(float(eps))))


_STAGED: dict[str, Any] = {
    "eps": 0.1,
    "lr": 1e-3,
    "plain": "12@0",
    # A jump from 0 to 0.01 multiplies the loss by 25 and empties the code for good; a ramp does not.
    "slight": "5@0 2@0..{eps} 5@{eps}",
    "robust": "5@0 2@0..0.01 3@0.01..{eps} 2@{eps}",
}

PRESETS = {
    # An epoch has only 12 steps. With variance 1/2 a code would hardly pay: the digits' largest principal
    # variance is 0.7.
    "digits": Preset(
        channels=1,
        size=8,
        latent=16,
        variance=1 / 16,
        eps=0.05,
        lr=2e-3,
        robust_lr=2e-3,
        plain="120@0",
        slight="50@0 50@0..{eps} 40@{eps}",
        robust="50@0 150@0..{eps} 60@{eps}",
    ),
    "mnist": Preset(channels=1, size=28, latent=50, variance=0.5, robust_lr=1.5e-3, **_STAGED),
    "cifar10": Preset(channels=3, size=32, latent=50, variance=0.5, robust_lr=7e-4, **_STAGED),
}


@dataclass(frozen=True)
class Config:
    """All that determines a training run, on one machine with one number of threads.

    Attributes:
        dataset: A key of `PRESETS`.
        schedule: Radius of the training ball, in the notation of `Schedule.parse`.
        lr: Adam's learning rate at radius 0.
        robust_lr: Adam's learning rate at larger radii.
        seed: Of the initial weights, the order of the images and the noise.
        batch: Images in a step.
        limit: Train on the first so many images only.
        clip: Whether the training ball is intersected with [0, 1].
        threads: Torch threads.
        device: Where the model lives.
        data: Folder of the dataset's files; where they lie makes no difference to a run.
        partial: Whether CIFAR-10 may lack some training batches.
    """

    dataset: str
    schedule: str
    lr: float
    robust_lr: float
    seed: int = 0
    batch: int = 128
    limit: int | None = None
    clip: bool = True
    threads: int = 1
    device: str = "cpu"
    data: str = field(default="data", compare=False)
    partial: bool = False

    @classmethod
    def preset(cls, dataset: str, eps: float | None = None, **choices: Any) -> Config:
        """The configuration that suits a dataset, ending with radius `eps`; a choice of None is no choice."""
        preset = PRESETS[dataset]
        values: dict[str, Any] = {"schedule": str(preset.schedule(preset.eps if eps is None else eps))}
        values |= {"lr": preset.lr, "robust_lr": preset.robust_lr}
        values |= {name: choice for name, choice in choices.items() if choice is not None}
        return cls(dataset, **values)

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
        # the convolutions with one channel are two to five times as fast in this layout
        convert_conv2d_weight_memory_format(model, torch.channels_last)
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
