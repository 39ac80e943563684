"""Every module of `torch.nn`: how to make it, boxes to run it on, and whether it encloses or why it refuses.

The tests run this table, and the documentation prints it. A module of torch without an entry fails the tests.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from intervaltorch import IntervalTensor

inf = float("inf")


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One way to use a module.

    Attributes:
        name: of the class.
        inputs: arguments of its forward.
        make: makes it.
        named: keyword arguments of its forward.
        training: whether it is tried in training mode.
        draws: whether it draws random numbers, so that only equal seeds compare.
        refusal: how the message of the refusal reads, if it refuses.
        reason: why it does, for the documentation.
        mixed: whether plain inputs run with boxes as parameters.
        differentiable: whether its gradient is the limit of differences.
    """

    name: str
    inputs: tuple
    make: Callable[[], nn.Module]
    named: dict[str, Any] = dataclasses.field(default_factory=dict)
    training: bool = False
    draws: bool = False
    refusal: str = ""
    reason: str = ""
    mixed: bool = True
    differentiable: bool = True


CASES: list[Case] = []


def case(kind: Any, inputs: Any, *args: Any, **kwargs: Any) -> Case:
    """Enter a module: its class, the inputs of its forward, the arguments of its constructor."""
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    return entered(Case(kind.__name__, inputs, lambda: kind(*args, **kwargs)))


def entered(entry: Case) -> Case:
    CASES.append(entry)
    return entry


def but(entry: Case, **changes: Any) -> Case:
    """Replace an entry by a changed one."""
    CASES.remove(entry)
    return entered(dataclasses.replace(entry, **changes))


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def box(*shape: int, radius: float = 0.2, seed: int = 0) -> IntervalTensor:
    radii = radius * torch.rand(shape, generator=torch.Generator().manual_seed(seed + 7 + sum(shape)))
    centre = numbers(*shape, seed=seed)
    return IntervalTensor(centre - radii, centre + radii)


def within(low: float, high: float, *shape: int, seed: int = 0) -> IntervalTensor:
    """A box inside a range."""
    ends = torch.rand((2, *shape), generator=torch.Generator().manual_seed(seed)).sort(0).values
    return IntervalTensor(*(low + (high - low) * ends))


def classes(count: int, *shape: int) -> Tensor:
    return torch.randint(count, shape, generator=torch.Generator().manual_seed(sum(shape)))


def signs(*shape: int) -> Tensor:
    return numbers(*shape, seed=3).sign()


SIGNAL, IMAGE, VOLUME = box(2, 4, 6), box(2, 4, 6, 5), box(1, 4, 4, 4, 3)
BY_DIMENSION = ((1, SIGNAL), (2, IMAGE), (3, VOLUME))
VECTORS = box(3, 4)

# --- linear layers ----------------------------------------------------------------------------------------------------

case(nn.Identity, VECTORS)
case(nn.Linear, VECTORS, 4, 3)
case(nn.Linear, VECTORS, 4, 3, bias=False)
case(nn.LazyLinear, VECTORS, 3)
case(nn.Bilinear, (VECTORS, box(3, 2)), 4, 2, 3)
case(nn.Embedding, torch.tensor([[0, 2], [1, 1]]), 3, 4)
but(
    case(nn.Embedding, torch.tensor([[0, 2], [1, 1]]), 3, 4, padding_idx=1),
    differentiable=False,  # no gradient for the row of the padding
)
for _mode in ("sum", "mean", "max"):
    case(nn.EmbeddingBag, torch.tensor([[0, 2], [1, 1]]), 3, 4, mode=_mode)
case(nn.EmbeddingBag, (torch.tensor([[0, 2], [1, 1]]), None, box(2, 2)), 3, 4, mode="sum")
for _kind in (nn.Embedding, nn.EmbeddingBag):
    but(
        case(_kind, torch.tensor([[0, 2], [1, 1]]), 3, 4, max_norm=0.5),
        refusal="rescales",
        reason="with `max_norm` it rescales its weights in place, which boxes as weights are not",
    )
