"""The page on corrections is true: its example, and the code that reads it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.data.layouts import photo
from weakseg.data.corrections.events import ACTIONS
from weakseg.data.corrections.folder import IMAGES, CorrectionsFolder, readable
from weakseg.data.corrections.history import read_history, written_history
from weakseg.data.corrections.overlay import lay_over
from weakseg.evidence import Evidence

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "corrections.md").read_text()
(EXAMPLE,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
PLAIN, OURS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
CLASSES = ("background", "cat")


def test_the_example_is_a_file_as_it_is_written() -> None:
    history = read_history(json.loads(EXAMPLE))
    assert (history.status, history.seconds) == ("accepted", pytest.approx(21.4))
    again = json.loads(readable(written_history(history)))
    assert again == json.loads(EXAMPLE)
    evidence = Evidence("cat.jpg", torch.zeros(3, 375, 500, dtype=torch.uint8))
    evidence = evidence._replace(
        boxes=torch.tensor([[48.0, 32, 310, 290]]),
        box_classes=torch.tensor([1]),
        tags=torch.tensor([True, True]),
    )
    overlay = lay_over(evidence, history, CLASSES)
    assert overlay.remarks == ()
    assert overlay.evidence.boxes is not None
    assert overlay.evidence.boxes.tolist() == [[48, 32, 352, 301]]


def test_every_event_is_on_the_page() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", PAGE.partition("## Events")[2], re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(rows)) == list(ACTIONS)


def test_ten_lines_of_python_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "corrections" / IMAGES / "cat.jpg.json"
    file.parent.mkdir(parents=True)
    file.write_text(EXAMPLE)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(compile(PLAIN, "docs/reference/corrections.md", "exec"), found)
    history = CorrectionsFolder("corrections").read("cat.jpg")
    assert history is not None
    assert [event["action"] for event in found["done"]] == [
        event.action for event in history.applied
    ]
    image = torch.zeros(3, 375, 500, dtype=torch.uint8)
    marks = lay_over(Evidence("cat.jpg", image), history, CLASSES).evidence.strokes
    assert marks is not None
    assert (marks == 0).sum() > 2000
    assert torch.equal(torch.from_numpy(found["marked"]), marks == 0)


def test_and_so_does_weakseg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(tmp_path / "photos" / "cat.jpg", 0, 500, 375)
    corrections = CorrectionsFolder(tmp_path / "photos" / "corrections")
    corrections.add_class("cat")
    corrections.file("cat.jpg").parent.mkdir()
    corrections.file("cat.jpg").write_text(EXAMPLE)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(compile(OURS, "docs/reference/corrections.md", "exec"), found)
    assert found["evidence"].annotations == ("boxes", "marks")
    line = "cat.jpg accepted 21 s ['remove_box', 'add_box', 'scribble']"
    assert capsys.readouterr().out.splitlines()[-1] == line
