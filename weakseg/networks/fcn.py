"""Fully convolutional networks on VGG-16: FCN-32s, FCN-16s, FCN-8s.

The original puts 100 zeros around the image, convolves with fc6 without padding and cuts its output
at 19, 27 or 31 pixels. The receptive field of fc6 is then centred on pixel 32 i + 12.5. Here fc6 is
padded by 3 cells: it is centred on 32 i + 15.5, the middle of the 32 pixels that cell i stands for.
That is the same function of a moved image, but near the edges, where the original has features of
zeros.

The original ends in a transposed convolution that is fixed to bilinear interpolation. `Segmenter`
interpolates by itself, so the networks end before that, at stride 32, 16 or 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Gt
from torch import Tensor, nn

from weakseg.networks.parts.layers import cells, crop, padded
from weakseg.networks.parts.vgg import VGGToFC7, Weights, linear, load_vgg
from weakseg.utils.limits import ZeroToOne, limited


class FCN32s(nn.Module):
    """FCN-32s (Long, Shelhamer and Darrell, CVPR 2015): fc6, fc7 and scores as convolutions. Scores
    begin as zero.

    Args:
        weights: null, imagenet, or the path of a state dict of torchvision's vgg16, with or without
            its classifier.
        output_stride: 32; with 16 or 8 the same network is evaluated more densely, by dilation.
        dropout: share of fc6 and fc7 that is dropped in training.
        width: the hidden layers have so many times the usual channels; below 1 for a small network,
            without ready weights.
    """

    @limited
    def __init__(
        self,
        classes: int,
        weights: Weights = None,
        output_stride: Literal[8, 16, 32] = 32,
        dropout: ZeroToOne = 0.5,
        width: Annotated[float, Gt(0)] = 1.0,
    ) -> None:
        super().__init__()
        self.encoder = VGGToFC7(width, output_stride, dropout=dropout)
        load_vgg(self.encoder, weights, width)
        self.head = linear(self.encoder.channels[-1], classes, deviation=0)
        self.stride = output_stride

    def features(self, image: Tensor) -> Tensor:
        """fc7, the input of the last layer: float [B,D,h,w] at `stride`. Any size of image."""
        last: Tensor = self.encoder(padded(image, self.stride, self.encoder.lead))[-1]
        return last

    def classify(self, features: Tensor) -> Tensor:
        """The last layer: logits of `features(image)`."""
        logits: Tensor = self.head(features)
        return logits

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B,C,h,w] at `stride`, for normalised images [B,3,H,W]."""
        return self.classify(self.features(image))


class _Skipping(nn.Module):
    """Scores of fc7 and of pools, from coarse to fine: upsampled twice, then the next are added."""

    pools: ClassVar[tuple[int, ...]]
    """which of the five"""
    stride: int

    @limited
    def __init__(
        self,
        classes: int,
        weights: Weights = None,
        learn_upsampling: bool = False,
        dropout: ZeroToOne = 0.5,
        width: Annotated[float, Gt(0)] = 1.0,
    ) -> None:
        super().__init__()
        self.encoder = VGGToFC7(width, dropout=dropout)
        load_vgg(self.encoder, weights, width)
        self.head = _Scores(
            [self.encoder.channels[place] for place in (-1, *self.pools)], classes, learn_upsampling
        )

    def features(self, image: Tensor) -> Tensor:
        """fc7: float [B,D,h,w] at stride 32. Any size of image."""
        last: Tensor = self.encoder(padded(image, 32))[-1]
        return last

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B,C,h,w] at `stride`, for normalised images [B,3,H,W]."""
        found = self.encoder(padded(image, 32))
        logits: Tensor = self.head([found[place] for place in (-1, *self.pools)])
        rows, columns = cells(image, self.stride)
        return crop(logits, rows, columns)


class FCN16s(_Skipping):
    """FCN-16s: to the scores of fc7, upsampled by 2, those of pool4 are added (Long, Shelhamer and
    Darrell, CVPR 2015).

    All scores begin as zero. In the paper the weights begin as those of a trained FCN-32s.

    Args:
        weights: null, imagenet, or the path of a state dict of torchvision's vgg16, with or without
            its classifier.
        learn_upsampling: train the upsampling too, as in the paper; in the released networks it
            stays bilinear.
        dropout: share of fc6 and fc7 that is dropped in training.
        width: the hidden layers have so many times the usual channels; below 1 for a small network,
            without ready weights.
    """

    pools = (3,)
    stride = 16


class FCN8s(_Skipping):
    """FCN-8s: as FCN16s, then upsampled by 2 again, and the scores of pool3 are added.

    Args: as for FCN16s.
    """

    pools = (3, 2)
    stride = 8


class _Scores(nn.Module):
    def __init__(self, channels: Sequence[int], classes: int, learn_upsampling: bool) -> None:
        super().__init__()
        self.scores = nn.ModuleList(linear(each, classes, deviation=0) for each in channels)
        self.upsample = nn.ModuleList(
            bilinear(classes).requires_grad_(learn_upsampling) for _ in channels[1:]
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        first, *others = (score(each) for score, each in zip(self.scores, features, strict=True))
        for upsample, other in zip(self.upsample, others, strict=True):
            first = upsample(first) + other
        return first  # type: ignore[no-any-return]


def bilinear(channels: int) -> nn.ConvTranspose2d:
    """A transposed convolution that makes maps twice as large; it begins as bilinear interpolation
    of each channel by itself.

    Outside of the map are zeros.
    """
    layer = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)
    sides = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        layer.weight.copy_(torch.eye(channels)[:, :, None, None] * torch.outer(sides, sides))
    return layer
