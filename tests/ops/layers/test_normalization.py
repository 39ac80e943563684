"""Normalisation and dropout."""

import math
from functools import partial

import mpmath
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import intervaltorch as it
from intervaltorch import IntervalTensor, UnsupportedOpError
from intervaltorch.testing import assert_encloses, check_op, check_sound, sample_points
from tests.boxes import seeded_box

inf = math.inf


boxes = partial(seeded_box, radius=0.5)


def parameters(x, n):
    """A weight with both signs and a bias, of the dtype of x."""
    steps = torch.arange(n, dtype=x.dtype) / 4  # the same numbers in every dtype
    return 2 * steps - 1, steps


def affine(x):
    return parameters(x, x.shape[1])


NORMS = {
    "layer_norm": lambda x: F.layer_norm(x, x.shape[2:]),
    "layer_norm over two dims": lambda x: F.layer_norm(x, x.shape[1:], eps=0.1),
    "layer_norm with parameters": lambda x: torch.layer_norm(x, x.shape[2:], *parameters(x, x.shape[2])),
    "native_layer_norm": lambda x: torch.native_layer_norm(x, x.shape[2:], *parameters(x, x.shape[2]), 1e-5),
    "group_norm": lambda x: F.group_norm(x, 2, *affine(x)),
    "native_group_norm": lambda x: torch.native_group_norm(x, *affine(x), x.shape[0], x.shape[1], x.shape[2], 2, 1e-5),
    "instance_norm": lambda x: F.instance_norm(x),
    "instance_norm with parameters": lambda x: F.instance_norm(x, weight=affine(x)[0], bias=affine(x)[1]),
    "instance_norm with statistics": lambda x: F.instance_norm(
        x, affine(x)[1], affine(x)[1] + 1, use_input_stats=False
    ),
    "batch_norm": lambda x: F.batch_norm(x, affine(x)[0], affine(x)[1] + 0.125),
    "batch_norm with parameters": lambda x: F.batch_norm(x, affine(x)[0], affine(x)[1] + 0.125, *affine(x)),
    "torch.batch_norm": lambda x: torch.batch_norm(
        x, *affine(x), affine(x)[0], affine(x)[1] + 0.125, False, 0.1, 1e-5, True
    ),
    "batch_norm without statistics": lambda x: F.batch_norm(x, None, None, *affine(x), training=True),
    "rms_norm": lambda x: F.rms_norm(x, x.shape[2:], eps=1e-5),
    "rms_norm with weight": lambda x: F.rms_norm(x, x.shape[1:], torch.ones(x.shape[1:], dtype=x.dtype) * -2, 0.1),
    "normalize": lambda x: F.normalize(x, dim=-1),
    "normalize, p=1": lambda x: F.normalize(x, p=1.0),
    "normalize, largest": lambda x: F.normalize(x, p=inf, dim=2),
    "normalize, two dims": lambda x: F.normalize(x, dim=(1, 2)),
}
HULLS = [
    "instance_norm with statistics",
    "batch_norm",
    "batch_norm with parameters",
    "torch.batch_norm",
    "rms_norm",
    "rms_norm with weight",
    "normalize",
    "normalize, p=1",
]


@pytest.mark.parametrize("radius", [1e-4, 0.3, 3.0])
@pytest.mark.parametrize("name", NORMS)
def test_rules_keep_their_contract(name, radius):
    check_op(NORMS[name], boxes(2, 4, 5, radius=radius))


def extreme(function, box, position, sign):
    """The largest (sign 1) or smallest value of one output: corners, and sign-gradient ascent from inside."""
    ends = torch.stack([box.lower, box.upper], -1).reshape(-1, 2)
    x = torch.cat([torch.cartesian_prod(*ends), *(sample_points(box, 100).reshape(1, 100, -1))])
    step = 0.3
    best = -inf
    for _ in range(300):
        x = x.detach().requires_grad_()
        values = sign * function(x.reshape(-1, *box.shape[1:])).reshape(len(x), -1)[:, position]
        best = max(best, values.max().item())
        (gradient,) = torch.autograd.grad(values.sum(), x)
        x = x.detach() + step * (ends[:, 1] - ends[:, 0]) * gradient.sign()
        x = torch.minimum(torch.maximum(x, ends[:, 0]), ends[:, 1])
        step *= 0.98
    return sign * best


