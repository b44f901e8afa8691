"""What is written of one image: the mask, and on request an overlay, the probabilities and the
objects; each file whole or not at all."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from weakseg.data.formats.runs import Runs, from_coco_string, pack, to_coco_string
from weakseg.data.formats.writing.labels import Objects
from weakseg.data.formats.writing.png import encode
from weakseg.evidence import Instances
from weakseg.functional.resolution import downsample
from weakseg.reporting.drawing import overlay
from weakseg.utils.output_folder import OutputFolder

OVERLAYS = "overlays"
CONFIDENCE = "confidence"
PROBABILITIES = "probabilities"
OBJECTS = "objects"
LONGEST = 2048  # pixels of the longer side of an overlay, which is to be looked at


class Wanted(NamedTuple):
    """Which files an image gets beside its mask."""

    overlay: bool = False
    probabilities: bool = False
    objects: bool = False
    confidence: bool = False


class Places(NamedTuple):
    """The files of an image."""

    mask: Path
    overlay: Path | None
    probabilities: Path | None
    objects: Path | None
    confidence: Path | None

    @property
    def all(self) -> list[Path]:
        """Those that are wanted."""
        return [place for place in self if place is not None]


def places_of(folder: OutputFolder, name: str, wanted: Wanted) -> Places:
    """Where the results of an image are: the mask under the image's own relative name, everything
    else in folders of its kind."""
    return Places(
        folder.place(name),
        folder.place(name, ".jpg", OVERLAYS) if wanted.overlay else None,
        folder.place(name, ".npz", PROBABILITIES) if wanted.probabilities else None,
        folder.place(name, ".json", OBJECTS) if wanted.objects else None,
        folder.place(name, ".png", CONFIDENCE) if wanted.confidence else None,
    )


def remove_old(
    folder: OutputFolder, names: Iterable[str], broken: Collection[str], wanted: Wanted
) -> None:
    """Delete what an earlier call has written of these images and this one has not made anew: it
    would pass for results of the same network.

    Args:
        folder: of the results.
        names: of images that are predicted.
        broken: those of them that have no result now.
        wanted: which files the others have now.
    """
    for name in names:
        kept = () if name in broken else places_of(folder, name, wanted).all
        for place in places_of(folder, name, Wanted(*[True] * len(Wanted._fields))).all:
            if place not in kept:
                place.unlink(missing_ok=True)


def write_results(
    folder: OutputFolder,
    places: Places,
    labels: NDArray[np.uint8],
    picture: Tensor | None,
    probs: Tensor | None,
    objects: Instances | None,
    sure: Tensor | None = None,
) -> None:
    """Write the files of an image.

    Args:
        folder: of the results.
        places: of the files.
        labels: uint8 [H,W].
        picture: the image itself, for the overlay.
        probs: float16 [C,H,W].
        objects: what a network for instance segmentation has found.
        sure: uint8 [H,W], the probability of each label as 0 to 255.
    """
    folder.write(places.mask, encode(labels))
    if places.confidence is not None:
        assert sure is not None
        folder.write(places.confidence, _grey(sure))
    if places.overlay is not None:
        assert picture is not None
        folder.write(places.overlay, _overlay(picture, labels))
    if places.probabilities is not None:
        assert probs is not None
        folder.write(places.probabilities, _archive(probs))
    if places.objects is not None and objects is not None:
        folder.write(places.objects, _objects(objects, labels.shape))


def _overlay(picture: Tensor, labels: NDArray[np.uint8]) -> bytes:
    small = downsample(picture, LONGEST)
    classes = torch.from_numpy(labels)
    if small.shape != picture.shape:
        height, width = small.shape[1:]
        nearest = Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST)
        classes = torch.from_numpy(np.array(nearest))
    drawn = overlay(small, classes).permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    # without subsampling, which would smear the outlines
    Image.fromarray(drawn).save(buffer, "JPEG", quality=90, subsampling=0)
    return buffer.getvalue()


def _grey(values: Tensor) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values.cpu().numpy()).save(buffer, "PNG")
    return buffer.getvalue()


def _archive(probs: Tensor) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, probabilities=probs.cpu().numpy())
    return buffer.getvalue()


def _objects(found: Instances, size: Sequence[int]) -> bytes:
    scores = [1.0] * len(found.classes) if found.scores is None else found.scores.tolist()
    entries = [
        {
            "class": label,
            "score": round(score, 6),
            "counts": to_coco_string(pack(mask.numpy(), by_columns=True).counts),
        }
        for mask, label, score in zip(found.masks, found.classes.tolist(), scores, strict=True)
    ]
    return json.dumps({"size": list(size), "objects": entries}).encode()


def read_objects(place: Path) -> Objects:
    """The objects of an image as they were written."""
    content: dict[str, Any] = json.loads(place.read_bytes())
    height, width = content["size"]
    entries = content["objects"]
    return Objects(
        tuple(Runs(from_coco_string(e["counts"]), 0, 0, width, height, True) for e in entries),
        tuple(entry["class"] for entry in entries),
        tuple(entry["score"] for entry in entries),
    )
