"""Frozen backbones of timm and transformers, tiny ones with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.foundation.features import FrozenFeatures

timm = pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")

IMAGE = torch.randint(
    0, 256, (3, 28, 70), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
)
SMALL = {"embed_dim": 16, "depth": 2, "num_heads": 2, "img_size": 42}


def timm_folder(folder: Path, name: str, **options: Any) -> Path:
    """A model as timm publishes it."""
    from timm.models._hub import save_for_hf

    folder.mkdir()
    model = timm.create_model(name, pretrained=False, **options)
    save_for_hf(model, folder, model_args=options, safe_serialization=True)
    (folder / "pytorch_model.bin").unlink(missing_ok=True)
    return folder


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "vit"
    return timm_folder(folder, "vit_small_patch14_dinov2", **SMALL)


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    config = transformers.Dinov2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=42,
        patch_size=14,
    )
    transformers.Dinov2Model(config).save_pretrained(folder)
    return folder


def normalised(image: Tensor) -> Tensor:
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((image / 255.0 - mean[:, None, None]) / deviation[:, None, None])[None]


def test_a_vit_of_timm(vit: Path) -> None:
    found = FrozenFeatures(str(vit), long_side=70).encoding(IMAGE)["features"]
    assert found.shape == (16, 2, 5)
    state = timm.models.load_state_dict(str(vit / "model.safetensors"))
    whole = timm.create_model("vit_small_patch14_dinov2", dynamic_img_size=True, **SMALL).eval()
    whole.load_state_dict(state)
    with torch.no_grad():
        tokens = whole.forward_features(normalised(IMAGE))[0, 1:]  # the first is of the image
    torch.testing.assert_close(found, tokens.T.view(16, 2, 5), atol=2e-3, rtol=2e-3)


def test_dinov2_of_transformers(dino: Path) -> None:
    found = FrozenFeatures(str(dino), long_side=70).encoding(IMAGE)["features"]
    assert found.shape == (16, 2, 5)
    whole = transformers.Dinov2Model.from_pretrained(dino).eval()
    with torch.no_grad():
        tokens = whole(normalised(IMAGE)).last_hidden_state[0, 1:]
    torch.testing.assert_close(found, tokens.T.view(16, 2, 5), atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("name", ["vit", "dino"])
def test_images_of_any_size_become_whole_patches(name: str, request: pytest.FixtureRequest) -> None:
    model = FrozenFeatures(str(request.getfixturevalue(name)), long_side=64)
    for size, grid in (((1, 1), (5, 5)), ((100, 33), (5, 2)), ((3, 90), (1, 5))):
        image = F.interpolate(IMAGE[None].float(), size)[0].to(torch.uint8)
        found = model.encoding(image)["features"]
        assert found.shape == (16, *grid)
        assert found.isfinite().all()
    assert model.fingerprint_of != FrozenFeatures(model.model, long_side=65).fingerprint_of


def test_a_network_of_convolutions(tmp_path: Path) -> None:
    folder = timm_folder(tmp_path / "net", "mobilenetv3_small_050", num_classes=3)
    model = FrozenFeatures(str(folder), long_side=96)
    assert model.encoding(IMAGE)["features"].shape[1:] == (1, 3)


def test_several_at_once_are_as_alone(vit: Path) -> None:
    model = FrozenFeatures(str(vit), long_side=70)
    both = model.encode([IMAGE, IMAGE.flip(2)])
    assert (both[1]["features"] == model.encode([IMAGE.flip(2)])[0]["features"]).all()


def test_what_is_no_backbone(tmp_path: Path, vit: Path) -> None:
    with pytest.raises(ValueError, match=r"should be a backbone of timm or transformers.* clip$"):
        _ = FrozenFeatures("openai/clip-vit-base-patch16").files
    folder = timm_folder(tmp_path / "vit", "vit_small_patch14_dinov2", **SMALL)
    told = json.loads((folder / "config.json").read_text())
    told["model_args"]["embed_dim"] = 32
    (folder / "config.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match=r"cannot be read from .*size mismatch"):
        _ = FrozenFeatures(str(folder)).module
    told["architecture"] = "vit_of_nobody"
    (folder / "config.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match="timm knows no architecture vit_of_nobody"):
        _ = FrozenFeatures(str(folder)).module
