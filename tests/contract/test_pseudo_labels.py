"""Every strategy trains on pseudo-labelled images beside those that it learns from itself."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import pytorch_lightning as pl
from torch import nn

from tests.pseudo import labelled_folder
from tests.small import Everything, TinyNet, trainer
from weakseg.strategies import NAMES
from weakseg.strategies.base import Strategy
from weakseg.training.label_monitor import LabelMonitor
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import PSEUDO, Segmenter


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_folder(tmp_path_factory.mktemp("pseudo"), 4)


class Strided(TinyNet):
    """Logits at half the resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(self.encoder, nn.AvgPool2d(2))


@pytest.mark.parametrize("network", [TinyNet, Strided])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:in epoch")  # so small a network finds little
def test_it_trains(name: str, network: type[nn.Module], labels: Path, tmp_path: Path) -> None:
    pl.seed_everything(0, verbose=False)
    module, _, kind = NAMES[name].rpartition(".")
    strategy = getattr(import_module(module), kind)()
    assert isinstance(strategy, Strategy)
    data = Everything(train=4, val=0, pseudo=labels)
    segmenter = Segmenter(network(), strategy, data.classes)
    fit = trainer(tmp_path, 2, callbacks=[Rounds(workers=0), LabelMonitor()])
    fit.fit(segmenter, datamodule=data)
    assert float(fit.logged_metrics[f"loss/{PSEUDO}"]) > 0
    assert len([figure for figure in fit.logged_metrics if figure.startswith("loss/")]) >= 3
