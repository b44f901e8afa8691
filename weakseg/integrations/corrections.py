"""Masks that people have corrected in an annotation tool as corrections: `python -m
weakseg.integrations.corrections run=runs/boxes/latest annotations=export.json`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from weakseg.config.verb import Verb, words_of
from weakseg.utils.command import run_command
from weakseg.utils.messages import counted, named, printable

if TYPE_CHECKING:
    from weakseg.integrations.exported_masks import Imported

VERB = Verb(
    "integrations.corrections",
    "weakseg.integrations.exported_masks.import_masks",
    sections=("data",),
    examples=(
        "run=runs/boxes/latest annotations=export.json",
        "run=runs/boxes/latest annotations=annotations.xml format=cvat",
    ),
)


def main(argv: Sequence[str] | None = None) -> Imported:
    """Take the masks that the words of a command line name. Mistyped words exit with code 2."""
    return _run(sys.argv[1:] if argv is None else argv, {})


def command(argv: Sequence[str] | None = None) -> int:
    """The same as a command: what goes wrong is reported in a line. Returns the exit code, 1 if an
    image's mask could not be taken, 130 and 143 after SIGINT and SIGTERM."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda sections: int(bool(_run(words, sections).failed)))


def _run(words: Sequence[str], sections: dict[str, Any]) -> Imported:
    with words_of(VERB, words, sections) as given:
        # torch only now: a mistyped word was answered without it
        from weakseg.integrations.exported_masks import import_masks

        done = import_masks(**given)
    print("\n".join(lines(done)))
    return done


def lines(done: Imported) -> list[str]:
    """What was done, for the screen."""
    same = [f"corrected so already: {counted(done.same, 'image')}"] if done.same else []
    shown = [
        f"corrected: {counted(done.corrected, 'image')}",
        *same,
        *named("not taken", done.failed, "the export"),
        f"corrections: {done.folder}",
        f"train with them: {done.train}",
    ]
    return [printable(line) for line in shown]


if __name__ == "__main__":
    sys.exit(command())
