"""Arguments that torch refuses: boxes raise torch's own error, or a refusal of the library, and never give a result.

The wrong arguments are torch's own (`error_inputs` of its op and module tables), and those made from its samples: other
shapes, other dtypes, integers out of range, an unknown keyword. What torch takes must be enclosed, or refused by name.
"""

import operator
import re

import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_modules import module_db

from intervaltorch import DomainError, EscapeError, IntervalTensor, rounding, testing
from intervaltorch.testing._trees import flatten, map_tensors, to_float64
from tests.test_op_samples import ENCLOSED, OPS, REFUSALS, UNBOUND, by_name, samples

pytestmark = pytest.mark.usefixtures("quiet")

INTERNAL = re.compile(r"\bBox\b|_box\b|NoneType|object has no attribute")


def outcome(function, args, kwargs):
    """What a call returns, or the exception that it raises."""
    try:
        args, kwargs = map_tensors(lambda x: x.clone(), (args, kwargs))
        return function(*args, **kwargs)
    except Exception as error:
        return error


def check_error(function, boxes, kwargs, refused):
    """The call on boxes raises what torch raised, or a refusal."""
    result = outcome(function, boxes, kwargs)
    assert isinstance(result, Exception), f"torch raises {refused!r}, the box gives {result!r}"
    assert isinstance(result, (type(refused), *REFUSALS)), f"torch raises {refused!r}, the box {result!r}"
    if not isinstance(result, REFUSALS):
        assert not INTERNAL.search(str(result)) or INTERNAL.search(str(refused)), f"it shows its inside: {result!r}"


def floating(tensors):
    """Which of some tensors can be boxes."""
    usable = (x.dtype.is_floating_point and x.layout == torch.strided and bool(x.isfinite().all()) for x in tensors)
    return [position for position, fits in enumerate(usable) if fits]


def with_boxes(tree, chosen):
    """Replace some of the tensors of a tree by boxes."""
    tensors, rebuild = flatten(tree)
    return rebuild([box(x) if position in chosen else x for position, x in enumerate(tensors)])


def box(x):
    return IntervalTensor.from_ball(x.detach(), x.detach().abs() / 8)


# --- torch's own wrong arguments --------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [op for op in op_db if op.error_inputs_func is not None], ids=by_name)
def test_wrong_arguments_of_torch(op):
    for wrong in op.error_inputs("cpu"):
        sample = wrong.sample_input
        tree = (sample.input, *sample.args), sample.kwargs
        refused = outcome(op.op, *tree)
        if not isinstance(refused, Exception):
            continue  # an error on other devices
        places = attempt(floating, flatten(tree)[0]) or ()
        for chosen in dict.fromkeys([*((place,) for place in places), tuple(places)]):
            if chosen and (boxes := attempt(with_boxes, tree, chosen)):
                check_error(op.op, *boxes, refused)


def attempt(function, *args):
    """The result of a function, or None: some wrong arguments, of 65 dimensions, cannot even be made boxes."""
    result = outcome(function, args, {})
    return None if isinstance(result, Exception) else result


@pytest.mark.parametrize(
    "info", [info for info in module_db if info.module_error_inputs_func is not None], ids=lambda info: info.name
)
def test_wrong_inputs_of_modules(info):
    wrong = info.module_error_inputs_func(info, device="cpu", dtype=torch.float32, requires_grad=False, training=False)
    for case in wrong:
        given = case.module_error_input
        module = outcome(info.module_cls, given.constructor_input.args, given.constructor_input.kwargs)
        if isinstance(module, Exception) or given.forward_input is None:
            continue  # wrong options, not wrong tensors
        tree = given.forward_input.args, given.forward_input.kwargs
        refused = outcome(module, *tree)
        places = floating(flatten(tree)[0])
        if isinstance(refused, Exception) and places:
            check_error(module, *with_boxes(tree, places), refused)


# --- arguments made wrong ---------------------------------------------------------------------------------------------


def wrong_arguments(tree):
    """Variants of arguments, each with the position of a tensor that stays plain, or None."""
    tensors, _ = flatten(tree)
    for place, x in enumerate(tensors):
        yield replaced(tree, torch.Tensor, place, longer), None
        yield replaced(tree, torch.Tensor, place, lambda x: x[None, None, None]), None
        if x.dtype.is_floating_point:
            for dtype in (torch.bool, torch.int64, torch.complex64, torch.float64):
                yield replaced(tree, torch.Tensor, place, lambda x, dtype=dtype: x.to(dtype)), place
    for place, leaf in enumerate(found(tree, int)):
        for value in (99, -99) if type(leaf) is int else ():
            yield replaced(tree, int, place, lambda _, value=value: value), None
    yield (tree[0], {**tree[1], "nonsense": 1}), None


