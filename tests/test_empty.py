"""Batches without samples: what torch returns, in shape and dtype, or what it raises."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from intervaltorch import IntervalTensor, rounding, testing

ROWS, IMAGES, SEQUENCES = torch.zeros(0, 3), torch.zeros(0, 4, 5, 5), torch.zeros(0, 7, 4)
MATRICES, NUMBERS = torch.zeros(0, 2, 2), torch.zeros(0)

CASES = {
    "layer_norm": (lambda x: F.layer_norm(x, (3,)), ROWS),
    "rms_norm": (lambda x: F.rms_norm(x, (3,)), ROWS),
    "group_norm": (lambda x: F.group_norm(x, 2), IMAGES),
    "instance_norm": (nn.InstanceNorm2d(4), IMAGES),
    "batch_norm": (nn.BatchNorm2d(4).eval(), IMAGES),
    "normalize": (F.normalize, ROWS),
    "normalize over nothing": (lambda x: F.normalize(x, p=3.0, dim=0), ROWS),
    "cosine_similarity": (lambda x: F.cosine_similarity(x, x + 1), ROWS),
    "linear": (nn.Linear(3, 2), ROWS),
    "linear, weight too": (lambda x: F.linear(x, IntervalTensor.point(torch.ones(2, 3))), ROWS),
    "bilinear": (nn.Bilinear(3, 3, 2), (ROWS, ROWS)),
    "conv2d": (nn.Conv2d(4, 2, 3), IMAGES),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), IMAGES),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, 1), IMAGES),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), IMAGES),
    "TransformerEncoderLayer": (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True).eval(), SEQUENCES),
    "LSTM": (nn.LSTM(4, 3, batch_first=True), SEQUENCES),
    "softmax": (lambda x: x.softmax(-1), ROWS),
    "var": (lambda x: x.var(-1), ROWS),
    "std, of one": (lambda x: x[:, :1].std(-1, correction=0), ROWS),
    "sum": (lambda x: x.sum(0), ROWS),
    "cov": (torch.cov, ROWS),
    "corrcoef": (torch.corrcoef, ROWS),
    "sort": (lambda x: x.sort(-1), ROWS),
    "kl_div": (lambda x: F.kl_div(x, x, reduction="none"), ROWS),
    "gaussian_nll_loss": (lambda x: F.gaussian_nll_loss(x, x, x, reduction="none"), ROWS),
    "bincount": (lambda x: torch.bincount(torch.zeros(0, dtype=torch.long), x, 3), NUMBERS),
    "fake_quantize": (lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, 0, 5), ROWS),
    "frexp": (torch.frexp, ROWS),
    "inv": (torch.linalg.inv, MATRICES),
    "det": (torch.linalg.det, MATRICES),
    "svdvals": (torch.linalg.svdvals, MATRICES),
}


@pytest.mark.parametrize("mode", ["nearest", "outward"])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("quiet")
def test_an_empty_batch_gives_what_torch_gives(name, mode):
    function, given = CASES[name]
    given = given if isinstance(given, tuple) else (given,)
    with torch.no_grad(), rounding(mode):
        testing.check_result(function, *map(IntervalTensor.point, given))
        function(*map(IntervalTensor.point, given))
