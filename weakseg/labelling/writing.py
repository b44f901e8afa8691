"""The files of the labels of one image: the mask, and on request how sure each pixel is; and its
line in the summary."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from weakseg.data.formats.images import read_mask
from weakseg.data.formats.runs import pack
from weakseg.data.formats.writing.labels import LabelledImage, Objects
from weakseg.data.formats.writing.png import encode
from weakseg.data.label_store import LabelStore
from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.label_confidence import (
    colour_agreement,
    network_agreement,
    pixel_confidence,
)
from weakseg.functional.resolution import resize_labels
from weakseg.labelling.images import size_of
from weakseg.labelling.source import Source
from weakseg.suspicion.queue import reasons_of, score_of
from weakseg.suspicion.signals import signals_of
from weakseg.training.estimation import Failure
from weakseg.training.image_work import image_failure
from weakseg.training.label_quality import harden
from weakseg.training.target_signals import evidence_agreement
from weakseg.training.targets import correct_target
from weakseg.utils.output_folder import OutputFolder

CONFIDENCE = "confidence"
PROBABILITIES = "probabilities"
DIGITS = 6


@dataclass(frozen=True)
class Wanted:
    """Which files an image gets beside its mask."""

    confidence: bool = False
    probabilities: bool = False


class Labels(NamedTuple):
    """The labels of one image."""

    hard: Tensor
    """uint8 [H,W]"""
    soft: Tensor | None
    """float [C,H,W] that sum to 1 where there is a label, from the strategy or the network"""
    network: Tensor | None
    """float [C,H,W], the probabilities of a trained network; None if there is none"""
    figures: Mapping[str, float]
    """that the strategy has returned"""


@dataclass(frozen=True)
class Writer:
    """Writes the files of images.

    Args:
        source: what labels them.
        folder: of the results.
        wanted: which files are written.
        store: with the targets.
        keys: of the targets, by the index of the image.
        names: of the images, by index.
    """

    source: Source
    folder: OutputFolder
    wanted: Wanted
    store: LabelStore
    keys: Mapping[int, str]
    names: Mapping[int, str]

    def is_done(self, index: int) -> bool:
        """Whether the files of an image are there, with the same evidence and the same method."""
        name = self.names[index]
        entry = self.folder.entry(name)
        same = entry is not None and entry.get("key") == self.keys[index]
        # an older version scored labels in another way
        same = same and "reasons" in (entry or {})
        return same and self.folder.has(name, self._places(entry or {}, name))

    def _places(self, entry: Mapping[str, Any], name: str) -> list[Path]:
        """The files of an image that are wanted, as far as its kind of labels has them."""
        places = [self.folder.place(name)]
        if self.wanted.confidence and entry.get("confidence") is not None:
            places.append(self.folder.place(name, ".png", CONFIDENCE))
        if self.wanted.probabilities and entry.get("soft"):
            places.append(self.folder.place(name, ".npz", PROBABILITIES))
        return places

    def write(self, index: int) -> dict[str, Any] | Failure:
        """Write the files of one image; returns its line of the summary, or what is wrong with it
        if it cannot be labelled."""
        start = perf_counter()
        name = self.names[index]
        try:
            evidence, _ = self.source.corrected(index)
            labels = self._labels(evidence, self.keys[index])
            size = size_of(self.source.data, index, evidence)
        except (ValueError, ArithmeticError) as error:
            return image_failure(name, error)
        self._write_files(name, labels, size)
        entry = self._entry(name, labels, evidence, size)
        return {
            **entry,
            "seconds": round(perf_counter() - start, 4),
            "key": self.keys[index],
        }

    def _labels(self, evidence: Evidence, key: str) -> Labels:
        segmenter = self.source.segmenter
        if self.source.number is None:
            probs = segmenter.predict(evidence.image).probs
            # of what is estimated the target has the corrections in it already
            found = correct_target(probs, evidence)
            return Labels(found.max(0).indices.to(torch.uint8), found, probs, {})
        stored = self.store.load(evidence.id, key)
        soft = stored.target if stored.target.is_floating_point() else None
        trained = self.source.origin is not None
        network = segmenter.predict(evidence.image, plain=True).probs if trained else None
        hard = harden(stored.target, evidence.box_classes)
        return Labels(hard, None if soft is None else _normed(soft), network, stored.figures)

    def _write_files(self, name: str, labels: Labels, size: tuple[int, int]) -> None:
        sure = _sureness(labels)
        sure = None if sure is None else resize_labels(sure, size)
        if self.wanted.confidence and sure is not None:
            place = self.folder.place(name, ".png", CONFIDENCE)
            self.folder.write(place, encode_confidence(sure))
        if self.wanted.probabilities and labels.soft is not None:
            place = self.folder.place(name, ".npz", PROBABILITIES)
            buffer = io.BytesIO()
            np.savez_compressed(
                buffer, probabilities=resize_labels(labels.soft, size).half().numpy()
            )
            self.folder.write(place, buffer.getvalue())
        hard = resize_labels(labels.hard, size)
        self.folder.write(self.folder.place(name), encode(hard.numpy()))

    def _entry(
        self, name: str, labels: Labels, evidence: Evidence, size: tuple[int, int]
    ) -> dict[str, Any]:
        height, width = size
        classes = self.source.segmenter.classes
        counts = torch.bincount(labels.hard.flatten().long(), minlength=256).tolist()
        sure = _sureness(labels)
        known = labels.hard != IGNORE
        agreement = _agreement(labels, evidence.image)
        entry: dict[str, Any] = {"name": name, "width": width, "height": height}
        entry["shares"] = {
            each: round(count / labels.hard.numel(), DIGITS)
            for each, count in zip(classes, counts, strict=False)
            if count
        }
        entry["ignored"] = round(counts[IGNORE] / labels.hard.numel(), DIGITS)
        signals = signals_of(labels.hard, evidence, classes, labels.network, labels.soft)
        entry["score"] = round(1 - score_of(signals), DIGITS)
        entry["reasons"] = list(reasons_of(signals))
        agreement["evidence"] = evidence_agreement(labels.hard, evidence, classes)
        entry["agreement"] = {key: round(value, DIGITS) for key, value in agreement.items()}
        if sure is not None:
            entry["confidence"] = round(float(sure[known].mean()), DIGITS) if known.any() else 0.0
        if labels.soft is not None:
            entry["soft"] = True
        if self.source.segmenter.strategy.wants.box_masks and evidence.box_classes is not None:
            entry["objects"] = evidence.box_classes.tolist()
        if labels.figures:
            entry["figures"] = {key: round(float(f), DIGITS) for key, f in labels.figures.items()}
        return entry


def _normed(soft: Tensor) -> Tensor:
    """A soft target as probabilities: the sum at a pixel is its weight."""
    weight = soft.sum(0, keepdim=True)
    return soft / torch.where(weight > 0, weight, 1)


def _sureness(labels: Labels) -> Tensor | None:
    """The probability of the label of each pixel, float [H,W]: that of the labels themselves, or
    else that of the network. None where nothing tells."""
    probs = labels.network if labels.soft is None else labels.soft
    return None if probs is None else pixel_confidence(labels.hard, probs)


def _agreement(labels: Labels, image: Tensor) -> dict[str, float]:
    """How sure labels are, each from 0 to 1."""
    found = {"colours": colour_agreement(labels.hard, image)}
    if labels.network is not None:
        found["network"] = network_agreement(labels.hard, labels.network)
    elif labels.soft is not None:
        found["labels"] = network_agreement(labels.hard, labels.soft)
    return {name: 0.0 if math.isnan(value) else value for name, value in found.items()}


def encode_confidence(sure: Tensor) -> bytes:
    """Probabilities [H,W] as a grey PNG: 255 is certain."""
    buffer = io.BytesIO()
    values = (sure.clamp(0, 1) * 255).round().to(torch.uint8)
    Image.fromarray(values.numpy()).save(buffer, "PNG")
    return buffer.getvalue()


def labelled_images(
    folder: OutputFolder, store: LabelStore, ids: Mapping[str, str]
) -> Iterator[LabelledImage]:
    """The labels in a folder, one image after the other.

    Args:
        folder: of the results.
        store: with the masks of single objects.
        ids: of the images by their names, in the order that is wanted.
    """
    for name, id in ids.items():
        entry = folder.entry(name) or {}
        labels = np.asarray(read_mask(folder.place(name)))
        objects = None
        if "objects" in entry:
            masks = resize_labels(store.read(id, entry["key"]), labels.shape).numpy()
            classes = tuple(entry["objects"])
            scores = (entry["score"],) * len(classes)
            objects = Objects(tuple(map(pack, masks)), classes, scores)
        yield LabelledImage(name, labels, entry["score"], objects)
