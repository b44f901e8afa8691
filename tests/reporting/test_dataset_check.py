"""Everything that can be wrong with a data set is wrong somewhere in one folder, and is told at
once."""

from __future__ import annotations

import io
import struct
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor

from tests.data.layouts import HEIGHT, WIDTH, coco, indexed, outlined, photo, square, text, voc_xml
from tests.small import Squares
from weakseg.data.files.coco import Coco
from weakseg.data.files.folder import Folder
from weakseg.evidence import Evidence
from weakseg.reporting.dataset_check import DatasetCheck, check_dataset, check_image, print_check

pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory.*")


def bomb() -> bytes:
    """The header of a PNG of 3.6 thousand million pixels."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ]
    parts = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture
def ill(tmp_path: Path) -> Path:
    """A folder of VOC XML, with masks beside it; each image is called after what is wrong with
    it."""
    names = [
        "right",
        "cut",
        "gone",
        "nan",
        "inverted",
        "outside",
        "size",
        "name",
        "empty",
        "entities",
        "twins",
        "mask_colour",
        "mask_value",
    ]
    for number, name in enumerate(names):
        photo(tmp_path / "images" / f"{name}.png", number)
        text(tmp_path / "annotations" / f"{name}.xml", voc_xml("dog", (3, 2, 8, 7)))
        indexed(tmp_path / "masks" / f"{name}.png", square(2))
    notes, images = tmp_path / "annotations", tmp_path / "images"
    (images / "cut.png").write_bytes((images / "cut.png").read_bytes()[:200])
    (images / "gone.png").unlink()
    (images / "bomb.png").write_bytes(bomb())
    text(notes / "bomb.xml", voc_xml("dog", (3, 2, 8, 7)))
    text(notes / "nan.xml", voc_xml("dog", (3, 2, 8, 7)).replace("<xmin>3", "<xmin>nan"))
    text(notes / "inverted.xml", voc_xml("dog", (8, 2, 3, 7)))
    text(notes / "outside.xml", voc_xml("dog", (30, 2, 38, 7)))
    text(notes / "size.xml", voc_xml("dog", (3, 2, 8, 7), HEIGHT, WIDTH))
    text(notes / "name.xml", voc_xml("dgo", (3, 2, 8, 7)))
    text(
        notes / "empty.xml",
        f"<annotation><size><width>{WIDTH}</width><height>{HEIGHT}</height></size></annotation>",
    )
    text(notes / "entities.xml", '<!DOCTYPE a [<!ENTITY b "boom">]>' + voc_xml("&b;", (3, 2, 8, 7)))
    text(
        notes / "twins.xml",
        voc_xml("dog", (8, 2, 3, 7)).replace(
            "</object>", "</object>" + "<object><name>cta</name></object>"
        ),
    )
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "masks" / "mask_colour.png")
    indexed(tmp_path / "masks" / "mask_value.png", square(7))
    photo(images / "nobody.png")
    return tmp_path


EXPECTED = {
    "cut": ["the image should be whole, but it is damaged or cut off"],
    "nan": ["a bndbox of xmin, ymin, xmax, ymax should be 4 finite numbers"],
    "inverted": ["a box should be wider and higher than 0"],
    "outside": [
        "object 1: a box should be inside of the image, which is 12 wide and 10 high, but it is "
        "from 29 1 to 38 7"
    ],
    "size": ["the size of the image should be as the image has it, 12 by 10, but it is 10 by 12"],
    "name": ["the class should be one of the data set's, but it is 'dgo'; did you mean dog?"],
    "empty": ["the annotation should be of at least one object, but it is empty"],
    "entities": ["the file should be XML without entities"],
    "twins": ["object 1: a box should be wider", "object 2: a bndbox"],
    "bomb": ["the image should be one of at most 89000000 pixels"],
    "mask_colour": ["the mask should be an indexed or grey image of classes"],
    "mask_value": [
        "every value of the mask should be the number of a class, 0 to 2, or 255, but it is 7"
    ],
    "gone": ["the image should be called gone, like the file, but it is missing"],
    "nobody": [
        "the annotations should be about every image, but it is not, for 1 of them, such as "
        "nobody.png"
    ],
}


@pytest.mark.parametrize("workers", [0, 2])
def test_all_problems_at_once(ill: Path, workers: int) -> None:
    found = check_dataset(
        Folder(ill, "voc_xml", classes=["cat", "dog"], masks="masks", val_share=0), workers
    )
    told = [str(problem) for problem in found.problems]
    for name, parts in EXPECTED.items():
        for part in parts:
            assert [line for line in told if part in line and name in line], (
                f"{name}: {part} is not among\n" + "\n".join(told)
            )
    warnings = [line for line in told if line.startswith("warning")]
    assert len(told) - len(warnings) == found.errors == sum(map(len, EXPECTED.values())) - 2
    assert len(warnings) == 3  # empty, nobody, and the class cat
    assert found.images == 13


def test_counts_are_those_of_the_images_that_are_right(ill: Path) -> None:
    found = check_dataset(
        Folder(ill, "voc_xml", classes=["cat", "dog"], masks="masks", val_share=0)
    )
    assert (
        found.counts["boxes", 2]
        == found.counts["images with a box", 2]
        == found.counts["images tagged", 2]
        == 1
    )
    assert found.counts["images in the truth", 2] == 2  # of the image without a box, too
    assert found.counts["boxes", 1] == 0


def test_a_healthy_set_has_no_problem_and_counts_by_hand(tmp_path: Path) -> None:
    coco(
        tmp_path,
        "train2017",
        [outlined(0, 18, 2, 1, 6, 6), outlined(0, 18, 9, 0, 2, 3), outlined(1, 5, 0, 0, 4, 4)],
        images=3,
    )
    coco(tmp_path, "val2017", [outlined(0, 25, 1, 1, 2, 2)], images=1)
    found = check_dataset(Coco(tmp_path))
    assert [(problem.level, problem.found) for problem in found.problems] == [("warning", "empty")]
    assert (found.images, found.measured, found.errors) == (4, 1, 0)
    numbers = {"dog": (2, 1), "airplane": (1, 1), "giraffe": (1, 1)}
    for name, (boxes, images) in numbers.items():
        label = found.classes.index(name)
        assert (found.counts["boxes", label], found.counts["images with a box", label]) == (
            boxes,
            images,
        )
    assert found.counts["images in the truth", 0] == 4


def test_a_photo_on_its_side_is_pointed_out_where_nobody_says_for_which_way_up(
    tmp_path: Path,
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    Image.linear_gradient("L").resize((WIDTH, HEIGHT)).save(
        tmp_path / "images" / "a.jpg", exif=exif
    )
    text(tmp_path / "annotations" / "a.csv", "image,x,y,class\na.jpg,1,1,dog\n")
    (problem,) = check_dataset(Folder(tmp_path, "csv", val_share=0)).problems
    assert problem.level == "warning"
    assert "its camera turned (EXIF 6)" in problem.found
    text(tmp_path / "notes" / "a.xml", voc_xml("dog", (3, 2, 8, 7)))
    (problem,) = check_dataset(
        Folder(tmp_path, "voc_xml", annotations="notes", val_share=0)
    ).problems
    assert problem.level == "error"
    assert (
        "as the image has it, 10 by 12, but it is 12 by 10; was it resized or turned since?"
        in str(problem)
    )


class Own(Squares):
    """A data set of a user's, with faults."""

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        if index == 1:
            raise KeyError("label")
        if index == 2:
            return evidence._replace(boxes=torch.tensor([[5.0, 5, 2, 9]])), truth
        return evidence._replace(id="disc/4") if index == 3 else evidence, truth


