"""Questions about a model that bounds answer: certified accuracy, and proofs by splitting boxes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from ._relax.run import Method
from ._tensor import IntervalTensor
from ._tensor.answers import certainly
from .bound import bound

__all__ = ["CertifiedAccuracy", "Verdict", "certified_accuracy", "verify"]


# --- certified accuracy -----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class CertifiedAccuracy:
    """Which samples are classified rightly, and which of them in the whole ball.

    Attributes:
        clean: `(samples,)`, whether the sample itself is classified rightly.
        certified: `(samples,)`, whether every point of its ball is.
    """

    clean: Tensor
    certified: Tensor

    def __str__(self) -> str:
        """Both as shares of all samples."""
        shares = (f"{kind} {mask.double().mean().item():.2%}" for kind, mask in vars(self).items())
        return f"{', '.join(shares)} of {len(self.clean)} samples"


def certified_accuracy(
    model: Callable[[Any], Any], x: Tensor, y: Tensor, eps: float | Tensor, *, method: Method = "crown-ibp",
    clip: tuple[float, float] | None = None, batch_size: int = 64, progress: bool = False,
) -> CertifiedAccuracy:  # fmt: skip
    """Which samples keep their class under every perturbation of at most `eps` in each entry.

    A sample is certified if the lower bound of `logit[y] - logit[k]` is positive for every other class k. The margins
    are part of the program that is bounded, so linear methods see what both logits share.

    Args:
        model: from a batch `(samples, ...)` to logits `(samples, classes)`.
        x: samples.
        y: their classes, `(samples,)`, integers.
        eps: radius of the l_inf ball: a number, or a tensor that broadcasts to the shape of `x`.
        method: as in `bound`.
        clip: closed range of the data, such as `(0, 1)` for images: the ball is cut to it.
        batch_size: how many samples are bounded at a time.
        progress: whether to show a progress bar (needs `tqdm`).

    Raises:
        ValueError: if numbers of samples differ, or `batch_size` is not positive.
        IntervalError: as `bound` does.

    Example:
        >>> import torch, intervaltorch as it
        >>> model = torch.nn.Linear(2, 2)
        >>> with torch.no_grad():
        ...     _ = model.weight.copy_(torch.eye(2)), model.bias.zero_()
        >>> x, y = torch.tensor([[0.0, 1.0], [0.5, 0.4], [0.0, 1.0]]), torch.tensor([1, 0, 0])
        >>> print(it.certified_accuracy(model, x, y, eps=0.1))
        clean 66.67%, certified 33.33% of 3 samples
    """
    if len(x) != len(y):
        raise ValueError(f"x holds {len(x)} samples and y {len(y)} classes: give one class to each sample")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    radius = eps.expand_as(x) if isinstance(eps, Tensor) else eps
    clean, certified = [], []
    for start in _shown(range(0, len(x), batch_size), progress, "certify"):
        part = slice(start, start + batch_size)
        box = IntervalTensor.from_ball(x[part], radius[part] if isinstance(radius, Tensor) else radius, clip=clip)
        with torch.no_grad():
            clean.append(model(x[part]).argmax(1) == y[part])
            margins = bound(lambda x, y=y[part]: _margins(model(x), y), box, method=method)
        own = torch.arange(margins.shape[1], device=y.device) == y[part].unsqueeze(1)
        certified.append(((margins.lower > 0) | own).all(1))
    if not clean:
        return CertifiedAccuracy(torch.zeros(0, dtype=torch.bool), torch.zeros(0, dtype=torch.bool))
    return CertifiedAccuracy(torch.cat(clean), torch.cat(certified))


def _margins(logits: Any, y: Tensor) -> Any:
    """How far the logit of the right class is above each logit."""
    return logits.gather(1, y.unsqueeze(1)) - logits


def _shown(steps: Iterable[int], progress: bool, what: str) -> Iterable[int]:
    if not progress:
        return steps
    from tqdm.auto import tqdm

    return tqdm(steps, desc=what)


# --- proofs by splitting ----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The answer of `verify`.

    Attributes:
        answer: `"proved"`: the predicate holds at every point of the box; `"counterexample"`: it fails at `point`, run
            in plain torch; `"unknown"`: neither was found in time.
        point: the counterexample, of the shape of the box, or None.
        boxes: how many boxes were bounded.
        undecided: the share of the box's volume that is left undecided.
        seconds: how long it took.
    """

    answer: Literal["proved", "counterexample", "unknown"]
    point: Tensor | None
    boxes: int
    undecided: float
    seconds: float


