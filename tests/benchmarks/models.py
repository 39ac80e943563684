"""The models that are timed, in plain PyTorch, and a hand-written centre/radius loop to compare with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mlp() -> nn.Sequential:
    """784-1024-1024-10."""
    return nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))


def cnn() -> nn.Sequential:
    """Two strided convolutions of 32 and 64 channels on 28x28 images, then a linear layer."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(3136, 10)
    )


class Block(nn.Module):
    """A basic residual block (He et al. 2016, figure 2) with in-place activations, as torchvision writes it."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.down = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.down = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Add the block's correction to its input."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.down(x)
        return self.relu(out)


def resnet18() -> nn.Sequential:
    """ResNet-18 for small images."""
    widths, layers, previous = (64, 128, 256, 512), [], 64
    for width in widths:
        layers += [Block(previous, width, 1 if width == 64 else 2), Block(width, width, 1)]
        previous = width
    stem = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)]
    return nn.Sequential(*stem, *layers, *head).eval()


def transformer_layer() -> nn.TransformerEncoderLayer:
    """One encoder layer of width 64 with 4 heads."""
    return nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True, activation="gelu").eval()


def by_hand(model: nn.Sequential, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Interval bound propagation written out for linear, convolution, ReLU and flatten layers."""
    for layer in model:
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            centre, radius = (lower + upper) / 2, (upper - lower) / 2
            if isinstance(layer, nn.Linear):
                centre, radius = F.linear(centre, layer.weight, layer.bias), F.linear(radius, layer.weight.abs())
            else:
                centre = F.conv2d(centre, layer.weight, layer.bias, layer.stride, layer.padding)
                radius = F.conv2d(radius, layer.weight.abs(), None, layer.stride, layer.padding)
            lower, upper = centre - radius, centre + radius
        else:
            lower, upper = layer(lower), layer(upper)
    return lower, upper


def chain(x: Tensor) -> Tensor:
    """A hundred operations on a tiny tensor."""
    for _ in range(25):
        x = torch.tanh(x + x)
        x = -x.relu()
    return x
