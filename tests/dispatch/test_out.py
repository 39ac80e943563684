"""`out=` is refused by name wherever torch takes it: a plain tensor has no room for two bounds."""

import contextlib

import pytest
import torch
from torch.overrides import resolve_name

from intervaltorch import IntervalError, IntervalTensor, rounding
from intervaltorch.testing._trees import flatten, map_tensors
from tests.test_no_plain_results import FUNCTIONS, call_of, with_boxes

pytestmark = pytest.mark.usefixtures("quiet")


def results(function, args, kwargs):
    args, kwargs = map_tensors(lambda x: x.clone(), (args, kwargs))
    try:
        value = function(*args, **kwargs)
        out = map_tensors(torch.empty_like, value) if isinstance(value, (torch.Tensor, tuple, list)) else None
        args, kwargs = map_tensors(lambda x: x.clone(), (args, kwargs))
        function(*args, **kwargs, out=out)
    except Exception:
        return None
    return out


def held_by_box(x):
    dense = x.is_floating_point() and x.layout is torch.strided
    return IntervalTensor.point(torch.zeros_like(x)) if dense else x


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: resolve_name(f) or getattr(f, "__name__", str(f)))
@pytest.mark.parametrize("mode", ["outward", pytest.param("nearest", marks=pytest.mark.slow)])
def test_out_is_refused(function, mode):
    call = call_of(function)
    out = None if call is None else results(function, *call)
    if out is None or not flatten(out)[0]:
        pytest.skip("takes no out=")
    boxes, named = next(iter(with_boxes(call)), (None, None))
    if boxes is None:
        pytest.skip("no floating argument")
    held = map_tensors(held_by_box, out)
    with rounding(mode):
        for target in (out, held):
            before = map_tensors(lambda x: x.clone(), out)
            with contextlib.suppress(IntervalError):
                assert function(*boxes, **named, out=target) is NotImplemented  # as operators answer
            for x, y in zip(flatten(before)[0], flatten(out)[0], strict=True):
                if x.layout is torch.strided:
                    assert bool(((x == y) | (x != x) & (y != y)).all())


def test_it_is_named():
    x = IntervalTensor(torch.zeros(2, 2), torch.ones(2, 2))
    for function in (torch.nanmean, torch.nansum, torch.add, torch.linalg.matrix_rank, torch.chain_matmul):
        args = (x, x) if function in (torch.add, torch.chain_matmul) else (x,)
        with pytest.raises(IntervalError, match="out="):
            function(*args, out=torch.empty(()))
