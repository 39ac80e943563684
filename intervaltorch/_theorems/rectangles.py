"""Rectangles of complex numbers: a box with complex bounds has an interval for the real and one for the imaginary part.

`Op.complex` extends a rule for real boxes to rectangles: part by part if the function is linear with real coefficients,
and by four products if the function is bilinear. Functions without an extension refuse complex boxes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._records.registry import OPS, Box  # rules stand above theorems, so a theorem looks them up when it is called
from ..errors import UnsupportedOpError
from .boxes import unbounded
from .operands import SUM, as_tensors, operand, widened

Rule = Callable[..., Any]


def parts(x: Any) -> tuple[Any, Any]:
    """The real and imaginary part of a box, tensor or number; the imaginary part is None for a real one."""
    if isinstance(x, Box):
        return (Box(x.lower.real, x.upper.real), Box(x.lower.imag, x.upper.imag)) if x.lower.is_complex() else (x, None)
    if isinstance(x, Tensor):
        return (x.real, x.imag) if x.is_complex() else (x, None)
    return (x.real, x.imag) if isinstance(x, complex) else (x, None)


def join(real: Any, imaginary: Any) -> Box:
    """The rectangle with these sides."""
    (a, c), (b, d) = (x if isinstance(x, Box) else Box(x, x) for x in (real, imaginary))
    wider = torch.promote_types(a.dtype, b.dtype)  # exact, since one of them has it
    return Box(*(torch.complex(x.to(wider), y.to(wider)) for x, y in ((a, b), (c, d))))


def real_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of both parts."""
    return dtype.to_real() if dtype.is_complex else dtype


# --- how rules extend -------------------------------------------------------------------------------------------------


def unchanged(rule: Rule) -> Rule:
    """For functions that move or read entries: they treat both parts alike."""
    return rule


