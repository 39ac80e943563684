"""No rule returns a lower bound above its upper bound: points, boxes of one ulp and of one binade, in both modes.

The two bounds of such boxes are so close that the rounding of a kernel may exchange them: a kernel that is not quite
monotone, or one that gives a number in another place of a tensor another value.
"""

import functools
import itertools
import warnings

import pytest
import torch
import torch.nn.functional as F

from intervaltorch import IntervalError, IntervalTensor, rounding
from intervaltorch.testing._boxes import is_real
from intervaltorch.testing._trees import boxes_in, flatten
from tests.table import BUILT_IN, UNARY
from tests.test_no_plain_results import FUNCTIONS, call_of

pytestmark = pytest.mark.usefixtures("quiet")
inf = float("inf")

TORCHS_OWN = (RuntimeError, ValueError, TypeError, NotImplementedError, AttributeError, IndexError, AssertionError)
"""Errors with which functions of torch refuse plain tensors, too."""

each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def thin_boxes(x):
    """Boxes that begin at the numbers x: of width zero, of one ulp, of two, and up to the next binade."""
    above = torch.nextafter(x, torch.full_like(x, inf))
    binade = torch.ldexp(torch.ones_like(x), torch.frexp(x)[1]).clamp(max=torch.finfo(x.dtype).max)
    ends = x, above, torch.nextafter(above, torch.full_like(x, inf)), torch.where(x > 0, binade, x / 2)
    return [IntervalTensor(x.clone(), end.clone()) for end in ends]


def assert_ordered(result, name):
    for box in filter(is_real, boxes_in(result)):
        crossed = ~(box.lower <= box.upper)
        assert not bool(crossed.any()), f"{name}: crossed bounds {box[crossed][:3]}"


def check_ordered(function, args, kwargs, name):
    """The bounds are in order in both modes, unless the function refuses these boxes."""
    answered = False
    for mode in ("nearest", "outward"):
        tensors, rebuild = flatten((args, kwargs))
        fresh, named = rebuild([x.clone() for x in tensors])
        try:
            with rounding(mode):
                result = function(*fresh, **named)
        except (IntervalError, *TORCHS_OWN):
            continue
        answered = True
        assert_ordered(result, f"{name}, {mode} mode")
    return answered


# --- elementwise functions --------------------------------------------------------------------------------------------


@functools.cache
def numbers(dtype, low=-inf, high=inf, critical=()):
    """Numbers of all sizes, many of them moderate, and the neighbours of critical ones, within a domain."""
    generator = torch.Generator().manual_seed(1)
    moderate = 3 * torch.randn(3000, generator=generator, dtype=torch.float64)
    sizes = torch.tensor([-1.0, 1.0]).double()[:, None] * 10.0 ** torch.linspace(-320, 308, 315, dtype=torch.float64)
    if low > -inf:  # near an edge
        moderate = torch.cat([moderate, low + 10.0 ** -torch.linspace(0, 20, 200, dtype=torch.float64)])
    if high < inf:
        moderate = torch.cat([moderate, high - 10.0 ** -torch.linspace(0, 20, 200, dtype=torch.float64)])
    turns = [c * (1 + k * torch.finfo(dtype).eps) for c in critical for k in range(-40, 41)]
    x = torch.cat([moderate, sizes.flatten(), torch.tensor([0.0, *turns], dtype=torch.float64)]).to(dtype)
    return x[(x >= low) & (x < high) & x.isfinite()]


@pytest.mark.parametrize("op", UNARY, ids=lambda op: op.name)
@each_dtype
def test_functions_of_one_argument(op, dtype):
    for box in thin_boxes(numbers(dtype, *op.domain, op.critical)):
        inside = box.upper <= op.domain[1]
        assert check_ordered(op.function, (box[inside],), {}, op.name)


def test_bounds_that_lie_apart_in_memory():
    """The kernel for rows of memory and the one for scattered numbers differ in the last digit."""
    x = torch.linspace(0.1, 30, 999)
    scattered = torch.stack([x, x], 1)[:, 0]
    for op in UNARY:
        inside = (x >= op.domain[0]) & (x <= op.domain[1])
        for pair in ((x, scattered), (scattered, x)):
            if bool(inside.all()):
                assert_ordered(op.function(IntervalTensor(*pair)), op.name)


