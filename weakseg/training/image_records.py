"""What earlier starts have found out about the images of a data set: which are right, and how good
their targets are. Kept beside the targets, so that nothing is read twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy
import PIL
import torch

from weakseg.data.base import WeakData
from weakseg.data.label_store import LabelStore, Stamp
from weakseg.strategies.base import Strategy
from weakseg.training.checked_images import CheckedImage
from weakseg.training.image_work import Measured
from weakseg.training.label_quality import ImageQuality
from weakseg.utils.fingerprint import code_fingerprint, fingerprint, module_fingerprint
from weakseg.utils.record_log import RecordLog

_MEASURING = ("weakseg.training.image_work", "weakseg.training.image_records")


class ImageRecords:
    """Records of images in a folder of the label store.

    Whether an image is right is kept under all that this depends on (`WeakData.content_key`: its
    files with their sizes and times of change, and how they are read), what was measured of a
    target under its key and that of its truth. Code that measures, and the versions of what decodes
    images, are in the name of the folder, so that others find nothing.

    Args:
        store: whose folder they are in; None to keep nothing.
    """

    def __init__(self, store: LabelStore | None) -> None:
        self.store = store
        self._log = RecordLog(None if store is None else store.folder / "index" / _of_all())

    def checked(self, keys: Mapping[int, str]) -> Iterator[tuple[int, CheckedImage]]:
        """The images that were found to be right, by their index.

        Args:
            keys: of images, as `keep_checked` was given them.
        """
        indices = list(keys)
        for place, record in self._log.find([keys[index] for index in indices]):
            yield indices[place], _read_checked(record)

    def keep_checked(self, key: str, image: CheckedImage) -> None:
        """Keep that an image is right."""
        self._log.put(key, list(image))

    def measured(
        self, images: Mapping[int, CheckedImage], keys: Mapping[int, str]
    ) -> Iterator[tuple[int, Measured]]:
        """What is known of targets of a first round whose files have not changed since, by the
        index of the image; of some of them twice.

        Args:
            images: what was checked of each.
            keys: of the targets.
        """
        if self.store is None:
            return
        indices = list(keys)
        names = [_measured_key(images[index], keys[index]) for index in indices]
        for place, record in self._log.find(names):
            index = indices[place]
            found = _read_measured(record)
            if self.store.stamp(images[index].id, keys[index]) == found.stamp:
                yield index, found

    def keep_measured(self, image: CheckedImage, key: str, measured: Measured) -> None:
        """Keep what was measured of a target, which no earlier one was compared with."""
        self._log.put(_measured_key(image, key), list(measured))

    def flush(self) -> None:
        """Write what is not on disk yet."""
        self._log.flush()


def _of_all() -> str:
    decoders = [PIL.__version__, numpy.__version__, str(torch.__version__)]
    return fingerprint(code_fingerprint(*_MEASURING), decoders)[:12]


def rule_of_checks(strategy: Strategy, classes: Sequence[str], held_out: bool) -> str:
    """What it depends on whether an image is right, beside the image.

    Args:
        strategy: whose needs it must meet.
        classes: names.
        held_out: whether it is only measured on, so that it need not meet them.
    """
    method = "" if held_out else module_fingerprint(strategy)
    return fingerprint("checked", method, list(classes))


def record_keys(data: WeakData, indices: Iterable[int], rule: str) -> dict[int, str]:
    """Under which it is kept that an image is right, for those images of which it can be said
    without reading them."""
    contents = ((index, data.content_key(index)) for index in indices)
    return {index: fingerprint(rule, content) for index, content in contents if content is not None}


def _measured_key(image: CheckedImage, key: str) -> str:
    return fingerprint("measured", image.id, key, image.truth)


def _read_checked(record: Sequence[Any]) -> CheckedImage:
    id, digits, size, boxes, truth, shows, boxed = record
    return CheckedImage(id, digits, (size[0], size[1]), boxes, truth, shows, boxed)


def _read_measured(record: Sequence[Any]) -> Measured:
    quality, signals, figures, stamp = record
    return Measured(ImageQuality(*quality), signals, figures, Stamp(*stamp))


NOTHING_KNOWN = ImageRecords(None)
