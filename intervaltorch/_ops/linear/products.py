"""Products of matrices and vectors, and sums with such products. `affine.py` has the theorem and its rounding."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import _rounding as rounding
from ..._records.registry import Box
from ..._theorems.boxes import as_box, intersect
from ..._theorems.families import rule
from ..._theorems.rectangles import bilinear as complex_bilinear
from ..._theorems.rectangles import conjugate, matrix_product
from ..elementwise.arithmetic import add, mul
from .affine import AFFINE_RECORD, affine, corner_product, mapped, size_of, small_boxes


def _matrix_product(function: Any, input: Any, other: Any) -> Box:
    """Bound a product of matrices or vectors; by corners if both factors are small boxes."""
    if small_boxes(input, other) and (function is not torch.inner or other.lower.ndim == 1):
        count = function(input.lower, other.lower).numel() * size_of(input, -1)  # the product also checks the shapes
        if small_boxes(input, other, count):
            return corner_product(input, other)
    return affine(lambda a, b, _: function(a, b), input, other, None, size_of(input, -1))


@rule(
    "matmul", "__matmul__", torch.linalg.matmul, formula="A B", family="affine", proven=True, sharp=False,
    complex=matrix_product, affine_in=({"input"}, {"other"}), products=True,
)  # fmt: skip
def matmul(input: Any, other: Any) -> Box:
    """The hull if one factor is fixed; else at most 1.18 times as wide."""
    return _matrix_product(torch.matmul, input, other)


@rule(
    "__rmatmul__", formula="B A", family="affine", proven=True, sharp=False, complex=matrix_product,
    affine_in=({"input"}, {"other"}), products=True,
)  # fmt: skip
def rmatmul(input: Any, other: Any) -> Box:
    """A product of matrices with its arguments exchanged."""
    return matmul(other, input)


@rule(
    "mm", formula="A B", family="affine", proven=True, sharp=False, complex=matrix_product,
    affine_in=({"input"}, {"mat2"}), products=True,
)  # fmt: skip
def mm(input: Any, mat2: Any) -> Box:
    """As `matmul`."""
    return _matrix_product(torch.mm, input, mat2)


@rule(
    "bmm", formula="A B", family="affine", proven=True, sharp=False, complex=matrix_product,
    affine_in=({"input"}, {"mat2"}), products=True,
)  # fmt: skip
def bmm(input: Any, mat2: Any) -> Box:
    """As `matmul`."""
    return _matrix_product(torch.bmm, input, mat2)


@rule(
    "mv", formula="A x", family="affine", proven=True, sharp=False, complex=matrix_product,
    affine_in=({"input"}, {"vec"}), products=True,
)  # fmt: skip
def mv(input: Any, vec: Any) -> Box:
    """As `matmul`."""
    return _matrix_product(torch.mv, input, vec)


@rule(
    "dot", "inner", formula=r"x^\top y", family="affine", proven=True, sharp=False, complex=matrix_product,
    torch_checks=True, affine_in=({"input"}, {"other"}), products=True,
)  # fmt: skip
def dot(input: Any, other: Any) -> Box:
    """As `matmul`."""
    return _matrix_product(torch.inner, input, other)


@rule(
    "vdot", formula=r"\bar x^\top y", family="affine", proven=True, sharp=False, torch_checks=True,
    complex=lambda _: lambda input, other: matrix_product(dot)(conjugate(input), other),
    affine_in=({"input"}, {"other"}),
    products=True,
)  # fmt: skip
def vdot(input: Any, other: Any) -> Box:
    """As `dot` for real vectors."""
    return dot(input, other)


@rule(
    "outer", "ger", formula=r"x y^\top", family="affine", proven=True, complex=complex_bilinear, torch_checks=True,
    affine_in=({"input"}, {"vec2"}), products=True,
)  # fmt: skip
def outer(input: Any, vec2: Any) -> Box:
    """The hull of each product."""
    return mul(mapped(lambda x: x.unsqueeze(-1), input), mapped(lambda y: y.unsqueeze(-2), vec2))


def _sum_with(start: Any, product: Box, beta: Any, alpha: Any) -> Box:
    """`beta`·start + `alpha`·product; a `beta` of 0 ignores `start`, as torch does."""
    scaled = product if alpha == 1 else mul(product, alpha)
    if beta == 0:
        return scaled
    if beta != 1:
        start = mul(as_box(start), beta) if isinstance(start, Box) or rounding.outward() else start * beta
    return add(start, scaled)


@rule(
    "addmm", formula=r"\beta C + \alpha A B", family="affine", proven=True, sharp=False, torch_checks=True,
    affine_in=({"input", "mat1"}, {"input", "mat2"}), products=True,
)  # fmt: skip
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Box:
    """The hull if one factor is fixed."""
    return _sum_with(input, _matrix_product(torch.mm, mat1, mat2), beta, alpha)


@rule(
    "baddbmm", formula=r"\beta C + \alpha A B", family="affine", proven=True, sharp=False, torch_checks=True,
    affine_in=({"input", "batch1"}, {"input", "batch2"}), products=True,
)  # fmt: skip
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Box:
    """The hull if one factor is fixed."""
    return _sum_with(input, _matrix_product(torch.bmm, batch1, batch2), beta, alpha)


@rule(
    "addbmm", formula=r"\beta C + \alpha \sum_i A_i B_i", family="affine", proven=True, sharp=False, torch_checks=True,
    affine_in=({"input", "batch1"}, {"input", "batch2"}), products=True,
)  # fmt: skip
def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Box:
    """The sum over the batch, as one product whose inner dimension contains the batch."""
    left = mapped(lambda a: a.transpose(0, 1).flatten(1), batch1)
    right = mapped(lambda b: b.flatten(0, 1), batch2)
    return _sum_with(input, _matrix_product(torch.mm, left, right), beta, alpha)


@rule(
    "addmv", formula=r"\beta c + \alpha A x", family="affine", proven=True, sharp=False, torch_checks=True,
    affine_in=({"input", "mat"}, {"input", "vec"}), products=True,
)  # fmt: skip
def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Box:
    """The hull if one factor is fixed."""
    return _sum_with(input, _matrix_product(torch.mv, mat, vec), beta, alpha)


@rule(
    "addr", formula=r"\beta C + \alpha x y^\top", family="affine", proven=True, torch_checks=True,
    affine_in=({"input", "vec1"}, {"input", "vec2"}), products=True,
)  # fmt: skip
def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Box:
    """The hull of each product."""
    return _sum_with(input, outer(vec1, vec2), beta, alpha)


@rule(
    F.bilinear, torch.ops.aten.bilinear, formula=r"x_1^\top W x_2 + b", torch_checks=True,
    affine_in=({"input1", "bias"}, {"input2", "bias"}, {"weight", "bias"}), **AFFINE_RECORD,
)  # fmt: skip
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Box:
    """The hull if only one of the two inputs and the weight varies. Otherwise entries of an input occur repeatedly.

    A fixed input is multiplied by the weight first. For two boxes, both orders are bounded and their intersection is
    taken.
    """
    # (W x₂)_{oi} = Σ_j w_{oij} x₂_j, then Σ_i x₁_i (W x₂)_{oi}; the other order exchanges i and j
    results = []
    if isinstance(input1, Box) or not isinstance(input2, Box):
        results.append(_contracted(input1, input2, weight))
    if isinstance(input2, Box):
        results.append(_contracted(input2, input1, mapped(lambda w: w.transpose(1, 2), weight)))
    total = functools.reduce(intersect, results)
    return total if bias is None else add(total, bias)


def _contracted(last: Any, first: Any, weight: Any) -> Box:
    """Multiply a weight of shape (out, last, first) by one vector and then by the other."""
    inner = affine(_apply, first, weight, None, size_of(first, -1))
    return affine(lambda x, rows, _: (x.unsqueeze(-2) * rows).sum(-1), last, inner, None, size_of(last, -1))


def _apply(x: Tensor, weight: Tensor, _: Any) -> Tensor:
    """Multiply a weight of shape (out, last, first) by vectors."""
    return torch.einsum("...j,oij->...oi", x, weight)
