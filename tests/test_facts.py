"""What the records say for relaxations: in which arguments a function is affine, and which program computes the same.

The calls are those with which torch tests itself (`op_db`), and those of `calls.py`.
"""

import functools
import inspect
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch.testing._internal import common_utils
from torch.testing._internal.common_methods_invocations import op_db

from intervaltorch import IntervalTensor
from intervaltorch._records.registry import EVERYTHING, OPS
from intervaltorch.testing._trees import flatten, map_tensors
from tests.calls import arguments
from tests.table import BUILT_IN

pytestmark = pytest.mark.usefixtures("quiet")
common_utils.extract_test_fn = lambda: None  # what torch looks up in the stack for each sample takes long

REFUSED = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
"""What torch raises for arguments that it does not take, and for devices that it was not built for."""
LARGEST = 400
"""Samples with more entries than this are left out."""


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


aten = torch.ops.aten
_RESIZED = ("upsample_bilinear2d", "upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa")
_PADS = ("reflection", "replication")
CALLS = [
    (aten._softmax, (normal(3, 4), -1, False)),
    (aten._log_softmax, (normal(3, 4), -1, False)),
    (aten._safe_softmax, (normal(3, 4), -1)),
    (F.scaled_dot_product_attention, (normal(2, 3, 4), normal(2, 5, 4), normal(2, 5, 6))),
    *(
        (function, (normal(3, 4).sigmoid(), normal(4, 3).T.sigmoid(), *weights, reduction))
        for function, weights in (
            (aten.binary_cross_entropy, (None,)),
            (aten.binary_cross_entropy, (normal(4).exp(),)),
            (aten.binary_cross_entropy_with_logits, (None, None)),
            (aten.binary_cross_entropy_with_logits, (normal(4).exp(), normal(3, 1).exp())),
            (aten.huber_loss, ()),
            (aten.smooth_l1_loss, ()),
        )
        for reduction in (0, 1, 2)
    ),
    *((aten.kl_div, (normal(3, 4), normal(4, 3).T.exp(), reduction)) for reduction in (0, 1, 2)),
    *((getattr(aten, name), (normal(1, 2, 4, 4), [7, 6], False)) for name in _RESIZED),
    (aten.upsample_linear1d, (normal(1, 2, 4), [7], True)),
    (aten.upsample_trilinear3d, (normal(1, 1, 3, 3, 3), [4, 5, 6], False)),
    *((getattr(aten, f"upsample_nearest{n}d"), (normal(1, 2, *[3] * n), [5] * n)) for n in (1, 2, 3)),
    *((getattr(aten, f"{kind}_pad{n}d"), (normal(1, 2, *[3] * n), [1] * 2 * n)) for kind in _PADS for n in (1, 2, 3)),
    (aten.col2im, (normal(1, 8, 9), [4, 4], [2, 2], [1, 1], [0, 0], [1, 1])),
    (aten.im2col, (normal(1, 2, 4, 4), [2, 2], [1, 1], [0, 0], [1, 1])),
    (F.adaptive_avg_pool3d, (normal(1, 1, 4, 4, 4), 2)),
    (aten.index, (normal(4, 3), [torch.tensor([0, 2, 2])])),
    (torch.Tensor.__setitem__, (normal(4, 3), torch.tensor([0, 2]), normal(2, 3))),
    (aten._unsafe_index_put, (normal(4, 3), [torch.tensor([0, 2])], normal(2, 3))),
    (aten.copy, (normal(3), normal(1))),
    (torch.where, (normal(3, 4) > 0, normal(3, 4), normal(4))),
    (aten._fft_r2c, (normal(4, 6), [0, 1], 1, True)),
    (aten._native_batch_norm_legit_no_training, (normal(3, 4), *map(torch.exp, [normal(4)] * 4), 0.1, 1e-5)),
    (aten._scaled_dot_product_attention_math, (normal(2, 3, 4), normal(2, 5, 4), normal(2, 5, 6))),
    (aten._linalg_solve_ex, (normal(3, 3), normal(3, 1))),
]
"""Calls of functions of which no other sample is small."""