@pytest.mark.parametrize("radius", [0.05, 1.0])
@pytest.mark.parametrize("name", HULLS)
def test_hulls(name, radius):
    X = boxes(1, 2, 3, radius=radius).double()
    Y = NORMS[name](X)
    for position in range(0, Y.numel(), 2):
        low, high = (extreme(NORMS[name], X, position, sign) for sign in (-1, 1))
        assert Y.upper.flatten()[position].item() == pytest.approx(high, rel=1e-3, abs=1e-4)
        assert Y.lower.flatten()[position].item() == pytest.approx(low, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("radius", [0.02, 0.2, 2.0])
def test_layer_norm_is_tighter_than_its_parts(radius):
    """The joint rule against the composition of mean, variance, root and quotient."""
    X = boxes(20, 16, radius=radius)
    Y = F.layer_norm(X, (16,))
    parts = (X - X.mean(1, keepdim=True)) / torch.sqrt(X.var(1, correction=0, keepdim=True) + 1e-5)
    assert (Y.width <= parts.width * (1 + 1e-5)).all()
    assert Y.width.mean() < 0.98 * parts.width.mean()
    check_sound(lambda x: F.layer_norm(x, (16,)), X, samples=500)
    low, high = F.layer_norm(sample_points(X, 500), (16,)).aminmax(dim=0)
    if radius <= 0.2:
        assert Y.width.mean() < 2 * (high - low).mean()


def test_images():
    for seed in range(20):
        wide = boxes(3, 4, radius=5.0, seed=seed)
        assert F.layer_norm(wide, (4,), eps=1.0).magnitude.max() <= math.sqrt(3)
        assert F.rms_norm(wide, (4,)).magnitude.max() <= 2
        assert F.normalize(wide).magnitude.max() <= 1
    assert F.layer_norm(boxes(3, 1), (1,)).magnitude.max() == 0


def test_rms_norm_reaches_its_limit():
    X = IntervalTensor(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.5, 0.5, 0.5]]))
    for mode in ("nearest", "outward"):
        with it.rounding(mode):
            assert F.rms_norm(X, (4,)).upper[0, 0] == pytest.approx(2.0, rel=1e-5)


def test_a_shift_of_all_entries_costs_no_digits():
    x = torch.randn(3, 8)
    with it.rounding("outward"):
        Y = F.layer_norm(IntervalTensor.point(x + 1000), (8,))
    assert_encloses(Y, F.layer_norm((x + 1000).double(), (8,)))
    assert Y.width.max() < 1e-4


@pytest.mark.parametrize("name", NORMS)
def test_infinite_boxes_give_no_nan(name):
    lower, upper = boxes(2, 4, 5).lower.clone(), boxes(2, 4, 5).upper.clone()
    lower[0, 0, 0], upper[0, 0, 0], upper[1, 2, 3], lower[1, 1, 1] = -inf, inf, inf, -inf
    X = IntervalTensor(lower, upper)
    finite = IntervalTensor(lower.clamp(min=-50), upper.clamp(max=50))
    for mode in ("nearest", "outward"):
        with it.rounding(mode):
            results = NORMS[name](X)
        for position, Y in enumerate(results if isinstance(results, tuple) else [results]):
            assert (Y.lower <= Y.upper).all()
            if mode == "outward":
                for x in sample_points(finite, 20):
                    value = NORMS[name](x.double())
                    assert_encloses(Y, value[position] if isinstance(value, tuple) else value)


@pytest.mark.parametrize("scale", [1e-25, 1e25])
@pytest.mark.parametrize("name", ["normalize", "normalize, p=1", "rms_norm", "layer_norm"])
def test_squares_that_underflow_or_overflow(name, scale):
    X = boxes(2, 3, 4)
    X = IntervalTensor(X.lower * scale, X.upper * scale)
    with it.rounding("outward"):
        Y = NORMS[name](X)
    for x in sample_points(X, 50):
        assert_encloses(Y, NORMS[name](x.double()))


def test_zero_vectors_have_finite_gradients():
    for function in (F.normalize, lambda x: F.rms_norm(x, (3,)), lambda x: F.layer_norm(x, (3,))):
        lower, upper = torch.zeros(2, 3, requires_grad=True), torch.tensor([[0.0] * 3, [1.0] * 3], requires_grad=True)
        Y = function(IntervalTensor(lower, upper))
        (Y.lower.sum() + Y.upper.sum()).backward()
        assert lower.grad.isfinite().all()
        assert upper.grad.isfinite().all()


@pytest.mark.parametrize("module", [nn.BatchNorm1d(4), nn.InstanceNorm1d(4, track_running_stats=True)])
def test_batch_statistics_are_refused(module):
    with pytest.raises(UnsupportedOpError, match=r"model\.eval\(\)"):
        module.train()(boxes(2, 4, 5))
    check_op(lambda x: module.eval().to(x.dtype)(x), boxes(2, 4, 5))


@pytest.mark.parametrize("module", [nn.BatchNorm1d(4), nn.InstanceNorm1d(4, track_running_stats=True)])
def test_without_momentum_the_batch_normalises_itself(module):
    """In training mode; the running statistics keep their values."""
    module.train().momentum = 0.0
    module.running_mean.fill_(0.5)
    check_op(lambda x: module.to(x.dtype)(x), boxes(2, 4, 5))
    assert (module.running_mean == 0.5).all() and (module.running_var == 1).all()


