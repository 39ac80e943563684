"""What is printed encloses: the decimals of every end, in every format, against exact decimal arithmetic."""

from __future__ import annotations

import math
import re
from decimal import Context, Decimal

import pytest
import torch

from intervaltorch import IntervalTensor, rounding

SPECS = [
    ".4g",
    ".1g",
    ".0g",
    ".17g",
    ".2f",
    ".0f",
    ".10f",
    ".3e",
    ".0e",
    ".25e",
    "",
    "+.3g",
    ".2%",
    ">20",
    ".6",
    "012.3f",
]
NUMBERS = [
    0.0, -0.0, 1.0, 0.1, -0.1, 1 / 3, 2**0.5, 0.99999, 9.9995, 1e-8, -1e-30, 5e-324, -5e-324, 1e-310, 123456.789, 1e16,
    1e22, 1.7976931348623157e308, 0.3, 2.5, -2.5, 0.125, 1e-45, 3.4028234663852886e38,
]  # fmt: skip


EXACT = Context(prec=2000)


def number(text: str) -> Decimal:
    text = text.strip()
    return Decimal(text[:-1]).scaleb(-2, EXACT) if text.endswith("%") else Decimal(text)


def ends(text: str) -> tuple[Decimal, Decimal]:
    return tuple(map(number, text.strip("[]").split(", ")))


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("mode", ["nearest", "outward"])
def test_decimals_enclose(spec, mode):
    with rounding(mode):
        for low in NUMBERS:
            for dtype in (torch.float64, torch.float32):
                lower = torch.tensor(low, dtype=dtype)
                upper = torch.nextafter(lower, torch.tensor(math.inf, dtype=dtype))
                if not upper.isfinite():
                    continue
                below, above = ends(format(IntervalTensor(lower, upper), spec or ">1"))
                assert below <= Decimal(lower.item()) and Decimal(upper.item()) <= above, (low, spec)
                if spec in (".4g", ".3e") and abs(low) > 1e-37:
                    assert above - below <= abs(Decimal(low)) / 400


@pytest.mark.parametrize("x", NUMBERS)
def test_a_point_is_one_number_and_marked_where_it_is_not_exact(x):
    text = f"{IntervalTensor.point(torch.tensor(x, dtype=torch.float64)):.4g}"
    assert text.startswith("~") == (Decimal(text.lstrip("~")) != Decimal(x))
    assert text.lstrip("~") == f"{x + 0.0:.4g}"


def test_the_root_of_two_lies_between_what_is_printed():
    with rounding("outward"):
        root = IntervalTensor.point(torch.tensor([2.0])).sqrt()
    assert repr(root) == f"{root}" == str(root) == "IntervalTensor([[1.414, 1.415]])"
    low, high = ends(f"{root[0]:.6f}")
    assert low < Decimal(2).sqrt() < high


@pytest.fixture
def options():
    yield torch.set_printoptions
    torch.set_printoptions(profile="default", sci_mode=None)


@pytest.mark.parametrize(
    ("sci_mode", "text"),
    [(None, "[1.4, 1.5]"), (False, "[1.41, 1.42]"), (True, "[1.41e+00, 1.42e+00]")],
)
def test_print_options_count(options, sci_mode, text):
    options(precision=2, sci_mode=sci_mode)
    root = torch.tensor(2.0).sqrt()
    assert repr(IntervalTensor(root, root + 1e-6)) == f"IntervalTensor({text})"


def test_options_of_layout_count(options):
    X = IntervalTensor(torch.zeros(30), torch.ones(30))
    options(threshold=10, edgeitems=2)
    assert repr(X) == "IntervalTensor([[0, 1], [0, 1], ..., [0, 1], [0, 1]])"
    options(profile="default", linewidth=40)
    assert len(repr(X).splitlines()) > 5 and max(map(len, repr(X).splitlines())) <= 40
    assert len(re.findall(r"\[0, 1\]", repr(X))) == 30


def test_complex_boxes_and_half_types_enclose():
    z = IntervalTensor(torch.tensor(0.1 + 0.2j), torch.tensor(0.3 + 0.4j))
    assert repr(z) == "IntervalTensor([0.1, 0.3001] + [0.2, 0.4001]j)"
    low, high = ends(f"{IntervalTensor(torch.tensor(0.1).bfloat16(), torch.tensor(0.3).bfloat16()):.2g}")
    assert low <= Decimal(torch.tensor(0.1).bfloat16().item()) and high >= Decimal(torch.tensor(0.3).bfloat16().item())
