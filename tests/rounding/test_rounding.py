"""Rounding: modes, results rounded up and down, budgets."""

from __future__ import annotations

import asyncio
import copy
import itertools
import threading
from fractions import Fraction

import pytest
import torch
from torch import nn

import intervaltorch as it
from intervaltorch import IntervalTensor, _rounding
from intervaltorch.errors import UnprovenOpError

inf = float("inf")


def test_modes_nest_and_come_back():
    assert it.get_rounding() == "nearest"
    with it.rounding("outward"):
        assert it.get_rounding() == "outward"
        with it.rounding("nearest"):
            assert it.get_rounding() == "nearest"
        assert it.get_rounding() == "outward"
    assert it.get_rounding() == "nearest"


def test_mode_ends_with_an_exception():
    with pytest.raises(KeyError), it.rounding("outward"):
        raise KeyError
    assert it.get_rounding() == "nearest"


def test_decorator_applies_at_every_call():
    @it.rounding("outward")
    def mode():
        return it.get_rounding()

    assert mode() == mode() == "outward"


def test_default_reaches_other_threads_and_a_block_does_not():
    seen = []
    it.set_default_rounding("outward")
    try:
        with it.rounding("nearest"):
            thread = threading.Thread(target=lambda: seen.append(it.get_rounding()))
            thread.start()
            thread.join()
    finally:
        it.set_default_rounding("nearest")
    assert seen == ["outward"]


def test_modes_of_tasks_and_threads_do_not_meet():
    async def task(mode):
        with it.rounding(mode):
            await asyncio.sleep(0)
            return it.get_rounding()

    @it.rounding("outward")
    async def decorated():
        await asyncio.sleep(0)
        return it.get_rounding()

    async def all_at_once():
        return await asyncio.gather(task("outward"), task("nearest"), decorated(), task("nearest"), decorated())

    assert asyncio.run(all_at_once()) == ["outward", "nearest", "outward", "nearest", "outward"]
    assert it.get_rounding() == "nearest"

    barrier, seen = threading.Barrier(2), {}

    @it.rounding("outward")
    def work(name):
        barrier.wait()
        seen[name] = it.get_rounding()
        barrier.wait()

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"a": "outward", "b": "outward"}


def holding(mode):
    with mode if isinstance(mode, it.rounding) else it.rounding(mode):
        yield
        yield


def test_generators_close_their_blocks_in_any_order():
    modes = ["outward", "nearest", "outward"]
    for order in itertools.permutations(range(3)):
        generators = [holding(mode) for mode in modes]
        for generator in generators:
            next(generator)
        still_open = list(range(3))
        for position in order:
            assert it.get_rounding() == modes[still_open[-1]]
            if position == 1:
                generators[position].close()
            else:
                assert len(list(generators[position])) == 1  # run to the end
            still_open.remove(position)
        assert it.get_rounding() == "nearest"


def test_blocks_that_share_one_object_end_in_any_order():
    mode = it.rounding("outward")
    for order in itertools.permutations(range(3)):
        generators = [holding(mode) for _ in range(3)]
        for generator in generators:
            next(generator)
        for position in order:
            assert it.get_rounding() == "outward"
            generators[position].close()
        assert it.get_rounding() == "nearest"


def test_a_block_outlives_an_older_one_around_a_consumer():
    generator = holding("nearest")
    with it.rounding("outward"):
        next(generator)
        assert it.get_rounding() == "nearest"
    assert it.get_rounding() == "nearest"
    with it.rounding("outward"):
        generator.close()
        assert it.get_rounding() == "outward"
    assert it.get_rounding() == "nearest"


def test_a_block_that_another_thread_ends_is_over():
    generator = holding("outward")
    next(generator)
    seen = []

    def end():
        with it.rounding("outward"):
            generator.close()
            seen.append(it.get_rounding())
        seen.append(it.get_rounding())

    thread = threading.Thread(target=end)
    thread.start()
    thread.join()
    assert seen == ["outward", "nearest"] and it.get_rounding() == "nearest"


