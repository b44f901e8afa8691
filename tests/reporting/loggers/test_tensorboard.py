import sys
from pathlib import Path

import pytest
import torch

from weakseg.evidence import Evidence
from weakseg.reporting.drawing import Case
from weakseg.reporting.loggers import TensorBoard
from weakseg.reporting.loggers.tensorboard import log_pictures


def test_figures_and_pictures_arrive(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    (logger,) = TensorBoard().build(tmp_path, {"seed": 0})
    logger.log_metrics({"val/miou": 0.5}, step=7)
    image = torch.full((3, 30, 40), 9, dtype=torch.uint8)
    log_pictures(
        logger,
        7,
        [Case(Evidence("a/1", image), prediction=torch.zeros(30, 40, dtype=torch.uint8))],
        ("background", "cat"),
    )
    logger.finalize("success")
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("val/miou")] == [(7, 0.5)]
    (picture,) = events.Images("val/a/1")
    assert (picture.step, picture.height, picture.width) == (7, 240, 4 * 320 + 18)


def test_without_tensorboard_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorboard", "tensorboardX"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr("weakseg.reporting.loggers.tensorboard.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "weakseg\[tensorboard\]"'):
        TensorBoard()
