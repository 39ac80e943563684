"""Which sample of the batch each entry of a value belongs to.

If a program keeps samples apart, one row of coefficients serves all samples: the coefficient of an entry is that for
the output *of its own sample*. This is not assumed but found out. Every value carries, for each of its entries, the
number of its sample. An operation that combines entries of several samples gives the mark `MIXED`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["MIXED", "Samples", "first_dimension", "merged", "through"]

Samples = Tensor | None
"""Numbers of samples, from 1; 0 for no sample. They broadcast to the shape of the value. None if samples are mixed."""

MIXED = None


def first_dimension(shape: Sequence[int], count: int | None) -> Samples:
    """One sample for each index of the first dimension, if there are `count` of them; else mixed."""
    if count is None or not shape or shape[0] != count:
        return MIXED
    return torch.arange(1, count + 1).reshape(-1, *[1] * (len(shape) - 1))


def merged(parts: Sequence[Samples], shape: Sequence[int]) -> Samples:
    """The samples of an elementwise function of several values, which are broadcast."""
    result: Samples = None
    for part in parts:
        if part is MIXED:
            return MIXED
        if result is None or torch.equal(result, part):
            result = part
            continue
        result, part = torch.broadcast_tensors(result, part)
        differ = (result != part) & (result != 0) & (part != 0)
        if bool(differ.any()):
            return MIXED
        result = torch.maximum(result, part)
    if result is not None and result.ndim < len(shape):
        result = result.reshape(*[1] * (len(shape) - result.ndim), *result.shape)
    return result


def through(function: Callable[..., Tensor], parents: Sequence[Tensor], samples: Sequence[Samples]) -> Samples:
    """The samples of `function(*parents)`, found by running it on NaN.

    An entry depends on a sample only if NaN in all entries of the sample makes it NaN. The number of a sample is
    written in binary. Each digit takes two runs: one with NaN in the samples that have this digit, one with NaN in the
    others. An entry that is NaN in both runs of a digit depends on two samples.

    Args:
        function: a function that never loses a NaN, such as an affine one.
        parents: tensors with the shapes and dtypes of its arguments.
        samples: the samples of the arguments.
    """
    if any(part is MIXED for part in samples):
        return MIXED
    digits = max(1, math.ceil(math.log2(max(int(part.max()) for part in samples if part is not None) + 1)))
    codes = []
    for value, part in zip(parents, samples, strict=True):
        assert part is not None
        runs = []
        for digit in range(digits):
            ones = (part >> digit) % 2 == 1
            for mask in (ones, ~ones & (part != 0)):
                runs.append(torch.zeros_like(value).masked_fill(mask.to(value.device), math.nan))
        codes.append(torch.stack(runs))
    found = torch.vmap(function)(*codes).isnan()
    has, lacks = found[0::2], found[1::2]
    if bool((has & lacks).any()):
        return MIXED
    known = has | lacks
    weights = torch.tensor([1 << digit for digit in range(digits)]).reshape(-1, *[1] * (found.ndim - 1))
    if bool((known != known[:1]).any()):  # an entry that is NaN for one digit only
        return MIXED
    return compressed((has.cpu() * weights).sum(0))


def compressed(samples: Tensor) -> Tensor:
    """The same numbers, with size 1 in the dimensions along which they do not change."""
    for dim in range(samples.ndim):
        if samples.shape[dim] > 1 and bool((samples == samples.narrow(dim, 0, 1)).all()):
            samples = samples.narrow(dim, 0, 1)
    return samples