def longer(x):
    """A row more, or seven entries instead of one number."""
    return torch.cat([x, x[:1]]) if x.ndim else x.expand(7).clone()


def found(tree, kind):
    leaves = []
    map_tensors(leaves.append, tree, kind)
    return leaves


def replaced(tree, kind, place, change):
    """Change one of the leaves of a kind."""
    positions = iter(range(len(found(tree, kind))))
    return map_tensors(lambda leaf: change(leaf) if next(positions) == place else leaf, tree, kind)


def smallest_sample(op):
    """The first small sample, to which wrong arguments are then made."""
    for args, kwargs in samples(op, 8):
        sizes = [x.numel() for x in flatten((args, kwargs))[0]]
        if 0 < sum(sizes) <= 2000 and min(sizes):
            return args, kwargs
    return None


@pytest.mark.parametrize("op", [op for op in OPS if op.full_name in ENCLOSED and op.name not in UNBOUND], ids=by_name)
def test_wrong_arguments(op):
    tree = smallest_sample(op)
    if tree is None:
        pytest.skip("no small sample")
    for variant, plain in wrong_arguments(tree):
        tensors, _ = flatten(variant)
        chosen = [place for place in floating(tensors) if place != plain]
        if not chosen or sum(x.numel() for x in tensors) > 10_000:
            continue
        boxes, kwargs = with_boxes(variant, chosen)
        refused, other = (outcome(op.op, *ends(end, boxes, kwargs)) for end in ("lower", "upper"))
        if isinstance(refused, Exception) and isinstance(other, Exception):
            check_error(op.op, boxes, kwargs, refused)
        elif not isinstance(refused, Exception) and not isinstance(other, Exception):
            check_result(op.op, boxes, kwargs)


def ends(end, *tree):
    return map_tensors(lambda x: getattr(x, end, x), tree)


def check_result(function, boxes, kwargs):
    """What torch takes is enclosed, in shapes and dtypes as torch's, or refused by name."""
    try:
        testing.check_result(function, *boxes, **kwargs)
        with rounding("outward"):
            result = function(*boxes, **kwargs)
    except REFUSALS:
        return
    for end in ("lower", "upper", "center"):
        args, named = precise(ends(end, boxes, kwargs))
        testing.assert_encloses(result, function(*args, **named))


def precise(tree):
    return map_tensors(lambda x: x.to(torch.complex128) if x.is_complex() else x, to_float64(tree))


# --- by hand ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("low, high", [(-0.1, 0.5), (0.5, 1.1), (2.0, 3.0)])
def test_a_draw_wants_probabilities(low, high):
    probabilities = IntervalTensor(torch.tensor([0.25, low]), torch.tensor([0.5, high]))
    for draw in (torch.bernoulli, torch.Tensor.bernoulli):
        with pytest.raises(DomainError, match="bernoulli"):
            draw(probabilities)
    assert not isinstance(probabilities.bernoulli(0.5), IntervalTensor)


def test_methods_of_tensors_called_unbound_are_those_of_the_box():
    X = IntervalTensor(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0]))
    for method in (torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.__float__, torch.Tensor.data_ptr):
        with pytest.raises(EscapeError):
            method(X[0])
    assert torch.Tensor.__repr__(X) == repr(X)
    copy = torch.Tensor.__deepcopy__(X, {})
    assert copy.lower.equal(X.lower) and copy.upper.equal(X.upper) and copy is not X
    rebuild, state = torch.Tensor.__reduce_ex__(X, 2)
    assert rebuild(*state).upper.equal(X.upper)
    assert torch.Tensor.requires_grad_(X) is X and X.lower.requires_grad and X.upper.requires_grad
    assert torch.Tensor.detach_(X) is X and not X.lower.requires_grad


class Other:
    """An operand that torch does not know, and that knows how to answer."""

    def __rpow__(self, other):
        return "answered"

    __rtruediv__ = __rfloordiv__ = __rmul__ = __radd__ = __rsub__ = __rmod__ = __rmatmul__ = __rpow__
    __pow__ = __truediv__ = __floordiv__ = __mul__ = __add__ = __sub__ = __mod__ = __matmul__ = __rpow__


OPERATORS = ("pow", "truediv", "floordiv", "mul", "add", "sub", "mod", "matmul", "ipow", "itruediv", "iadd")


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_leaves_unknown_operands_the_answer(name):
    combine, x = getattr(operator, name), torch.ones(2)
    X = IntervalTensor(x, x + 1)
    assert combine(Other(), X) == combine(X.clone(), Other()) == "answered"
    for operands, plain in (((X, None), (x, None)), ((None, X), (None, x)), ((X, {}), (x, {}))):
        with pytest.raises(TypeError):
            combine(*plain)
        with pytest.raises(TypeError):
            combine(*operands)
