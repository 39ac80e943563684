"""Modules whose weights are computed (normalised, spectral, orthogonal, pruned), pooled places, padding masks."""

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrizations, parametrize, prune

import intervaltorch as it
from intervaltorch import IntervalTensor, UndecidedError, UnsupportedOpError, testing
from intervaltorch._theorems.undecided import Undecided
from tests.modules.table import box

WRAPPERS = {
    "weight_norm": lambda: parametrizations.weight_norm(nn.Linear(4, 3)),
    "weight_norm over all": lambda: parametrizations.weight_norm(nn.Linear(4, 3), dim=None),
    "spectral_norm": lambda: parametrizations.spectral_norm(nn.Linear(4, 3)),
    "weight_norm by a hook": lambda: nn.utils.weight_norm(nn.Linear(4, 3)),
    "spectral_norm by a hook": lambda: nn.utils.spectral_norm(nn.Linear(4, 3)),
    "pruned": lambda: prune.l1_unstructured(nn.Linear(4, 3), "weight", amount=0.5),
}


def wrapped(name):
    torch.manual_seed(0)
    return WRAPPERS[name]().eval()


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize("mode", ["inputs", "weights"])
@pytest.mark.parametrize("name", WRAPPERS)
def test_computed_weights(name, mode):
    module = wrapped(name)
    keys, values = zip(*module.named_parameters(), strict=True)
    if mode == "weights":
        values = [IntervalTensor.from_ball(value.detach(), 0.01) for value in values]

    def run(x, *weights):
        return functional_call(module.to(x.dtype), dict(zip(keys, weights, strict=True)), (x,))

    x = box(5, 4)
    testing.check_op(run, x, *(value if mode == "weights" else value.detach() for value in values), samples=8)


@pytest.mark.parametrize("name", WRAPPERS)
def test_gradients_reach_what_weights_are_computed_from(name):
    module = wrapped(name).train()
    module(box(5, 4)).width.sum().backward()
    for path, value in module.named_parameters():
        assert path.endswith("bias") or (value.grad is not None and bool(value.grad.abs().sum() > 0)), path


def test_orthogonal_weights():
    """The weight is a plain tensor computed by a matrix exponential; inputs are boxes."""
    module, x = parametrizations.orthogonal(nn.Linear(4, 4)).double(), box(5, 4).double()
    result = module(x)
    for point in testing.sample_points(x, 8):
        testing.assert_encloses(result, module(point))
    with parametrize.cached():
        testing.assert_encloses(module(x), module(x.center))


def test_power_iteration_on_boxes_is_refused():
    """In training, spectral_norm would write vectors computed from the weights into plain buffers."""
    module = parametrizations.spectral_norm(nn.Linear(4, 3))
    key = "parametrizations.weight.original"
    weights = {key: IntervalTensor.from_ball(module.parametrizations.weight.original.detach(), 0.01)}
    before = module.parametrizations.weight[0]._u.clone()
    with pytest.raises(UnsupportedOpError, match="does not write intervals"):
        functional_call(module.train(), weights, (torch.ones(1, 4),))
    assert torch.equal(module.parametrizations.weight[0]._u, before)


# --- places of greatest values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_pooling_and_unpooling(dims):
    pool = getattr(nn, f"MaxPool{dims}d")(2, return_indices=True)
    unpool = getattr(nn, f"MaxUnpool{dims}d")(2)
    centre = torch.randperm(2 * 4**dims).reshape(1, 2, *[4] * dims).double()
    decided, undecided = IntervalTensor.from_ball(centre, 0.4), IntervalTensor.from_ball(centre, 100.0)

    def run(x):
        return unpool(*pool(x))

    for mode in ("nearest", "outward"):
        with it.rounding(mode):
            result = run(decided)
        for point in testing.sample_points(decided, 8):
            testing.assert_encloses(result, run(point))
    values, places = pool(undecided)
    assert isinstance(places, Undecided) and places.shape == values.shape
    with pytest.raises(UndecidedError, match=f"max_pool{dims}d"):
        unpool(values, places)


# --- attention and its fast path --------------------------------------------------------------------------------------


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("varies", ["input", "a weight"])
def test_fast_paths_do_not_lose_the_box(grad, varies):
    """In inference torch runs attention in kernels of its own, which know no boxes."""
    torch.manual_seed(0)
    for module in (
        nn.TransformerEncoderLayer(4, 2, 3, 0.0, batch_first=True),
        nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 3, 0.0, batch_first=True), 1),
        nn.MultiheadAttention(4, 2, batch_first=True),
    ):
        module.eval().requires_grad_(grad)
        x = box(2, 3, 4)
        key = next(name for name, _ in module.named_parameters() if name.endswith("in_proj_weight"))
        weights = {} if varies == "input" else {key: IntervalTensor.from_ball(module.state_dict()[key], 0.1)}
        inputs = (x if varies == "input" else x.center,) * (3 if isinstance(module, nn.MultiheadAttention) else 1)
        with torch.set_grad_enabled(grad):
            result = functional_call(module, weights, inputs)
        first = result[0] if isinstance(result, tuple) else result
        assert type(first) is IntervalTensor and (first.width > 0).all()
