"""What the how-to page of predict prints is true."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.prediction.fakes import save_photo
from weakseg.config.verb import read_words
from weakseg.data.formats.writing.formats import FORMATS
from weakseg.predict import VERB, main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "predict.md").read_text()
COMMANDS = re.findall(r"python -m weakseg\.predict (.*?)(?:'$|$)", PAGE, re.MULTILINE)


@pytest.fixture(autouse=True)
def photos(tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("beach/01.jpg", "garden/00.jpg"):
        save_photo(tmp_path / "photos" / name)
    (tmp_path / "photos" / "garden" / "99.jpg").write_bytes(b"")
    (tmp_path / "runs" / "boxes").mkdir(parents=True)
    (tmp_path / "runs" / "boxes" / "latest").symlink_to(trained)
    monkeypatch.chdir(tmp_path)


def test_its_first_command_writes_the_files_and_prints_the_rows_that_it_shows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert len(COMMANDS) == 2
    done = main([*shlex.split(COMMANDS[0]), "device=cpu"])
    block = PAGE.split("```")[3]
    shown = [line.split(": ")[0] for line in block.strip().splitlines() if line[0] != " "]
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in printed if line[0] != " "] == shown
    tree = re.findall(r"^    (\S+)", PAGE, re.MULTILINE)
    assert "overlays/beach/01.jpg" in tree
    assert [name for name in tree if not (done.folder / name).is_file()] == []
    line = re.search(r'^{"name": .*}$', PAGE, re.MULTILINE)
    assert line is not None
    written = json.loads(done.summary.read_text())["images"][0]
    assert list(json.loads(line[0])) == list(written)


def test_its_commands_and_the_words_that_it_names_are_right() -> None:
    for command in COMMANDS:
        words = [word.replace("$SLURM_ARRAY_TASK_ID", "3") for word in shlex.split(command)]
        assert read_words(VERB, words).given["out"]
    assert [key for key in VERB.keys if f"{key}=" not in PAGE] == ["device"]
    named = set(re.findall(r"`(?:format=)?(coco|cvat|label_studio|labelme|voc)`", PAGE))
    assert named <= set(FORMATS)
    assert len(named) == 5


def test_its_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out.splitlines()[-1] == "2 0 ['garden/99.jpg']"
