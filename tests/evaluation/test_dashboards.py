"""Evaluations in dashboards, read back from what was written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb

from tests.reporting.loggers.offline_runs import history, records, tables
from weakseg.compare import main as compare
from weakseg.config.recipe import RecipeError
from weakseg.evaluate import main
from weakseg.evaluation.dashboards import view_of
from weakseg.reporting.loggers import TensorBoard


@pytest.fixture
def offline() -> Iterator[None]:
    wandb.teardown()
    yield
    wandb.teardown()


def test_an_evaluation_is_a_run_of_its_own_in_wandb(
    run: Path, tmp_path: Path, offline: None
) -> None:
    words = [f"run={run}", f"out={tmp_path}", "logger=wandb", "logger.mode=offline"]
    evaluation = main(words)
    assert wandb.run is None  # a program may go on
    wandb.teardown()  # waits until its helper process has written everything
    logged = {name: value for row in history(tmp_path) for name, value in row.items()}
    assert logged["evaluation/miou"] == pytest.approx(evaluation.figures["miou"])
    found = tables(tmp_path)
    assert set(found) == {
        f"evaluation/{name}" for name in ("per class", "images", "confusion", "calibration")
    }
    per_class = found["evaluation/per class"][0]
    assert [row[0] for row in per_class] == [*evaluation.classes, "mean"]
    assert per_class[-1][1] == pytest.approx(evaluation.figures["miou"])
    assert [row[0] for row in found["evaluation/images"][0]] == [
        row["name"] for row in evaluation.images
    ]
    assert [row[1:] for row in found["evaluation/confusion"][0]] == evaluation.confusion.tolist()
    (head,) = (each.run for each in records(tmp_path) if each.HasField("run"))
    config = {item.key: json.loads(item.value_json) for item in head.config.update}
    assert (head.job_type, config["command"]) == ("evaluate", "evaluate")
    assert config["model"]["sha256"] == evaluation.model["sha256"]
    assert run.name not in head.run_id


def test_a_comparison_is_a_run_of_its_own_in_wandb(
    run: Path, tmp_path: Path, offline: None
) -> None:
    for checkpoint in ("best", "last"):
        main([f"run={run}", f"out={tmp_path / checkpoint}", f"checkpoint={checkpoint}"])
    runs = f"runs=[{tmp_path / 'last'},{tmp_path / 'best'}]"
    words = ["samples=20", "pictures=0", "logger=wandb", "logger.mode=offline"]
    comparison = compare([runs, f"out={tmp_path / 'both'}", *words])
    wandb.teardown()  # waits until its helper process has written everything
    logged = {name: value for row in history(tmp_path / "both") for name, value in row.items()}
    miou = comparison.figures[0]
    assert [logged[f"comparison/miou/{letter}"] for letter in "AB"] == pytest.approx(
        [each.value for each in miou.values]
    )
    found = tables(tmp_path / "both")
    assert {"comparison/runs", "comparison/figures", "comparison/images"} <= set(found)
    rows = found["comparison/figures"][0]
    assert len(rows) == len(comparison.figures)
    # of so few images there are no intervals
    numbers = [*(each.value for each in miou.values), miou.differences[0].value]
    assert rows[0][1:] == [*map(pytest.approx, numbers), None, None]
    assert [row[0] for row in found["comparison/images"][0]] == [
        image.name for image in comparison.apart
    ]
    (head,) = (each.run for each in records(tmp_path / "both") if each.HasField("run"))
    assert head.job_type == "compare"
    content = json.loads((tmp_path / "both" / "comparison.json").read_text())
    assert "logger.name=wandb logger.mode=offline" in content["command"]


def test_an_evaluation_in_tensorboard(run: Path, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    evaluation = main([f"run={run}", f"out={tmp_path}", "logger=tensorboard"])
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (event,) = events.Scalars("evaluation/miou")
    assert event.value == pytest.approx(evaluation.figures["miou"])
    assert event.step == evaluation.model["step"]
    assert "evaluation/per class/text_summary" in events.Tags()["tensors"]


def test_what_no_dashboard_can_be_is_refused_before_anything_is_measured() -> None:
    assert view_of(None) is None
    view = TensorBoard()
    assert view_of(view) is view
    with pytest.raises(RecipeError, match="there is no wandbb; did you mean wandb"):
        view_of({"name": "wandbb"})
    with pytest.raises(SystemExit):
        main(["run=nowhere", "logger=wandb", "logger.moode=offline"])
