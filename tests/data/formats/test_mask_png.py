from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from weakseg.data.formats.base import FormatError
from weakseg.data.formats.evidence import to_evidence
from weakseg.data.formats.mask_png import read

CLASSES = ("background", "cat", "dog")


@pytest.mark.parametrize("indexed", [False, True])
def test_every_value_comes_back_where_it_was(indexed: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.choice([0, 1, 2, 255], (20, 30)).astype(np.uint8)
    image = Image.fromarray(values)
    if indexed:
        image.putpalette(
            [channel for number in range(256) for channel in (number, 255 - number, 7)]
        )
    image.save(tmp_path / "a.png")
    annotation = read(tmp_path / "a.png", CLASSES, "a.jpg")
    assert (annotation.image, annotation.size) == ("a.jpg", (30, 20))
    assert [(shape.name, shape.kind) for shape in annotation.shapes] == [
        (name, "mask") for name in CLASSES
    ]
    evidence = to_evidence(annotation, torch.zeros(3, 20, 30, dtype=torch.uint8), CLASSES)
    np.testing.assert_array_equal(evidence.marks.numpy(), values)


def test_a_value_that_is_no_class(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 3]], np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(
        FormatError,
        match=(
            r"a.png, image 'a.jpg': every value should be a class from 0 to 2, or 255 .*, but it "
            r"is 3"
        ),
    ):
        read(tmp_path / "a.png", CLASSES, "a.jpg")


def test_a_table_of_colours(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[9, 9, 9], [1, 2, 3]]], np.uint8)).save(tmp_path / "a.png")
    shapes = read(tmp_path / "a.png", CLASSES, "a.jpg", {(9, 9, 9): 255, (1, 2, 3): 2}).shapes
    assert [shape.name for shape in shapes] == ["dog"]
    assert shapes[0].runs.unpack().tolist() == [[False, True]]
