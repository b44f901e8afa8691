"""What is shipped is what is measured: every form of a network has the figures of the run that it
came from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, get_args

import pytest

from weakseg.config.recipe import RecipeError
from weakseg.evaluation.model import evaluate_model
from weakseg.evaluation.results import Evaluation
from weakseg.trained.exporting import export_model
from weakseg.trained.model import Kind

FORMATS = [kind for kind in get_args(Kind) if kind != "checkpoint"]
ELSEWHERE = {"name": "toy", "train": "8", "val": "3", "size": "48"}


@pytest.fixture(scope="module")
def of_the_run(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return evaluate_model(run, out=tmp_path_factory.mktemp("of_the_run"), device="cpu")


@pytest.mark.parametrize("format", FORMATS)
def test_each_form_has_the_figures_of_its_run(
    format: Any, run: Path, of_the_run: Evaluation, tmp_path: Path
) -> None:
    if format == "onnx":
        pytest.importorskip("onnxruntime")
    written = export_model(str(run), format, overwrite=True).path
    inside = evaluate_model(written, device="cpu")
    assert inside.folder == written.with_name(f"{written.name}-evaluation")
    assert inside.model["kind"] == format
    assert inside.measured_on == of_the_run.measured_on
    assert inside.figures.keys() == of_the_run.figures.keys()
    # a pixel whose two best classes are equal to a few digits may be counted in another way
    assert inside.figures == pytest.approx(of_the_run.figures, abs=5e-3, nan_ok=True)
    # anywhere else it does not know on which data set it was trained
    moved = tmp_path / written.name
    shutil.move(written, moved)
    with pytest.raises(RecipeError, match="data: missing"):
        evaluate_model(moved, device="cpu")
    alone = evaluate_model(moved, ELSEWHERE, device="cpu")
    assert alone.figures == pytest.approx(inside.figures, nan_ok=True)
