"""What was counted on one image of an evaluation, and as a line of a file: another process may have
counted it, or a call that was killed."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from weakseg.evaluation.counting import PixelCounts
from weakseg.functional.calibration import Reliability


class CountedImage(NamedTuple):
    """The counts of one image."""

    number: int
    """its place in the data set"""
    name: str
    height: int
    width: int
    confidence: float
    """mean over its pixels of the probability of their likeliest class"""
    pixels: PixelCounts | None
    """against its truth; None if it has none"""
    agreement: Mapping[str, Tensor]
    """with what is annotated on it, as `Agreement.counts`; empty where there is a truth"""
    objects: Mapping[str, Any] | None
    """as `count_objects` has them; None for a network that finds none"""


def to_entry(counted: CountedImage) -> dict[str, Any]:
    """As JSON, in which whole numbers and fractions keep every digit. `name` is the number of the
    image, which no other image has."""
    entry: dict[str, Any] = {
        "name": str(counted.number),
        "id": counted.name,
        "height": counted.height,
        "width": counted.width,
        "confidence": counted.confidence,
    }
    if counted.pixels is not None:
        cells, boundaries, reliability = counted.pixels
        entry["cells"] = cells.tolist()
        entry["boundaries"] = boundaries.tolist()
        entry["reliability"] = [each.tolist() for each in reliability]
    if counted.agreement:
        entry["agreement"] = {name: each.tolist() for name, each in counted.agreement.items()}
    if counted.objects is not None:
        file = io.BytesIO()
        torch.save(dict(counted.objects), file)
        entry["objects"] = base64.b85encode(file.getvalue()).decode()
    return entry


def from_entry(entry: Mapping[str, Any]) -> CountedImage:
    """The counts again."""
    pixels = None
    if "cells" in entry:
        pixels_of_bins, right, confidence = entry["reliability"]
        pixels = PixelCounts(
            torch.tensor(entry["cells"], dtype=torch.int64).view(-1, 3),
            torch.tensor(entry["boundaries"], dtype=torch.int64),
            Reliability(
                torch.tensor(pixels_of_bins, dtype=torch.int64),
                torch.tensor(right, dtype=torch.int64),
                torch.tensor(confidence, dtype=torch.float64),
            ),
        )
    objects = None
    if "objects" in entry:
        file = io.BytesIO(base64.b85decode(entry["objects"]))
        objects = torch.load(file, weights_only=True)
    return CountedImage(
        int(entry["name"]),
        entry["id"],
        entry["height"],
        entry["width"],
        entry["confidence"],
        pixels,
        {name: torch.tensor(each) for name, each in entry.get("agreement", {}).items()},
        objects,
    )