def test_a_task_keeps_the_mode_it_was_made_in():
    async def mode():
        await asyncio.sleep(0)
        return it.get_rounding()

    async def make():
        with it.rounding("outward"):
            task = asyncio.ensure_future(mode())
        return it.get_rounding(), await task

    assert asyncio.run(make()) == ("nearest", "outward")


def test_generators_are_not_decorated():
    def numbers():
        yield 1

    async def later():
        yield 1

    for generator in (numbers, later):
        with pytest.raises(TypeError, match="generator"):
            it.rounding("outward")(generator)


def test_a_decorator_keeps_name_and_result_and_a_mode_is_used_again():
    mode = it.rounding("outward")

    @mode
    def add(a, b=2):
        """Add."""
        return a + b

    assert (add(1), add(1, b=3), add.__name__, add.__doc__) == (3, 4, "add", "Add.")
    for _ in range(2):
        with mode, mode:
            assert it.get_rounding() == "outward"
    assert it.get_rounding() == "nearest"


def test_accumulate_needs_outward_and_a_dtype_it_knows():
    with pytest.raises(ValueError, match="accumulate"):
        it.rounding("nearest", accumulate="float64")
    with pytest.raises(ValueError, match="float16"):
        it.rounding("outward", accumulate="float16")


@pytest.mark.parametrize("wrong", ["up", "", None])
def test_unknown_mode_is_refused(wrong):
    with pytest.raises(ValueError, match="expected 'nearest' or 'outward'"), it.rounding(wrong):
        pass


def test_strict_needs_outward():
    with pytest.raises(ValueError, match="strict"), it.rounding("nearest", strict=True):
        pass


def test_strict_refuses_ops_without_budget():
    @it.register(monotone="increasing")
    def unproven(x):
        return x * 3

    x = IntervalTensor.point(torch.ones(2))
    with it.rounding("outward"), pytest.warns(UserWarning, match="guessed error budget"):
        unproven(x)
    with it.rounding("outward", strict=True), pytest.raises(UnprovenOpError, match="unproven"):
        unproven(x)


