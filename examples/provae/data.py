"""Images to learn from: scikit-learn's digits (bundled with it), MNIST and CIFAR-10 (read from a folder).

Nothing is trusted: every file is checked before it is used, and what is wrong is named together with the
file.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import tarfile
import urllib.error
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from examples.provae.errors import DataError


@dataclass(frozen=True)
class Images:
    """`(N, C, H, W)` bytes; indexing gives float32 images in [0, 1], the bytes divided by `peak`."""

    pixels: Tensor
    peak: int

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        return self.pixels[index].to(torch.float32) / self.peak

    def first(self, limit: int | None) -> Images:
        """The first `limit` images, or all of them."""
        return Images(self.pixels[:limit], self.peak)


class Splits(NamedTuple):
    """Training and test images, and what a reader of the results must know about them."""

    train: Images
    test: Images
    note: str = ""


def load(name: str, root: Path, *, download: bool = False, partial: bool = False) -> Splits:
    """Read a dataset and check it.

    Args:
        name: `"digits"`, `"mnist"` or `"cifar10"`.
        root: Folder with the files of MNIST or CIFAR-10.
        download: Fetch what is missing first, and verify it.
        partial: Accept CIFAR-10 without some of its training batches.

    Raises:
        DataError: A file is missing or damaged, or a download failed.
    """
    if name == "digits":
        return _digits()
    if download:
        (_download_mnist if name == "mnist" else _download_cifar10)(root)
    return _mnist(root) if name == "mnist" else _cifar10(root, partial)


# ---------------------------------------------------------------------------------------------- digits

DIGITS_TRAIN = 1500


def _digits() -> Splits:
    """1797 digits of 8x8 pixels (Alpaydin and Kaynak 1998), shuffled once so that the writers mix."""
    from sklearn.datasets import load_digits

    images = load_digits().images
    if images.shape != (1797, 8, 8) or images.min() < 0 or images.max() > 16:
        raise DataError(f"scikit-learn's digits have changed: shape {images.shape}; expected (1797, 8, 8), 0 to 16")
    order = np.random.RandomState(0).permutation(len(images))
    pixels = torch.from_numpy(images[order].astype(np.uint8)).unsqueeze(1)
    return Splits(Images(pixels[:DIGITS_TRAIN], 16), Images(pixels[DIGITS_TRAIN:], 16))


# ----------------------------------------------------------------------------------------------- MNIST


class IdxFile(NamedTuple):
    """One file of MNIST: number of images, and SHA-256 of the file as it is and as it is distributed."""

    name: str
    images: int
    sha256: str
    sha256_gz: str


MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MNIST_FOLDER = Path("MNIST", "raw")
MNIST_FILES = {
    "train": IdxFile(
        "train-images-idx3-ubyte",
        60_000,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    "test": IdxFile(
        "t10k-images-idx3-ubyte",
        10_000,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
}


def _mnist(root: Path) -> Splits:
    folder = root / MNIST_FOLDER
    found = {split: _plain_or_gz(folder / file.name) for split, file in MNIST_FILES.items()}
    if None in found.values():
        expected = "\n".join(
            f"  {folder / file.name}[.gz]\n    sha256 {file.sha256} (.gz: {file.sha256_gz})"
            for file in MNIST_FILES.values()
        )
        raise DataError(
            f"MNIST is not in {root}. Expected torchvision's layout (labels are not needed):\n{expected}\n"
            "Name the folder that holds MNIST/raw with --data DIR, or fetch the files with --download."
        )
    train, test = (_read_idx(path, MNIST_FILES[split]) for split, path in found.items() if path)
    return Splits(train, test)


def _plain_or_gz(path: Path) -> Path | None:
    return next((p for p in (path, path.with_name(path.name + ".gz")) if p.exists()), None)


def _read_idx(path: Path, file: IdxFile) -> Images:
    """Images in the IDX format: magic number 2051, count, height, width (big-endian), then the pixels."""
    content = _gunzip(path) if path.suffix == ".gz" else _read(path)
    if len(content) < 16:
        raise DataError(f"{path}: truncated: {len(content)} bytes, not even the header of 16")
    magic, *shape = struct.unpack(">4I", content[:16])
    if magic != 2051:
        raise DataError(f"{path}: not an IDX file of images: it starts with {magic}, expected 2051")
    if shape != [file.images, 28, 28]:
        raise DataError(f"{path}: holds images of shape {tuple(shape)}, expected {(file.images, 28, 28)}")
    if len(content) != 16 + file.images * 784:
        what = "truncated" if len(content) < 16 + file.images * 784 else "too long"
        raise DataError(f"{path}: {what}: {len(content)} bytes, expected {16 + file.images * 784}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise DataError(f"{path}: damaged or not MNIST: the images' sha256 is\n  {digest}, expected\n  {file.sha256}")
    return Images(_bytes(content)[16:].reshape(-1, 1, 28, 28), 255)


def _download_mnist(root: Path) -> None:
    for file in MNIST_FILES.values():
        path = root / MNIST_FOLDER / (file.name + ".gz")
        if _plain_or_gz(path.with_suffix("")) is None:
            _fetch(MNIST_URL + path.name, path, file.sha256_gz)


# -------------------------------------------------------------------------------------------- CIFAR-10

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
CIFAR10_FOLDER = "cifar-10-batches-bin"
CIFAR10_TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
CIFAR10_TEST = "test_batch.bin"
CIFAR10_COUNT, CIFAR10_RECORD = 10_000, 1 + 3 * 32 * 32


def _cifar10(root: Path, partial: bool) -> Splits:
    folder = root / CIFAR10_FOLDER
    missing = [name for name in (*CIFAR10_TRAIN, CIFAR10_TEST) if not (folder / name).exists()]
    train = [name for name in CIFAR10_TRAIN if name not in missing]
    if CIFAR10_TEST in missing or not train or (missing and not partial):
        size = CIFAR10_COUNT * CIFAR10_RECORD
        present = "all are missing" if len(missing) == 6 else f"missing: {', '.join(missing)}"
        hint = "" if CIFAR10_TEST in missing or not train else ", or accept the rest as it is with --partial"
        raise DataError(
            f"CIFAR-10 is not complete in {folder} ({present}).\n"
            f"Expected data_batch_1.bin to data_batch_5.bin and test_batch.bin of {size} bytes each, from\n"
            f"  {CIFAR10_URL}\n    sha256 {CIFAR10_SHA256}\n"
            f"Name the folder that holds {CIFAR10_FOLDER} with --data DIR, fetch it with --download{hint}."
        )
    pixels = torch.cat([_read_cifar10(folder / name) for name in train])
    note = ""
    if missing:
        note = f"CIFAR-10 without {', '.join(missing)}: {len(pixels)} of 50000 training images."
    return Splits(Images(pixels, 255), Images(_read_cifar10(folder / CIFAR10_TEST), 255), note)


def _read_cifar10(path: Path) -> Tensor:
    """Records of one label byte and 3072 pixel bytes: the planes R, G and B of 32x32 pixels."""
    content = _read(path)
    if len(content) != CIFAR10_COUNT * CIFAR10_RECORD:
        what = "truncated" if len(content) < CIFAR10_COUNT * CIFAR10_RECORD else "too long"
        raise DataError(f"{path}: {what}: {len(content)} bytes, expected {CIFAR10_COUNT * CIFAR10_RECORD}")
    records = _bytes(content).reshape(CIFAR10_COUNT, CIFAR10_RECORD)
    wrong = (records[:, 0] > 9).nonzero()
    if len(wrong):
        index = int(wrong[0])
        raise DataError(
            f"{path}: damaged or not CIFAR-10: record {index} has the label {int(records[index, 0])}, "
            f"expected 0 to 9 ({len(wrong)} such records)"
        )
    return records[:, 1:].reshape(-1, 3, 32, 32)


def _download_cifar10(root: Path) -> None:
    folder, archive = root / CIFAR10_FOLDER, root / "cifar-10-binary.tar.gz"
    names = [name for name in (*CIFAR10_TRAIN, CIFAR10_TEST) if not (folder / name).exists()]
    if not names:
        return
    if not archive.exists():
        _fetch(CIFAR10_URL, archive, CIFAR10_SHA256)
    elif hashlib.sha256(_read(archive)).hexdigest() != CIFAR10_SHA256:
        raise DataError(f"{archive}: damaged or not CIFAR-10: its sha256 is not {CIFAR10_SHA256}. Delete it.")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive) as tar:
            for name in names:
                member = tar.extractfile(f"{CIFAR10_FOLDER}/{name}")
                if member is None:
                    raise KeyError(f"{name} is not a file")
                part = folder / (name + ".part")
                part.write_bytes(member.read())
                part.replace(folder / name)
    except (tarfile.TarError, KeyError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{archive}: cannot be unpacked: {error}. Delete it and try again.") from error
    archive.unlink()


# ----------------------------------------------------------------------------------------------- files


def _bytes(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _gunzip(path: Path) -> bytes:
    try:
        return gzip.decompress(_read(path))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged: {error}. Delete it and fetch it again with --download.") from error


def _fetch(url: str, path: Path, sha256: str) -> None:
    """Download to a temporary file beside `path`, verify, then move: `path` is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=sha256)
    except RuntimeError as error:
        raise DataError(f"{url}: not the expected file: {error}. Nothing was kept; try again.") from error
    except (OSError, urllib.error.URLError) as error:
        raise DataError(
            f"{url}: download failed: {error}.\nFetch it another way and put it at\n  {path}\n  sha256 {sha256}"
        ) from error
