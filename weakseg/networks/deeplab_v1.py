"""DeepLab v1: VGG-16 with atrous convolutions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from annotated_types import Gt
from torch import Tensor, nn

from weakseg.networks.parts.layers import padded
from weakseg.networks.parts.vgg import (
    FULLY_CONNECTED,
    VGGToFC7,
    Weights,
    init_for_relu,
    linear,
    load_vgg,
    scaled,
)
from weakseg.utils.limits import ZeroToOne, limited

_FIELDS: dict[str, dict[str, Any]] = {
    "large": {"kernel": 3, "rates": (12,), "channels": 1024, "average": True},
    "4x4": {"kernel": 4, "rates": (4,), "channels": FULLY_CONNECTED},
    "7x7": {"kernel": 7, "rates": (4,), "channels": FULLY_CONNECTED},
}
"""fc6 in each of the paper's networks; the average pooling before that of LargeFOV is in the
released network, not in the paper"""


class DeepLabV1(nn.Module):
    """DeepLab on VGG-16 (Chen et al., ICLR 2015), without its CRF: logits at stride 8.

    Pools are 3x3; the fourth and fifth do not stride; conv5 has rate 2. The network of CCNN (Pathak
    et al., ICCV 2015) is field=4x4.

    Args:
        weights: null, imagenet, or the path of a state dict of torchvision's vgg16. If that has the
            classifier, fc6 and fc7 begin with every so manieth of its weights.
        field: kernel of fc6. large is LargeFOV (3x3, rate 12, 1024 channels); 4x4 and 7x7 have rate
            4 and 4096 channels.
        multi_scale: the paper's MSc. The image and the first four pools each pass a 3x3 convolution
            to 128 channels, which strides as far as stride 8, and a 1x1 to 128, each with ReLU and
            dropout. These 640 channels go behind those of fc7, and the last layer is linear in all
            of them.
        dropout: share of hidden features that is dropped in training.
        width: the hidden layers have so many times the usual channels; below 1 for a small network,
            without ready weights.
    """

    stride = 8

    @limited
    def __init__(
        self,
        classes: int,
        weights: Weights = None,
        field: Literal["large", "4x4", "7x7"] = "large",
        multi_scale: bool = False,
        dropout: ZeroToOne = 0.5,
        width: Annotated[float, Gt(0)] = 1.0,
    ) -> None:
        super().__init__()
        self.encoder = VGGToFC7(width, 8, "3x3", dropout=dropout, **_FIELDS[field])
        load_vgg(self.encoder, weights, width)
        after = scaled(128, width)
        inputs = zip((3, *self.encoder.channels[:4]), (8, 4, 2, 1, 1), strict=True)
        self.scales = nn.ModuleList(
            _Perceptron(before, after, stride, dropout) for before, stride in inputs if multi_scale
        )
        self.head = linear(self.encoder.channels[-1] + len(self.scales) * after, classes)

    def features(self, image: Tensor) -> Tensor:
        """Input of the last layer: float [B,D,h,w] at stride 8. Any size of image."""
        whole = padded(image, self.stride)
        *pools, last = self.encoder(whole)
        found = [
            last,
            *(scale(each) for scale, each in zip(self.scales, [whole, *pools], strict=False)),
        ]
        return torch.cat(found, 1)

    def classify(self, features: Tensor) -> Tensor:
        """The last layer: logits of `features(image)`."""
        logits: Tensor = self.head(features)
        return logits

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B,C,h,w] at stride 8, for normalised images [B,3,H,W]."""
        return self.classify(self.features(image))


class _Perceptron(nn.Module):
    """Two layers on an intermediate feature map, at cells around the same pixels as those of the
    last map."""

    def __init__(self, before: int, after: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride)
        self.second = nn.Conv2d(after, after, 1)
        self.dropout = nn.Dropout(dropout)
        # what is negative is cut off: windows are then centred on the middle of `stride` cells
        self.near = 1 - stride // 2
        init_for_relu(self)

    def forward(self, features: Tensor) -> Tensor:
        features = F.pad(features, (self.near, 1, self.near, 1))
        inner = self.dropout(F.relu(self.first(features)))
        hidden: Tensor = self.dropout(F.relu(self.second(inner)))
        return hidden
