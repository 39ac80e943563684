"""Operators and modules that write into a box: values, aliasing and gradients as a user of torch expects."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import intervaltorch as it
from intervaltorch import IntervalTensor
from intervaltorch._records.registry import OPS
from tests.boxes import ball


def assert_same(X, Y):
    assert X.lower.equal(Y.lower)
    assert X.upper.equal(Y.upper)


# --- values -----------------------------------------------------------------------------------------------------------

PAIRS = {
    "+=": (lambda x, y: x.__iadd__(y), lambda x, y: x + y),
    "-=": (lambda x, y: x.__isub__(y), lambda x, y: x - y),
    "*=": (lambda x, y: x.__imul__(y), lambda x, y: x * y),
    "/=": (lambda x, y: x.__itruediv__(y), lambda x, y: x / y),
    "add_ alpha": (lambda x, y: x.add_(y, alpha=2), lambda x, y: x.add(y, alpha=2)),
    "add_ by name": (lambda x, y: x.add_(other=y), lambda x, y: x + y),
    "exp_": (lambda x, y: x.exp_(), lambda x, y: x.exp()),
    "torch.exp_": (lambda x, y: torch.exp_(x), lambda x, y: x.exp()),
    "clamp_": (lambda x, y: x.clamp_(-0.5, 0.5), lambda x, y: x.clamp(-0.5, 0.5)),
    "relu_": (lambda x, y: x.relu_(), lambda x, y: x.relu()),
    "F.relu": (lambda x, y: F.relu(x, inplace=True), lambda x, y: F.relu(x)),
    "F.relu by position": (lambda x, y: F.relu(x, True), lambda x, y: F.relu(x)),
    "F.relu by name": (lambda x, y: F.relu(input=x, inplace=True), lambda x, y: F.relu(x)),
    "leaky_relu_": (lambda x, y: F.leaky_relu_(x, 0.2), lambda x, y: F.leaky_relu(x, 0.2)),
    "nn.ELU": (lambda x, y: nn.ELU(inplace=True)(x), lambda x, y: F.elu(x)),
    "nn.Hardtanh": (lambda x, y: nn.Hardtanh(inplace=True)(x), lambda x, y: F.hardtanh(x)),
    "nn.SiLU": (lambda x, y: nn.SiLU(inplace=True)(x), lambda x, y: F.silu(x)),
    "addcmul_": (lambda x, y: x.addcmul_(y, y), lambda x, y: x.addcmul(y, y)),
    "copy_": (lambda x, y: x.copy_(y), lambda x, y: y.clone() + torch.zeros_like(x)),
    "zero_": (lambda x, y: x.zero_(), lambda x, y: x.new_zeros(x.shape)),
    "fill_": (lambda x, y: x.fill_(3.0), lambda x, y: torch.full_like(x, 3.0)),
    "ATen": (lambda x, y: torch.ops.aten.add_(x, y), lambda x, y: x + y),
}


@pytest.mark.parametrize("grad", [False, True], ids=["no_grad", "grad"])
@pytest.mark.parametrize("y", [2.0, torch.tensor([2.0, -1.0, 0.5]), "box"], ids=["number", "tensor", "box"])
@pytest.mark.parametrize("name", PAIRS)
def test_in_place_gives_the_value_out_of_place(name, y, grad):
    if name in ("addcmul_", "copy_") and isinstance(y, float):
        y = torch.tensor(2.0)
    in_place, out_of_place = PAIRS[name]
    x = ball(2, 3)
    y = IntervalTensor.from_ball(torch.full((3,), 2.0), 0.5) if isinstance(y, str) else y
    expected = out_of_place(x.clone(), y)
    with torch.set_grad_enabled(grad):
        memory = x.lower, x.upper
        result = in_place(x, y)
    assert result is x
    assert x.lower is memory[0]
    assert x.upper is memory[1]
    assert_same(x, expected)


def test_in_place_outward_is_outward():
    x = IntervalTensor.point(torch.ones(1))
    with it.rounding("outward"):
        x /= 3
    assert x.lower.double().item() < 1 / 3 < x.upper.double().item()


# --- aliases ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grad", [False, True], ids=["no_grad", "grad"])
def test_an_argument_may_be_the_target_itself(grad):
    with torch.set_grad_enabled(grad):
        x = IntervalTensor(torch.tensor([-1.0]), torch.tensor([2.0]))
        x.mul_(x)  # a square, as out of place
        assert (x.lower.item(), x.upper.item()) == (0, 4)
        x.add_(other=x)
        assert (x.lower.item(), x.upper.item()) == (0, 8)
        x.sub_(x)
        assert (x.lower.item(), x.upper.item()) == (-8, 8)


def test_an_argument_may_be_a_view_of_the_target():
    x = ball(3, 3)
    expected = x * x.t()
    assert_same(x.mul_(x.t()), expected)
    x = ball(3, 3)
    expected = x[1].clone()
    x[0].copy_(x[1])
    assert_same(x[0], expected)
    x = ball(4)
    expected = torch.cat([x[:1], x[:1] + x[1:2], x[2:]])
    x[1] += x[0]
    assert_same(x, expected)


def test_writes_reach_every_view_and_the_base():
    x = ball(2, 3)
    row, flat, transposed = x[0], x.view(-1), x.t()
    row += 10
    assert (x.lower[0] > 5).all()
    assert (flat.lower[:3] > 5).all()
    flat.zero_()
    assert x.upper.eq(0).all()
    transposed[2, 1] = 4.0
    assert x.lower[1, 2] == x.upper[1, 2] == 4
    for piece in x.chunk(2):
        piece -= 1
    assert x.lower[1, 2] == 3


@pytest.mark.parametrize("shape_of_view", [lambda x: x.reshape(-1), lambda x: x.flatten(), lambda x: x.unsqueeze(0)])
def test_views_of_results_of_any_rule_reach_both_bounds(shape_of_view):
    for make in (
        lambda x: x.t() * torch.randn(3, 2).t().t(),
        lambda x: x.t() @ torch.randn(2, 4),
        lambda x: x.relu().t().exp(),
    ):
        y = make(ball(2, 3))
        shape_of_view(y).add_(100)
        if shape_of_view(y).is_contiguous() and y.is_contiguous():
            assert (y.lower > 50).all()
        assert (y.lower <= y.upper).all()


def test_what_has_no_rule_works_in_place_through_its_steps():
    steps = torch.ops.aten.xlogy_
    spelling = [OPS.pop(f) for f in (torch.Tensor.xlogy_, steps) if f in OPS]
    try:
        w = torch.full((3,), 2.0, requires_grad=True)
        x = IntervalTensor.from_ball(torch.ones(3), 0.1)
        y = x * w
        y.xlogy_(torch.full((3,), 3.0))
        y.lower.sum().backward()
        assert w.grad.allclose(x.lower * torch.tensor(3.0).log())
        z = torch.ones(3)
        with it.rounding("outward"), pytest.raises(it.UnsupportedOpError, match="plain tensor"):
            z.xlogy_(x)
        assert z.eq(1).all()
    finally:
        OPS.update((s.function, s) for s in spelling)


def test_a_broadcasting_write_is_refused_before_anything_is_written():
    x = ball(3)
    before = x.clone()
    with pytest.raises(RuntimeError, match=r"shape \[3\] doesn't match the broadcast shape \[2, 3\]"):
        x += torch.zeros(2, 3)
    with pytest.raises(RuntimeError, match="single memory location"):
        x.expand(2, 3).add_(1)
    assert_same(x, before)


def test_a_leaf_is_not_overwritten_by_halves():
    x = ball(3)
    x.upper.requires_grad_()
    before = x.clone()
    with pytest.raises(RuntimeError, match="leaf"):
        x += 1
    assert_same(x, before)
    with torch.no_grad():
        x += 1
    assert x.lower.equal(before.lower + 1)


def test_in_place_keeps_the_dtype():
    x = ball(3)
    x += torch.ones(3, dtype=torch.float64)
    assert x.dtype == torch.float32
    mask = x > 0
    with pytest.raises(RuntimeError, match="can't be cast"):
        mask += 1.5


# --- gradients --------------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """A residual block as many are written, in place or not."""

    def __init__(self, inplace):
        super().__init__()
        self.inplace = inplace
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.relu = nn.ReLU(inplace=inplace)

    def forward(self, x):
        y = self.second(self.relu(self.first(x)))
        if self.inplace:
            y += x
        else:
            y = y + x
        return self.relu(y)


class Net(nn.Module):
    def __init__(self, inplace):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.LeakyReLU(0.1, inplace=inplace), Block(inplace), nn.BatchNorm2d(3),
            nn.Hardtanh(-2, 2, inplace=inplace), nn.Dropout(0.5, inplace=inplace), Block(inplace),
        )  # fmt: skip
        self.head = nn.Linear(3 * 36, 4)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


def test_a_net_that_works_in_place_trains_as_its_twin():
    twins = Net(inplace=True), Net(inplace=False)
    twins[1].load_state_dict(twins[0].state_dict())
    X = IntervalTensor.from_ball(torch.randn(2, 1, 8, 8), 0.01)
    for _ in range(2):
        losses = []
        for net in twins:
            net.eval().zero_grad()
            Y = net(X)
            loss = (Y.upper - Y.lower).square().sum() + Y.lower.sum()
            loss.backward()
            losses.append(loss.item())
        assert losses[0] == losses[1]
        for (name, p), q in zip(twins[0].named_parameters(), twins[1].parameters(), strict=True):
            assert p.grad is not None, name
            assert p.grad.ne(0).any(), name
            torch.testing.assert_close(p.grad, q.grad, msg=name)
        for net in twins:
            torch.optim.SGD(net.parameters(), 0.01).step()


IN_PLACE_PROGRAMS = {
    "relu then add": (lambda x, w: (x * w).relu_().add_(x), lambda x, w: (x * w).relu().add(x)),
    "product with a weight": (lambda x, w: (x + 1).mul_(w), lambda x, w: (x + 1) * w),
    "square": (lambda x, w: (lambda y: y.mul_(y))(x * w), lambda x, w: (x * w).square()),
    "view": (lambda x, w: _doubled_first(x * w), lambda x, w: torch.cat([(x * w)[:1] * 2, (x * w)[1:]])),
    "index": (lambda x, w: _set(x.clone(), 0, w * x[1]), lambda x, w: torch.cat([(w * x[1])[None], x[1:]])),
    "buffer": (lambda x, w: _set(torch.zeros_like(x), slice(0, 2), x * w), lambda x, w: torch.cat([x * w])),
    "chain": (
        lambda x, w: (x * w).exp_().sub_(1).clamp_(min=0.1).div_(2),
        lambda x, w: ((x * w).exp() - 1).clamp(min=0.1) / 2,
    ),
    "division by a weight": (lambda x, w: (x + 3).div_(w.exp()), lambda x, w: (x + 3) / w.exp()),
}


def _doubled_first(y):
    y[0] *= 2
    return y


def _set(y, index, value):
    y[index] = value
    return y


@pytest.mark.parametrize("name", IN_PLACE_PROGRAMS)
def test_gradients_of_in_place_programs(name):
    gradients, values = [], []
    lower = torch.randn(2, 3)
    weight = torch.randn(3)
    for program in IN_PLACE_PROGRAMS[name]:
        l, w = lower.clone().requires_grad_(), weight.clone().requires_grad_()
        Y = program(IntervalTensor(l, l + 0.5), w)
        (2 * Y.lower + 3 * Y.upper).sum().backward()
        values.append(Y)
        gradients.append((l.grad, w.grad))
    assert_same(*values)
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two)
        assert one.ne(0).any()


def test_overwriting_what_the_backward_pass_needs_raises():
    x = ball(3).requires_grad_()
    y = x.exp()
    z = y * y
    y += 1  # autograd saved y for the product
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.lower.sum().backward()


def test_detach_in_place_cuts_both_bounds():
    w = torch.ones(3, requires_grad=True)
    y = (ball(3) * w).detach_()
    assert not y.requires_grad
    assert not y.lower.requires_grad


def test_a_model_is_left_as_it_was():
    net = Net(inplace=True)
    before = copy.deepcopy(net.state_dict())
    net.eval()(IntervalTensor.from_ball(torch.randn(1, 1, 8, 8), 0.1))
    for name, value in net.state_dict().items():
        assert value.equal(before[name])
    assert net.features[1].inplace
