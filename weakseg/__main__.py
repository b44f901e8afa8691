"""All commands by one name: `weakseg fit recipe=boxes`, or `python -m weakseg fit recipe=boxes`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from weakseg.utils.messages import suggest

# in the order in which they are used
VERBS = {
    "check": "look at a data set before training on it",
    "review": "correct the evidence of a data set on a page, the most suspicious images first",
    "tune": "choose settings of a strategy by the evidence itself",
    "label": "make pseudo-labels of a data set, as files that annotation tools read",
    "fit": "train a segmentation network",
    "evaluate": "measure a trained network on images with masks",
    "compare": "compare trained networks on the same images",
    "predict": "segment a folder of images",
    "export": "turn a trained network into a graph or a published folder",
}
USAGE = "usage: weakseg <verb> [key=value ...]"
MORE = "`weakseg <verb> --help` says more; `python -m weakseg.<verb>` is the same."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first word names with all other words; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    verb = words[0] if words else "--help"
    if verb in ("--help", "-h"):
        print(usage())
        return 0
    if verb == "--version":
        print(f"weakseg {importlib.import_module('weakseg').__version__}")
        return 0
    if verb not in VERBS:
        print(f"{verb}: no such verb{suggest(verb, list(VERBS))}", file=sys.stderr)
        return 2
    code: int = importlib.import_module(f"weakseg.{verb}").command(words[1:])
    return code


def usage() -> str:
    """What `weakseg` alone prints."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:{width}}  {meaning}" for verb, meaning in VERBS.items()]
    return "\n".join([USAGE, "", *lines, "", MORE])


if __name__ == "__main__":
    sys.exit(main())