DTYPES = [torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_directed_results_enclose_exact_sums_at_binade_borders(dtype):
    info = torch.finfo(dtype)
    borders = torch.tensor([1.0, 2.0, 0.5, 1024.0, info.tiny, 0.0, -1.0, 3.0, info.max / 4], dtype=dtype)
    borders = torch.cat(
        [torch.nextafter(borders, torch.tensor(s, dtype=dtype)) for s in (-inf, inf)] + [borders, -borders]
    )
    x, y = (t.flatten() for t in torch.meshgrid(borders, borders, indexing="ij"))
    box = IntervalTensor.point(x)
    operations = [
        (lambda a, b: a + b, lambda a, b: a + b),
        (lambda a, b: a - b, lambda a, b: a - b),
        (lambda a, b: a * b, lambda a, b: a * b),
    ]
    with it.rounding("outward"):
        for on_boxes, on_rationals in operations:
            result = on_boxes(box, y)
            for l, u, a, b in zip(result.lower.tolist(), result.upper.tolist(), x.tolist(), y.tolist()):
                exact = on_rationals(Fraction(a), Fraction(b))
                assert l == -inf or Fraction(l) <= exact
                assert u == inf or exact <= Fraction(u)


def test_nearest_misses_what_outward_holds():
    x = torch.tensor([0.1])
    exact = Fraction(x.item()) * Fraction(x.item())
    nearest = IntervalTensor.point(x) * x
    assert not Fraction(nearest.lower.item()) <= exact <= Fraction(nearest.upper.item())
    with it.rounding("outward"):
        outward = IntervalTensor.point(x) * x
    assert Fraction(outward.lower.item()) <= exact <= Fraction(outward.upper.item())


@pytest.mark.parametrize("dtype", DTYPES)
def test_overflow_keeps_a_finite_lower_bound_near_the_largest_number(dtype):
    info = torch.finfo(dtype)
    huge = IntervalTensor.point(torch.tensor([1000.0], dtype=dtype))
    with it.rounding("outward"):
        y = huge.exp()
        z = -(huge.exp())
    # A function that errs may overflow a little before its real value does.
    assert info.max * (1 - 16 * info.eps) < y.lower.item() < info.max
    assert y.upper.item() == inf
    assert (z.lower.item(), z.upper.item()) == (-inf, -y.lower.item())


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_is_known_where_a_value_is_nan(dtype):
    y = torch.tensor([float("nan"), 1.0, inf, -inf], dtype=dtype)
    error = torch.tensor([1.0, float("nan"), inf, inf], dtype=dtype)
    assert _rounding.down(y, error).tolist() == [-inf] * 4
    assert _rounding.up(y, error).tolist() == [inf] * 4


def test_python_numbers_mean_their_binary64_value():
    x = IntervalTensor.point(torch.tensor([1.0, -3.0]))
    with it.rounding("outward"):
        for y, exact in [(x * 0.1, 0.1), (x + 0.1, 1.1), (0.1 / x, 0.1)]:
            assert Fraction(y.lower[0].item()) <= Fraction(exact) <= Fraction(y.upper[0].item())
        y = x * 0.1
    assert Fraction(y.lower[0].item()) <= Fraction(0.1) <= Fraction(y.upper[0].item())


def test_narrowing_conversions_round_outward():
    x = IntervalTensor.point(torch.tensor([0.1, 1e300, 1e-300], dtype=torch.float64))
    with it.rounding("outward"):
        y = x.float()
    for l, u, exact in zip(y.lower.tolist(), y.upper.tolist(), x.lower.tolist()):
        assert l <= exact <= u


def test_from_ball_rounds_outward():
    torch.manual_seed(0)
    x = torch.randn(1000)
    with it.rounding("outward"):
        ball = IntervalTensor.from_ball(x, 0.1)
    for l, u, centre in zip(ball.lower.tolist(), ball.upper.tolist(), x.tolist()):
        assert Fraction(l) <= Fraction(centre) - Fraction(0.1)
        assert Fraction(centre) + Fraction(0.1) <= Fraction(u)


def test_gradients_pass_straight_through_the_widening():
    x = torch.tensor([0.3, 2.0], dtype=torch.float64, requires_grad=True)
    gradients = []
    for mode in ("nearest", "outward"):
        with it.rounding(mode):
            y = (IntervalTensor.from_ball(x, 0.1) * 2.5).exp()
        gradients.append(torch.autograd.grad((y.upper - 3 * y.lower).sum(), x)[0])
    torch.testing.assert_close(*gradients)


def bounds_of_model(model, x):
    y = model(IntervalTensor.from_ball(x, 0.01))
    return (y.upper - 3 * y.lower).sum()


def saved_bytes(model, x):
    """How much a forward pass keeps for the backward pass, each storage once."""
    kept = {}

    def pack(t):
        kept[t.untyped_storage().data_ptr()] = t.untyped_storage()  # held, so that no address is used twice
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        loss = bounds_of_model(model, x)
    return sum(storage.nbytes() for storage in kept.values()), loss


MODELS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 10), nn.Tanh()), (8, 20)),
    "cnn": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 3)),
        (4, 2, 8, 8),
    ),
    "norm": (lambda: nn.Sequential(nn.Linear(20, 16), nn.LayerNorm(16), nn.GELU(), nn.Softmax(-1)), (8, 20)),
    "sums": (lambda: _Sums(), (8, 20)),
}


class _Sums(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(20))

    def forward(self, x):
        return (x * self.weight).sum(-1) + x.square().mean(-1) - (0.1 * x).cumsum(-1)[..., -1]


