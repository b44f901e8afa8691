"""Look at a data set before training on it: `python -m weakseg.check data=folder data.root=photos
data.format=coco`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# unlike Path's, these answer for names that no file can have
from os.path import abspath, dirname, isdir
from pathlib import Path
from typing import TYPE_CHECKING

from weakseg.config.recipe import RecipeError, Resolved, check_spelling, load, resolve
from weakseg.utils.paths import kind_of

if TYPE_CHECKING:  # neither is imported before the words are known to be right
    from weakseg.data.base import WeakData
    from weakseg.reporting.dataset_check import DatasetCheck

USAGE = """\
usage: python -m weakseg.check data=<name> [data.<key>=value ...]

  data=folder data.root=photos data.format=coco   a data set, as for weakseg.fit
  recipe=<name or file>                           the data set and the training of a recipe
  out=runs/check                                  folder for sheet.png and problems.txt, or null
  sheet=<file>                                    another place for the contact sheet, or null
  cost=true                                       whether to measure what a training step takes
  workers=4                                       processes that read images; 0 for this one alone

Reads everything, prints all problems, how often each class comes and what a training takes, and
draws some images with their annotations.
The exit code is 0 if there is no error, 1 if there is one, 2 if the words are wrong."""
OWN = {"out": "runs/check", "sheet": "", "cost": "true", "workers": ""}
PHOTOGRAPHS = (
    "for photographs begin with network.weights=imagenet optimizer.lr=1e-4 "
    "optimizer.head_multiplier=10 optimizer.freeze_batchnorm=true; the numbers of the recipes are "
    "for drawn pictures and random weights"
)
ENOUGH = 200  # images from which on further processes are worth their start


def main(argv: Sequence[str] | None = None) -> int:
    """Check the data set that the words of a command line name; returns how many errors there are.
    Mistyped words exit with code 2."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or {"--help", "-h"} & set(words):
        print(USAGE)
        raise SystemExit(0)
    own = OWN | dict(
        word.split("=", 1) for word in words if word.partition("=")[0] in OWN and "=" in word
    )
    words = [word for word in words if word.partition("=")[0] not in OWN]
    try:
        return _check(words, own)
    except RecipeError as error:
        print("\n".join(error.errors), file=sys.stderr)
        raise SystemExit(2) from None


def _check(words: list[str], own: dict[str, str]) -> int:
    starts = [word.partition("=")[0] for word in words]
    errors = _wrong_own(own)
    if not {"recipe", "resume", "data", "data.name"} & set(starts):
        errors.append(
            "data: missing; write data=folder, or another data set, and recipe=<name> for that of "
            "a recipe"
        )
    try:  # a recipe has more sections than are looked at here; any will do for those
        recipe = (
            load(words)
            if {"recipe", "resume"} & set(starts)
            else load(["recipe=full", *words], keep=False)
        )
    except RecipeError as error:
        raise RecipeError(errors + error.errors) from None
    if errors:
        raise RecipeError(errors)
    check_spelling(recipe)
    resolved = resolve(recipe)
    data = resolved.build("data")
    out = _folder(own["out"])

    from rich.console import Console  # these only now: a mistyped word was answered without torch

    from weakseg.reporting.dataset_check import check_dataset, print_check

    found = check_dataset(
        data, int(own["workers"] or (os.cpu_count() or 1) * (len(data) >= ENOUGH))
    )
    lines = _cost(resolved, data, found) if own["cost"] == "true" else []
    print_check(found, Console())
    print("\n".join(lines), end="\n" * bool(lines))
    _write(data, found, out, own["sheet"])
    return found.errors


def _wrong_own(own: dict[str, str]) -> list[str]:
    errors = []
    if not (own["workers"] or "0").isdecimal() or len(own["workers"]) > 3:
        errors.append(
            f"workers: expected a whole number from 0 to 999, but it is {own['workers']!r}"
        )
    if own["cost"] not in ("true", "false"):
        errors.append(f"cost: expected true or false, but it is {own['cost']!r}")
    if own["sheet"] not in ("", "null"):
        errors += _wrong_sheet(own["sheet"])
    return errors


def _wrong_sheet(sheet: str) -> list[str]:
    if kind := kind_of(Path(sheet)):
        return [f"sheet: expected a file such as sheet.png, but {sheet} is {kind}"]
    parent = dirname(abspath(sheet))
    return [] if isdir(parent) else [f"sheet: there is no folder {parent}"]


def _folder(out: str) -> Path | None:
    """The folder to write into, made here, before anything long begins."""
    if out == "null":
        return None
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecipeError(
            f"out: the folder {out} cannot be made: {error.strerror}; name another, or write "
            "out=null"
        ) from None
    return Path(out)


def _write(data: WeakData, found: DatasetCheck, out: Path | None, sheet: str) -> None:
    from weakseg.reporting.contact_sheet import write_sheet
    from weakseg.utils.files import write_whole

    if out is not None:
        write_whole(
            out / "problems.txt", "".join(f"{problem}\n" for problem in found.problems).encode()
        )
        print(f"problems: {out / 'problems.txt'}\n" * bool(found.problems), end="")
    path = None if sheet == "null" else Path(sheet) if sheet else out and out / "sheet.png"
    if path is not None:
        write_sheet(data, path)
        print(f"contact sheet: {path}")


def _cost(recipe: Resolved, data: WeakData, found: DatasetCheck) -> list[str]:
    """What a training by the recipe takes, in lines; a step that takes too much memory becomes a
    problem among the others."""
    from weakseg.reporting.dataset_check import Problem
    from weakseg.training.memory_budget import describe_cost
    from weakseg.training.segmenter import Segmenter

    if not found.sizes or not data.training:
        return []
    untrained = recipe.with_random_weights()  # which change nothing of what a step takes
    network, strategy = (
        untrained.build(section, classes=len(data.classes)) for section in ("network", "strategy")
    )
    segmenter = Segmenter(network, strategy, data.classes)
    trainer = recipe.sections["trainer"]
    lines, excess = describe_cost(segmenter, data, found.sizes, recipe.name, trainer)
    if excess:
        found.problems.append(Problem("a training step", "its memory", *excess, "warning"))
    photographs = (
        recipe.sections["data"].get("name") != "toy"
        and recipe.origins.get("optimizer.lr") != "command line"
    )
    return [*lines, PHOTOGRAPHS] if lines and photographs else lines


if __name__ == "__main__":
    raise SystemExit(1 if main() else 0)
