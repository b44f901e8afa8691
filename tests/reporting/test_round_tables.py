"""Tables of the labels of each round, and which targets are the worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.loggers import Logger

from tests.small import Everything, KillBefore, NoTruth, Refine, Squares, TinyNet, trainer
from weakseg.data.base import WeakData
from weakseg.reporting.drawing import Case
from weakseg.reporting.loggers.base import Table
from weakseg.reporting.round_tables import RoundTables, worst_targets
from weakseg.strategies import BoxesRect
from weakseg.strategies.base import Strategy
from weakseg.training.checkpoints import Checkpoints, WholeFiles
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter


class Keeps(Logger):
    """Keeps the tables that it is given."""

    name = version = ""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[int, Table]] = []

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        pass

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        pass

    def log_tables(self, step: int, tables: Sequence[Table]) -> None:
        self.shown += [(step, table._replace(rows=list(table.rows))) for table in tables]


def fit(
    folder: Path,
    data: WeakData,
    logger: Any,
    strategy: Strategy | None = None,
    steps: int = 6,
    **more: Any,
) -> Segmenter:
    torch.manual_seed(0)
    callbacks = [
        Rounds("epochs", count=3, workers=0),
        RoundTables(images=2),
        *more.pop("callbacks", []),
        Checkpoints(folder / "checkpoints"),
    ]
    segmenter = Segmenter(TinyNet(), strategy or Refine(), data.classes)
    made = trainer(folder, steps=steps, logger=logger, callbacks=callbacks, plugins=[WholeFiles()])
    made.fit(segmenter, datamodule=data, weights_only=True, **more)
    return segmenter


@pytest.mark.filterwarnings("ignore:in epoch")
def test_each_round_is_shown_once_with_its_classes_and_worst_labels(tmp_path: Path) -> None:
    logger = Keeps()
    fit(tmp_path, Squares(), logger)
    assert [(step, table.name) for step, table in logger.shown] == [
        (0, "labels/classes"),
        (0, "labels/worst"),
        (3, "labels/classes"),
        (3, "labels/worst"),
    ]
    classes = logger.shown[2][1].rows
    assert [row[:2] for row in classes] == [
        [number, name] for number in (0, 1) for name in Squares.classes
    ]
    assert 0 < classes[1][2] < 1
    worst = logger.shown[1][1].rows
    assert len(worst) == 2
    number, name, score, what, case = worst[0]
    assert (number, what) == (0, "IoU of the target")
    assert isinstance(case, Case)
    assert case.evidence.id == name
    assert case.prediction is None
    assert score <= worst[1][2]


@pytest.mark.filterwarnings("ignore:in epoch")
def test_a_resumed_run_shows_no_round_twice_and_all_rounds_in_its_table(tmp_path: Path) -> None:
    first, second = Keeps(), Keeps()
    with pytest.raises(BaseException, match=r"^$"):
        fit(tmp_path, Squares(), first, steps=9, callbacks=[KillBefore(5)])
    fit(tmp_path, Squares(), second, steps=9, ckpt_path=tmp_path / "checkpoints" / "last.ckpt")
    assert [step for step, _ in first.shown] == [0, 0, 3, 3]
    assert [(step, len(table.rows)) for step, table in second.shown] == [(6, 9), (6, 2)]


class Half(Squares):
    """The second half of the images has no truth."""

    def sample(self, index: int) -> Any:
        evidence, truth = super().sample(index)
        return evidence, truth if index < 6 else None


@pytest.mark.filterwarnings("ignore:in epoch")
@pytest.mark.parametrize(
    ("data", "what"),
    [
        (Squares(), "IoU of the target"),
        (Half(), "IoU of the target"),
        (NoTruth(), "IoU of boxes, of the target"),
    ],
)
def test_the_worst_are_those_that_differ_most_from_the_truth_or_from_the_evidence(
    data: WeakData, what: str, tmp_path: Path
) -> None:
    fit(tmp_path, data, False, BoxesRect(), steps=1)
    cases = worst_targets(data, 99, "looking")
    scores = [case.score for case in cases]
    assert scores == sorted(scores, key=float)
    assert {case.score_name for case in cases} == {what}
    assert len(cases) == (6 if isinstance(data, Half) else 12)


def test_without_a_dashboard_no_image_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weakseg.reporting.round_tables.worst_targets", None)
    fit(tmp_path, Everything(), False, steps=1)
