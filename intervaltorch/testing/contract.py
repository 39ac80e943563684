"""The properties that every interval rule must have, each an assertion, and `check_op` for all of them.

The function's value in float64 stands for the exact answer at a point. Its error is far below the width that a box in
float32 has from rounding. No tolerance here is chosen: in outward mode a box contains the exact answer; in nearest mode
its bounds are as near to the exact bounds as outward bounds and torch's own results are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from .._records.registry import OPS, Op
from .._rounding import EXACT, rounding
from .._tensor.interval import IntervalTensor
from ._boxes import STEP, is_box, is_real, joined, largest, loosened, lower_of, moderate, one_point, shrunk, stretched
from ._comparison import (
    aligned,
    assert_alike,
    assert_all,
    assert_gap_shrinks,
    assert_near,
    gap,
    own_error,
    spanned,
    with_constants,
)
from ._trees import boxes_in, flatten, map_tensors, real_parts, to_float64
from .enclosure import assert_encloses
from .points import covering_boxes, sample_points, smooth_boxes

__all__ = [
    "check_gradient",
    "check_nested",
    "check_op",
    "check_result",
    "check_sound",
    "check_thin",
    "check_unbounded",
    "reference",
]

inf = float("inf")
Function = Callable[..., Any]


def check_op(function: Function, *inputs: Any, samples: int = 32, **kwargs: Any) -> None:
    """Check all properties of a rule: `check_sound`, `check_result`, `check_nested`, `check_thin`, `check_gradient`.

    Args:
        function: any function on tensors, registered or not.
        *inputs: its arguments, with interval tensors of dtype float32 or bool where it is to be bounded, points and
            empty ones too. If left out, the function is taken to be elementwise in one argument and is checked on boxes
            that cover its domain, infinite ones included (`check_unbounded`).
        samples: how many points of each box to try.
        **kwargs: its keyword arguments.

    Raises:
        AssertionError: saying which property fails, where, and by how much.
        IntervalError: if the function refuses these inputs.
        ValueError: if no argument is an interval tensor, or one is of another floating dtype than float32.

    Example:
        >>> import torch, intervaltorch as it
        >>> check_op(torch.exp)
        >>> check_op(torch.add, it.IntervalTensor(torch.zeros(3), torch.ones(3)), torch.ones(3), alpha=2)
    """
    record = _record(function)
    if inputs or kwargs:
        _check_inputs(inputs, kwargs)
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

    The error that rounding may cause in a bound of nearest mode is measured without this bound. It is the distance of
    the outward bound from the exact bound, for which the outward bound in float64 stands. If no budget is stated, the
    error of torch's own results at points is added. The gap between both modes must also shrink with the unit roundoff.

    Args:
        function: any function on tensors.
        *inputs: its arguments, with interval tensors.
        samples: how many points of each box to try, at least 3.
        critical: further arguments to try, each with its neighbours.
        **kwargs: its keyword arguments.

    Raises:
        AssertionError: naming mode, entry, bounds and value.
    """
    record = _record(function)
    budget = record.budget if record else None
    outward, nearest = (_run(mode, function, inputs, kwargs) for mode in ("outward", "nearest"))
    first, singles, values = None, [], []
    for args, named in _points(inputs, kwargs, samples, critical):
        value = real_parts(reference(function, *args, **named))
        first = value if first is None else first
        for result, mode in ((outward, "outward"), (spanned(nearest, outward), "nearest")):
            exact = with_constants(result, value, first)
            _assert_encloses(result, exact, function, args, named, f"the box of {mode} mode", (inputs, kwargs))
        if not budget:
            singles.append(flatten(_run("nearest", function, args, named))[0])
            values.append(flatten(value)[0])
    told = functools.partial(_told, (inputs, kwargs), None)
    inputs, kwargs = to_float64((inputs, kwargs))
    outward64, nearest64 = (_run(mode, function, inputs, kwargs) for mode in ("outward", "nearest"))
    assert_gap_shrinks(outward, nearest, outward64, nearest64, record.image if record else (-inf, inf), told)
    own = None if budget else own_error(singles, values)
    assert_near(outward, nearest, outward64, nearest64, own, budget == EXACT, told)


def check_result(function: Function, *inputs: Any, **kwargs: Any) -> None:
    """Check that the result has the structure, shapes and dtypes of torch's result.

    Raises:
        AssertionError: with the difference.
    """
    result = _run("nearest", function, inputs, kwargs)
    args, named = map_tensors(lower_of, (inputs, kwargs))
    assert_alike(result, _run("nearest", function, args, named), "the result")


