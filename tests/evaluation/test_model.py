"""evaluate_model: from a run to the files of its evaluation."""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from torch import Tensor

from tests.evaluation.fakes import SeesBrightness
from tests.small import NoTruth, Squares
from weakseg.config.recipe import RecipeError
from weakseg.evaluate import command, main
from weakseg.evaluation import worker as module
from weakseg.evaluation.dataset import Measured
from weakseg.evaluation.folder import LOCK, default_folder
from weakseg.evaluation.model import evaluate_model
from weakseg.evaluation.results import read_evaluation
from weakseg.evidence import Evidence
from weakseg.trained.model import Origin
from weakseg.training.metrics_file import read_record

FILES = {"summary.json", "images.csv", "confusions.npz", "report.html"}


@pytest.fixture
def discs(monkeypatch: pytest.MonkeyPatch) -> SeesBrightness:
    """What any `run` is, but for those of the fixture `run`."""
    model = SeesBrightness()
    monkeypatch.setattr(module, "load_model", lambda *_, **__: model)
    return model


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_the_own_validation_images_give_what_the_training_logged(run: Path) -> None:
    """The golden figure: the same network, the same images, the same inference."""
    rows = [row for row in read_record(run / "metrics.csv") if row.get("val/miou")]
    best = max(rows, key=lambda row: float(row["val/miou"]))
    for checkpoint, row in (("best", best), ("last", rows[-1])):
        evaluation = evaluate_model(run, checkpoint=checkpoint, device="cpu")
        assert evaluation.measured_on == "the 3 validation images of toy"
        # as it was logged, in single precision; no pixel is counted in another way
        for name in ("miou", *(f"iou/{label}" for label in evaluation.classes)):
            logged = float(row[f"val/{name}"])
            assert evaluation.figures[name] == pytest.approx(logged, abs=2e-3, nan_ok=True)
    assert evaluation.folder == run / "evaluation"
    assert files(run / "evaluation") == FILES
    content = json.loads((run / "evaluation" / "summary.json").read_text())
    assert content["model"]["path"].endswith("last.ckpt")
    assert content["data"] == {"name": "toy", **content["data"]}


def test_the_section_predict_changes_how_it_predicts(run: Path, tmp_path: Path) -> None:
    plain = evaluate_model(run, out=tmp_path / "a", device="cpu")
    flipped = evaluate_model(run, out=tmp_path / "b", device="cpu", predict={"flip": "true"})
    assert flipped.settings["flip"]
    assert not plain.settings["flip"]
    assert plain.figures["confidence"] != flipped.figures["confidence"]
    assert "predicted with mirror images" in (tmp_path / "b" / "report.html").read_text()
    assert "one pass of the whole image" in (tmp_path / "a" / "report.html").read_text()


def test_another_time_it_is_made_anew(discs: SeesBrightness, tmp_path: Path) -> None:
    evaluate_model("net.onnx", Squares(train=0, val=5), out=tmp_path)
    second = evaluate_model("net.onnx", Squares(train=0, val=2), out=tmp_path, least_miou=0.1)
    read = read_evaluation(tmp_path)
    assert read.figures == pytest.approx(second.figures, nan_ok=True)
    assert (len(read.images), read.least_miou) == (2, 0.1)
    assert (tmp_path / "report.html").read_text().count("<article") == 2


