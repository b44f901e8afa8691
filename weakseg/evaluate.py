"""Measure a trained network on a data set with truth: `python -m weakseg.evaluate
run=runs/boxes/latest`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from weakseg.config.verb import Verb, words_of
from weakseg.utils.command import run_command

if TYPE_CHECKING:
    from weakseg.evaluation.results import Evaluation

VERB = Verb(
    "evaluate",
    "weakseg.evaluation.model.evaluate_model",
    sections=("data", "predict", "logger"),
    examples=(
        "run=runs/boxes/latest",
        "run=runs/boxes/latest data=folder data.root=test data.format=mask_png "
        '"data.classes=[cat,dog]"',
        "run=net.onnx data=voc data.root=VOCdevkit out=onnx-on-voc",
        'run=runs/boxes/latest "predict.scales=[0.75,1,1.25]" predict.flip=true least_miou=0.6',
        "run=runs/boxes/latest logger=wandb",
        "run=runs/boxes/latest data=voc data.root=VOCdevkit out=on-voc parts=8 part=3",
    ),
    check="weakseg.evaluation.words.check_words",
)


def main(argv: Sequence[str] | None = None) -> Evaluation:
    """Evaluate as the words of a command line say, and print the tables. Mistyped words exit with
    code 2."""
    return _run(list(sys.argv[1:] if argv is None else argv), {})


def command(argv: Sequence[str] | None = None) -> int:
    """The same as a command: what goes wrong is reported in a line. Returns the exit code, 1 if the
    mean IoU is below `least_miou`."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda sections: int(not _run(words, sections).reached))


def _run(argv: Sequence[str], sections: dict[str, Any]) -> Evaluation:
    with words_of(VERB, argv, sections) as words:
        from rich.console import Console

        from weakseg.evaluation.folder import PAGE
        from weakseg.evaluation.model import evaluate_model
        from weakseg.evaluation.results import SUMMARY
        from weakseg.evaluation.tables import print_evaluation
        from weakseg.reporting.tables import figure_text

        evaluation = evaluate_model(**words)
        if evaluation.missing_parts:
            print(_waiting(evaluation, words.get("part", 1), words["parts"]))
            return evaluation
        print_evaluation(evaluation, Console())
        print(f"report: {evaluation.folder}/{PAGE}")
        print(f"summary: {evaluation.folder}/{SUMMARY}")
        if not evaluation.reached:
            came = figure_text(evaluation.figures.get("miou"))
            wanted = f"least_miou={evaluation.least_miou:g}"
            print(f"the mean IoU is {came}, but should reach {wanted}", file=sys.stderr)
        return evaluation


def _waiting(evaluation: Evaluation, part: int, parts: int) -> str:
    """What was done of an evaluation in several parts, and what is missing."""
    others = ", ".join(map(str, evaluation.missing_parts))
    one = len(evaluation.missing_parts) == 1
    return (
        f"part {part} of {parts} is counted; part{'' if one else 's'} {others} "
        f"{'is' if one else 'are'} not yet; the last one writes {evaluation.folder}"
    )


if __name__ == "__main__":
    sys.exit(command())
