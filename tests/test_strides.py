"""Results lie in memory as torch's do, and share it with an argument where torch's do.

Whether a later `flatten`, `reshape` or `contiguous` is a view or a copy depends on the strides, and with it whether
what is written through it reaches the tensor. So both bounds have the strides that torch gives.
"""

import pytest
import torch
import torch.nn.functional as F

from intervaltorch import IntervalTensor, rounding
from intervaltorch._records.registry import Box
from intervaltorch._theorems.layout import copied, laid_out, strides
from intervaltorch.testing._trees import flatten
from tests.test_op_samples import OPS, by_name, deterministic, samples

pytestmark = pytest.mark.usefixtures("quiet")


def transposed(x):
    back = tuple(range(x.ndim - 1, -1, -1))
    return x.permute(back).contiguous().permute(back)


def cyclic(x):
    return x.permute(*range(1, x.ndim), 0).contiguous().permute(x.ndim - 1, *range(x.ndim - 1)) if x.ndim else x


def channels_last(x):
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def expanded(x):
    return x[:1].expand(x.shape) if x.ndim and len(x) else x


def expanded_inside(x):
    return x[..., :1].expand(x.shape) if x.ndim and x.shape[-1] else x


def sliced(x):
    return x.repeat_interleave(2, -1)[..., ::2] if x.ndim else x


LAYOUTS = (torch.Tensor.contiguous, transposed, cyclic, channels_last, expanded, expanded_inside, sliced)


def ball(x):
    """A box around a tensor that lies as it does."""
    ends = []
    for sign in (-1, 1):
        once = tuple(slice(0, 1) if step == 0 else slice(None) for step in x.stride())
        end = copied(x)
        end[once].add_(sign * 0.01 * (1 + x[once].abs()))
        ends.append(end)
    return IntervalTensor._wrap(Box(*ends))


def memory(x):
    return x.untyped_storage().data_ptr() if x.numel() else None


def check(function, args, kwargs, layout, first_alone=False):
    """Compare strides, and which argument a result shares memory with; return how many results were compared."""
    tensors, rebuild = flatten((args, kwargs))
    floating = [i for i, x in enumerate(tensors) if x.dtype.is_floating_point and x.layout is torch.strided]
    chosen = floating[:1] if first_alone else floating
    laid = [layout(x.detach()) if i in chosen else x.detach() for i, x in enumerate(tensors)]
    if not chosen or (layout is not LAYOUTS[0] and all(laid[i].is_contiguous() for i in chosen)):
        return 0
    boxes = [ball(x) if i in floating else x for i, x in enumerate(laid)]
    plain = [copied(x.lower if isinstance(x, IntervalTensor) else x) for x in boxes]
    torch.manual_seed(0)
    try:
        args, kwargs = rebuild(plain)
        expected = flatten(function(*args, **kwargs))[0]
        torch.manual_seed(0)
        args, kwargs = rebuild(boxes)
        found = flatten(function(*args, **kwargs))[0]
    except Exception:
        return 0  # refused, by torch or for boxes
    theirs = {memory(x): place for place, x in enumerate(plain)}
    ours = [{memory(getattr(x, end, x)): place for place, x in enumerate(boxes)} for end in ("lower", "upper")]
    for x, y in zip(expected, found, strict=True):
        if not isinstance(y, IntervalTensor) or x.shape != y.shape:
            continue
        assert strides(y.lower) == strides(y.upper) == strides(x)
        shared = theirs.get(memory(x)) if x.numel() else None
        assert [places.get(memory(end)) if x.numel() else None for places, end in zip(ours, (y.lower, y.upper))] == [
            shared, shared
        ]  # fmt: skip
        assert memory(y.lower) != memory(y.upper) or not x.numel()
    return len(found)


# torch lays its result out by the strides of dimensions with one index.
BY_SIZE_ONE = {"nn.functional.max_unpool2d", "nn.functional.max_unpool2d.grad"}
LISTED = [op for op in deterministic(OPS) if op.full_name not in BY_SIZE_ONE]


@pytest.mark.parametrize("op", LISTED, ids=by_name)
def test_samples(op):
    for args, kwargs in samples(op, 2):
        for layout in (LAYOUTS[0], transposed, channels_last, expanded_inside, sliced):
            check(op.op, args, kwargs, layout, first_alone=True)


