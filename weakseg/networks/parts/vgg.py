"""VGG-16 (Simonyan and Zisserman, ICLR 2015) as the body of segmentation networks, its fully
connected layers as convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from annotated_types import Gt
from torch import Tensor, nn

from weakseg.networks.parts.weights import load_state, read_weights
from weakseg.networks.parts.weights_origin import from_file, from_torchvision, note_origin
from weakseg.utils.limits import limited

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""channels of the 3x3 convolutions in each of the five stages; a pooling ends each"""
FULLY_CONNECTED = 4096
"""channels of fc6 and fc7"""

Pools = Literal["2x2", "3x3", "early"]
Weights = Literal["imagenet"] | Path | None


class VGG(nn.Module):
    """The five stages, named as in torchvision, whose state dicts load.

    The receptive field of cell i is centred on pixel stride * i + (stride - 1) / 2, which is where
    `Segmenter` expects them: exactly with pools 2x2 (if `lead` pixels are put in front of the
    image) and early; half a pixel further with 3x3.

    Args:
        width: the layers have so many times the usual channels; below 1 for a small network,
            without ready weights.
        output_stride: 8, 16 or 32; where the pooling no longer strides, the following convolutions
            are dilated.
        pools: 2x2, with late windows dilated too: the strided network, evaluated densely; 3x3, as
            DeepLab has it; early, 2x2 but without any pooling beyond the output stride.
        batch_norm: behind every convolution.
    """

    channels: tuple[int, ...]
    """of the five features"""
    rate: int
    """dilation of a convolution that follows, for the receptive field that it has at stride 32"""
    lead: int
    """pixels to be put in front of the image (see `padded`), so that the cells lie where they
    should"""

    @limited
    def __init__(
        self,
        width: Annotated[float, Gt(0)] = 1.0,
        output_stride: Literal[8, 16, 32] = 32,
        pools: Pools = "2x2",
        *,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        # of what comes before the pooling of stage 1, 2, ...
        rates = [max(1, 2**stage // output_stride) for stage in range(6)]
        endings = [_pooling(pools, 2**stage, output_stride) for stage in range(1, 6)]
        self.features = stages(width, endings, rates[:5], batch_norm=batch_norm)
        self.channels = tuple(scaled(stage[-1], width) for stage in STAGES)
        self.width = width
        self.output_stride = output_stride
        self.rate = rates[5]
        self.lead = output_stride // 2 if pools == "2x2" and output_stride < 32 else 0
        self._ends = {
            place
            for place, module in enumerate(self.features)
            if any(module is ending for ending in endings)
        }
        init_for_relu(self)

    def forward(self, image: Tensor) -> list[Tensor]:
        """What leaves each of the five poolings, for images whose sides are multiples of the output
        stride."""
        found = []
        for place, module in enumerate(self.features):
            image = module(image)
            if place in self._ends:
                found.append(image)
        return found


class FullyConnected(nn.Module):
    """fc6 and fc7 as convolutions, each with dropout behind it. Sizes stay."""

    def __init__(self, before: int, channels: int, kernel: int, rate: int, dropout: float) -> None:
        super().__init__()
        self.fc6 = nn.Conv2d(before, channels, kernel, padding="same", dilation=rate)
        self.fc7 = nn.Conv2d(channels, channels, 1)
        self.dropout = nn.Dropout(dropout)
        init_for_relu(self)

    def forward(self, features: Tensor) -> Tensor:
        """Features of fc7."""
        inner: Tensor = self.dropout(F.relu(self.fc6(features)))
        return self.dropout(F.relu(self.fc7(inner)))  # type: ignore[no-any-return]


class VGGToFC7(VGG):
    """VGG-16 with fc6 and fc7: once, or once for each of several dilation rates side by side.

    Args:
        kernel: side of fc6 in cells.
        channels: of fc6 and fc7, before `width`.
        rates: dilation of fc6; null for the one with which 7x7 has its receptive field at
            stride 32.
        dropout: share of fc6 and fc7 that is dropped in training.
        average: 3x3 average pooling before fc6.
    """

    def __init__(
        self,
        width: float,
        output_stride: Literal[8, 16, 32] = 32,
        pools: Pools = "2x2",
        *,
        kernel: int = 7,
        channels: int = FULLY_CONNECTED,
        rates: Sequence[int] | None = None,
        dropout: float = 0.5,
        average: bool = False,
    ) -> None:
        super().__init__(width, output_stride, pools)
        before = self.channels[-1]
        after = scaled(channels, width)
        self.average = nn.AvgPool2d(3, 1, 1) if average else nn.Identity()
        self.fc = nn.ModuleList(
            FullyConnected(before, after, kernel, rate, dropout) for rate in rates or [self.rate]
        )
        self.channels = (*self.channels, after * len(self.fc))

    def forward(self, image: Tensor) -> list[Tensor]:
        """The five features, and that of fc7; of several rates, one after the other along the
        channels."""
        found = super().forward(image)
        last = self.average(found[-1])
        return [*found, torch.cat([fc(last) for fc in self.fc], 1)]


def stages(
    width: float, endings: Sequence[nn.Module], rates: Sequence[int], *, batch_norm: bool = False
) -> nn.Sequential:
    """The convolutions of VGG-16 with the poolings given: one for the end of each stage, and each
    stage's dilation rate."""
    layers: list[nn.Module] = []
    before = 3
    for stage, ending, rate in zip(STAGES, endings, rates, strict=True):
        for usual in stage:
            after = scaled(usual, width)
            layers += [nn.Conv2d(before, after, 3, padding=rate, dilation=rate)]
            layers += [nn.BatchNorm2d(after)] if batch_norm else []
            layers += [nn.ReLU(inplace=True)]
            before = after
        layers += [ending]
    return nn.Sequential(*layers)


def _pooling(pools: Pools, stride: int, output_stride: int) -> nn.Module:
    """The pooling at the end of a stage, which comes to `stride` unless that is beyond the output
    stride."""
    beyond = stride // output_stride
    if pools == "3x3":
        if beyond > 1:
            return nn.MaxPool2d(3, 1, 1)
        # windows centred on even cells, but the last ones on odd cells: that moves the grid from
        # the cells' edge to their middle
        return nn.MaxPool2d(3, 2, ceil_mode=True) if beyond == 1 else nn.MaxPool2d(3, 2, 1)
    if beyond <= 1:
        return nn.MaxPool2d(2)
    if pools == "early":
        return nn.Identity()
    # one cell fewer, which is the one for the lead
    return nn.MaxPool2d(2, 1) if beyond == 2 else nn.MaxPool2d(2, 1, padding=1, dilation=2)


@limited
def scaled(channels: int, width: Annotated[float, Gt(0)]) -> int:
    """So many channels has a layer of a network that is `width` times as wide.

    >>> scaled(64, 1.0), scaled(64, 1 / 16), scaled(64, 0.001)
    (64, 4, 1)
    """
    return max(1, round(channels * width))


def init_for_relu(module: nn.Module) -> None:
    """Random weights that keep the spread of features through ReLUs (He et al., ICCV 2015), and no
    bias."""
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            init_zero(conv.bias)


def linear(
    before: int, classes: int, deviation: float = 0.01, kernel: int = 1, rate: int = 1
) -> nn.Conv2d:
    """A convolution from features to logits; its weights begin as Gaussian noise with this standard
    deviation, its bias as zero."""
    conv = nn.Conv2d(before, classes, kernel, padding=rate * (kernel // 2), dilation=rate)
    nn.init.normal_(conv.weight, std=deviation)
    init_zero(conv.bias)
    return conv


def init_zero(values: Tensor | None) -> None:
    """Make a parameter zero, if there is one."""
    if values is not None:
        nn.init.zeros_(values)


def convert_classifier(
    state: dict[str, Any], kernel: int = 7, channels: int | None = None
) -> dict[str, Tensor]:
    """The two hidden layers of torchvision's VGG-16 classifier as the convolutions of
    `FullyConnected`.

    A smaller fc6 takes `kernel` of 7 taps per side, evenly spread and with both ends (0, 3, 6 of 3;
    0, 2, 4, 6 of 4), and `channels` of the outputs, evenly spread, as Chen et al. (ICLR 2015) did
    to come from 7x7 to 3x3. Nothing is rescaled.
    """
    first = state["classifier.0.weight"]
    second = state["classifier.3.weight"]
    outputs = len(first)
    channels = outputs if channels is None else channels
    if not 0 < channels <= outputs or not 1 < kernel <= 7:
        raise ValueError(
            f"a classifier of 7x7 and {outputs} channels cannot become one of {kernel}x{kernel} "
            f"and {channels} channels"
        )
    taps = torch.linspace(0, 6, kernel).round().long()
    chosen = torch.arange(channels) * outputs // channels
    return {
        "fc6.weight": first.reshape(outputs, -1, 7, 7)[chosen][:, :, taps][..., taps].contiguous(),
        "fc6.bias": state["classifier.0.bias"][chosen],
        "fc7.weight": second[chosen][:, chosen, None, None].contiguous(),
        "fc7.bias": state["classifier.3.bias"][chosen],
    }


def load_vgg(
    encoder: nn.Module, weights: Weights, width: float, name: Literal["VGG16", "VGG16_BN"] = "VGG16"
) -> None:
    """Load torchvision's weights for ImageNet, or those of a local file, into `features` and, where
    both have such, fc6 and fc7."""
    if weights is None:
        return
    source = Path(name.lower()) if str(weights) == "imagenet" else Path(weights)
    state = _imagenet(name, width) if str(weights) == "imagenet" else read_weights(source)
    body = {key: value for key, value in state.items() if not key.startswith("classifier.")}
    load_state(nn.ModuleDict({"features": encoder.get_submodule("features")}), body, source)
    for fc in encoder.modules():
        if isinstance(fc, FullyConnected) and "classifier.0.weight" in state:
            load_state(
                fc, convert_classifier(state, fc.fc6.kernel_size[0], fc.fc6.out_channels), source
            )
    published = str(weights) == "imagenet"
    note_origin(
        encoder,
        from_torchvision(f"{name}_Weights.IMAGENET1K_V1") if published else from_file(source),
    )


def _imagenet(name: str, width: float) -> dict[str, Any]:
    from torchvision.models import get_weight

    if width != 1:
        raise ValueError(
            f"the ImageNet weights are those of the full width, but width is {width}; use "
            "weights=null or width=1"
        )
    try:
        return dict(get_weight(f"{name}_Weights.IMAGENET1K_V1").get_state_dict(check_hash=True))
    except Exception as error:  # the hub's many kinds of failure
        raise ValueError(
            f"the ImageNet weights of {name} could not be fetched ({type(error).__name__}: "
            f"{error}); without a network give weights=<path of a local state dict>, or "
            "weights=null to start from random ones"
        ) from error
