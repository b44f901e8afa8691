"""Run folders whose networks were never trained, so that a test has one at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from weakseg.config.recipe import build_section
from weakseg.networks.parts.layers import cells, crop, padded

SMALL = [
    "data.train=4",
    "data.val=2",
    "data.size=32",
    "data.batch_size=2",
    "network=fcn32s",
    "network.width=0.05",
    "rounds.workers=0",
    "trainer.max_steps=2",
    "trainer.enable_progress_bar=false",
    "trainer.accelerator=cpu",
]
"""words of a run that takes a second"""
SIZES = ((1, 1), (3, 40), (32, 64), (61, 83), (97, 130))
CLASSES = ["background", "leaf", "wheel"]


def make_run(folder: Path, network: dict[str, Any], **known: Any) -> Path:
    """The folder of a run with a last checkpoint, of a network with random weights that are loud
    enough to see what is done to them."""
    torch.manual_seed(0)
    run = folder / "full" / "made"
    (run / "checkpoints").mkdir(parents=True)
    (run / "recipe.yaml").write_text(
        f"strategy: full\nnetwork: {json.dumps(network)}\ndata: {{name: toy}}\nseed: 3\n"
    )
    state = loud(build_section("network", network, {}, classes=len(CLASSES))).state_dict()
    content = {
        "state_dict": {f"network.{name}": value for name, value in state.items()},
        "weakseg": {"classes": CLASSES, "long_side": None, **known},
        "global_step": 7,
    }
    torch.save(content, run / "checkpoints" / "last.ckpt")
    return run


def loud(network: nn.Module) -> nn.Module:
    """With no layer that begins as zero, and statistics of batch norm as after a training."""
    for name, value in network.named_parameters():
        if (value.ndim > 1 and not value.any()) or name.startswith("head"):
            nn.init.normal_(value, std=0.3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            assert module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network


class Strided(nn.Module):
    """The least network that pads, strides and cuts: of somebody's own, known by its dotted
    name."""

    stride = 4

    def __init__(self, classes: int, weights: Path | None = None) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Conv2d(8, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        rows, columns = cells(image, self.stride)
        last = self.encoder(padded(image, self.stride, lead=2))
        logits: Tensor = self.head(crop(last, rows, columns, last=True))
        return logits


class Halving(nn.Module):
    """Names no stride, so logits are interpolated to the size of the image; and returns them as
    torchvision's networks do."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, classes, 3, 2, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"out": self.head(image)}


OWN = {"name": "tests.trained.runs.Strided"}
