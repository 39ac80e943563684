"""Every function of torch, on torch's own sample inputs: it encloses, or it refuses by name.

The samples are those with which torch tests itself (`op_db`). Each floating tensor among the arguments becomes a box,
alone and together with the others. `enclosed_ops.txt` lists the functions that must not refuse as unsupported, or
only for some arguments ("partly"); `python tests/test_op_samples.py` prints the list as it is now.
"""

import itertools
import pathlib
import warnings

import pytest
import torch
from torch.testing._internal import common_utils
from torch.testing._internal.common_methods_invocations import op_db

from intervaltorch import (
    DomainError,
    EscapeError,
    IntervalTensor,
    UndecidedError,
    UnsupportedOpError,
    testing,
)
from intervaltorch.testing._trees import flatten, map_tensors

pytestmark = pytest.mark.usefixtures("quiet")

# For each sample torch looks up the stack for a `unittest`, which is not there and takes longer than most tests.
common_utils.extract_test_fn = lambda: None

# Their C++ bindings take a list with a tensor subclass in it for a list of numbers, and raise no error of ours.
UNBOUND = {"gradient", "histogramdd"}
REFUSALS = (UnsupportedOpError, DomainError, UndecidedError, EscapeError)
SAMPLES = 2
LIST = pathlib.Path(__file__).parent / "enclosed_ops.txt"
ENCLOSED = dict(line.split() if " " in line else (line, "all") for line in LIST.read_text().splitlines())
OPS = [op for op in op_db if {torch.float32, torch.float64} <= set(op.dtypes) and not op.name.startswith("jiterator")]

# Their values are not functions of their arguments as real numbers: they are drawn (the rules of dropout and rrelu have
# tests of their own), or depend on the dtype as nextafter does.
RANDOM = {
    "bernoulli", "cauchy", "empty", "empty_like", "empty_permuted", "empty_strided", "exponential", "geometric",
    "log_normal", "multinomial", "new_empty", "new_empty_strided", "nextafter", "normal", "normal.in_place",
    "normal.number_mean", "nn.functional.alpha_dropout", "nn.functional.dropout", "nn.functional.dropout2d",
    "nn.functional.dropout3d", "nn.functional.feature_alpha_dropout.with_train",
    "nn.functional.fractional_max_pool2d", "nn.functional.fractional_max_pool3d", "nn.functional.rrelu", "rand_like",
    "randint_like", "randn", "randn_like", "uniform",
}  # fmt: skip

# Their values in float64, which are to be compared with, err by up to 10^9 eps; tests/ops compares with mpmath.
INACCURATE = {"special.airy_ai", "special.bessel_j0", "special.bessel_j1", "special.bessel_y0", "special.bessel_y1"}