def test_any_data_set_can_be_looked_at() -> None:
    found = check_dataset(Own(train=6, val=2))
    assert [str(problem) for problem in found.problems] == [
        "error: image number 1: reading it should be possible, but it is not: KeyError: 'label'",
        "error: image disc/2: the evidence should be right, but it is not: the box [5.0, 5.0, "
        "2.0, 9.0] is empty or inverted; expected x1 < x2 and y1 < y2",
        "error: image disc/4: the id should be its own, but it is that of 2 images",
    ]
    assert found.counts["boxes", 1] + found.counts["boxes", 2] == 6


def test_a_box_far_over_the_rim_is_pointed_out_in_any_data_set() -> None:
    class Far(Squares):
        def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
            evidence, truth = super().sample(index)
            return evidence._replace(
                boxes=torch.tensor([[5.0, 5, 26 + 540 * (index == 1), 9]])
            ), truth

    (problem,) = check_dataset(Far(train=2, val=1)).problems
    assert str(problem) == (
        "warning: image disc/1: every box should be at most 2 pixels over the rim, but it is "
        "up to 542 over it"
    )


def test_masks_that_are_probably_scribbles_are_pointed_out(tmp_path: Path) -> None:
    values = np.full((HEIGHT, WIDTH), 255)
    values[2, 2:9], values[7, 1:5] = 1, 0
    for number in range(3):
        photo(tmp_path / "images" / f"{number}.png", number)
        indexed(tmp_path / "annotations" / f"{number}.png", values)
    (problem,) = check_dataset(Folder(tmp_path, "mask_png", classes=["cat"], val_share=0)).problems
    assert (
        "for 3 of 3: 255 on more than a quarter; for scribbles or clicks write "
        "data.evidence=scribbles" in str(problem)
    )
    assert not check_dataset(
        Folder(tmp_path, "mask_png", classes=["cat"], val_share=0, evidence="scribbles")
    ).problems


def test_the_same_image_twice(tmp_path: Path) -> None:
    coco(tmp_path, "train2017", [])
    data = Coco(tmp_path, val=None, classes=["dog"])
    data.take(data.naming, [data.entries[0], *data.entries], [])
    assert (
        "train2017/000.jpg: the name of an image should be its own, but it is that of 2 images"
        in str(check_dataset(data).problems[0])
    )


def test_it_prints_problems_counts_and_a_sum() -> None:
    found = DatasetCheck(
        ("background", "cat"), images=3, measured=1, seconds=0.5, counts=Counter({("boxes", 1): 7})
    )
    found.problems = check_image(Own(train=6, val=2), 1).problems * 3
    console = Console(file=io.StringIO(), width=120)
    print_check(found, console, most=2)
    lines = console.file.getvalue().splitlines()
    assert (
        lines[:2]
        == [
            "error: image number 1: reading it should be possible, but it is not: KeyError: 'label'"
        ]
        * 2
    )
    assert lines[2] == "... and 1 more"
    assert [word for line in lines if "cat" in line for word in line.split() if word.isdigit()] == [
        "7",
        "0",
        "0",
        "0",
        "0",
    ]
    assert (
        lines[-1]
        == "3 images, 1 of them only measured on, in 0.5 s (6 per second): 3 errors, 0 warnings"
    )


def test_masks_that_are_annotation_and_truth_are_told_of_once(tmp_path: Path) -> None:
    for number, name in enumerate(["right", "colour"]):
        photo(tmp_path / "images" / f"{name}.png", number)
        indexed(tmp_path / "annotations" / f"{name}.png", square(2))
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "annotations" / "colour.png")
    found = check_dataset(Folder(tmp_path, "mask_png", classes=["cat", "dog"], val_share=0))
    (problem,) = (problem for problem in found.problems if problem.level == "error")
    assert problem.place.endswith("colour.png")
