"""Writing to one place more than once: torch leaves open which value stays, so the box holds every one of them."""

import pytest
import torch

from intervaltorch import IntervalTensor, UnsupportedOpError, rounding

N = 6
SPELLINGS = {
    "index_put": lambda x, i, s: x.index_put((i,), s),
    "index_put_": lambda x, i, s: x.clone().index_put_((i,), s),
    "put": lambda x, i, s: x.put(i, s),
    "scatter": lambda x, i, s: x.scatter(0, i, s),
    "index_copy": lambda x, i, s: x.index_copy(0, i, s),
    "setitem": lambda x, i, s: set_item(x.clone(), i, s),
    "setitem by list": lambda x, i, s: set_item(x.clone(), i.tolist(), s),
    "setitem and slice": lambda x, i, s: set_item(x.reshape(N, 1).clone(), (i, slice(None)), s.reshape(-1, 1)).view(-1),
    "aten": lambda x, i, s: torch.ops.aten.index_put(x, [i], s),
}  # fmt: skip
each_spelling = pytest.mark.parametrize("write", SPELLINGS.values(), ids=SPELLINGS)


def set_item(x, index, value):
    x[index] = value
    return x


def box(n, seed=0):
    torch.manual_seed(seed)
    middle = torch.randn(n)
    return IntervalTensor(middle - 0.1, middle + 0.2)


@each_spelling
@pytest.mark.parametrize("mode", ["nearest", "outward"])
def test_hull_of_all_that_is_written(write, mode):
    x, s, index = box(N), box(5, 1), torch.tensor([1, 3, 1, 1, 5])
    with rounding(mode):
        result = write(x, index, s)
    for place in range(N):
        written = (index == place).nonzero().flatten()
        ends = (s.lower[written].min(), s.upper[written].max()) if len(written) else (x.lower[place], x.upper[place])
        assert (result.lower[place], result.upper[place]) == ends


@each_spelling
def test_plain_source_or_destination(write):
    index, s = torch.tensor([0, 2, 0]), torch.tensor([3.0, 1.0, -2.0])
    result = write(box(N), index, s)
    assert result.lower[0] == -2 and result.upper[0] == 3 and result.lower[2] == result.upper[2] == 1
    assert write(box(N), torch.tensor([4, 0, 2]), s).upper[0] == 1


@each_spelling
def test_gradients(write):
    l, u = torch.zeros(3, requires_grad=True), torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    result = write(box(N), torch.tensor([1, 1, 4]), IntervalTensor(l - torch.tensor([1.0, 0.0, 0.0]), u))
    low, high = torch.autograd.grad(result.lower.sum() + result.upper.sum(), (l, u))
    assert low.tolist() == [1, 0, 1] and high.tolist() == [0, 1, 1]


def test_views_see_it():
    x = IntervalTensor(torch.zeros(3, 2), torch.ones(3, 2))
    column = x[:, 1]
    column[torch.tensor([0, 0])] = torch.tensor([5.0, 7.0])
    assert x.lower[0].tolist() == [0, 5] and x.upper[0].tolist() == [1, 7]


def test_sums_are_as_they_were():
    x, s, index = box(N), box(3, 1), torch.tensor([1, 1, 2])
    result = x.index_put((index,), s, accumulate=True)
    assert torch.equal(result.lower, x.lower.index_put((index,), s.lower, accumulate=True))


def test_complex_numbers_are_refused():
    x = IntervalTensor(torch.zeros(3, dtype=torch.cfloat), torch.ones(3, dtype=torch.cfloat))
    x[torch.tensor([0, 1])] = 1.0 + 0j
    with pytest.raises(UnsupportedOpError, match="which of them stays"):
        x[torch.tensor([0, 0])] = torch.tensor([1.0 + 0j, 2.0])


def test_truth_is_hulled():
    x = IntervalTensor.point(torch.zeros(2, dtype=torch.bool))
    x[torch.tensor([0, 0])] = torch.tensor([True, False])
    assert x.lower.tolist() == [False, False] and x.upper.tolist() == [True, False]


def test_rows_and_several_dimensions():
    x = IntervalTensor(torch.zeros(3, 2), torch.ones(3, 2))
    rows = torch.tensor([[1.0, 9.0], [4.0, 2.0]])
    for y in (x.index_copy(0, torch.tensor([2, 2]), rows), x.index_put((torch.tensor([2, -1]),), rows)):
        assert y.lower[2].tolist() == [1, 2] and y.upper[2].tolist() == [4, 9]
    y = x.scatter(1, torch.tensor([[1, 1]]), rows[:1])
    assert y.lower[0].tolist() == [0, 1] and y.upper[0].tolist() == [1, 9]


@each_spelling
def test_two_threads(write):
    """Two kernels may let different entries win."""
    n = 200_000 if "reshape" not in write.__code__.co_names else N
    x, s, index = box(n), box(n, 1), torch.randint(0, min(n, 50_000), (n,))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        result = write(x, index, s) if write is not SPELLINGS["setitem by list"] else x
    finally:
        torch.set_num_threads(threads)
    assert bool((result.lower <= result.upper).all())
    if result is not x:
        assert bool((result.lower[index] <= s.lower).all() & (result.upper[index] >= s.upper).all())
