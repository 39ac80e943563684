"""Datasets: read, checked, and refused by name when something is wrong."""

import gzip
import hashlib
import struct
import tarfile

import pytest
import torch

from examples.provae import data
from examples.provae.data import IdxFile
from examples.provae.errors import DataError


def test_digits_are_real_and_split_once_and_for_all(splits):
    assert (len(splits.train), len(splits.test)) == (1500, 297)
    batch = splits.test[torch.tensor([0, 5])]
    assert batch.shape == (2, 1, 8, 8)
    assert batch.dtype == torch.float32
    assert batch.min() >= 0
    assert splits.train[:].max() == 1
    assert len(splits.train.first(7)) == 7
    again = data.load("digits", None)
    assert torch.equal(again.test.pixels, splits.test.pixels)


# ----------------------------------------------------------------------------------------------- MNIST


def idx(count, seed):
    pixels = torch.randint(0, 256, (count * 784,), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return struct.pack(">4I", 2051, count, 28, 28) + pixels.numpy().tobytes()


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """Two small files in MNIST's place; returns the folder and their contents."""
    contents = {"train": idx(30, 0), "test": idx(20, 1)}
    files = {}
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for split, content in contents.items():
        name, packed = data.MNIST_FILES[split].name, gzip.compress(content, mtime=0)
        sums = hashlib.sha256(content).hexdigest(), hashlib.sha256(packed).hexdigest()
        files[split] = IdxFile(name, struct.unpack(">4I", content[:16])[1], *sums)
        (folder / (name + ".gz")).write_bytes(packed)
    monkeypatch.setattr(data, "MNIST_FILES", files)
    return tmp_path, contents


def test_mnist_is_read_packed_or_not(mnist):
    root, contents = mnist
    train, test, note = data.load("mnist", root)
    assert (train.pixels.shape, test.pixels.shape, note) == ((30, 1, 28, 28), (20, 1, 28, 28), "")
    assert train[:3].flatten().tolist() == pytest.approx([byte / 255 for byte in contents["train"][16 : 16 + 3 * 784]])
    path = root / "MNIST" / "raw" / data.MNIST_FILES["train"].name
    path.write_bytes(contents["train"])
    path.with_name(path.name + ".gz").unlink()
    assert torch.equal(data.load("mnist", root).train.pixels, train.pixels)


def damaged(content, how):
    if how == "flipped bit":
        return content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]
    if how == "truncated":
        return content[:-100]
    if how == "too long":
        return content + b"\0"
    if how == "header only in part":
        return content[:7]
    if how == "labels":
        return struct.pack(">4I", 2049, *struct.unpack(">3I", content[4:16])) + content[16:]
    return struct.pack(">4I", 2051, 10, 28, 28) + content[16:]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("flipped bit", "sha256"),
        ("truncated", "truncated: "),
        ("too long", "too long"),
        ("header only in part", "not even the header"),
        ("labels", "starts with 2049, expected 2051"),
        ("other shape", r"shape \(10, 28, 28\), expected \(30, 28, 28\)"),
    ],
)
def test_damaged_mnist_is_named(mnist, how, message, packed):
    root, contents = mnist
    path = root / "MNIST" / "raw" / (data.MNIST_FILES["train"].name + ".gz" * packed)
    content = damaged(contents["train"], how)
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=message) as error:
        data.load("mnist", root)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [b"no gzip at all", b"\x1f\x8b\x08\x00", b""])
def test_files_that_are_not_gzip_are_named(mnist, content):
    root, _ = mnist
    path = root / "MNIST" / "raw" / (data.MNIST_FILES["test"].name + ".gz")
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        data.load("mnist", root)
    assert str(path) in str(error.value)


def test_truncated_gzip_is_named(mnist):
    root, _ = mnist
    path = root / "MNIST" / "raw" / (data.MNIST_FILES["test"].name + ".gz")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match="damaged") as error:
        data.load("mnist", root)
    assert str(path) in str(error.value)


def test_missing_mnist_lists_files_and_checksums(tmp_path):
    with pytest.raises(DataError) as error:
        data.load("mnist", tmp_path)
    message = str(error.value)
    assert "--data" in message
    assert "--download" in message
    for file in data.MNIST_FILES.values():
        assert str(tmp_path / "MNIST" / "raw" / file.name) in message
        assert file.sha256 in message
        assert file.sha256_gz in message


def test_mnist_is_downloaded_and_verified(mnist, tmp_path_factory, monkeypatch):
    source, _ = mnist
    root = tmp_path_factory.mktemp("fresh")
    monkeypatch.setattr(data, "MNIST_URL", (source / "MNIST" / "raw").as_uri() + "/")
    loaded = data.load("mnist", root, download=True)
    assert torch.equal(loaded.train.pixels, data.load("mnist", source).train.pixels)
    monkeypatch.setattr(data, "MNIST_URL", "file:///nowhere/")
    data.load("mnist", root, download=True)  # everything is there: nothing is fetched


