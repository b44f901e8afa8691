"""evaluate with every network of the package: the figures that a validation logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.contract.test_networks import OBJECTS, SMALL
from tests.evaluation.test_measuring import WithObjects
from tests.small import trainer
from weakseg.config.recipe import Recipe, build
from weakseg.evaluation import worker as module
from weakseg.evaluation.model import evaluate_model
from weakseg.networks import NAMES
from weakseg.strategies import BoxesInstances, Full
from weakseg.trained.checkpoint import CheckpointModel
from weakseg.trained.model import Origin
from weakseg.training.average_precision import AveragePrecision
from weakseg.training.segmenter import Segmenter

ORIGIN = Origin("best.ckpt", "checkpoint", "1" * 64, "full", 0, "random")
INSTANCES = {"encoder": "resnet18", "width": 1 / 16, "min_size": None, "proposals": 20}


def untrained(name: str, classes: tuple[str, ...]) -> Segmenter:
    """With random weights that tell pixels apart, and of objects that are sure of some."""
    node = {"name": name, "classes": len(classes), **SMALL.get(name, INSTANCES)}
    network: Any = build(node, where="network", home="weakseg.networks")
    for weights in network.parameters():
        if not weights.any():
            torch.nn.init.normal_(weights, std=0.1)
    if name in OBJECTS:
        network.model.roi_heads.score_thresh = 0.0
    return Segmenter(network, BoxesInstances() if name in OBJECTS else Full(), classes)


@pytest.mark.parametrize("name", NAMES)
def test_an_evaluation_gives_what_a_validation_logs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = WithObjects(train=0, val=3, batch_size=1)
    segmenter = untrained(name, data.classes)
    (logged,) = trainer(tmp_path, callbacks=[AveragePrecision()]).validate(
        segmenter, datamodule=data, verbose=False
    )
    model = CheckpointModel(segmenter, Recipe("", {}), ORIGIN, torch.device("cpu"))
    monkeypatch.setattr(module, "load_model", lambda *_, **__: model)
    figures = evaluate_model("run", data, out=tmp_path / "out").figures
    compared = {key.removeprefix("val/"): value for key, value in logged.items() if "val/" in key}
    assert set(compared) <= set(figures)
    assert {key: figures[key] for key in compared} == pytest.approx(compared, abs=5e-3, nan_ok=True)
    assert 0 < figures["confidence"] <= 1
    assert ("mask_ap" in figures) == (name in OBJECTS)
    for part in (2, 1):
        parted = evaluate_model("run", data, out=tmp_path / "parts", parts=2, part=part)
    assert json.dumps(parted.figures) == json.dumps(figures)  # to the last digit, and nan is nan
