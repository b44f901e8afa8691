"""Evaluation, what is known of a network on a data set, and the files that keep it."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from weakseg.evaluation.counting import ImageFigures
from weakseg.utils.files import write_whole
from weakseg.utils.remote_path import as_path

SUMMARY = "summary.json"
TABLE = "images.csv"
CONFUSIONS = "confusions.npz"


@dataclass(frozen=True)
class Evaluation:
    """The figures of a trained network on a data set, by names that docs/reference/figures.md
    explains."""

    classes: tuple[str, ...]
    figures: dict[str, float]
    """such as miou and iou/cat; nan where there is nothing to measure"""
    per_class: list[dict[str, Any]]
    """a row per class: `class`, and its figures"""
    images: list[dict[str, Any]]
    """a row per image: `name`, and its figures"""
    measured_on: str
    """which images of which data set"""
    model: dict[str, Any]
    """where the network comes from, as in `Origin`"""
    data: dict[str, Any]
    """the section `data`; empty for a data set that was made in Python"""
    reliability: list[dict[str, float]]
    """a row per bin of confidence that has pixels: `confidence`, `accuracy`, `pixels`"""
    cells: Tensor
    """confusion of every image, int64 [K,4]: the place of the image in `images`, class of the
    truth, class predicted, pixels; of those that are not zero"""
    folder: Path | None = None
    """where its files are"""
    least_miou: float | None = None
    """the mean IoU that was to be reached"""
    settings: dict[str, Any] = field(default_factory=dict)
    """how it predicted: scales, mirror image, windows, CRF"""
    missing_parts: tuple[int, ...] = ()
    """of an evaluation in several parts those whose images are not counted yet: then the figures
    are those of the others, and nothing is written"""

    @property
    def confusion(self) -> Tensor:
        """Pixels of all images, int64 [C,C], with a row per class of the truth."""
        size = len(self.classes)
        _, truth, prediction, pixels = self.cells.T
        total = torch.zeros(size * size, dtype=torch.int64)
        return total.index_add_(0, truth * size + prediction, pixels).view(size, size)

    @property
    def reached(self) -> bool:
        """Whether the mean IoU is as high as was wanted, or nothing was wanted, or nobody knows
        yet."""
        if self.least_miou is None or self.missing_parts:
            return True
        return self.figures.get("miou", math.nan) >= self.least_miou


class Head(NamedTuple):
    """What else stands in the summary."""

    command: str
    versions: dict[str, str]
    seconds: float


def cells_of(images: Sequence[ImageFigures]) -> Tensor:
    """The confusions of all images, as `Evaluation.cells` has them."""
    parts = [
        torch.cat([torch.full((len(image.cells), 1), place), image.cells], 1)
        for place, image in enumerate(images)
    ]
    return torch.cat([torch.zeros(0, 4, dtype=torch.int64), *parts])


def write_evaluation(folder: Path, evaluation: Evaluation, head: Head) -> None:
    """Write summary.json, images.csv and confusions.npz, each whole or not at all; the summary is
    the last one."""
    write_whole(folder / CONFUSIONS, _confusions(evaluation))
    write_whole(folder / TABLE, _table(evaluation).encode())
    content = {
        "command": head.command,
        "versions": head.versions,
        "model": evaluation.model,
        "classes": list(evaluation.classes),
        "predict": evaluation.settings,
        "data": evaluation.data,
        "measured_on": evaluation.measured_on,
        "seconds": round(head.seconds, 3),
        "least_miou": evaluation.least_miou,
        "figures": evaluation.figures,
        "per_class": evaluation.per_class,
        "reliability": evaluation.reliability,
    }
    text = json.dumps(_without_nan(content), indent=2, ensure_ascii=False, allow_nan=False)
    rows = ",\n".join(
        f"    {json.dumps(_without_nan(row), ensure_ascii=False, allow_nan=False)}"
        for row in evaluation.images
    )
    write_whole(folder / SUMMARY, f'{text[:-2]},\n  "images": [\n{rows}\n  ]\n}}\n'.encode())


def read_evaluation(folder: Path | str) -> Evaluation:
    """An evaluation from the files in its folder; a ValueError says what is missing."""
    folder = as_path(folder)
    for name in (SUMMARY, CONFUSIONS):
        if not (folder / name).is_file():
            raise ValueError(
                f"{folder} holds no evaluation: there is no {name}; "
                "python -m weakseg.evaluate run=<run> writes one"
            )
    content = json.loads((folder / SUMMARY).read_bytes())
    if "figures" not in content or "measured_on" not in content:
        raise ValueError(f"{folder / SUMMARY} is of another command, not of an evaluation")
    with np.load(io.BytesIO((folder / CONFUSIONS).read_bytes()), allow_pickle=False) as arrays:
        columns = [arrays[name] for name in ("image", "truth", "prediction", "pixels")]
    return Evaluation(
        classes=tuple(content["classes"]),
        figures=_with_nan(content["figures"]),
        per_class=[_with_nan(row) for row in content["per_class"]],
        images=[_with_nan(row) for row in content["images"]],
        measured_on=content["measured_on"],
        model=content["model"],
        data=content["data"],
        reliability=content["reliability"],
        cells=torch.from_numpy(np.stack(columns, 1).astype(np.int64)),
        folder=folder,
        least_miou=content["least_miou"],
        settings=content["predict"],
    )


def _table(evaluation: Evaluation) -> str:
    """One line per image, with a column per class; empty where there is nothing to measure."""
    file = io.StringIO()
    rows = [_flat(row) for row in evaluation.images]
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = csv.DictWriter(file, names, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return file.getvalue()


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        each = (
            {f"{name}/{label}": figure for label, figure in value.items()}
            if isinstance(value, Mapping)
            else {name: value}
        )
        flat |= {key: "" if _is_nan(figure) else figure for key, figure in each.items()}
    return flat


def _confusions(evaluation: Evaluation) -> bytes:
    file = io.BytesIO()
    image, truth, prediction, pixels = evaluation.cells.numpy().T
    np.savez_compressed(
        file,
        names=np.array([row["name"] for row in evaluation.images], dtype=np.str_),
        classes=np.array(evaluation.classes, dtype=np.str_),
        image=image.astype(np.int32),
        truth=truth.astype(np.uint8),
        prediction=prediction.astype(np.uint8),
        pixels=pixels,
    )
    return file.getvalue()


def _without_nan(value: Any) -> Any:
    """JSON has no nan."""
    if isinstance(value, Mapping):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if _is_nan(value) else value


def _with_nan(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _with_nan(value)
        if isinstance(value, Mapping)
        else math.nan
        if value is None
        else value
        for key, value in row.items()
    }


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
