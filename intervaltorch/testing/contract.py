"""What every interval rule owes: six properties, each an assertion, and `check_op` for all of them.

The exact answer at a point is taken to be the function's value in float64, whose own error is far below what
a bound in float32 leaves open. Nothing here has a tolerance for soundness: in outward mode a box contains the exact
answer, in nearest mode it does so once it is widened by the gap that outward mode adds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from .._registry import OPS, Op
from .._tensor import IntervalTensor
from ..rounding import rounding
from ._trees import boxes_in, flatten, map_tensors, to_float64
from .enclosure import assert_encloses
from .points import neighbours, sample_points

__all__ = [
    "check_gradient",
    "check_nested",
    "check_op",
    "check_result",
    "check_sound",
    "check_thin",
    "check_unbounded",
    "covering_boxes",
    "reference",
]

inf = float("inf")
Function = Callable[..., Any]


def check_op(function: Function, *inputs: Any, samples: int = 32, **kwargs: Any) -> None:
    """Check everything a rule owes: `check_sound`, `check_result`, `check_nested`, `check_thin`, `check_gradient`.

    Args:
        function: any function on tensors, registered or not.
        *inputs: its arguments, with interval tensors of dtype float32 where it is to be bounded. If left out, the
            function is taken to be elementwise in one argument and is checked on boxes that cover its domain,
            infinite ones included (`check_unbounded`).
        samples: how many points of each box to try.
        **kwargs: its keyword arguments.

    Raises:
        AssertionError: saying which property fails, where, and by how much.
        IntervalError: if the function refuses these inputs.

    Example:
        >>> import torch, intervaltorch as it
        >>> check_op(torch.exp)
        >>> check_op(torch.add, it.IntervalTensor(torch.zeros(3), torch.ones(3)), torch.ones(3), alpha=2)
    """
    record = _record(function)
    if inputs:
        check_gradient(function, *inputs, **kwargs)
    else:
        inputs = (covering_boxes(record, torch.float32),)
        check_unbounded(function, *inputs, **kwargs)
        check_gradient(function, smooth_boxes(record), **kwargs)
    check_sound(function, *inputs, samples=samples, critical=record.critical if record else (), **kwargs)
    check_result(function, *inputs, **kwargs)
    check_nested(function, *inputs, **kwargs)
    check_thin(function, *inputs, **kwargs)


# --- the properties ---------------------------------------------------------------------------------------------------


def check_sound(
    function: Function, *inputs: Any, samples: int = 16, critical: tuple[float, ...] = (), **kwargs: Any
) -> None:
    """Check that boxes contain the exact values: in outward mode, and in nearest mode up to rounding.

    The gap between the boxes of both modes must be one that rounding explains: it shrinks with the unit roundoff.

    Args:
        function: any function on tensors.
        *inputs: its arguments, with interval tensors.
        samples: how many points of each box to try, at least 3.
        critical: further arguments to try, each with its neighbours.
        **kwargs: its keyword arguments.

    Raises:
        AssertionError: naming mode, entry, bounds and value.
    """
    outward, nearest = (_run(mode, function, inputs, kwargs) for mode in ("outward", "nearest"))
    spanned = _spanned(nearest, outward)
    first = None
    for args, named in _points(inputs, kwargs, samples, critical):
        value = reference(function, *args, **named)
        first = value if first is None else first
        for result, what in ((outward, "outward"), (spanned, "nearest, widened by the outward gap,")):
            try:
                assert_encloses(result, _with_constants(result, value, first), what=what)
            except AssertionError:
                if not _meets(result, function, args, named, value):
                    raise
    inputs, kwargs = to_float64((inputs, kwargs))
    _assert_gap_shrinks(outward, nearest, *(_run(mode, function, inputs, kwargs) for mode in ("outward", "nearest")))


def check_result(function: Function, *inputs: Any, **kwargs: Any) -> None:
    """Check that a box comes back wherever torch returns a floating tensor, with its structure, shape and dtype.

    Raises:
        AssertionError: naming what differs.
    """
    result = _run("nearest", function, inputs, kwargs)
    args, named = map_tensors(_lower, (inputs, kwargs))
    _assert_alike(result, _run("nearest", function, args, named), "the result")


def check_nested(function: Function, *inputs: Any, **kwargs: Any) -> None:
    """Check that X inside Y implies F(X) inside F(Y), up to the outward gaps of both.

    Raises:
        AssertionError: naming the entry.
    """
    smaller = map_tensors(_shrunk, (inputs, kwargs))
    results = (_run(mode, function, *tree) for tree in (smaller, (inputs, kwargs)) for mode in ("nearest", "outward"))
    for inner, inner_wide, outer, outer_wide in _aligned(*results):
        low = outer_wide.lower.double() - _gap(outer.lower, outer_wide.lower) - _gap(inner.lower, inner_wide.lower)
        high = outer_wide.upper.double() + _gap(outer_wide.upper, outer.upper) + _gap(inner_wide.upper, inner.upper)
        inside = (low <= inner.lower) & (inner.upper <= high)
        _assert_all(inside, inner, "a smaller input gives a box outside that of the larger input")


def check_thin(function: Function, *inputs: Any, **kwargs: Any) -> None:
    """Check in float64 that a point goes to a point, up to rounding: half of the digits survive.

    Raises:
        AssertionError: naming the entry and its box.
    """
    args, named = map_tensors(_point, to_float64((inputs, kwargs)))
    scale = max([1.0, *(_largest(box) for box in boxes_in((args, named)))])
    for box in boxes_in(_run("outward", function, args, named)):
        if box.dtype is not torch.bool:
            allowed = 2.0**-26 * box.magnitude.clamp(min=scale)
            _assert_all((box.width <= allowed) | box.magnitude.isinf(), box, "a point gives a wide box")


def check_unbounded(function: Function, *inputs: Any, **kwargs: Any) -> None:
    """Check boxes that reach infinity on either side or both: no NaN, and moderate values are contained.

    Boxes stay inside the domain of a registered function.

    Raises:
        AssertionError: naming the entry.
    """
    record = _record(function)
    low, high = record.domain if record else (-inf, inf)
    for below, above in ((low, high), (low, None), (None, high)):
        boxes = map_tensors(lambda x: _stretched(x, below, above), (inputs, kwargs))  # noqa: B023
        for mode in ("nearest", "outward"):
            result = _run(mode, function, *boxes)
            for box in boxes_in(result):
                if box.dtype is not torch.bool:
                    _assert_all(box.lower <= box.upper, box, f"{mode}: an infinite input gives a crossed or NaN box")
        for args, named in _points(*map_tensors(_moderate, boxes), 8, ()):
            value = reference(function, *args, **named)
            assert_encloses(result, _with_constants(result, value, value), what="outward, on infinite boxes,")


def check_gradient(function: Function, *inputs: Any, **kwargs: Any) -> None:
    """Compare gradients of both bounds, with respect to the ends of every box and every plain tensor, with differences.

    `torch.autograd.gradcheck` in float64; ends should lie away from points where the function has no derivative.

    Raises:
        AssertionError: if they differ; it carries the message of `gradcheck`.
    """
    tensors, rebuild = flatten(to_float64((inputs, kwargs)))
    ends = [end.detach().clone() for x in tensors for end in ((x.lower, x.upper) if _is_box(x) else (x,))]
    ends = [end.requires_grad_(end.dtype.is_floating_point) for end in ends]

    def bounds(*ends: Tensor) -> tuple[Tensor, ...]:
        remaining = iter(ends)
        args, named = rebuild(
            [IntervalTensor(next(remaining), next(remaining)) if _is_box(x) else next(remaining) for x in tensors]
        )
        result = boxes_in(_run("nearest", function, args, named))
        return tuple(bound for box in result for bound in (box.lower, box.upper) if bound.requires_grad)

    if bounds(*ends):
        try:
            torch.autograd.gradcheck(bounds, ends, fast_mode=sum(end.numel() for end in ends) > 100)
        except GradcheckError as error:
            raise AssertionError(f"gradients of the bounds are wrong: {error}") from error


def reference(function: Function, *args: Any, **kwargs: Any) -> Any:
    """Return the function's value in float64: the answer that bounds in float32 must contain.

    Example:
        >>> import torch
        >>> reference(torch.exp, torch.tensor(1.0)).item()
        2.718281828459045
    """
    args, kwargs = to_float64((args, kwargs))
    return function(*args, **kwargs)


# --- boxes for functions of one argument ------------------------------------------------------------------------------


def covering_boxes(record: Op | None, dtype: torch.dtype, seed: int = 0) -> IntervalTensor:
    """Boxes that cover the domain of an elementwise function: every pair of notable numbers, and random ones.

    Notable are zero, the ends of the domain, critical points with their neighbours, and numbers of all sizes.

    Args:
        record: what is known about the function; None for the whole line.
        dtype: floating dtype.
        seed: of the random boxes.

    Returns:
        Boxes of shape `(n,)`.
    """
    low, high = record.domain if record else (-inf, inf)
    ends = [n for x in (low, high, *(record.critical if record else ())) if abs(x) < inf for n in neighbours(x, dtype)]
    sizes = [0.0, 1e-6, 0.1, 0.5, 1.0, 2.0, 5.0, 20.0, 90.0, 1e4, 1e10]
    notable = torch.tensor([*ends, *sizes, *(-size for size in sizes)], dtype=dtype)
    notable = notable[(notable >= low) & (notable <= high)].unique()
    lower, upper = torch.combinations(notable, with_replacement=True).unbind(1)
    if low <= 0 <= high:  # the other zero
        lower = torch.cat([lower, torch.tensor([-0.0, -0.0, -0.0, max(low, -1.0)], dtype=dtype)])
        upper = torch.cat([upper, torch.tensor([-0.0, 0.0, min(high, 1.0), -0.0], dtype=dtype)])
    generator = torch.Generator().manual_seed(seed)
    centre = 3 * torch.randn(200, generator=generator, dtype=dtype)
    radius = 10.0 ** (5 * torch.rand(200, generator=generator, dtype=dtype) - 4)
    lower = torch.cat([lower, (centre - radius).clamp(low, high)])
    upper = torch.cat([upper, (centre + radius).clamp(low, high)])
    return IntervalTensor(lower, upper)


def smooth_boxes(record: Op | None) -> IntervalTensor:
    """A few boxes in float64 inside the domain, whose ends are unlikely to be kinks."""
    low, high = record.domain if record else (-inf, inf)
    low, high = max(low, -3.0), min(high, 3.0)
    low, high = (low, high) if low < high else (low, low + 3.0)
    ends = low + (high - low) * (0.01 + 0.97 * torch.rand(2, 12, generator=torch.Generator().manual_seed(1)))
    return IntervalTensor(ends.amin(0).double(), ends.amax(0).double() + 1e-3)


# --- running and sampling ---------------------------------------------------------------------------------------------


def _record(function: Function) -> Op | None:
    try:
        return OPS[function].op
    except (KeyError, TypeError):
        return None


def _run(mode: Any, function: Function, inputs: Any, kwargs: Any) -> Any:
    """Run the function on copies, so that in-place functions leave the inputs alone."""
    inputs, kwargs = map_tensors(lambda x: x.clone(), (inputs, kwargs))
    with rounding(mode):
        return function(*inputs, **kwargs)


def _points(inputs: Any, kwargs: Any, samples: int, critical: tuple[float, ...]) -> Iterator[tuple[Any, Any]]:
    """Iterate over the arguments at points of the boxes."""
    generator = torch.Generator().manual_seed(samples)
    tensors, rebuild = flatten((inputs, kwargs))
    drawn = [sample_points(x, samples, critical=critical, generator=generator) if _is_box(x) else x for x in tensors]
    for position in range(samples + 3 * len(critical)):
        yield rebuild([(points[position] if _is_box(x) else x).clone() for x, points in zip(tensors, drawn)])


def _meets(result: Any, function: Function, args: Any, kwargs: Any, value: Any) -> bool:
    """Whether the exact value may lie in the result though its float64 approximation does not.

    The exact value lies in the outward float64 box at this point. That box must be thin and near the approximation, whose
    own error is then what puts it outside; and it must meet the result. Bounds that commit no rounding error, such as the
    range of the values in attention, need this.
    """
    tensors, rebuild = flatten(to_float64((args, kwargs)))
    points, named = rebuild([IntervalTensor.point(x) if x.dtype.is_floating_point else x for x in tensors])
    exact = _run("outward", function, points, named)
    try:
        assert_encloses(map_tensors(_loosened, exact), value)
    except AssertionError:
        return False
    for box, near in _aligned(result, exact):
        thin = near.width <= 2.0**-40 * _largest(near)
        if box.dtype is torch.bool or bool((box.double().isdisjoint(near) | ~(thin | box.contains(near))).any()):
            return False
    return True


def _loosened(x: Any) -> Any:
    """A float64 box, wider by what the evaluation of the reference may have lost."""
    if not _is_box(x) or x.dtype is torch.bool:
        return x
    loss = 2.0**-40 * _largest(x)
    return IntervalTensor(x.lower - loss, x.upper + loss)


def _is_box(x: Any) -> bool:
    return isinstance(x, IntervalTensor)


def _lower(x: Any) -> Any:
    return x.lower if _is_box(x) else x


def _point(x: Any) -> Any:
    """The box of a point of the box, one that the function's kinks are unlikely to meet."""
    return IntervalTensor.point(x.lower + 0.375 * (x.upper - x.lower)) if _is_box(x) and x.dtype != torch.bool else x


