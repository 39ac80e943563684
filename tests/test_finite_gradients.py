"""Gradients where slopes are hard to come by: zero width, both zeros, infinite ends, masks, huge and tiny numbers.

Where a bound is finite and torch's own derivative is, the gradient of the bound is finite, with respect to both ends of
every box and to every plain tensor, in both rounding modes. That both modes
agree is not tested here. These choices go with it:

- At an infinite end the gradient is that at a large number, which of a finite bound is (nearly) 0. An infinite bound is
  a constant.
- At a kink the gradient is one between both slopes; at the corner of a cone (a norm or a modulus at 0) it is 0. Where
  several corners of a box tie, as at zero width, both ends share the gradient, in each rounding mode in its own way.
- Where torch has no finite derivative at a corner of the box (the root or the logarithm at 0), the bound need not
  have one. Torch is asked in float64, with infinite ends at a distance of 100: see `torch_has_slopes`.
"""

import itertools
import re

import pytest
import torch

from intervaltorch import IntervalError, IntervalTensor, rounding
from intervaltorch.testing._trees import boxes_in, flatten, map_tensors, real_parts, to_float64
from tests.table import UNARY
from tests.test_op_samples import LISTED, OWN_GRADIENT, first_enclosure
from tests.test_other_spellings import CASES

pytestmark = pytest.mark.usefixtures("quiet")

inf = float("inf")
MASK, HUGE, TINY = torch.finfo(torch.float32).min, 1e30, 1.5e-40


def between(lower, upper):
    """All entries become one interval."""
    return lambda x: IntervalTensor(torch.full_like(x.lower, lower), torch.full_like(x.upper, upper))


def with_last(lower, upper):
    """The last entry becomes an interval."""

    def change(x):
        ends = [end.detach().clone(memory_format=torch.contiguous_format) for end in (x.lower, x.upper)]
        for end, value in zip(ends, (lower, upper), strict=True):
            end.view(-1)[-1:] = value
        return IntervalTensor(*ends)

    return change


def scaled(factor):
    return lambda x: IntervalTensor(x.lower * factor, x.upper * factor)


BOXES = {
    "a point": lambda x: IntervalTensor.point(x.lower + 0.375 * (x.upper - x.lower)),
    "equal points": between(0.5, 0.5),
    "0": between(0.0, 0.0),
    "-0.0": between(-0.0, -0.0),
    "from 0": between(0.0, 0.5),
    "to 0": between(-0.5, 0.0),
    "one zero": with_last(0.0, 0.0),
    "to inf": between(0.25, inf),
    "from -inf": between(-inf, 0.5),
    "the line": between(-inf, inf),
    "one to inf": with_last(0.5, inf),
    "one from -inf": with_last(-inf, 0.5),
    "one line": with_last(-inf, inf),
    "one mask": with_last(MASK, MASK),
    "one -inf": with_last(-inf, -inf),
    "masks": between(MASK, MASK),
    "a row of -inf": between(-inf, -inf),
    "huge": scaled(HUGE),
    "huge and wide": between(-HUGE, HUGE),
    "subnormal": scaled(TINY),
}


# --- every op ---------------------------------------------------------------------------------------------------------


def cases():
    for op in LISTED:
        if op.supports_autograd and op.full_name not in OWN_GRADIENT:
            yield pytest.param(op.op, lambda op=op: first_enclosure(op), id=op.full_name)
    for position, (function, inputs) in enumerate(CASES):
        if function.__name__ not in NO_DERIVATIVE:
            yield pytest.param(function, lambda inputs=inputs: (inputs, {}), id=f"{function.__name__}-{position}")
    for op in UNARY:
        if op.function(torch.ones(1, requires_grad=True)).requires_grad:
            box = IntervalTensor(torch.tensor([0.2, 0.5, 0.6]), torch.tensor([0.3, 0.5, 0.9]))
            yield pytest.param(op.function, lambda box=box: ((box,), {}), id=f"elementwise {op.name}")


NO_DERIVATIVE = {"detach_copy", "native_channel_shuffle"}  # says torch, of the private spelling


def thirds():
    """Each case with a third of the boxes, another one for the next case; the rest is slow."""
    for position, case in enumerate(cases()):
        for part in range(3):
            names = list(BOXES)[(position + part) % 3 :: 3]
            marks = [pytest.mark.slow] if part else []
            yield pytest.param(*case.values, names, id=f"{case.id}-{part}", marks=marks)


@pytest.mark.parametrize("function, case, names", list(thirds()))
def test_finite(function, case, names, request):
    tree = case()
    if tree is None:
        pytest.skip("no small sample")
    title = re.sub(r"^elementwise |(-\d+)+$", "", request.node.callspec.id)
    boxes = {name: BOXES[name] for name in names if name not in CHAINS.get(title, ())}
    failures = [
        f"{name}: {problem}"
        for name, change in boxes.items()
        for problem in problems(function, tree, change, title in OVERFLOWS)
    ]
    assert not failures, "\n".join(failures)