@functools.cache
def samples():
    """Calls by record: the callable, its arguments and keyword arguments, in float64."""
    found = {}
    for info in op_db:
        functions = (info.op, info.method_variant, info.aten_name and getattr(torch.ops.aten, info.aten_name, None))
        function = next((f for f in functions if f in OPS), None)
        if function is None or torch.float64 not in info.dtypes:
            continue
        torch.manual_seed(0)
        each = list(itertools.islice(info.sample_inputs("cpu", torch.float64, requires_grad=False), 40))
        for sample in each[:: max(1, len(each) // 5)]:
            found.setdefault(id(OPS[function].op), []).append((function, (sample.input, *sample.args), sample.kwargs))
    for function, args in CALLS:
        found.setdefault(id(OPS[function].op), []).append((function, args, {}))
    for op in BUILT_IN:
        for spelling in op.spellings:
            if not spelling.inplace and (call := arguments(spelling.function)) is not None:
                found.setdefault(id(op), []).append((spelling.function, *call))
                break
    return found


def calls_of(op):
    """Small calls of a function whose arguments the rule takes: the callable, and its arguments by name."""
    for function, args, kwargs in samples().get(id(op), []):
        args, kwargs = map_tensors(lambda x: x.detach().double() if x.is_floating_point() else x, (args, kwargs))
        tensors = flatten((args, kwargs))[0]
        if any(x.layout != torch.strided or not x.numel() for x in tensors) or sum(map(torch.numel, tensors)) > LARGEST:
            continue
        if not all(bool(x.isfinite().all()) for x in tensors):
            continue
        try:
            bound = inspect.signature(op.enclose).bind(*args, **kwargs)
        except TypeError:
            continue
        if "reduction" in bound.signature.parameters and "reduction" not in bound.arguments:
            continue  # the private functions in C have another default
        yield function, bound


def run(function, bound, changed):
    """The floating results, all entries in one row, with some arguments changed."""
    given = inspect.BoundArguments(bound.signature, {**bound.arguments, **changed})
    args, kwargs = map_tensors(torch.clone, (given.args, given.kwargs))
    torch.manual_seed(0)
    result = function(*args, **kwargs)
    result = args[0] if result is None else result
    found = [x for x in flatten(result)[0] if x.is_floating_point() or x.is_complex()]
    found = [torch.view_as_real(x) if x.is_complex() else x for x in found]
    return torch.cat([x.double().flatten() for x in found]) if found else torch.zeros(0)


def holders(bound):
    """The names of the arguments that hold floating tensors."""
    return [name for name, value in bound.arguments.items() if any(x.is_floating_point() for x in flatten(value)[0])]


def moved(value, generator, size, far=False):
    """Floating tensors at another place: with the signs of their entries, or anywhere."""

    def move(x):
        if not x.is_floating_point():
            return x
        if far:
            return 3 * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        return x * (1 + size * torch.rand(x.shape, generator=generator, dtype=x.dtype))

    return map_tensors(move, value)


def mixed(x, y, t):
    """The point t x + (1 - t) y of nested tensors."""
    (first, rebuild), (second, _) = flatten(x), flatten(y)
    return rebuild([t * a + (1 - t) * b if a.is_floating_point() else a for a, b in zip(first, second)])


def affine_error(function, bound, names, far=False):
    """How far the function is from affine in these arguments, relative to its size; None if it cannot be evaluated."""
    generator = torch.Generator().manual_seed(0)
    start = {name: moved(bound.arguments[name], generator, 0.3, far) for name in names}
    stop = {name: moved(bound.arguments[name], generator, 0.9, far) for name in names}
    try:
        ends = run(function, bound, start), run(function, bound, stop)
        between = run(function, bound, {name: mixed(start[name], stop[name], 0.3) for name in names})
    except REFUSED:
        return None
    expected = 0.3 * ends[0] + 0.7 * ends[1]
    if not expected.numel() or not bool(expected.isfinite().all() and between.isfinite().all()):
        return None
    size = max(1e-3, ends[0].abs().max().item(), ends[1].abs().max().item())
    return (expected - between).abs().max().item() / size


def slope_error(function, bound, names):
    """How far torch's gradients are from the slopes of the function; None if it has no gradients."""
    generator = torch.Generator().manual_seed(0)
    start = {name: moved(bound.arguments[name], generator, 0.3) for name in names}
    stop = {name: moved(bound.arguments[name], generator, 0.9) for name in names}
    leaves, rebuild = flatten(start)
    leaves = [x.clone().requires_grad_() if x.is_floating_point() else x for x in leaves]
    given = [x for x in leaves if x.requires_grad]
    try:
        at_start = run(function, bound, rebuild(leaves))
        if not at_start.requires_grad:
            return None
        weights = torch.rand(at_start.shape, generator=generator, dtype=torch.float64)
        slopes = torch.autograd.grad((weights * at_start).sum(), given, allow_unused=True)
        at_stop = run(function, bound, stop)
    except REFUSED:
        return None
    ends = [x for x in flatten(stop)[0] if x.is_floating_point()]
    change = sum((s * (b - a.detach())).sum().item() for s, a, b in zip(slopes, given, ends) if s is not None)
    found = (weights * (at_stop - at_start.detach())).sum().item()
    size = max(1e-3, abs(found), at_start.detach().abs().sum().item())
    return abs(found - change) / size


def sets_of(op, bound):
    """The claimed sets, as those of the names that hold floating tensors in this call."""
    names = holders(bound)
    sets = op.affine_sets(*bound.args, **bound.kwargs)
    return [set(names)] if sets == EVERYTHING else [jointly & set(names) for jointly in sets]


HALF = {"half", "bfloat16", "float", "chalf", "cfloat", "to", "type", "_to_copy", "type_as"}
"""Conversions, of which some round; the real functions are affine."""


@pytest.mark.parametrize("op", [op for op in BUILT_IN if op.affine_in and id(op) in samples()], ids=lambda op: op.name)
def test_affine_where_claimed(op):
    """f(t x + (1 - t) y) = t f(x) + (1 - t) f(y) in the arguments of each set, whose gradients are its slopes."""
    tolerance = 1e-2 if op.name in HALF else 1e-10
    for function, bound in calls_of(op):
        for jointly in sets_of(op, bound):
            error = affine_error(function, bound, jointly)
            assert error is None or error < tolerance, f"not affine in {jointly}, by {error:.3g}: {bound.arguments}"
            error = slope_error(function, bound, jointly)
            assert error is None or error < tolerance or op.family == "identity", (
                f"gradients in {jointly} err by {error:.3g}: {bound.arguments}"
            )


def test_no_claim_where_gradients_are_no_slopes():
    """Several values at one place, of which torch keeps any, and rows whose gradients are left out or scaled."""
    rows, twice, once = normal(4, 3), torch.tensor([1, 1]), torch.tensor([2, 1])
    by_name = {op.name: op for op in BUILT_IN}
    for name, call in {
        "index_put": lambda index: (rows, (index,), rows[:2]),
        "_unsafe_index_put": lambda index: (rows, (index,), rows[:2]),
        "__setitem__": lambda index: (rows, index, rows[:2]),
        "index_copy": lambda index: (rows, 0, index, rows[:2]),
        "put": lambda index: (rows, index, rows[0, :2]),
        "scatter": lambda index: (rows, 0, index[:, None], rows[:2, :1]),
    }.items():
        assert by_name[name].affine_sets(*call(once)) and not by_name[name].affine_sets(*call(twice)), name
    embedding = by_name["embedding"]
    assert embedding.affine_sets(rows, once) and not embedding.affine_sets(rows, once, 1)
    assert not embedding.affine_sets(rows, once, -1, True)


UNCLAIMED = {
    **dict.fromkeys(("bernoulli", "dropout", "native_dropout", "feature_dropout"), "draws a mask at each call"),
    **dict.fromkeys(("alpha_dropout", "feature_alpha_dropout"), "draws a mask at each call"),
    **dict.fromkeys(
        ("batch_norm", "instance_norm", "native_batch_norm", "_native_batch_norm_legit_no_training"),
        "no gradient in the running mean",
    ),
    **dict.fromkeys(("xlogy", "xlog1py"), "the logarithm may be infinite"),
    **dict.fromkeys(("scatter", "index_put", "put", "index_copy"), "not where several values go to one place"),
    "nan_to_num": "not where an end of the box is infinite",
    **dict.fromkeys(("quantile", "nanquantile"), "in q between neighbours only"),
    "nextafter": "moves by the last bit",
    "polar": "torch's gradient is not its slope where the absolute value is negative",
}
"""Functions that are affine in an argument, as far as the calls show, and why the record does not say so."""
UNREAD = ("reads no values", "metadata", "random")


@pytest.mark.parametrize(
    "op", [op for op in BUILT_IN if id(op) in samples() and op.family not in UNREAD], ids=lambda op: op.name
)
def test_not_affine_where_not_claimed(op):
    """A call shows it, for every argument and every pair of them that no set has."""
    errors = {}
    for function, bound in calls_of(op):
        claimed = sets_of(op, bound)
        names = holders(bound)
        single = [{name} for name in names]
        pairs = [
            set(pair) for pair in itertools.combinations(names, 2) if all(any(n in s for s in claimed) for n in pair)
        ]
        for chosen in single + pairs:
            if not any(chosen <= jointly for jointly in claimed):
                key = " ".join(sorted(chosen))
                for far in (False, True):
                    if errors.get(key, 0.0) < 1e-10:
                        error = affine_error(function, bound, chosen, far)
                        errors.update({} if error is None else {key: error})
    missing = {key for key, error in errors.items() if error < 1e-10}
    assert not missing or op.name in UNCLAIMED, f"{op.name} may be affine in {missing}"


@pytest.mark.parametrize("op", [op for op in BUILT_IN if op.products and id(op) in samples()], ids=lambda op: op.name)
def test_products_have_no_signs(op):
    """Across two sets, the size of the bilinear part for two radii bounds it for all signs of their entries."""
    generator = torch.Generator().manual_seed(0)
    compared = 0
    for function, bound in calls_of(op):
        sets = sets_of(op, bound)
        for x, y in itertools.combinations(holders(bound), 2):
            if any({x, y} <= jointly for jointly in sets) or not all(any(n in s for s in sets) for n in (x, y)):
                continue

            def bilinear(a, b, function=function, bound=bound, x=x, y=y):
                zero = {name: bound.arguments[name] * 0 for name in (x, y)}
                four = [run(function, bound, {**zero, **named}) for named in ({x: a, y: b}, {x: a}, {y: b}, {})]
                return four[0] - four[1] - four[2] + four[3]

            try:
                radii = [bound.arguments[name].abs() for name in (x, y)]
                most = bilinear(*radii).abs()
                for _ in range(4):
                    signs = [torch.randint(0, 2, r.shape, generator=generator) * 2.0 - 1 for r in radii]
                    some = bilinear(*(r * s for r, s in zip(radii, signs))).abs()
                    assert bool((some <= most + 1e-9 * (1 + most)).all()), (x, y)
            except RuntimeError:
                continue
            compared += 1
    assert compared


def composed(op, bound):
    """What the program of parts returns at points."""
    program = op.parts
    args, kwargs = map_tensors(
        lambda x: IntervalTensor.point(x.clone()) if x.is_floating_point() else x, (bound.args, bound.kwargs)
    )
    kinds = {parameter.kind for parameter in bound.signature.parameters.values()}
    if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        return program(*args, **kwargs)
    first, *rest = bound.signature.bind(*args, **kwargs).arguments.items()
    return program(first[1], **dict(rest))


@pytest.mark.parametrize("op", [op for op in BUILT_IN if op.parts], ids=lambda op: f"{op.name}-{op.topic}")
def test_parts_compute_the_same(op):
    """At points, for all arguments that the program takes."""
    compared = 0
    for function, bound in calls_of(op):
        try:
            expected = run(function, bound, {})
        except REFUSED:
            continue
        result = composed(op, bound)
        if result is NotImplemented or not bool(expected.isfinite().all()):
            continue
        found = [x for x in flatten(result)[0] if isinstance(x, IntervalTensor) or x.is_floating_point()]
        found = torch.cat([getattr(x, "center", x).double().flatten() for x in found])
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
        compared += 1
    assert compared, "no call was compared"
