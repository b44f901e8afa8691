"""Where initial weights come from, and under which licence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from weakseg.networks.parts import encoders, resnet, vgg
from weakseg.networks.parts.weights_origin import (
    from_file,
    from_smp,
    from_timm,
    from_torchvision,
    note_origin,
    origin_of,
)
from weakseg.training.initial_weights import describe_initial_weights
from weakseg.utils.files import digest


def test_nothing_is_noted_on_random_weights() -> None:
    body = resnet.resnet_body(18, width=0.05)
    assert origin_of(body) is None
    assert describe_initial_weights(body) == "random"


def test_a_network_of_ones_own_may_say_where_its_weights_come_from() -> None:
    network = nn.Sequential(nn.Linear(1, 1))
    assert describe_initial_weights(network) == "as Sequential makes them"
    note_origin(network[0], "Ann's, CC-BY-4.0")
    assert describe_initial_weights(network) == "Ann's, CC-BY-4.0"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (from_timm("resnet50.tv_in1k"), ["resnet50.tv_in1k", "BSD-3-Clause", "ImageNet"]),
        # older versions of timm do not know its licence
        (from_timm("resnet50s.gluon_in1k"), ["resnet50s.gluon_in1k", "licence", "ImageNet"]),
        (from_timm("no_such_net"), ["timm's no_such_net", "licence not known"]),
        (from_torchvision("VGG16_Weights.IMAGENET1K_V1"), ["VGG16_Weights", "BSD-3-Clause"]),
        (from_smp("resnet34"), ["resnet34", "see its card", "ImageNet"]),
        (from_smp("tu-resnet18"), ["timm's resnet18.", "licence"]),
    ],
)
def test_published_weights_have_name_and_licence(text: str, parts: list[str]) -> None:
    assert [part for part in parts if part not in text] == []


def test_a_file_has_a_name_and_a_digest_and_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "token=abcdef.pth"
    path.write_bytes(b"weights")
    text = from_file(path)
    assert digest(path)[:12] in text
    assert "licence not known" in text
    assert "abcdef" not in text


def test_resnets_note_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = resnet.resnet_body(18, width=0.05).state_dict()
    torch.save(state, tmp_path / "body.pth")
    body = resnet.resnet_body(18, weights=tmp_path / "body.pth", width=0.05)
    assert "body.pth" in describe_initial_weights(body)
    monkeypatch.setattr(resnet, "_imagenet", lambda depth, deep_stem: state)
    assert "timm's resnet18.tv_in1k" in describe_initial_weights(
        resnet.resnet_body(18, weights="imagenet", width=0.05)
    )


def test_vggs_note_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    def encoder() -> nn.Module:
        return nn.ModuleDict({"features": nn.Sequential(nn.Conv2d(3, 2, 3))})

    monkeypatch.setattr(vgg, "_imagenet", lambda name, width: encoder().state_dict())
    network = encoder()
    vgg.load_vgg(network, None, 1)
    assert origin_of(network) is None
    vgg.load_vgg(network, "imagenet", 1)
    assert "torchvision's VGG16_Weights.IMAGENET1K_V1" in describe_initial_weights(network)


def test_encoders_of_segmentation_models_note_theirs() -> None:
    def kind(encoder: str, encoder_weights: str | None, **arguments: Any) -> nn.Module:
        return smp.Unet(encoder, encoder_weights=None, **arguments)

    model = encoders.build_model(kind, "mobilenet_v2", "imagenet", encoder_depth=3,
                                 decoder_channels=(4, 4, 4))  # fmt: skip
    assert "mobilenet_v2" in str(origin_of(model))
    assert "licence: see its card" in str(origin_of(model))
