"""Programs that torch runs or records: TorchScript hides errors, `make_fx` has no values for a rule to decide by."""

import re
import sys
import warnings

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from intervaltorch import DomainError, IntervalTensor, UndecidedError, UnsupportedOpError, bound
from tests.boxes import box
from tests.patterns.check import ball, refuses

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def _scripts_as_they_are(monkeypatch):
    """Torch's own tests, which others here import, put a Python frame around each call of a script."""
    utils = sys.modules.get("torch.testing._internal.common_utils")
    if utils is not None:
        monkeypatch.setattr(torch._C.ScriptFunction, "__call__", utils.func_call)
        monkeypatch.setattr(torch._C.ScriptMethod, "__call__", utils.meth_call)


def branch(x):
    if bool(x.sum() > 0):
        return x
    return -x


def scripted_logarithm(x):
    return x.log()


class Branching(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x.log()
        return -x


HIDDEN = {
    "undecided": (ball(2, 3, radius=9.0), UndecidedError, "depends on the point of the box"),
    "domain": (box([-1.0, 90.0], [5.0, 99.0]), DomainError, "x.clamp(min=0)"),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_errors_inside_scripts_come_out(name):
    """TorchScript replaces an error by one without reason; a module, and `bound`, raise the error itself."""
    X, kind, word = HIDDEN[name]
    module = torch.jit.script(Branching())
    function = torch.jit.script(branch) if name == "undecided" else torch.jit.script(scripted_logarithm)
    refuses(kind, lambda: module(X), word)
    refuses(kind, lambda: nn.Sequential(nn.Identity(), module)(X), word)
    refuses(kind, lambda: bound(nn.Sequential(nn.Identity(), module), X), word)
    refuses(kind, lambda: bound(function, X), word)
    with (
        pytest.warns(RuntimeWarning, match=re.escape(word)),
        pytest.raises(RuntimeError, match="TorchScript interpreter"),
    ):
        function(X)
    with pytest.raises(RuntimeError, match=r"same|shape|size|dim"):  # torch's own too
        torch.jit.script(nn.Linear(5, 2).double())(X)


def test_errors_of_scripts_themselves_stay():
    @torch.jit.script
    def stops(x):
        assert x.size(0) == 7, "seven rows"
        return x

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(torch.jit.Error, match="seven rows"):
            bound(stops, ball(2, 3))


def recorded(program, mode="real"):
    """A program of bounds, as `make_fx` records it."""
    X = ball(3, 4)
    graph = make_fx(lambda l, u: program(IntervalTensor(l, u)), tracing_mode=mode)(X.lower, X.upper)
    return graph, ball(3, 4)


@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
def test_make_fx_records_rules_that_read_no_values(mode):
    programs = [
        lambda X: (X.softmax(-1) @ X.mT).lower, lambda X: (X + 99).log().upper, lambda X: X.sort(0)[0].lower,
        lambda X: nn.functional.layer_norm(X, (4,)).lower, lambda X: nn.functional.max_pool1d(X, 2).upper,
        lambda X: nn.functional.scaled_dot_product_attention(X, X, X).lower, lambda X: torch.logaddexp(X, -X).lower,
        lambda X: nn.functional.cross_entropy(X, torch.tensor([0, 1, 2])).upper, lambda X: X.amax(0).lower,
    ]  # fmt: skip
    for program in programs:
        graph, X = recorded(program, mode)
        torch.testing.assert_close(graph(X.lower, X.upper), program(X))


@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
def test_rules_that_read_values_say_so_while_they_are_recorded(mode):
    for program, name in [
        (lambda X: X[X > 0].lower, "getitem"),
        (lambda X: X.lower if X.sum() > 0 else X.upper, "the truth of a box"),
        (lambda X: torch.linalg.inv(X[:, :3]).lower, "inv"),
        (lambda X: torch.linspace(0, 1, 5, dtype=X.dtype)[torch.searchsorted(X[0].lower, X[0])], "searchsorted"),
    ]:
        refuses(UnsupportedOpError, lambda program=program: recorded(program, mode), name, "reads values", "recorded")
