"""Run folders: whole at every moment, and checked when they are read."""

import json
import os
import pickle
import shutil
import zipfile

import pytest
import torch

from examples.provae import checkpoint
from examples.provae.config import Config
from examples.provae.errors import RunError


@pytest.fixture
def copied(run, tmp_path):
    """A copy of the trained run that a test may spoil."""
    return shutil.copytree(run, tmp_path / "copy")


def test_what_is_saved_comes_back(run, config):
    loaded, model, state = checkpoint.load_model(run)
    assert loaded == config == checkpoint.read_config(run)
    assert state.step == state.steps
    assert not model.training


def test_a_file_is_whole_or_absent(tmp_path):
    path = tmp_path / "file"
    checkpoint.write_text(path, "old")
    with pytest.raises(RuntimeError), checkpoint.atomic(path) as file:
        file.write(b"half of the n")
        raise RuntimeError("killed")
    assert path.read_text() == "old"
    checkpoint.write_text(path, "new")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def flip(content, where):
    return content[:where] + bytes([content[where] ^ 4]) + content[where + 1 :]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:10],
        lambda content: b"",
        lambda content: b"not a checkpoint",
        lambda content: flip(content, len(content) // 2),
        lambda content: flip(content, len(content) // 5),
    ],
)
def test_a_damaged_checkpoint_is_named(copied, spoil):
    path = copied / checkpoint.CHECKPOINT
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(RunError, match="damaged") as error:
        checkpoint.load(copied)
    assert str(path) in str(error.value)


def test_a_checkpoint_cannot_run_code(copied, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    path = copied / checkpoint.CHECKPOINT
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, pickle.dumps(Trap(), protocol=2) if name.endswith("data.pkl") else content)
    with pytest.raises(RunError, match=checkpoint.CHECKPOINT):
        checkpoint.load(copied)
    assert not (tmp_path / "trapped").exists()


def test_something_else_saved_by_torch_is_refused(copied):
    torch.save({"weights": torch.zeros(3)}, copied / checkpoint.CHECKPOINT)
    with pytest.raises(RunError, match="not a checkpoint of this program"):
        checkpoint.load(copied)


def test_weights_of_another_model_are_refused(copied, config):
    _, state = checkpoint.load(copied)
    fewer = {name: value for name, value in state.model.items() if name != "mean.bias"}
    checkpoint.save(copied, config, state._replace(model=fewer))
    with pytest.raises(RunError, match="do not fit"):
        checkpoint.load_model(copied)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(RunError, match=r"holds no checkpoint\.pt"):
        checkpoint.load(tmp_path)
    with pytest.raises(RunError, match="holds no run"):
        checkpoint.read_config(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "null", "{}", '{"dataset": "digits"}'],
)
def test_a_damaged_configuration_is_named(copied, text):
    path = copied / checkpoint.CONFIG
    path.write_text(text)
    with pytest.raises(RunError) as error:
        checkpoint.read_config(copied)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(("entry", "value"), [("dataset", "imagenet"), ("schedule", "12"), ("schedule", 12)])
def test_a_configuration_with_a_wrong_value_is_refused(copied, entry, value):
    path = copied / checkpoint.CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | {entry: value}))
    with pytest.raises(RunError, match="not the configuration of a run"):
        checkpoint.read_config(copied)


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path):
    path = tmp_path / checkpoint.METRICS
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    checkpoint.keep_metrics(tmp_path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_where_the_data_lies_does_not_make_another_run():
    assert Config.preset("mnist", data="here") == Config.preset("mnist", data="there")
    assert Config.preset("mnist", seed=1) != Config.preset("mnist", seed=2)
