"""Train a segmentation network from a recipe: `python -m weakseg.fit recipe=boxes`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from weakseg.config.recipe import (
    RecipeError,
    Resolved,
    check_spelling,
    list_recipes,
    resolve,
    show,
    usage,
)
from weakseg.training.job_start import start_of
from weakseg.utils.command import (
    load_torch,
    own_environment,
    print_and_exit,
    print_mistakes,
    run_command,
)
from weakseg.utils.messages import one_line


def main(argv: Sequence[str] | None = None) -> Path:
    """Run what the words of a command line ask for; returns the folder of the run. Mistyped words
    exit with code 2."""
    return _run(list(sys.argv[1:] if argv is None else argv), {})


def command(argv: Sequence[str] | None = None) -> int:
    """The same as a command: what goes wrong is reported in a line. Returns the exit code, 130 and
    143 after SIGINT and SIGTERM."""
    words = list(sys.argv[1:] if argv is None else argv)

    def work(sections: dict[str, Any]) -> int:
        _run(words, sections)
        return 0

    return run_command(work)


def _run(words: Sequence[str], sections: dict[str, Any]) -> Path:
    """Train; `sections` is filled with those of the recipe, as soon as they are known."""
    flags = {word for word in words if word.startswith("-")}
    try:
        if not words or flags & {"--help", "-h"}:
            print_and_exit(usage())
        if "--list" in flags:
            width = max(map(len, list_recipes()))
            print_and_exit(
                "\n".join(f"{name:{width}}  {line}" for name, line in list_recipes().items())
            )
        start = start_of([word for word in words if word != "--show"])
        recipe = start.recipe
        sections |= recipe.sections
        if start.finished is not None:
            print(f"the run of this job is finished: {start.finished}", file=sys.stderr)
            return start.finished
        with own_environment():
            check_spelling(recipe)  # this needs no torch; what follows does
            load_torch()
            resolved = resolve(recipe)
            if "--show" in flags:
                print_and_exit(show(_planned_to_show(resolved)))
            # torch and Lightning only now: a mistyped word was answered without them
            from weakseg.run import fit

            return fit(resolved, start.job)
    except RecipeError as error:
        raise SystemExit(print_mistakes(error.errors, sections)) from None


def _planned_to_show(recipe: Resolved) -> Resolved:
    """The recipe as it would be trained; as it is written, where its data set cannot be read."""
    from weakseg.planning.plan import planned

    try:
        return planned(recipe, quiet=True)
    except (RecipeError, ValueError, OSError) as error:
        print(f"auto stays open: {one_line(error)}", file=sys.stderr)
        return recipe


if __name__ == "__main__":
    sys.exit(command())
