"""Look at a data set before training on it: `python -m weakseg.check data=folder data.root=photos data.format=coco`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from weakseg.recipe import RecipeError, build_section, check, load

USAGE = """\
usage: python -m weakseg.check data=<name> [data.<key>=value ...]

  data=folder data.root=photos data.format=coco   a data set, as `weakseg.fit` takes it: what is in the package, or my_module.MyData
  recipe=<name or file>                           the data set of a recipe
  sheet=check.png                                 where the contact sheet goes; sheet=null for none
  workers=4                                       processes that look at images; 0 for none beside this one

Reads everything, prints all problems and how often each class comes, and draws some images with their annotations.
The exit code is 0 if there is no error, 1 if there is one, 2 if the words are wrong."""
OWN = {"sheet": "check.png", "workers": ""}
ENOUGH = 200  # images from which on further processes are worth their start


def main(argv: Sequence[str] | None = None) -> int:
    """Check the data set that the words of a command line name; returns how many errors there are. Mistyped words exit with code 2."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or {"--help", "-h"} & set(words):
        print(USAGE)
        raise SystemExit(0)
    own = OWN | dict(word.split("=", 1) for word in words if word.partition("=")[0] in OWN and "=" in word)
    words = [word for word in words if word.partition("=")[0] not in OWN]
    try:
        return _check(words, own["sheet"], own["workers"])
    except RecipeError as error:
        print("\n".join(error.errors), file=sys.stderr)
        raise SystemExit(2) from None


def _check(words: list[str], sheet: str, workers: str) -> int:
    starts = [word.partition("=")[0] for word in words]
    errors = []
    if not {"recipe", "resume", "data", "data.name"} & set(starts):
        errors.append("data: missing; write data=folder, or another data set, and recipe=<name> for that of a recipe")
    if not (workers or "0").isdecimal():
        errors.append(f"workers: expected a whole number, at least 0, but it is {workers!r}")
    if sheet != "null" and not Path(sheet).resolve().parent.is_dir():
        errors.append(f"sheet: there is no folder {Path(sheet).resolve().parent}")
    try:  # a recipe has more sections than are looked at here; any will do for those
        recipe = load(words) if {"recipe", "resume"} & set(starts) else load(["recipe=full", *words], keep=False)
    except RecipeError as error:
        raise RecipeError(errors + error.errors) from None
    if errors:
        raise RecipeError(errors)
    check(recipe)
    data = build_section(recipe, "data")

    from rich.console import Console  # these only now: a mistyped word was answered without torch

    from weakseg.contact_sheet import write_sheet
    from weakseg.doctor import diagnose, tell

    found = diagnose(data, int(workers or (os.cpu_count() or 1) * (len(data) >= ENOUGH)))
    tell(found, Console())
    if sheet != "null":
        write_sheet(data, Path(sheet))
        print(f"contact sheet: {sheet}")
    return found.errors


if __name__ == "__main__":
    raise SystemExit(1 if main() else 0)