def problems(function, tree, change, overflows=False):
    boxes = map_tensors(lambda x: changed(x, change), tree)
    slopes = {}
    for mode in ("nearest", "outward"):
        try:
            slopes[mode] = gradients(function, boxes, mode)
        except IntervalError:
            return
        except RuntimeError as error:
            if "should be between 0 and 1" in str(error):  # torch's own, of the targets of a loss
                return
            raise
    allowed = None
    for mode, found in slopes.items():
        if any(not bool(slope.isfinite().all()) for slope in found):
            if allowed is None:
                allowed = torch_has_slopes(function, to_float64(boxes))
                if overflows:
                    here = torch_has_slopes(function, boxes)
                    allowed = [a & b for a, b in zip(allowed, here, strict=True)]
            bad = [~slope.isfinite() & where for slope, where in zip(found, allowed, strict=True)]
            if any(bool(where.any()) for where in bad):
                yield f"{mode}: {sum(int(where.sum()) for where in bad)} gradients are not finite"


def changed(x, change):
    if not isinstance(x, IntervalTensor):
        return x
    if x.dtype.is_complex:
        parts = change(IntervalTensor(*(torch.view_as_real(end.clone()) for end in (x.lower, x.upper))))
        return IntervalTensor(*(torch.view_as_complex(end.contiguous()) for end in (parts.lower, parts.upper)))
    return change(x) if x.dtype.is_floating_point else x


def differentiable(x):
    return x.dtype.is_floating_point or x.dtype.is_complex


def gradients(function, tree, mode):
    """The gradients of a weighted sum of all finite bounds, in the order of ends and plain tensors."""
    tensors, rebuild = flatten(tree)
    leaves, ends = [], []
    for x in tensors:
        parts = (x.lower, x.upper) if isinstance(x, IntervalTensor) else (x,)
        parts = [part.detach().clone().requires_grad_(differentiable(part)) for part in parts]
        ends += [part for part in parts if part.requires_grad]
        leaves.append(IntervalTensor(*parts).clone() if isinstance(x, IntervalTensor) else parts[0].clone())
    args, kwargs = rebuild(leaves)
    with rounding(mode):
        result = real_parts(function(*args, **kwargs))
    bounds = [end for box in boxes_in(result) if box.dtype.is_floating_point for end in (box.lower, box.upper)]
    kept = [bound[bound.isfinite()] for bound in bounds if bound.requires_grad]
    total = sum(((1 + torch.arange(len(end))) * end).sum() for end in kept if len(end))
    return (
        torch.autograd.grad(total, ends, allow_unused=True, materialize_grads=True) if len(kept) and total != 0 else ()
    )


def torch_has_slopes(function, boxes):
    """Whether torch's derivative at both corners and in the middle is a finite float32, for each end and tensor."""
    tensors, rebuild = flatten(boxes)
    found = []
    for shares in ((0.0,), (0.5,), (1.0,), (0.0, 1.0), (1.0, 0.0)):  # of the first box, the second, and so on
        share = itertools.cycle(shares)
        points = [torch.lerp(*finite_ends(x), next(share)) if isinstance(x, IntervalTensor) else x for x in tensors]
        points = [x.detach().clone().requires_grad_(differentiable(x)) for x in points]
        args, kwargs = rebuild([x.clone() for x in points])
        ends = [x for x in points if x.requires_grad]
        try:
            result = function(*args, **kwargs)
            values = [real_parts(y) for y in flatten(result)[0] if y.requires_grad]
            total = sum((y[y.isfinite()]).sum() for y in values)
            slopes = torch.autograd.grad(total, ends, allow_unused=True, materialize_grads=True)
        except RuntimeError as error:
            if "not differentiable with respect to" not in str(error):
                raise
            slopes = [torch.full_like(end, inf) for end in ends]
        found.append([slope.abs() < 1e35 for slope in slopes])
    ok = iter([torch.stack(each).all(0) for each in zip(*found, strict=True)])
    allowed = []
    for x in filter(differentiable, tensors):
        where = next(ok)
        allowed += [where, where] if isinstance(x, IntervalTensor) else [where]
    return allowed


def finite_ends(x):
    lower, upper = x.lower, x.upper
    if x.dtype.is_complex:
        return lower, upper
    lower = torch.where(lower == -inf, upper.clamp(max=100.0).clamp(min=0) - 100, lower).clamp(max=100.0)
    return lower, torch.where(upper == inf, lower + 100, upper).clamp(min=max(-1e300, torch.finfo(x.dtype).min))


OVERFLOWS = {
    "_scaled_dot_product_attention_math", "_scaled_dot_product_flash_attention_for_cpu", "gru", "gru_cell", "lstm_cell",
    "native_layer_norm", "pow", "renorm", "scaled_dot_product_attention",
}  # fmt: skip
"""Where gradients are multiplied by numbers so large that they overflow, torch's own in float32 is asked as well."""
CHAINS = dict.fromkeys(OVERFLOWS - {"lstm_cell", "native_layer_norm", "pow"}, ("one mask", "masks"))
"""Those in which a box meets numbers that torch's kernel does not: it adds up before it multiplies."""
