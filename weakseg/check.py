"""Look at a data set before training on it: `python -m weakseg.check data=folder data.root=photos
data.format=coco`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# unlike Path's, these answer for names that no file can have
from os.path import abspath, dirname, isdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weakseg.config.recipe import RecipeError, check_spelling, load, resolve
from weakseg.utils.command import (
    load_torch,
    own_environment,
    print_and_exit,
    print_mistakes,
    run_command,
)
from weakseg.utils.messages import one_line
from weakseg.utils.paths import kind_of
from weakseg.utils.remote_path import as_path, expect_writable, is_url

if TYPE_CHECKING:
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
  tags_by=<model>                                 compare tags by a CLIP model, an id or a folder

Reads everything, prints all problems, how often each class comes and what a training takes, and
draws some images with their annotations. Without recipe= proposes one that fits the annotation.
The exit code is 0 if there is no error, 1 if there is one, 2 if the words are wrong."""
OWN = {"out": "runs/check", "sheet": "", "cost": "true", "workers": "", "tags_by": ""}
ENOUGH = 200  # images from which on further processes are worth their start


def main(argv: Sequence[str] | None = None) -> int:
    """Check the data set that the words of a command line name; returns how many errors there are.
    Mistyped words exit with code 2."""
    return _run(list(sys.argv[1:] if argv is None else argv), {})


def command(argv: Sequence[str] | None = None) -> int:
    """The same as a command: what goes wrong is reported in a line. Returns the exit code, 1 if
    there are errors in the data set, 130 and 143 after SIGINT and SIGTERM."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda sections: int(_run(words, sections) > 0))


def _run(words: list[str], sections: dict[str, Any]) -> int:
    """Check; `sections` is filled with those of the recipe, as soon as they are known."""
    if not words or {"--help", "-h"} & set(words):
        print_and_exit(USAGE)
    own = OWN | dict(
        word.split("=", 1) for word in words if word.partition("=")[0] in OWN and "=" in word
    )
    words = [word for word in words if word.partition("=")[0] not in OWN]
    try:
        with own_environment():
            return _check(words, own, sections)
    except RecipeError as error:
        raise SystemExit(print_mistakes(error.errors, sections)) from None


def _check(words: list[str], own: dict[str, str], sections: dict[str, Any]) -> int:
    starts = [word.partition("=")[0] for word in words]
    errors = _wrong_own(own)
    if not {"recipe", "resume", "data", "data.name"} & set(starts):
        errors.append(
            "data: missing; write data=folder, or another data set, and recipe=<name> for that of "
            "a recipe"
        )
    named = bool({"recipe", "resume"} & set(starts))
    try:  # a recipe has more sections than are looked at here; any will do for those
        recipe = load(words) if named else load(["recipe=full", *words], keep=False)
    except RecipeError as error:
        raise RecipeError(errors + error.errors) from None
    if errors:
        raise RecipeError(errors)
    sections |= recipe.sections
    check_spelling(recipe)
    load_torch()
    out = _folder(own["out"])
    from weakseg.planning.plan import plan_of, plan_text  # with torch
    from weakseg.planning.proposed_plan import proposed_plan

    looked_at = resolved = resolve(recipe)
    proposed = ""
    # whoever changes the strategy means that of the recipe which these words are checked by
    if named or any(start.partition(".")[0] == "strategy" for start in starts):
        plan = plan_of(resolved)
        looked_at = resolved = resolved.with_plan(plan.values, plan.reasons)
    else:
        resolved, plan, looked_at, proposed = proposed_plan(words, resolved)
    data = looked_at.build("data")

    from rich.console import Console  # these only now: a mistyped word was answered without torch

    from weakseg.reporting.check_results import training_cost, write_results
    from weakseg.reporting.dataset_check import check_dataset, print_check

    found = check_dataset(
        data, int(own["workers"] or (os.cpu_count() or 1) * (len(data) >= ENOUGH))
    )
    if own["tags_by"] not in ("", "null"):
        _compare_tags(data, found, own["tags_by"], out)
    lines = training_cost(resolved, data, found) if own["cost"] == "true" else []
    print_check(found, Console())
    lines += [proposed] * bool(proposed)
    lines += plan_text(resolved, plan) if plan.values else []
    print("\n".join(lines), end="\n" * bool(lines))
    write_results(data, found, out, own["sheet"])
    return found.errors


def _compare_tags(data: WeakData, found: DatasetCheck, model: str, out: Path | None) -> None:
    """Add what a CLIP model doubts of the tags to the problems, the most doubtful first, and write
    review.csv, in which all images are in the order in which a person should look at them."""
    from weakseg.foundation.clip import ClipEncoder
    from weakseg.reporting.problem import Problem
    from weakseg.suspicion import tag_words
    from weakseg.suspicion.queue import rank
    from weakseg.suspicion.review_file import NAME, write_queue
    from weakseg.trained.loading import choose_device

    encoder = ClipEncoder(model)
    try:
        encoder.check()
        found.remarks.append(f"tags are compared by {encoder.files.described}")
    except ValueError as error:
        raise RecipeError([f"tags_by: {one_line(error)}"]) from None
    encoder.use(choose_device("auto"))
    doubts = tag_words.doubts_of_tags(tag_words.readable(data), data.classes, encoder)
    for doubt in sorted(doubts, key=lambda each: (-each.doubt, each.image, each.label)):
        if doubt.doubt >= tag_words.DOUBTFUL:
            expected, came = doubt.told
            place = f"image {doubt.image}"
            found.problems.append(
                Problem(place, f"the tag {doubt.label}", expected, came, "warning")
            )
    if out is not None and doubts:
        signals = tag_words.signals_of_tags(doubts)
        write_queue(out / NAME, rank(signals), signals)
        print(f"queue: {out / NAME}")


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
    if is_url(sheet):
        return []
    if kind := kind_of(Path(sheet)):
        return [f"sheet: expected a file such as sheet.png, but {sheet} is {kind}"]
    parent = dirname(abspath(sheet))
    return [] if isdir(parent) else [f"sheet: there is no folder {parent}"]


def _folder(out: str) -> Path | None:
    """The folder to write into, made here, before anything long begins."""
    if out == "null":
        return None
    try:
        folder = as_path(out)
        expect_writable("out", folder)
        folder.mkdir(parents=True, exist_ok=True)
    except ValueError as error:
        raise RecipeError(one_line(error)) from None
    except OSError as error:
        raise RecipeError(
            f"out: the folder {out} cannot be made: {error.strerror}; name another, or write "
            "out=null"
        ) from None
    return folder


if __name__ == "__main__":
    sys.exit(command())