def _shrunk(x: Any) -> Any:
    """A random box inside."""
    if not _is_box(x) or x.dtype is torch.bool:
        return x
    points = sample_points(x, 6, generator=torch.Generator().manual_seed(0))[-2:]
    return IntervalTensor(points.amin(0), points.amax(0))


def _stretched(x: Any, lower: float | None, upper: float | None) -> Any:
    """The box with some ends replaced."""
    if not _is_box(x) or x.dtype is torch.bool:
        return x
    return IntervalTensor(
        x.lower if lower is None else torch.full_like(x.lower, lower),
        x.upper if upper is None else torch.full_like(x.upper, upper),
    )


def _moderate(x: Any) -> Any:
    """The part of a box within ±100, or where there is none its end nearest to zero."""
    if not _is_box(x) or x.dtype is torch.bool:
        return x
    return IntervalTensor(torch.maximum(x.lower, x.upper.clamp(max=-100)), torch.minimum(x.upper, x.lower.clamp(min=100)))


def _largest(box: IntervalTensor) -> float:
    return float(box.magnitude.max()) if box.numel() and box.dtype is not torch.bool else 0.0


# --- comparing --------------------------------------------------------------------------------------------------------


def _spanned(nearest: Any, outward: Any) -> Any:
    """The boxes of nearest mode, widened by the gap to those of outward mode."""
    boxes, rebuild = flatten(nearest)
    return rebuild([x if not _is_box(x) else x.hull(y) for x, y in zip(boxes, flatten(outward)[0])])


