"""The files of an evaluation."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.evaluation.test_measuring import Rimmed, measure
from weakseg.evaluation.results import Evaluation, Head, read_evaluation, write_evaluation

HEAD = Head("python -m weakseg.evaluate run=net.onnx", {"weakseg": "1"}, 2.34567)


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    made = measure(Rimmed(train=8, val=0)).evaluation()
    write_evaluation(tmp_path, made, HEAD)
    return made


def same(one: object, other: object) -> bool:
    """Equal, where nan is nan."""
    return json.dumps(one) == json.dumps(other)


def test_what_is_read_is_what_was_written(evaluation: Evaluation, tmp_path: Path) -> None:
    read = read_evaluation(tmp_path)
    assert read.classes == evaluation.classes
    for name in ("figures", "per_class", "images", "reliability", "model", "measured_on"):
        assert same(getattr(read, name), getattr(evaluation, name)), name
    assert torch.equal(read.cells, evaluation.cells)
    assert torch.equal(read.confusion, evaluation.confusion)
    assert read.folder == tmp_path


def test_the_summary_is_json_that_any_program_reads(evaluation: Evaluation, tmp_path: Path) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    content = json.loads((tmp_path / "summary.json").read_text(), parse_constant=refuse)
    assert content["command"].endswith("evaluate run=net.onnx")
    assert content["model"]["kind"] == "onnx"
    assert content["images"][0]["miou"] is None  # no pixel of it counts
    assert content["seconds"] == 2.346


def test_the_table_has_a_line_per_image(evaluation: Evaluation, tmp_path: Path) -> None:
    with (tmp_path / "images.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [row["name"] for row in evaluation.images]
    assert rows[0]["miou"] == ""
    assert float(rows[1]["iou/bright"] or "nan") == pytest.approx(
        evaluation.images[1]["iou"]["bright"], nan_ok=True
    )


def test_confusions_are_those_of_each_image(evaluation: Evaluation, tmp_path: Path) -> None:
    with np.load(tmp_path / "confusions.npz", allow_pickle=False) as arrays:
        assert arrays["names"].tolist() == [row["name"] for row in evaluation.images]
        second = arrays["image"] == 1
        right = second & (arrays["truth"] == arrays["prediction"])
        accuracy = arrays["pixels"][right].sum() / arrays["pixels"][second].sum()
    assert accuracy == pytest.approx(evaluation.images[1]["pixel_accuracy"])


def test_a_quality_that_nobody_wants_is_reached(evaluation: Evaluation) -> None:
    def with_least(least: float | None, miou: float) -> bool:
        values = vars(evaluation) | {"least_miou": least, "figures": {"miou": miou}}
        return Evaluation(**values).reached

    assert with_least(None, 0.1)
    assert with_least(0.5, 0.5)
    assert not with_least(0.5, 0.49)
    assert not with_least(0.0, math.nan)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no evaluation: there is no summary\.json"):
        read_evaluation(tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    (tmp_path / "confusions.npz").write_bytes(b"")
    with pytest.raises(ValueError, match="is of another command, not of an evaluation"):
        read_evaluation(tmp_path)