for _dims, _input in BY_DIMENSION:
    case(getattr(nn, f"Conv{_dims}d"), _input, 4, 2, 3, padding=1, stride=2)
    case(getattr(nn, f"Conv{_dims}d"), _input, 4, 4, 2, groups=2, dilation=2, padding="same", padding_mode="circular")
    case(getattr(nn, f"LazyConv{_dims}d"), _input, 2, 2)
    case(getattr(nn, f"ConvTranspose{_dims}d"), _input, 4, 2, 3, stride=2, output_padding=1, padding=1)
    case(getattr(nn, f"LazyConvTranspose{_dims}d"), _input, 2, 2)

# --- activations ------------------------------------------------------------------------------------------------------

_WIDE = box(3, 4, radius=3.0)
for _name in (
    "ReLU", "ReLU6", "ELU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Sigmoid", "Hardsigmoid", "Hardswish", "Hardtanh",
    "Tanh", "Tanhshrink", "LogSigmoid", "Softplus", "Softsign", "Softshrink", "Hardshrink", "LeakyReLU", "PReLU",
    "RReLU",
):  # fmt: skip
    case(getattr(nn, _name), _WIDE)
case(nn.GELU, _WIDE, approximate="tanh")
case(nn.ReLU, _WIDE, inplace=True)
case(nn.PReLU, _WIDE, 4)
case(nn.Threshold, _WIDE, 0.1, -0.5)
case(nn.GLU, _WIDE)
for _name in ("Softmax", "Softmin", "LogSoftmax"):
    case(getattr(nn, _name), VECTORS, dim=1)
case(nn.Softmax2d, IMAGE)
but(
    case(nn.RReLU, _WIDE),
    training=True,
    refusal="draws random slopes",
    reason="its slopes are random",
)

# --- normalisation ----------------------------------------------------------------------------------------------------

_BATCHES = (("1d", box(5, 4)), ("2d", IMAGE), ("3d", VOLUME))


def tracking(entry: Case) -> None:
    """In training mode, a norm that would update its running statistics."""
    but(
        entry,
        training=True,
        refusal="running statistics",
        reason="running statistics are plain tensors, which hold no box; bounded with `momentum=0` or without them",
    )


for _name, _input in _BATCHES:
    case(getattr(nn, f"BatchNorm{_name}"), _input, 4)
    case(getattr(nn, f"LazyBatchNorm{_name}"), _input)
    tracking(case(getattr(nn, f"BatchNorm{_name}"), _input, 4))
    tracking(case(getattr(nn, f"LazyBatchNorm{_name}"), _input))
    but(case(getattr(nn, f"BatchNorm{_name}"), _input, 4, track_running_stats=False), training=True)
    but(case(getattr(nn, f"BatchNorm{_name}"), _input, 4, momentum=0.0), training=True)
case(nn.SyncBatchNorm, IMAGE, 4)
for _name, _input in (("1d", SIGNAL), ("2d", IMAGE), ("3d", VOLUME)):
    case(getattr(nn, f"InstanceNorm{_name}"), _input, 4, affine=True)
    case(getattr(nn, f"InstanceNorm{_name}"), _input, 4, track_running_stats=True)
    case(getattr(nn, f"LazyInstanceNorm{_name}"), _input)
    tracking(case(getattr(nn, f"InstanceNorm{_name}"), _input, 4, track_running_stats=True))
    tracking(case(getattr(nn, f"LazyInstanceNorm{_name}"), _input, track_running_stats=True))
case(nn.LayerNorm, VECTORS, 4)
case(nn.LayerNorm, IMAGE, (6, 5))
case(nn.RMSNorm, VECTORS, 4)
case(nn.GroupNorm, IMAGE, 2, 4)
case(nn.LocalResponseNorm, IMAGE, 3)
but(
    case(nn.CrossMapLRN2d, IMAGE, 3),
    refusal="torch.Tensor.resize_as_",
    reason="torch writes it in place, inside a `torch.autograd.Function`; `nn.LocalResponseNorm` is bounded",
)

# --- pooling ----------------------------------------------------------------------------------------------------------

for _dims, _input in BY_DIMENSION:
    case(getattr(nn, f"AvgPool{_dims}d"), _input, 2)
    case(getattr(nn, f"MaxPool{_dims}d"), _input, 2, 1)
    case(getattr(nn, f"MaxPool{_dims}d"), _input, 2, return_indices=True)
    case(getattr(nn, f"LPPool{_dims}d"), _input, 2, 2)
    case(getattr(nn, f"LPPool{_dims}d"), _input.abs(), 3, 2)
    case(getattr(nn, f"AdaptiveAvgPool{_dims}d"), _input, 2)
    case(getattr(nn, f"AdaptiveMaxPool{_dims}d"), _input, 2)
    case(getattr(nn, f"AdaptiveMaxPool{_dims}d"), _input, 2, return_indices=True)