def verify(
    model: Callable[[Any], Any], box: IntervalTensor, predicate: Callable[[Any], Any], *, time_budget: float = 60.0,
    method: Method = "crown", batch_size: int = 512,
) -> Verdict:  # fmt: skip
    """Prove that a predicate of the output holds in a box, or find a point where it fails, by splitting the box.

    Boxes whose bounds decide the predicate are done; the others are split in two along the entry that matters most,
    and bounded again, many at a time (branch and bound; Bunel et al. 2018). A box counts as decided only by its
    bounds: in nearest rounding they hold up to rounding, in outward rounding as stated. A counterexample is a point at
    which the plain program fails.

    Args:
        model: from a batch `(boxes, *shape)` to outputs, without a connection between the entries of a batch.
        box: of shape `(1, *shape)`, finite.
        predicate: from outputs of the model to Booleans, `(boxes,)` or `(boxes, ...)`, all of which are to hold; made
            of comparisons, such as `lambda y: y[:, 0] > y[:, 1]`.
        time_budget: seconds after which the answer is `"unknown"`.
        method: as in `bound`; on deep networks tight bounds of few boxes pay more than loose bounds of many.
        batch_size: how many boxes are bounded at a time.

    Raises:
        ValueError: if the box is not one finite box, or the time budget is negative.
        TypeError: if the predicate does not return Booleans.
        IntervalError: as `bound` does.

    Example:
        >>> import torch, intervaltorch as it
        >>> box = it.IntervalTensor(torch.tensor([[-1.0, -1.0]]), torch.tensor([[1.0, 1.0]]))
        >>> it.verify(lambda x: x * x - x + 1, box, lambda y: y > 0.7).answer
        'proved'
        >>> it.verify(lambda x: x.sum(1), box, lambda y: y < 1.5).point
        tensor([[1., 1.]])
    """
    _check_problem(box, time_budget)
    began, seen = time.perf_counter(), 0
    total = _volumes(box.lower, box.upper).sum()
    todo = [(box.lower.detach(), box.upper.detach())]

    def verdict(answer: Any, point: Tensor | None = None) -> Verdict:
        left = float(sum(_volumes(l, u).sum() for l, u in todo) / total) if answer != "proved" else 0.0
        return Verdict(answer, point, seen, left, time.perf_counter() - began)

    while todo:
        if time.perf_counter() - began > time_budget:
            return verdict("unknown")
        lower, upper = todo.pop()
        for start in range(batch_size, len(lower), batch_size):
            todo.append((lower[start : start + batch_size], upper[start : start + batch_size]))
        lower, upper = lower[:batch_size], upper[:batch_size]
        seen += len(lower)
        with torch.no_grad():
            answer = bound(lambda x: predicate(model(x)), IntervalTensor(lower, upper), method=method)
        holds = _of_each(certainly(answer), len(lower))
        found = _counterexample(model, predicate, lower[~holds], upper[~holds])
        if found is not None:
            return verdict("counterexample", found)
        lower, upper = lower[~holds], upper[~holds]
        if len(lower):
            if not bool((upper > lower).flatten(1).any(1).all()):  # points that bounds do not decide
                todo.append((lower, upper))
                return verdict("unknown")
            todo.append(_split(model, lower, upper))
    return verdict("proved")


def _check_problem(box: IntervalTensor, time_budget: float) -> None:
    if box.ndim < 2 or box.shape[0] != 1 or not bool((box.lower.isfinite() & box.upper.isfinite()).all()):
        raise ValueError(f"verify takes one finite box of shape (1, ...), not one of shape {tuple(box.shape)}")
    if not time_budget >= 0:
        raise ValueError(f"time_budget is a number of seconds, not {time_budget}")


def _volumes(lower: Tensor, upper: Tensor) -> Tensor:
    """The volume of each box in the entries that have any width, on a logarithmic scale turned back."""
    widths = (upper - lower).flatten(1).double()
    return torch.where(widths > 0, widths, 1.0).log().sum(1).exp()


def _of_each(answer: Tensor, count: int) -> Tensor:
    """Whether all answers about each box are true."""
    if answer.dtype is not torch.bool:
        raise TypeError(
            f"the predicate returned {answer.dtype}, not Booleans: compare, as in lambda y: y[:, 0] > y[:, 1]"
        )
    if not answer.ndim or len(answer) != count:
        raise TypeError(f"the predicate returned shape {tuple(answer.shape)} for a batch of {count}: one answer each")
    return answer.flatten(1).all(1) if answer.ndim > 1 else answer


def _counterexample(model: Any, predicate: Any, lower: Tensor, upper: Tensor) -> Tensor | None:
    """A point where the plain program fails: the centre or a corner of a box."""
    if not len(lower):
        return None
    with torch.no_grad():
        for points in (lower / 2 + upper / 2, lower, upper):
            fails = ~_of_each(predicate(model(points)), len(points))
            if bool(fails.any()):
                return points[fails][:1].clone()
    return None


_COLUMNS = 8
"""Of how many outputs the slopes are asked."""


def _split(model: Any, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Two halves of each box: cut along the entry whose width times the slope of the outputs is largest."""
    widths = (upper - lower).flatten(1)
    centre = (lower / 2 + upper / 2).detach().requires_grad_()
    with torch.enable_grad():
        outputs = model(centre).flatten(1)
        slopes = torch.zeros_like(widths)
        for column in outputs.unbind(1)[:_COLUMNS] if outputs.requires_grad else ():
            (slope,) = torch.autograd.grad(column.sum(), centre, retain_graph=True)
            slopes += slope.flatten(1).abs().nan_to_num(0.0, 0.0, 0.0)
    # An entry without slope at the centre may have one elsewhere: its width counts a little.
    floor = slopes.amax(1, keepdim=True).clamp(min=torch.finfo(widths.dtype).tiny)
    at = (widths * (slopes + 0.05 * floor)).argmax(1, keepdim=True)
    middle = centre.detach().flatten(1).gather(1, at)
    first = upper.flatten(1).scatter(1, at, middle).reshape(upper.shape)
    second = lower.flatten(1).scatter(1, at, middle).reshape(lower.shape)
    return torch.cat([lower, second]), torch.cat([first, upper])
