"""The pseudo-labels of a data set as files: `python -m weakseg.label recipe=boxes data=folder
data.root=photos out=labels`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from weakseg.config.verb import Verb, words_of
from weakseg.utils.command import run_command
from weakseg.utils.messages import counted, named, printable, results

if TYPE_CHECKING:
    from weakseg.labelling.dataset import Labelled

VERB = Verb(
    "label",
    "weakseg.labelling.dataset.label_dataset",
    sections=("data", "strategy", "network", "rounds", "predict"),
    examples=(
        "recipe=boxes data=folder data.root=photos data.format=coco out=labels",
        "run=runs/scribbles/latest out=labels format=cvat",
        "recipe=boxes_coseg out=labels parts=8 part=3 describe=true",
    ),
    check="weakseg.labelling.words.check_words",
)
NAMED = 5  # suspicious images on the screen; the summary has all, in this order


def main(argv: Sequence[str] | None = None) -> Labelled:
    """Label the data set that the words of a command line name; returns what was done. Mistyped
    words exit with code 2."""
    return _run(list(sys.argv[1:] if argv is None else argv), {})


def command(argv: Sequence[str] | None = None) -> int:
    """The same as a command: what goes wrong is reported in a line. Returns the exit code, 1 if an
    image is broken, 130 and 143 after SIGINT and SIGTERM."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda sections: int(len(_run(words, sections).broken) > 0))


def _run(words: Sequence[str], sections: dict[str, Any]) -> Labelled:
    with words_of(VERB, words, sections) as arguments:
        # torch only now: a mistyped word was answered without it
        from weakseg.labelling.dataset import label_dataset

        done = label_dataset(**arguments)
    print("\n".join([done.described] if done.described else lines(done)))
    return done


def lines(done: Labelled) -> list[str]:
    """What was done, for the screen."""
    summary = done.summary.name
    problems = (
        named("without evidence", done.without, summary),
        named("broken", done.broken, summary),
    )
    speed = f" in {done.seconds:.1f} seconds, {done.estimated} of them estimated now"
    worst = [f"most suspicious: {', '.join(done.worst[:NAMED])}"] if done.worst else []
    shown = [
        *([f"network: {done.model}"] if done.model else []),
        f"method: {done.method}",
        f"labelled: {counted(done.labelled, 'image')}{speed if done.labelled else ''}",
        *worst,
        *results(done.folder, done.files, done.summary, done.skipped, *problems),
    ]
    return [printable(line) for line in shown]


if __name__ == "__main__":
    sys.exit(command())
