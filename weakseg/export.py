"""Export a trained network: `python -m weakseg.export run=runs/boxes/latest format=onnx`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from weakseg.config.verb import Verb, words_of
from weakseg.utils.command import run_command

if TYPE_CHECKING:
    from weakseg.trained.exporting import Export

VERB = Verb(
    "export",
    "weakseg.trained.exporting.export_model",
    examples=(
        "run=runs/boxes/latest format=onnx",
        "run=runs/boxes/latest format=hub out=boxes-toy licence=mit",
    ),
)


def main(argv: Sequence[str] | None = None) -> Export:
    """Export what the words of a command line ask for. Mistyped words exit with code 2."""
    return _export(list(sys.argv[1:] if argv is None else argv), {})


def command(argv: Sequence[str] | None = None) -> int:
    """The same as a command: what goes wrong is reported in a line. Returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)

    def work(secrets: dict[str, Any]) -> int:
        _export(words, secrets)
        return 0

    return run_command(work)


def _export(words: Sequence[str], secrets: dict[str, Any]) -> Export:
    with words_of(VERB, words, secrets) as given:
        # torch only now: a mistyped word was answered without it
        from weakseg.trained.exporting import export_model

        export = export_model(**given)
    size = sum(file.stat().st_size for file in [export.path, *export.path.glob("*")])
    print(f"exported: {export.path} ({size / 1e6:.1f} MB)")
    print(f"compared: {export.comparison}")
    if export.times is not None:
        print(f"time: {export.times}")
    return export


if __name__ == "__main__":
    sys.exit(command())
