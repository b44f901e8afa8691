"""Predict images with a trained network: `python -m weakseg.predict run=runs/boxes/latest
images=photos out=masks`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from weakseg.config.verb import Verb, words_of
from weakseg.utils.command import run_command
from weakseg.utils.messages import counted, named, printable, results

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
    print("\n".join(lines(done)))
    return done


def lines(done: Predicted) -> list[str]:
    """What was done, for the screen."""
    speed = f" in {done.seconds:.1f} seconds, {done.rate:.1f} images per second"
    broken = named("broken", done.broken, done.summary.name)
    shown = [
        f"network: {done.model}",
        f"predicted: {counted(done.predicted, 'image')}{speed if done.predicted else ''}",
        *results(done.folder, done.files, done.summary, done.skipped, broken),
    ]
    return [printable(line) for line in shown]


if __name__ == "__main__":
    sys.exit(command())
