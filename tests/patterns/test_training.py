"""A training loop on a bound, threads in two rounding modes, loaders of bounds, operators of one's own."""

import copy
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import intervaltorch as it
from intervaltorch import Box, IntervalTensor, UnsupportedOpError, rounding
from tests.boxes import box
from tests.patterns.check import ball, check, refuses

DATA = torch.randn(48, 4, generator=torch.Generator().manual_seed(1))
LABELS = (DATA.sum(1) > 0).long()


def robust_loss(model, lower, upper, labels):
    """Cross entropy of the worst scores: the lower bound of the right class, the upper bounds of the others."""
    Y = model(IntervalTensor(lower, upper))
    right = F.one_hot(labels, 2).bool()
    return F.cross_entropy(torch.where(right, Y.lower, Y.upper), labels)


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.02),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
}


@pytest.mark.parametrize("mode", ["nearest", "outward"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_loop_on_a_bound_trains(name, mode):
    """The certified loss falls, and more points of the data are certified than before."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(inplace=True), nn.LayerNorm(16), nn.Dropout(0.0), nn.Linear(16, 2))
    loader = DataLoader(TensorDataset(DATA - 0.05, DATA + 0.05, LABELS), batch_size=16, shuffle=True)
    optimizer = OPTIMIZERS[name](model.parameters())
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.95)
    first = robust_loss(model, DATA - 0.05, DATA + 0.05, LABELS).item()
    with rounding(mode):
        for _ in range(6):
            for lower, upper, labels in loader:

                def closure(lower=lower, upper=upper, labels=labels):
                    optimizer.zero_grad()
                    loss = robust_loss(model, lower, upper, labels)
                    loss.backward()
                    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                    return loss

                optimizer.step(closure)
            schedule.step()
    last = robust_loss(model, DATA - 0.05, DATA + 0.05, LABELS).item()
    assert last < 0.7 * first


def test_modes_belong_to_their_thread():
    """Two threads alternate, each in its own mode; the point box of 1/3 tells which one."""
    barrier, seen, errors = threading.Barrier(2), {"nearest": [], "outward": []}, []

    def work(mode):
        try:
            with rounding(mode):
                for _ in range(20):
                    barrier.wait(timeout=30)
                    width = (IntervalTensor.point(torch.ones(1)) / 3).width.item()
                    barrier.wait(timeout=30)
                    seen[mode].append((it.get_rounding(), width > 0))
        except Exception as error:  # an assertion in a thread would not be seen
            errors.append(error)

    threads = [threading.Thread(target=work, args=(mode,)) for mode in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not errors
    assert seen == {"nearest": [("nearest", False)] * 20, "outward": [("outward", True)] * 20}
    assert it.get_rounding() == "nearest"


def test_gradients_computed_in_threads_add_up():
    model, X = nn.Linear(4, 2).double(), ball(8, 4)
    model(X).upper.sum().backward()
    expected = model.weight.grad.clone()
    twin = copy.deepcopy(model)
    twin.zero_grad()
    parts = [threading.Thread(target=lambda part=part: twin(part).upper.sum().backward()) for part in X.split(4)]
    for thread in parts:
        thread.start()
    for thread in parts:
        thread.join(timeout=60)
    torch.testing.assert_close(twin.weight.grad, expected)


# --- operators of one's own -------------------------------------------------------------------------------------------


@torch.library.custom_op("intervaltorch_patterns::halve", mutates_args=())
def halve(x: torch.Tensor) -> torch.Tensor:
    return x / 2


@torch.library.custom_op("intervaltorch_patterns::shift", mutates_args=())
def shift(x: torch.Tensor, by: float) -> torch.Tensor:
    return x + by


@torch.library.custom_op("intervaltorch_patterns::grow", mutates_args=("x",))
def grow(x: torch.Tensor) -> None:
    x.add_(1)


it.register(shift, rule=lambda x, by: Box(x.lower + by, x.upper + by), formula="x + b", budget=it.Budget(1))
LIBRARY = torch.library.Library("intervaltorch_patterns", "FRAGMENT")
LIBRARY.define("composed(Tensor x) -> Tensor")
LIBRARY.impl("composed", lambda x: x.exp() * 2, "CompositeImplicitAutograd")
LIBRARY.define("kernel(Tensor x) -> Tensor")
LIBRARY.impl("kernel", lambda x: x * 2, "CPU")


def test_custom_operators_use_their_rule_or_their_steps():
    X = box([-1.0, 0.5], [2.0, 3.0])
    for call in (
        lambda x: shift(x, 0.1),
        lambda x: torch.ops.intervaltorch_patterns.shift(x, 0.1),
        lambda x: torch.ops.intervaltorch_patterns.shift.default(x, 0.1),
        torch.ops.intervaltorch_patterns.composed,
    ):
        check(call, X)


@pytest.mark.parametrize(
    "call", [halve, torch.ops.intervaltorch_patterns.halve, grow, torch.ops.intervaltorch_patterns.kernel], ids=str
)
def test_custom_operators_without_a_rule_are_refused_by_name(call):
    X = box([-1.0, 0.5], [2.0, 3.0])
    before = X.clone()
    refuses(
        UnsupportedOpError, lambda: call(X), "intervaltorch_patterns", "intervaltorch.register", "IntervalTensor(2)"
    )
    assert X.lower.equal(before.lower) and X.upper.equal(before.upper)
