"""What docs/how-to/evaluate.md prints is true."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.evaluation.test_model import FILES, files
from weakseg.config.verb import read_words
from weakseg.evaluate import VERB, command
from weakseg.evaluation.counting import COLUMNS, Counts
from weakseg.evaluation.tables import HEADINGS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "evaluate.md").read_text()
FIGURES = (ROOT / "docs" / "reference" / "figures.md").read_text()
OWN_RUN = "runs/boxes/latest"
COMMANDS = [
    shlex.split(line)[3:]
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("python -m weakseg.evaluate")
]


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 4


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_printed_command_has_right_words(words: list[str]) -> None:
    assert read_words(VERB, words).values["run"]


@pytest.fixture
def home(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the run has the name that the page gives it."""
    place = tmp_path / OWN_RUN
    place.parent.mkdir(parents=True)
    place.symlink_to(run)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_those_on_its_own_data_set_run(home: Path) -> None:
    own = [words for words in COMMANDS if not any(word.startswith("data") for word in words)]
    assert len(own) >= 2
    for words in own:
        assert command([*words, "device=cpu", "out=here"]) == int("least_miou=0.6" in words)
        assert files(home / "here") == FILES


def test_the_lines_in_python_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, {})
    assert files(home / "runs" / "evaluation") == FILES
    assert "toy-000" in capsys.readouterr().out


def test_the_page_explains_every_column_and_the_reference_every_figure() -> None:
    rows = {cell for row in re.findall(r"^\| (.*?) \|", PAGE, re.MULTILINE) for cell in [row]}
    explained = {name for row in rows for name in row.split(", ")}
    assert set(HEADINGS.values()) <= explained
    assert set(HEADINGS) == set(COLUMNS)
    part = FIGURES.partition("## Of an evaluation")[2].partition("## ")[0]
    named = Counts(("background", "cat")).figures()
    assert {name.partition("/")[0] for name in named} <= set(re.findall(r"`(\w+)[`/]", part))