@pytest.mark.parametrize("name", MODELS)
def test_training_keeps_no_more_and_learns_the_same(name):
    make, shape = MODELS[name]
    torch.manual_seed(0)
    model, x = make(), torch.rand(shape)
    bytes_kept, gradients = {}, {}
    for mode in ("nearest", "outward"):
        with it.rounding(mode):
            bytes_kept[mode], loss = saved_bytes(model, x)
        gradients[mode] = torch.autograd.grad(loss, list(model.parameters()))
    assert bytes_kept["nearest"] > 0
    # A root is kept for its own gradient and, moved outward, for that of the quotient: two more tensors a norm.
    room = 1.05 if name == "norm" else 1
    assert bytes_kept["outward"] <= bytes_kept["nearest"] * room
    for near, out in zip(gradients["nearest"], gradients["outward"], strict=True):
        torch.testing.assert_close(near, out, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_accumulating_in_float64_is_narrower_and_learns_the_same(name):
    make, shape = MODELS[name]
    torch.manual_seed(0)
    model, x = make(), torch.rand(shape)
    box = IntervalTensor.from_ball(x, 1e-5)
    exact = copy.deepcopy(model).double()(box.double())
    with it.rounding("outward"):
        plain = model(box)
    with it.rounding("outward", accumulate="float64"):
        near, loss = model(box), bounds_of_model(model, x)
    assert near.dtype is torch.float32
    assert exact.issubset(near.double()).all()
    added = (near.double().width.sum() / exact.width.sum() - 1).item()
    assert added < 0.3 * (plain.double().width.sum() / exact.width.sum() - 1).item()
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    expected = torch.autograd.grad(bounds_of_model(model, x), list(model.parameters()))
    for a, b in zip(gradients, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_gamma_refuses_sums_without_a_bound():
    assert _rounding.gamma(3, torch.float32) >= 3 * 2**-24
    with pytest.raises(UnprovenOpError, match="wider dtype"):
        _rounding.gamma(2**24, torch.float32)


def test_reduced_precision_is_refused():
    x, weight = IntervalTensor.point(torch.ones(1, 2)), torch.ones(2, 2)
    half = IntervalTensor.point(torch.ones(1, 2, dtype=torch.bfloat16))
    with it.rounding("outward"):
        with torch.autocast("cpu"), pytest.raises(UnprovenOpError, match="autocast"):
            x @ weight
        with pytest.raises(UnprovenOpError, match="bfloat16"):
            half @ weight.bfloat16()
        torch.set_float32_matmul_precision("high")
        try:
            with pytest.raises(UnprovenOpError, match="set_float32_matmul_precision"):
                x @ weight
        finally:
            torch.set_float32_matmul_precision("highest")
        x @ weight


def test_budgets_by_device():
    """Where a value was computed decides its budget: measured on CPUs, documented for CUDA, unknown elsewhere."""
    cpu, cuda, other = (torch.device(name) for name in ("cpu", "cuda", "xpu"))
    assert it.Budget(2, cuda=4).on(cpu) == it.Budget(2, cuda=4)
    assert it.Budget(2).on(cuda) is None and it.Budget(2, cuda=4).on(other) is None
    assert it.EXACT.on(cuda) == it.EXACT.on(other) == it.EXACT
    if torch.version.hip is None:
        assert it.Budget(2, input=3, cuda=4).on(cuda).relative == 4
        assert _rounding.CORRECTLY_ROUNDED.on(cuda).relative == 0.5


def test_widening_takes_the_budget_of_the_device(monkeypatch):
    y = torch.tensor([1.0])
    on_cpu = _rounding.widen(y, y, it.Budget(2, cuda=64))[1]
    monkeypatch.setattr(it.Budget, "on", lambda self, device: it.Budget(64))
    assert bool((_rounding.widen(y, y, it.Budget(2, cuda=64))[1] > on_cpu).all())
    monkeypatch.setattr(it.Budget, "on", lambda self, device: None)
    with pytest.warns(UserWarning, match="guessed error budget"):
        _rounding.widen(y, y, it.Budget(2))
    with it.rounding("outward", strict=True), pytest.raises(UnprovenOpError, match="no rounding error budget"):
        _rounding.widen(y, y, it.Budget(2))
