"""Every module of `torch.nn` encloses, in both rounding modes and with gradients, or refuses by name."""

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy

from intervaltorch import IntervalTensor, UnsupportedOpError, testing
from intervaltorch.testing._trees import flatten, map_tensors
from tests.modules.table import ABSTRACT, CASES, names


def test_every_module_has_an_entry():
    assert {case.name for case in CASES} | set(ABSTRACT) == set(names())


def identify(case):
    flags = [case.training and "training", case.refusal and "refused"]
    return " ".join([case.name, *filter(None, flags)])


def prepared(case):
    """The module, with parameters and statistics that are neither zero nor one."""
    torch.manual_seed(0)
    module = case.make().eval()
    if any(is_lazy(value) for value in (*module.parameters(), *module.buffers())):
        module(*case.inputs)  # a box initialises it
    module.train(case.training)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    for name, buffer in module.named_buffers():
        if name.endswith("running_var"):
            nn.init.uniform_(buffer, 0.5, 1.5)
        elif name.endswith("running_mean"):
            nn.init.normal_(buffer)
    return module


def as_function(case, module):
    """The module as a function of its parameters and inputs."""
    keys = [name for name, _ in parameters(module)]

    def run(*arguments):
        weights, inputs = arguments[: len(keys)], arguments[len(keys) :]
        dtype = next(x.dtype for x in flatten(arguments)[0] if x.dtype.is_floating_point)
        named = map_tensors(lambda x: x.to(dtype) if x.dtype.is_floating_point else x, case.named)
        module.to(dtype)
        torch.manual_seed(1)
        return (
            functional_call(module, dict(zip(keys, weights, strict=True)), inputs, named)
            if keys
            else module(*inputs, **named)
        )

    return run


def parameters(module):
    """Name and value of each; of a module that must not be called with others, none."""
    return [] if isinstance(module, nn.DataParallel) else list(module.named_parameters())


def ball(x, radius=0.02):
    return IntervalTensor.from_ball(x.detach(), radius) if isinstance(x, nn.Parameter) else x


def variants(case, module):
    """Inputs as boxes with plain weights; plain inputs with boxes as weights; both."""
    plain = [parameter.detach() for _, parameter in parameters(module)]
    boxes = [ball(parameter) for _, parameter in parameters(module)]
    points = map_tensors(lambda x: getattr(x, "center", x), case.inputs)
    if any(isinstance(x, IntervalTensor) for x in flatten(case.inputs)[0]):
        yield (*plain, *case.inputs)
    if boxes and case.mixed:
        yield (*boxes, *points)
    if boxes:
        yield (*boxes, *case.inputs)


@pytest.fixture(autouse=True)
def _one_path(request):
    """Keep torch from its fast path where there is padding: it overwrites the outputs at padded positions."""
    case = getattr(request.node, "callspec", None) and request.node.callspec.params["case"]
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(not (case and "src_key_padding_mask" in case.named))
    yield
    torch.backends.mha.set_fastpath_enabled(enabled)


def test_padded_sequences_of_the_fast_path():
    """Where nothing is padded, the values of torch's fast path are enclosed as well."""
    (case,) = (c for c in CASES if c.name == "TransformerEncoder" and "src_key_padding_mask" in c.named)
    module, kept = prepared(case).double(), ~case.named["src_key_padding_mask"]
    x = case.inputs[0].double()
    with torch.no_grad():
        result = module(x, **case.named)
        for point in testing.sample_points(x, 8):
            value = module(point, **case.named)
            testing.assert_encloses(result[kept], value[kept])


ENCLOSED = [case for case in CASES if not case.refusal and not case.draws]


@pytest.mark.parametrize("case", ENCLOSED, ids=identify)
def test_encloses(case):
    module = prepared(case)
    run = as_function(case, module)
    state = {name: buffer.clone() for name, buffer in module.named_buffers()}
    for arguments in variants(case, module):
        testing.check_sound(run, *arguments, samples=8)
    testing.check_result(run, *arguments)
    testing.check_nested(run, *arguments)
    testing.check_thin(run, *arguments)
    for name, buffer in module.named_buffers():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(buffer.to(state[name]), state[name], rtol=0, atol=0)


@pytest.mark.parametrize("case", [case for case in ENCLOSED if case.differentiable], ids=identify)
def test_gradients_reach_inputs_and_parameters(case):
    module = prepared(case)
    run = as_function(case, module)
    first, *_, last = [*variants(case, module)] * 2
    for arguments in (first,) if first is last or large(module) else (first, last):
        testing.check_gradient(run, *arguments)


def large(module):
    return sum(1 for _ in module.parameters()) > 12


@pytest.mark.parametrize("case", [case for case in CASES if case.draws], ids=identify)
def test_encloses_the_values_of_one_draw(case):
    module = prepared(case)
    run = as_function(case, module)
    weights = [parameter.detach() for _, parameter in parameters(module)]
    result = run(*weights, *case.inputs)
    for which in range(8):
        inputs = map_tensors(lambda x: testing.sample_points(x, 8)[which], case.inputs)  # noqa: B023
        value = run(*weights, *inputs)
        testing.assert_encloses(map_tensors(lambda x: x + IntervalTensor(-SLACK, SLACK), result), value)


SLACK = torch.tensor(1e-6)


@pytest.mark.parametrize("case", [case for case in CASES if case.refusal], ids=identify)
def test_refuses_with_the_reason(case):
    module = prepared(case)
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    *_, arguments = variants(case, module)
    with pytest.raises(UnsupportedOpError, match=case.refusal):
        as_function(case, module)(*arguments)
    for name, buffer in module.named_buffers():
        assert name.endswith("num_batches_tracked") or torch.equal(buffer, before[name])
