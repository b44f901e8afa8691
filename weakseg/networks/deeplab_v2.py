"""DeepLab v2: several dilation rates side by side, and several sizes of the image."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from annotated_types import Gt
from torch import Tensor, nn

from weakseg.networks.parts.layers import cells, crop, padded
from weakseg.networks.parts.resnet import depth_of, resnet_body
from weakseg.networks.parts.vgg import VGGToFC7, Weights, linear, load_vgg
from weakseg.utils.limits import ZeroToOne, limited

MOST_PARTS = 1000  # a scale is taken for a ratio of whole numbers up to this in exported graphs


class DeepLabV2(nn.Module):
    """DeepLab v2 (Chen et al., TPAMI 2018), without its CRF: atrous spatial pyramid pooling whose
    branches are added up.

    On a ResNet the branches are 3x3 convolutions from its last stage to logits. On VGG-16 each
    branch has its own fc6 (3x3), fc7 (both 1024 channels) and linear layer to logits; the sum of
    these is one linear layer on their common input, and is stored so.

    Args:
        encoder: vgg16, or a ResNet such as resnet101.
        weights: null, imagenet, or the path of a state dict of the encoder in torchvision. If that
            of vgg16 has the classifier, the fc6 and fc7 of every branch begin with every fourth of
            its weights.
        output_stride: 8 or 16, reached by dilation.
        rates: dilation of the branches.
        scales: the image is resized to each of these, and the largest logit counts; the paper
            has 1, 0.75, 0.5. In training the network then returns {"out": logits, "aux": [logits of
            each scale]}, all of one size.
        dropout: share of fc6 and fc7 of VGG-16 that is dropped in training.
        width: the hidden layers have so many times the usual channels; below 1 for a small network,
            without ready weights.
    """

    @limited
    def __init__(
        self,
        classes: int,
        encoder: str = "resnet101",
        weights: Weights = None,
        output_stride: Literal[8, 16] = 8,
        rates: tuple[int, ...] = (6, 12, 18, 24),
        scales: tuple[float, ...] = (1.0,),
        dropout: ZeroToOne = 0.5,
        width: Annotated[float, Gt(0)] = 1.0,
    ) -> None:
        super().__init__()
        for name, values in (("rates", rates), ("scales", scales)):
            if not values or min(values) <= 0:
                raise ValueError(
                    f"{name} should be one or more numbers above 0, but it is {list(values)}"
                )
        self.stride = output_stride
        self.scales = tuple(scales)
        # in training, every scale has the same loss as the largest logits (section 4.1.2,
        # "multi-scale")
        self.auxiliary_weight = 1.0
        self.encoder: nn.Module
        self.head: nn.Module
        if encoder == "vgg16":
            vgg = VGGToFC7(
                width, output_stride, "3x3", kernel=3, channels=1024, rates=rates, dropout=dropout
            )
            load_vgg(vgg, weights, width)
            self.encoder = vgg
            self.head = linear(vgg.channels[-1], classes)
            self.lead = 0
        else:
            depth, deep_stem = depth_of(encoder)
            body = resnet_body(depth, output_stride, weights, width=width, deep_stem=deep_stem)
            self.encoder = body
            self.head = _Pyramid(body.channels[-1], classes, rates)
            # cell i of a ResNet is centred on pixel stride * i, the first of those that it should
            # stand for
            self.lead = output_stride // 2

    def features(self, image: Tensor) -> Tensor:
        """Input of the last layer, for the image at its own size: float [B,D,h,w] at `stride`. Any
        size of image."""
        rows, columns = cells(image, self.stride)
        last: Tensor = self.encoder(padded(image, self.stride, self.lead))[-1]
        return crop(last, rows, columns, last=True)

    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor | list[Tensor]]:
        """Logits [B,C,h,w] at `stride`, for normalised images [B,3,H,W]."""
        size = cells(image, self.stride)
        each = [self._at(scale, image, size) for scale in self.scales]
        largest: Tensor = reduce(torch.maximum, each)
        return {"out": largest, "aux": each} if self.training and len(each) > 1 else largest

    def _at(self, scale: float, image: Tensor, size: tuple[int, int]) -> Tensor:
        if scale == 1:
            logits: Tensor = self.head(self.features(image))
            return logits
        height, width = image.shape[-2:]
        resized = F.interpolate(
            image, (_scaled(height, scale), _scaled(width, scale)), mode="bilinear"
        )
        factors = (height / resized.shape[-2], width / resized.shape[-1])
        return resample(self.head(self.features(resized)), factors, size)


class _Pyramid(nn.Module):
    def __init__(self, before: int, classes: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            linear(before, classes, kernel=3, rate=rate) for rate in rates
        )

    def forward(self, features: Tensor) -> Tensor:
        total: Tensor = reduce(torch.add, [branch(features) for branch in self.branches])
        return total


def _scaled(side: int, scale: float) -> int:
    """A side of the image resized: at least one pixel."""
    if not torch.compiler.is_exporting():
        return max(1, round(side * scale))
    # exported graphs divide whole numbers, but do not round; a half goes to the even number. Of a
    # scale such as 0.35, which is none exactly, Python's halves are a little more or less than that
    ratio = Fraction(scale).limit_denominator(MOST_PARTS)
    double: Any = 2 * side * ratio.numerator + ratio.denominator
    rounded = double // (2 * ratio.denominator)
    is_half: Any = 1 - torch.sym_min(1, double % (2 * ratio.denominator))
    rounded = rounded - is_half * (rounded % 2)
    found: int = torch.sym_max(1, rounded)
    return found


def resample(logits: Tensor, factors: tuple[float, float], size: tuple[int, int]) -> Tensor:
    """Logits on a grid whose cells are so many times smaller, with the first corner in common,
    bilinearly.

    The last cells of two grids may cover different strips beyond the image; so the factor counts,
    not the sizes of the grids.

    >>> resample(torch.tensor([[[[1.0, 5.0]]]]), factors=(1.0, 2.0), size=(1, 3))
    tensor([[[[1., 2., 4.]]]])
    """
    if torch.compiler.is_exporting():
        for dim, factor, length in zip((-2, -1), factors, size, strict=True):
            logits = _resample_side(logits, dim, factor, length)
        return logits
    # cells that the last ones of the new grid may need
    beyond = [-int(-1 // factor) for factor in factors]
    logits = F.pad(logits, (0, beyond[1], 0, beyond[0]), mode="replicate")
    large: Tensor = F.interpolate(
        logits, scale_factor=factors, mode="bilinear", recompute_scale_factor=False
    )
    return crop(large, *size)


def _resample_side(logits: Tensor, dim: int, factor: float, length: int) -> Tensor:
    """One side of `resample`, for maps of any size: no exporter has the layer with factors that
    depend on the size."""
    place = (torch.arange(length, device=logits.device) + 0.5) / factor - 0.5
    place = place.clamp(min=0)
    before = place.floor()
    share = place - before
    if dim == -2:
        share = share[:, None]
    first, second = (
        logits.index_select(dim, cell.long().clamp(max=logits.shape[dim] - 1))
        for cell in (before, before + 1)
    )
    return torch.lerp(first, second, share)