def check_nested(function: Function, *inputs: Any, **kwargs: Any) -> None:
    """Check that X inside Y implies F(X) inside F(Y), up to the outward gaps of both.

    Raises:
        AssertionError: naming the entry.
    """
    smaller = map_tensors(shrunk, (inputs, kwargs))
    results = (_run(mode, function, *tree) for tree in (smaller, (inputs, kwargs)) for mode in ("nearest", "outward"))
    for inner, inner_wide, outer, outer_wide in aligned(*results):
        low = outer_wide.lower.double() - gap(outer.lower, outer_wide.lower) - gap(inner.lower, inner_wide.lower)
        high = outer_wide.upper.double() + gap(outer_wide.upper, outer.upper) + gap(inner_wide.upper, inner.upper)
        inside = (low <= inner.lower) & (inner.upper <= high)
        assert_all(inside, inner, "a smaller input gives a box outside that of the larger input")


def check_thin(function: Function, *inputs: Any, **kwargs: Any) -> None:
    """Check in float64 that a point goes to a point, up to rounding: half of the digits survive.

    Raises:
        AssertionError: naming the entry and its box.
    """
    args, named = map_tensors(one_point, to_float64((inputs, kwargs)))
    scale = max([1.0, *(largest(box) for box in boxes_in((args, named)))])
    for box in filter(is_real, boxes_in(_run("outward", function, args, named))):
        allowed = 2.0**-26 * box.magnitude.clamp(min=scale)
        assert_all((box.width <= allowed) | box.magnitude.isinf(), box, "a point gives a wide box")


def check_unbounded(function: Function, *inputs: Any, **kwargs: Any) -> None:
    """Check boxes that reach infinity on either side or both: no NaN, and moderate values are contained.

    Boxes stay inside the domain of a registered function.

    Raises:
        AssertionError: naming the entry.
    """
    record = _record(function)
    low, high = record.domain if record else (-inf, inf)
    for below, above in ((low, high), (low, None), (None, high)):
        boxes = map_tensors(lambda x: stretched(x, below, above), (inputs, kwargs))  # noqa: B023
        for mode in ("nearest", "outward"):
            result = _run(mode, function, *boxes)
            for box in filter(is_real, boxes_in(result)):
                assert_all(box.lower <= box.upper, box, f"{mode}: an infinite input gives a crossed or NaN box")
        finite, finite_kwargs = map_tensors(moderate, boxes)
        for args, named in _points(finite, finite_kwargs, 8, ()):
            value = real_parts(reference(function, *args, **named))
            exact = with_constants(result, value, value)
            what = "the box of an infinite input"
            _assert_encloses(result, exact, function, args, named, what, boxes)


def check_gradient(function: Function, *inputs: Any, **kwargs: Any) -> None:
    """Compare gradients of both bounds, with respect to the ends of every box and every plain tensor, with differences.

    `torch.autograd.gradcheck` in float64; ends should lie away from points where the function has no derivative.
    The gradients of outward mode must be those of nearest mode. Infinite bounds are left out. Where a box has no width,
    or hardly any, its ends are moved together.

    Raises:
        AssertionError: if they differ; it carries the message of `gradcheck`.
    """
    tensors, rebuild = flatten(to_float64((inputs, kwargs)))
    if not any(is_real(x) for x in tensors):
        return
    ends = [end.detach().clone() for x in tensors for end in ((x.lower, x.upper) if is_box(x) else (x,))]
    ends = [end.requires_grad_(end.dtype.is_floating_point) for end in ends]

    def bounds(mode: str, ends: tuple[Tensor, ...]) -> list[Tensor]:
        rest = iter(ends)
        args, named = rebuild([joined(x, next(rest), next(rest)) if is_box(x) else next(rest) for x in tensors])
        return [end for box in boxes_in(_run(mode, function, args, named)) for end in (box.lower, box.upper)]

    nearest, outward = bounds("nearest", tuple(ends)), bounds("outward", tuple(ends))
    kept = [end.isfinite() & end.requires_grad for end in nearest]

    def finite(*ends: Tensor) -> tuple[Tensor, ...]:
        return tuple(end[keep] for end, keep in zip(bounds("nearest", ends), kept, strict=True) if bool(keep.any()))

    if not finite(*ends):
        return
    try:
        torch.autograd.gradcheck(finite, ends, eps=STEP, fast_mode=sum(end.numel() for end in ends) > 100)
    except GradcheckError as error:
        raise AssertionError(f"gradients of the bounds are wrong: {error}") from error
    if len(nearest) == len(outward):
        expected, got = (_gradients(modal, kept, ends) for modal in (nearest, outward))
        torch.testing.assert_close(got, expected, msg="gradients differ between outward and nearest mode")


def reference(function: Function, *args: Any, **kwargs: Any) -> Any:
    """Return the function's value in float64: the answer that bounds in float32 must contain.

    Example:
        >>> import torch
        >>> reference(torch.exp, torch.tensor(1.0)).item()
        2.718281828459045
    """
    args, kwargs = to_float64((args, kwargs))
    return function(*args, **kwargs)


