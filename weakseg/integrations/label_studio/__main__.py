"""The command `python -m weakseg.integrations.label_studio run=runs/boxes/latest images=photos`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from weakseg.config.verb import Verb, words_of
from weakseg.utils.command import run_command

VERB = Verb(
    "integrations.label_studio",
    "weakseg.integrations.label_studio.serving.serve",
    sections=("predict",),
    examples=(
        "run=runs/boxes/latest images=photos",
        "run=boxes.onnx url=http://localhost:8080 port=9091",
    ),
    check="weakseg.integrations.label_studio.words.check_words",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve what the words of a command line name. Mistyped words exit with code 2."""
    _run(sys.argv[1:] if argv is None else argv, {})


def command(argv: Sequence[str] | None = None) -> int:
    """The same as a command: what goes wrong is reported in a line. Returns the exit code, 130 and
    143 after SIGINT and SIGTERM."""
    words = list(sys.argv[1:] if argv is None else argv)

    def work(sections: dict[str, Any]) -> int:
        _run(words, sections)
        return 0

    return run_command(work)


def _run(words: Sequence[str], sections: dict[str, Any]) -> None:
    with words_of(VERB, words, sections) as given:
        # torch only now: a mistyped word was answered without it
        from weakseg.integrations.label_studio.serving import serve

        serve(**given)


if __name__ == "__main__":
    sys.exit(command())
