"""No function gives a plain tensor or number for a value that varies over the box.

Every sample of torch, and every function that torch lets a tensor subclass answer, is called on boxes of positive
width. What comes back plain must be what the function gives at every point of the boxes.
"""

import itertools
import numbers

import numpy as np
import pytest
import torch
from torch.overrides import get_overridable_functions, get_testing_overrides, resolve_name

from intervaltorch import IntervalTensor
from intervaltorch._theorems.undecided import Undecided
from intervaltorch.testing import sample_points
from intervaltorch.testing._trees import flatten, map_tensors
from tests.calls import arguments
from tests.test_op_samples import OPS, by_name, samples

pytestmark = pytest.mark.usefixtures("quiet")

FUNCTIONS = list(dict.fromkeys([*itertools.chain(*get_overridable_functions().values()), *get_testing_overrides()]))

POINTS = 8


def outcome(function, args, kwargs):
    """What a call on copies returns, or `RAISES`; draws are the same at each call."""
    args, kwargs = map_tensors(lambda x: x.clone(), (args, kwargs))
    torch.default_generator.manual_seed(0)
    try:
        return function(*args, **kwargs)
    except Exception:
        return RAISES


RAISES = object()


def plain_leaves(result):
    """What is neither box nor undecided in a result, by its place."""
    if isinstance(result, (IntervalTensor, Undecided)):
        return {}
    if isinstance(result, (tuple, list)):
        pairs = ((str(place), item) for place, item in enumerate(result))
        return {f"{place}.{rest}": leaf for place, item in pairs for rest, leaf in plain_leaves(item).items()}
    return {"": result} if isinstance(result, (torch.Tensor, numbers.Number, np.ndarray, torch.Size)) else {}


def at(result, place):
    for position in place.split(".")[:-1]:
        result = result[int(position)]
    return result


def check_constant(function, args, kwargs):
    """What is plain in the result on boxes is what the function gives at every point of the boxes."""
    plain = plain_leaves(outcome(function, args, kwargs))
    if not plain:
        return
    tensors, rebuild = flatten((args, kwargs))
    drawn = [sample_points(x, POINTS) if isinstance(x, IntervalTensor) else None for x in tensors]
    trees = (rebuild([x if p is None else p[k] for x, p in zip(tensors, drawn, strict=True)]) for k in range(POINTS))
    values = [value for tree in trees if (value := outcome(function, *tree)) is not RAISES]  # torch may refuse a point
    for place, leaf in plain.items():
        for value in values:
            assert same(at(value, place), at(values[0], place)), f"{leaf} is plain, and varies: {at(value, place)}"
            torch.testing.assert_close(leaf, at(value, place), equal_nan=True)


def same(x, y):
    if isinstance(x, torch.Tensor):
        return x.shape == y.shape and torch.equal(x.nan_to_num(), y.nan_to_num())
    return bool(np.all(x == y))


def with_boxes(tree):
    """A box for each floating tensor, together (also wide ones) and alone, of positive width everywhere."""
    tensors, rebuild = flatten(tree)
    dense = [i for i, x in enumerate(tensors) if x.layout == torch.strided]
    places = [i for i in dense if tensors[i].dtype.is_floating_point]
    places = places or [i for i in dense if tensors[i].dtype is torch.bool]
    for chosen in dict.fromkeys([tuple(places), *((place,) for place in places)]):
        for radius in (0.05, 1.0) if len(chosen) == len(places) else (0.05,):
            if chosen:
                yield rebuild([box(x, radius) if i in chosen else x for i, x in enumerate(tensors)])


def box(x, radius):
    if x.dtype is torch.bool:
        return IntervalTensor(torch.zeros_like(x), torch.ones_like(x))
    return IntervalTensor.from_ball(x.detach(), radius * (0.5 + x.detach().abs()))


def two_samples(op):
    if op.full_name not in _SAMPLES:
        _SAMPLES[op.full_name] = list(samples(op, 2))
    return _SAMPLES[op.full_name]


_SAMPLES = {}


# --- torch's samples --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", OPS, ids=by_name)
def test_samples(op):
    for args, kwargs in two_samples(op):
        for boxes, named in with_boxes((args, kwargs)):
            for function in (op.op, op.method_variant, op.inplace_variant):
                if function is not None:
                    check_constant(function, boxes, named)


# --- every function ---------------------------------------------------------------------------------------------------

BY_NAME = {}
for _op in OPS:
    BY_NAME.setdefault(_op.name.rpartition(".")[2], []).append(_op)

x, y = torch.tensor([0.3, -0.7, 1.2, 0.6]), torch.tensor([0.5, 0.25, -1.5, 2.0])
SIMPLE = ((x,), (x, y), (x, 2), (torch.tensor([[2.0, 0.3], [0.2, 1.5]]),), (x, 0, 1))

# They want hardware.
WITHOUT_CALL = {"torch.Tensor.cuda", "torch.Tensor.pin_memory"}
# Both bounds in a form for files; a number that belongs to the object.
OWN = {"torch.Tensor.__reduce_ex__", "torch.Tensor._cdata.__get__"}


def call_of(function):
    """Arguments that a function takes: those of the table, of torch's samples for its name, or simple ones."""
    listed = arguments(function)
    if listed is not None:
        return listed
    name = (resolve_name(function) or getattr(function, "__name__", "")).removesuffix(".__get__").rpartition(".")[2]
    stem = name.strip("_")
    found = itertools.chain(*(BY_NAME.get(n, ()) for n in dict.fromkeys((name, stem, f"__r{stem}__"))))
    candidates = itertools.chain(*(two_samples(op) for op in found), ((args, {}) for args in SIMPLE))
    return next((call for call in candidates if takes(function, call)), None)


def takes(function, call):
    result = outcome(function, *call)
    return result is not RAISES and result is not NotImplemented


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: resolve_name(f) or getattr(f, "__name__", str(f)))
def test_every_function(function):
    if resolve_name(function) in OWN:
        pytest.skip("is the box's own")
    call = call_of(function)
    if call is None:
        assert resolve_name(function) in {None, *WITHOUT_CALL}, "give it arguments in tests/calls.py"
        pytest.skip("no call")
    for boxes, named in with_boxes(call):
        check_constant(function, boxes, named)
