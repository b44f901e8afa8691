"""A training step waits for the device where it is logged, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.loggers.logger import DummyLogger
from torch import Tensor

from tests.contract.test_strategies import build
from tests.data.corrections.events import correct, stroke
from tests.pseudo import labelled_folder
from tests.small import SIZE, Everything, TinyNet, trainer
from tests.training.waiting import BetweenRows, on_a_gpu
from weakseg.evidence import Evidence
from weakseg.functional.boxes import fill_boxes
from weakseg.strategies import NAMES
from weakseg.strategies.base import Strategy
from weakseg.strategies.common_keys import LossTerms
from weakseg.strategies.shared.warmup import WarmUp
from weakseg.training.image_statistics import ImageStatistics
from weakseg.training.label_monitor import LabelMonitor
from weakseg.training.segmenter import Segmenter
from weakseg.training.step_timer import StepTimer


class Targeted(Everything):
    """With filled boxes as targets, so that no round is needed."""

    def target(self, evidence: Evidence) -> Tensor | None:
        assert evidence.boxes is not None
        assert evidence.box_classes is not None
        return fill_boxes(evidence.boxes, evidence.box_classes, *evidence.image.shape[1:])


def waits(folder: Path, strategy: Strategy, data: Any = None, **settings: Any) -> list[str]:
    """What waits in seven steps, of which one is logged, and one is the last."""
    data = data or Targeted(train=32)
    torch.manual_seed(0)
    steps = BetweenRows()
    watching = [LabelMonitor(), ImageStatistics(), StepTimer(), steps]
    made = trainer(
        folder,
        7,
        callbacks=watching,
        logger=DummyLogger(),
        log_every_n_steps=4,
        limit_val_batches=0,
        **settings,
    )
    with on_a_gpu(steps.waits):
        made.fit(Segmenter(TinyNet(), strategy, data.classes), data)
    assert steps.steps  # or nothing was looked at
    return steps.waits.found


@pytest.mark.parametrize("name", NAMES)
def test_no_strategy_waits(tmp_path: Path, name: str) -> None:
    assert waits(tmp_path, build(name)) == []


WEIGHTS = {"bright": 3}
TERMS = LossTerms(dice=0.3, tversky=0.3, focal=2.0, projection=0.1)


@pytest.mark.parametrize("name", ["boxes_rect", "boxes_em", "tags_em", "mixed"])
def test_weights_and_further_terms_do_not_wait(tmp_path: Path, name: str) -> None:
    strategy = build(name)
    strategy.class_weights = WEIGHTS
    strategy.terms = TERMS
    assert waits(tmp_path, strategy) == []


@pytest.mark.parametrize("name", ["full", "tags_em", "mixed"])
def test_pseudo_labels_do_not_wait(tmp_path: Path, name: str) -> None:
    data = Targeted(train=32, pseudo=labelled_folder(tmp_path / "pseudo", 9))
    assert waits(tmp_path, build(name), data) == []


@pytest.mark.parametrize("name", ["tags_em", "scribbles_gated", "boxes_rect"])
def test_corrections_do_not_wait(tmp_path: Path, name: str) -> None:
    correct(tmp_path / "corrections", "disc/1", stroke("dark", (2, 2), (9, 9)), size=(SIZE, SIZE))
    data = Targeted(train=32, corrections=tmp_path / "corrections")
    assert waits(tmp_path, build(name), data) == []


@pytest.mark.parametrize("name", ["boxes_em", "boxes_rect", "mixed", "scribbles_gated"])
def test_crops_with_padding_do_not_wait(tmp_path: Path, name: str) -> None:
    data = Targeted(train=32, crop=28, scale=(0.5, 1.0), colour=0.2)
    assert waits(tmp_path, build(name), data) == []


@pytest.mark.parametrize("name", ["boxes_em", "boxes_rect", "mixed", "tags_em", "scribbles_gated"])
def test_images_that_the_device_augments_do_not_wait(tmp_path: Path, name: str) -> None:
    """A mixture asks for the labels of its batches, which are on the CPU, too."""
    data = Targeted(train=32, scale=(0.5, 1.0), colour=0.2, augment_on="device")
    assert waits(tmp_path, build(name), data) == []


@pytest.mark.parametrize("name", ["tags", "tags_em"])
def test_the_end_of_a_warm_up_does_not_wait(tmp_path: Path, name: str) -> None:
    strategy = build(name)
    strategy.warmup = WarmUp(4)
    assert waits(tmp_path, strategy) == []


def test_nothing_else_of_a_training_waits(tmp_path: Path) -> None:
    settings = {"accumulate_grad_batches": 2, "gradient_clip_val": 0.5}
    assert waits(tmp_path, build("tags_em"), Targeted(train=64), **settings) == []


class Asks(Strategy):
    """Reads its loss in every step."""

    def loss(self, logits: Tensor, batch: Any) -> dict[str, Tensor]:
        loss = logits.square().mean()
        return {"mean": loss if loss.item() > 0 else -loss}


def test_who_waits_is_found(tmp_path: Path) -> None:
    assert [found.split()[0] for found in waits(tmp_path, Asks())] == ["_local_scalar_dense"] * 3
