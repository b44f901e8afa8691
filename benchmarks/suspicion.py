"""Does the score of `weakseg.label` find the worst labels? On a data set with true masks: the order
of the scores against how good the labels are.

    python benchmarks/suspicion.py recipe=boxes
    python benchmarks/suspicion.py run=runs/boxes/latest
    python benchmarks/suspicion.py recipe=boxes data=folder data.root=... data.masks=masks ...

The words are those of `weakseg.label`, without out=. Prints for the score, and for each measure
in the summary: its rank correlation with the IoU of the label (mean over the classes of the image),
and which part of the worst tenth is among the fifth of all images that it calls the most
suspicious; by chance that is a fifth.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sweep import setting

from weakseg.config.recipe import resolve
from weakseg.config.verb import read_words
from weakseg.data.base import WeakData
from weakseg.data.formats.images import read_mask
from weakseg.functional.confusion import confusion_matrix, mean_iou
from weakseg.label import VERB
from weakseg.labelling.dataset import label_dataset
from weakseg.labelling.images import name_of

Values = NDArray[np.float64]


def found(figure: Values, quality: Values) -> float:
    """Which part of the worst tenth is in the most suspicious fifth."""
    worst = set(np.argsort(quality, kind="stable")[: max(1, len(quality) // 10)].tolist())
    first = np.argsort(figure, kind="stable")[: len(quality) // 5].tolist()
    return len(worst & set(first)) / len(worst)


def qualities(data: WeakData, folder: Path, names: Sequence[str]) -> dict[str, float]:
    """Mean IoU of the label of each image that has a truth."""
    wanted = set(names)
    scores = {}
    for index in range(len(data)):
        evidence, truth = data.sample(index)
        name = name_of(data, index, evidence.id)
        if name in wanted and truth is not None:
            label = read_mask((folder / name).with_suffix(".png"))
            scores[name] = mean_iou(confusion_matrix(label, truth, len(data.classes)))
    return {name: score for name, score in scores.items() if score == score}


def table(entries: Mapping[str, dict[str, Any]], quality: Mapping[str, float]) -> str:
    """One row per measure."""
    good = np.array(list(quality.values()))
    lines = ["| measure | rank correlation | worst tenth found in a fifth |", "|---|---|---|"]
    names = ["score", *next(iter(entries.values()))["agreement"]]
    for measure in names:
        values = np.array(
            [
                entries[name]["score"]
                if measure == "score"
                else entries[name]["agreement"][measure]
                for name in quality
            ]
        )
        rank = spearmanr(values, good).statistic if np.ptp(values) else float("nan")
        lines.append(f"| {measure} | {rank:.2f} | {found(values, good):.2f} |")
    return "\n".join(lines)


def main() -> None:
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    with TemporaryDirectory() as folder:
        words = [*sys.argv[1:], f"out={folder}/labels"]
        request = read_words(VERB, words)
        done = label_dataset(**request.given)
        summary = json.loads(done.summary.read_text())
        entries = {entry["name"]: entry for entry in summary["images"]}
        assert request.recipe is not None
        data = resolve(request.recipe, ["data"]).build("data")
        quality = qualities(data, done.folder, list(entries))
        mean = np.mean(list(quality.values()))
        print(f"{setting()}; {' '.join(sys.argv[1:])}; {done.method}")
        print(f"{len(quality)} labels with a truth, of mean IoU {mean:.3f}\n")
        print(table(entries, quality))


if __name__ == "__main__":
    main()
