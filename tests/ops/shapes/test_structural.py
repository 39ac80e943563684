"""Shape operations act on both bounds alike, give views where torch gives views, and share nothing else."""

import pytest
import torch

import intervaltorch as it
from intervaltorch import EscapeError, IntervalTensor, UndecidedError, UnsupportedOpError
from tests.boxes import lopsided

SHAPES = {
    "view varargs": lambda x: x.view(2, -1),
    "view list": lambda x: x.view([6, 4]),
    "view keyword": lambda x: x.view(size=(4, 6)),
    "reshape keyword": lambda x: torch.reshape(input=x, shape=(4, -1)),
    "permute varargs": lambda x: x.permute(2, 0, 1),
    "permute keyword": lambda x: x.permute(dims=[2, 0, 1]),
    "expand": lambda x: x.expand(5, -1, -1, -1),
    "repeat tuple": lambda x: x.repeat((1, 2, 1)),
    "flatten": lambda x: x.flatten(start_dim=1),
    "unflatten": lambda x: x.unflatten(2, (2, 2)),
    "transpose keyword": lambda x: x.transpose(dim0=0, dim1=1),
    "movedim": lambda x: torch.movedim(x, (0, 1), (1, 0)),
    "squeeze": lambda x: x[:1].squeeze(0),
    "mT": lambda x: x.mT,
    "split": lambda x: x.split([1, 3], dim=2)[1],
    "tensor_split": lambda x: x.tensor_split(torch.tensor([1, 2]), 2)[1],
    "chunk": lambda x: torch.chunk(x, 2, dim=-1)[1],
    "unbind": lambda x: x.unbind(1)[0],
    "iteration": lambda x: list(x)[1],
    "diagonal": lambda x: x.diagonal(dim1=1, dim2=2),
    "unfold": lambda x: x.unfold(2, 2, 1),
    "flip": lambda x: x.flip(0, 1),
    "roll": lambda x: x.roll(shifts=(1, 1), dims=(0, 1)),
    "rot90": lambda x: torch.rot90(x, 1, [1, 2]),
    "cat": lambda x: torch.cat(tensors=(x, torch.zeros(2, 3, 1)), dim=-1),
    "stack": lambda x: torch.stack([torch.ones(2, 3, 4), x], 1),
    "tril": lambda x: x.tril(),
    "repeat_interleave": lambda x: x.repeat_interleave(2, 0),
    "block_diag": lambda x: torch.block_diag(x[0], torch.eye(2)),
    "aten": lambda x: torch.ops.aten.slice.Tensor(torch.ops.aten.unsqueeze(x, 0), 1, 0, 1),
    "clone": lambda x: x.clone(),
}


@pytest.mark.parametrize("name", SHAPES)
def test_both_bounds_take_the_same_way(name):
    x = lopsided(2, 3, 4)
    y = SHAPES[name](x)
    assert torch.equal(y.lower, SHAPES[name](x.lower)) and torch.equal(y.upper, SHAPES[name](x.upper))
    assert y.shape == SHAPES[name](x.lower).shape


VIEWS = [
    "view varargs",
    "permute varargs",
    "flatten",
    "unflatten",
    "mT",
    "split",
    "unbind",
    "diagonal",
    "squeeze",
    "aten",
]


@pytest.mark.parametrize("laid_out_alike", [True, False])
@pytest.mark.parametrize("name", VIEWS)
def test_writes_reach_both_bounds_through_views(name, laid_out_alike):
    x = lopsided(2, 3, 4)
    if not laid_out_alike:
        x = IntervalTensor(x.lower, x.upper.permute(2, 1, 0).contiguous().permute(2, 1, 0))
    expected = x.upper.clone()
    SHAPES[name](expected).fill_(7.0)
    SHAPES[name](x).fill_(7.0)
    assert torch.equal(x.upper, expected)
    assert torch.equal(x.lower == 7.0, expected == 7.0)


def test_expanded_boxes_cannot_be_written_into():
    with pytest.raises(RuntimeError, match="single memory location"):
        lopsided(1, 3).expand(4, 3).add_(1)


def test_plain_tensors_stay_plain_beside_a_box():
    x, t = lopsided(3), torch.zeros(2, 1)
    for result in (
        torch.broadcast_tensors(x, t)[1],
        t.expand_as(lopsided(2, 3)),
        t.view_as(lopsided(1, 2)),
        t.to(x),
        t.type_as(x),
    ):
        assert type(result) is torch.Tensor
    assert type(torch.meshgrid(x, t.flatten(), indexing="ij")[1]) is torch.Tensor
    assert [type(y) for y in torch.atleast_2d(x, t)] == [IntervalTensor, torch.Tensor]


@pytest.mark.parametrize(
    "make",
    [
        torch.zeros_like,
        torch.ones_like,
        torch.empty_like,
        lambda x: torch.full_like(x, 2.0),
        lambda x: x.new_zeros(3),
        lambda x: x.new_full((3,), 2),
        lambda x: x.new_empty((3,)),
    ],
)
def test_new_boxes_are_points_with_memory_of_their_own(make):
    x = lopsided(3)
    y = make(x)
    assert torch.equal(y.lower, y.upper)
    before = y.upper[1:].clone()
    y[0] = x[0]
    assert y.lower[0] == x.lower[0] and y.upper[0] == x.upper[0] and torch.equal(y.upper[1:], before)


def test_new_integers_are_plain():
    assert type(torch.zeros_like(lopsided(3), dtype=torch.long)) is torch.Tensor


def test_a_number_the_dtype_cannot_hold_becomes_an_interval():
    with it.rounding("outward"):
        y = torch.full_like(lopsided(1), 0.1)
    assert y.lower.double() < 0.1 < y.upper.double()


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.unsqueeze_(0),
        lambda x: x.squeeze_(),
        lambda x: x.t_(),
        lambda x: x.transpose_(0, 1),
        lambda x: x.swapaxes_(0, 1),
        lambda x: x.resize_(3),
        lambda x: x.set_(torch.zeros(2, 3)),
        lambda x: x.as_strided((2,), (1,)),
    ],
)
def test_changes_of_shape_in_place_name_the_way_out(change):
    x = lopsided(2, 3)
    with pytest.raises(UnsupportedOpError, match="use x"):
        change(x)
    assert x.shape == x.lower.shape == x.upper.shape == (2, 3)


def test_bits_are_not_reinterpreted():
    with pytest.raises(EscapeError, match=r"x\.to\(dtype\)"):
        lopsided(2).view(torch.int32)


def test_conversions_to_integers_must_be_decided():
    x = IntervalTensor(torch.tensor([1.2, -0.5]), torch.tensor([1.9, 0.5]))
    assert torch.equal(x.long(), torch.tensor([1, 0]))
    with pytest.raises(UndecidedError):
        (x + 0.6).long()


@pytest.mark.parametrize("detach", [IntervalTensor.detach_, torch.detach_, torch.ops.aten.detach_])
def test_detach_in_place(detach):
    x = lopsided(3).requires_grad_() * 2
    detach(x)
    assert not x.requires_grad