@pytest.mark.slow
@pytest.mark.parametrize("rounded", ["nearest", "outward"])
@pytest.mark.parametrize("op", LISTED, ids=by_name)
def test_many_samples(op, rounded):
    with rounding(rounded):
        for args, kwargs in samples(op, 8):
            for layout in LAYOUTS:
                for first_alone in (False, True):
                    check(op.op, args, kwargs, layout, first_alone)


def test_something_is_compared():
    args = torch.rand(3, 4), torch.rand(4)
    assert check(torch.div, args, {}, transposed) == 1
    with pytest.raises(AssertionError):
        check(lambda x: x.contiguous() if isinstance(x, IntervalTensor) else x, args[:1], {}, transposed)
    with pytest.raises(AssertionError):
        check(lambda x: x if isinstance(x, IntervalTensor) else x.clone(), args[:1], {}, transposed)


FUNCTIONS = [
    lambda x: F.layer_norm(x, (3,)),
    lambda x: F.hardshrink(x),
    lambda x: x / torch.full((3,), 2.0),
    lambda x: torch.full((4, 1), 2.0) * x,
    lambda x: F.softmax(x, -1),
    lambda x: x.masked_fill(torch.eye(4, 3) > 0, 5.0),
    lambda x: torch.where(torch.eye(4, 3) > 0, x, 1.0),
    lambda x: torch.cat([x, x]),
    lambda x: F.linear(x, torch.ones(2, 3)),
    lambda x: F.batch_norm(x, torch.zeros(3), torch.ones(3)),
    lambda x: torch.lerp(x, x + 1, 0.5),
    lambda x: F.cosine_similarity(x, x + 1, 0),
    lambda x: torch.fft.fft(x).real,
    lambda x: F.cross_entropy(x, torch.tensor([0, 1, 2, 0]), reduction="none"),
    lambda x: torch.addmm(x, torch.ones(4, 2), torch.ones(2, 3)),
    lambda x: x.pow(2.0),
    lambda x: F.dropout(x, 0.5, False),
    lambda x: x.prod(0, keepdim=True),
]
WRITES = [
    lambda y: y.flatten().add_(1),
    lambda y: y.contiguous().add_(1),
    lambda y: y.reshape(-1).mul_(2),
    lambda y: y.T.reshape(-1).mul_(2) if y.ndim == 2 else y,
    lambda y: y.flatten().__setitem__(0, 9.0),
]


@pytest.mark.parametrize("layout", LAYOUTS[:3] + LAYOUTS[-1:])
@pytest.mark.parametrize("rounded", ["nearest", "outward"])
def test_writing_through_a_view_or_a_copy(layout, rounded):
    """It reaches the result, and the argument, where it does in torch."""
    x = torch.arange(12.0).reshape(4, 3) / 8 + 0.5
    for function in FUNCTIONS:
        for write in WRITES:
            plain, box = copied(layout(x)), ball(layout(x))
            inside = (box.lower + box.upper) / 2
            expected, found = function(plain), function(box)
            write(expected), write(found)
            for value, ends in ((expected, found), (plain, box)):
                assert bool((ends.lower <= value + 1e-4).all() & (ends.upper >= value - 1e-4).all())
            assert torch.equal(inside, (box.lower + box.upper) / 2) == torch.equal(plain, layout(x))


def test_view_as_torch_views():
    x = ball(transposed(torch.rand(3, 4)))
    assert F.softmax(x, -1).view(-1).shape == (12,)
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        (x + 1).view(-1)


def test_gradients_pass_a_change_of_layout():
    l = torch.rand(4, 3).T.requires_grad_()
    y = F.layer_norm(IntervalTensor(l, l.detach() + 1) * 1.0, (4,))
    assert y.lower.is_contiguous()
    assert torch.autograd.grad(y.upper.sum(), l)[0].isfinite().all()


def test_laid_out():
    x = torch.rand(2, 3, 1, 4)
    for order in ((3, 0, 2, 1), (1, 0, 3, 2), (0, 1, 2, 3)):
        like = x.permute(order).contiguous().permute(*sorted(range(4), key=order.__getitem__))
        y = laid_out(x, strides(like))
        assert strides(y) == strides(like) and torch.equal(x, y)
    assert laid_out(x, strides(x)) is x
    view = x[:, :1].expand(2, 3, 1, 4)
    assert laid_out(x, strides(view)) is x  # no layout of one's own
    assert copied(view).stride() == view.stride() and torch.equal(copied(view), view)
