"""Random weights with which a check can see something."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor, nn

from intervaltorch import IntervalTensor, bound

_SCALED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)


@torch.no_grad()
def prepare(model: nn.Module, args: Any, kwargs: Any, generator: torch.Generator, width: float) -> None:
    """Draw the weights of a model, then scale them so that the box of each layer that has any is about `width` wide.

    Whatever a model starts at a constant (layer scales, gates, zero-initialised heads, running statistics) is drawn
    anew, so that nothing is trivially constant. Boxes outgrow the true range where weights of both signs meet, so nine
    weights in ten are positive, and weights are scaled in the order of execution: boxes stay finite, and no layer's
    values stand still.

    Args:
        model: the model.
        args: its arguments, with boxes.
        kwargs: its keyword arguments, with boxes.
        generator: of the weights.
        width: of the boxes.
    """
    model.double().eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        constant = bool((parameter == parameter.flatten()[:1]).all())
        if parameter.dim() < 2 and name.endswith("weight"):  # a factor, as of normalisations
            parameter.uniform_(0.5, 1.5, generator=generator)
        elif parameter.dim() < 2 or constant:
            parameter.normal_(0, 0.2, generator=generator)
        else:
            positive = torch.rand(parameter.shape, generator=generator) < 0.8
            parameter.copy_(torch.where(positive, parameter.abs(), parameter))
    for module in model.modules():
        if isinstance(getattr(module, "running_var", None), Tensor):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)

    def scale(module: nn.Module, args: Any, output: Any) -> Any:
        if not isinstance(output, IntervalTensor) or not output.numel():
            return None
        growth = output.width.mean().item() / width
        if not growth > 0:
            return None
        growth = max(growth, 0.01)
        getattr(module, "gain", module.weight).div_(growth)  # a standardised weight ignores its scale
        return module.forward(*args)

    with contextlib.ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, _SCALED) or type(module).__name__ == "Conv1D":
                stack.callback(module.register_forward_hook(scale).remove)
        bound(model, *args, **kwargs)
