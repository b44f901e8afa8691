"""What corrections change in evaluations and comparisons: hours, and never the truth."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.data.corrections.events import EXCLUDE, box, click, correct, history, outline, tag
from weakseg.compare import main as compare
from weakseg.data.corrections.history import History
from weakseg.evaluate import main as evaluate
from weakseg.evaluation.annotation_cost import MeasuredSeconds, measured_seconds
from weakseg.fit import main as fit
from weakseg.networks.parts.weights import read_weights

SIZE = (48, 48)
WORDS = [
    *("recipe=full", "data.train=4", "data.val=2", "data.size=48", "data.batch_size=2"),
    *("data.evidence=masks", "network=tests.small.TinyNet", "network.classes=5"),
    *("rounds.workers=0", "trainer.max_steps=2", "trainer.accelerator=cpu"),
    "trainer.enable_progress_bar=false",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A run, and the same with corrections that took an hour and a half."""
    root = tmp_path_factory.mktemp("runs")
    own = root / "own"
    correct(own, "toy-00000", box("leaf", 1, 1, 9, 9)._replace(seconds=3600), size=SIZE)
    correct(own, "toy-00001", click("leaf", 3, 3)._replace(seconds=1800), EXCLUDE, size=SIZE)
    # images that are measured on
    correct(own, "toy-00004", outline("fish", (0, 0), (48, 0), (48, 48), (0, 48)), size=SIZE)
    correct(own, "toy-00005", EXCLUDE, size=SIZE)
    words = [*WORDS, f"trainer.default_root_dir={root}"]
    return [fit(words), fit([*words, f"data.corrections={own}"])]


def test_the_truth_is_what_it_was(runs: list[Path], tmp_path: Path) -> None:
    """The same weights are as good with corrections of the images that they are measured on."""
    plain, corrected = runs
    own = corrected.parents[1] / "own"
    for name, words in (("a", []), ("b", [f"data.corrections={own}"])):
        evaluate([f"run={plain}", f"out={tmp_path / name}", "device=cpu", *words])
    one, other = (json.loads((tmp_path / name / "summary.json").read_text()) for name in "ab")
    assert one["figures"] == other["figures"]
    assert len(one["images"]) == len(other["images"]) == 2
    assert [each["iou"] for each in one["images"]] == [each["iou"] for each in other["images"]]


def test_hours_are_those_of_the_annotation_and_of_the_corrections(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copies = [
        Path(shutil.copytree(run, tmp_path / name)) for name, run in zip("ab", runs, strict=True)
    ]
    known = read_weights(copies[1] / "checkpoints" / "best.ckpt")["weakseg"]
    assert (known["training_images"], known["corrections"]["seconds"]) == (3, 5400)
    compare([f"runs=[{copies[0]},{copies[1]}]", f"out={tmp_path / 'out'}", "device=cpu"])
    lines = capsys.readouterr().out.splitlines()
    # 239.7 seconds for each of 4 masks, and of 3
    assert "hours of annotation: A 0.27, B 1.70" in lines
    assert "of these, hours of corrections, measured: A -, B 1.50" in lines
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [run["correction_seconds"] for run in content["runs"]] == [None, 5400]
    page = next((tmp_path / "out").glob("*.html")).read_text()
    assert "weakseg.review has measured them" in page


def test_seconds_of_a_kind_are_measured_where_it_was_all_that_was_drawn() -> None:
    line = click("cat", 1, 1)._replace(seconds=6)
    drawn = [
        history(line, click("cat", 2, 2)._replace(seconds=4)),
        history(line, line),
        history(tag("cat")._replace(seconds=3)),
        # of two kinds; none; corrected, not annotated
        history(line, tag("cat")),
        history(EXCLUDE._replace(seconds=50)),
        History("a", (12, 8), {"tags": ["cat"]}, (line,)),
    ]
    assert measured_seconds(drawn) == {
        "points": MeasuredSeconds(11, 2),
        "tags": MeasuredSeconds(3, 1),
    }
