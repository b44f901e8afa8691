"""U-Net on encoders of segmentation-models-pytorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from weakseg.networks.parts.encoders import build_model
from weakseg.networks.parts.layers import crop, padded


class UNet(nn.Module):
    """A decoder that upsamples in five steps, each joined with the encoder's features of that size
    (Ronneberger et al., MICCAI 2015).

    Convolutions are padded, so logits are as large as the image, and the encoder is any with five
    stages.

    Args:
        encoder: name in segmentation-models-pytorch, or `tu-<name>` of one in timm.
        weights: null, imagenet, or the path of a state dict of the encoder.
        channels: of the five steps up, from coarse to fine.
    """

    stride = 1
    """pixels of the image per pixel of the logits, in each direction"""

    def __init__(
        self,
        classes: int,
        encoder: str = "resnet34",
        weights: Literal["imagenet"] | Path | None = None,
        channels: tuple[int, int, int, int, int] = (256, 128, 64, 32, 16),
    ) -> None:
        super().__init__()
        model: Any = build_model(
            smp.Unet, encoder, weights, classes=classes, decoder_channels=channels
        )
        self.encoder = model.encoder
        self.decoder = model.decoder
        self.head = model.segmentation_head[0]

    def features(self, image: Tensor) -> Tensor:
        """Input of the last layer: float [B,D,H,W]. Any size of image."""
        height, width = image.shape[-2:]
        features: Tensor = self.decoder(self.encoder(padded(image, 32)))
        return crop(features, height, width)

    def intermediate_features(self, image: Tensor) -> Tensor:
        """The encoder's last stage but one, where a cell depends on little beyond its surroundings:
        float [B,D,h,w], of whole cells."""
        stage: Tensor = self.encoder(image)[-2]
        return stage

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B,C,H,W], for normalised images [B,3,H,W]."""
        logits: Tensor = self.head(self.features(image))
        return logits
