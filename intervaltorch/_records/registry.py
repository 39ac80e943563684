"""One record for each function that has a rule.

`Op` is the record of a function. `OPS` maps every spelling of the function (function, method, operator, in place, ATen
name) to the record. The dispatcher, the contract tests, the table in the docs and `supported_ops` all read the same
record.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F

from .._rounding import Budget
from ..errors import RegistrationError
from .curves import Curve

__all__ = [
    "ELEMENTWISE", "EVERYTHING", "OPS", "Box", "Op", "Spelling", "add_op", "bare_name", "in_place", "spelled",
    "spellings",
]  # fmt: skip

inf = float("inf")

EVERYTHING = ({"*"},)
"""Of a function that is affine in all its arguments jointly; see `Op.affine_in`."""

ELEMENTWISE = frozenset({"increasing", "decreasing", "piecewise monotone", "periodic"})
"""The theorems on functions of one argument, entry by entry, that have no parameters."""


class Box:
    """A pair of plain tensors of one shape: what rules receive and return."""

    __slots__ = ("finite_at", "lower", "upper")

    def __init__(self, lower: torch.Tensor, upper: torch.Tensor) -> None:
        self.lower = lower
        self.upper = upper
        self.finite_at: Any = None  # the versions of both bounds at which their entries were found to be finite

    @property
    def is_point(self) -> bool:
        """Whether both bounds are one and the same tensor or number; what is equal by its values does not count."""
        return self.lower is self.upper

    def __iter__(self):
        yield self.lower
        yield self.upper

    def __repr__(self) -> str:
        return f"Box({self.lower!r}, {self.upper!r})"


@dataclasses.dataclass(frozen=True, eq=False)
class Op:
    r"""The record of one function.

    Attributes:
        name: its usual name, such as `"exp"`.
        formula: the function in LaTeX.
        family: the theorem that bounds it, such as `"increasing"`.
        enclose: the rule: takes the function's own arguments with `Box` in place of tensors, returns boxes.
        function: the function on plain tensors, for tests and examples.
        domain: closed interval outside which the function gives NaN.
        image: closed interval that contains every value.
        curvature: `"convex"`, `"concave"` or None: on the domain, or left of the first inflection point.
        critical: arguments at which a unary function changes direction.
        budget: rounding error of computed values; None if unknown. Rules that bound their own error are
            marked by `proven` instead.
        proven: whether outward mode's bounds rest on a stated budget or a proof.
        sharp: whether the box is the hull of the range, up to rounding.
        note: where the box is wider than the hull, or a source.
        complex: turns the rule for boxes of real numbers into a rule for rectangles of complex numbers; None if the op
            refuses complex boxes.
        torch_checks: whether torch is asked if it takes arguments of these shapes and dtypes. Needed if the rule takes
            arguments that torch refuses.
        each_bound: whether the rule applies torch's own function to each bound, so that the results have the strides
            of torch's results.
        registered: whether a user registered the op; False for ops of the library.
        affine_in: sets of arguments, by the names that the rule gives them, in which the function is jointly affine
            while all others are fixed, and in which torch's gradients are its slopes; `EVERYTHING` for all arguments.
            Where that depends on the call, a function that takes the rule's arguments by name and returns the sets.
        inflections: where the curvature changes its sign, as in `Curve`; of a periodic function in one period.
        kinks: where the slope of a continuous, piecewise linear function changes; None for other functions.
        period: of a periodic function.
        curve: of a function with parameters: takes the rule's arguments by name, and returns the `Curve` of the
            function of the one box among them, or None.
        parts: the same function as a program of functions that have lines: takes the rule's arguments by name, with
            interval tensors for boxes, and may return `NotImplemented`.
        topic: what it is about: the file in which it is entered.
    """

    name: str
    formula: str
    family: str
    enclose: Callable[..., Any]
    function: Callable[..., Any]
    domain: tuple[float, float] = (-inf, inf)
    image: tuple[float, float] = (-inf, inf)
    curvature: str | None = None
    critical: tuple[float, ...] = ()
    budget: Budget | None = None
    proven: bool = False
    sharp: bool = True
    note: str = ""
    complex: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None
    torch_checks: bool = False
    each_bound: bool = False
    registered: bool = False
    affine_in: Any = ()
    products: bool = False
    inflections: tuple[float, ...] = ()
    kinks: tuple[float, ...] | None = None
    period: float | None = None
    curve: Callable[..., Curve | None] | None = None
    parts: Callable[..., Any] | None = None
    topic: str = dataclasses.field(default_factory=lambda: _entered_in())
    spellings: list[Spelling] = dataclasses.field(default_factory=list, repr=False)

    def affine_sets(self, *args: Any, **kwargs: Any) -> tuple[set[str], ...]:
        """The sets of arguments in which a call is jointly affine; see `affine_in`.

        Args:
            *args: the arguments of a call, as the rule takes them.
            **kwargs: its keyword arguments, likewise.

        Raises:
            TypeError: if they are not those of the rule.
        """
        return self.affine_in(**self._named(args, kwargs)) if callable(self.affine_in) else self.affine_in

    def bends(self, *args: Any, **kwargs: Any) -> Curve | None:
        """How a call with one box bends as a function of it; None if that is not known.

        Args:
            *args: the arguments of the call, as the rule takes them.
            **kwargs: its keyword arguments, likewise.

        Raises:
            TypeError: if they are not those of the rule.
        """
        if self.curve is not None:
            return self.curve(**self._named(args, kwargs))
        if self.family not in ELEMENTWISE or (self.curvature is None and self.kinks is None):
            return None
        return Curve(self.curvature or "convex", self.inflections, self.period, self.kinks)

    def _named(self, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call by the names that the rule gives them, defaults among them."""
        bound = inspect.signature(self.enclose).bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments


