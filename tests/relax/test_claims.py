"""Functions that are affine in some arguments, or for some arguments, are relaxed as what they are in each call."""

import pytest
import torch
import torch.nn.functional as F

from intervaltorch import IntervalTensor, bound

INDEX = torch.tensor([1, 1, 0])
CALLS = {
    "a square in a sum": lambda x, y: torch.addcmul(x, y, y),
    "a product of both": lambda x, y: torch.addcmul(x, x, y),
    "a weight that is an end": lambda x, y: torch.lerp(x, y, x),
    "a weight": lambda x, y: torch.lerp(x, x + 1, y),
    "places and values": lambda x, y: torch.trapezoid(y, x),
    "a floor of a quotient": lambda x, y: torch.div(x, 0.25, rounding_mode="floor") + y,
    "a truncated quotient": lambda x, y: torch.div(x, 0.25, rounding_mode="trunc") + y,
    "values at one place": lambda x, y: torch.index_put(x, (INDEX,), y),
    "a padding row": lambda x, y: F.embedding(INDEX, x.reshape(-1, 1), padding_idx=1)[:, 0] * y,
    "a choice by a mask": lambda x, y: torch.where(torch.tensor([True, False, True]), x, y),
    "a power of a number": lambda x, y: torch.pow(2.0, x - y),
    "a number to a power": lambda x, y: 2.0 ** (x * y),
    "a tangent": lambda x, y: torch.tan(x) - y,
    "a logit that is cut": lambda x, y: torch.logit((x + 2) / 4, eps=0.4) * y,
    "a batch norm in evaluation": lambda x, y: F.batch_norm(
        torch.stack([x, y]), torch.ones(3).double(), torch.ones(3).double() * 2
    ),
    "a value of attention": lambda x, y: F.scaled_dot_product_attention(
        torch.ones(2, 1).double(), torch.ones(3, 1).double(), torch.stack([x, y], -1)
    ),
    "a solution": lambda x, y: torch.linalg.solve(torch.eye(3).double() + 0.1, x - y),
    "a shrunk number": lambda x, y: F.softshrink(x, 0.25) - x + y,
}


@pytest.mark.parametrize("method", ["crown-ibp", "crown"])
@pytest.mark.parametrize("name", CALLS)
def test_holds_sampled_points(name, method):
    function = CALLS[name]
    generator = torch.Generator().manual_seed(0)
    lower = 2 * torch.rand(2, 3, generator=generator, dtype=torch.float64) - 1
    upper = lower + torch.tensor([[0.7], [0.6]])
    found = bound(function, *(IntervalTensor(a, b) for a, b in zip(lower, upper)), method=method)
    for _ in range(400):
        t = torch.rand(2, 3, generator=generator, dtype=torch.float64)
        t = t.round() if torch.rand(1, generator=generator) < 0.5 else t
        value = function(*(lower + t * (upper - lower)))
        room = 1e-12 * (1 + value.abs())
        assert bool(((found.lower - room <= value) & (value <= found.upper + room)).all()), value


def test_dropout_in_training_keeps_the_mask_of_its_rule():
    """The rule draws one mask; another draw is another function."""
    x = IntervalTensor(torch.ones(200), torch.full((200,), 2.0))
    found = bound(lambda x: F.dropout(x, 0.5), x, method="crown-ibp")
    kept = found.upper > 0
    assert 50 < int(kept.sum()) < 150
    assert torch.equal(found.lower, torch.where(kept, 2.0, 0.0)) and torch.equal(found.upper, 2 * found.lower)


@pytest.mark.parametrize(
    ("function", "exact"),
    [
        (lambda x: F.batch_norm(x, torch.zeros(4), torch.ones(4)) - x, 1e-4),
        (lambda x: torch.linalg.solve(torch.eye(4) * 2, x.T).T - x / 2, 1e-6),
        (lambda x: torch.where(x.lower > 9, x * 3, x) - x, 1e-6),
    ],
)
def test_affine_calls_lose_nothing(function, exact):
    x = IntervalTensor.from_ball(torch.rand(3, 4), 0.5)
    assert bound(function, x, method="crown-ibp").width.max() < exact
