"""What strategies return for single images, and where they may keep arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from pytorch_lightning.loggers.logger import DummyLogger
from torch import Tensor

from tests.small import Refine, Squares, TinyNet, trainer
from weakseg.data.label_store import LabelStore
from weakseg.evidence import Evidence
from weakseg.strategies.base import Context, Estimate, Strategy
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter
from weakseg.utils.array_cache import Arrays


class Seen(DummyLogger):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []

    def log_metrics(self, metrics: Any, step: Any = None) -> None:
        self.rows.append(dict(metrics))


class Numbered(Strategy):
    """Returns the number of each image, and for every second image something more."""

    def estimate(self, evidence: Evidence, context: Context) -> Estimate:
        number = int(evidence.id.removeprefix("disc/"))
        figures = {"number": torch.tensor(number), **({"odd": 2.5} if number % 2 else {})}
        return Estimate(Refine().estimate(evidence, context), figures)


def test_figures_of_images_are_averaged_and_logged(tmp_path: Path) -> None:
    logger = Seen()
    data = Squares()
    segmenter = Segmenter(TinyNet(), Numbered(), data.classes)
    trainer(tmp_path, callbacks=[Rounds(when="epochs", count=2)], logger=logger).fit(
        segmenter, datamodule=data
    )
    for figures in (row for row in logger.rows if "round" in row):
        assert figures["estimate/number"] == sum(range(12)) / 12
        assert figures["estimate/odd"] == 2.5
    assert sum("round" in row for row in logger.rows) == 2


def test_figures_of_images_are_logged_again_where_their_targets_are_found(
    tmp_path: Path,
) -> None:
    found = []
    for _ in range(2):
        torch.manual_seed(0)  # the same network, which figures of consistency depend on
        logger, data = Seen(), Squares()
        trainer(tmp_path, 1, callbacks=[Rounds()], logger=logger).fit(
            Segmenter(TinyNet(), Numbered(), data.classes), datamodule=data
        )
        found.append([row for row in logger.rows if "round" in row])
    assert found[0] == found[1]
    assert found[0][0]["estimate/number"] == sum(range(12)) / 12


class Keeping(Refine):
    """Keeps an array of each image."""

    computed: ClassVar[list[str]] = []

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        def mean() -> Arrays:
            self.computed.append(evidence.id)
            return {"mean": evidence.image.float().mean().numpy()}

        kept = context.cache.get_or_make(("mean", evidence.image), mean)
        assert float(kept["mean"]) == float(evidence.image.float().mean())
        return super().estimate(evidence, context)


def test_strategies_are_given_a_cache_beside_the_targets(tmp_path: Path) -> None:
    data = Squares()
    segmenter = Segmenter(TinyNet(), Keeping(), data.classes)
    rounds = Rounds(when="epochs", count=2, folder=tmp_path / "here")
    trainer(tmp_path, 6, callbacks=[rounds]).fit(segmenter, datamodule=data)
    assert rounds.round == 1
    assert len(Keeping.computed) == 12  # the second round has found them
    assert len(list((tmp_path / "here" / "cache").glob("*/*"))) == 12
    assert len(list(LabelStore(tmp_path / "here").keys())) == 24  # which are no targets
