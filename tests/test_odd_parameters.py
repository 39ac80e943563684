"""Numbers among the arguments of functions, outside their usual range: torch's function is enclosed, or refused.

Every function of torch that takes boxes is called with each of its numbers (`eps`, `alpha`, `margin`, `p`, ...) set to
negative, huge, tiny, infinite and other values in turn. Which arguments are numbers is read from torch's own schemas
and signatures.
"""

import inspect
import math

import pytest
import torch
from torch.overrides import resolve_name

from intervaltorch import IntervalError, IntervalTensor, rounding
from intervaltorch._catalogue.coverage import kinds, overridable
from intervaltorch._records.registry import bare_name, spelled
from intervaltorch.testing import assert_encloses
from intervaltorch.testing._trees import flatten, map_tensors
from tests.calls import arguments, batch, image, normal, one, tall, x, y

ODD = (-1.5, -1.0, -1e-3, 0.0, 1e-30, 0.61, 1.0, 3.0, 1e30, math.inf, -math.inf, math.nan)
ORDERS = (-8.0, -3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 8.0, math.inf, -math.inf, math.nan)
"""Of powers and norms, in whose place larger numbers leave the range of float64 too."""
pytestmark = pytest.mark.usefixtures("quiet")

# The lists of numbers are those of `tests/calls.py`, except for functions that have no call there.
MORE = {
    "add": (x, y), "sub": (x, y), "rsub": (x, y), "subtract": (x, y), "addcmul": (x, y, y), "addcdiv": (x, y, y),
    "addmm": (normal(4, 4), tall, normal(3, 4)), "addmv": (normal(4), tall, normal(3)),
    "addr": (normal(4, 3), normal(4), normal(3)), "addbmm": (normal(3, 3), batch, batch.mT),
    "baddbmm": (normal(2, 3, 3), batch, batch.mT), "sspaddmm": None, "lerp": (x, y, 0.3),
    "clamp": (x, -0.5, 0.5), "clip": (x, -0.5, 0.5), "clamp_min": (x, -0.5), "clamp_max": (x, 0.5),
    "threshold": (x, 0.1, 0.2), "layer_norm": (tall, (3,)), "rms_norm": (tall, (3,)), "group_norm": (batch, 3),
    "batch_norm": (tall, normal(3), normal(3).abs(), None, None, True), "instance_norm": (batch,),
    "normalize": (tall,), "linalg.vector_norm": (tall,), "vector_norm": (tall,), "cdist": (tall, normal(2, 3)),
    "nan_to_num": (x,), "logit": (x.sigmoid(),), "hardtanh": (x,), "std": (tall,), "var": (tall,),
    "var_mean": (tall,), "std_mean": (tall,), "masked_fill": (x, x > 0, 0.5), "fill": (x, 0.5),
    "pow": (x.abs(), 2.0), "float_power": (x.abs(), 2.0), "xlogy": (x.abs(), y.abs()), "pad": (x, (1, 1)),
    "scaled_dot_product_attention": (batch, batch, batch), "celu": (x,), "elu": (x,), "leaky_relu": (x,),
    "prelu": (x, one), "softplus": (x,), "hardshrink": (x,), "softshrink": (x,), "rrelu": (x,), "selu": (x,),
    "multilabel_soft_margin_loss": (tall, (tall > 0).float()), "index_add": (x, 0, torch.tensor([0, 1]), y[:2]),
    "allclose": (x, y), "isclose": (x, y), "full_like": (x, 0.5), "round": (x,), "bilinear": None,
    "binary_cross_entropy": (x.sigmoid(), y.sigmoid()), "gelu": (x,), "fmod": (x, 0.7), "remainder": (x, 0.7),
    "div": (x, 0.7), "mul": (x, 0.7), "floor_divide": (x, 0.7), "true_divide": (x, 0.7), "atan2": (x, y),
    "lp_pool1d": (batch.abs(), 2, 2), "lp_pool2d": (image.abs(), 2, 2), "trapezoid": (x,), "diff": (x,),
    "quantile": (x, 0.5), "nanquantile": (x, 0.5), "cosine_similarity": (tall, tall + 1),
}  # fmt: skip

REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, ZeroDivisionError)

# Draws of random numbers, and functions that read integers from these arguments.
LEFT_OUT = {
    "dropout", "alpha_dropout", "feature_alpha_dropout", "feature_dropout", "dropout1d", "dropout2d", "dropout3d",
    "rrelu", "native_dropout", "gumbel_softmax", "bernoulli", "normal_", "uniform_", "cauchy_", "log_normal_",
    "exponential_", "geometric_", "random_", "bernoulli_", "fused_dropout", "_fused_dropout", "nextafter",
}  # fmt: skip

# They jump, or grow, by as much as their argument may be rounded over, which nearest mode does not answer for.
STEPS = {"floor_divide", "fmod", "remainder", "fake_quantize_per_tensor_affine", "isin", "local_response_norm"}

# At 1e20 the exponential of softplus overflows in float64 too, where the function itself is about its argument.
OVERFLOWS = {("softplus", 1e20)}

# The quotient 0 / 0, of which nothing is known, times 0: 0 for every real quotient, and NaN in torch.
UNDEFINED = {("addcdiv", 0.0)}


def numbers_of(function):
    """The names of the arguments that are real numbers, with their positions if they have one."""
    found = {}
    names = (f"{prefix}{bare_name(function)}" for prefix in ("", "linalg_", "special_"))
    packets = [getattr(torch.ops.aten, name, None) for name in names]
    schemas = [getattr(packet, name)._schema for packet in packets if packet for name in packet.overloads()]
    try:
        signature = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        signature = ()
    for position, parameter in enumerate(signature):
        kind = str(parameter.annotation)
        if isinstance(parameter.default, float) or "float" in kind:
            found[parameter.name] = position
    if not signature:
        for schema in schemas:
            for position, argument in enumerate(schema.arguments):
                if str(argument.type) in ("float", "number", "Optional[float]", "Optional[number]"):
                    found[argument.name] = None if argument.kwarg_only else position
    return found


