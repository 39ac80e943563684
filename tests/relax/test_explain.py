"""Where bounds are lost: shares, modules, and bounds of layers by linear relaxations."""

import itertools

import pytest
import torch
from torch import nn

from intervaltorch import IntervalTensor, bound, explain, layer_bounds


class Signs(nn.Module):
    def forward(self, x):
        return x + torch.sign(x)


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), Signs(), nn.LayerNorm(8), nn.Linear(8, 2)).double()


def ball(radius=0.2):
    return IntervalTensor.from_ball(torch.rand(4, 3, generator=torch.Generator().manual_seed(0)).double(), radius)


@pytest.mark.parametrize("method", ["crown-ibp", "crown"])
def test_shares_add_up_and_name_what_is_known_by_its_box(method):
    rows = explain(model(), ball(), method=method)
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert all(first.share >= second.share for first, second in itertools.pairwise(rows))
    boxes = {row.operation: row for row in rows if row.how == "box"}
    assert set(boxes) == {"input", "sign"}
    assert boxes["sign"].module == "2 (Signs)" and boxes["sign"].entries == 32
    assert any(row.operation.startswith("layer_norm ") and row.module == "3 (LayerNorm)" for row in rows)
    assert "2 (Signs)" in str(rows) and "NaN" not in str(rows)


def test_an_affine_model_loses_nothing():
    rows = explain(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), IntervalTensor(torch.zeros(3), torch.ones(3)))
    assert rows[0].operation == "input" and rows[0].share == pytest.approx(1, abs=1e-5)


def test_intervals_keep_no_account():
    with pytest.raises(ValueError, match="crown"):
        explain(nn.ReLU(), ball(), method="ibp")


def test_layer_bounds_by_relaxations():
    network, x = model(), ball()
    wide, tight = layer_bounds(network, x), layer_bounds(network, x, method="crown")
    assert list(wide) == list(tight)
    for name in wide:
        assert type(tight[name]) is IntervalTensor
        assert bool((tight[name].lower >= wide[name].lower).all()) and bool(
            (tight[name].upper <= wide[name].upper).all()
        )
    assert tight[""].width.mean() < 0.9 * wide[""].width.mean()
    torch.testing.assert_close(tight[""].lower, bound(network, x, method="crown").lower)
