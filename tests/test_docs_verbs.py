"""What the pages of the docs and the README print of the verbs is true: their words, and what
`label` answers."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.remote_places import as_stores
from weakseg import label
from weakseg.__main__ import VERBS
from weakseg.config.recipe import RecipeError
from weakseg.config.verb import read_words

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
OWN_GRAMMAR = ("check", "fit")  # tests/test_docs.py looks at these
OTHERS = [verb for verb in VERBS if verb not in OWN_GRAMMAR]


@pytest.fixture(autouse=True)
def stores() -> Iterator[None]:
    """Pages show URLs whose packages need not be here."""
    with as_stores("s3", "hf"):
        yield


def printed(text: str) -> list[tuple[str, list[str]]]:
    """The verb and the words of each command that a page prints."""
    blocks = "\n".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    found = []
    for line in blocks.splitlines():
        match = re.search(rf"(?:python -m weakseg\.|\bweakseg )({'|'.join(OTHERS)})\b(.*)", line)
        if match:
            # `sbatch --wrap '<command>'` gives it in quotes, with variables of the shell
            rest = match[2].rstrip("'") if match[2].count("'") % 2 else match[2]
            words = shlex.split(re.sub(r"\$[A-Z_]*ID\b", "1", rest), comments=True)
            found.append((match[1], [word for word in words if not word.startswith("--")]))
    return found


def mistakes(verb: str, words: list[str]) -> list[str]:
    """What is mistyped in a command; files that a reader would have need not be here."""
    try:
        read_words(importlib.import_module(f"weakseg.{verb}").VERB, words)
    except RecipeError as error:
        return [line for line in error.errors if "there is no " not in line]
    return []


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if printed(text)])
def test_every_printed_command_of_a_verb_has_right_words(page: str) -> None:
    wrong = [
        f"{verb} {shlex.join(words)}: {line}"
        for verb, words in printed(PAGES[page])
        if words
        for line in mistakes(verb, words)
    ]
    assert wrong == []


def test_a_wrong_command_would_be_seen() -> None:
    ((verb, words),) = printed("```console\npython -m weakseg.label recipe=boxes ot=x\n```")
    assert mistakes(verb, words)[0] == "ot: no such word; did you mean out?"


def test_label_answers_as_its_page_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = PAGES["docs/how-to/label.md"]
    shown = re.findall(r"```text\n(.*?)```", page, re.DOTALL)[0].splitlines()
    small = ["data=tests.labelling.methods.Broken", "network=tests.small.TinyNet"]
    words = ["recipe=boxes", *small, "rounds.workers=0", f"rounds.folder={tmp_path / 'store'}"]
    assert label.command([*words, f"out={tmp_path / 'labels'}", "format=cvat"]) == 1
    answer = capsys.readouterr()
    lines = [
        re.sub(r"\d+", "N", line).split(":")[0]
        for line in f"{answer.err}\n{answer.out}".splitlines()
    ]
    for line in shown:
        start = re.sub(r"\d+", "N", line).split(":")[0]
        assert line.startswith("  ") or start in lines, line
