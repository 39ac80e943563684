"""Making a box, reading it, its metadata, how it prints, and what it refuses."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

import intervaltorch as it
from intervaltorch import IntervalTensor
from tests.boxes import intervals

inf = math.inf


# --- construction -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lower", "upper", "error", "message"),
    [
        (
            [0.0, 2.0, 3.0],
            [1.0, 1.5, 1.0],
            ValueError,
            r"exceeds upper at index \(1,\): 2 > 1.5 \(2 of 3 entries\)",
        ),
        ([0.1], [0.1 - 1e-8], ValueError, r"0.100000001 > 0.0999999866"),
        ([[0.0, math.nan]], [[1.0, 1.0]], ValueError, r"lower is NaN at index \(0, 1\) \(1 of 2 entries\)"),
        ([0.0], [math.nan], ValueError, r"upper is NaN at index \(0,\)"),
        (
            [0.0],
            [[1.0]],
            ValueError,
            r"lower has shape \(1,\) but upper has shape \(1, 1\).*broadcast_tensors",
        ),
        ([0], [1], TypeError, r"torch.int64.*\.float\(\)"),
        ([0.0], np.ones(1), TypeError, r"torch.float32 but upper is torch.float64.*\.to\(dtype\)"),
        ([True], [False], ValueError, r"exceeds upper at index \(0,\): True > False"),
        ([0j], [-1j], ValueError, "exceeds"),
    ],
)
def test_bounds_that_are_no_box_are_refused_with_index_and_values(lower, upper, error, message):
    with pytest.raises(error, match=message):
        IntervalTensor(torch.as_tensor(lower), torch.as_tensor(upper))


def test_bounds_on_two_devices_are_refused():
    with pytest.raises(ValueError, match=r"cpu but upper is on meta.*\.to\(device\)"):
        IntervalTensor(torch.zeros(2), torch.zeros(2, device="meta"))


def test_boxes_are_no_bounds_of_boxes():
    x = intervals((0.0, 1.0))
    for make in (
        lambda: IntervalTensor(x, x),
        lambda: IntervalTensor.point(x),
        lambda: IntervalTensor.from_ball(x, 1),
    ):
        with pytest.raises(TypeError, match="already an IntervalTensor"):
            make()
    with pytest.raises(TypeError, match="radius is already"):
        IntervalTensor.from_ball(torch.zeros(1), x)


def test_lists_arrays_numbers_and_infinities_are_bounds():
    assert IntervalTensor([0.0], [1.0]).dtype == torch.float32
    assert IntervalTensor(np.zeros(2), np.ones(2)).dtype == torch.float64
    assert IntervalTensor(0.0, 1.0).shape == ()
    assert IntervalTensor(-inf, inf).upper == inf
    assert IntervalTensor(torch.zeros(0, 3), torch.zeros(0, 3)).shape == (0, 3)


@pytest.mark.parametrize(
    ("x", "radius", "clip", "error", "message"),
    [
        (
            [0.0, 0.0],
            [0.1, -0.1],
            None,
            ValueError,
            r"radius must be >= 0, but is -0.100000001 at index \(1,\)",
        ),
        ([0.0], math.nan, None, ValueError, "but is nan"),
        ([math.nan], 1.0, None, ValueError, r"the centre is NaN at index \(0,\)"),
        ([inf], inf, None, ValueError, "infinite centre and radius"),
        ([0], 1.0, None, TypeError, "floating centre"),
        (
            [0.0],
            [0.1, 0.1],
            None,
            ValueError,
            r"radius of shape \(2,\) does not broadcast to the centre's \(1,\)",
        ),
        ([0.5, 2.0], 0.5, (0, 1), ValueError, r"\[1.5, 2.5\] at index \(1,\) does not meet clip=\(0, 1\)"),
        ([0.5], 0.5, (1, 0), ValueError, "low <= high"),
        ([0.5], 0.5, 1.0, TypeError, r"pair of numbers \(low, high\)"),
    ],
)
def test_balls_that_are_none_are_refused(x, radius, clip, error, message):
    radius = torch.tensor(radius) if isinstance(radius, list) else radius
    with pytest.raises(error, match=message):
        IntervalTensor.from_ball(torch.tensor(x), radius, clip)


def test_a_ball_of_a_tensor_of_radii_is_clipped_to_the_data():
    x = torch.tensor([[0.0, 0.5], [1.0, 0.25]])
    X = IntervalTensor.from_ball(x, torch.tensor([0.25, 0.5]), clip=(0, 1))
    assert X.lower.tolist() == [[0.0, 0.0], [0.75, 0.0]]
    assert X.upper.tolist() == [[0.25, 1.0], [1.0, 0.75]]
    assert IntervalTensor.from_ball(x, torch.tensor(0.5, dtype=torch.float64)).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_an_outward_ball_contains_the_exact_one(dtype):
    x = torch.randn(1000).to(dtype)
    with it.rounding("outward"):
        X = IntervalTensor.from_ball(x, 0.1)
    for centre, lower, upper in zip(x.tolist(), X.lower.tolist(), X.upper.tolist(), strict=True):
        exact, radius = Fraction(centre), Fraction(0.1)
        assert Fraction(lower) <= exact - radius
        assert exact + radius <= Fraction(upper)


def test_an_outward_clip_keeps_numbers_that_the_dtype_cannot_hold():
    with it.rounding("outward"):
        X = IntervalTensor.from_ball(torch.full((1,), 0.5), 1.0, clip=(0.1, 0.9))
    assert X.lower.double().item() <= 0.1
    assert X.upper.double().item() >= 0.9


def test_gradients_reach_the_centre_and_the_radius():
    x, radius = torch.zeros(3, requires_grad=True), torch.ones(3, requires_grad=True)
    X = IntervalTensor.from_ball(x, radius)
    (2 * X.lower + X.upper).sum().backward()
    assert x.grad.tolist() == [3, 3, 3]
    assert radius.grad.tolist() == [-1, -1, -1]


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [torch.ones, lambda n: torch.ones(1).expand(n)], ids=["own memory", "expanded"])
def test_a_point_has_memory_of_its_own_and_is_written_once(make):
    x = make(3)
    X = IntervalTensor.point(x)
    X.add_(1)
    assert x.tolist() == [1, 1, 1]
    assert X.lower.tolist() == X.upper.tolist() == [2, 2, 2]


def test_bounds_share_no_memory_with_the_data_they_were_made_of():
    lower, upper = torch.zeros(2, 2), torch.ones(2, 2)
    X = IntervalTensor(lower, upper)
    X.mul_(3)
    X[0] = 7.0
    assert lower.eq(0).all()
    assert upper.eq(1).all()


def test_both_bounds_are_laid_out_alike_so_that_views_reach_both():
    X = IntervalTensor(torch.zeros(2, 3), torch.ones(3, 2).t())
    assert X.lower.stride() == X.upper.stride()
    X.reshape(-1).add_(1)
    assert X.lower.eq(1).all()
    assert X.upper.eq(2).all()


# --- accessors --------------------------------------------------------------------------------------------------------


def test_accessors():
    X = intervals((-1.0, 3.0), (2.0, 2.0), (-4.0, -1.0))
    assert X.center.tolist() == [1, 2, -2.5]
    assert X.radius.tolist() == [2, 0, 1.5]
    assert X.width.tolist() == [4, 0, 3]
    assert X.magnitude.tolist() == [3, 2, 4]
    assert X.mignitude.tolist() == [0, 2, 1]


def test_a_centre_neither_overflows_nor_leaves_its_interval():
    huge = torch.finfo(torch.float32).max
    least = 2.0**-149  # the smallest positive float32: its half rounds to zero
    X = intervals((huge, huge), (least, least), (-inf, inf), (0.0, inf), (-inf, 1.0))
    assert X.center.tolist() == [huge, pytest.approx(least, rel=0), 0, huge, -huge]
    assert X.contains(X.center).all()
    assert X.radius.tolist() == [0, 0, inf, inf, inf]
    assert X.width.tolist() == [0, 0, inf, inf, inf]
    assert intervals((inf, inf)).width.item() == inf


def test_outward_the_ball_around_the_centre_contains_the_box():
    X = IntervalTensor.from_ball(torch.randn(2000) * 10 ** torch.empty(2000).uniform_(-6, 6), 0.1)
    with it.rounding("outward"):
        centre, radius, width = X.center.double(), X.radius.double(), X.width.double()
    assert (centre - radius <= X.lower.double()).all()
    assert (X.upper.double() <= centre + radius).all()
    assert (X.upper.double() - X.lower.double() <= width).all()


def test_accessors_are_differentiable():
    lower, upper = torch.zeros(2, requires_grad=True), torch.ones(2, requires_grad=True)
    X = IntervalTensor(lower, upper)
    (X.center + 3 * X.radius).sum().backward()
    assert lower.grad.tolist() == [-1, -1]
    assert upper.grad.tolist() == [2, 2]


def test_metadata_is_that_of_a_tensor():
    X = IntervalTensor.point(torch.zeros(2, 3, dtype=torch.float64))
    assert isinstance(X, torch.Tensor)
    assert (X.shape, X.size(), X.size(-1), X.ndim, X.dim(), X.numel(), len(X)) == (
        (2, 3),
        (2, 3),
        3,
        2,
        2,
        6,
        2,
    )
    assert (X.dtype, X.device, X.layout) == (torch.float64, torch.device("cpu"), torch.strided)
    assert X.stride() == (3, 1)
    assert X.is_floating_point()
    assert not X.is_cuda
    assert torch.is_tensor(X)
    assert torch.numel(X) == 6
    assert X.to("meta").device.type == "meta"
    assert [row.shape for row in X] == [(3,), (3,)]


# --- conversions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("convert", ["double", "float", "half", "bfloat16", "clone", "cpu", "detach", "contiguous"])
def test_conversions_act_on_both_bounds(convert):
    X = intervals((-1.0, 2.0), (0.5, 0.5))
    Y = getattr(X, convert)()
    assert type(Y) is IntervalTensor
    assert Y.dtype == getattr(X.lower, convert)().dtype
    assert Y.lower.tolist() == [-1, 0.5]
    assert Y.upper.tolist() == [2, 0.5]


def test_a_narrower_dtype_rounds_outward_in_outward_mode():
    X = intervals((0.1, 0.3), (1e-9, 1e9), dtype=torch.float64)
    with it.rounding("outward"):
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            Y = X.to(dtype)
            assert (Y.lower.double() <= X.lower).all()
            assert (X.upper <= Y.upper.double()).all()


def test_plain_tensors_follow_the_dtype_and_shape_of_a_box_and_stay_plain():
    X = intervals((0.0, 1.0), (0.0, 1.0), dtype=torch.float64)
    for y in (
        torch.ones(2).to(X),
        torch.ones(2).type_as(X),
        torch.ones(1).expand_as(X),
        torch.ones(2, 1).view_as(X),
    ):
        assert type(y) is torch.Tensor
    assert torch.ones(2).to(X).dtype == torch.float64


def test_tensors_made_like_a_box():
    X = intervals((0.0, 1.0), (0.0, 1.0))
    for Y in (
        torch.zeros_like(X),
        torch.empty_like(X),
        X.new_zeros(2),
        X.new_tensor([1.0, 2.0]),
        torch.full_like(X, 2),
    ):
        assert type(Y) is IntervalTensor
        assert Y.lower.equal(Y.upper)
        Y[0] = X[0]
        assert Y[0].width.item() == 1
    assert type(torch.randn_like(X)) is torch.Tensor
    noise = torch.empty_like(X).normal_()
    assert noise.lower.equal(noise.upper)
    assert noise.lower.ne(0).all()


def test_the_sampling_step_of_a_vae_works_as_written():
    mu, log_std = intervals((-1.0, 1.0), (0.0, 0.0)), intervals((0.0, 0.0), (-1.0, 0.0))
    std = log_std.exp()
    torch.manual_seed(3)
    z = mu + torch.randn_like(std) * std
    torch.manual_seed(3)
    noise = torch.randn(2)
    for share in (0.0, 0.5, 1.0):
        inner = mu.lower + share * (mu.upper - mu.lower) + noise * (std.lower + share * (std.upper - std.lower))
        assert z.contains(inner).all()


# --- both sides of an operator ----------------------------------------------------------------------------------------

OPERATORS = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
}  # fmt: skip


@pytest.mark.parametrize(
    "other", [2.0, 3, torch.tensor([2.0, 4.0]), torch.tensor(2.0), np.float32(2), np.float64(2)], ids=repr
)
@pytest.mark.parametrize("symbol", OPERATORS)
def test_numbers_and_plain_tensors_on_either_side(symbol, other):
    X, operate = intervals((1.0, 2.0), (-3.0, -1.0)), OPERATORS[symbol]
    value = other if isinstance(other, torch.Tensor) else float(other)
    for Y, corners in (
        (operate(X, other), [operate(X.lower, value), operate(X.upper, value)]),
        (operate(other, X), [operate(value, X.lower), operate(value, X.upper)]),
    ):
        assert type(Y) is IntervalTensor
        assert Y.dtype == torch.float32
        assert Y.lower.equal(torch.minimum(*corners))
        assert Y.upper.equal(torch.maximum(*corners))


def test_shapes_broadcast_and_may_be_empty_or_strided():
    X = IntervalTensor.from_ball(torch.randn(3, 1), 0.5)
    assert (X + torch.zeros(4)).shape == (3, 4)
    assert (torch.zeros(2, 1, 1) + X).shape == (2, 3, 1)
    assert (X + IntervalTensor(0.0, 1.0)).width[0, 0].item() == pytest.approx(2.0)
    empty = IntervalTensor(torch.zeros(0, 1), torch.ones(0, 1))
    assert (empty * 2 + torch.ones(4)).shape == (0, 4)
    strided = IntervalTensor.from_ball(torch.randn(4, 6), 0.5).t()[::2]
    assert (strided * 2).lower.equal(strided.lower * 2)
    assert not strided.lower.is_contiguous()


def test_a_number_is_the_bound_of_every_entry():
    upper = torch.tensor([[0.1, 0.2], [0.3, 0.4]], dtype=torch.float64)
    X = IntervalTensor(0.0, upper)
    assert X.shape == (2, 2) and X.dtype is torch.float64 and X.upper.equal(upper) and not X.lower.any()
    assert IntervalTensor(-upper, 1).upper.equal(torch.ones_like(upper))
    with it.rounding("outward"):
        Y = IntervalTensor(torch.zeros(3), 0.1), IntervalTensor(0.1, torch.ones(3))
    assert (Y[0].upper.double() >= 0.1).all() and (Y[1].lower.double() <= 0.1).all()
    with pytest.raises(ValueError, match="lower exceeds upper"):
        IntervalTensor(0.5, upper)
    with pytest.raises(ValueError, match="broadcast_tensors"):
        IntervalTensor(torch.zeros(2).double(), upper)


# --- text -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: IntervalTensor(0.5, 2.0), "IntervalTensor([0.5, 2])"),
        (lambda: IntervalTensor.point(torch.tensor(1.5)), "IntervalTensor(1.5)"),
        (lambda: intervals((0.0, 1.0), (2.0, 2.0)), "IntervalTensor([[0, 1], 2])"),
        (lambda: intervals((-inf, 1e-8)), "IntervalTensor([[-inf, 1e-08]])"),
        (lambda: intervals((0.0, 1.0)).double(), "IntervalTensor([[0, 1]], dtype=torch.float64)"),
        (lambda: intervals((0.0, 1.0)).requires_grad_(), "IntervalTensor([[0, 1]], requires_grad=True)"),
        (lambda: intervals((0.0, 1.0), (1.0, 2.0), (-1.0, 0.0)) > 0, "IntervalTensor([undecided, True, False])"),
        (lambda: IntervalTensor([], []), "IntervalTensor([])"),
        (lambda: IntervalTensor(torch.zeros(0, 3), torch.zeros(0, 3)), "IntervalTensor([], size=(0, 3))"),
        (lambda: intervals((0.0, 1.0)).to("meta"), "IntervalTensor(..., size=(1,), device='meta')"),
        (
            lambda: IntervalTensor(torch.tensor([[0.0, -10.0], [2.0, 3.0]]), torch.tensor([[0.5, -9.5], [2.0, 4.0]])),
            "IntervalTensor([[   [0, 0.5], [-10, -9.5]],\n"
            "                [          2,      [3, 4]]])",
        ),
    ],
)  # fmt: skip
def test_a_box_prints_so_that_a_person_can_read_it(make, text):
    assert repr(make()) == text


def test_long_boxes_are_abbreviated_and_lines_short():
    X = IntervalTensor.from_ball(torch.randn(50, 40), 0.1)
    lines = repr(X).splitlines()
    assert len(lines) < 30
    assert max(map(len, lines)) <= 80
    assert "..." in repr(X)
    assert max(map(len, repr(X[0]).splitlines())) <= 80


def test_a_single_interval_takes_a_format():
    assert f"{IntervalTensor(0.125, 2.0):.2f}" == "[0.12, 2.00]"
    assert f"{IntervalTensor(0.0, 0.125):.2f}" == "[0.00, 0.13]"
    assert f"{IntervalTensor.point(torch.tensor(2.0)):.1f}" == "2.0"
    assert f"{intervals((0.0, 1.0))}" == "IntervalTensor([[0, 1]])"
    with pytest.raises(TypeError):
        f"{intervals((0.0, 1.0)):.2f}"


# --- escapes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "read",
    [
        float, int, complex, range, np.asarray, np.array, np.from_dlpack, torch.from_dlpack, lambda x: x.item(),
        lambda x: x.tolist(), lambda x: x.numpy(), lambda x: x.data_ptr(), lambda x: x.untyped_storage(),
        lambda x: torch.tensor([x]), lambda x: torch.tensor([[x, x]]), lambda x: 0.5 in x,
        lambda x: np.zeros(1).__setitem__(0, x),
    ],
)  # fmt: skip
def test_raw_values_are_refused_and_the_way_out_named(read):
    with pytest.raises(it.EscapeError, match=r"\.lower|contains"):
        read(IntervalTensor(0.0, 1.0))


def test_old_style_dlpack_gets_no_pointer():
    with pytest.raises(RuntimeError, match="data pointer"):
        torch.utils.dlpack.to_dlpack(IntervalTensor(0.0, 1.0))


def test_a_box_goes_into_no_plain_tensor():
    X, y = intervals((0.0, 1.0)), torch.zeros(1)
    for write in (
        lambda: y.add_(X),
        lambda: y.copy_(X),
        lambda: y.__setitem__(0, X[0]),
        lambda: y.__iadd__(X),
    ):
        with pytest.raises(it.UnsupportedOpError, match=r"plain tensor(.|\n)*IntervalTensor\.point"):
            write()
    with pytest.raises(it.UnsupportedOpError, match="out="):
        torch.add(X, 1, out=y)
    assert y.item() == 0


@pytest.mark.parametrize("name", ["t_", "squeeze_", "resize_", "set_", "unsqueeze_", "transpose_"])
def test_a_box_keeps_its_shape(name):
    X = IntervalTensor.point(torch.zeros(1, 2))
    arguments = {"t_": (), "squeeze_": (), "resize_": (2,), "set_": (torch.ones(1),), "unsqueeze_": (0,)}.get(
        name, (0, 1)
    )
    with pytest.raises(it.UnsupportedOpError, match="use x ="):
        getattr(X, name)(*arguments)
    assert X.shape == (1, 2)


def test_vmap_takes_bounds_and_no_boxes():
    X = intervals((0.0, 1.0), (-1.0, 2.0))
    with pytest.raises(it.UnsupportedOpError, match=r"torch\.vmap"):
        torch.vmap(torch.exp)(X)
    lower = torch.vmap(lambda l, u: (IntervalTensor(l, u) * 2 - 1).lower)(X.lower, X.upper)
    assert lower.equal((X * 2 - 1).lower)


def test_tensor_containers_take_boxes():
    X = intervals((0.0, 1.0))
    assert type(torch.as_tensor(X)) is IntervalTensor
    assert sum([X, X]).upper.item() == 2
    assert len({X, X}) == 1
    assert "lower" in dir(X)


@pytest.mark.parametrize(
    ("apply", "expected"),
    [
        (np.exp, torch.exp), (np.absolute, torch.abs), (np.negative, torch.neg), (np.square, torch.square),
        (lambda x: np.maximum(x, 0.25), lambda x: torch.clamp(x, min=0.25)),
        (lambda x: np.minimum(0.25, x), lambda x: torch.clamp(x, max=0.25)),
        (lambda x: np.power(x, 2), lambda x: x**2),
        (lambda x: np.array([2.0, 3.0], dtype="f") * x, lambda x: torch.tensor([2.0, 3.0]) * x),
        (lambda x: np.array([2.0, 3.0], dtype="f") - x, lambda x: torch.tensor([2.0, 3.0]) - x),
        (lambda x: x / np.array([2.0, 3.0], dtype="f"), lambda x: x / torch.tensor([2.0, 3.0])),
        (lambda x: np.eye(2, dtype="f") @ x, lambda x: torch.eye(2) @ x),
        (lambda x: np.greater(x, 0.5), lambda x: x > 0.5), (lambda x: np.float64(0.5) < x, lambda x: x > 0.5),
    ],
)  # fmt: skip
def test_numpy_functions_mean_their_namesakes_in_torch(apply, expected):
    X = intervals((-1.0, 1.0), (0.75, 2.0))
    Y, Z = apply(X), expected(X)
    assert type(Y) is IntervalTensor
    assert Y.lower.equal(Z.lower.to(Y.dtype))
    assert Y.upper.equal(Z.upper.to(Y.dtype))


@pytest.mark.parametrize(
    "call",
    [np.add.reduce, lambda x: np.add(x, 1, out=np.zeros(1)), np.cbrt, lambda x: np.zeros(1).__iadd__(x)],
)
def test_numpy_functions_that_have_no_namesake_are_refused(call):
    with pytest.raises(it.EscapeError, match=r"np\.\w+"):
        call(intervals((0.0, 1.0)))


# --- as parameters ----------------------------------------------------------------------------------------------------


def test_a_box_can_be_a_parameter():
    layer = nn.Linear(3, 2)
    layer.weight = nn.Parameter(IntervalTensor.from_ball(torch.randn(2, 3), 0.1))
    assert isinstance(layer.weight, nn.Parameter)
    assert dict(layer.named_parameters())["weight"] is layer.weight
    layer(torch.ones(3)).lower.sum().backward()
    assert layer.weight.lower.grad.eq(1).all()
    layer.double()
    assert isinstance(layer.weight, nn.Parameter)
    assert layer(torch.ones(3, dtype=torch.float64)).dtype == torch.float64
    other = nn.Linear(3, 2)
    other.weight = nn.Parameter(IntervalTensor.point(torch.zeros(2, 3)))
    other.load_state_dict(layer.state_dict())
    assert other.weight.lower.equal(layer.weight.lower.float())
