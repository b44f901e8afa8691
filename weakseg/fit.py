"""Train a segmentation network from a recipe: `python -m weakseg.fit recipe=boxes`."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from weakseg.recipe import RecipeError, check, check_spelling, list_recipes, load, show, usage

_as_usual = warnings.formatwarning


def main(argv: Sequence[str] | None = None) -> Path:
    """Run what the words of a command line ask for; returns the folder of the run. Mistyped words exit with code 2."""
    words = list(sys.argv[1:] if argv is None else argv)
    flags = {word for word in words if word.startswith("-")}
    try:
        if not words or flags & {"--help", "-h"}:
            _say(usage())
        if "--list" in flags:
            width = max(map(len, list_recipes()))
            _say("\n".join(f"{name:{width}}  {line}" for name, line in list_recipes().items()))
        recipe = load([word for word in words if word != "--show"])
        _wait_quietly()
        warnings.formatwarning = _plain
        check_spelling(recipe)  # this needs no torch; what follows does
        check(recipe)
        if "--show" in flags:
            _say(show(recipe))
        from weakseg.run import fit  # torch and Lightning only now: a mistyped word was answered without them

        return fit(recipe)
    except RecipeError as error:
        print("\n".join(error.errors), file=sys.stderr)
        raise SystemExit(2) from None


def _wait_quietly() -> None:
    """Let torch's threads sleep while they wait: spinning ones slow a step tenfold when another program uses a core."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")


def _plain(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    """Our own warnings are for whoever trains, who does not care for the line of our code."""
    if Path(__file__).parent in Path(filename).parents:
        return f"warning: {message}\n"
    return _as_usual(message, category, filename, lineno, line)


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(0)


if __name__ == "__main__":
    main()
