"""Compare trained networks on the same images: `python -m weakseg.compare
runs=[runs/boxes/latest,runs/tags/latest]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from weakseg.config.verb import Verb, words_of
from weakseg.utils.command import run_command

if TYPE_CHECKING:
    from weakseg.evaluation.compared import Comparison

VERB = Verb(
    "compare",
    "weakseg.evaluation.comparison.compare_runs",
    sections=("logger",),
    examples=(
        '"runs=[runs/boxes/latest,runs/tags/latest]"',
        '"runs=[runs/full/latest/evaluation,onnx-on-voc,hub-on-voc]" out=full-and-exported',
        '"runs=[runs/boxes/latest,runs/tags/latest]" logger=wandb',
    ),
)


def main(argv: Sequence[str] | None = None) -> Comparison:
    """Compare what the words of a command line name, and print the table. Mistyped words exit with
    code 2."""
    return _run(list(sys.argv[1:] if argv is None else argv), {})


def command(argv: Sequence[str] | None = None) -> int:
    """The same as a command: what goes wrong is reported in a line. Returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)

    def work(sections: dict[str, Any]) -> int:
        _run(words, sections)
        return 0

    return run_command(work)


def _run(argv: Sequence[str], sections: dict[str, Any]) -> Comparison:
    with words_of(VERB, argv, sections) as words:
        from rich.console import Console

        from weakseg.evaluation.comparison import PAGE, compare_runs
        from weakseg.evaluation.comparison_files import SUMMARY, print_comparison

        comparison = compare_runs(**words)
        print_comparison(comparison, Console())
        print(f"report: {comparison.folder}/{PAGE}")
        print(f"summary: {comparison.folder}/{SUMMARY}")
        return comparison


if __name__ == "__main__":
    sys.exit(command())
