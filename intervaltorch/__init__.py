"""Sound bounds on the output of any PyTorch program: a tensor of boxes, and rules for all of torch."""

from . import _ops as ops
from . import errors, testing
from ._catalogue import divergences as _divergences  # noqa: F401 - enters them
from ._catalogue.coverage import supported_ops
from ._catalogue.register import register
from ._records.registry import Box, Op
from ._rounding import EXACT, Budget, get_rounding, rounding, set_default_rounding
from ._tensor.answers import certainly, possibly
from ._tensor.interval import IntervalTensor, hull, intersection
from .bound import bound, explain, layer_bounds
from .certify import CertifiedAccuracy, Verdict, certified_accuracy, verify
from .errors import (
    DeviceError,
    DomainError,
    EscapeError,
    GradientWarning,
    IntervalError,
    RandomnessWarning,
    RegistrationError,
    UndecidedError,
    UnprovenOpError,
    UnsupportedOpError,
)

__version__ = "0.1.0"

__all__ = [
    "EXACT",
    "Box",
    "Budget",
    "CertifiedAccuracy",
    "DeviceError",
    "DomainError",
    "EscapeError",
    "GradientWarning",
    "IntervalError",
    "IntervalTensor",
    "Op",
    "RandomnessWarning",
    "RegistrationError",
    "UndecidedError",
    "UnprovenOpError",
    "UnsupportedOpError",
    "Verdict",
    "bound",
    "certainly",
    "certified_accuracy",
    "errors",
    "explain",
    "get_rounding",
    "hull",
    "intersection",
    "layer_bounds",
    "ops",
    "possibly",
    "register",
    "rounding",
    "set_default_rounding",
    "supported_ops",
    "testing",
    "verify",
]
