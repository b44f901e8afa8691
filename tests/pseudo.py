"""A folder of labels as `weakseg.predict` and `weakseg.label` write it, without the network that it
takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from tests.small import Squares
from weakseg.data.formats.writing.png import encode


def write_photo(path: Path, image: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(path)


def labelled_folder(
    folder: Path,
    count: int = 6,
    first: int = 100,
    classes: Sequence[str] = Squares.classes,
    sure: Sequence[float] | None = None,
) -> Path:
    """Images of `Squares` that are none of its own in `photos`, and their truth as labels in
    `labels`, which is returned."""
    entries: list[dict[str, Any]] = []
    for number in range(count):
        evidence, truth = Squares().sample(first + number)
        name = f"{'sub/' * (number % 2)}{number}.png"
        write_photo(folder / "photos" / name, evidence.image)
        assert truth is not None
        mask = folder / "labels" / name
        mask.parent.mkdir(parents=True, exist_ok=True)
        mask.write_bytes(encode(truth.numpy()))
        confidence = 1.0 if sure is None else sure[number]
        entries.append({"name": name, "confidence": confidence})
    write_summary(folder / "labels" / "summary.json", entries, classes)
    return folder / "labels"


def write_summary(
    file: Path, entries: Sequence[dict[str, Any]], classes: Sequence[str], **more: Any
) -> None:
    head = {"classes": list(classes), "images_folder": "../photos"}
    file.write_text(json.dumps({**head, **more, "images": list(entries)}))


def write_confidence(labels: Path, name: str, values: np.ndarray) -> None:
    """A map of how sure each pixel is, 255 for certain."""
    file = labels / "confidence" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(file)