case(nn.AvgPool2d, IMAGE, 3, 2, padding=1, ceil_mode=True, count_include_pad=False)
for _dims in (2, 3):
    but(
        case(getattr(nn, f"FractionalMaxPool{_dims}d"), dict(BY_DIMENSION)[_dims], 2, output_size=2),
        refusal="pooling over random windows",
        reason="its windows are random",
    )
case(nn.MaxUnpool1d, (box(1, 2, 2), torch.tensor([[[0, 3], [1, 2]]])), 2)
case(nn.MaxUnpool2d, (box(1, 1, 2, 2), torch.tensor([[[[0, 3], [9, 10]]]])), 2)
case(nn.MaxUnpool3d, (box(1, 1, 1, 1, 2), torch.tensor([[[[[0, 3]]]]])), 2)

# --- padding, resizing, shapes ----------------------------------------------------------------------------------------

for _dims, _input in BY_DIMENSION:
    for _name in ("ReflectionPad", "ReplicationPad", "CircularPad", "ZeroPad"):
        case(getattr(nn, f"{_name}{_dims}d"), _input, 1)
    case(getattr(nn, f"ConstantPad{_dims}d"), _input, 1, 0.1)
for _mode, _input in (("linear", SIGNAL), ("bilinear", IMAGE), ("bicubic", IMAGE), ("trilinear", VOLUME)):
    case(nn.Upsample, _input, scale_factor=2, mode=_mode, align_corners=True)
case(nn.Upsample, IMAGE, size=(7, 9))
case(nn.UpsamplingNearest2d, IMAGE, scale_factor=2)
case(nn.UpsamplingBilinear2d, IMAGE, scale_factor=2)
case(nn.Fold, box(1, 4, 9), (4, 4), 2)
case(nn.Unfold, IMAGE, 2, stride=2)
case(nn.PixelShuffle, IMAGE, 2)
case(nn.PixelUnshuffle, box(1, 2, 4, 4), 2)
case(nn.ChannelShuffle, IMAGE, 2)
case(nn.Flatten, IMAGE)
case(nn.Unflatten, VECTORS, 1, (2, 2))

# --- dropout ----------------------------------------------------------------------------------------------------------

for _name, _input in (
    ("Dropout", VECTORS), ("Dropout1d", SIGNAL), ("Dropout2d", IMAGE), ("Dropout3d", VOLUME), ("AlphaDropout", VECTORS),
    ("FeatureAlphaDropout", IMAGE),
):  # fmt: skip
    case(getattr(nn, _name), _input)
    but(case(getattr(nn, _name), _input), training=True, draws=True)

# --- distances and losses ---------------------------------------------------------------------------------------------

case(nn.CosineSimilarity, (VECTORS, box(3, 4, seed=1)))
case(nn.PairwiseDistance, (VECTORS, box(3, 4, seed=1)))
case(nn.PairwiseDistance, (VECTORS, box(3, 4, seed=1)), p=1, keepdim=True)
for _reduction in ("mean", "sum", "none"):
    for _name in ("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss"):
        case(getattr(nn, _name), (VECTORS, box(3, 4, seed=1)), reduction=_reduction)
    case(nn.CrossEntropyLoss, (VECTORS, classes(4, 3)), reduction=_reduction, label_smoothing=0.1)
    case(nn.NLLLoss, (VECTORS, classes(4, 3)), reduction=_reduction)
    case(nn.BCEWithLogitsLoss, (VECTORS, within(0, 1, 3, 4)), reduction=_reduction)
    case(nn.BCELoss, (within(0.1, 0.9, 3, 4), within(0, 1, 3, 4, seed=1)), reduction=_reduction)
    case(nn.KLDivLoss, (VECTORS, within(0.1, 0.9, 3, 4)), reduction=_reduction)
    case(nn.PoissonNLLLoss, (VECTORS, within(0, 3, 3, 4)), reduction=_reduction)
