"""What all commands have in common: help, mistakes before torch, exit codes, and a function in
Python that takes the same words."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import weakseg
from weakseg.__main__ import VERBS
from weakseg.config.verb import Verb, usage

ROOT = Path(__file__).parents[2]
OWN_GRAMMAR = ("check", "fit")  # their words are sections of a recipe
OTHERS = [verb for verb in VERBS if verb not in OWN_GRAMMAR]


def verb_of(name: str) -> Verb:
    verb: Verb = importlib.import_module(f"weakseg.{name}").VERB
    return verb


@pytest.mark.parametrize("name", VERBS)
def test_it_is_a_short_module_with_main_and_command(name: str) -> None:
    module = importlib.import_module(f"weakseg.{name}")
    assert callable(module.main)
    assert callable(module.command)
    assert module.__doc__ is not None
    assert f"python -m weakseg.{name}" in module.__doc__


@pytest.mark.parametrize("name", OTHERS)
def test_its_words_are_the_arguments_of_a_public_function(name: str) -> None:
    verb = verb_of(name)
    home, _, function = verb.function.rpartition(".")
    found = getattr(importlib.import_module(home), function)
    assert getattr(weakseg, function) is found
    parameters = inspect.signature(found).parameters
    known = (*verb.keys, *verb.sections, *verb.mappings)
    assert list(parameters) == [key for key in parameters if key in known]
    assert set(verb.sections) <= set(parameters)


@pytest.mark.parametrize("name", OTHERS)
def test_its_help_explains_every_word(name: str) -> None:
    verb = verb_of(name)
    text = usage(verb)
    lines = text.partition("\nfor example:\n")[0].splitlines()
    assert lines[0].startswith(f"usage: python -m weakseg.{name} ")
    assert max(map(len, lines)) <= 100
    for key in verb.keys:
        (at,) = (at for at, line in enumerate(lines) if line.startswith(f"  {key}="))
        meaning = lines[at].partition("=")[2].partition("  ")[2] or lines[at + 1]
        assert meaning.strip(), key
    assert verb.examples


@pytest.mark.parametrize("name", VERBS)
def test_all_mistakes_are_answered_together_before_torch_is_imported(name: str) -> None:
    words = ["nosuchword=1", "--nosuchflag", "trainer.max_stps=3"]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "weakseg", name, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert "nosuchword" in done.stderr
    assert "--nosuchflag" in done.stderr
    assert "| torch\n" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", VERBS)
def test_without_words_it_explains_itself(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"weakseg.{name}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: python -m weakseg.{name} ")