def call_of(function):
    """Arguments for a function, from here or from the table of calls."""
    name = resolve_name(function) or getattr(function, "__name__", "")
    for table in (name, bare_name(function)):
        if table in MORE:
            return MORE[table] and (MORE[table], {})
    return arguments(function) or None


def functions():
    """Functions that take boxes and numbers, once under each name; methods are those of the function."""
    seen = set()
    for function in overridable():
        name = bare_name(function)
        if kinds(function) not in (["rule"], ["fallback"]) or name in LEFT_OUT or name.endswith("_"):
            continue
        if name in seen or not call_of(function) or not numbers_of(function):
            continue
        seen.add(name)
        yield function


def variants(function):
    """Calls with one number set to an odd value."""
    args, kwargs = call_of(function)
    for name, position in numbers_of(function).items():
        for value in ORDERS if name in ("p", "ord", "norm_type", "exponent") else ODD:
            if position is not None and position < len(args):
                if not isinstance(args[position], torch.Tensor) or position:
                    yield (*args[:position], value, *args[position + 1 :]), kwargs, (name, value)
            else:
                yield args, {**kwargs, name: value}, (name, value)


def boxed(t, radius, scale):
    return IntervalTensor.from_ball(t * scale, radius) if t.dtype.is_floating_point else t


def points_of(args, kwargs, count=4):
    """Points of all boxes, in float64: both ends, and some between."""
    generator = torch.Generator().manual_seed(0)

    def pick(t, position):
        if not isinstance(t, IntervalTensor):
            return t.double() if t.dtype.is_floating_point else t
        share = torch.rand(t.shape, generator=generator, dtype=torch.float64)
        share = torch.zeros_like(share) if position == 0 else torch.ones_like(share) if position == 1 else share
        share = share.round() if position == 2 else share
        return t.lower.double() * (1 - share) + t.upper.double() * share

    for position in range(count):
        yield map_tensors(lambda t: pick(t, position), (args, kwargs))  # noqa: B023


def faults(function, radius, scale=1.0):
    """What is wrong with the boxes of a function, a line for each call."""
    for args, kwargs, (name, value) in variants(function) if (bare_name(function), scale) not in OVERFLOWS else ():
        if (bare_name(function), value) in UNDEFINED:
            continue
        boxes, named = map_tensors(lambda t: boxed(t, radius, scale), (args, kwargs))
        values, refused = [], None
        for point, point_named in points_of(boxes, named):
            try:
                values.append(function(*point, **point_named))
            except REFUSALS as error:
                refused = error
        for mode in ("nearest", "outward") if scale == 1 and bare_name(function) not in STEPS else ("outward",):
            try:
                with rounding(mode):
                    result = function(*boxes, **named)
            except (IntervalError, *REFUSALS):
                continue
            if refused is not None and not values:
                yield f"{spelled(function)}({name}={value}) {mode}: torch raises {str(refused)[:80]!r}, the box answers"
                continue
            if mode == "nearest":
                result = loosened(result)
            for exact in values:
                try:
                    assert_encloses(result, exact if math.isnan(value) else free_of_nan(result, exact))
                except AssertionError as error:
                    yield f"{spelled(function)}({name}={value}) {mode}: {str(error)[:200]}"
                    break


def free_of_nan(result, exact):
    """The value, without the NaN that torch gives where something overflows on the way, as the box does there."""
    tensors, rebuild = flatten(exact)
    boxes = flatten(result)[0]
    return rebuild([_free_of_nan(box, t) for box, t in zip(boxes, tensors, strict=True)])


def _free_of_nan(box, value):
    if not isinstance(box, IntervalTensor) or not value.is_floating_point():
        return value
    infinite = torch.where(box.lower == -math.inf, -math.inf, math.inf).double()
    return torch.where(value.isnan() & box.magnitude.isinf(), infinite, value)


def loosened(result):
    """The box of nearest mode with room for rounding, which says nothing about the function itself."""
    tensors, rebuild = flatten(result)
    return rebuild(
        [_loosened(t) if isinstance(t, IntervalTensor) and t.dtype.is_floating_point else t for t in tensors]
    )


def _loosened(box):
    room = 1e-4 * (1 + box.magnitude.nan_to_num(0, 0, 0))
    largest = torch.finfo(box.dtype).max / 2
    lower, upper = (
        (end + side * room).nan_to_num(side * math.inf, math.inf, -math.inf) for end, side in zip(box._box, (-1, 1))
    )
    return IntervalTensor(lower.masked_fill(lower > largest, largest), upper.masked_fill(upper < -largest, -largest))


BALLS = {"small": (0.05, 1.0), "huge": (0.0, 1e20), "zero": (0.0, 0.0)}
MORE_BALLS = {"points": (0.0, 1.0), "wide": (2.0, 1.0), "huge and wide": (1e19, 1e20), "tiny": (0.0, 1e-20)}
each_function = pytest.mark.parametrize("function", list(functions()), ids=spelled)


def check(function, balls):
    lines = [f"{name}: {line}" for name, ball in balls.items() for line in faults(function, *ball)]
    assert not lines, "\n".join(lines)


@each_function
def test_odd_numbers(function):
    check(function, BALLS)


@pytest.mark.slow
@each_function
def test_odd_numbers_on_more_boxes(function):
    check(function, MORE_BALLS)
