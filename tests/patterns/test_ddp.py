"""Data parallelism: two processes with half a batch each get the gradients of one process with the whole batch."""

import dataclasses
import itertools
import socket
import warnings

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DistributedDataParallel

from intervaltorch import EscapeError, GradientWarning, IntervalTensor, UnsupportedOpError

pytestmark = pytest.mark.skipif(not dist.is_gloo_available(), reason="this build of torch has no gloo")

OPTIONS = [
    {},
    {"static_graph": True},
    {"find_unused_parameters": True},
    {"static_graph": True, "find_unused_parameters": True},
    {"gradient_as_bucket_view": True},
    {"static_graph": True, "gradient_as_bucket_view": True},
    {"bucket_cap_mb": 1e-5},
]


@dataclasses.dataclass
class Output:
    box: IntervalTensor
    number: float = 1.0


FORMS = {  # what a module returns, and the box in it
    "box": (lambda y, z: y, lambda output: output),
    "tuple": (lambda y, z: (z, y), lambda output: output[1]),
    "dict": (lambda y, z: {"plain": z.upper, "boxes": [y, z]}, lambda output: output["boxes"][0]),
    "bounds": (lambda y, z: (y.lower, y.upper), lambda output: IntervalTensor(*output)),
    "dataclass": (lambda y, z: Output(y), lambda output: output.box),
}
LOSSES = {
    "lower": lambda y: y.lower.square().mean(),
    "upper": lambda y: y.upper.square().mean(),
    "both": lambda y: (y.width + y.lower).square().mean(),
}


class Net(nn.Module):
    def __init__(self, form, unused):
        super().__init__()
        self.first, self.second, self.other = nn.Linear(3, 5), nn.Linear(5, 2), nn.Linear(5, 4)
        if unused:
            self.unused = nn.Linear(3, 3)
        self.form = FORMS[form][0]

    def forward(self, x, radius=None):
        x = x if radius is None else IntervalTensor.from_ball(x, radius)
        hidden = self.first(x).relu()
        z = self.other(hidden)
        return self.form(self.second(hidden) + 0 * z.sum(), z)


def batch():
    return torch.rand(8, 3, generator=torch.Generator().manual_seed(1))


def step(model, form, loss, x, boxed):
    output = model(IntervalTensor.from_ball(x, 0.1)) if boxed else model(x, radius=0.1)
    y = FORMS[form][1](output)
    assert isinstance(y, IntervalTensor)
    LOSSES[loss](y).backward()


def net(form, options):
    torch.manual_seed(0)
    return Net(form, unused=options.get("find_unused_parameters", False))


def check_equal(model, single, where):
    for (name, got), expected in zip(model.named_parameters(), single.parameters(), strict=True):
        if expected.grad is None:
            assert got.grad is None, (*where, name)
        else:
            torch.testing.assert_close(got.grad, expected.grad, msg=lambda text: f"{(*where, name)}: {text}")  # noqa: B023


def compare(rank, form, loss, options, boxed, accumulated):
    """Three steps of plain gradient descent: DDP decides in the first one what it does in the others."""
    model, single = net(form, options), net(form, options)
    parallel, half = DistributedDataParallel(model, **options), batch()[4 * rank : 4 * rank + 4]
    optimisers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (model, single)]
    for number in range(3):
        for optimiser in optimisers:
            optimiser.zero_grad()
        if accumulated and number > 0:  # gradients of no_sync stay apart until the next step
            with parallel.no_sync():
                step(parallel, form, loss, half, boxed)
            step(single, form, loss, batch(), boxed)
        step(parallel, form, loss, half, boxed)
        step(single, form, loss, batch(), boxed)
        check_equal(model, single, (form, loss, options, boxed, number))
        for optimiser in optimisers:
            optimiser.step()


def replicated(rank):
    cases = itertools.product(OPTIONS, FORMS)
    for (options, form), loss, boxed in zip(cases, itertools.cycle(LOSSES), itertools.cycle([True, False])):
        if form == "dataclass" and options.get("static_graph"):
            with pytest.raises(UnsupportedOpError, match=r"does not look into Output(.|\n)*return a tuple"):
                compare(rank, form, loss, options, boxed, accumulated=False)
            continue
        compare(rank, form, loss, options, boxed, accumulated=False)
        if form == "box":
            for loss in LOSSES:
                compare(rank, form, loss, options, not boxed, accumulated=not options.get("static_graph"))


def evaluation(rank):
    """Without gradients nothing is reduced, and a box that passes through stays what it is."""
    parallel = DistributedDataParallel(net("box", {}), find_unused_parameters=True)
    with torch.no_grad():
        assert parallel(batch(), radius=0.1).shape == (8, 2)

    class Through(nn.Linear):
        def forward(self, x):
            return x, super().forward(x)

    X = IntervalTensor.from_ball(batch(), 0.1)
    same, y = DistributedDataParallel(Through(3, 3), static_graph=True)(X)
    assert same is X
    assert y.lower.grad_fn is not None


def sharded(rank):
    """FSDP averages gradients as well; `fully_shard` says that it cannot."""
    layers = lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))  # noqa: E731
    torch.manual_seed(0)
    single = layers()
    LOSSES["both"](single(IntervalTensor.from_ball(batch(), 0.1))).backward()
    half = IntervalTensor.from_ball(batch()[4 * rank : 4 * rank + 4], 0.1)
    torch.manual_seed(0)
    model = FullyShardedDataParallel(layers(), device_id=torch.device("cpu"), use_orig_params=True)
    for _ in range(2):
        model.zero_grad()
        LOSSES["both"](model(half)).backward()
        with FullyShardedDataParallel.summon_full_params(model, with_grads=True):
            check_equal(model.module, single, ("FSDP",))
    model = fully_shard(layers(), mesh=init_device_mesh("cpu", (2,)))
    with pytest.raises(EscapeError, match=r"fully_shard would cut(.|\n)*return bounds"):
        model(half)


def one_process(rank, port):
    torch.set_num_threads(1)
    warnings.simplefilter("error", GradientWarning)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    replicated(rank)
    evaluation(rank)
    sharded(rank)
    dist.destroy_process_group()


def test_two_processes_agree_with_one():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.start_processes(one_process, (port,), nprocs=2, start_method="spawn")
