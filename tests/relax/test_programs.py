"""Programs of every shape: relaxed bounds contain what sampled points reach, and are no wider than intervals."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from intervaltorch import IntervalTensor, bound
from intervaltorch.testing._trees import flatten

METHODS = ("crown-ibp", "crown")


def ball(*shape, radius=0.05, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return IntervalTensor.from_ball(torch.rand(*shape, generator=generator, dtype=torch.float64), radius)


def boxes(result):
    return [x for x in flatten(result)[0] if isinstance(x, IntervalTensor)]


def points(box, count):
    generator = torch.Generator().manual_seed(1)
    for position in range(count):
        t = torch.rand(box.shape, generator=generator, dtype=box.dtype)
        yield box.lower + (t.round() if position % 2 else t) * (box.upper - box.lower)


def assert_relaxed(function, *inputs, method="crown", count=200, gains=True):
    """Sound, met with intervals, and somewhere tighter than they are."""
    torch.manual_seed(0)
    plain = boxes(bound(function, *inputs))
    found = boxes(bound(function, *inputs, method=method))
    assert len(plain) == len(found) > 0
    for wide, tight in zip(plain, found, strict=True):
        assert tight.shape == wide.shape and tight.dtype == wide.dtype
        assert bool((tight.lower >= wide.lower).all()) and bool((tight.upper <= wide.upper).all())
    for chosen in zip(*(points(x, count) for x in inputs), strict=True):
        values = [x for x in flatten(function(*chosen))[0] if x.dtype.is_floating_point]
        for tight, value in zip(found, values, strict=True):
            room = 1e-12 * (1 + value.abs())
            outside = (value < tight.lower - room) | (value > tight.upper + room)
            assert not bool(outside.any()), (value - tight.upper).max().item()
    if gains:
        ratio = sum((t.width.sum() / w.width.sum()).item() for t, w in zip(found, plain, strict=True)) / len(found)
        assert ratio < 0.95, f"the bounds are {ratio:.3f} times as wide as those of intervals"
    return found


def layers(*sizes):
    torch.manual_seed(len(sizes))
    return [nn.Linear(a, b, dtype=torch.float64) for a, b in itertools.pairwise(sizes)]


# --- against other ways to compute the same ---------------------------------------------------------------------------


def crown_by_hand(weights, *box):
    """CROWN (Zhang et al. 2018, theorem 3.2) of a ReLU network for one input, met with intervals at each layer."""
    bounds = [box]
    for depth in range(1, len(weights) + 1):
        sides = []
        for sign in (1, -1):
            matrix, constant = sign * np.eye(weights[depth - 1][0].shape[0]), 0.0
            for index in reversed(range(depth)):
                w, b = weights[index]
                constant, matrix = constant + matrix @ b, matrix @ w
                if index:
                    l, u = bounds[index]
                    unstable = (l < 0) & (u > 0)
                    above = np.where(l >= 0, 1.0, np.where(unstable, u / np.where(unstable, u - l, 1.0), 0.0))
                    below = np.where(l >= 0, 1.0, np.where(unstable & (u > -l), 1.0, 0.0))
                    offset = np.where(unstable, -l * above, 0.0)
                    constant = constant + np.minimum(matrix, 0) @ offset
                    matrix = np.maximum(matrix, 0) * below + np.minimum(matrix, 0) * above
            sides.append(constant + np.maximum(matrix, 0) @ box[0] + np.minimum(matrix, 0) @ box[1])
        w, b = weights[depth - 1]
        before = bounds[-1] if depth == 1 else tuple(np.maximum(end, 0) for end in bounds[-1])
        centre, radius = w @ (before[0] + before[1]) / 2 + b, np.abs(w) @ (before[1] - before[0]) / 2
        lower, upper = centre - radius, centre + radius
        tight = (lower < 0) & (upper > 0) if depth < len(weights) else True  # others need no lines
        bounds.append(
            (np.where(tight, np.maximum(sides[0], lower), lower), np.where(tight, np.minimum(-sides[1], upper), upper))
        )
    return bounds[-1]


@pytest.mark.parametrize("sizes", [(3, 5, 2), (4, 8, 8, 3), (2, 16, 16, 16, 1)])
def test_equals_crown_written_out(sizes):
    linears = layers(*sizes)
    model = nn.Sequential(*[m for linear in linears for m in (linear, nn.ReLU())][:-1])
    x = ball(3, sizes[0], radius=0.3)
    found = bound(model, x, method="crown")
    weights = [(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in linears]
    for row in range(3):
        lower, upper = crown_by_hand(weights, x.lower[row].numpy(), x.upper[row].numpy())
        np.testing.assert_allclose(found.lower[row].detach().numpy(), lower, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.upper[row].detach().numpy(), upper, rtol=1e-9, atol=1e-12)


def test_methods_are_ordered():
    first, second, third = layers(6, 24, 24, 3)
    model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)
    x = ball(5, 6, radius=0.1)
    widths = [bound(model, x, method=m).width.mean().item() for m in ("ibp", "crown-ibp", "crown", "alpha-crown")]
    assert all(a > b for a, b in itertools.pairwise(widths)), widths


def test_linear_programs_are_exact():
    """x - x is 0, and a chain of affine maps is one affine map."""
    x = ball(3, 4)
    assert bool((bound(lambda x: x - x, x, method="crown-ibp").width < 1e-14).all())
    first, second = layers(4, 7, 2)
    found = bound(nn.Sequential(first, second), x, method="crown-ibp")
    weight = second.weight @ first.weight
    torch.testing.assert_close(found.width, x.width @ weight.abs().T)


# --- batches ----------------------------------------------------------------------------------------------------------


def _mixed_by_mean(x):
    h = torch.relu(x @ torch.linspace(-1, 1, 20, dtype=x.dtype).reshape(4, 5))
    return h - h.mean(0)


def _contrastive(x):
    h = torch.tanh(x[:, :2] - x[:, 2:])
    return (h @ h.T).logsumexp(1)


def _flipped(x):
    return torch.relu(x - 0.5) + torch.relu(x.flip(0) - 0.4)


def _folded(x):
    """Codes of shape (K, B, J), flattened to (K B, J) and back, as variational autoencoders draw them."""
    noise = torch.linspace(-1, 1, 2 * x.shape[0] * 4, dtype=x.dtype).reshape(2, x.shape[0], 4)
    z = x + 0.1 * noise * torch.exp(x)
    y = torch.relu(z.reshape(-1, 4) - 0.5) - z.reshape(-1, 4)
    return y.reshape(2, -1, 4).sum(-1).mean(0)


def _heads(x):
    """Heads folded into the batch."""
    b = x.shape[0]
    y = torch.tanh(x.reshape(b, 2, 2).transpose(1, 2).reshape(2 * b, 2))
    return (y - y.mean(-1, keepdim=True)).reshape(b, 4)


def _time_first(x):
    state = torch.zeros_like(x[:, 0])
    for step in x.T:
        state = torch.tanh(0.5 * state + step) - 0.3 * state
    return state


def _own_statistics(x):
    return torch.relu(F.batch_norm(x, None, None, training=True))


def _running_sum(x):
    return torch.relu(x.cumsum(0) - 1.0) - x.cumsum(0)


def _rolled(x):
    return torch.sigmoid(x) * torch.roll(x, 1, 0)


def _swapped_sizes(x):
    """A square batch, in which dimension 1 is as long as the batch."""
    y = torch.relu(x - 0.5)
    return y - y.T


BATCHES = (
    _mixed_by_mean, _contrastive, _flipped, _folded, _heads, _time_first, _own_statistics, _running_sum, _rolled,
    _swapped_sizes,
)  # fmt: skip


@pytest.mark.parametrize("function", BATCHES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("method", METHODS)
def test_batches(function, method):
    assert_relaxed(function, ball(4, 4, radius=0.1), method=method, gains=False)


@pytest.mark.parametrize("function", [_folded, _heads, _time_first], ids=lambda f: f.__name__)
def test_samples_that_stay_apart_are_bounded_as_if_alone(function):
    x = ball(4, 4, radius=0.1)
    together = bound(function, x, method="crown")
    if function is _folded:  # its noise depends on the size of the batch
        return
    for row in range(4):
        alone = bound(function, x[row : row + 1], method="crown")
        torch.testing.assert_close(together.lower[row], alone.lower[0])
        torch.testing.assert_close(together.upper[row], alone.upper[0])


def test_interval_weights_are_shared_by_all_samples():
    weight = IntervalTensor.from_ball(torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4), 0.05)
    assert_relaxed(lambda x, w: torch.relu(F.linear(x, w)) - F.linear(x, w).mean(0), ball(4, 4), weight, gains=False)


def test_several_inputs():
    x, y = ball(3, 4), ball(3, 4, seed=2)
    assert_relaxed(lambda x, y: torch.relu(x - y) + y - x, x, y)


# --- ways to write a program ------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Output:
    logits: torch.Tensor
    features: torch.Tensor


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = layers(4, 8, 4)

    def forward(self, x):
        h = F.relu(self.first(x), inplace=True)
        x = x + 0
        x += self.second(h)
        x -= 0.5 * torch.tanh(x)
        return x


class Returns(Residual):
    def forward(self, x):
        h = torch.relu(self.first(x))
        return {"out": Output(self.second(h) - x, h), "pair": (h, [x * 2 - x])}


class Buffered(Residual):
    def forward(self, x):
        y = torch.zeros_like(x)
        for column in range(4):
            y[:, column] = torch.relu(x[:, column] - 0.4)
        y[:, 1:3] += x[:, 1:3]
        y[:, 0].mul_(2)
        return y - x


class Checkpointed(Residual):
    def forward(self, x):
        return checkpoint(super().forward, x, use_reentrant=False) - x


class Detached(Residual):
    def forward(self, x):
        return self.second(torch.relu(self.first(x)).detach()) - x.detach().clone()


class Branches(Residual):
    def forward(self, x):
        if (x.sum() > -100).item():
            x = self.second(torch.relu(self.first(x)))
        return torch.where(x > -100, x, -x) - x


@pytest.mark.parametrize("kind", [Residual, Returns, Buffered, Checkpointed, Detached, Branches])
@pytest.mark.parametrize("method", METHODS)
def test_programs(kind, method):
    torch.manual_seed(0)
    model = kind()
    assert_relaxed(model, ball(3, 4, radius=0.1), method=method, gains=kind is not Returns)
    with torch.no_grad():
        assert_relaxed(model, ball(3, 4, radius=0.1), method=method, gains=False)


def test_what_is_written_through_a_view_is_not_missed():
    """A node describes values that a later write replaces."""

    def function(x):
        y = torch.relu(x)
        view = y[:, 0]
        z = y * 1.0
        view.add_(10.0)  # y has changed, z has not
        return y.sum(1) + z.sum(1)

    assert_relaxed(function, ball(3, 4), gains=False)


def test_gradients_reach_parameters_and_inputs():
    model = Residual()
    x = torch.rand(2, 4, dtype=torch.float64)

    def bounds(x, *parameters):
        names = [name for name, _ in model.named_parameters()]

        def run(x):
            return torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), (x,))

        found = bound(run, IntervalTensor(x - 0.1, x + 0.1), method="crown-ibp")
        return found.lower, found.upper

    parameters = [p.detach().clone().requires_grad_() for p in model.parameters()]
    assert torch.autograd.gradcheck(bounds, (x.requires_grad_(), *parameters), fast_mode=True)


def test_unknown_methods_are_refused():
    with pytest.raises(ValueError, match="crwn"):
        bound(nn.ReLU(), ball(2), method="crwn")


# --- functions whose derivative by torch is not that of what ran ------------------------------------------------------


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("drop", [F.dropout, F.dropout1d])
@pytest.mark.filterwarnings("ignore::intervaltorch.RandomnessWarning")
def test_a_mask_of_dropout_is_drawn_once(drop, training, p):
    X = IntervalTensor(torch.ones(2, 3, 8), 2 * torch.ones(2, 3, 8))
    found = []
    for method in ("ibp", "crown"):
        torch.manual_seed(0)
        found.append(bound(lambda x: drop(x, p, training) * 1.0, X, method=method))
    assert torch.allclose(found[0].lower, found[1].lower) and torch.allclose(found[0].upper, found[1].upper)


@pytest.mark.parametrize("options", [{}, {"padding_idx": 0}, {"scale_grad_by_freq": True}])
def test_embeddings_count_what_torch_does_not_differentiate(options):
    weight = IntervalTensor.from_ball(torch.ones(4, 2), 0.5)
    index = torch.tensor([0, 1, 1])
    found = bound(lambda w: F.embedding(index, w, **options) * 1.0, weight, method="crown")
    assert torch.allclose(found.lower, torch.full((3, 2), 0.5)) and torch.allclose(found.upper, torch.full((3, 2), 1.5))


def test_lerp_by_a_varying_weight_is_a_sum_of_products():
    start, weight = IntervalTensor([[-1.0]], [[1.0]]), IntervalTensor([[0.0]], [[2.0]])
    assert_relaxed(lambda s, w: torch.lerp(s, torch.zeros(1, 1).to(s.dtype), w), start, weight, gains=False)
