"""ResNet as the body of a segmentation network: features of every stage, at a stride that dilation
keeps small."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import timm
from annotated_types import Gt
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import Tensor, nn

from weakseg.networks.parts.encoders import without_classifier
from weakseg.networks.parts.weights import load_state, read_weights
from weakseg.networks.parts.weights_origin import from_file, from_timm, note_origin
from weakseg.utils.limits import limited

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""residual blocks in each of the four stages, by the depth of the network"""


class ResNetBody(nn.Module):
    """The stages of a ResNet, named as in torchvision, whose state dicts load.

    `channels` are those of the five features that `forward` returns.
    """

    def __init__(self, whole: ResNet) -> None:
        super().__init__()
        self.conv1 = whole.conv1
        self.bn1 = whole.bn1
        self.relu = whole.act1
        self.maxpool = whole.maxpool
        self.layer1 = whole.get_submodule("layer1")
        self.layer2 = whole.get_submodule("layer2")
        self.layer3 = whole.get_submodule("layer3")
        self.layer4 = whole.get_submodule("layer4")
        info: Any = whole.feature_info
        self.channels = tuple(int(stage["num_chs"]) for stage in info)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of the stem at stride 2 and of the four stages, from fine to coarse. A side of n
        pixels gives ceil(n / stride)."""
        features: list[Tensor] = [self.relu(self.bn1(self.conv1(image)))]
        inner = self.maxpool(features[0])
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            inner = stage(inner)
            features.append(inner)
        return features


@limited
def resnet_body(
    depth: int = 50,
    output_stride: Literal[8, 16, 32] = 32,
    weights: Literal["imagenet"] | Path | None = None,
    multi_grid: Sequence[int] | None = None,
    width: Annotated[float, Gt(0)] = 1.0,
    deep_stem: bool = False,
) -> ResNetBody:
    """A ResNet without its classifier (He et al., CVPR 2016).

    A stage that gives up its stride keeps the rate of the stage before in its first block, as in
    torchvision: the strided network, evaluated densely. (Networks of segmentation-models-pytorch
        have the full rate in all blocks, which is another function.)

    Args:
        depth: 18, 34, 50 or 101.
        output_stride: 8, 16 or 32, reached by dilation.
        weights: null, imagenet, or the path of a state dict of a ResNet of torchvision or timm.
        multi_grid: rates of the last stage's blocks, in units of the stage's rate (Chen et al. 2017
            take 1, 2, 4); null for torchvision's.
        width: the stages have so many times the usual channels; for small tests.
        deep_stem: three 3x3 convolutions instead of one 7x7, and twice its channels, as PSPNet has
            it.
    """
    if depth not in BLOCKS:
        raise ValueError(
            f"depth should be one of {', '.join(map(str, BLOCKS))}, but it is {depth!r}"
        )
    channels = tuple(max(1, round(width * usual)) for usual in (64, 128, 256, 512))
    stem: dict[str, Any] = {"stem_type": "deep", "stem_width": channels[0]} if deep_stem else {}
    block: Any = Bottleneck if depth >= 50 else BasicBlock
    body = ResNetBody(
        ResNet(
            block,
            BLOCKS[depth],
            num_classes=0,
            output_stride=output_stride,
            channels=channels,
            zero_init_last=False,
            **stem,
        )
    )
    if multi_grid is not None:
        set_rates(body.layer4, [32 // output_stride * unit for unit in multi_grid])
    if weights is not None:
        source = Path(f"resnet{depth}") if str(weights) == "imagenet" else Path(weights)
        state = _imagenet(depth, deep_stem) if str(weights) == "imagenet" else read_weights(source)
        load_state(body, without_classifier(state), source)
        published = str(weights) == "imagenet"
        note_origin(body, from_timm(_name(depth, deep_stem)) if published else from_file(source))
    return body


def depth_of(encoder: str) -> tuple[int, bool]:
    """Depth of a ResNet, and whether its stem is deep, from a name such as resnet50 or resnet50s.

    >>> depth_of("resnet101"), depth_of("resnet50s")
    ((101, False), (50, True))
    """
    names = {f"resnet{depth}{stem}": (depth, stem == "s") for depth in BLOCKS for stem in ("", "s")}
    if encoder not in names:
        raise ValueError(
            f"encoder should be one of {', '.join(names)} (s: with a deep stem), but it is "
            f"{encoder!r}"
        )
    return names[encoder]


def set_rates(stage: nn.Module, rates: Sequence[int]) -> None:
    """Give every block of a stage its dilation rate; weights and sizes stay as they are."""
    blocks = list(stage.children())
    if len(blocks) != len(rates) or min(rates) < 1:
        raise ValueError(
            f"multi_grid should be {len(blocks)} whole numbers from 1 on, one for each block of "
            "the last stage"
        )
    for block, rate in zip(blocks, rates, strict=True):
        for conv in block.modules():
            if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3):
                conv.dilation = conv.padding = (rate, rate)


def _name(depth: int, deep_stem: bool) -> str:
    """Of the weights for ImageNet, in timm."""
    return f"resnet{depth}s.gluon_in1k" if deep_stem else f"resnet{depth}.tv_in1k"


def _imagenet(depth: int, deep_stem: bool) -> dict[str, Any]:
    name = _name(depth, deep_stem)
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # the hub's many kinds of failure
        raise ValueError(
            f"the ImageNet weights {name} could not be fetched ({type(error).__name__}: {error}); "
            "without a network give weights=<path of a local state dict>, or weights=null to "
            "start from random ones"
        ) from error
