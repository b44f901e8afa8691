"""DeepLabV3 in cascade: the last stage of a ResNet again and again, ever more dilated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Gt
from timm.models.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn

from weakseg.networks.parts.layers import cells, crop, padded
from weakseg.networks.parts.resnet import depth_of, resnet_body, set_rates
from weakseg.utils.limits import Count, limited


class DeepLabV3Cascade(nn.Module):
    """Copies of a ResNet's last stage, each at twice the rate of the one before, instead of a
    pyramid (Chen et al. 2017, section 3.2).

    The copies start from random weights and belong to the head.

    Args:
        encoder: resnet18, 34, 50 or 101.
        weights: null, imagenet, or the path of a state dict of the encoder.
        output_stride: 8 or 16, reached by dilation.
        multi_grid: rates of the blocks of a stage, in units of the stage's rate.
        copies: 3 are the paper's blocks 5 to 7.
        width: the encoder has so many times the usual channels; for small tests.
    """

    @limited
    def __init__(
        self,
        classes: int,
        encoder: str = "resnet50",
        weights: Literal["imagenet"] | Path | None = None,
        output_stride: Literal[8, 16] = 16,
        multi_grid: tuple[int, ...] = (1, 2, 1),
        copies: Count = 3,
        width: Annotated[float, Gt(0)] = 1.0,
    ) -> None:
        super().__init__()
        depth, deep_stem = depth_of(encoder)
        self.encoder = resnet_body(depth, output_stride, weights, multi_grid, width, deep_stem)
        channels = self.encoder.channels[-1]
        self.decoder = nn.Sequential()
        for copy in range(1, copies + 1):
            stage = _stage(depth, channels, len(multi_grid))
            set_rates(stage, [32 // output_stride * 2**copy * unit for unit in multi_grid])
            self.decoder.append(stage)
        self.head = nn.Conv2d(channels, classes, 1)
        self.output_stride = self.stride = output_stride

    def features(self, image: Tensor) -> Tensor:
        """Input of the last layer: float [B,D,h,w] at `stride`. Any size of image."""
        rows, columns = cells(image, self.stride)
        # cells centred on the pixels that they stand for
        last = self.encoder(padded(image, self.stride, lead=self.stride // 2))[-1]
        features: Tensor = self.decoder(crop(last, rows, columns, last=True))
        return features

    def classify(self, features: Tensor) -> Tensor:
        """The last layer: logits of `features(image)`."""
        logits: Tensor = self.head(features)
        return logits

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B,C,h,w] at `stride`, for normalised images [B,3,H,W]."""
        return self.classify(self.features(image))


def _stage(depth: int, channels: int, blocks: int) -> nn.Sequential:
    kind: Any = Bottleneck if depth >= 50 else BasicBlock
    stage = nn.Sequential(*(kind(channels, channels // kind.expansion) for _ in range(blocks)))
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return stage
