"""Words of a command whose keys are the arguments of a function: read from its source, checked all
at once, before torch is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import weakseg.config.recipe
import weakseg.config.sections
from weakseg.config.recipe import RecipeError, build_section
from weakseg.config.verb import Verb, read_words, show, usage, words_of

OURS = weakseg.config.recipe.SECTIONS
SOURCE = '''
from __future__ import annotations
from collections.abc import Mapping
from typing import Any
import torch
from weakseg.utils.limits import Count

def stack(
    run: str,
    parts: Count = 1,
    colours: list[str] = (),
    overlay: bool = False,
    predict: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Stacks images.

    More on it.

    Args:
        run: a run folder, or anything else that can be given here, which takes a long line to
            say completely.
        parts: how many.
        predict: how it predicts.
    """
'''
EXAMPLE = "run=runs/boxes/latest parts=2"


@pytest.fixture(autouse=True)
def our_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weakseg.config.sections, "SECTIONS", OURS)


@pytest.fixture
def verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verb:
    (tmp_path / "stacking.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    return Verb("stack", "stacking.stack", ("predict", "data"), (EXAMPLE,))


def test_words_become_arguments_with_their_types(verb: Verb) -> None:
    words = ["run=x", "parts=2", "colours=red,blue", "overlay=true", "predict.scales=0.5,1"]
    assert read_words(verb, words).given == {
        "run": "x",
        "parts": 2,
        "colours": ["red", "blue"],
        "overlay": True,
        "predict": {"scales": "0.5,1"},
    }


def test_all_mistakes_come_at_once(verb: Verb) -> None:
    words = "parts=0 overlay=maybe predict.scale=1 predict=3 flip=true part=2 run.x=1"
    with pytest.raises(RecipeError) as error:
        read_words(verb, words.split())
    assert error.value.errors == [
        "predict: given as a value, and with a key below it (predict.scale); keep one",
        "predict: expected keys below it, such as predict.<key>=3",
        "flip: no such word; did you mean predict.flip?",
        "part: no such word; did you mean parts?",
        "run.x: run has no keys below it; write run=<value>",
        "run: missing; expected text",
        "parts: it should be at least 1, but it is 0",
        "overlay: expected true or false, but it is 'maybe'",
        "predict.scale: no such key; did you mean scales?",
    ]


def test_sections_are_those_of_the_run_with_the_words_above(verb: Verb, tmp_path: Path) -> None:
    run = tmp_path / "boxes" / "1"
    run.mkdir(parents=True)
    recipe = {"strategy": "full", "network": "fcn8s", "data": "{name: toy, size: 64}"}
    text = "".join(f"{key}: {value}\n" for key, value in recipe.items())
    (run / "recipe.yaml").write_text(text + "predict: {flip: true}\n")
    request = read_words(verb, [f"run={run}", "data.train=7", "predict.scales=1,2"])
    assert request.recipe is not None
    assert request.recipe.sections["data"] == {"name": "toy", "size": 64, "train": "7"}
    shown = show(verb, request).splitlines()
    assert [line.split() for line in shown if line.split()[0] in ("size:", "train:", "parts:")] == [
        ["parts:", "1", "#", "default"],
        ["train:", "7", "#", "command", "line"],
        ["size:", "64", "#", "recipe"],
    ]


def test_help_is_the_docstring_of_the_function(verb: Verb) -> None:
    text = usage(verb)
    lines = text.splitlines()
    assert lines[0] == "usage: python -m weakseg.stack run=<...> [key=value ...]"
    assert "Stacks images." in lines
    assert "  parts=1              how many." in lines
    assert "  predict.<key>=<...>  how it predicts." in lines
    assert lines[-1] == f"  python -m weakseg.stack {EXAMPLE}"
    assert max(map(len, lines)) <= 100


def test_mistakes_and_questions_end_the_command(
    verb: Verb, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, code in (([], 0), (["--help"], 0), (["run=x", "--show"], 0), (["run"], 2)):
        with pytest.raises(SystemExit) as end, words_of(verb, words):
            pytest.fail("the function is called")
        assert end.value.code == code
    assert "run: not key=value; did you mean run=<name>?" in capsys.readouterr().err


def test_what_the_function_finds_wrong_with_a_word_ends_it_the_same_way(
    verb: Verb, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets: dict[str, object] = {}
    words = ["run=x", "data=toy", "data.train=4"]
    with pytest.raises(SystemExit) as end, words_of(verb, words, secrets):
        raise RecipeError("run: there is no x")
    assert end.value.code == 2
    assert capsys.readouterr().err == "run: there is no x\n"
    assert secrets == {"data": {"name": "toy", "train": "4"}}


def test_a_mistake_is_answered_without_torch(verb: Verb, tmp_path: Path) -> None:
    code = (
        "import sys; from weakseg.config.verb import *\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "try:\n"
        "    with words_of(Verb('stack', 'stacking.stack', ('predict',)), ['rn=x']): pass\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
    assert "rn: no such word; did you mean run?" in done.stderr


def test_a_section_alone_is_built_with_values_above_it() -> None:
    inference = build_section("predict", {"flip": True}, {"scales": "0.5,1", "crf.iterations": "3"})
    assert (inference.flip, inference.scales, inference.crf.iterations) == (True, (0.5, 1.0), 3)


def test_a_mapping_has_keys_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = SOURCE.replace(
        "    overlay: bool", "    grid: Mapping[str, Any] | None = None,\n    overlay: bool"
    )
    (tmp_path / "mapped.py").write_text(
        source.replace("predict: how", "grid: what.\n        predict: how")
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    verb = Verb("stack", "mapped.stack", ("predict", "data"), (EXAMPLE,), mappings=("grid",))
    request = read_words(verb, ["run=a", "grid.crf.rgb=[3,4]", "grid.share=[1]"])
    assert request.given["grid"] == {"crf.rgb": "[3,4]", "share": "[1]"}
    (line,) = (line for line in usage(verb).splitlines() if line.startswith("  grid"))
    assert line.split() == ["grid.<key>=<...>", "what."]
    assert "grid.share: [1]" in show(verb, request)
    with pytest.raises(RecipeError, match="grid: expected keys below it"):
        read_words(verb, ["run=a", "grid=3"])
