"""Dilated convolutions that gather context (Yu and Koltun, ICLR 2016)."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor, nn

from weakseg.networks.parts.layers import padded
from weakseg.networks.parts.vgg import VGGToFC7, Weights, init_zero, linear, load_vgg
from weakseg.utils.limits import ZeroToOne, limited

RATES = (1, 1, 2, 4, 8, 16, 1)
"""dilation of the 3x3 convolutions"""
LARGE = (2, 2, 4, 8, 16, 32, 32)
"""how many times the classes the channels of each are, in the large module"""


class DilatedContext(nn.Module):
    """VGG-16 without its last two poolings, and a context module on its scores (Yu and Koltun, ICLR
    2016): logits at stride 8.

    conv5 has rate 2, fc6 (7x7) rate 4. The context module begins as the identity, so the whole
    begins as its front end; but the ReLU behind each of its layers lets no negative score through.
    Every convolution is padded with zeros; in the original only image and scores are, which differs
    near the edges.

    Args:
        weights: null, imagenet, or the path of a state dict of torchvision's vgg16, with or without
            its classifier.
        context: with the context module; without, the front end alone, which the paper trains
            first.
        large: the larger of the paper's context modules, with up to 32 channels per class.
        dropout: share of fc6 and fc7 that is dropped in training.
        width: the front end's hidden layers have so many times the usual channels; below 1 for a
            small network, without ready weights.
    """

    stride = 8

    @limited
    def __init__(
        self,
        classes: int,
        weights: Weights = None,
        context: bool = True,
        large: bool = False,
        dropout: ZeroToOne = 0.5,
        width: Annotated[float, Gt(0)] = 1.0,
    ) -> None:
        super().__init__()
        self.encoder = VGGToFC7(width, 8, "early", dropout=dropout)
        load_vgg(self.encoder, weights, width)
        self.head = nn.Sequential(linear(self.encoder.channels[-1], classes))
        if context:
            self.head.append(context_module(classes, large))

    def features(self, image: Tensor) -> Tensor:
        """fc7, what the front end's scores are made of: float [B,D,h,w] at stride 8. Any size of
        image."""
        last: Tensor = self.encoder(padded(image, self.stride))[-1]
        return last

    def classify(self, features: Tensor) -> Tensor:
        """The last layer: logits of `features(image)`."""
        logits: Tensor = self.head(features)
        return logits

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B,C,h,w] at stride 8, for normalised images [B,3,H,W]."""
        return self.classify(self.features(image))


def context_module(classes: int, large: bool = False) -> nn.Sequential:
    """Seven 3x3 convolutions of growing dilation and a 1x1, from scores to scores: at first, the
    identity where scores are not negative.

    The large one is that but for a little noise.
    """
    channels = [classes * times for times in (1, *(LARGE if large else [1] * len(RATES)))]
    layers: list[nn.Module] = []
    for before, after, rate in zip(channels, channels[1:], RATES, strict=False):
        layers += [
            _passing(nn.Conv2d(before, after, 3, padding=rate, dilation=rate), classes),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, _passing(nn.Conv2d(channels[-1], classes, 1), classes))


def _passing(conv: nn.Conv2d, classes: int) -> nn.Conv2d:
    """Let each class through: the channels that stand for it share its score evenly, and those
    behind add it up again.

    Where several channels stand for a class, noise makes them different; without it they would stay
    equal for ever.
    """
    after, before, height, width = conv.weight.shape
    stands_for_before = torch.arange(before) * classes // before
    stands_for_after = torch.arange(after) * classes // after
    share = classes / after
    with torch.no_grad():
        conv.weight.normal_(
            std=0.01 * share
        ) if after > classes or before > classes else conv.weight.zero_()
        conv.weight[:, :, height // 2, width // 2] += share * (
            stands_for_after[:, None] == stands_for_before
        )
    init_zero(conv.bias)
    return conv
