r"""Connectionist temporal classification: the likelihood of a label sequence, summed over its alignments.

The loss is $-\log \sum_\pi \prod_t p_{t, \pi_t}$ (Graves et al. 2006, *Connectionist temporal classification*, eq. 3).
It decreases in every log-probability. The forward recursion (eqs. 5-7) is a chain of increasing functions, so its
values at both ends give the hull. Gradients are those of the sum. torch's own kernel gives other gradients, which are
right only after a log_softmax.
"""

from __future__ import annotations

from math import inf
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._records.registry import Box
from ..._theorems.boxes import both
from ..._theorems.families import rule
from ..elementwise.arithmetic import add, div
from ..reductions.reductions import logsumexp, mean, sum_


@rule(torch.ctc_loss, formula=r"-\log \sum_\pi \prod_t p_{t, \pi_t}", family="loss", proven=True)
def ctc_loss(
    log_probs: Box, targets: Tensor, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: int = 0,
    zero_infinity: bool = False,
) -> Box:  # fmt: skip
    """The hull if log-probabilities are independent. With `zero_infinity`, 0 counts for a loss that may be infinite."""
    torch.ctc_loss(
        log_probs.lower.detach(), targets, input_lengths, target_lengths, blank, 0, False
    )  # checks arguments
    single = log_probs.lower.ndim == 2
    x = both(lambda t: t.unsqueeze(1), log_probs) if single else log_probs
    device = x.lower.device
    times, lengths = (torch.as_tensor(n, device=device).reshape(-1) for n in (input_lengths, target_lengths))
    total = _likelihood(x, _with_blanks(targets, lengths, blank), times, lengths, blank)
    lower, upper = -total.upper, -total.lower
    if zero_infinity:
        possible, certain = upper == inf, lower == inf
        lower = torch.where(certain, 0.0, torch.where(possible, lower.clamp(max=0), lower))
        upper = torch.where(certain, 0.0, upper)
    losses = Box(lower, upper)
    if reduction == 1:
        return mean(div(losses, lengths.clamp(min=1).to(lower.dtype)))
    if reduction == 2:
        return sum_(losses)
    return both(lambda t: t.squeeze(0), losses) if single else losses


def _with_blanks(targets: Tensor, lengths: Tensor, blank: int) -> Tensor:
    """Each sequence with a blank before, between and after its labels, padded with blanks: `(batch, 2 S + 1)`."""
    longest = int(lengths.max()) if len(lengths) else 0
    if targets.ndim == 1:
        rows = targets.split(lengths.tolist()) if len(lengths) > 1 or len(targets) == int(lengths.sum()) else [targets]
    else:
        rows = list(targets)
    labels = lengths.new_full((len(lengths), 2 * longest + 1), blank, dtype=torch.int64)
    for row, sequence, n in zip(labels, rows, lengths.tolist(), strict=True):
        row[1 : 2 * n : 2] = sequence[:n]
    return labels


def _likelihood(x: Box, labels: Tensor, times: Tensor, lengths: Tensor, blank: int) -> Box:
    """The logarithm of the sum over all alignments, by the forward recursion."""
    places = torch.arange(labels.shape[1], device=labels.device)
    # A label may follow the one before it without a blank, unless it is the same.
    skips = (labels != blank) & (labels != F.pad(labels, (2, 0), value=blank)[:, :-2])
    begins = (places < 2) & (places <= 2 * lengths[:, None])
    here = _emitted(x, 0, labels)
    alpha = both(lambda t: torch.where(begins, t, -inf), here)
    for time in range(1, len(x.lower)):
        moves = both(lambda a: torch.stack([a, _shifted(a, 1), torch.where(skips, _shifted(a, 2), -inf)], -1), alpha)
        reached = _log_sum(moves)
        after = add(reached, _emitted(x, time, labels))
        # No alignment leads there. The value -inf is exact, and widening must not turn it into a tiny probability.
        after = both(lambda t: t.masked_fill(reached.upper == -inf, -inf), after)  # noqa: B023
        runs = (time < times)[:, None]
        alpha = Box(*(torch.where(runs, new, old) for new, old in zip(after, alpha, strict=True)))
    last = torch.stack([2 * lengths, (2 * lengths - 1).clamp(min=0)], -1)
    twice = (lengths == 0)[:, None] & torch.tensor([False, True], device=lengths.device)
    return _log_sum(both(lambda a: a.gather(1, last).masked_fill(twice, -inf), alpha))


def _emitted(x: Box, time: int, labels: Tensor) -> Box:
    """The log-probabilities of the labels at one time."""
    return both(lambda t: t[time].gather(1, labels), x)


def _shifted(alpha: Tensor, places: int) -> Tensor:
    """Entries moved to later places, with -inf before them."""
    return F.pad(alpha, (places, 0), value=-inf)[:, : alpha.shape[1]]


def _log_sum(x: Box) -> Box:
    """`logsumexp` over the last dimension, without the undefined derivative where all terms are -inf.

    Where all terms are -inf, they are replaced by others, and the sum is set to -inf. Lower ends are replaced by the
    upper ends, so that the ends stay in order.
    """
    no_lower, no_upper = ((t == -inf).all(-1, keepdim=True) for t in x)
    upper = x.upper.masked_fill(no_upper, 0.0)
    total = logsumexp(Box(torch.where(no_lower, upper.detach(), x.lower), upper), -1)
    return Box(*(t.masked_fill(n.squeeze(-1), -inf) for t, n in zip(total, (no_lower, no_upper), strict=True)))