def _entered_in() -> str:
    """The name of the file whose code enters a record, in words."""
    frame = sys._getframe(1)
    while frame.f_back and "._ops." not in frame.f_globals["__name__"]:
        frame = frame.f_back
    module = frame.f_globals["__name__"]
    return module.rpartition(".")[2].replace("_", " ") if "._ops." in module else ""


@dataclasses.dataclass(frozen=True, eq=False)
class Spelling:
    """One way to call an op: the callable, and whether it works in place, or which argument decides that."""

    op: Op
    function: Callable[..., Any]
    enclose: Callable[..., Any]
    inplace: bool = False
    inplace_position: int | None = None


OPS: dict[Any, Spelling] = {}
"""Every callable that reaches the dispatcher, with its record."""

# `gelu` and similar functions are in a private module, from which `torch.nn.functional` imports them.
_NAMESPACES = (torch, torch.Tensor, torch.special, sys.modules[F.gelu.__module__], torch.ops.aten)


def spellings(*names: str, functional: bool = True) -> list[Any]:
    """Find the callables of torch with these names, in place variants included.

    Args:
        *names: bare names, looked up in `torch`, `torch.Tensor`, `torch.special`, the module of `F.gelu`,
            ATen and (if `functional`) `torch.nn.functional`.
        functional: whether `torch.nn.functional` takes the same arguments.
    """
    found: list[Any] = []
    spaces = (*_NAMESPACES, F) if functional else _NAMESPACES
    for name in names:
        variants = (name,) if name.startswith("__") else (name, name + "_", "special_" + name)
        for variant in variants:
            for space in spaces:
                function = getattr(space, variant, None)
                if callable(function) and not isinstance(function, type) and function not in found:
                    found.append(function)
    if not found:
        raise RegistrationError(f"torch has no function called {' or '.join(names)}")
    return found


def add_op(op: Op, functions: Iterable[Any], enclose_by: Callable[[Any], Callable[..., Any]] | None = None) -> Op:
    """Enter an op under all its spellings.

    Args:
        op: the record.
        functions: every callable that is this op.
        enclose_by: makes the rule of one spelling from its callable; the op's own rule if left out.

    Raises:
        RegistrationError: if a spelling already belongs to another op.
    """
    for function in dict.fromkeys(functions):
        if function in OPS:
            raise RegistrationError(
                f"{spelled(function)} is already registered as {OPS[function].op.name}",
                "each function has one rule; choose another function or leave the built-in rule in place",
            )
        enclose = enclose_by(function) if enclose_by else op.enclose
        spelling = Spelling(op, function, enclose, *_in_place(function))
        OPS[function] = spelling
        op.spellings.append(spelling)
    return op


def in_place(function: Any) -> bool:
    """Whether a callable writes into its first argument: `__iadd__` and `add_` do, `__add__` and `_softmax` do not."""
    name = getattr(function, "__name__", "").removeprefix("special_")
    return (name.endswith("_") and not name.endswith("__")) or name in _AUGMENTED


def _in_place(function: Any) -> tuple[bool, int | None]:
    """Whether a callable writes into its first argument, or the position of the argument that says so."""
    if inspect.isfunction(function):
        parameters = list(inspect.signature(function, follow_wrapped=False).parameters)
        if "inplace" in parameters:
            return False, parameters.index("inplace")
    return in_place(function), None


_AUGMENTED = {
    f"__i{name}__" for name in ("add", "sub", "mul", "div", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")
}


def spelled(function: Any) -> str:
    """Return a callable's name as users write it."""
    if getattr(function, "__name__", "") in _ACCESSORS:
        return f"torch.Tensor.{bare_name(function)}"
    if isinstance(function, (torch._ops.OpOverload, torch._ops.OpOverloadPacket)):
        return str(function)
    name = str(getattr(function, "__qualname__", None) or getattr(function, "__name__", repr(function)))
    module = getattr(function, "__module__", None) or ""
    name = getattr(function, "__name__", name) if "<locals>" in name else name  # torch's boolean_dispatch
    name = name.replace("TensorBase.", "Tensor.").replace("_VariableFunctionsClass.", "")
    if name.startswith("Tensor."):
        return f"torch.{name}"
    prefixes = {"torch._C._nn": "torch.nn.functional", "torch._C._special": "torch.special"}
    prefixes |= {"torch._C._linalg": "torch.linalg", "torch._C._fft": "torch.fft", "torch._C._sparse": "torch.sparse"}
    prefixes |= dict.fromkeys(("torch.functional", "torch._lowrank", "torch._lobpcg"), "torch")
    for prefix in ("special_", "linalg_", "fft_", "_sparse_"):
        name = name.removeprefix(prefix) if module.startswith("torch._C") else name
    return f"{prefixes.get(module, module or 'torch')}.{name}"


def is_aten(function: Any) -> bool:
    """Whether a callable is a kernel, or all kernels, of an ATen function."""
    return str(function).startswith("aten.")


_ACCESSORS = ("__get__", "__set__", "__delete__")


def bare_name(function: Any) -> str:
    """Return the last part of a callable's name, such as `"eig"` for `torch.linalg.eig` and for its ATen overloads."""
    name = getattr(function, "__name__", "")
    if name in _ACCESSORS:  # of an attribute of `torch.Tensor`: a property, or an attribute in C
        attribute = function.__self__
        return getattr(attribute, "fget", attribute).__name__
    name = name.partition(".")[0]
    for namespace in ("linalg_", "fft_", "special_"):
        name = name.removeprefix(namespace)
    return name
