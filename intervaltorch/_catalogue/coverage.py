"""The table of all functions that torch hands to tensor subclasses, and the list of rules that users see."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import Tensor
from torch.overrides import get_overridable_functions

from .._records.refusals import refusal
from .._records.registry import OPS, Op, bare_name, spelled
from .._tensor.interval import IntervalTensor

__all__ = ["KINDS", "SupportedOps", "kinds", "overridable", "supported_ops"]

KINDS = {
    "rule": "have a rule of their own",
    "fallback": "run through their own body, or a decomposition, whose steps have rules",
    "point": "do not depend on the values",
    "refused": "are refused, with the reason",
}
"""The four kinds of functions."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Functions whose Python bodies or C++ kernels call functions with rules; each is tested to enclose. Bare names, or full
# names if another spelling has a rule.
_FALLBACK = _names("""
    __long__ __nonzero__ __reversed__ _autocast_to_full_precision _autocast_to_reduced_precision _sym_sqrt
    affine_grid affine_grid_generator binary_cross_entropy byte chain_matmul chalf char cond
    conj_physical_ cosine_embedding_loss count_nonzero cross cross_entropy
    cumulative_trapezoid diff dist dropout1d dropout2d dropout3d eigh einsum fft fft2 fftn fftshift fold
    frobenius_norm gradient grid_sample gumbel_softmax hfft hfft2 hfftn hinge_embedding_loss
    huber_loss ifft ifft2 ifftn ifftshift ihfft ihfft2 ihfftn interpolate irfft irfft2 irfftn isclose isin
    kron l1_loss linear_cross_entropy local_response_norm lp_pool1d lp_pool2d lp_pool3d margin_ranking_loss
    matrix_norm matrix_power matrix_rank max_unpool1d max_unpool2d max_unpool3d module_load mse_loss multi_dot
    multi_head_attention_forward multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss nanmean nansum
    ndtr nll_loss norm norm_except_dim nuclear_norm pairwise_distance renorm renorm_ rfft rfft2
    rfftn smooth_l1_loss soft_margin_loss softmin sum_to_size sym_float sym_int sym_ite sym_not sym_sum tensordot
    tensorinv tensorsolve to_dense trace triplet_margin_loss triplet_margin_with_distance_loss vecdot
    torch.nn.functional.alpha_dropout torch.nn.functional.binary_cross_entropy_with_logits
    torch.nn.functional.ctc_loss torch.nn.functional.dropout torch.nn.functional.embedding
    torch.nn.functional.embedding_bag torch.nn.functional.feature_alpha_dropout torch.nn.functional.log_softmax
    torch.nn.functional.kl_div torch.nn.functional.poisson_nll_loss
    torch.nn.functional.softmax torch.linalg.svd torch.real
""")  # fmt: skip

# Attributes and settings of the wrapper, and functions of sizes and integers.
_POINT = _names("""
    __array_wrap__ __len__ _backward_hooks _base _cdata _clear_non_serializable_cached_data _grad _grad_fn
    _post_accumulate_grad_hooks _version autocast device dim dtype grad grad_dtype grad_fn is_distributed is_leaf
    layout ndim requires_grad requires_grad_ retain_grad shape
""")  # fmt: skip


def overridable() -> list[Any]:
    """Return each entry of torch's own list of functions that are handed to tensor subclasses."""
    return [function for functions in get_overridable_functions().values() for function in functions]


def kinds(function: Any) -> list[str]:
    """Return the kind of a function: exactly one of `KINDS`, unless a table is wrong."""
    names, spelling = {bare_name(function), spelled(function)}, OPS.get(function)
    reads_no_values = spelling is not None and spelling.op.family in ("metadata", "random")
    claims = {
        "rule": spelling is not None and not reads_no_values,
        "fallback": bool(names & _FALLBACK),
        "point": bool(names & _POINT) or reads_no_values,
        "refused": refusal(function) is not None,
    }
    found = [kind for kind, claimed in claims.items() if claimed]
    return found or (["rule"] if _answered_by_the_class(function) else [])


def _answered_by_the_class(function: Any) -> bool:
    """Whether a function is a method or an attribute of a tensor that `IntervalTensor` defines for both bounds."""
    name = bare_name(function)
    return spelled(function) == f"torch.Tensor.{name}" and getattr(IntervalTensor, name) is not getattr(Tensor, name)


class SupportedOps(list[Op]):
    """The record of every op with a rule. Printed, the list says how much of torch is covered.

    Attributes:
        counts: how many of torch's overridable functions are of each kind; the keys are those of `KINDS`.
    """

    def __contains__(self, op: object) -> bool:
        """Whether an op has a rule: by its name, by one of its callables, or as a record."""
        if isinstance(op, str):
            return any(op in (record.name, *map(spelled, _callables(record))) for record in self)
        return super().__contains__(op) or any(op in _callables(record) for record in self if callable(op))

    @property
    def counts(self) -> dict[str, int]:
        """Count torch's overridable functions by their kind; functions of a newer torch may be unknown."""
        found = Counter(kind for function in overridable() for kind in kinds(function) or ["unknown"])
        return {kind: found[kind] for kind in (*KINDS, "unknown") if found[kind]}

    def __repr__(self) -> str:
        counts = self.counts
        lines = [f"{counts.get(kind, 0):6} {meaning}" for kind, meaning in KINDS.items()]
        if "unknown" in counts:
            lines.append(f"{counts['unknown']:6} are newer than this library, and may enclose or be refused")
        return "\n".join([f"{len(self)} rules; of the {sum(counts.values())} functions of torch", *lines])


def _callables(record: Op) -> list[Any]:
    return [spelling.function for spelling in record.spellings]


def supported_ops() -> SupportedOps:
    """Return the record of every op with a rule, sorted by family and name.

    Returns:
        A list of `Op`. Printed, it counts the functions that torch hands to tensor subclasses
        (`torch.overrides.get_overridable_functions`) by their kind. `counts` has these numbers.

    Example:
        >>> import torch, intervaltorch as it
        >>> ops = it.supported_ops()
        >>> exp = next(op for op in ops if op.name == "exp")
        >>> exp.family, exp.image
        ('increasing', (0.0, inf))
        >>> "exp" in ops, torch.exp in ops, "torch.linalg.qr" in ops
        (True, True, False)
        >>> list(ops.counts)
        ['rule', 'fallback', 'point', 'refused']
    """
    unique = {id(spelling.op): spelling.op for spelling in OPS.values()}
    return SupportedOps(sorted(unique.values(), key=lambda op: (op.family, op.name)))
