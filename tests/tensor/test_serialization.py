"""Copies, files and processes."""

import base64
import copy
import io
import pickle
import zlib

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate

from intervaltorch import IntervalTensor
from tests.boxes import ball


def assert_same(X, Y):
    assert type(X) is type(Y) is IntervalTensor
    assert X.dtype == Y.dtype
    assert X.lower.equal(Y.lower)
    assert X.upper.equal(Y.upper)


def saved_and_loaded(value, **arguments):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=True, **arguments)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "torch.save": saved_and_loaded,
    "clone": lambda x: x.detach().clone().requires_grad_(x.requires_grad),
}


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("shape", [(), (2, 3), (0, 3)], ids=str)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_copies_are_equal_and_apart(make_copy, shape, requires_grad):
    X = ball(*shape).double().requires_grad_(requires_grad)
    Y = make_copy(X)
    assert_same(X, Y)
    assert Y.requires_grad == requires_grad
    if X.numel():
        before = X.detach().clone()
        with torch.no_grad():
            Y += 1
        assert_same(X.detach(), before)


def test_boolean_boxes_and_containers_are_saved():
    state = {"x": ball(2), "mask": ball(3) > 0, "list": [ball(1), 2.0]}
    loaded = saved_and_loaded(state)
    assert_same(state["x"], loaded["x"])
    assert_same(state["mask"], loaded["mask"])
    assert_same(state["list"][0], loaded["list"][0])


def test_loading_maps_devices():
    assert saved_and_loaded(ball(2), map_location="meta").device.type == "meta"


def test_a_deep_copy_keeps_shared_boxes_shared():
    x = ball(2)
    first, second = copy.deepcopy([x, x])
    assert first is second
    assert first is not x


def test_non_leaves_are_not_deep_copied():
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(ball(2).requires_grad_() * 2)


def test_a_module_with_interval_parameters_and_buffers():
    layer = nn.Linear(3, 2)
    layer.weight = nn.Parameter(ball(2, 3))
    layer.register_buffer("offset", ball(2))
    twin = copy.deepcopy(layer)
    assert isinstance(twin.weight, nn.Parameter)
    assert twin.weight is not layer.weight
    state = saved_and_loaded(layer.state_dict())
    assert_same(state["offset"], layer.offset)
    twin.offset.zero_()
    twin.load_state_dict(state)
    assert_same(twin.offset, layer.offset)
    assert twin.double().offset.dtype == torch.float64


class Balls(Dataset):
    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return {"x": IntervalTensor.from_ball(self.data[index], 0.5), "label": index}


@pytest.mark.parametrize("workers", [0, 2])
def test_loaders_collate_boxes(workers):
    data = torch.randn(5, 2, 3)
    batches = list(DataLoader(Balls(data), batch_size=2, num_workers=workers))
    assert [batch["x"].shape[0] for batch in batches] == [2, 2, 1]
    assert_same(torch.cat([batch["x"] for batch in batches]), IntervalTensor.from_ball(data, 0.5))
    assert torch.cat([batch["label"] for batch in batches]).tolist() == list(range(5))


def test_datasets_of_boxes():
    X = ball(4, 3)
    batch, labels = next(iter(DataLoader(TensorDataset(X, torch.arange(4)), batch_size=3)))
    assert_same(batch, X[:3])
    assert labels.tolist() == [0, 1, 2]
    assert_same(default_collate([(X[0], 1), (X[1], 2)])[0], X[:2])


def test_shared_memory():
    X = ball(3).share_memory_()
    assert X.is_shared()
    assert X.upper.is_shared()


SAVED_BY_0_1_0 = """
    eNptUU1PwkAQbZcCugrid7x5xAtRPgROcjBcGr/qZS+mqWVDazZdZrslakLChSj+Bn+Af82fYOLBqRDCgclkk3nz5r3J7Jh8UPH7
    2f05fvq6PaqMydV3Bt8RGGVWMgxjoKSWvhTukKs4lBGYSGAF7IhQa8FdHvVCLwLyziiC+mXA3Th85TFkRmCVWRbBOJBKQ9YmLINV
    GGnI2RazUg0Z9SFvW0ky82Qmgs9g+kjiaugJLZUfVFzNo1gq6ir+mISiR4H4806iQxEvGnOiO6xSyJTLLJ+6I9Prc7BmI7QrpKfv
    ZyCFLCsip11vnNebtdNWrVFvtSD3v6g/SHA3cq1h7c42bDKBdducAJ36eA/BfY3niOmN6nHFe5ehrylsnDiwqaHgQDFA/8AKlvWr
    7UazWTurwlYw0y3NdbdT3Z1pkI7vathzYH/6BgcOHMZ4l4f0L1aomKtWJ7xCjEV0MDtLNcb44g8ZYYYQ
"""


def test_files_written_before_are_loaded():
    """By `torch.save` of version 0.1.0, when the class lived in another file."""
    data = zlib.decompress(base64.b64decode(SAVED_BY_0_1_0))
    box = torch.load(io.BytesIO(data), weights_only=True)["x"]
    assert box.lower.tolist() == [0.0, 1.0] and box.upper.tolist() == [2.0, 3.0]
