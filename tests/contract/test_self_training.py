"""Every strategy trains in rounds on images without annotation, too."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import pytorch_lightning as pl

from tests.small import Everything, TinyNet, trainer
from weakseg.strategies import NAMES
from weakseg.strategies.base import Strategy
from weakseg.training.label_monitor import LabelMonitor
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import PSEUDO, Segmenter


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:in epoch")  # so small a network finds little
def test_it_trains(name: str, tmp_path: Path) -> None:
    pl.seed_everything(0, verbose=False)
    module, _, kind = NAMES[name].rpartition(".")
    strategy = getattr(import_module(module), kind)()
    assert isinstance(strategy, Strategy)
    data = Everything(train=8, val=0, annotated=0.5, unlabelled="own")
    segmenter = Segmenter(TinyNet(), strategy, data.classes)
    rounds = Rounds(when="epochs", workers=0)
    fit = trainer(tmp_path, 4, callbacks=[rounds, LabelMonitor()])
    fit.fit(segmenter, datamodule=data)
    assert rounds.round == 1
    assert float(fit.logged_metrics[f"loss/{PSEUDO}"]) > 0
    assert rounds.figures["unlabelled/coverage"] > 0
