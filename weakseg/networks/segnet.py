"""SegNet: a decoder that puts features back where max pooling found them."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch.nn.functional as F
from annotated_types import Gt
from torch import Tensor, nn

from weakseg.networks.parts.layers import crop, padded
from weakseg.networks.parts.vgg import STAGES, Weights, init_for_relu, load_vgg, scaled, stages
from weakseg.utils.limits import limited


class SegNet(nn.Module):
    """SegNet on VGG-16 with batch norm (Badrinarayanan, Kendall and Cipolla, TPAMI 2017): logits at
    stride 1.

    The decoder mirrors the encoder. Its poolings are undone by putting each value where its maximum
    was, and zeros elsewhere.

    Args:
        weights: of the encoder: null, imagenet, or the path of a state dict of torchvision's
            vgg16_bn.
        width: the hidden layers have so many times the usual channels; below 1 for a small network,
            without ready weights.
    """

    stride = 1

    @limited
    def __init__(
        self, classes: int, weights: Weights = None, width: Annotated[float, Gt(0)] = 1.0
    ) -> None:
        super().__init__()
        self.encoder = _Encoder(width)
        load_vgg(self.encoder, weights, width, "VGG16_BN")
        self.decoder = nn.ModuleList(
            _mirrored(stage, width) for stage in reversed(range(len(STAGES)))
        )
        self.head = nn.Conv2d(scaled(STAGES[0][0], width), classes, 3, padding=1)
        init_for_relu(self.head)

    def features(self, image: Tensor) -> Tensor:
        """Input of the last layer: float [B,D,H,W]. Any size of image."""
        height, width = image.shape[-2:]
        return crop(self._whole(image), height, width)

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B,C,H,W], for normalised images [B,3,H,W]."""
        height, width = image.shape[-2:]
        logits: Tensor = self.head(self._whole(image))
        return crop(logits, height, width)

    def _whole(self, image: Tensor) -> Tensor:
        inner, places = self.encoder(padded(image, 2 ** len(STAGES)))
        for stage, place in zip(self.decoder, reversed(places), strict=True):
            inner = stage(F.max_unpool2d(inner, place, [2, 2]))
        return inner  # type: ignore[no-any-return]


class _Encoder(nn.Module):
    def __init__(self, width: float) -> None:
        super().__init__()
        pools = [nn.MaxPool2d(2, return_indices=True) for _ in STAGES]
        self.features = stages(width, pools, [1] * len(STAGES), batch_norm=True)
        init_for_relu(self)

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features, and where each pooling found its maxima."""
        places = []
        for module in self.features:
            if isinstance(module, nn.MaxPool2d):
                image, place = module(image)
                places.append(place)
            else:
                image = module(image)
        return image, places


def _mirrored(stage: int, width: float) -> nn.Sequential:
    """The convolutions of a stage in reverse; the first stage's last one, which would lead back to
    colours, is the network's head."""
    usual = [*(STAGES[stage - 1][-1:] if stage else ()), *STAGES[stage]]
    layers: list[nn.Module] = []
    for before, after in pairwise([scaled(channels, width) for channels in reversed(usual)]):
        layers += [
            nn.Conv2d(before, after, 3, padding=1),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]
    mirrored = nn.Sequential(*layers)
    init_for_relu(mirrored)
    return mirrored
