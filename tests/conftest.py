"""What every test shares: reproducible examples, reproducible random numbers, one torch thread."""

import warnings

import pytest
import torch
from hypothesis import HealthCheck, settings

# Derandomised: the same commit gives the same verdict. No deadline, and no health check on speed: a busy
# machine is not a wrong bound. `--hypothesis-profile=explore` looks for new counterexamples.
settings.register_profile(
    "intervaltorch",
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "explore",
    settings.get_profile("intervaltorch"),
    derandomize=False,
    max_examples=2000,
)
settings.load_profile("intervaltorch")

# The workers of pytest-xdist share the cores; more threads in each only get in one another's way.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed():
    """Each test draws the same numbers whether it runs alone, first or last."""
    torch.manual_seed(0)


@pytest.fixture
def quiet():
    """No warning is shown, nor counted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
