"""PSPNet: context of regions of several sizes, on a dilated ResNet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Gt
from torch import Tensor, nn

from weakseg.networks.parts.layers import PoolParts, cells, conv_bn_relu, crop, padded
from weakseg.networks.parts.resnet import depth_of, resnet_body
from weakseg.utils.limits import ZeroToOne, limited


class PSPNet(nn.Module):
    """Averages over 1, 4, 9 and 36 parts of the image, brought in beside the encoder's last
    features (Zhao et al., CVPR 2017).

    In training it returns {"out": logits, "aux": logits of the third stage}; the loss of the second
    counts `auxiliary_weight` times.

    Args:
        encoder: resnet18, 34, 50 or 101; with an s (resnet50s) the stem is three 3x3 convolutions,
            as in the paper.
        weights: null, imagenet, or the path of a state dict of the encoder.
        output_stride: 8 or 16, reached by dilation.
        bins: the parts that a side is cut into.
        auxiliary_weight: 0 for no auxiliary logits.
        dropout: of whole channels, before the last layer.
        width: the encoder has so many times the usual channels; for small tests.
    """

    @limited
    def __init__(
        self,
        classes: int,
        encoder: str = "resnet50s",
        weights: Literal["imagenet"] | Path | None = None,
        output_stride: Literal[8, 16] = 8,
        bins: tuple[int, ...] = (1, 2, 3, 6),
        auxiliary_weight: float = 0.4,
        dropout: ZeroToOne = 0.1,
        width: Annotated[float, Gt(0)] = 1.0,
    ) -> None:
        super().__init__()
        if not bins or min(bins) < 1:
            raise ValueError(
                f"bins should be whole numbers from 1 on, such as 1, 2, 3, 6, but it is {bins}"
            )
        depth, deep_stem = depth_of(encoder)
        self.encoder = resnet_body(depth, output_stride, weights, width=width, deep_stem=deep_stem)
        *_, third, last = self.encoder.channels
        self.pyramid = nn.ModuleList(
            nn.Sequential(PoolParts(parts), conv_bn_relu(last, last // len(bins), 1))
            for parts in bins
        )
        context = last + len(bins) * (last // len(bins))
        self.decoder = nn.Sequential(conv_bn_relu(context, last // 4, 3), nn.Dropout2d(dropout))
        self.head = nn.Conv2d(last // 4, classes, 1)
        self.auxiliary_weight = auxiliary_weight
        self.auxiliary = _auxiliary(third, classes, dropout) if auxiliary_weight else None
        self.output_stride = self.stride = output_stride

    def features(self, image: Tensor) -> Tensor:
        """Input of the last layer: float [B,D,h,w] at `stride`. Any size of image."""
        return self._context(self._stages(image)[1])

    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor]:
        """Logits [B,C,h,w] at `stride`, for normalised images [B,3,H,W]; in training also the
        auxiliary ones."""
        third, last = self._stages(image)
        logits: Tensor = self.head(self._context(last))
        if self.auxiliary is None or not self.training:
            return logits
        return {"out": logits, "aux": self.auxiliary(third)}

    def _stages(self, image: Tensor) -> list[Tensor]:
        """The third stage and the last, each cell centred on the pixels that it stands for."""
        rows, columns = cells(image, self.stride)
        features = self.encoder(padded(image, self.stride, lead=self.stride // 2))
        return [crop(stage, rows, columns, last=True) for stage in features[-2:]]

    def _context(self, last: Tensor) -> Tensor:
        # the centres of pooled parts lie where align_corners=False expects them
        parts = [
            F.interpolate(pool(last), last.shape[-2:], mode="bilinear", align_corners=False)
            for pool in self.pyramid
        ]
        features: Tensor = self.decoder(torch.cat([last, *parts], 1))
        return features


def _auxiliary(channels: int, classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        conv_bn_relu(channels, channels // 4, 3),
        nn.Dropout2d(dropout),
        nn.Conv2d(channels // 4, classes, 1),
    )
