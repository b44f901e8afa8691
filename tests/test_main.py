"""`weakseg <verb>`: one name for all commands."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from weakseg.__main__ import VERBS, main


def test_every_verb_is_a_module_with_a_command() -> None:
    for verb in VERBS:
        assert callable(importlib.import_module(f"weakseg.{verb}").command), verb


def test_the_words_behind_a_verb_are_its_own() -> None:
    done = called("fit", "recipe=boxs")
    assert done.returncode == 2
    assert "recipe: there is no boxs; did you mean boxes?" in done.stderr


def test_without_a_verb_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"]):
        assert main(words) == 0
        shown = capsys.readouterr().out
        assert all(f"  {verb} " in shown for verb in VERBS)
    assert main(["--version"]) == 0


def test_a_mistyped_verb_is_answered_at_once() -> None:
    done = called("fti", python=("-X", "importtime"))
    assert done.returncode == 2
    assert "fti: no such verb; did you mean fit?" in done.stderr
    assert "torch" not in done.stderr


def called(*words: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *python, "-m", "weakseg", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
