"""Functions at the edge of their domain: whatever nearest mode answers, outward mode answers, and its box encloses.

Values that end at an edge are produced by sums, products and elementwise functions whose outward rounding moves the end
out of the domain, and consumed by the functions that are defined up to there.
"""

import pytest
import torch
import torch.nn.functional as F

from intervaltorch import DomainError, IntervalTensor, rounding
from intervaltorch.testing import sample_points

pytestmark = pytest.mark.usefixtures("quiet")
inf = float("inf")
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
each_mode = pytest.mark.parametrize("mode", ["nearest", "outward"])

_WEIGHT = torch.rand(5, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
_KERNEL = torch.rand(2, 8, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

# Of numbers x in [0, 1], of shape (8, 64).
NONNEGATIVE = {
    "square": lambda x: x @ x.T,
    "linear": lambda x: F.linear(x, _WEIGHT.to(x.dtype)),
    "linear, bias": lambda x: F.linear(x, _WEIGHT.to(x.dtype), _WEIGHT.to(x.dtype)[:, 0]),
    "negative weights": lambda x: F.linear(-x, -_WEIGHT.to(x.dtype)),
    "conv1d": lambda x: F.conv1d(x[None], _KERNEL.to(x.dtype), padding=1),
    "conv_transpose1d": lambda x: F.conv_transpose1d(x[None], _KERNEL.to(x.dtype).transpose(0, 1)),
    "einsum": lambda x: torch.einsum("ij,kj->ik", x, x),
    "bilinear": lambda x: F.bilinear(x[:, :3], x[:, 3:6], _WEIGHT.to(x.dtype)[:, :9].reshape(5, 3, 3)),
    "addmm": lambda x: torch.addmm(x[:, :8], x, x.T),
    "sum": lambda x: x.sum(-1),
    "mean": lambda x: x.mean(-1),
    "cumsum": lambda x: x.cumsum(-1),
    "avg_pool1d": lambda x: F.avg_pool1d(x[None], 3),
    "adaptive_avg_pool1d": lambda x: F.adaptive_avg_pool1d(x[None], 7),
    "lp_pool1d": lambda x: F.lp_pool1d(x[None], 3.0, 4),
    "fold": lambda x: F.fold(x[None, :4, :9], (4, 4), (2, 2)),
    "index_add": lambda x: x.index_add(0, torch.tensor([0, 0, 1]), x[:3]),
    "scatter_add": lambda x: x.scatter_add(0, torch.zeros(2, 64, dtype=torch.long), x[:2]),
    "interpolate": lambda x: F.interpolate(x[None], 100, mode="linear"),
    "expm1": lambda x: x.expm1(),
    "log1p": lambda x: x.log1p(),
    "product": lambda x: x * x.flip(0) * 0.3,
    "1 - x²": lambda x: 1 - x**2,
    "1 - tanh²": lambda x: 1 - (3 * x).tanh() ** 2,
    "sin": lambda x: (x * 0.5).sin(),
    "difference": lambda x: 7.3 - 7.3 * x,
    "exp - 1": lambda x: x.exp() - 1,
    "softmax": lambda x: (50 * x).softmax(-1),
}
WITHIN_ONE = {
    "2x - 1": lambda x: 2 * x - 1,
    "x / 3 * 3": lambda x: x / 3 * 3,
    "tanh": lambda x: (40 * x).tanh(),
    "cos": lambda x: (3 * x).cos(),
    "1 - x": lambda x: 1 - x,
    "1 - (1 - x)": lambda x: 1 - (1 - 1.0000001 * x / 1.0000001),
    "sigmoid": lambda x: (50 * x).sigmoid(),
    "normalize": lambda x: F.normalize(x + 0.1, dim=-1),
    "cosine": lambda x: F.cosine_similarity(x + 0.1, x + 0.1, dim=-1),
}
FROM_ONE = {
    "1 + x": lambda x: 1 + x,
    "exp": lambda x: x.exp(),
    "cosh": lambda x: x.cosh(),
    "1 / cos": lambda x: 1 / x.cos(),
    "sqrt(1 + x²)": lambda x: (1 + x**2).sqrt(),
}
CONSUMERS = {
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "log": torch.log,
    "log2": torch.log2,
    "pow(0.5)": lambda x: x**0.5,
    "pow(1.5)": lambda x: x**1.5,
    "pow(-0.5)": lambda x: x**-0.5,
    "pow(box)": lambda x: x ** IntervalTensor(torch.full((), 1.0).to(x.dtype), torch.full((), 2.0).to(x.dtype)),
    "pow(tensor)": lambda x: x ** torch.full((), 2.5, dtype=x.dtype),
    "entr": torch.special.entr,
    "xlogy": lambda x: torch.special.xlogy(x, x),
    "k0": torch.special.modified_bessel_k0,
    "y0": torch.special.bessel_y0,
    "igamma": lambda x: torch.igamma(1.5 + 0 * x, x),
    "kl_div": lambda x: F.kl_div(x, x, reduction="none"),
}
OF_ONE = {
    "asin": torch.asin,
    "acos": torch.acos,
    "atanh": torch.atanh,
    "erfinv": torch.erfinv,
    "log1p(-x)": lambda x: torch.log1p(-x),
    "sqrt(1 - x²)": lambda x: (1 - x * x).sqrt(),
}
OF_UNIT = {
    "logit": torch.logit,
    "ndtri": torch.special.ndtri,
    "bce": lambda x: F.binary_cross_entropy(x, torch.full(x.shape, 0.25, dtype=x.dtype)),
}
UNIT = {name: WITHIN_ONE[name] for name in ("x / 3 * 3", "1 - x", "tanh", "sigmoid")}

PAIRS = [
    (f"{consumer}({producer})", consumers[consumer], producers[producer])
    for producers, consumers in (
        (NONNEGATIVE, CONSUMERS), (WITHIN_ONE, OF_ONE), (UNIT, OF_UNIT), (UNIT, CONSUMERS),
        (FROM_ONE, {"acosh": torch.acosh, "zeta": lambda x: torch.special.zeta(x, 2 + 0 * x)}),
    )
    for producer in producers
    for consumer in consumers
]  # fmt: skip


def boxes(dtype):
    """Boxes in [0, 1]: all of it, points, from zero on, up to one, zero, one."""
    x = torch.rand(2, 8, 64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    l, u = x.amin(0), x.amax(0)
    yield IntervalTensor(torch.zeros_like(l).to(dtype), u.to(dtype))
    yield IntervalTensor(l.to(dtype), torch.ones_like(u).to(dtype))
    yield IntervalTensor.point(l.to(dtype))
    yield IntervalTensor.point(torch.zeros_like(l).to(dtype))
    yield IntervalTensor.point(torch.ones_like(l).to(dtype))


@pytest.mark.parametrize("name, consumer, producer", PAIRS, ids=[name for name, *_ in PAIRS])
@each_dtype
def test_outward_mode_answers_what_nearest_mode_answers(name, consumer, producer, dtype):
    for x in boxes(dtype):
        try:
            nearest = consumer(producer(x))
        except DomainError:
            continue
        with rounding("outward"):
            outward = consumer(producer(x))
        assert bool((outward.lower <= outward.upper).all() and (nearest.lower <= nearest.upper).all())


@pytest.mark.parametrize("producer", NONNEGATIVE)
@each_dtype
def test_sums_with_one_sign_keep_it(producer, dtype):
    """The bound is 0 and not a little below, however long the sum; and it encloses."""
    for x in boxes(dtype):
        with rounding("outward"):
            y = NONNEGATIVE[producer](x)
        values = [NONNEGATIVE[producer](IntervalTensor.point(p.double())).center for p in sample_points(x, 4)]
        room = 1e-13 * (1 + y.magnitude.double())
        assert all(bool(((v >= y.lower.double() - room) & (v <= y.upper.double() + room)).all()) for v in values)
        if producer in SUMS:
            assert bool((y.lower >= 0).all())
            with rounding("outward"):
                assert bool(((-NONNEGATIVE[producer](x)).upper <= 0).all())


SUMS = ("square", "linear", "linear, bias", "negative weights", "conv1d", "conv_transpose1d", "einsum", "sum", "mean",
        "cumsum", "avg_pool1d", "adaptive_avg_pool1d", "lp_pool1d", "fold", "index_add", "scatter_add", "product",
        "bilinear", "interpolate")  # fmt: skip


def test_an_entry_of_the_other_sign_is_not_forgotten():
    """A product of the other sign, however small, leaves the bound where rounding moved it."""
    x = IntervalTensor(torch.tensor([[-1e-30, 0.0, 0.0], [0.0, 0.0, 0.0]]), torch.ones(2, 3))
    weight = torch.ones(1, 3)
    for bias in (None, torch.tensor([-1e-30])):
        with rounding("outward"):
            y = F.linear(x, weight, bias)
            pooled = F.avg_pool1d(x[None], 3)
        assert y.lower[0, 0].item() < 0 and pooled.lower[0, 0, 0].item() < 0 and pooled.lower[0, 1, 0].item() == 0
        assert (y.lower[1, 0].item() == 0) == (bias is None)
    zero = IntervalTensor(torch.zeros(1, 3), torch.ones(1, 3))
    for first, second in ((zero, torch.tensor([[-1e-30, 0.0, 0.0]])), (torch.tensor([[-1e-30, 0.0, 0.0]]), zero)):
        with rounding("outward"):
            assert F.linear(first, second).lower.item() < 0 and F.linear(-first, second).upper.item() > 0
    with rounding("outward"):
        assert F.linear(x, -weight).upper[0, 0].item() > 0 and F.linear(x, -weight).upper[1, 0].item() == 0


@each_mode
def test_boxes_that_leave_the_domain_are_refused(mode):
    """By more than rounding, or without a point inside."""
    with rounding(mode):
        for low, high in ((-0.1, 1.0), (-1e-30, -1e-31), (-1e-4, 1.0)):
            box = IntervalTensor(torch.tensor([low]), torch.tensor([high]))
            for function in (torch.sqrt, torch.log, lambda x: x**0.5, lambda x: torch.acosh(x + 1)):
                if function(box.upper).isnan() or low < -1e-5:
                    with pytest.raises(DomainError):
                        function(box)


def test_the_message_names_rounding():
    x = IntervalTensor(torch.tensor([-1e-4]), torch.tensor([1.0]))
    with rounding("outward"), pytest.raises(DomainError, match="outward rounding of an earlier step"):
        x.sqrt()
    with pytest.raises(DomainError) as nearest:
        x.sqrt()
    assert "rounding" not in str(nearest.value)


def test_gradients_at_the_edge_are_finite():
    """The end that is cut is a constant."""
    l, u = torch.zeros(3, requires_grad=True), torch.ones(3, requires_grad=True)
    with rounding("outward"):
        y = (1 - IntervalTensor(l, u) ** 2).sqrt()
    (y.lower + y.upper).sum().backward()
    assert bool(l.grad.isfinite().all() and u.grad.isfinite().all())
