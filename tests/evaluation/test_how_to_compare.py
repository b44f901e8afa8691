"""What docs/how-to/compare.md prints is true."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.evaluation.test_comparison import CLASSES, RIGHT, many, side
from weakseg.compare import VERB, command
from weakseg.config.recipe import check_spelling, load
from weakseg.config.verb import read_words
from weakseg.evaluate import VERB as EVALUATE
from weakseg.evaluation.common_images import FEW, FEWEST
from weakseg.evaluation.compared import Draws, compare_sides
from weakseg.evaluation.comparison_files import heading

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "compare.md").read_text()
COMMANDS = [
    shlex.split(line)[2:]
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]


def words_of(verb: str) -> list[list[str]]:
    return [words for name, *words in COMMANDS if name == f"weakseg.{verb}"]


def test_every_printed_command_has_right_words() -> None:
    assert [len(words_of(verb)) for verb in ("fit", "compare", "evaluate")] == [2, 2, 2]
    for words in words_of("fit"):
        check_spelling(load(words))
    for words in words_of("compare"):
        assert len(read_words(VERB, words).values["runs"]) == 2
    for words in words_of("evaluate"):
        assert read_words(EVALUATE, words).values["run"]


@pytest.fixture
def home(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two runs that have the names that the page gives them."""
    for name in ("boxes", "boxes_rect"):
        shutil.copytree(run, tmp_path / "runs" / name / "latest")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_and_the_lines_in_python_run(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command([*words_of("compare")[0], "device=cpu"]) == 0
    printed = capsys.readouterr().out
    shown = PAGE.partition("prints, after")[2].partition("```\n")[2].partition("```")[0]
    for line in (
        "figures",
        "B - A (95 % interval)",
        "hours of annotation: A ",
        "report: runs/compare/comparison.html",
    ):
        assert line in printed
        assert line in shown
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, {})
    left = {path.name for path in (home / "runs" / "compared").iterdir() if path.suffix}
    assert set(re.findall(r"`(comparison\.\w+)`", PAGE)) == left


def test_the_page_shows_every_figure_and_the_limits() -> None:
    images = many(RIGHT)
    compared = compare_sides([side("A", images), side("B", images)], Draws(2))
    names = {heading(figure.name) for figure in compared.figures} - set(CLASSES)
    assert [name for name in names if f"│ {name} " not in PAGE] == []
    assert FEWEST == 5
    assert "fewer than five images" in PAGE
    assert FEW == 30
    assert "below about thirty" in PAGE