case(nn.CrossEntropyLoss, (VECTORS, within(0, 1, 3, 4)))
case(nn.CrossEntropyLoss, (VECTORS, classes(4, 3)), weight=torch.tensor([0.5, 1.0, 2.0, 1.0]), ignore_index=1)
case(nn.NLLLoss2d, (IMAGE, classes(4, 2, 6, 5)))
case(nn.LinearCrossEntropyLoss, (VECTORS, classes(5, 3)), 4, 5)
case(nn.KLDivLoss, (VECTORS, box(3, 4, seed=1)), reduction="batchmean", log_target=True)
case(nn.GaussianNLLLoss, (VECTORS, box(3, 4, seed=1), within(0.5, 2, 3, 4)))
case(nn.PoissonNLLLoss, (VECTORS, within(0, 3, 3, 4)), full=True)
case(nn.CosineEmbeddingLoss, (VECTORS, box(3, 4, seed=1), signs(3)), margin=0.1)
case(nn.HingeEmbeddingLoss, (VECTORS, signs(3, 4)))
but(case(nn.SoftMarginLoss, VECTORS), named={"target": signs(3, 4)})
case(nn.MarginRankingLoss, (box(3), box(3, seed=1), signs(3)), margin=0.1)
case(nn.MultiMarginLoss, (VECTORS, classes(4, 3)))
case(nn.MultiLabelMarginLoss, (VECTORS, torch.tensor([[0, 2, -1, 1], [3, -1, 0, 0], [1, 0, 2, 3]])))
case(nn.MultiLabelSoftMarginLoss, (VECTORS, within(0, 1, 3, 4)))
case(nn.TripletMarginLoss, (VECTORS, box(3, 4, seed=1), box(3, 4, seed=2)), swap=True)
case(nn.TripletMarginWithDistanceLoss, (VECTORS, box(3, 4, seed=1), box(3, 4, seed=2)))
but(
    case(nn.AdaptiveLogSoftmaxWithLoss, (VECTORS, classes(6, 3)), 4, 6, [2, 4], div_value=2.0),
    mixed=False,  # it writes into a tensor made like its input
)
case(nn.CTCLoss, (box(5, 2, 4), torch.tensor([[1, 2], [3, 1]]), torch.tensor([5, 4]), torch.tensor([2, 2])))

# --- recurrent layers -------------------------------------------------------------------------------------------------

_SEQUENCE = box(3, 2, 4, radius=0.1)
for _kind in (nn.RNN, nn.LSTM, nn.GRU):
    case(_kind, _SEQUENCE, 4, 3, num_layers=2, bidirectional=True)
    case(_kind, _SEQUENCE, 4, 3, batch_first=True, bias=False)
    case(_kind, box(3, 4, radius=0.1), 4, 3)
    but(case(_kind, _SEQUENCE, 4, 3, num_layers=2, dropout=0.5), training=True, draws=True)
case(nn.RNN, (_SEQUENCE, box(1, 2, 3)), 4, 3, nonlinearity="relu")
case(nn.LSTM, (_SEQUENCE, (box(1, 2, 2), box(1, 2, 3))), 4, 3, proj_size=2)
case(nn.GRU, (_SEQUENCE, box(1, 2, 3)), 4, 3)
case(nn.RNNCell, VECTORS, 4, 3)
case(nn.RNNCell, (VECTORS, box(3, 3)), 4, 3, nonlinearity="relu")
case(nn.LSTMCell, (VECTORS, (box(3, 3), box(3, 3, seed=1))), 4, 3)
case(nn.GRUCell, box(4), 4, 3)

# --- attention --------------------------------------------------------------------------------------------------------

_QUERY, _KEY, _VALUE = box(3, 2, 4, radius=0.1), box(5, 2, 4, radius=0.1), box(5, 2, 4, radius=0.1, seed=1)
_CAUSAL = nn.Transformer.generate_square_subsequent_mask(3)
_PADDING = torch.tensor([[False, False, True], [False, False, False]])
_ATTENTION: tuple[tuple[dict, dict], ...] = (
    ({}, {}),
    ({}, {"need_weights": False}),
    ({}, {"average_attn_weights": False}),
    ({"bias": False}, {"attn_mask": torch.tensor([[True, False, False, True, False]] * 3)}),
    ({"add_bias_kv": True}, {"attn_mask": numbers(3, 5), "need_weights": False}),
    ({"add_zero_attn": True}, {"key_padding_mask": torch.tensor([[False, True, False, False, True], [False] * 5])}),
)
for _made, _called in _ATTENTION:
    but(case(nn.MultiheadAttention, (_QUERY, _KEY, _VALUE), 4, 2, **_made), named=_called)
