"""Every elementwise function of one argument in the table keeps the contract: registering an op tests it."""

import inspect
import warnings

import mpmath
import pytest
import torch
import torch.nn.functional as F

import intervaltorch as it
from intervaltorch import IntervalTensor, rounding, testing
from intervaltorch._records.registry import OPS
from intervaltorch._rounding import UNPROVEN, Budget, widen
from intervaltorch.testing import covering_boxes, sample_points
from tests.table import BUILT_IN, FAMILIES, UNARY

inf = float("inf")
each_op = pytest.mark.parametrize("op", UNARY, ids=lambda op: op.name)
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


@pytest.fixture(autouse=True)
def _quiet():
    """Ops without a stated budget say so in outward mode; that is not what is tested here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*guessed error budget")
        yield


def run(op, box, mode="nearest"):
    with rounding(mode):
        return OPS[op.function].enclose and op.function(box)


def loosened(op, box, size):
    """A box of nearest mode, widened by exactly what outward mode adds for the error budget in the record."""
    return IntervalTensor(*widen(box.lower, box.upper, op.budget or UNPROVEN, op.image, size.magnitude, size.magnitude))


@each_op
def test_sound(op):
    boxes = covering_boxes(op, torch.float32)
    testing.check_sound(op.function, boxes, samples=48, critical=op.critical)


@each_op
def test_sound_within_the_budget_in_nearest_mode(op):
    boxes = covering_boxes(op, torch.float32)
    result = loosened(op, run(op, boxes), boxes)
    for points in sample_points(boxes, 48, critical=op.critical):
        testing.assert_encloses(result, op.function(points.double()), what=op.name)


EXACT_VALUES = {
    "exp": mpmath.exp,
    "exp2": lambda x: mpmath.power(2, x),
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log2": lambda x: mpmath.log(x, 2),
    "log10": mpmath.log10,
    "log1p": mpmath.log1p,
    "sqrt": mpmath.sqrt,
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "square": lambda x: x * x,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan,
    "asin": mpmath.asin,
    "acos": mpmath.acos,
    "atan": mpmath.atan,
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "tanh": mpmath.tanh,
    "asinh": mpmath.asinh,
    "acosh": mpmath.acosh,
    "atanh": mpmath.atanh,
    "erf": mpmath.erf,
    "erfc": mpmath.erfc,
    "erfinv": mpmath.erfinv,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "logsigmoid": lambda x: -mpmath.log1p(mpmath.exp(-x)),
    "log_sigmoid": lambda x: -mpmath.log1p(mpmath.exp(-x)),
    "gelu": lambda x: x * mpmath.ncdf(x),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "mish": lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
    "softsign": lambda x: x / (1 + abs(x)),
    "tanhshrink": lambda x: x - mpmath.tanh(x),
    "ndtr": mpmath.ncdf,
    "log_ndtr": lambda x: mpmath.log1p(-mpmath.ncdf(-x)) if x > 0 else mpmath.log(mpmath.ncdf(x)),
    "i0": lambda x: mpmath.besseli(0, x),
    "i1": lambda x: mpmath.besseli(1, x),
    "i0e": lambda x: mpmath.besseli(0, x) * mpmath.exp(-abs(x)),
    "i1e": lambda x: mpmath.besseli(1, x) * mpmath.exp(-abs(x)),
    "modified_bessel_k0": lambda x: mpmath.besselk(0, x),
    "modified_bessel_k1": lambda x: mpmath.besselk(1, x),
    "scaled_modified_bessel_k0": lambda x: mpmath.besselk(0, x) * mpmath.exp(x),
    "scaled_modified_bessel_k1": lambda x: mpmath.besselk(1, x) * mpmath.exp(x),
    "erfcx": lambda x: mpmath.exp(x * x) * mpmath.erfc(x),
    "lgamma": mpmath.loggamma,
    "digamma": mpmath.digamma,
    "angle": lambda x: mpmath.pi if x < 0 else mpmath.mpf(0),
}


@pytest.mark.parametrize("op", [op for op in UNARY if op.name in EXACT_VALUES], ids=lambda op: op.name)
@each_dtype
def test_sound_against_exact_values(op, dtype):
    """Float64 has no wider dtype to be compared with: values of 60 digits instead."""
    generator = torch.Generator().manual_seed(0)
    boxes = covering_boxes(op, dtype)
    chosen = torch.randperm(len(boxes), generator=generator)[:150]
    boxes = IntervalTensor(boxes.lower[chosen], boxes.upper[chosen])
    result = run(op, boxes, "outward")
    points = sample_points(boxes, 6, generator=generator)[[0, 1, 4, 5]]
    with mpmath.workdps(60):
        for low, high, arguments in zip(result.lower.tolist(), result.upper.tolist(), points.T.tolist()):
            for x in arguments:
                value = exact_value(op, x)
                assert low <= value <= high, f"{op.name}({x!r}) = {value} lies outside [{low!r}, {high!r}]"


def exact_value(op, x):
    if x in op.domain and not -inf < op.function(torch.tensor(x)).item() < inf:
        return op.function(torch.tensor(x)).item()
    if abs(x) > 1e6:  # beyond what arbitrary precision evaluates quickly; where it stays finite it is elementary
        with mpmath.workdps(30):
            return (
                EXACT_VALUES[op.name](mpmath.mpf(x))
                if abs(x) < 1e15
                else mpmath.mpf(op.function(torch.tensor(x)).item())
            )
    return EXACT_VALUES[op.name](mpmath.mpf(x))


@each_op
@each_dtype
def test_sharp(op, dtype):
    """The box is the hull of the range: brute force reaches both of its ends, up to the budget."""
    if not op.sharp:
        pytest.skip(f"{op.name} is not sharp: {op.note}")
    boxes = where_torch_is_right(op, covering_boxes(op, dtype))
    if op.family == "periodic":  # farther away, float64 cannot name the peaks
        near = boxes.magnitude <= 1e4
        boxes = IntervalTensor(boxes.lower[near], boxes.upper[near])
    points = torch.cat([sample_points(boxes, 200).double(), *critical_points_inside(op, boxes)])
    values = op.function(points)
    found = IntervalTensor(values.amin(0).to(dtype), values.amax(0).to(dtype))
    allowed = loosened(op, around(op, found), boxes)
    result = run(op, boxes)
    inside = result.issubset(allowed)
    index = int((~inside).nonzero()[0]) if not bool(inside.all()) else 0
    assert bool(inside.all()), f"on {boxes[index]} the bound is {result[index]}, the range {found[index]}"


# How far torch's own float64 values are off, in eps of themselves; the rules compute them another way.
BADLY_COMPUTED = {"erfcx": 300, "log_ndtr": 2000}


def around(op, found):
    """A box of values that torch computed, widened by its own error where that exceeds the budget."""
    if op.name not in BADLY_COMPUTED:
        return found
    return IntervalTensor(*widen(found.lower, found.upper, Budget(BADLY_COMPUTED[op.name]), op.image))


def where_torch_is_right(op, boxes):
    """Boxes without those that end at subnormal numbers, for which torch's K0 and K1 give infinities and NaN."""
    if op.name.removeprefix("scaled_") not in ("modified_bessel_k0", "modified_bessel_k1"):
        return boxes
    tiny = torch.finfo(boxes.dtype).tiny
    normal = ((boxes.lower == 0) | (boxes.lower >= tiny)) & ((boxes.upper == 0) | (boxes.upper >= tiny))
    return boxes[normal]


