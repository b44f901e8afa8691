"""Labels written in every format are read back as the same pixels, by our reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.data.written import CLASSES, ODD_CLASSES, random_labels, round_trip, varied
from weakseg.data.formats.writing.formats import FORMATS
from weakseg.data.formats.writing.labels import LabelledImage

MANY_CLASSES = ("background", *(f"class {number}" for number in range(1, 255)))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("classes", [CLASSES, ODD_CLASSES], ids=["plain", "odd"])
def test_every_pixel_comes_back(format: str, classes: tuple[str, ...], tmp_path: Path) -> None:
    images = varied(classes)
    found = round_trip(format, images, classes, tmp_path)
    assert found.keys() == {image.name for image in images}
    for image in images:
        np.testing.assert_array_equal(found[image.name], image.labels)


@pytest.mark.parametrize("format", FORMATS)
def test_254_classes_and_the_background_are_the_most(format: str, tmp_path: Path) -> None:
    labels = np.arange(256, dtype=np.uint8).reshape(8, 32)
    found = round_trip(format, [LabelledImage("a.png", labels)], MANY_CLASSES, tmp_path)
    np.testing.assert_array_equal(found["a.png"], labels)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("seed", range(5))
def test_random_labels_come_back(format: str, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 40, (4, 2)).tolist()
    images = [
        LabelledImage(f"{number}.png", random_labels(4, *size, rng, ignored=number / 10))
        for number, size in enumerate(sizes)
    ]
    found = round_trip(format, images, CLASSES, tmp_path)
    for image in images:
        np.testing.assert_array_equal(found[image.name], image.labels)
