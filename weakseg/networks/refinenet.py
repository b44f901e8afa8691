"""RefineNet: the stages of a ResNet, from coarse to fine, each refining what came before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Gt
from torch import Tensor, nn

from weakseg.networks.parts.layers import cells, crop, padded, upsample_like
from weakseg.networks.parts.resnet import depth_of, resnet_body
from weakseg.utils.limits import Count, ZeroToOne, limited


class RefineNet(nn.Module):
    """Four paths of residual convolutions, fusion and chained pooling, down to stride 4 (Lin et
    al., CVPR 2017).

    The path of the coarsest stage has twice the channels of the others. Nothing is dilated, and the
    decoder has no batch norm.

    Args:
        encoder: resnet18, 34, 50 or 101.
        weights: null, imagenet, or the path of a state dict of the encoder.
        pools: blocks of chained pooling in each path: 2 in the paper, 4 in the code that its
            authors released.
        channels: of the three finer paths.
        dropout: of the two coarsest stages, and before the last layer.
        width: the encoder has so many times the usual channels; for small tests.
    """

    stride = 4
    """pixels of the image per pixel of the logits, in each direction"""

    @limited
    def __init__(
        self,
        classes: int,
        encoder: str = "resnet101",
        weights: Literal["imagenet"] | Path | None = None,
        pools: Count = 2,
        channels: int = 256,
        dropout: ZeroToOne = 0.5,
        width: Annotated[float, Gt(0)] = 1.0,
    ) -> None:
        super().__init__()
        depth, deep_stem = depth_of(encoder)
        self.encoder = resnet_body(depth, 32, weights, width=width, deep_stem=deep_stem)
        _, *stages = self.encoder.channels
        paths = [
            _Path(stages.pop(), None, 2 * channels, pools),
            _Path(stages.pop(), 2 * channels, channels, pools),
        ]
        paths += [_Path(stage, channels, channels, pools) for stage in reversed(stages)]
        self.paths = nn.ModuleList(paths)
        self.last = nn.Sequential(_Residual(channels), _Residual(channels))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv2d(channels, classes, 3, padding=1)

    def features(self, image: Tensor) -> Tensor:
        """Input of the last layer: float [B,D,h,w] at stride 4. Any size of image."""
        rows, columns = cells(image, self.stride)
        # cells centred on the pixels that they stand for
        _, *stages = self.encoder(padded(image, self.stride, lead=self.stride // 2))
        stages[-2:] = [self.dropout(stage) for stage in stages[-2:]]
        refined: Tensor | None = None
        for path, stage in zip(self.paths, reversed(stages), strict=True):
            refined = path(stage, refined)
        features: Tensor = self.dropout(self.last(refined))
        return crop(features, rows, columns, last=True)

    def classify(self, features: Tensor) -> Tensor:
        """The last layer: logits of `features(image)`."""
        logits: Tensor = self.head(features)
        return logits

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B,C,h,w] at stride 4, for normalised images [B,3,H,W]."""
        return self.classify(self.features(image))


class _Path(nn.Module):
    """Adapt a stage and what the coarser path made, add them at the stage's size, pool in a chain,
    and adapt once more."""

    def __init__(self, stage: int, coarser: int | None, channels: int, pools: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(stage, channels, 3, padding=1, bias=False)
        self.adapt = nn.Sequential(_Residual(channels), _Residual(channels))
        self.adapt_coarser = (
            None if coarser is None else nn.Sequential(_Residual(coarser), _Residual(coarser))
        )
        # the path without a coarser one has nothing to fuse
        self.fuse = None if coarser is None else nn.Conv2d(channels, channels, 3, padding=1)
        self.fuse_coarser = None if coarser is None else nn.Conv2d(coarser, channels, 3, padding=1)
        self.pools = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(pools)
        )
        self.output = _Residual(channels)

    def forward(self, stage: Tensor, coarser: Tensor | None) -> Tensor:
        fused = self.adapt(self.reduce(stage))
        if (
            self.adapt_coarser is not None
            and self.fuse is not None
            and self.fuse_coarser is not None
        ):
            fused = self.fuse(fused) + upsample_like(
                self.fuse_coarser(self.adapt_coarser(coarser)), stage, factor=2
            )
        fused = part = torch.relu(fused)
        for conv in self.pools:
            part = conv(F.max_pool2d(part, 5, 1, 2))
            fused = fused + part
        refined: Tensor = self.output(fused)
        return refined


class _Residual(nn.Module):
    """Two 3x3 convolutions, each after a ReLU, beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        inner: Tensor = self.conv2(torch.relu(self.conv1(torch.relu(features))))
        return features + inner
