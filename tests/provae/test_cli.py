"""The commands as a user meets them."""

import json

import pytest
import torch
from click.testing import CliRunner

from examples.provae import demo
from examples.provae.cli import main
from examples.provae.config import PRESETS

COMMANDS = ("demo", "train", "evaluate", "attack", "figures")
SHORT = ("--limit", "128", "--batch", "64", "--schedule", "2@0 2@0..0.02")


def call(*arguments, fails=False):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert (result.exit_code != 0) == fails, result.output
    return result.output


def test_help_shows_the_commands_in_the_order_of_use():
    output = call("--help")
    listed = output[output.index("Commands:") :].splitlines()[1:]
    assert [line.split()[0] for line in listed] == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_explains_itself(command):
    output = call(command, "--help")
    assert "Usage:" in output
    options = [parameter for parameter in main.commands[command].params if parameter.param_type_name == "option"]
    assert options
    assert all(option.help for option in options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "digits"
    output = call("train", *SHORT, "--out", folder)
    assert "128 training images" in output
    assert f"evaluate {folder}" in output
    return folder


def test_evaluate_certifies_and_says_what_a_number_means(trained, tmp_path):
    table = tmp_path / "table.json"
    arguments = ("--limit", 20, "--eps", 0.01, "--eps", 0.02, "--json", table)
    output = call("evaluate", trained, *arguments, "--confidence", 0.99, "--draws", 200)
    for word in ("20 test images", "real arithmetic", "unbiased estimate", "99 % confidence"):
        assert word in output
    rows = json.loads(table.read_text())
    assert [row["eps"] for row in rows] == [0.01, 0.02]
    for row in rows:
        assert row["expected"] < row["certified"] < row["ELBO"] < row["upper"]
        assert 0 < row["rounding"] < 0.01 * (row["ELBO"] - row["certified"])


def test_both_rounding_modes_agree_on_how_far_they_are_apart(trained, tmp_path):
    rows = {}
    for mode, other in (("outward", "nearest"), ("nearest", "outward")):
        table = tmp_path / f"{mode}.json"
        output = call("evaluate", trained, "--limit", 5, "--eps", 0.02, "--rounding", mode, "--json", table)
        assert f"with --rounding {other} the certificate" in output
        assert ("real arithmetic" if mode == "outward" else "up to floating-point rounding") in output
        (rows[mode],) = json.loads(table.read_text())
    assert rows["outward"]["rounding"] == rows["nearest"]["rounding"]
    assert rows["outward"]["certified"] < rows["nearest"]["certified"]
    assert rows["nearest"]["certified"] - rows["outward"]["certified"] <= rows["outward"]["rounding"]


def test_attack_lies_between_certificate_and_clean(trained, tmp_path):
    table = tmp_path / "table.json"
    output = call("attack", trained, "--limit", 20, "--steps", 5, "--no-clip", "--json", table)
    assert "holds for each of the 20 images" in output
    (row,) = json.loads(table.read_text())
    assert row["eps"] == 0.02
    assert row["certified"] < row["attacked"] < row["ELBO"]


def test_figures_are_pictures(trained, tmp_path):
    call("figures", trained, "--limit", 10, "--samples", 2, "--eps", 0.02, "--out", tmp_path)
    for name in ("attack_curve.png", "reconstructions.png", "samples.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_folder_with_a_run_is_not_overwritten_by_accident(trained):
    assert "already holds a run" in call("train", *SHORT, "--out", trained, fails=True)


def test_resume_refuses_other_options_by_name(trained):
    output = call("train", "--resume", "--out", trained, "--seed", 5, "--eps", 0.3, fails=True)
    assert "--seed: 5, not 0" in output
    assert "--schedule" in output
    assert "--batch" not in output
    call("train", "--resume", "--out", trained, "--batch", 64)


def test_errors_are_sentences_without_a_traceback(tmp_path):
    assert "holds no run" in call("train", "--resume", "--out", tmp_path, fails=True)
    assert "holds no checkpoint.pt" in call("evaluate", tmp_path, fails=True)
    assert "EPOCHS@RADIUS" in call("train", "--schedule", "banana", "--out", tmp_path / "a", fails=True)
    assert "cannot use the device" in call("train", "--device", "banana", "--out", tmp_path / "a", fails=True)
    assert "MNIST is not in" in call(
        "train", "--dataset", "mnist", "--data", tmp_path, "--out", tmp_path / "a", fails=True
    )
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in call("train", *SHORT, "--out", tmp_path / "file" / "run", fails=True)


@pytest.fixture
def hasty(monkeypatch):
    """The demo with a few epochs, small attacks and few images."""
    quick = PRESETS["digits"]._replace(plain="1@0", slight="1@0 1@{eps}", robust="1@0 1@0..{eps}")
    monkeypatch.setitem(PRESETS, "digits", quick)
    monkeypatch.setattr(demo, "SAMPLES", 2)
    monkeypatch.setattr(demo, "RADII", (0.05,))
    monkeypatch.setattr(demo, "STEPS", 5)
    load = demo.data.load

    def few(*arguments, **options):
        splits = load(*arguments, **options)
        return splits._replace(train=splits.train.first(200), test=splits.test.first(20))

    monkeypatch.setattr(demo.data, "load", few)


def test_demo_tells_the_story_and_goes_on_after_an_interruption(hasty, tmp_path, monkeypatch):
    output = call("demo", "--out", tmp_path)
    assert "certified <= attacked <= clean holds" in output
    rows = json.loads((tmp_path / "results.json").read_text())
    assert [row["model"] for row in rows] == ["VAE", "proVAE"]
    for row in rows:
        assert row["test certified"] <= row["attacked ELBO"] <= row["test ELBO"]
    for name in ("attack_curve.png", "reconstructions.png", "samples.png"):
        assert name in output
        assert (tmp_path / name).exists()

    monkeypatch.setattr(demo.figures, "draw", lambda *arguments: None)
    path = tmp_path / "VAE" / "checkpoint.pt"
    before = path.read_bytes()
    (tmp_path / "proVAE" / "checkpoint.pt").unlink()
    assert "Continuing VAE" in call("demo", "--out", tmp_path)
    assert path.read_bytes() == before
    assert json.loads((tmp_path / "results.json").read_text()) == rows

    path.write_bytes(before[:100])
    assert str(path) in call("demo", "--out", tmp_path, fails=True)
    assert "Training VAE" in call("demo", "--out", tmp_path, "--fresh")
    assert json.loads((tmp_path / "results.json").read_text()) == rows


def test_threads_are_set(trained):
    call("evaluate", trained, "--limit", 2, "--threads", 1)
    assert torch.get_num_threads() == 1
