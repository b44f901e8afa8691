"""The images of a session: read when they are looked at, with the corrections of a person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import NamedTuple

from torch import Tensor

from weakseg.data.base import WeakData
from weakseg.data.corrections.before import differences
from weakseg.data.corrections.history import History
from weakseg.data.corrections.overlay import lay_over
from weakseg.data.files.photos import Photos
from weakseg.data.formats.base import FormatError
from weakseg.data.formats.images import image_size, read_small
from weakseg.evidence import Evidence
from weakseg.functional.class_matching import renumber, renumber_evidence
from weakseg.labelling.images import Subset
from weakseg.reviewing.histories import Histories, Stamp, stamp_of
from weakseg.reviewing.material import Material
from weakseg.reviewing.recent import Recent
from weakseg.reviewing.refusals import NotFound
from weakseg.utils.messages import one_line

MEMORY = 2**28  # bytes of images that are kept, about


class Sample(NamedTuple):
    """An image as it was read."""

    evidence: Evidence
    truth: Tensor | None
    size: tuple[int, int]
    """width and height of its file"""
    stamp: Stamp = None
    """of its file when it was read; None where there is none"""


class State(NamedTuple):
    """An image with its corrections."""

    evidence: Evidence
    """with the numbers that classes have in all labels that are shown"""
    history: History
    remarks: tuple[str, ...]
    """on corrections that cannot be read, have no effect, or belong to another annotation"""
    sample: Sample
    """without any correction"""


class ReviewedImages:
    """The images of a data set with the corrections of a person; for any number of threads.

    Args:
        material: what is reviewed.
        histories: of the corrections.
        numbers: the images of the session. Others are read for what is fitted to all training
            images, but not shown.
    """

    def __init__(self, material: Material, histories: Histories, numbers: Sequence[int]) -> None:
        self.numbers = list(numbers)
        self.broken: dict[int, str] = {}
        """why images cannot be read, as far as that is known"""
        self._material = material
        self._data: WeakData = material.data
        self._histories = histories
        self._shown = set(numbers)
        self._ids: dict[int, str] = {}
        self._samples = Recent[Sample](MEMORY, _bytes_of)
        self._reading = RLock()

    def expect(self, number: int) -> None:
        """NotFound if the image is not one of the session."""
        if number not in self._shown:
            raise NotFound(f"there is no image {number} in this session")

    def id_of(self, number: int) -> str | None:
        """The id of an image; None where only reading it would tell."""
        if number not in self._ids and type(self._data).id_of is not WeakData.id_of:
            self._ids[number] = self._data.id_of(number)
        return self._ids.get(number)

    def name_of(self, number: int) -> str:
        """The id of an image, or what it is called until that is known."""
        return self.id_of(number) or f"number {number}"

    def file_of(self, number: int) -> Path | None:
        """The file of an image, None if it is in none; NotFound if it is gone."""
        file = self._data.image_file(number)
        if file is not None and not file.is_file():
            raise self._lost(number, f"the file {file} is gone")
        return file

    def sample(self, number: int) -> Sample:
        """An image, from its file or from memory; NotFound if its file is gone or broken."""
        file = self.file_of(number)
        stamp = None if file is None else stamp_of(file)
        kept = self._samples.get(number)
        if kept is not None and kept.stamp == stamp:
            return kept
        try:
            with self._reading:
                evidence, truth = self._data.sample(number)
            evidence.check(len(self._data.classes))
            height, width = evidence.image.shape[-2:]
            shrunk = file is not None and getattr(self._data, "long_side", None) is not None
            size = image_size(file) if shrunk and file is not None else (width, height)
        except Exception as error:  # a reader of files may raise anything
            raise self._lost(number, one_line(error)) from error
        self.broken.pop(number, None)
        self._ids[number] = str(evidence.id)
        return self._samples.put(number, Sample(evidence, truth, size, stamp))

    def small(self, number: int, side: int) -> Tensor:
        """An image, uint8 [3,H,W], from as little of its file as a longer side of so many pixels
        needs."""
        file = self.file_of(number)
        if file is None or not isinstance(self._data, Photos):
            return self.sample(number).evidence.image
        try:
            return read_small(file, side, self._data.window)
        except FormatError as error:
            raise self._lost(number, one_line(error)) from error

    def state(self, number: int) -> State:
        """An image with its corrections."""
        sample = self.sample(number)
        found, problem = self._histories.read(sample.evidence.id)
        history = found or History(sample.evidence.id, sample.size)
        data = self._data
        laid = lay_over(sample.evidence, history, data.classes, data.other_names)
        evidence = laid.evidence
        table = self._material.table
        if table is not None:
            evidence = renumber_evidence(evidence, table, len(self._material.classes))
        remarks = [problem] if problem else []
        remarks += differences(history, sample.evidence, sample.size, data.classes)
        return State(evidence, history, (*remarks, *laid.remarks), sample)

    def evidence(self, number: int) -> Evidence:
        """The evidence of an image, with its corrections."""
        return self.state(number).evidence

    def truth(self, number: int) -> Tensor | None:
        """The truth of an image, uint8 [H,W], with the numbers that classes have in all labels that
        are shown; None if there is none."""
        truth, table = self.sample(number).truth, self._material.table
        return truth if truth is None or table is None else renumber(truth, table)

    def _lost(self, number: int, reason: str) -> NotFound:
        self.broken[number] = reason
        self._samples.drop(number)
        return NotFound(f"image {self.name_of(number)}: {reason}")


def numbers_of(data: WeakData, subset: Subset) -> list[int]:
    """The images of a data set that a word means, by their numbers; excluded ones are among
    them."""
    held_out = set(data.validation)
    if subset == "all":
        return list(range(len(data)))
    if subset == "validation":
        return list(data.validation)
    return [number for number in range(len(data)) if number not in held_out]


def _bytes_of(sample: Sample) -> int:
    tensors = [value for value in (*sample.evidence, sample.truth) if isinstance(value, Tensor)]
    return sum(tensor.nbytes for tensor in tensors)
