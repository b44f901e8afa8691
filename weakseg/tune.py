"""Settings of a strategy, chosen by the evidence itself: `python -m weakseg.tune recipe=boxes
data=folder data.root=photos out=tuned`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from weakseg.config.verb import Verb, words_of
from weakseg.utils.command import run_command

if TYPE_CHECKING:
    from weakseg.tuning.results import Tuned

VERB = Verb(
    "tune",
    "weakseg.tuning.strategy.tune_strategy",
    sections=("data", "strategy", "network", "rounds"),
    mappings=("grid",),
    examples=(
        "recipe=boxes data=folder data.root=photos network.encoder=mobilenet_v2 "
        "network.weights=imagenet out=tuned",
        'recipe=scribbles out=tuned "grid.appearance=[0,0.5,1]" candidates=6',
    ),
    check="weakseg.tuning.words.check_words",
)


def main(argv: Sequence[str] | None = None) -> Tuned:
    """Tune as the words of a command line say, and print the table. Mistyped words exit with
    code 2."""
    return _run(list(sys.argv[1:] if argv is None else argv), {})


def command(argv: Sequence[str] | None = None) -> int:
    """The same as a command: what goes wrong is reported in a line. Returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda sections: int(not _run(words, sections).rows))


def _run(argv: Sequence[str], sections: dict[str, Any]) -> Tuned:
    with words_of(VERB, argv, sections) as words:
        from rich.console import Console

        from weakseg.tuning.results import PAGE, RECIPE
        from weakseg.tuning.strategy import tune_strategy
        from weakseg.tuning.tables import print_tuned

        tuned = tune_strategy(**words)
        print_tuned(tuned, Console())
        print(f"page: {tuned.folder}/{PAGE}")
        print(f"recipe: {tuned.folder}/{RECIPE}")
        return tuned


if __name__ == "__main__":
    sys.exit(command())