def _check_inputs(inputs: Any, kwargs: Any) -> None:
    """Refuse arguments of which there is nothing to check."""
    boxes = list(boxes_in((inputs, kwargs)))
    if not boxes:
        raise ValueError(
            "there is nothing to check: no argument is an interval tensor; pass one where the function is to be"
            " bounded, as in check_op(torch.add, IntervalTensor.from_ball(x, 0.1), y)"
        )
    for box in boxes:
        if box.dtype.is_floating_point and box.dtype is not torch.float32:
            raise ValueError(
                f"an argument is an interval tensor of dtype {box.dtype}: pass it as float32, because float64 is what"
                " it is compared with"
            )


# --- running and sampling ---------------------------------------------------------------------------------------------


def _record(function: Function) -> Op | None:
    try:
        return OPS[function].op
    except (KeyError, TypeError):
        return None


def _run(mode: Any, function: Function, inputs: Any, kwargs: Any) -> Any:
    """Run the function on copies, so that in-place functions do not change the inputs."""
    inputs, kwargs = map_tensors(lambda x: x.clone(), (inputs, kwargs))
    with rounding(mode):
        return real_parts(function(*inputs, **kwargs))


def _points(inputs: Any, kwargs: Any, samples: int, critical: tuple[float, ...]) -> Iterator[tuple[Any, Any]]:
    """Iterate over the arguments at points of the boxes."""
    generator = torch.Generator().manual_seed(samples)
    tensors, rebuild = flatten((inputs, kwargs))
    drawn = [sample_points(x, samples, critical=critical, generator=generator) if is_box(x) else x for x in tensors]
    boxes = [position for position, x in enumerate(tensors) if is_box(x)]
    for first, second in ((0, 1), (1, 0)) if len(boxes) > 1 else ():  # corners at which the boxes are at opposite ends
        for count, position in enumerate(boxes):
            points = drawn[position]
            drawn[position] = torch.cat([points, points[[second if count % 2 else first]]])
    for position in range(samples + 3 * len(critical) + (2 if len(boxes) > 1 else 0)):
        chosen = ((points[position] if is_box(x) else x) for x, points in zip(tensors, drawn, strict=True))
        yield rebuild([x.clone() for x in chosen])


def _gradients(bounds: list[Tensor], kept: list[Tensor], ends: list[Tensor]) -> list[Tensor]:
    """Gradients of a weighted sum of the bounds that are kept."""
    total = sum((k + 1) * end[keep].sum() for k, (end, keep) in enumerate(zip(bounds, kept, strict=True)))
    floating = [end for end in ends if end.requires_grad]
    return list(torch.autograd.grad(total, floating, allow_unused=True, materialize_grads=True))  # type: ignore[arg-type]


def _assert_encloses(
    result: Any, value: Any, function: Function, args: Any, kwargs: Any, what: str, boxes: Any
) -> None:
    try:
        assert_encloses(result, value, what=what)
    except AssertionError as error:
        if not _meets(result, value, function, args, kwargs):
            raise AssertionError(f"{error}{_told(boxes, (args, kwargs), getattr(error, 'index', ()))}") from None


def _told(boxes: Any, points: Any, index: tuple[int, ...]) -> str:
    """Name the inputs, at this index if they have it, and say what to check."""
    lines = []
    given = [*flatten(boxes)[0]]
    tried = [*flatten(points)[0]] if points is not None else given
    for box, point in zip(given, tried, strict=True):
        if is_box(box):
            fits = len(index) == box.ndim and all(i < n for i, n in zip(index, box.shape))
            shown = [x[index] if fits else x for x in (box.lower, box.upper, *([] if points is None else [point]))]
            if shown[0].ndim == 0:
                low, high, *tested = (f"{x.item():.17g}" for x in shown)
                lines.append(f"the input box is [{low}, {high}]" + "".join(f", the point {x}" for x in tested))
    lines.append(
        "check what is stated about the function: its direction or critical points, domain, image and budget; for a"
        " function whose terms cancel, state a larger budget, or write the function without cancellation"
    )
    return "".join(f"\n  {line}" for line in lines)


def _meets(result: Any, value: Any, function: Function, args: Any, kwargs: Any) -> bool:
    """Whether the exact value may lie in the result although its float64 approximation does not.

    The exact value lies in the outward float64 box at this point. That box must be thin and near the approximation,
    whose own error is then what puts it outside; and it must meet the result. Bounds that commit no rounding error,
    such as the range of the values in attention, need this.
    """
    tensors, rebuild = flatten(to_float64((args, kwargs)))
    points, named = rebuild([IntervalTensor.point(x) if x.dtype.is_floating_point else x for x in tensors])
    exact = _run("outward", function, points, named)
    try:
        assert_encloses(map_tensors(loosened, exact), value)
    except AssertionError:
        return False
    for box, near in aligned(result, exact):
        if not is_real(box):
            return False
        thin = near.width <= 2.0**-40 * largest(near)
        if bool((near.isdisjoint(box) | ~(thin | box.contains(near))).any()):
            return False
    return True
