"""Pseudo-labelled images: what `weakseg.label` or `weakseg.predict` has written to a folder, as
further images to train on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch
from torch import Tensor

from weakseg.data.files.downsampling import downsample_evidence
from weakseg.data.formats.images import image_size, read_mask
from weakseg.data.formats.writing.labels import check_name
from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.class_matching import match_classes, renumber
from weakseg.utils.fingerprint import fingerprint
from weakseg.utils.messages import counted
from weakseg.utils.remote_path import list_once, named_in

CONFIDENCE = "confidence"  # the folder of maps of how sure each pixel is
CERTAIN = 255  # in these maps


class PseudoImage(NamedTuple):
    """One image, and the files of its label."""

    name: str
    image: Path
    mask: Path
    confidence: Path | None
    """a map of how sure each pixel is; None if there is none"""


class PseudoLabels:
    """The images that a folder of labels has, without those that are too unsure and those of the
    data set itself.

    Args:
        folder: with the summary that `weakseg.label` or `weakseg.predict` has written.
        images: the folder of the images; None for the one that the summary names.
        least: images that are less sure are left out; with a map of how sure each pixel is, pixels
            are ignored instead.
        classes: of the data set; those of the labels are matched by their names.
        own: files of the images of the data set itself, which are not trained on twice.
    """

    def __init__(
        self,
        folder: Path,
        images: Path | None,
        least: float,
        classes: Sequence[str],
        own: Collection[Path],
    ) -> None:
        self.folder = folder
        self.least = least
        summaries = _read_summaries(folder)
        self.table = _table(folder, summaries, classes)
        self.unsure = 0
        self.own = 0
        self.images: list[PseudoImage] = []
        own_files = {path.resolve() for path in own}
        # the summary of a call for all holds the images of parts once more
        entries = {
            str(entry["name"]): (entry, summary)
            for summary in summaries
            for entry in summary["images"]
        }
        for entry, summary in entries.values():
            self._take(entry, images or _images_folder(folder, summary), own_files)
        if not self.images:
            raise ValueError(f"pseudo: no image of {folder} is left to train on: {self.counts}")

    def _take(self, entry: dict[str, Any], root: Path, own: Collection[Path]) -> None:
        name = str(entry["name"])
        check_name(name)
        image = root / name
        if image.resolve() in own:
            self.own += 1
            return
        ending = PurePosixPath(name).with_suffix(".png")
        map_of_confidence = self.folder / CONFIDENCE / ending
        has_map = map_of_confidence.is_file()
        sure = float(entry.get("confidence", entry.get("score", 1.0)))
        if sure < self.least and not has_map:
            self.unsure += 1
            return
        confidence = map_of_confidence if has_map and self.least > 0 else None
        self.images.append(PseudoImage(name, image, self.folder / ending, confidence))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def counts(self) -> str:
        """How many images are trained on, and why others are not."""
        parts = [f"{counted(len(self.images), 'image')} to train on"]
        if self.unsure:
            parts.append(f"{self.unsure} less sure than {self.least:g} left out")
        if self.own:
            parts.append(f"{self.own} left out that the data set has itself")
        return ", ".join(parts)

    @cached_property
    def fingerprint(self) -> str:
        """Of the images that are trained on; a resumed run needs the same."""
        return fingerprint([image.name for image in self.images], self.least)

    def problem(self, place: int) -> str:
        """What is wrong with the files of an image, as far as their headers tell; nothing if all is
        right."""
        image = self.images[place]
        try:
            size = image_size(image.image)
            there = image_size(image.mask)
        except (ValueError, OSError) as error:
            return str(error)
        if size != there:
            return (
                f"{image.mask}: the size of the mask should be that of {image.image}, "
                f"{size[0]} by {size[1]}, but it is {there[0]} by {there[1]}"
            )
        return ""

    def sample(
        self, place: int, read: Callable[[Path], Tensor], long_side: int | None
    ) -> tuple[Evidence, Tensor]:
        """An image without any evidence, and its label uint8 [H,W], 255 where it is not sure
        enough.

        Args:
            place: among the images.
            read: of images, as the data set reads its own.
            long_side: as the data set has it.
        """
        files = self.images[place]
        target = read_mask(files.mask)
        if self.table is not None:
            target = renumber(target, self.table)
        if files.confidence is not None:
            least = math.ceil(self.least * CERTAIN)
            sure = read_mask(files.confidence) >= least
            target = target.where(sure, torch.tensor(IGNORE, dtype=torch.uint8))
        evidence = Evidence(f"{self.folder.name}/{files.name}", read(files.image))
        evidence, smaller = downsample_evidence(evidence, target, long_side)
        assert smaller is not None
        return evidence, smaller


def expect_labels(folder: Path, classes: Sequence[str]) -> None:
    """A ValueError if a folder is none of labels of these classes, as far as its summaries tell."""
    _table(folder, _read_summaries(folder), classes)


def _read_summaries(folder: Path) -> list[dict[str, Any]]:
    """What is known of the labels, from those of parts and the one of all."""
    list_once(folder)
    files = sorted(folder.glob("summary*.json"))
    if not files:
        there = "no such folder" if not folder.is_dir() else "no summary.json in it"
        raise ValueError(
            f"pseudo: expected a folder that weakseg.label or weakseg.predict has written, but "
            f"there is {there}: {folder}"
        )
    return [_read_summary(file) for file in files]


def _read_summary(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_bytes())
        right = all(isinstance(entry["name"], str) for entry in content["images"])
        if right and all(isinstance(name, str) for name in content["classes"]):
            return content
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(
        f"pseudo: {file} is no summary of weakseg.label or weakseg.predict, or it is damaged"
    )


def _table(
    folder: Path, summaries: Sequence[dict[str, Any]], classes: Sequence[str]
) -> Tensor | None:
    """Our numbers of their classes."""
    theirs = {tuple(summary["classes"]) for summary in summaries}
    if len(theirs) > 1:
        raise ValueError(f"pseudo: the parts of {folder} have different classes")
    try:
        return match_classes(theirs.pop(), classes)
    except ValueError as error:
        raise ValueError(f"pseudo: of the classes of {folder}, {error}") from None


def _images_folder(folder: Path, summary: dict[str, Any]) -> Path:
    root = summary.get("images_folder")
    if not isinstance(root, str):
        raise ValueError(
            f"pseudo: {folder} does not say where its images are; give pseudo_images=<folder>"
        )
    return named_in(folder, root)