but(
    case(nn.MultiheadAttention, (box(2, 3, 4, radius=0.1),) * 3, 4, 2, batch_first=True),
    named={"attn_mask": _CAUSAL, "is_causal": True, "need_weights": False},
)
case(nn.MultiheadAttention, (_QUERY, box(5, 2, 3, radius=0.1), box(5, 2, 2, radius=0.1)), 4, 2, kdim=3, vdim=2)
but(case(nn.MultiheadAttention, (_QUERY, _KEY, _VALUE), 4, 2), training=True)
but(
    case(nn.MultiheadAttention, (_QUERY, _KEY, _VALUE), 4, 2, dropout=0.5),
    training=True,
    named={"need_weights": False},
    refusal="dropout_p=0.5",
    reason="dropout inside attention",
)
_LAYER = {"d_model": 4, "nhead": 2, "dim_feedforward": 3, "dropout": 0.0}
for _options in ({}, {"norm_first": True, "activation": "gelu", "batch_first": True}):
    case(nn.TransformerEncoderLayer, _QUERY, **_LAYER, **_options)
    case(nn.TransformerDecoderLayer, (_QUERY, box(3, 2, 4, radius=0.1, seed=4)), **_LAYER, **_options)
but(
    case(nn.TransformerEncoderLayer, box(2, 3, 4, radius=0.1), **_LAYER, batch_first=True),
    named={"src_key_padding_mask": _PADDING},
)
but(case(nn.TransformerEncoderLayer, _QUERY, **_LAYER), training=True)
but(
    case(nn.TransformerDecoderLayer, (box(2, 3, 4, radius=0.1),) * 2, **_LAYER, batch_first=True),
    named={"tgt_mask": _CAUSAL, "memory_key_padding_mask": _PADDING},
)


def encoder(nested: bool) -> nn.Module:
    layer = nn.TransformerEncoderLayer(**_LAYER, batch_first=True)
    return nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(4), enable_nested_tensor=nested)


def decoder() -> nn.Module:
    return nn.TransformerDecoder(nn.TransformerDecoderLayer(**_LAYER), 2)


_BATCH = box(2, 3, 4, radius=0.02)
entered(Case("TransformerEncoder", (_BATCH,), lambda: encoder(True)))
entered(Case("TransformerEncoder", (_BATCH,), lambda: encoder(True), {"src_key_padding_mask": _PADDING}))
entered(Case("TransformerEncoder", (_BATCH,), lambda: encoder(False), {"mask": _CAUSAL, "is_causal": True}))
entered(Case("TransformerDecoder", (_QUERY, _KEY), decoder, {"tgt_mask": _CAUSAL, "tgt_is_causal": True}))
but(
    case(nn.Transformer, (_QUERY, box(3, 2, 4, radius=0.1, seed=4)), **_LAYER, num_encoder_layers=1,
         num_decoder_layers=1),
    named={"tgt_mask": _CAUSAL},
)  # fmt: skip

# --- containers -------------------------------------------------------------------------------------------------------


class _Collections(nn.Module):
    """Uses all containers that have no forward of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.named_layers = nn.ModuleDict({"act": nn.Tanh()})
        self.shifts = nn.ParameterList([torch.zeros(4)])
        self.scales = nn.ParameterDict({"out": torch.ones(4)})

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = self.named_layers["act"](layer(x)) + self.shifts[0]
        return x * self.scales["out"]


case(nn.Sequential, VECTORS, nn.Linear(4, 3), nn.ReLU())
case(nn.DataParallel, VECTORS, nn.Linear(4, 3))
CONTAINERS = ("Container", "Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList")
for _name in CONTAINERS:
    entered(Case(_name, (VECTORS,), _Collections))
ABSTRACT = {"RNNBase": "base class of RNN, LSTM and GRU", "RNNCellBase": "base class of their cells"}


def names() -> list[str]:
    """Every module class of `torch.nn`."""
    found = (getattr(nn, name) for name in {*dir(nn), *nn.modules.__all__})
    return sorted({kind.__name__ for kind in found if isinstance(kind, type) and issubclass(kind, nn.Module)})
