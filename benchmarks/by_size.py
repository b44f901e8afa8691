"""How good a trained network is on images with small objects, and on those with large ones."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Mapping, Sequence
from math import isnan, nan
from pathlib import Path
from statistics import mean

from sweep import Figures, cell

from weakseg.evaluation.model import evaluate_model
from weakseg.evaluation.results import Evaluation
from weakseg.functional.object_sizes import SIZES, SizeCounts

NAMES = tuple(f"val/iou/{size}" for size in SIZES)
IMAGES = tuple(f"val/images/{size}" for size in SIZES)


def figures_by_size(run: Path) -> Figures:
    """The mean IoU over the images of each size of object, and how many of these there are: of the
    last weights of a run, whose checkpoints, which are large, are removed afterwards."""
    checkpoints = run / "checkpoints"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        evaluation = evaluate_model(checkpoints / "last.ckpt", out=run / "evaluation")
    shutil.rmtree(checkpoints)
    rows = counted(evaluation).rows()
    figures = {name: row.iou for name, row in zip(NAMES, rows, strict=True)}
    counts = {name: float(row.images) for name, row in zip(IMAGES, rows, strict=True)}
    return {name: value for name, value in {**figures, **counts}.items() if not isnan(value)}


def counted(evaluation: Evaluation) -> SizeCounts:
    """The images of an evaluation by the size of their objects."""
    counts = SizeCounts()
    classes = len(evaluation.classes)
    for place in range(len(evaluation.images)):
        _, truth, prediction, pixels = evaluation.cells[evaluation.cells[:, 0] == place].T
        confusion = evaluation.cells.new_zeros(classes, classes)
        confusion[truth, prediction] = pixels
        counts.add_confusion(confusion, float(confusion[1:].sum() / confusion.sum().clamp(min=1)))
    return counts


def size_table(results: Mapping[str, Sequence[Figures]]) -> str:
    """A row per recipe: the mean IoU of the images of each size, with its ratio to that of full
    masks, as markdown."""
    full = results.get("full", ())
    images = [next((seed[name] for seed in full if name in seed), nan) for name in IMAGES]
    heads = [
        size if isnan(count) else f"{size} ({count:.0f} images)"
        for size, count in zip(SIZES, images, strict=True)
    ]
    lines = ["| recipe | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for recipe, seeds in results.items():
        cells = [_with_ratio([each[n] for each in seeds if n in each], full, n) for n in NAMES]
        lines.append(f"| `{recipe}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _with_ratio(values: Sequence[float], full: Sequence[Figures], name: str) -> str:
    best = [each[name] for each in full if name in each]
    if not values or not best or not mean(best):
        return cell(values)
    return f"{cell(values)} ({mean(values) / mean(best):.2f})"
