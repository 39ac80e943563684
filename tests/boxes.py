"""Boxes for the tests: with given ends, or drawn from the seeded generator, or drawn from a seed of their own."""

import torch

from intervaltorch import IntervalTensor


def box(lower, upper, dtype=torch.float64):
    """The box with these ends, numbers or nested lists."""
    return IntervalTensor(torch.tensor(lower, dtype=dtype), torch.tensor(upper, dtype=dtype))


def intervals(*ends, dtype=None):
    """The box whose entries are these pairs of numbers."""
    lower, upper = zip(*ends, strict=True)
    return box(lower, upper, dtype)


def ball(*shape, radius=0.25, offset=0.0, dtype=torch.float32):
    """A ball around a normal draw of torch's global generator, which each test starts from the same seed."""
    return IntervalTensor.from_ball(torch.randn(shape, dtype=dtype) + offset, radius)


def lopsided(*shape, radius=0.3):
    """A box around a normal draw of torch's global generator, with different radii below and above."""
    centre = torch.randn(shape)
    return IntervalTensor(centre - radius * torch.rand(shape), centre + radius * torch.rand(shape))


def seeded_ball(*shape, radius=0.1, seed=0, dtype=torch.float32, salt=len):
    """A ball around a normal draw. The same arguments give the same ball; `salt(shape)` is added to the seed."""
    generator = torch.Generator().manual_seed(seed + salt(shape))
    return IntervalTensor.from_ball(torch.randn(shape, generator=generator).to(dtype), radius)


def seeded_box(*shape, radius, scale=1.0, seed=0):
    """A box around a normal draw of size `scale`, with radii between a tenth of `radius` and `radius`."""
    generator = torch.Generator().manual_seed(seed)
    centre = scale * torch.randn(shape, generator=generator)
    radii = radius * (0.1 + 0.9 * torch.rand(shape, generator=generator))
    return IntervalTensor(centre - radii, centre + radii)