def test_a_wrong_download_leaves_nothing_behind(mnist, tmp_path_factory, monkeypatch):
    source, _ = mnist
    folder = source / "MNIST" / "raw"
    (folder / (data.MNIST_FILES["train"].name + ".gz")).write_bytes(b"an error page")
    root = tmp_path_factory.mktemp("fresh")
    monkeypatch.setattr(data, "MNIST_URL", folder.as_uri() + "/")
    with pytest.raises(DataError, match="not the expected file"):
        data.load("mnist", root, download=True)
    assert not [path for path in root.rglob("*") if path.is_file()]


def test_a_failed_download_says_where_to_put_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MNIST_URL", "file:///nowhere/")
    with pytest.raises(DataError, match="download failed") as error:
        data.load("mnist", tmp_path, download=True)
    assert str(tmp_path / "MNIST" / "raw") in str(error.value)


# -------------------------------------------------------------------------------------------- CIFAR-10


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """Six files of four records in CIFAR-10's place; returns the folder that holds theirs."""
    monkeypatch.setattr(data, "CIFAR10_COUNT", 4)
    folder = tmp_path / data.CIFAR10_FOLDER
    folder.mkdir()
    for seed, name in enumerate((*data.CIFAR10_TRAIN, data.CIFAR10_TEST)):
        generator = torch.Generator().manual_seed(seed)
        records = torch.randint(0, 256, (4, data.CIFAR10_RECORD), generator=generator, dtype=torch.uint8)
        records[:, 0] = torch.tensor([0, 9, 5, 1])
        (folder / name).write_bytes(records.numpy().tobytes())
    return tmp_path


def test_cifar10_planes_are_red_green_blue(cifar):
    train, test, note = data.load("cifar10", cifar)
    assert (train.pixels.shape, test.pixels.shape, note) == ((20, 3, 32, 32), (4, 3, 32, 32), "")
    content = (cifar / data.CIFAR10_FOLDER / "data_batch_2.bin").read_bytes()
    record = content[data.CIFAR10_RECORD :]
    green_pixel = record[1 + 1024 + 3 * 32 + 7]
    assert train.pixels[5, 1, 3, 7] == green_pixel


def test_missing_cifar10_batches_are_named_and_accepted_only_on_request(cifar):
    for name in ("data_batch_3.bin", "data_batch_5.bin"):
        (cifar / data.CIFAR10_FOLDER / name).unlink()
    with pytest.raises(DataError, match=r"missing: data_batch_3.bin, data_batch_5.bin") as error:
        data.load("cifar10", cifar)
    assert "--partial" in str(error.value)
    assert data.CIFAR10_SHA256 in str(error.value)
    train, _, note = data.load("cifar10", cifar, partial=True)
    assert len(train) == 12
    assert "without data_batch_3.bin, data_batch_5.bin" in note


def test_cifar10_without_its_test_batch_is_refused(cifar):
    (cifar / data.CIFAR10_FOLDER / data.CIFAR10_TEST).unlink()
    with pytest.raises(DataError, match=r"missing: test_batch\.bin") as error:
        data.load("cifar10", cifar, partial=True)
    assert "--partial" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1], "truncated"),
        (lambda content: content + b"\0", "too long"),
        (lambda content: b"\x0a" + content[1:], "record 0 has the label 10"),
    ],
)
def test_damaged_cifar10_is_named(cifar, change, message):
    path = cifar / data.CIFAR10_FOLDER / "data_batch_4.bin"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=message) as error:
        data.load("cifar10", cifar)
    assert str(path) in str(error.value)


def test_cifar10_is_downloaded_verified_and_unpacked(cifar, tmp_path_factory, monkeypatch):
    archive = cifar / "archive.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(cifar / data.CIFAR10_FOLDER, arcname=data.CIFAR10_FOLDER)
    monkeypatch.setattr(data, "CIFAR10_URL", archive.as_uri())
    root = tmp_path_factory.mktemp("fresh")
    with pytest.raises(DataError, match="not the expected file"):
        data.load("cifar10", root, download=True)
    monkeypatch.setattr(data, "CIFAR10_SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    loaded = data.load("cifar10", root, download=True)
    assert torch.equal(loaded.train.pixels, data.load("cifar10", cifar).train.pixels)
    assert not (root / "cifar-10-binary.tar.gz").exists()


def test_a_damaged_archive_is_named(tmp_path):
    archive = tmp_path / "cifar-10-binary.tar.gz"
    archive.write_bytes(b"half an archive")
    with pytest.raises(DataError, match="sha256") as error:
        data.load("cifar10", tmp_path, download=True)
    assert str(archive) in str(error.value)
