"""What outward mode refuses, because an error bound would not be true there; each refusal names the remedy."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

import intervaltorch as it
from intervaltorch import IntervalTensor
from intervaltorch._rounding import conditions as _conditions
from intervaltorch.errors import UnprovenOpError

X = IntervalTensor.from_ball(torch.ones(1, 3), 0.1)
WEIGHT = torch.ones(2, 3)
IMAGE, KERNEL = IntervalTensor.from_ball(torch.ones(1, 2, 5, 5), 0.1), torch.ones(2, 2, 3, 3)


@contextlib.contextmanager
def changed(holder, name, value):
    before = getattr(holder, name)
    setattr(holder, name, value)
    try:
        yield
    finally:
        setattr(holder, name, before)


@contextlib.contextmanager
def matmul_precision(value):
    torch.set_float32_matmul_precision(value)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.backends.mkldnn.matmul.fp32_precision = "none"


REFUSALS = [
    ("high", lambda: matmul_precision("high"), lambda: F.linear(X, WEIGHT), "highest"),
    ("medium", lambda: matmul_precision("medium"), lambda: X.sum(), "highest"),
    (
        "products of oneDNN",
        lambda: changed(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
        lambda: X @ WEIGHT.T,
        r'mkldnn\.matmul\.fp32_precision = "ieee"',
    ),
    (
        "everything",
        lambda: torch.backends.flags(fp32_precision="bf16"),
        lambda: X.mean(),
        r'fp32_precision = "ieee"',
    ),
    (
        "convolutions of oneDNN",
        lambda: changed(torch.backends.mkldnn.conv, "fp32_precision", "bf16"),
        lambda: F.conv2d(IMAGE, KERNEL),
        r'mkldnn\.conv\.fp32_precision = "ieee"',
    ),
    (
        "no oneDNN",
        lambda: torch.backends.mkldnn.flags(enabled=False, allow_tf32=None),
        lambda: F.conv2d(IMAGE, KERNEL),
        r"mkldnn\.enabled = True",
    ),
    ("environment", lambda: changed(_conditions, "_FPMATH", "BF16"), lambda: F.conv2d(IMAGE, KERNEL), "unset"),
    ("autocast", lambda: torch.autocast("cpu"), lambda: F.linear(X, WEIGHT), "leave autocast off"),
    ("half", contextlib.nullcontext, lambda: F.linear(X.half(), WEIGHT.half()), "float32 or float64"),
    ("bfloat16", contextlib.nullcontext, lambda: X.bfloat16().sum(), "float32 or float64"),
]


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.parametrize(("setting", "call", "remedy"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refused_outward_with_a_remedy_and_only_there(setting, call, remedy):
    with it.rounding("outward"):
        if setting is not contextlib.nullcontext:
            call()
        with setting(), pytest.raises(UnprovenOpError, match=remedy):
            call()
    with setting():
        call()


def test_products_of_cuda_count_once_cuda_runs(monkeypatch):
    with changed(torch.backends.cuda.matmul, "fp32_precision", "tf32"), it.rounding("outward"):
        F.linear(X, WEIGHT)
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
        with pytest.raises(UnprovenOpError, match="cuda"):
            F.linear(X, WEIGHT)


def test_convolutions_of_cudnn_are_refused(monkeypatch):
    class OnCuda:
        device, dtype = torch.device("cuda"), torch.float64

    with pytest.raises(UnprovenOpError, match=r"cudnn\.enabled = False"):
        _conditions.check_convolution(OnCuda())
    with torch.backends.cudnn.flags(enabled=False):
        _conditions.check_convolution(OnCuda())


# --- subnormal numbers ------------------------------------------------------------------------------------------------


@pytest.fixture
def flushing():
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormal numbers to zero")
    torch.set_flush_denormal(False)
    yield lambda: torch.set_flush_denormal(True)
    torch.set_flush_denormal(False)


def test_a_flag_set_inside_a_block_is_seen_at_the_next_operation(flushing):
    with it.rounding("outward"):
        X * 2
        flushing()
        with pytest.raises(UnprovenOpError, match=r"set_flush_denormal\(False\)"):
            X * 2
        torch.set_flush_denormal(False)
        X * 2
    flushing()
    X * 2


def test_a_block_does_not_begin_under_the_flag(flushing):
    flushing()
    with pytest.raises(UnprovenOpError, match="flushes subnormal"), it.rounding("outward"):
        pass
    assert it.get_rounding() == "nearest"


def test_the_default_mode_is_checked_too(flushing):
    it.set_default_rounding("outward")
    try:
        flushing()
        with pytest.raises(UnprovenOpError, match="flushes subnormal"):
            X + 1
    finally:
        it.set_default_rounding("nearest")


POOL = """
import torch, intervaltorch as it
torch.set_num_threads(3)
started_flushing = {flag}
torch.set_flush_denormal(started_flushing)
torch.ones(1 << 20).mul(2)  # starts the pool
torch.set_flush_denormal(False)
box = it.IntervalTensor.point(torch.ones(2))
try:
    with it.rounding("outward"):
        box * 2
    print("claimed")
except it.UnprovenOpError as error:
    assert "set_num_threads(1)" in str(error)
    torch.set_num_threads(1)
    with it.rounding("outward"):
        box * 2
    print("refused")
    it.set_default_rounding("outward")
    torch.set_num_threads(2)
    try:
        box * 2
        print("claimed")
    except it.UnprovenOpError:
        print("refused")
"""


@pytest.mark.parametrize(("flag", "answer"), [(True, ["refused", "refused"]), (False, ["claimed"])])
def test_a_pool_started_under_the_flag_is_found(flushing, flag, answer):
    run = subprocess.run([sys.executable, "-c", POOL.format(flag=flag)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == answer


def test_the_look_at_the_pool_disturbs_no_mode_of_torch():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with FakeTensorMode(), it.rounding("outward"):
            pass
        with torch.device("meta"), it.rounding("outward"):
            pass
        with torch.inference_mode(), it.rounding("outward"):
            X * 2
    finally:
        torch.set_num_threads(threads)
