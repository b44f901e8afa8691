"""DeepLab: sizes, strides, rates and weights."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import nn

from weakseg.config.recipe import build
from weakseg.networks import DeepLabV3, DeepLabV3Plus


@pytest.mark.parametrize("name", ["deeplabv3", "deeplabv3plus"])
@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("size", [(64, 48), (33, 65), (1, 5)])
def test_any_size_in_and_logits_at_the_stated_stride_out(
    name: str, output_stride: int, size: tuple[int, int]
) -> None:
    node = {"name": name, "classes": 5, "encoder": "resnet18", "output_stride": output_stride}
    network = build(node, where="network", home="weakseg.networks")
    assert isinstance(network, nn.Module)
    # one image in training mode: image pooling has one value per channel; smaller ones, also the
    # encoder
    network.train(min(size) > 32)
    logits = network(torch.randn(1, 3, *size))
    stride = network.stride
    assert isinstance(stride, int)
    assert logits.shape == (1, 5, -(-size[0] // stride), -(-size[1] // stride))
    logits.sum().backward()


def atrous(network: nn.Module) -> list[int]:
    found = {
        module.dilation[0]
        for module in network.get_submodule("decoder").modules()
        if isinstance(module, nn.Conv2d)
    }
    return sorted(rate for rate in found if rate > 1)


@pytest.mark.parametrize("kind", [DeepLabV3, DeepLabV3Plus])
def test_rates_follow_the_stride_unless_given(kind: type[DeepLabV3]) -> None:
    assert atrous(kind(2, "resnet18")) == [6, 12, 18]
    assert atrous(kind(2, "resnet18", output_stride=8)) == [12, 24, 36]
    assert atrous(kind(2, "resnet18", rates=(2, 3, 5))) == [2, 3, 5]


@pytest.mark.parametrize(("output_stride", "size"), [(8, 8), (16, 4)])
def test_dilation_reaches_the_output_stride(output_stride: int, size: int) -> None:
    network = DeepLabV3(2, "resnet18", output_stride=output_stride).eval()  # type: ignore[arg-type]
    assert network.encoder(torch.zeros(1, 3, 64, 64))[-1].shape[-1] == size


def test_what_is_beyond_the_image_does_not_reach_the_logits_size() -> None:
    network = DeepLabV3Plus(2, "resnet18").eval()
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(network(image), network.head(network.features(image)))


def test_local_weights_load_without_the_classifier(tmp_path: Path) -> None:
    network = DeepLabV3(2, "resnet18")
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in network.encoder.state_dict().items()
    }
    path = tmp_path / "resnet18.pth"
    torch.save({**state, "fc.weight": torch.zeros(1000, 512)}, path)
    other = DeepLabV3Plus(2, "resnet18", path)
    assert torch.allclose(other.encoder.conv1.weight, network.encoder.conv1.weight, atol=1e-3)
    assert other.encoder.conv1.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"conv1.weight": torch.zeros(64, 3, 3, 3)},
            r"(?s)conv1.weight is \[64, 3, 3, 3\], expected \[64, 3, 7, 7\].*is missing.*more",
        ),
        ([1, 2], "should hold a state dict"),
        (None, "there is no weights file"),
        (b"no weights", "cannot|can read safely"),
    ],
)
def test_a_wrong_file_says_what_does_not_fit(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        DeepLabV3(2, "resnet18", path)


def test_a_mistyped_encoder_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="no encoder 'resnet81'; did you mean resnet18"):
        DeepLabV3(2, "resnet81")


def rates(stage: nn.Module) -> list[tuple[int, ...]]:
    return [
        module.dilation
        for module in stage.modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    ]


def test_a_multi_grid_multiplies_the_rate_of_the_last_stage() -> None:
    network = DeepLabV3(2, "resnet18", output_stride=8, multi_grid=(1, 2))
    assert rates(network.encoder.layer4) == [(4, 4), (4, 4), (8, 8), (8, 8)]
    assert rates(network.encoder.layer3) == rates(
        DeepLabV3(2, "resnet18", output_stride=8).encoder.layer3
    )
    assert network.eval()(torch.zeros(1, 3, 33, 65)).shape[2:] == (5, 9)


def test_a_multi_grid_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="multi_grid should be 2 whole numbers"):
        DeepLabV3(2, "resnet18", multi_grid=(1, 2, 4))
    with pytest.raises(
        ValueError,
        match="multi_grid is for the last stage of a ResNet, but the encoder is mobilenet_v2",
    ):
        DeepLabV3(2, "mobilenet_v2", multi_grid=(1, 2, 4))


@pytest.mark.slow
@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("encoder", ["resnet50", "resnet101", "mobilenet_v2", "tu-xception65"])
def test_encoders_of_the_papers(encoder: str, output_stride: Literal[8, 16]) -> None:
    network = DeepLabV3Plus(3, encoder, output_stride=output_stride).eval()
    with torch.no_grad():
        assert [64 // feature.shape[-1] for feature in network.encoder(torch.zeros(1, 3, 64, 64))][
            -1
        ] == output_stride
        assert network(torch.randn(1, 3, 33, 65)).shape == (1, 3, 9, 17)