def _aligned(*results: Any) -> Iterator[tuple[IntervalTensor, ...]]:
    """Iterate over corresponding boxes of several results; a result that does not vary may be plain in some mode."""
    return (boxes for boxes in zip(*(flatten(result)[0] for result in results)) if all(map(_is_box, boxes)))


def _with_constants(result: Any, value: Any, first: Any) -> Any:
    """The value, with plain floating tensors of the result in place of values that are the same at every point.

    Such a tensor is torch's own result in its own precision; that nothing varies is what is checked.
    """
    if isinstance(result, (tuple, list)) and isinstance(value, (tuple, list)) and len(result) == len(value):
        return [_with_constants(*items) for items in zip(result, value, first)]
    if isinstance(result, Tensor) and not _is_box(result) and result.dtype.is_floating_point:
        if isinstance(value, Tensor) and torch.equal(value, first):
            torch.testing.assert_close(result, value.to(result.dtype), msg="a plain result differs from torch's")
            return result
    return value


def _gap(high: Tensor, low: Tensor) -> Tensor:
    """How far the first exceeds the second; 0 where both are the same infinity."""
    return (high.double() - low.double()).clamp(min=0).nan_to_num(nan=0.0)


def _assert_gap_shrinks(outward: Any, nearest: Any, outward64: Any, nearest64: Any) -> None:
    """The gap between the modes is a multiple of the unit roundoff, 2^29 times smaller in float64 than in float32.

    The factor 2^-20 leaves room for constants, the 2^-32 for a gap that an image or an exact result cut off in float32.
    """
    for wide, rough, wide64, rough64 in _aligned(outward, nearest, outward64, nearest64):
        if wide.dtype is torch.float32 and wide64.dtype is torch.float64:
            for name, sign in (("lower", -1), ("upper", 1)):
                gap = _gap(sign * getattr(wide, name), sign * getattr(rough, name))
                end, end64 = getattr(rough64, name), getattr(wide64, name)
                small = _gap(sign * end64, sign * end) <= 2.0**-20 * gap + 2.0**-32 * (1 + end.abs())
                _assert_all(small, rough64, f"the {name} bound of nearest mode is off by more than rounding explains")


def _assert_alike(result: Any, expected: Any, what: str) -> None:
    if isinstance(expected, (tuple, list)):
        if type(result) is not type(expected) or len(result) != len(expected):
            raise AssertionError(f"{what} is a {type(result)}, but torch returns a {type(expected)} of {len(expected)}")
        for position, (item, other) in enumerate(zip(result, expected)):
            _assert_alike(item, other, f"{what}[{position}]")
    elif isinstance(result, Tensor) and isinstance(expected, Tensor):
        got, want = (result.dtype, tuple(result.shape)), (expected.dtype, tuple(expected.shape))
        if got != want:
            raise AssertionError(f"{what} has dtype and shape {got}, but torch gives {want}")
        if result.requires_grad and _is_box(result) and Tensor.requires_grad.__get__(result.detach()):
            raise AssertionError(f"{what} is a wrapper that requires grad; only bounds do")


def _assert_all(good: Tensor, box: IntervalTensor, message: str) -> None:
    if bool(good.all()):
        return
    index = tuple((~good).nonzero()[0].tolist())
    low, high = box.lower[index].item(), box.upper[index].item()
    raise AssertionError(f"{message}: at index {index} it is [{low:.17g}, {high:.17g}] ({int((~good).sum())} entries)")