def critical_points_inside(op, boxes):
    """Critical points in float64, each only where the box contains it (elsewhere an end of the box)."""
    l, u = boxes.lower.double(), boxes.upper.double()
    for point in op.critical:
        if op.family == "periodic":
            turn = 2 * torch.pi
            nearest = torch.stack(
                [point + turn * torch.ceil((l - point) / turn), point + turn * torch.floor((u - point) / turn)]
            )
            yield torch.minimum(torch.maximum(nearest, l), u)
        else:
            yield torch.full_like(l, point).clamp(l, u)[None]


@each_op
def test_nested(op):
    testing.check_nested(op.function, covering_boxes(op, torch.float32))


@each_op
@each_dtype
def test_thin(op, dtype):
    """A point gives the function's value, up to the budget on either side."""
    points = where_torch_is_right(op, IntervalTensor.point(covering_boxes(op, dtype).lower.unique()))
    value = op.function(points.lower.double()).to(dtype)
    allowed = loosened(op, around(op, IntervalTensor.point(value)), points)
    result = run(op, points)
    assert bool(result.issubset(allowed).all()), result[~result.issubset(allowed)]


@each_op
def test_unbounded(op):
    testing.check_unbounded(op.function, covering_boxes(op, torch.float32)[:200])


@each_op
def test_gradient(op):
    if not op.function(torch.ones(1, requires_grad=True)).requires_grad:
        pytest.skip(f"torch.{op.name} has no derivative")
    testing.check_gradient(op.function, testing.smooth_boxes(op))


