"""Each term of the arithmetic of budgets is needed: against exact rationals, where it matters most.

What is widened are numbers around powers of two, where half an ulp is the largest part of a number or the smallest,
subnormal numbers and those some binades above, and the largest ones. Budgets are ordinary, large, and without a term.
"""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

import intervaltorch as it
from intervaltorch import IntervalTensor
from intervaltorch._rounding import budgets
from intervaltorch._rounding.budgets import Budget
from intervaltorch._theorems.operands import SUM
from intervaltorch.errors import UnprovenOpError

DTYPES = [torch.float32, torch.float64]
inf = float("inf")


def values(dtype, count=60) -> torch.Tensor:
    """Positive numbers, as above."""
    info = torch.finfo(dtype)
    generator = torch.Generator().manual_seed(0)
    mantissas = 1 + torch.rand(count, generator=generator, dtype=torch.float64)
    steps = torch.arange(40, dtype=torch.float64) * info.eps
    mantissas = torch.cat([mantissas, 1 + steps, 2 - steps[1:]])
    subnormal = torch.arange(1, 60, dtype=torch.float64) * info.tiny * info.eps
    near = [mantissas * info.tiny / info.eps * 2.0**k for k in (-3, -1, 0, 1, 3)]
    return torch.cat([mantissas, mantissas * info.tiny, subnormal, *near]).to(dtype)


BUDGETS = [
    Budget(0.5),
    Budget(2),
    Budget(3, absolute=0),
    Budget(0, absolute=7),
    Budget(1000.3, absolute=2),
    Budget(2.0**22 - 0.7, absolute=0),
    Budget(2.0**22 + 5e5 + 0.3, absolute=1000),
    SUM,
    Budget(2.3, absolute=-1),
    Budget(2.0**22 + 0.3, absolute=-1),
]


def assert_reaches(lower, upper, y, error) -> None:
    """Bounds are at least the error away from y, on both sides."""
    for low, high, value, room in zip(lower.tolist(), upper.tolist(), y.tolist(), error, strict=True):
        assert low == -inf or Fraction(low) <= Fraction(value) - room, (value, low, float(room))
        assert high == inf or Fraction(value) + room <= Fraction(high), (value, high, float(room))


def errors(y, budget, x=None) -> list:
    """What a budget allows the error of y to be."""
    eps, tiny = (Fraction(n) for n in (torch.finfo(y.dtype).eps, torch.finfo(y.dtype).tiny))
    relative, argument, absolute = (Fraction(max(n, 0)) for n in (budget.relative, budget.input, budget.absolute))
    sizes = [0] * len(y) if x is None else x.abs().tolist()
    return [
        relative * eps * abs(Fraction(v)) + argument * eps * Fraction(size) + absolute * tiny
        for v, size in zip(y.tolist(), sizes, strict=True)
    ]


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_bounds_are_widened_by_the_budget(dtype, budget):
    positive = values(dtype)
    if budget.absolute < 0:  # of sums, which are exact where they are small
        positive = positive[positive > torch.finfo(dtype).tiny / torch.finfo(dtype).eps]
    for y in (positive, -positive):
        error = errors(y, budget)
        assert_reaches(*budgets.widen(y.clone(), y.clone(), budget), y, error)
        moved = budgets.slack(y, budget)
        assert_reaches(budgets.down(y, moved), budgets.up(y, moved), y, error)


