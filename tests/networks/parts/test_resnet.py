"""The ResNet body: torchvision's weights and responses, strides, dilation and rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from weakseg.networks.parts.encoders import without_classifier
from weakseg.networks.parts.resnet import BLOCKS, depth_of, resnet_body


@pytest.mark.parametrize("depth", BLOCKS)
def test_as_many_parameters_as_torchvision_says_without_the_classifier(depth: int) -> None:
    published = torchvision.models.get_model_weights(f"resnet{depth}").IMAGENET1K_V1.meta[
        "num_params"
    ]
    with torch.device("meta"):
        body = resnet_body(depth)
    assert sum(parameter.numel() for parameter in body.parameters()) == published - 1000 * (
        body.channels[-1] + 1
    )


def last_stage(whole: Any, image: Tensor) -> Tensor:
    stem = whole.maxpool(whole.relu(whole.bn1(whole.conv1(image))))
    features: Tensor = whole.layer4(whole.layer3(whole.layer2(whole.layer1(stem))))
    return features


def test_the_strided_body_answers_as_torchvision(tmp_path: Path) -> None:
    whole = torchvision.models.resnet18().eval()
    torch.save(whole.state_dict(), tmp_path / "resnet18.pth")
    image = torch.randn(1, 3, 65, 47)
    with torch.no_grad():
        assert torch.equal(
            resnet_body(18, weights=tmp_path / "resnet18.pth").eval()(image)[-1],
            last_stage(whole, image),
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output_stride", "replaced"), [(8, [False, True, True]), (16, [False, False, True])]
)
def test_the_dilated_body_answers_as_torchvision(
    output_stride: Literal[8, 16], replaced: list[bool]
) -> None:
    whole = torchvision.models.resnet50(replace_stride_with_dilation=replaced).eval()
    body = resnet_body(50, output_stride).eval()
    body.load_state_dict(without_classifier(whole.state_dict()))
    image = torch.randn(1, 3, 65, 47)
    with torch.no_grad():
        assert torch.equal(body(image)[-1], last_stage(whole, image))


@pytest.mark.parametrize("deep_stem", [False, True])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(64, 48), (33, 65), (31, 32), (1, 1), (3, 200)])
def test_every_stage_has_the_size_that_its_stride_says(
    size: tuple[int, int], output_stride: Literal[8, 16, 32], deep_stem: bool
) -> None:
    body = resnet_body(18, output_stride, width=0.05, deep_stem=deep_stem).eval()
    features = body(torch.randn(1, 3, *size))
    assert tuple(feature.shape[1] for feature in features) == body.channels
    strides = [min(stride, output_stride) for stride in (2, 4, 8, 16, 32)]
    assert [tuple(feature.shape[2:]) for feature in features] == [
        tuple(-(-side // stride) for side in size) for stride in strides
    ]


def small(output_stride: Literal[8, 16, 32]) -> nn.Module:
    torch.manual_seed(1)
    body = resnet_body(18, output_stride, width=0.05).double().eval()
    for module in body.modules():
        # as after training: a border of zeros is not what a layer makes of zeros
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias)
    return body


@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilation_evaluates_the_strided_network_densely(output_stride: Literal[8, 16]) -> None:
    image = torch.randn(1, 3, 97, 130, dtype=torch.float64)
    step = 32 // output_stride
    dense, strided = small(output_stride)(image)[-1], small(32)(image)[-1]
    assert dense.shape[-1] > strided.shape[-1]
    torch.testing.assert_close(dense[..., ::step, ::step], strided, rtol=1e-10, atol=1e-10)


def test_shifted_and_stitched_the_strided_stages_are_the_dilated_ones() -> None:
    dense, strided = small(8), small(32)
    features = torch.randn(1, 6, 64, 64, dtype=torch.float64)
    expected = dense.get_submodule("layer4")(dense.get_submodule("layer3")(features))
    stitched = torch.zeros_like(expected)
    for row in range(4):
        for column in range(4):
            shifted = features[..., row:, column:]
            stitched[..., row::4, column::4] = strided.get_submodule("layer4")(
                strided.get_submodule("layer3")(shifted)
            )
    # a shift cuts off the upper and left border, which blocks of 1, 2, 2, 2, 2, 4, 4, 4 to each
    # side see
    inner = slice(24, 64)
    torch.testing.assert_close(
        stitched[..., inner, inner], expected[..., inner, inner], rtol=1e-10, atol=1e-10
    )


def rates(stage: nn.Module) -> list[int]:
    return [
        module.dilation[0]
        for module in stage.modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    ]


def test_the_first_block_of_a_stage_keeps_the_rate_of_the_stage_before() -> None:
    body = resnet_body(50, 8, width=0.05)
    assert rates(body.layer3) == [1, 2, 2, 2, 2, 2]
    assert rates(body.layer4) == [2, 4, 4]


@pytest.mark.parametrize(
    ("output_stride", "expected"), [(32, [1, 2, 4]), (16, [2, 4, 8]), (8, [4, 8, 16])]
)
def test_a_multi_grid_multiplies_the_rate_of_the_last_stage(
    output_stride: Literal[8, 16, 32], expected: list[int]
) -> None:
    body = resnet_body(50, output_stride, multi_grid=(1, 2, 4), width=0.05)
    assert rates(body.layer4) == expected
    assert body.eval()(torch.zeros(1, 3, 64, 64))[-1].shape[-1] == 64 // output_stride


@pytest.mark.parametrize(
    ("deep_stem", "name"), [(False, "resnet18.tv_in1k"), (True, "resnet50s.gluon_in1k")]
)
def test_the_names_of_imagenet_weights_are_known(
    monkeypatch: pytest.MonkeyPatch, deep_stem: bool, name: str
) -> None:
    def offline(model: str, pretrained: bool) -> nn.Module:
        assert timm.is_model_pretrained(model)
        raise OSError(f"{model} cannot be reached")

    monkeypatch.setattr("weakseg.networks.parts.resnet.timm.create_model", offline)
    with pytest.raises(
        ValueError,
        match=(
            rf"weights {name} could not be fetched \(OSError: {name} cannot be "
            r"reached\).*weights=<path"
        ),
    ):
        resnet_body(int(name[6:8]), weights="imagenet", deep_stem=deep_stem, width=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "name"), [("resnet18", "resnet18"), ("resnet50s", "resnet50s")]
)
def test_weights_of_timm_fit(monkeypatch: pytest.MonkeyPatch, encoder: str, name: str) -> None:
    source = timm.create_model(name)
    monkeypatch.setattr(
        "weakseg.networks.parts.resnet.timm.create_model", lambda model, pretrained: source
    )
    depth, deep_stem = depth_of(encoder)
    body = resnet_body(depth, weights="imagenet", deep_stem=deep_stem).eval()
    image = torch.randn(1, 3, 33, 33)
    with torch.no_grad():
        assert torch.equal(body(image)[-1], source.eval().forward_features(image))


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ValueError, match="depth should be one of 18, 34, 50, 101, but it is 19"):
        resnet_body(19)
    with pytest.raises(ValueError, match="output_stride should be one of 8, 16, 32, but it is 4"):
        resnet_body(18, 4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="multi_grid should be 2 whole numbers"):
        resnet_body(18, multi_grid=(1, 2, 4), width=0.05)
    with pytest.raises(
        ValueError, match=r"encoder should be one of resnet18, resnet18s, .*it is 'vgg16'"
    ):
        depth_of("vgg16")
