"""DeepLabV3 and DeepLabV3+ on encoders of segmentation-models-pytorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import segmentation_models_pytorch as smp
from segmentation_models_pytorch.decoders.deeplabv3.decoder import ASPPPooling
from torch import Tensor, nn

from weakseg.networks.parts.encoders import build_model
from weakseg.networks.parts.layers import cells, crop, forgive_one_value, padded
from weakseg.networks.parts.resnet import set_rates


class _DeepLab(nn.Module):
    """An encoder, a decoder of segmentation-models-pytorch, and one linear map from its features to
    logits."""

    kind: ClassVar[Callable[..., Any]]
    """the model of segmentation-models-pytorch"""
    decoder_stride: ClassVar[int | None] = None
    """the stride that the decoder reaches; None if it stays at the output stride"""
    stride: int
    """pixels of the image per pixel of the logits, in each direction"""

    def __init__(
        self,
        classes: int,
        encoder: str = "resnet50",
        weights: Literal["imagenet"] | Path | None = None,
        output_stride: Literal[8, 16] = 16,
        rates: tuple[int, int, int] | None = None,
        multi_grid: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        rates = rates or (
            6 * 16 // output_stride,
            12 * 16 // output_stride,
            18 * 16 // output_stride,
        )
        kind = type(self).kind
        model: Any = build_model(
            kind,
            encoder,
            weights,
            classes=classes,
            encoder_output_stride=output_stride,
            decoder_atrous_rates=rates,
        )
        self.encoder = model.encoder
        self.decoder = model.decoder
        self.head = model.segmentation_head[0]
        self.output_stride = output_stride
        self.stride = self.decoder_stride or output_stride
        for module in self.decoder.modules():
            if isinstance(module, ASPPPooling):
                forgive_one_value(module)
        if multi_grid is not None:
            if not hasattr(self.encoder, "layer4"):
                raise ValueError(
                    f"multi_grid is for the last stage of a ResNet, but the encoder is {encoder}; "
                    "leave it out"
                )
            set_rates(self.encoder.layer4, [32 // output_stride * unit for unit in multi_grid])

    def features(self, image: Tensor) -> Tensor:
        """Input of the last layer: float [B,D,h,w] at `stride`. Any size of image."""
        rows, columns = cells(image, self.stride)
        features: Tensor = self.decoder(self.encoder(padded(image, self.output_stride)))
        return crop(features, rows, columns)

    def intermediate_features(self, image: Tensor) -> Tensor:
        """The encoder's last stage but one, where a cell depends on little beyond its surroundings:
        float [B,D,h,w], of whole cells."""
        stage: Tensor = self.encoder(image)[-2]
        return stage

    def classify(self, features: Tensor) -> Tensor:
        """The last layer: logits of `features(image)`."""
        logits: Tensor = self.head(features)
        return logits

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B,C,h,w] at `stride`, for normalised images [B,3,H,W]."""
        return self.classify(self.features(image))


class DeepLabV3(_DeepLab):
    """Atrous spatial pyramid pooling on the encoder's last stage (Chen et al. 2017).

    Args:
        encoder: name in segmentation-models-pytorch, or `tu-<name>` of one in timm.
        weights: null, imagenet, or the path of a state dict of the encoder.
        output_stride: 8 or 16, reached by dilation.
        rates: of the pyramid; null for 6, 12, 18 at stride 16 and twice that at stride 8.
        multi_grid: rates of the blocks in a ResNet's last stage, in units of the stage's rate; 1,
            2, 4 in the paper, null for all alike.
    """

    kind = smp.DeepLabV3


class DeepLabV3Plus(_DeepLab):
    """DeepLabV3 with a decoder that brings in the encoder's fine features at stride 4 (Chen et al.
    2018).

    Args: as for DeepLabV3.
    """

    kind = smp.DeepLabV3Plus
    decoder_stride = 4
