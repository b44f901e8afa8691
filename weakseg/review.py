"""A page on which a person corrects the evidence of a data set: `python -m weakseg.review
run=runs/boxes/latest`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from weakseg.config.verb import Verb, words_of
from weakseg.utils.command import run_command

if TYPE_CHECKING:
    from weakseg.reviewing.dataset import Reviewed

VERB = Verb(
    "review",
    "weakseg.reviewing.dataset.review_dataset",
    sections=("data", "strategy", "network", "predict", "rounds"),
    examples=(
        "run=runs/boxes/latest",
        "data=folder data.root=photos",
    ),
    check="weakseg.reviewing.words.check_words",
)


def main(argv: Sequence[str] | None = None) -> Reviewed:
    """Serve the page that the words of a command line ask for, until Ctrl+C. Mistyped words exit
    with code 2."""
    return _run(list(sys.argv[1:] if argv is None else argv), {})


def command(argv: Sequence[str] | None = None) -> int:
    """The same as a command: what goes wrong is reported in a line. Returns the exit code, 130 and
    143 after SIGINT and SIGTERM."""
    words = list(sys.argv[1:] if argv is None else argv)

    def work(secrets: dict[str, Any]) -> int:
        _run(words, secrets)
        return 0

    return run_command(work)


def _run(words: Sequence[str], secrets: dict[str, Any]) -> Reviewed:
    with words_of(VERB, words, secrets) as given:
        # torch only now: a mistyped word was answered without it
        from weakseg.reviewing.dataset import review_dataset

        return review_dataset(**given)


if __name__ == "__main__":
    sys.exit(command())