@each_op
def test_gradients_stay_finite(op):
    """No NaN appears in the backward pass on boxes whose gradients are finite at both ends."""
    boxes = covering_boxes(op, torch.float64)
    l, u = boxes.lower.requires_grad_(), boxes.upper.requires_grad_()
    ends = torch.cat([l, u]).detach().requires_grad_()
    value = op.function(ends)
    if not value.requires_grad:
        pytest.skip(f"torch.{op.name} has no derivative")
    slope = torch.autograd.grad(value.sum(), ends)[0].reshape(2, -1)
    result = op.function(boxes)
    finite = slope.isfinite().all(0) & result.lower.isfinite() & result.upper.isfinite()
    (result.lower + result.upper)[finite].sum().backward()
    for end in (boxes.lower, boxes.upper):
        assert bool(end.grad[finite].isfinite().all()), f"NaN gradient on {boxes[finite & ~end.grad.isfinite()]}"


# --- spellings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "op, position", [(op, i) for op in UNARY for i in range(len(op.spellings))],
    ids=lambda x: x.name if isinstance(x, it.Op) else str(x),
)  # fmt: skip
def test_aliases_agree(op, position):
    """Function, method, operator, ATen name, in place: all give the same box, and writing in place writes."""
    spelling = op.spellings[position]
    boxes = covering_boxes(op, torch.float32)[:64]
    expected = run(op, boxes)
    argument = boxes.clone()
    result = spelling.function(argument)
    assert same(result, expected)
    assert same(argument, expected if spelling.inplace else boxes)
    assert (result is argument) == spelling.inplace
    if spelling.inplace_position is not None:
        assert same(spelling.function(argument, inplace=True), expected)
        assert same(argument, expected)


def same(x, y):
    return type(x) is type(y) and torch.equal(x.lower, y.lower) and torch.equal(x.upper, y.upper) and x.dtype == y.dtype


@each_op
def test_takes_input_by_keyword(op):
    boxes = covering_boxes(op, torch.float32)[:8]
    spelled = [s.function for s in op.spellings if not s.inplace and s.function in vars(torch).values()]
    for function in spelled[:1]:
        assert same(function(input=boxes), run(op, boxes))


# --- shapes and dtypes ------------------------------------------------------------------------------------------------


@each_op
@each_dtype
def test_shape_and_dtype(op, dtype):
    boxes = covering_boxes(op, dtype)[:24]
    expected = run(op, boxes)
    scalar = run(op, boxes[3])
    assert scalar.shape == () and scalar.dtype == expected.dtype and close(op, scalar, expected[3], boxes[3])
    empty = run(op, boxes[:0].reshape(0, 2))
    assert empty.shape == (0, 2) and empty.dtype == expected.dtype
    table = boxes.reshape(4, 6)
    assert not table.T.is_contiguous() and close(op, run(op, table.T).T, expected.reshape(4, 6), table)
    strided = boxes[::2]
    assert close(op, run(op, strided), expected[::2], strided)
    assert expected.dtype == op.function(torch.ones(1, dtype=dtype)).dtype