def componentwise(rule: Rule) -> Rule:
    """For functions that are linear in the first argument with real coefficients: each part by itself."""

    def enclose(input: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs = {name: _of_parts(value) for name, value in kwargs.items()}
        real, imaginary = parts(input)
        imaginary = torch.zeros_like(real.lower) if imaginary is None else imaginary
        sides = (rule(x if isinstance(x, Box) else Box(x, x), *args, **kwargs) for x in (real, imaginary))
        return join(*sides)

    return enclose


def _of_parts(value: Any) -> Any:
    """A keyword argument for one part: a complex dtype becomes that of the parts."""
    if isinstance(value, complex) or (isinstance(value, torch.dtype) and not value.is_complex):
        raise UnsupportedOpError(
            "the parts of a complex box are computed separately, so factors must be real and the dtype complex",
            f"called with {value}",
        )
    return real_dtype(value) if isinstance(value, torch.dtype) else value


def sidewise(rule: Rule) -> Rule:
    """For functions that choose among values by a mask: the same mask chooses both parts."""

    def enclose(*args: Any, **kwargs: Any) -> Box:
        sides = ((map_values(args, k), map_values(kwargs, k)) for k in (0, 1))
        return join(*(rule(*values, **named) for values, named in sides))

    def map_values(values: Any, k: int) -> Any:
        if isinstance(values, dict):
            return {name: side(x, k) for name, x in values.items()}
        return [side(x, k) for x in values]

    def side(x: Any, k: int) -> Any:
        bound = x.lower if isinstance(x, Box) else x
        if x is None or (isinstance(bound, Tensor) and bound.dtype is torch.bool):
            return x
        given = parts(x)[k]
        if given is not None:
            return given
        return _boxed(torch.zeros_like(bound)) if isinstance(bound, Tensor) else 0.0

    return enclose


def additive(rule: Rule) -> Rule:
    """For sums and differences: each part by itself."""

    def enclose(input: Any, other: Any, **kwargs: Any) -> Box:
        kwargs = {name: _of_parts(value) for name, value in kwargs.items()}
        (a, b), (c, d) = parts(input), parts(other)
        real = rule(_boxed(a), c, **kwargs)
        zero = torch.zeros((), dtype=real.lower.dtype, device=real.lower.device)
        if d is None and isinstance(b, Box) and b.lower.shape == real.lower.shape:
            return join(real, b)
        return join(real, rule(_boxed(zero if b is None else b), zero if d is None else d, **kwargs))

    return enclose


def bilinear(rule: Rule) -> Rule:
    """For products: the real part is ac - bd, the imaginary part ad + bc; each is the hull, as its variables differ."""

    def enclose(input: Any, other: Any) -> Box:
        a, b = (_boxed(x) for x in parts(input))
        c, d = (a, b) if other is input else parts(other)
        if b is None:
            return join(rule(a, c), rule(a, d))
        if d is None:
            return join(rule(a, c), rule(b, c))
        return join(_minus(rule(a, c), rule(b, d)), _plus(rule(a, d), rule(b, c)))

    return enclose


def matrix_product(rule: Rule) -> Rule:
    """For products of matrices: both must be complex or both real, as in torch."""
    product = bilinear(rule)

    def enclose(input: Any, other: Any) -> Box:
        if (parts(input)[1] is None) != (parts(other)[1] is None):
            raise RuntimeError("a product of matrices needs both complex or both real; convert one with .to(dtype)")
        return product(input, other)

    return enclose


def _boxed(x: Any) -> Any:
    """A tensor as a point box, for rules that need at least one box; anything else as it is."""
    return Box(x, x) if isinstance(x, Tensor) else x


def _plus(x: Box, y: Box) -> Box:
    return widened(unbounded(x.lower + y.lower, x.upper + y.upper), SUM)


def _minus(x: Box, y: Box) -> Box:
    return widened(unbounded(x.lower - y.upper, x.upper - y.lower), SUM)


def conjugated(rule: Rule) -> Rule:
    """For functions that negate the imaginary part: its ends are exchanged."""

    def enclose(*args: Any, **kwargs: Any) -> Box:
        real, imaginary = parts(rule(*args, **kwargs))
        return join(real, Box(imaginary.upper, imaginary.lower))

    return enclose


def conjugate(x: Any) -> Any:
    """The complex conjugate of a box or a tensor."""
    return conjugated(lambda z: Box(z.lower.conj(), z.upper.conj()))(x) if isinstance(x, Box) else x.conj()


def quotient(rule: Rule) -> Rule:
    """For quotients: part by part for a real divisor, else the product with the conjugate over the squared modulus.

    The box of a quotient by a complex divisor is wider than the hull.
    """

    def enclose(input: Any, other: Any) -> Box:
        square, mul = OPS[torch.square].enclose, OPS[torch.mul].enclose
        if parts(other)[1] is None:
            return join(*(rule(_boxed(x), other) for x in parts(input)))
        c, d = parts(other)
        if isinstance(other, complex):
            like = parts(input)[0]
            c, d = (as_tensors(operand(x, like), like) for x in (c, d))
        c, d = _boxed(c), _boxed(d)
        product = bilinear(mul)(input, conjugate(join(c, d)))
        size = _plus(square(c), square(d))
        return join(*(rule(x, size) for x in parts(product)))

    return enclose


def modulus(rule: Rule) -> Rule:
    """For the modulus, which increases in the size of each part: the hull."""

    def enclose(input: Box) -> Box:
        return OPS[torch.hypot].enclose(*map(rule, parts(input)))

    return enclose


def exponential(rule: Rule) -> Rule:
    """For the exponential: its modulus is the exponential of the real part, its angle the imaginary part.

    The result is the smallest rectangle.
    """

    def enclose(input: Box) -> Box:
        size, angle = parts(input)
        return OPS[torch.polar].enclose(rule(size), angle)

    return enclose


def argument(rule: Rule) -> Rule:
    """For the angle: the hull of the angles of a rectangle, or all angles if it meets the cut; see `atan2`."""

    def enclose(input: Box) -> Box:
        real, imaginary = parts(input)
        return OPS[torch.atan2].enclose(imaginary, real)

    return enclose