@pytest.mark.parametrize("argument", [0.5, 2, 1000.3, 2.0**21 + 0.3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_bounds_are_widened_by_the_size_of_the_argument(dtype, argument):
    budget = Budget(0.5, input=argument, absolute=0)
    y = values(dtype)
    for scale in (1.0, 3.0, 1000.0):
        x = -scale * y.flip(0)
        lower, upper = budgets.widen(y.clone(), y.clone(), budget, at_lower=x, at_upper=x)
        assert_reaches(lower, upper, y, errors(y, budget, x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_are_widened_by_half_a_unit_and_their_own_rounding(dtype):
    """Where sums of two numbers are rounded: half way between two numbers, on either side of zero."""
    info = torch.finfo(dtype)
    first = torch.cat([values(dtype)[:120], 2.0 ** torch.arange(-6, 6, dtype=dtype)])
    with it.rounding("outward"):
        for sign in (1, -1):
            for second in (first * (info.eps / 2), first.flip(0) * (info.eps / 2), -first * (info.eps / 4)):
                y = IntervalTensor.point(sign * first) + second
                exact = [sign * Fraction(a) + Fraction(b) for a, b in zip(first.tolist(), second.tolist())]
                for low, high, value in zip(y.lower.tolist(), y.upper.tolist(), exact):
                    assert Fraction(low) <= value <= Fraction(high)
        zero = IntervalTensor.point(first) - first
    assert bool((zero.lower == 0).all() and (zero.upper == 0).all())  # a sum does not underflow


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_term_is_more_than_it_need_be(dtype):
    """One half of an eps for each rounding of a sum, and hardly more: what is added to the budget is known."""
    y = values(dtype)[:139]
    for budget, roundings in ((SUM, 1), (Budget(0.5), 2), (Budget(40), 2)):
        for lower, upper in ((y, y), (-y, -y)):
            moved = budgets.widen(lower.clone(), upper.clone(), budget)
            known = (budget.relative + roundings / 2 + 0.01) * torch.finfo(dtype).eps
            for end, value in ((moved[0], lower), (moved[1], upper)):
                distance = (end.double() - value.double()).abs() / value.double().abs()
                assert bool((distance <= known + torch.finfo(dtype).eps / 2 * (1 + known)).all())


@pytest.mark.parametrize("dtype", DTYPES)
def test_gamma_is_an_upper_bound(dtype):
    u = Fraction(torch.finfo(dtype).eps) / 2
    for n in [*range(1, 300), *(3**k for k in range(6, 15)), 2**22 + 12345]:
        assert Fraction(budgets.gamma(n, dtype)) >= n * u / (1 - n * u)
    with pytest.raises(UnprovenOpError, match="no rounding error bound"):
        budgets.gamma(int(Fraction(1, 2) / u), dtype)


@pytest.mark.parametrize("budget", [Budget(2), Budget(0.5, input=1), Budget(1000)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_value_that_overflowed_may_be_less_than_the_largest_number_by_its_error(dtype, budget):
    far = torch.tensor([inf], dtype=dtype)
    largest = Fraction(torch.finfo(dtype).max)
    least = largest * (1 - (Fraction(budget.relative) + Fraction(budget.input)) * Fraction(torch.finfo(dtype).eps))
    shift = budgets.slack(far, budget)
    overflow = (budget.relative + budget.input + 8) * torch.finfo(dtype).eps
    for lower, upper in (
        (budgets.widen(far.clone(), far.clone(), budget)[0], budgets.widen(-far, -far, budget)[1]),
        (budgets.down(far, shift, overflow), budgets.up(-far, shift, overflow)),
    ):
        assert 0 < Fraction(lower.item()) <= least
        assert -least <= Fraction(upper.item()) < 0
    exact = budgets.widen(far.clone(), far.clone(), Budget(0.5))[0]
    assert exact.item() == torch.finfo(dtype).max  # which only overflows beyond it


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_largest_numbers_move_away_from_infinity(dtype):
    """The shift of the largest number is finite, though its size times the factor of a budget is not."""
    largest = torch.tensor([torch.finfo(dtype).max], dtype=dtype)
    lower, upper = budgets.widen(largest.clone(), largest.clone(), Budget(2))
    assert 0 < lower.item() < largest.item() and upper.item() == inf
    lower, upper = budgets.widen(-largest, -largest, Budget(2))
    assert lower.item() == -inf and -largest.item() < upper.item() < 0


@pytest.mark.parametrize("image", [(-1.0, 1.0), (-0.1, 0.1), (-1.1, 0.7), (0.3, inf), (-inf, -0.3)], ids=str)
def test_images_that_no_float32_holds_are_rounded_outward(image):
    ends = torch.tensor([end if abs(end) < inf else 0.0 for end in image])
    lower, upper = budgets.widen(ends - 1, ends + 1, Budget(2), image)
    assert image[0] == -inf or Fraction(lower.min().item()) <= Fraction(image[0])
    assert image[1] == inf or Fraction(upper.max().item()) >= Fraction(image[1])


def test_narrowing_takes_the_next_number_outward():
    generator = torch.Generator().manual_seed(1)
    wide = torch.cat([torch.randn(2000, generator=generator, dtype=torch.float64), values(torch.float32).double() / 3])
    wide = torch.cat([wide, -wide, torch.tensor([1e300, -1e300, 1e-300, -1e-300], dtype=torch.float64)])
    low, high = (budgets.narrowed(wide, torch.float32, side) for side in (-inf, inf))
    assert bool((low.double() <= wide).all() and (high.double() >= wide).all())
    assert bool((torch.nextafter(low, torch.tensor(inf)) >= high).all())
    for number in wide.tolist():
        assert budgets.neighbour(number, torch.float32, -inf) <= number <= budgets.neighbour(number, torch.float32, inf)
