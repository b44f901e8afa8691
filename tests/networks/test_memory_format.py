"""Networks are laid out in memory as they are computed fastest, and nobody else notices it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from tests.small import KillBefore, Killed, Squares, TinyNet, trainer
from weakseg.evidence import Batch
from weakseg.networks import DeepLabV3Plus
from weakseg.networks.memory_format import MemoryFormat, memory_format
from weakseg.optimizers import SGD
from weakseg.strategies.base import Strategy
from weakseg.training.checkpoints import Checkpoints, WholeFiles
from weakseg.training.segmenter import Segmenter

LAST, FIRST = torch.channels_last, torch.contiguous_format


@pytest.mark.parametrize(
    ("encoder", "on_cpu", "on_gpu"),
    [
        ("resnet50", LAST, LAST),
        ("resnet18", FIRST, LAST),
        ("resnext50_32x4d", FIRST, LAST),
        ("mobilenet_v2", FIRST, LAST),
    ],
)
def test_the_rule(encoder: str, on_cpu: object, on_gpu: object) -> None:
    network = DeepLabV3Plus(3, encoder)
    assert memory_format(network, "auto", "cpu") == on_cpu
    assert memory_format(network, "auto", "cuda") == on_gpu
    for device in ("cpu", "cuda"):
        assert memory_format(network, "contiguous", device) == FIRST
        assert memory_format(network, "channels_last", device) == LAST


def test_a_network_without_convolutions_stays_as_it_is() -> None:
    assert memory_format(nn.Linear(2, 2), "auto", "cuda") == FIRST


class Sized(Strategy):
    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"size": (logits - batch.image[:, :1].float() / 255).square().mean()}


def trained(
    folder: Path, layout: MemoryFormat, killed: int | None = None, ckpt: Path | None = None
) -> Segmenter:
    pl.seed_everything(1, verbose=False)
    data = Squares()
    segmenter = Segmenter(
        # dropout draws its random numbers in the order of memory
        TinyNet(dropout=0.0),
        Sized(),
        data.classes,
        SGD(lr=0.05, memory_format=layout),
    )
    callbacks: list[Any] = [Checkpoints(folder, every=1)]
    callbacks += [] if killed is None else [KillBefore(killed)]
    made = trainer(folder, 6, callbacks=callbacks, limit_val_batches=0, plugins=[WholeFiles()])
    try:
        made.fit(segmenter, data, ckpt_path=ckpt, weights_only=False)
    except Killed:
        assert killed is not None
    return segmenter


def is_last(tensor: Tensor) -> bool:
    return not tensor.is_contiguous() and tensor.is_contiguous(memory_format=LAST)


def test_results_are_the_same_but_for_the_last_digits(tmp_path: Path) -> None:
    one = trained(tmp_path / "one", "contiguous")
    other = trained(tmp_path / "other", "channels_last")
    assert is_last(other.network.encoder[0].weight)
    assert not is_last(one.network.encoder[0].weight)
    for name, value in one.state_dict().items():
        assert torch.allclose(value, other.state_dict()[name], atol=1e-5), name


def test_checkpoints_are_contiguous(tmp_path: Path) -> None:
    segmenter = trained(tmp_path, "channels_last")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=False)["state_dict"]
    for name, value in saved.items():
        assert value.is_contiguous(), name
        assert torch.equal(value, segmenter.state_dict()[name])


@pytest.mark.parametrize("before", ["contiguous", "channels_last"])
def test_a_resumed_run_goes_on_whatever_the_layout_was(
    tmp_path: Path, before: MemoryFormat
) -> None:
    whole = trained(tmp_path / "whole", "channels_last").state_dict()
    trained(tmp_path / "killed", before, killed=4)
    resumed = trained(tmp_path / "rest", "channels_last", ckpt=tmp_path / "killed" / "last.ckpt")
    for name, value in resumed.state_dict().items():
        if before == "channels_last":
            assert torch.equal(value, whole[name]), name
        assert torch.allclose(value, whole[name], atol=1e-5), name