def close(op, result, expected, boxes):
    """Vectorised and scalar kernels of torch may differ, each within the budget and at either side of the image."""
    ends = expected.lower, expected.upper
    for _ in range(2):
        ends = widen(*ends, op.budget or UNPROVEN, at_lower=boxes.magnitude, at_upper=boxes.magnitude)
    inside = result.issubset(IntervalTensor(*ends))
    return result.shape == expected.shape and bool(inside.all())


# --- further arguments ------------------------------------------------------------------------------------------------

VARIANTS = [
    (F.leaky_relu, {"negative_slope": 0.3}),
    (F.leaky_relu, {"negative_slope": -0.5}),
    (F.elu, {"alpha": 0.3}),
    (F.elu, {"alpha": 2.5}),
    (F.celu, {"alpha": 0.4}),
    (F.hardtanh, {"min_val": -2.0, "max_val": 0.5}),
    (F.hardshrink, {"lambd": 0.2}),
    (F.softshrink, {"lambd": 0.2}),
    (F.threshold, {"threshold": 0.5, "value": -2.0}),
    (F.threshold, {"threshold": 0.5, "value": 3.0}),
    (F.softplus, {"beta": 3.0, "threshold": 10.0}),
    (F.gelu, {"approximate": "tanh"}),
    (F.logsigmoid, {}),
    (torch.logit, {"eps": 0.1}),
    (torch.clamp, {"min": -1.0}),
    (torch.clamp, {"max": 1.0}),
    (torch.clamp, {"min": -1.0, "max": 0.5}),
    (torch.nan_to_num, {}),
    (torch.round, {"decimals": 2}),
    (torch.pow, {"exponent": 2}),
    (torch.pow, {"exponent": 3}),
    (torch.pow, {"exponent": 4}),
    (torch.pow, {"exponent": 1}),
    (torch.pow, {"exponent": 0}),
    (torch.pow, {"exponent": -1}),
    (torch.pow, {"exponent": -2}),
]


@pytest.mark.parametrize("function, kwargs", VARIANTS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_keyword_arguments(function, kwargs):
    record = OPS[function].op if function in OPS else None
    boxes = covering_boxes(record, torch.float32)
    wanted = boxes.magnitude < 1e4
    boxes = IntervalTensor(boxes.lower[wanted], boxes.upper[wanted])
    critical = (0.0, *(abs(v) for v in kwargs.values() if isinstance(v, float)))
    testing.check_sound(function, boxes, samples=40, critical=critical + tuple(-c for c in critical), **kwargs)
    testing.check_nested(function, boxes, **kwargs)
    testing.check_unbounded(function, boxes, **kwargs)


@pytest.mark.parametrize("exponent", [0.5, 1.5, 2.5, -0.5, -1.5, 3.7])
def test_fractional_powers(exponent):
    boxes = IntervalTensor(torch.rand(200) * 2, 2 + torch.rand(200) * 3)
    testing.check_sound(torch.pow, boxes, exponent, samples=40)
    testing.check_gradient(torch.pow, boxes[:5], exponent)


# --- completeness -----------------------------------------------------------------------------------------------------


def test_every_public_function_is_in_one_family_or_a_rule():
    """The contract above reaches all elementwise ops; the others are exercised with torch's own samples."""
    assert len(UNARY) >= 20
    for op in BUILT_IN:
        assert op.enclose is not None and op.spellings, op.name
        assert op.budget is not None or not op.proven or op.family not in FAMILIES, (
            f"{op.name} is proven by what budget?"
        )


def test_record_functions_are_plain():
    """The tests evaluate `op.function` on plain tensors, so it must be torch's function, not the rule."""
    for op in UNARY:
        assert not inspect.isfunction(op.enclose) or op.function is not op.enclose