def test_one_value_to_a_statistic_is_an_error():
    for module, x in ((nn.BatchNorm1d(4, momentum=0.0), boxes(1, 4)), (nn.InstanceNorm1d(4), boxes(2, 4, 1))):
        for argument in (x, x.lower):
            with pytest.raises(ValueError, match="Expected more than 1"):
                module(argument)


@pytest.mark.parametrize(
    "module",
    [nn.LayerNorm(5), nn.GroupNorm(2, 4), nn.InstanceNorm1d(4, affine=True), nn.RMSNorm(5), nn.BatchNorm1d(4).eval()],
)
def test_gradients_of_parameters(module):
    module = module.double()
    X = boxes(2, 4, 5).double()
    names, values = zip(*module.named_parameters())

    def bounds(*values):
        Y = torch.func.functional_call(module, dict(zip(names, values)), (X,))
        return Y.lower, Y.upper

    moved = [(value + 0.5).detach().requires_grad_() for value in values]
    assert torch.autograd.gradcheck(bounds, moved)


def test_interval_parameters():
    module = nn.BatchNorm1d(4).eval()
    weights = [boxes(4, seed=i) for i in range(2)]
    wide = nn.BatchNorm1d(4).eval().double()

    def call(x, weight, bias):
        chosen = wide if x.dtype is torch.float64 else module
        return torch.func.functional_call(chosen, {"weight": weight, "bias": bias}, (x,))

    check_sound(call, boxes(2, 4, 5), *weights, samples=20)


# --- dropout ----------------------------------------------------------------------------------------------------------

DROPOUTS = {
    "dropout": F.dropout, "dropout1d": F.dropout1d, "alpha_dropout": F.alpha_dropout,
    "feature_alpha_dropout": F.feature_alpha_dropout,
    "torch.dropout": lambda x, p, training: torch.dropout(x, p, training),
}  # fmt: skip


@pytest.mark.parametrize("p", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("name", DROPOUTS)
def test_one_mask_for_both_bounds(name, p):
    X = boxes(3, 4, 5)

    def call(x):
        torch.manual_seed(1)
        return DROPOUTS[name](x, p, training=True)

    check_sound(call, X)
    Y = call(X)
    assert (Y.width <= X.width / max(1 - p, 1e-3) * (1 + 1e-5) + 1e-6).all()


@pytest.mark.parametrize("name", DROPOUTS)
def test_dropout_in_inference_is_the_identity(name):
    X = boxes(3, 4, 5)
    Y = DROPOUTS[name](X, 0.5, training=False)
    assert Y.lower.equal(X.lower)
    assert Y.upper.equal(X.upper)


@pytest.mark.parametrize("module", [nn.Dropout(inplace=True), nn.Dropout2d(0.4), nn.AlphaDropout(inplace=True)])
def test_dropout_modules(module):
    X = boxes(2, 3, 4, 5)

    def call(x):
        torch.manual_seed(2)
        return module.train()(x.clone())

    check_sound(call, X)
    assert module.eval()(X).lower.equal(X.lower)


@pytest.mark.parametrize("values", [(0.0, 0.0), (1e38, -1e38)])
def test_a_width_that_overflows(values):
    x = IntervalTensor(torch.tensor([[-2e38, *values]]), torch.tensor([[2e38, *values]]))
    check_sound(lambda x: F.layer_norm(x, (3,)), x)


@pytest.mark.filterwarnings("ignore:the outward bounds")
@pytest.mark.parametrize("mode", ["nearest", "outward"])
@pytest.mark.parametrize("p", [1, 2, 3, 10, 100])
def test_powers_that_overflow_bound_no_entry_from_above(mode, p):
    """A sum of powers beyond the largest number says that the norm is at least its root, no more."""
    x = torch.tensor([[1.0, 1.0, -2e29]])
    with it.rounding(mode):
        y = F.normalize(IntervalTensor.point(x), p=p)
    exact = x.double() / x.double().abs().max()
    roundings = 4 if mode == "nearest" else 0  # of the power, the sum, the root and the quotient
    room = exact.abs() * (roundings * torch.finfo(torch.float32).eps)
    assert bool((y.lower <= exact + room).all() & (exact - room <= y.upper).all())


@pytest.mark.filterwarnings("ignore:the outward bounds")
@pytest.mark.parametrize("p", [0.5, 1, 1.5, 2, 3, 7.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normalize_contains_exact_values(p, dtype):
    x = torch.randn(20, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    with it.rounding("outward"):
        y = F.normalize(IntervalTensor.point(x), p=p)
    for low, high, row in zip(y.lower.tolist(), y.upper.tolist(), x.tolist()):
        with mpmath.workdps(40):
            norm = sum(abs(mpmath.mpf(t)) ** mpmath.mpf(p) for t in row) ** (1 / mpmath.mpf(p))
            assert all(a <= mpmath.mpf(t) / norm <= b for a, b, t in zip(low, high, row))
