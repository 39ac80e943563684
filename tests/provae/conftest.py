"""A small robust VAE of the digits, trained once for all tests."""

import pytest
import torch

from examples.provae import data
from examples.provae.config import Config
from examples.provae.evaluate import draw_noise
from examples.provae.train import train


@pytest.fixture(scope="session")
def splits():
    return data.load("digits", None)


@pytest.fixture(scope="session")
def config():
    return Config.preset("digits", schedule="30@0 25@0..0.003", batch=64, limit=320, seed=1)


@pytest.fixture(scope="session")
def run(config, splits, tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("run")
    train(config, splits.train, folder)
    return folder


@pytest.fixture(scope="session")
def model(config, run):
    from examples.provae.checkpoint import load_model

    return load_model(run)[1]


@pytest.fixture
def few(splits):
    """Twelve test images."""
    return splits.test.first(12)


@pytest.fixture
def noise(model, few):
    return draw_noise(model, few, samples=8, seed=3)


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(5)
