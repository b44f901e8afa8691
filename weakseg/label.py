"""The pseudo-labels of a data set as files: `python -m weakseg.label recipe=boxes data=folder
data.root=photos out=labels`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from weakseg.config.verb import Verb, words_of
from weakseg.utils.command import run_command

if TYPE_CHECKING:
    from weakseg.labelling.dataset import Labelled

VERB = Verb(
    "label",
    "weakseg.labelling.dataset.label_dataset",
    sections=("data", "strategy", "network", "rounds", "predict"),
    examples=(
        "recipe=boxes data=folder data.root=photos data.format=coco out=labels",
        "run=runs/scribbles/latest out=labels format=cvat",
    ),
    check="weakseg.labelling.words.check_words",
)
NAMED = 5  # images that are named on the screen; the summary has all


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
        _print(done)
        return done


def _print(done: Labelled) -> None:
    """What was done, in a few lines; what is wrong with images on the stream of errors."""
    for failures, what in (
        (done.without, "left out, without the evidence"),
        (done.broken, "broken"),
    ):
        if failures:
            images = "image is" if len(failures) == 1 else "images are"
            print(f"{len(failures)} {images} {what}:", file=sys.stderr)
            for failure in failures[:NAMED]:
                print(f"  {failure.id}: {failure.reason}", file=sys.stderr)
    print(f"labels: {done.method}")
    print(
        f"{done.labelled} images labelled, {done.estimated} of them estimated now; "
        f"{done.skipped} were there already"
    )
    if done.worst:
        print(f"most suspicious: {', '.join(done.worst[:NAMED])}")
    more = len(done.files) - NAMED
    for file in (*done.files[:NAMED], done.summary):
        print(f"written: {file}")
    if more > 0:
        print(f"and {more} more files of the same format")


if __name__ == "__main__":
    sys.exit(command())
