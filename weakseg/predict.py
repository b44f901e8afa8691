"""Predict images with a trained network: `python -m weakseg.predict run=runs/boxes/latest
images=photos out=masks`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from weakseg.config.verb import Verb, words_of
from weakseg.utils.command import run_command
from weakseg.utils.messages import counted, printable

if TYPE_CHECKING:
    from weakseg.prediction.images import Predicted

VERB = Verb(
    "predict",
    "weakseg.prediction.images.predict_images",
    sections=("predict",),
    examples=(
        "run=runs/boxes/latest images=photos out=masks overlay=true",
        "run=runs/boxes/latest images='photos/*.jpg' out=masks format=coco predict.flip=true",
        "run=boxes.onnx images=photos out=masks parts=8 part=3",
    ),
    check="weakseg.prediction.listing.check_words",
)
SHOWN = 10  # broken images that are named on the screen; the summary names all


def main(argv: Sequence[str] | None = None) -> Predicted:
    """Predict what the words of a command line name. Mistyped words exit with code 2."""
    return _run(sys.argv[1:] if argv is None else argv, {})


def command(argv: Sequence[str] | None = None) -> int:
    """The same as a command: what goes wrong is reported in a line. Returns the exit code, 1 if an
    image was broken, 130 and 143 after SIGINT and SIGTERM."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda sections: int(bool(_run(words, sections).broken)))


def _run(words: Sequence[str], sections: dict[str, Any]) -> Predicted:
    with words_of(VERB, words, sections) as given:
        # torch only now: a mistyped word was answered without it
        from weakseg.prediction.images import predict_images

        done = predict_images(**given)
    print("\n".join(table(done)))
    return done


def table(done: Predicted) -> list[str]:
    """What was done, for the screen."""
    seconds = f"{done.seconds:.1f} seconds, {done.rate:.1f} images per second"
    rows = [
        ("network", done.model),
        ("predicted", f"{counted(done.predicted, 'image')} in {seconds}"),
        ("there already", counted(done.skipped, "image") if done.skipped else ""),
        ("broken", counted(len(done.broken), "image") if done.broken else ""),
        ("masks", str(done.folder)),
        ("also", ", ".join(map(str, done.files))),
        ("summary", str(done.summary)),
    ]
    lines = [f"{name:14}{text}" for name, text in rows if text]
    broken = [f"  {each.name}: {each.reason}" for each in done.broken[:SHOWN]]
    more = len(done.broken) - len(broken)
    broken += [f"  and {more} more, in {done.summary.name}"] if more > 0 else []
    return [printable(line) for line in (*lines, *broken)]


if __name__ == "__main__":
    sys.exit(command())
