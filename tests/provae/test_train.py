"""Training: what it learns, what it leaves behind, and that a kill costs nothing but time."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from examples.provae import checkpoint
from examples.provae import train as training
from examples.provae.errors import RunError, TrainingError
from examples.provae.train import Clock, loss, train

ROOT = Path(__file__).parents[2]


@pytest.fixture
def short(config):
    return dataclasses.replace(config, schedule="2@0 2@0..0.02", limit=128, batch=32)


def contents(folder):
    """Weights, optimiser and step as bytes that can be compared, and the metrics without the clock."""
    _, state = checkpoint.load(folder)
    lines = [json.loads(line) for line in (folder / checkpoint.METRICS).read_text().splitlines()]
    for line in lines:
        del line["seconds"]
    moments = {
        key: value
        for index, entry in state.optimizer["state"].items()
        for key, value in ((f"{index}.{name}", tensor) for name, tensor in entry.items())
    }
    return state.model | moments, state.step, state.optimizer["param_groups"], lines


def assert_same(first, second):
    (tensors, *rest), (other_tensors, *other_rest) = contents(first), contents(second)
    assert rest == other_rest
    assert tensors.keys() == other_tensors.keys()
    assert all(torch.equal(tensors[name], other_tensors[name]) for name in tensors)


def metrics(folder):
    return [json.loads(line) for line in (folder / checkpoint.METRICS).read_text().splitlines()]


def test_the_certified_elbo_rises_and_stays_below_the_elbo(run, config, splits):
    lines = metrics(run)
    assert lines[-1]["step"] == Clock(config, 320).steps
    assert lines[0]["elbo"] < lines[-1]["elbo"]
    assert {line["eps"] == 0 for line in lines} == {True, False}
    assert all(line["certified"] <= line["elbo"] for line in lines if line["eps"] > 0)
    assert [line["step"] for line in lines] == sorted({line["step"] for line in lines})


def test_loss_is_minus_the_certified_elbo(model, few, noise):
    x = few[:]
    with torch.no_grad():
        assert loss(model, x, 0.0, noise) == -model.elbo(x, noise).mean()
        certified, wider = loss(model, x, 0.01, noise), loss(model, x, 0.02, noise)
        assert -model.elbo(x, noise).mean() < certified < wider


def test_each_epoch_shows_every_image_once_in_an_order_of_its_own(config):
    clock = Clock(dataclasses.replace(config, batch=48), 100)
    assert clock.steps_per_epoch == 3
    epochs = [torch.cat([clock.batch(3 * epoch + step) for step in range(3)]) for epoch in range(2)]
    assert all(sorted(order.tolist()) == list(range(100)) for order in epochs)
    assert not torch.equal(*epochs)
    assert torch.equal(Clock(dataclasses.replace(config, batch=48), 100).batch(4), clock.batch(4))


def test_the_same_seed_trains_the_same_model(short, splits, tmp_path):
    for name in ("a", "b"):
        train(short, splits.train, tmp_path / name)
    train(dataclasses.replace(short, seed=7), splits.train, tmp_path / "c")
    assert_same(tmp_path / "a", tmp_path / "b")
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "a", tmp_path / "c")


def test_a_run_that_died_at_any_step_resumes_bit_for_bit(short, splits, tmp_path, monkeypatch):
    train(short, splits.train, tmp_path / "whole")
    update = training._update
    # checkpoints at some steps only, or at none: the steps and metrics after the last one are lost
    for last, save_seconds in ((0, 7), (3, 7), (9, 7), (14, 7), (9, 1000)):

        def dying(model, optimizer, clock, step, x, noise, last=last):
            if step == last:
                raise KeyboardInterrupt
            return update(model, optimizer, clock, step, x, noise)

        folder = tmp_path / f"{last}-{save_seconds}"
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(training, "_update", dying)
            ticks = iter(range(1000))
            patch.setattr(training.time, "monotonic", lambda ticks=ticks: next(ticks))
            train(short, splits.train, folder, save_seconds=save_seconds)
        train(short, splits.train, folder, resume=True)
        assert_same(tmp_path / "whole", folder)


def test_a_run_killed_from_outside_resumes_bit_for_bit(short, splits, tmp_path):
    """SIGKILL during training in a process of its own, at no chosen moment."""
    config = dataclasses.replace(short, schedule="6@0 6@0..0.02", data=str(tmp_path))
    train(config, splits.train, tmp_path / "whole")
    folder = tmp_path / "killed"
    options = [
        "--schedule",
        config.schedule,
        "--limit",
        "128",
        "--batch",
        "32",
        "--seed",
        "1",
        "--data",
        config.data,
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.provae", "train", "--out", folder, "--save-seconds", "0", *options],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        deadline = time.monotonic() + 120
        while not (folder / checkpoint.CHECKPOINT).exists() and time.monotonic() < deadline:
            assert process.poll() is None, "training ended before it was killed"
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    _, state = checkpoint.load(folder)
    assert 0 < state.step < state.steps
    train(checkpoint.read_config(folder), splits.train, folder, resume=True)
    assert_same(tmp_path / "whole", folder)


def test_a_kill_while_the_checkpoint_is_written_leaves_the_one_before(short, splits, tmp_path, monkeypatch):
    train(short, splits.train, tmp_path / "whole")
    written = []

    def torn(descriptor):
        written.append(descriptor)
        if len(written) == 9:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint.os, "fsync", torn)
        train(short, splits.train, tmp_path / "torn", save_seconds=0)
    assert 0 < checkpoint.load(tmp_path / "torn")[1].step < 16
    train(short, splits.train, tmp_path / "torn", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "torn")


def test_resuming_a_finished_run_changes_nothing(short, splits, tmp_path):
    train(short, splits.train, tmp_path / "a")
    before = contents(tmp_path / "a")[1:]
    train(short, splits.train, tmp_path / "a", resume=True)
    assert contents(tmp_path / "a")[1:] == before


def test_a_checkpoint_of_another_configuration_is_not_resumed(short, splits, tmp_path):
    train(short, splits.train, tmp_path)
    with pytest.raises(RunError, match="another configuration"):
        train(dataclasses.replace(short, seed=9), splits.train, tmp_path, resume=True)


def test_divergence_is_reported(short, splits, tmp_path):
    with pytest.raises(TrainingError, match="diverged"):
        train(dataclasses.replace(short, lr=1e6), splits.train, tmp_path)


def test_a_collapsed_posterior_is_reported(short, splits, tmp_path, capsys):
    train(dataclasses.replace(short, schedule="1@0.5 2@0.5"), splits.train, tmp_path)
    assert capsys.readouterr().out.count("collapsed") == 1