def samples(op, count):
    """A few samples, spread over the first sixty; those with NaN or infinite entries or another layout are left out."""
    torch.manual_seed(0)
    found = list(itertools.islice(op.sample_inputs("cpu", torch.float32, requires_grad=False), 60))
    for position in range(0, len(found), max(1, len(found) // count)):
        sample = found[position]
        case = (sample.input, *sample.args), sample.kwargs
        if all(x.layout == torch.strided and bool(x.isfinite().all()) for x in flatten(case)[0]):
            yield case


def variants(args, kwargs):
    """Each floating tensor alone as a box, then all together; boxes of two widths."""
    tensors, rebuild = flatten((args, kwargs))
    floating = [i for i, x in enumerate(tensors) if x.dtype.is_floating_point]
    for chosen in dict.fromkeys([*((i,) for i in floating), tuple(floating)]):
        for ball in (_relative_ball, _ball) if chosen else ():
            yield rebuild([ball(x) if i in chosen else x for i, x in enumerate(tensors)])


def _relative_ball(x):
    return IntervalTensor.from_ball(x.detach(), x.detach().abs() / 8)


def _ball(x):
    return IntervalTensor.from_ball(x.detach(), 0.05)


def enclosures(op, count):
    """Check the contract on all variants; return how many enclosed, and the refusals."""
    enclosed, refused = 0, []
    for args, kwargs in samples(op, count):
        for boxes, named in variants(args, kwargs):
            if not torch_accepts(op, boxes, named):
                continue
            try:
                check(op, boxes, named)
                enclosed += 1
            except REFUSALS as refusal:
                refused.append(refusal)
    return enclosed, refused


def torch_accepts(op, boxes, kwargs):
    """Whether torch runs at both ends of the boxes; a loss may want targets between 0 and 1."""
    for end in ("lower", "upper"):
        args, named = map_tensors(lambda x: getattr(x, end, x), (boxes, kwargs))  # noqa: B023
        try:
            op.op(*args, **named)
        except (RuntimeError, ValueError, TypeError):
            return False
    return True


# Their bounds are built around the midpoint: a smaller box with another midpoint may reach farther on one side.
CENTRED = {
    "cond", "det", "eigh", "eigvalsh", "inv", "inv_ex", "matrix_norm", "matrix_rank", "norm", "slogdet", "solve",
    "solve_ex", "solve_triangular", "svd", "svdvals", "tensorinv", "tensorsolve",
}  # fmt: skip
CENTRED = {"linalg." + name for name in CENTRED} | {
    "cholesky_inverse", "cholesky_solve", "logdet", "matrix_exp", "norm.nuc", "svd", "triangular_solve",
}  # fmt: skip

# Each λ gives a bound that is wider for a wider box, and where the values are points the same λ are tried. But they are
# found from the ends of the values, and the best λ need not be among them: a wider box may try a better one.
ATTENTION = "nn.functional.scaled_dot_product_attention"


def check(op, boxes, kwargs):
    testing.check_sound(op.op, *boxes, samples=6, **kwargs)
    testing.check_result(op.op, *boxes, **kwargs)
    if op.full_name not in CENTRED and not (op.full_name == ATTENTION and isinstance(boxes[2], IntervalTensor)):
        testing.check_nested(op.op, *boxes, **kwargs)


def by_name(op):
    return op.full_name


def deterministic(ops):
    return [op for op in ops if op.name not in RANDOM | UNBOUND | INACCURATE and op.full_name not in RANDOM]


@pytest.mark.parametrize("op", deterministic(OPS), ids=by_name)
def test_encloses_or_refuses(op):
    enclosed, refused = enclosures(op, SAMPLES)
    unsupported = [refusal for refusal in refused if isinstance(refusal, UnsupportedOpError)]
    if op.full_name in ENCLOSED:
        assert enclosed, f"all samples refused: {refused[0]}"
        assert not unsupported or ENCLOSED[op.full_name] == "partly", f"some samples refused: {unsupported[0]}"
    elif not enclosed:
        pytest.skip(str(refused[0]) if refused else "no floating argument")


# --- gradients, points, infinite boxes, other spellings ---------------------------------------------------------------


def first_enclosure(op):
    """The smallest variant with all tensors as boxes of positive width that encloses, or None."""
    if op.full_name not in _FOUND:
        _FOUND[op.full_name] = _first_enclosure(op)
    return _FOUND[op.full_name]


_FOUND = {}


def _first_enclosure(op):
    found = []
    for args, kwargs in samples(op, 4):
        for boxes, named in list(variants(args, kwargs))[1::2][-1:]:
            sizes = [x.numel() for x in flatten((boxes, named))[0]]
            if 0 < sum(sizes) < 200 and min(sizes) and torch_accepts(op, boxes, named):
                found.append((sum(sizes), boxes, named))
    for _, boxes, named in sorted(found, key=lambda case: case[0]):
        try:
            op.op(*boxes, **named)
        except REFUSALS:
            continue
        return boxes, named
    return None


LISTED = [op for op in deterministic(OPS) if op.full_name in ENCLOSED]
each_listed_op = pytest.mark.parametrize("op", LISTED, ids=by_name)


# Functions that lose digits on purpose.
ROUND = {"float", "half", "bfloat16", "chalf", "cfloat", "round.decimals_neg_3", "round.decimals_3"}
# Functions whose gradient torch defines otherwise than as the limit of differences.
OWN_GRADIENT = {
    "nn.functional.embedding": "no gradient for the padding row",
    "nn.functional.embedding_bag": "scaled by frequency",
} | dict.fromkeys(ROUND, "rounds")


@each_listed_op
def test_gradient(op):
    """Gradients of both bounds against differences, wherever torch differentiates the function."""
    case = first_enclosure(op)
    if case is None or not op.supports_autograd or op.full_name in OWN_GRADIENT:
        pytest.skip(OWN_GRADIENT.get(op.full_name, "no gradient" if case else "no small sample"))
    boxes, kwargs = map_tensors(inside, case)
    testing.check_gradient(op.op, *boxes, **kwargs)


def inside(x):
    """A box inside whose ends are unlikely to be kinks, or ties between entries, where one-sided derivatives differ."""
    if not isinstance(x, IntervalTensor):
        return x
    generator = torch.Generator().manual_seed(x.numel())
    low, high = 0.25 * torch.rand(2, *x.shape, generator=generator, dtype=x.dtype)
    return IntervalTensor(x.lower + low * x.width, x.upper - high * x.width)


@each_listed_op
def test_thin(op):
    case = first_enclosure(op)
    if case is None or op.full_name in ROUND:
        pytest.skip("rounds" if case else "no small sample")
    testing.check_thin(op.op, *case[0], **case[1])


@each_listed_op
def test_unbounded(op):
    case = first_enclosure(op)
    if case is None:
        pytest.skip("no small sample")
    try:
        testing.check_unbounded(op.op, *case[0], **case[1])
    except REFUSALS as refusal:
        pytest.skip(str(refusal))


@each_listed_op
def test_method_and_in_place(op):
    """`x.f()` and `x.f_()` give the box of `torch.f(x)`; in place, the box is written."""
    case = first_enclosure(op)
    if case is None or not isinstance(case[0][0], IntervalTensor):
        pytest.skip("no small sample")
    boxes, kwargs = case
    expected = op.op(*boxes, **kwargs)
    plain = map_tensors(lambda x: getattr(x, "lower", x).clone(), boxes)
    if op.method_variant is not None:
        assert_same(op.method_variant(boxes[0].clone(), *boxes[1:], **kwargs), expected)
    if op.inplace_variant is not None:
        try:
            op.inplace_variant(*plain, **kwargs)
        except (RuntimeError, TypeError):
            return  # the result has another shape or dtype
        target = boxes[0].clone()
        try:
            result = op.inplace_variant(target, *boxes[1:], **kwargs)
        except UnsupportedOpError:
            assert op.full_name in SHAPES, "refused in place"
            return
        assert result is target
        assert_same(result, map_tensors(lambda x: x.to(target.dtype), expected))


# A wrapper cannot change its shape behind torch's back.
SHAPES = {"squeeze", "squeeze.multiple", "unsqueeze", "transpose", "swapaxes", "swapdims", "t", "resize_", "resize_as_"}


def assert_same(result, expected):
    for x, y in zip(flatten(result)[0], flatten(expected)[0], strict=True):
        assert type(x) is type(y)
        for a, b in zip(ends(x), ends(y), strict=True):
            torch.testing.assert_close(a, b, equal_nan=True)


def ends(x):
    return (x.lower, x.upper) if isinstance(x, IntervalTensor) else (x,)


@pytest.mark.slow
@pytest.mark.parametrize("op", deterministic(OPS), ids=by_name)
def test_encloses_or_refuses_on_many_samples(op):
    enclosures(op, 60)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for info in deterministic(OPS):
        try:
            enclosed, refused = enclosures(info, SAMPLES)
        except Exception as problem:
            print(f"# {info.full_name}: {type(problem).__name__}: {str(problem).splitlines()[0][:200]}")
            continue
        partly = any(isinstance(refusal, UnsupportedOpError) for refusal in refused)
        if enclosed:
            print(info.full_name + (" partly" if partly else ""))
