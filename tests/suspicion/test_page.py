"""What the page on suspicion prints is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from weakseg.suspicion.queue import SIGNALS

PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "suspicion.md").read_text()

LIST = PAGE[PAGE.index("## The signals") : PAGE.index("## What a run measures")]


def test_the_page_lists_every_signal_with_its_weight() -> None:
    rows = re.findall(r"^\| `(\w+)(?:/<class>)?` \|.*\| ([\d.]+) \|$", LIST, re.MULTILINE)
    weights = {name: float(weight) for name, weight in rows}
    assert weights == {name: signal.weight for name, signal in SIGNALS.items()}


def test_signals_about_a_class_are_named_so() -> None:
    about = set(re.findall(r"^\| `(\w+)/<class>` \|", LIST, re.MULTILINE))
    assert about == {name for name, signal in SIGNALS.items() if "{}" in signal.reason}


def test_the_example_prints_what_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = (
        re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[0] for kind in ("python", "text")
    )
    exec(compile(code, "page", "exec"), {})
    assert capsys.readouterr().out == text
