"""Does `python -m weakseg.tune` choose well? What it measures without any truth, against the mean
IoU of the labels with the truth, which it does not use.

    python benchmarks/tune.py recipe=boxes data.root=<VOCdevkit> ...   words as for weakseg.tune

Prints a line for each measure: the rank correlation with the mean IoU over the settings; the
mean IoU of the setting with the highest score less that of the recipe as it is (gain), and what is
lost against the best of all (regret); and the gain of what is recommended. A gain below zero means
that the choice does harm. Images with truth are needed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from scipy.stats import spearmanr

from weakseg.tune import main as tune

MEASURES = ("consistency", "hidden", "both")


def main(argv: Sequence[str]) -> None:
    words = list(argv)
    with TemporaryDirectory() as folder:
        out = [] if any(word.startswith("out=") for word in words) else [f"out={folder}"]
        tuned = tune([*words, *out])
        summary = json.loads((Path(tuned.folder) / "summary.json").read_bytes())
    for line in lines(summary):
        print(line)


def lines(summary: dict[str, Any]) -> list[str]:
    """What a summary says of each measure."""
    settings = summary["settings"]
    truth = [each.get("truth_miou_not_used") for each in settings]
    if None in truth:
        return ["no image has a truth: there is nothing to compare with"]
    found = [
        f"mean IoU of the targets: {truth[0]:.3f} of the recipe as it is, {max(truth):.3f} at "
        f"best, {min(truth):.3f} at worst, {len(truth)} settings, {summary['images']} images"
    ]
    if len(summary["measures"]) > 1:
        settings = [{**each, "both": each["difference"][0]} for each in settings]
    for name in MEASURES:
        if name in settings[0]:
            scores = [each[name] for each in settings]
            place = scores.index(max(scores))
            correlation = spearmanr(scores, truth).statistic
            found.append(
                f"{name}: rank correlation {correlation:+.2f}, gain {truth[place] - truth[0]:+.3f},"
                f" regret {max(truth) - truth[place]:.3f} ({settings[place]['setting']})"
            )
    chosen = next(each for each in settings if each["setting"] == summary["strategy"])
    gain = chosen["truth_miou_not_used"] - truth[0]
    found.append(f"recommended by {' and '.join(summary['measures'])}: gain {gain:+.3f}")
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
