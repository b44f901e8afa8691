"""Tables and files of a run in wandb and TensorBoard, read back from what was written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wandb
from PIL import Image

from tests.reporting.loggers.offline_runs import artifacts, contents, tables
from weakseg.evidence import Evidence
from weakseg.fit import main
from weakseg.reporting.dashboards import log_tables
from weakseg.reporting.drawing import Case
from weakseg.reporting.loggers import TensorBoard, Wandb
from weakseg.reporting.loggers.base import Table

CASE = Case(
    Evidence("a/1", torch.full((3, 20, 30), 90, dtype=torch.uint8)),
    target=torch.ones(20, 30, dtype=torch.uint8),
)
TABLE = Table(
    "labels/worst",
    ("image", "score", "labels"),
    [["a|1", 0.25, CASE], ["b", None, CASE]],
    ("background", "disc"),
)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    wandb.teardown()
    monkeypatch.delenv("WANDB_DATA_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    yield
    wandb.teardown()


def test_a_table_of_wandb_has_its_images_with_layers(tmp_path: Path, offline: None) -> None:
    folder = tmp_path / "boxes" / "run"
    folder.mkdir(parents=True)
    loggers = Wandb(mode="offline").build(folder, {})
    log_tables(loggers, 7, [TABLE])
    wandb.teardown()
    ((first, second),) = tables(folder)["labels/worst"]
    assert first[:2] == ["a|1", 0.25]
    assert second[:2] == ["b", None]
    (artifact,) = artifacts(folder)
    files = contents(artifact)
    mask = Image.open(files[first[2]["masks"]["target"]["path"]])
    assert np.array(mask).tolist() == CASE.target.tolist()  # type: ignore[union-attr]
    assert all(folder in path.parents for path in files.values())
    in_home = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert [path for path in in_home if "artifacts" in path.parts] == []
    assert "WANDB_DATA_DIR" not in os.environ


def test_a_table_of_tensorboard_is_text_beside_pictures(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    loggers = TensorBoard().build(tmp_path, {})
    log_tables(loggers, 7, [TABLE])
    loggers[0].finalize("success")
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (text,) = events.Tensors("labels/worst/text_summary")
    assert text.tensor_proto.string_val[0].decode().splitlines() == [
        "| image | score |",
        "| --- | --- |",
        "| a\\|1 | 0.25 |",
        "| b | - |",
    ]
    assert [events.Images(f"labels/worst/{number}")[0].step for number in (1, 2)] == [7, 7]


SMALL = [
    *("recipe=boxes_rect", "network=tests.small.TinyNet", "network.classes=3"),
    *("data=tests.small.Squares", "data.train=4", "data.val=1", "data.batch_size=2"),
    *("rounds.workers=0", "trainer.max_steps=2", "trainer.enable_progress_bar=false"),
    *("logger=wandb", "logger.mode=offline"),
]


@pytest.fixture
def run(tmp_path: Path, offline: None) -> Path:
    """A run that keeps all it can in wandb."""
    words = ["logger.artifacts=targets,model", f"trainer.default_root_dir={tmp_path}"]
    folder = main([*SMALL, *words])
    wandb.teardown()
    return folder


def test_targets_and_the_best_model_are_kept_where_asked(run: Path) -> None:
    found: dict[str, Any] = {each.name: each for each in artifacts(run)}
    model = found["boxes_rect-model"]
    assert (model.type, contents(model)) == (
        "model",
        {"best.ckpt": run / "checkpoints" / "best.ckpt"},
    )
    assert '"figure":"val/miou"' in model.metadata.replace(" ", "")
    targets = contents(found["boxes_rect-targets"])
    assert set(targets) == {f"disc/{number}.png" for number in range(4)}
    labels = np.array(Image.open(targets["disc/0.png"]))
    assert set(np.unique(labels)) == {0, 1}
    rows = tables(run)
    assert [row[0] for row in rows["classes"][0]] == ["background", "bright", "dark", "mean"]
    assert len(rows["labels/worst"][0]) == 4


def test_nothing_is_kept_that_nobody_asked_for(tmp_path: Path, offline: None) -> None:
    folder = main([*SMALL, f"trainer.default_root_dir={tmp_path}"])
    wandb.teardown()
    assert {each.type for each in artifacts(folder)} == {"run_table"}
    assert not (folder / "targets").exists()
