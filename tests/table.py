"""The ops that tests are generated from: elementwise functions of one argument, whose records say everything."""

import torch

import intervaltorch as it

FAMILIES = ("increasing", "decreasing", "piecewise monotone", "periodic")


def takes_one_argument(op):
    """Whether the function maps a tensor to one of its shape, as clamp (which wants bounds) does not."""
    inside = max(op.domain[0], min(op.domain[1], 0.5))
    try:
        return op.function(torch.tensor([inside])).shape == (1,)
    except (TypeError, RuntimeError, ValueError):
        return False


def is_built_in(op):
    """Whether the op came with the library; what `register` adds is tested where it is added."""
    return not op.registered


BUILT_IN = [op for op in it.supported_ops() if is_built_in(op)]
UNARY = [op for op in BUILT_IN if op.family in FAMILIES and takes_one_argument(op)]
