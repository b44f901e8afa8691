from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor

from weakseg.networks import DPT

SMALL = {"channels": (8, 8, 8, 8), "fused": 8}


def test_patches_of_any_even_size() -> None:
    """Those of DINOv2 have 14 pixels, which segmentation-models-pytorch alone does not join."""
    network = DPT(3, "tu-vit_small_patch14_dinov2.lvd142m").eval()
    image = torch.randn(1, 3, 45, 77)
    assert network.patch == 14
    assert network(image).shape == (1, 3, 23, 39)
    assert network.intermediate_features(image).shape == (1, 384, 4, 6)


def test_nothing_that_is_unused_is_left() -> None:
    network = DPT(3, "tu-test_vit", **SMALL)
    names = [name for name, _ in network.named_parameters()]
    assert not [name for name in names if ".model.norm" in name or ".model.head" in name]
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_transformer_is_that_of_timm(tmp_path: Path) -> None:
    torch.manual_seed(1)
    whole = timm.create_model("test_vit", num_classes=7, dynamic_img_size=True).eval()
    torch.save(whole.state_dict(), tmp_path / "vit.pth")
    network = DPT(3, "tu-test_vit", tmp_path / "vit.pth", **SMALL).eval()
    seen: list[Tensor] = []
    whole.blocks[-1].register_forward_hook(lambda *given: seen.append(given[-1]))
    image = torch.randn(1, 3, 32, 48)
    with torch.no_grad():
        whole(image)
        found = network.intermediate_features(image)
    patches = seen[0][0, 1:].T.reshape(-1, 2, 3)
    torch.testing.assert_close(found[0], patches)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    state = timm.create_model("test_vit", num_classes=0).state_dict()
    state["blocks.0.attn.proj.bias"] = state["blocks.0.attn.proj.bias"][:5]
    torch.save(state, tmp_path / "vit.pth")
    with pytest.raises(ValueError, match=r"do not fit .*\n.*blocks\.0\.attn\.proj\.bias"):
        DPT(3, "tu-test_vit", tmp_path / "vit.pth", **SMALL)


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        ("resnet18", "should be a vision transformer of timm, such as"),
        ("tu-resnet18", "takes images of one size alone, or is no vision transformer"),
        ("vit_nobody", "there is no encoder 'vit_nobody'"),
    ],
)
def test_what_is_no_vision_transformer(encoder: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DPT(3, encoder)
