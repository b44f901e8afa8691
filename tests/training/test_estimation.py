"""What strategies tell of single images, and where they may keep things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers.logger import DummyLogger
from torch import Tensor

from tests.small import Refine, Squares, TinyNet, trainer
from weakseg.data.label_store import LabelStore
from weakseg.evidence import Evidence, Prediction
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter


class Seen(DummyLogger):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []

    def log_metrics(self, metrics: Any, step: Any = None) -> None:
        self.rows.append(dict(metrics))


class Telling(Refine):
    """Says how large each box is, and of every second image something more."""

    def estimate(self, evidence: Evidence, prediction: Prediction | None) -> Tensor:
        target = super().estimate(evidence, prediction)
        number = int(evidence.id.removeprefix("disc/"))
        self.show(
            target,
            number=torch.tensor(number),
            **({"odd": torch.tensor(2.5)} if number % 2 else {}),
        )
        return target


def test_what_strategies_show_of_images_is_averaged_and_logged(tmp_path: Path) -> None:
    logger = Seen()
    data, strategy = Squares(), Telling()
    segmenter = Segmenter(TinyNet(), strategy, data.classes)
    trainer(tmp_path, callbacks=[Rounds(when="epochs", count=2)], logger=logger).fit(
        segmenter, datamodule=data
    )
    assert strategy.shown is None  # or the first step would log what the last image showed
    for figures in (row for row in logger.rows if "round" in row):
        assert figures["estimate/number"] == sum(range(12)) / 12
        assert figures["estimate/odd"] == 2.5
    assert sum("round" in row for row in logger.rows) == 2


def test_what_was_shown_of_images_is_logged_again_where_their_targets_are_found(
    tmp_path: Path,
) -> None:
    found = []
    for _ in range(2):
        logger, data = Seen(), Squares()
        trainer(tmp_path, 1, callbacks=[Rounds()], logger=logger).fit(
            Segmenter(TinyNet(), Telling(), data.classes), datamodule=data
        )
        found.append([row for row in logger.rows if "round" in row])
    assert found[0] == found[1]
    assert found[0][0]["estimate/number"] == sum(range(12)) / 12


class Keeping(Refine):
    """Writes into its scratch folder."""

    def estimate(self, evidence: Evidence, prediction: Prediction | None) -> Tensor:
        assert self.scratch is not None
        self.scratch.mkdir(exist_ok=True, parents=True)
        (self.scratch / evidence.id.replace("/", "-")).touch()
        return super().estimate(evidence, prediction)


def test_strategies_are_given_a_scratch_folder_beside_the_targets(tmp_path: Path) -> None:
    data = Squares()
    segmenter = Segmenter(TinyNet(), Keeping(), data.classes)
    trainer(tmp_path, 1, callbacks=[Rounds(folder=tmp_path / "here")]).fit(
        segmenter, datamodule=data
    )
    assert len(list((tmp_path / "here" / "scratch").glob("*/*"))) == 12
    assert len(list(LabelStore(tmp_path / "here").keys())) == 12  # which are no targets