def takes_two(op):
    """Whether a function maps two tensors of one shape to one of that shape."""
    point = torch.full((2, 3), 1.5)
    try:
        with warnings.catch_warnings(action="ignore"):
            result = op.function(point, point)
    except Exception:
        return False
    return isinstance(result, torch.Tensor) and result.shape == (2, 3) and result.is_floating_point()


BINARY = [op for op in BUILT_IN if op not in UNARY and op.name != "new" and takes_two(op)]


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.name)
@each_dtype
def test_functions_of_two_arguments(op, dtype):
    """Each argument as a point or a thin box, in all pairs of moderate numbers and of sizes."""
    generator = torch.Generator().manual_seed(2)
    size = 10.0 ** torch.arange(-40, 39, 6, dtype=torch.float64)
    grid = torch.cartesian_prod(size, size).T
    drawn = torch.rand(2, 1000, generator=generator, dtype=torch.float64) * torch.tensor([[5.0], [20.0]])
    answered = []
    kinds = (grid, drawn.flip(0), drawn, drawn + 1, drawn % 1, grid.clamp(min=1), grid.clamp(max=1))
    for pair in kinds[:2] if op.family == "polynomial" else kinds:  # of which each degree takes its time
        for first, second in itertools.product(*(thin_boxes(x)[:2] for x in pair.to(dtype))):
            answered.append(check_ordered(op.function, (first, second), {}, op.name))
    assert any(answered)


def _distances(x, p):
    return torch.cdist(x[:20], x[20:40], p=p)


# --- functions of rows ------------------------------------------------------------------------------------------------

ROWS = {
    **{f"normalize({p})": functools.partial(F.normalize, p=p) for p in (0.5, 1.0, 1.5, 2.0, 3.0, inf)},
    **{f"norm({p})": functools.partial(torch.linalg.vector_norm, ord=p, dim=-1) for p in (-2, 0.5, 1, 2, 3, inf)},
    **{f"cdist({p})": functools.partial(_distances, p=p) for p in (0.5, 1.0, 2.0, 3.0)},
    "layer_norm": lambda x: F.layer_norm(x, (5,)),
    "rms_norm": lambda x: F.rms_norm(x, (5,)),
    "local_response_norm": lambda x: F.local_response_norm(x[:, None], 3),
    "softmax": lambda x: x.softmax(-1),
    "log_softmax": lambda x: x.log_softmax(-1),
    "logsumexp": lambda x: x.logsumexp(-1),
    "logcumsumexp": lambda x: x.logcumsumexp(-1),
    "var": lambda x: x.var(-1),
    "std": lambda x: x.std(-1),
    "cosine_similarity": lambda x: F.cosine_similarity(x, 2 - x, dim=-1),
    "lp_pool": lambda x: F.lp_pool1d(x[:, None].abs(), 3.0, 2),
    "attention": lambda x: F.scaled_dot_product_attention(x, x.flip(-1), x),
    "cross_entropy": lambda x: F.cross_entropy(x, torch.arange(len(x)) % 5, reduction="none", label_smoothing=0.1),
    "renorm": lambda x: torch.renorm(x, 1.5, 0, 1.0),
    "prod": lambda x: x.prod(-1),
    "cov": lambda x: x[:5].cov(),
}


@pytest.mark.parametrize("name", ROWS)
@each_dtype
def test_functions_of_rows(name, dtype):
    x = torch.randn(300, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64).to(dtype)
    for box in thin_boxes(x)[:3]:
        assert check_ordered(ROWS[name], (box,), {}, name)


# --- every function ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: getattr(f, "__qualname__", str(f)))
def test_every_function(function):
    """Thin boxes of its arguments, together and alone, at some points near them."""
    call = call_of(function)
    if call is None:
        pytest.skip("no call")
    tensors, rebuild = flatten(call)
    places = [i for i, x in enumerate(tensors) if x.layout == torch.strided and x.dtype.is_floating_point]
    generator = torch.Generator().manual_seed(3)
    together = dict.fromkeys([tuple(places), *((place,) for place in places[:2])])
    for dtype, chosen in itertools.product((torch.float32, torch.float64), together):
        moved = [
            (x * (1 + 0.05 * torch.rand(x.shape, generator=generator))).to(dtype) if i in places else x
            for i, x in enumerate(tensors)
        ]
        for kind in range(3):
            boxes = [thin_boxes(x)[kind] if i in chosen else x for i, x in enumerate(moved)]
            check_ordered(function, *rebuild(boxes), getattr(function, "__name__", str(function)))
