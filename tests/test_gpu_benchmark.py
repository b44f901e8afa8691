"""`benchmarks/gpu.py` runs on a CPU, so that it runs when a GPU is at hand."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from weakseg.prediction import images as prediction
from weakseg.trained.loading import load_model

FOLDER = Path(__file__).parents[1] / "benchmarks"
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _beside_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def part(name: str) -> Any:
    return import_module(name)


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gpu.py", *words])
    return part("gpu").main()


def test_what_fails_is_a_row_and_the_rest_goes_on() -> None:
    measuring = part("gpu_sheet")
    sheet = measuring.Sheet(CPU)

    def disagree() -> dict[str, float]:
        raise measuring.Disagreement("off by | 3")

    with sheet.part("one", 100):
        sheet.measure("wrong", disagree)
        sheet.measure("right", lambda: {"ms": 3.14159, "note": "ok, goal met"})
    with sheet.part("two", 100):
        raise RuntimeError("nothing there")
    verdicts = [row.verdict for row in sheet.rows]
    assert verdicts == [
        "failed: Disagreement: off by / 3",
        "ok, goal met",
        "failed: RuntimeError: nothing there",
    ]
    assert [row.failed for row in sheet.rows] == [True, False, True]
    assert "in disagree" in sheet.rows[0].details
    lines = sheet.table({"torch": "2"}).splitlines()
    assert lines[0] == "torch 2"
    assert lines[5] == "| one | right | 3.14 |  |  |  |  |  |  | ok, goal met |"
    assert len({line.count("|") for line in lines[2:]}) == 1


def test_a_part_without_time_leaves_its_rows_out() -> None:
    sheet = part("gpu_sheet").Sheet(CPU)
    with sheet.part("late", -1):
        sheet.measure("never", lambda: pytest.fail("it was measured"))
    with sheet.part("next", 100):
        sheet.measure("again", lambda: {"ms": 1})
    assert [row.verdict for row in sheet.rows] == ["out of time", "ok"]
    assert not any(row.failed for row in sheet.rows)


@pytest.mark.parametrize("name", ["cross_entropy", "em_adapt", "projection_loss"])
def test_losses_that_agree_and_one_that_does_not(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = part("gpu_functions")
    kept = losses.LOSSES[name]
    calls: list[int] = []

    def worse_on_the_device(logits: torch.Tensor, batch: Any) -> torch.Tensor:
        calls.append(1)
        return kept(logits, batch) * (1 + 0.1 * (len(calls) > 1))

    monkeypatch.setattr(losses, "LOSSES", {name: kept, "worse": worse_on_the_device})
    sheet = part("gpu_sheet").Sheet(CPU, quick=True)
    with sheet.part("losses", 100):
        losses.measure_losses(sheet)
    good, also, bad, _ = sheet.rows
    assert good.verdict == also.verdict == "ok"
    assert good.figures["ms"] > 0
    assert good.figures["waits"] is None  # nothing waits for a CPU
    assert bad.verdict.startswith("failed: Disagreement: the value is off by 1.0e-01")


def test_marginals_that_are_off_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    functions = part("gpu_functions")
    usual = functions._refine
    monkeypatch.setattr(functions, "CRFS", {"80/13": functions.CRFS["80/13"]})
    sheet = part("gpu_sheet").Sheet(CPU, quick=True)
    with sheet.part("crf", 100):
        functions.measure_crf(sheet)
    assert {row.verdict for row in sheet.rows} == {"ok"}
    monkeypatch.setattr(
        functions, "_refine", lambda *given: [each + 0.01 for each in usual(*given)]
    )
    with sheet.part("crf", 100):
        functions.measure_crf(sheet)
    assert sheet.rows[-2].verdict.startswith("failed: Disagreement: marginals are off by 1.0e-02")


def test_images_are_augmented_on_a_device_as_by_loaders(monkeypatch: pytest.MonkeyPatch) -> None:
    augmentation = part("gpu_augmentation")
    sheet = part("gpu_sheet").Sheet(CPU, quick=True)
    with sheet.part("augmentation", 100):
        augmentation.measure_augmentation(sheet)
    assert [row.verdict for row in sheet.rows] == ["ok"] * 6
    assert all(row.figures["images/s"] > 0 for row in sheet.rows)
    assert [row.figures["off by"] for row in sheet.rows[2::3]] == [0, 0]
    usual = augmentation.make_data
    monkeypatch.setattr(  # another colour where the device augments
        augmentation,
        "make_data",
        lambda sheet, where, colour: usual(sheet, where, colour + 0.5 * (where == "host")),
    )
    with sheet.part("augmentation", 100):
        augmentation.measure_augmentation(sheet)
    assert sheet.rows[-1].verdict.startswith("failed: Disagreement: images are off by ")


def test_only_strategies_that_compute_in_a_step_are_measured() -> None:
    names = part("gpu_network").losses_of_their_own()
    assert {"tags_em", "tags_ccnn", "boxes_em", "mixed", "points_agmm"} <= names.keys()
    assert not {"full", "boxes_crf", "boxes_instances", "cosegmentation"} & names.keys()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "crf,memory"], "there is no part memory; there are crf, losses, step, predict"),
        (["--device", "cuda"], "torch sees no GPU; --device cpu --quick runs the same code on a"),
    ],
)
def test_what_cannot_be_measured_is_said(
    words: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, str(tmp_path), *words)
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_all_of_it_runs_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, str(tmp_path), "--device", "cpu", "--quick") == 0
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert {row["part"] for row in rows} == {"crf", "losses", "step", "prediction", "augmentation"}
    assert {row["verdict"] for row in rows} == {"ok"}
    assert all(row["figures"]["ms"] > 0 for row in rows)
    table = (tmp_path / "gpu.md").read_text()
    assert "no figure means anything" in table
    assert prediction.load_model is load_model  # which a benchmark once left changed
    assert table.count("\n| ") == len(rows) + 1
