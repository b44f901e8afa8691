"""An evaluation in several parts is that of one process: every file, to the last digit."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from tests.evaluation.fakes import SeesBrightness
from tests.evaluation.test_measuring import Rimmed
from tests.small import NoTruth, Squares
from weakseg.data.base import WeakData
from weakseg.evaluate import command
from weakseg.evaluation import kept_counts
from weakseg.evaluation import worker as module
from weakseg.evaluation.model import evaluate_model
from weakseg.evidence import Evidence


class Slow(SeesBrightness):
    """Not as sure of every image, so that sums of probabilities depend on their order."""

    def logits(self, images: Tensor) -> Tensor:
        return super().logits(images) * (images.float().mean() / 100)


@pytest.fixture
def discs(monkeypatch: pytest.MonkeyPatch) -> Slow:
    """What any `run` is."""
    model = Slow()
    monkeypatch.setattr(module, "load_model", lambda *_, **__: model)
    return model


def summary(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    del content["command"], content["seconds"]
    return content


def confusions(folder: Path) -> dict[str, bytes]:
    """Without the time at which each array was written."""
    with zipfile.ZipFile(folder / "confusions.npz") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def page(folder: Path) -> str:
    """Without the line that names the command."""
    lines = (folder / "report.html").read_text().splitlines()
    return "\n".join(line for line in lines if "weakseg.evaluate" not in line)


def assert_same(one: Path, other: Path) -> None:
    assert summary(one) == summary(other)
    assert confusions(one) == confusions(other)
    assert (one / "images.csv").read_bytes() == (other / "images.csv").read_bytes()
    assert page(one) == page(other)


def whole_and_parts(data: WeakData, folder: Path, parts: int, order: list[int]) -> None:
    evaluate_model("net.onnx", data, out=folder / "whole")
    for part in order:
        done = evaluate_model("net.onnx", data, out=folder / "parts", parts=parts, part=part)
        left = order[order.index(part) + 1 :]
        assert done.missing_parts == tuple(sorted(left))
        assert (folder / "parts" / "summary.json").exists() == (not left)
    assert_same(folder / "whole", folder / "parts")


@pytest.mark.parametrize(
    ("parts", "order"), [(3, [2, 3, 1]), (2, [1, 2]), (12, [*range(12, 0, -1)])]
)
def test_parts_together_are_one_evaluation(
    parts: int, order: list[int], discs: Slow, tmp_path: Path
) -> None:
    # one has no truth, one only pixels that do not count
    whole_and_parts(Rimmed(train=12, val=0), tmp_path, parts, order)
    assert not list((tmp_path / "parts").glob(f"{kept_counts.COUNTS}*"))


def test_parts_of_images_without_truth_agree_as_those_of_one_process_do(
    discs: Slow, tmp_path: Path
) -> None:
    whole_and_parts(NoTruth(train=0, val=7), tmp_path, 3, [3, 1, 2])


def test_more_parts_than_images(discs: Slow, tmp_path: Path) -> None:
    data = Squares(train=0, val=2)
    for part in (3, 1):
        assert evaluate_model("x", data, out=tmp_path, parts=3, part=part).missing_parts[-1] == 2
    assert not evaluate_model("x", data, out=tmp_path, parts=3, part=2).missing_parts


class Breaks(Squares):
    """Ends the process that comes to its last images, as long as it is broken."""

    broken = True

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        if self.broken and index >= 6:
            raise KeyboardInterrupt
        return super().sample(index)


def test_a_part_goes_on_where_it_was_ended(discs: Slow, tmp_path: Path) -> None:
    data = Breaks(train=0, val=8)
    with pytest.raises(KeyboardInterrupt):
        evaluate_model("x", data, out=tmp_path / "parts", parts=2, part=1)
    known = discs.calls
    assert known == 3  # images 0, 2 and 4
    data.broken = False
    evaluate_model("x", data, out=tmp_path / "parts", parts=2, part=1)
    assert discs.calls == known + 1
    evaluate_model("x", data, out=tmp_path / "parts", parts=2, part=2)
    evaluate_model("x", data, out=tmp_path / "whole")
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_another_way_to_predict_is_another_evaluation(
    discs: Slow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Squares(train=0, val=4)
    evaluate_model("x", data, out=tmp_path, parts=2, part=1)
    other = Slow(("background", "dark", "bright"))
    monkeypatch.setattr(module, "load_model", lambda *_, **__: other)
    assert evaluate_model("x", data, out=tmp_path, parts=2, part=2).missing_parts == (1,)
    assert not evaluate_model("x", data, out=tmp_path, parts=2, part=1).missing_parts


def test_a_part_knows_no_least_miou_and_shows_no_dashboard(discs: Slow, tmp_path: Path) -> None:
    data = Squares(train=0, val=4)
    done = [
        evaluate_model("x", data, out=tmp_path, parts=2, part=part, least_miou=1.0)
        for part in (1, 2)
    ]
    assert [each.reached for each in done] == [True, False]


def test_the_command_says_what_is_missing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"run={run}", f"out={tmp_path / 'out'}", "device=cpu", "parts=3"]
    assert command([*words, "part=2"]) == 0
    said = capsys.readouterr().out
    assert said == (
        f"part 2 of 3 is counted; parts 1, 3 are not yet; the last one writes {tmp_path / 'out'}\n"
    )
    assert command([*words, "part=1"]) == 0
    assert "part 1 of 3 is counted; part 3 is not yet" in capsys.readouterr().out
    assert command([*words, "part=3", "least_miou=1"]) == 1
    assert "report:" in capsys.readouterr().out
    assert command([*words, "part=4"]) == 2
    assert "part should lie from 1 to 3" in capsys.readouterr().err
