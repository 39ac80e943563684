"""What torch takes a function apart into must be that function: fallbacks are only as sound as its decompositions.

Some are not, and their functions have rules instead; this finds those that no rule covers.
"""

import itertools

import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._python_dispatch import TorchDispatchMode

from intervaltorch import _compat
from intervaltorch._records.registry import OPS
from intervaltorch.testing._trees import flatten

RANDOM = {"randn", "rand", "bernoulli", "normal", "empty_strided"}
LETTERS = sorted({op.name[0] for op in op_db})


class Compare(TorchDispatchMode):
    """Runs each call of a kernel that has no rule by torch's decomposition as well."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        value = function(*args, **kwargs)
        name = function.overloadpacket.__name__
        taken_apart = None if function.overloadpacket in OPS or name.endswith("_") else _compat.decomposition(function)
        if taken_apart is not None and name not in RANDOM:
            try:
                same = taken_apart(*args, **kwargs)
            except (RuntimeError, NotImplementedError, TypeError, ValueError):
                return value  # the fallback refuses
            if same is not NotImplemented:
                for result, expected in zip(flatten(same)[0], flatten(value)[0], strict=True):
                    torch.testing.assert_close(
                        result.double(), expected.double(), equal_nan=True, msg=f"{function} is taken apart wrongly"
                    )
        return value


def sampled(op):
    return torch.float64 in op.dtypes and not op.name.startswith(("jiterator", "linalg", "fft"))


@pytest.mark.parametrize("letter", LETTERS)
@pytest.mark.filterwarnings("ignore")
def test_decompositions_are_the_function(letter):
    for op in op_db:
        if op.name[0] != letter or not sampled(op):
            continue
        torch.manual_seed(0)
        for sample in itertools.islice(op.sample_inputs("cpu", torch.float64, requires_grad=False), 12):
            with Compare():
                try:
                    op.op(sample.input, *sample.args, **sample.kwargs)
                except (RuntimeError, NotImplementedError, ValueError):
                    continue


@pytest.mark.skipif(not torch.__version__.startswith("2.13."), reason="later versions of torch take it apart rightly")
def test_a_wrong_one_is_found(monkeypatch):
    """Torch's own for this loss counts labels after the first -1."""
    loss = torch.ops.aten.multilabel_margin_loss_forward
    x, labels = torch.randn(2, 4), torch.tensor([[1, 2, -1, -1], [3, -1, -1, -1]])
    assert loss in OPS
    monkeypatch.delitem(OPS, loss)
    with pytest.raises(AssertionError, match="taken apart wrongly"), Compare():
        loss(x, labels, 0)
