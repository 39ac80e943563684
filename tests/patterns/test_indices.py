"""Every kind of index, for reading and for writing."""

import numpy as np
import pytest
import torch

from intervaltorch import EscapeError, UndecidedError
from tests.boxes import box
from tests.patterns.check import ball, check, refuses

LONG = torch.tensor
INDICES = {
    "int": 1, "negative": -1, "numpy int": np.int64(1), "0-d": LONG(1), "slice": slice(1, None), "None": None,
    "step": slice(None, None, 2), "Ellipsis": ..., "all of them": (None, 0, ..., slice(None, 2), None), "list": [1, 0],
    "nested": [[1, 0]], "negative list": [-1, 0], "list of bools": [True, False], "range": range(2),
    "long": LONG([[1], [0]]), "int32": LONG([1, 0]).int(), "uint8": LONG([1, 0]).byte(), "bool": LONG([True, False]),
    "mask": torch.ones(2, 3).bool(), "mask and int": (LONG([True, False]), 1), "True": True, "empty": [],
    "tuple": (1, [0, 2]),
    "apart": (LONG([0, 1]), slice(None), LONG([2, 0])), "broadcast": (LONG([[0], [1]]), LONG([2, 0])),
    "None and tensor": (None, LONG([1]), ..., 0), "none left": LONG([False] * 2), "numpy": np.array([1, 0]),
    "numpy mask": np.array([False, True]), "end": (..., slice(-2, None)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("name", INDICES)
def test_every_index_that_torch_takes(name):
    X, index = ball(2, 3, 4), INDICES[name]

    def read_and_write(x):
        y = x.clone()
        y[index] = x[index] * 2
        y[index] += 1.5
        return y, x[index]

    check(read_and_write, X)


@pytest.mark.parametrize(
    "index", [2, -3, (0, 0, 0, 0), LONG([5]), slice(None, None, -1), 1.0, "a", LONG([1.0]), torch.ones(3).bool()]
)
def test_every_index_that_torch_refuses(index):
    X = ball(2, 3, 4)
    with pytest.raises(Exception) as plain:
        X.lower[index]
    with pytest.raises(type(plain.value)) as caught:
        X[index]
    assert str(caught.value).splitlines()[0] == str(plain.value).splitlines()[0]


def test_boxes_as_indices():
    X = ball(2, 3)
    yes, either = box([1.0, -2.0], [2.0, -1.0]) > 0, box([1.0, -2.0], [2.0, 1.0]) > 0
    assert X[yes].lower.equal(X.lower[:1]) and X.lower[yes].equal(X.lower[:1]) and X[yes, 1:].shape == (1, 2)
    for read in (lambda: X[either], lambda: X.lower[either], lambda: X[either, 1:], lambda: X[None, either]):
        refuses(UndecidedError, read, "an index depends on the point of the box", "torch.where")
    with pytest.raises(IndexError, match="must be long"):
        X[ball(2)]
    refuses(EscapeError, lambda: [1, 2][box(1.0, 2.0)], "Y.lower")
    refuses(EscapeError, lambda: X[: box(1.0, 2.0)], "Y.lower")
