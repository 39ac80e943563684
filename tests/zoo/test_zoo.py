"""The models of the zoo, one test each: `python -m pytest tests/zoo` (`make test-zoo` installs what they need)."""

import importlib.util

import pytest

from .table import MODELS, REFUSED, run

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("timm", "transformers"))), reason="make test-zoo installs timm, transformers"
)


@pytest.mark.parametrize("model", MODELS)
def test_every_layer_is_enclosed(model):
    row = run(model)
    if model in REFUSED:
        assert REFUSED[model] in row.refusal
        return
    assert not row.refusal, row.refusal
    assert not row.result.problems
    assert row.result.layers > 1
    assert row.result.ratio >= 1 - 1e-6  # widths of points are inside the box's, up to rounding