def test_an_exported_file_has_its_evaluation_beside_it(
    discs: SeesBrightness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    evaluation = evaluate_model("net.onnx", Squares(train=0, val=2))
    assert evaluation.folder == Path("net.onnx-evaluation-Squares")
    assert files(tmp_path / evaluation.folder) == FILES


def test_data_sets_and_exported_forms_do_not_share_a_folder(tmp_path: Path) -> None:
    def folder(run: str, own: bool, **section: str) -> str:
        origin = Origin(run, "onnx", "", "", None, "")
        measured = Measured(Squares(), [0], "all", None, section, own)
        return default_folder(tmp_path / run, origin, measured).name

    assert folder("net.onnx", True, name="folder", root="photos") == "net.onnx-evaluation"
    assert folder("net.pt2", True, name="folder", root="photos") == "net.pt2-evaluation"
    assert folder("net", False, name="folder", root="a/my test") == "net-evaluation-my-test"
    assert folder("net", False, name="voc") == "net-evaluation-voc"


def test_two_processes_cannot_write_into_one_folder(discs: SeesBrightness, tmp_path: Path) -> None:
    # locks are of processes, so it takes a second one
    lines = [
        "from pathlib import Path",
        "from weakseg.utils.files import only_user",
        f"with only_user(Path({str(tmp_path)!r}), {LOCK!r}):",
        "    print(flush=True)",
        "    input()",
    ]
    with subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(ValueError, match="another process is working in"):
            evaluate_model("net.onnx", Squares(train=0, val=2), out=tmp_path)
        other.stdin.close()
    assert discs.calls == 0
    assert files(tmp_path) == set()


def test_a_folder_that_cannot_be_made_is_named_before_anything_long(
    discs: SeesBrightness, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match=r"out: the folder .*file cannot be made"):
        evaluate_model("net.onnx", Squares(train=0, val=2), out=tmp_path / "file")
    assert discs.calls == 0


def test_a_full_disk_leaves_the_evaluation_that_was_there(
    discs: SeesBrightness, tmp_path: Path
) -> None:
    evaluate_model("net.onnx", Squares(train=0, val=2), out=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(OSError, match=r"File too large: .*report\.html"):
            evaluate_model("net.onnx", Squares(train=0, val=3), out=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_image_that_cannot_be_read_leaves_the_evaluation_that_was_there(
    discs: SeesBrightness, tmp_path: Path
) -> None:
    class Broken(Squares):
        def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
            if index == 2:
                raise ValueError("image 2 is damaged")
            return super().sample(index)

    evaluate_model("net.onnx", Squares(train=0, val=2), out=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="image 2 is damaged"):
        evaluate_model("net.onnx", Broken(train=0, val=4), out=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", sorted(FILES))
def test_files_of_something_else_are_never_overwritten(
    name: str, discs: SeesBrightness, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(RecipeError, match=f"holds {name}, which no evaluation has written"):
        evaluate_model("net.onnx", Squares(train=0, val=2), out=tmp_path)
    assert (tmp_path / name).read_text() == "mine"
    assert discs.calls == 0


def test_limits_are_those_of_the_words(discs: SeesBrightness) -> None:
    with pytest.raises(ValueError, match="least_miou should lie from 0 to 1"):
        evaluate_model("net.onnx", Squares(), least_miou=1.2)
    with pytest.raises(ValueError, match="subset should be one of auto, validation"):
        evaluate_model("net.onnx", Squares(), subset="some")  # type: ignore[arg-type]


def test_without_masks_the_annotations_measure(discs: SeesBrightness, tmp_path: Path) -> None:
    evaluation = evaluate_model("net.onnx", NoTruth(train=0, val=3), out=tmp_path, least_miou=0.0)
    assert evaluation.figures["box_extent_iou"] > 0
    assert "miou" not in evaluation.figures
    assert not evaluation.reached
    assert files(tmp_path) == FILES
    assert read_evaluation(tmp_path).cells.shape == (0, 4)


# the command --------------------------------------------------------------------------------------


def test_the_command_prints_a_table_and_where_the_report_is(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"run={run}", f"out={tmp_path}", "device=cpu", "data.val=2"]
    evaluation = main(words)
    printed = capsys.readouterr().out
    assert "boundary IoU" in printed
    assert f"{evaluation.figures['miou']:.3f}" in printed
    assert "measured on the 2 validation images of toy" in printed
    assert "expected calibration error" in printed
    assert printed.endswith(f"report: {tmp_path}/report.html\nsummary: {tmp_path}/summary.json\n")
    assert f"network: {run}/checkpoints/best.ckpt\n" in printed


def test_the_exit_code_says_whether_the_quality_is_met(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"run={run}", f"out={tmp_path}", "device=cpu", "data.val=1"]
    assert command([*words, "least_miou=0"]) == 0
    assert command([*words, "least_miou=1"]) == 1
    assert "should reach least_miou=1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("subst=all", "subst: no such word; did you mean subset?"),
        ("subset=some", "subset: expected auto or validation or training or all"),
        ("least_miou=2", "least_miou: it should lie from 0 to 1"),
        ("data.vall=3", "data.vall: no such key; did you mean val?"),
        ("data=folder", "data.root: missing"),
        ("checkpoint=bst", "checkpoint: expected best, last or a file"),
    ],
)
def test_mistakes_are_answered_in_a_line(
    run: Path, word: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command([f"run={run}", word]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed


def test_no_secret_of_the_data_set_stands_in_the_files(
    discs: SeesBrightness, tmp_path: Path
) -> None:
    discs._recipe = {"data": {"name": "tests.evaluation.test_model.Locked", "token": "hunter22"}}
    evaluate_model("net.onnx", out=tmp_path)
    assert all(b"hunter22" not in path.read_bytes() for path in tmp_path.iterdir())
    assert math.isfinite(read_evaluation(tmp_path).figures["miou"])


class Locked(Squares):
    """A data set behind a password."""

    def __init__(self, token: str) -> None:
        super().__init__(train=0, val=2)
        assert token
