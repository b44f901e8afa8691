"""How files of labels are written: a few images at a time, whole or not at all, always the same,
and nothing that a file cannot hold."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.written import CLASSES, photos, reader, round_trip, varied
from weakseg.data.formats.base import FormatError
from weakseg.data.formats.runs import pack
from weakseg.data.formats.writing.formats import FORMATS, write_labels
from weakseg.data.formats.writing.labels import IGNORED, LabelledImage, Objects, regions_of
from weakseg.data.formats.writing.png import labels_of, png_of, write_png

OBJECTS = [format for format in FORMATS if format != "png"]
WITH_LABELMAP = ["cvat_masks", "voc"]
IN_ONE_FILE = {
    "coco": "coco.json",
    "coco_polygons": "coco_polygons.json",
    "cvat": "cvat.xml",
    "cvat_masks": "cvat_masks.zip",
    "datumaro": "datumaro/annotations/default.json",
    "label_studio": "label_studio.json",
}
SMALL = LabelledImage("a.png", np.array([[0, 1], [2, 255]], np.uint8), 0.5)


def files(folder: Path) -> dict[str, bytes]:
    """All that is in a folder, hidden parts as well."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_returned_are_the_files_or_their_folder(format: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    paths = write_labels(format, iter(varied(CLASSES)), CLASSES, out)
    inside = {found for path in paths for found in (path, *path.rglob("*")) if found.is_file()}
    assert {path.relative_to(out).as_posix() for path in inside} == set(files(out))
    assert all(path.is_dir() for path in paths) == (format in ("png", "labelme", "voc"))


@pytest.mark.parametrize("format", FORMATS)
def test_images_are_taken_one_by_one_and_not_kept(format: str, tmp_path: Path) -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def images() -> Iterator[LabelledImage]:
        nonlocal most
        for number in range(20):
            labels = np.full((4, 5), number % 4, np.uint8)
            alive.append(weakref.ref(labels))
            yield LabelledImage(f"{number}.png", labels)
            del labels
            most = max(most, sum(each() is not None for each in alive))

    write_labels(format, images(), CLASSES, tmp_path)
    assert most <= 2  # the one that is written, and the next


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_labels_make_the_same_files(format: str, tmp_path: Path) -> None:
    write_labels(format, iter(varied(CLASSES)), CLASSES, tmp_path / "one")
    write_labels(format, iter(varied(CLASSES)), CLASSES, tmp_path / "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")


@pytest.mark.parametrize("format", IN_ONE_FILE)
def test_after_an_error_amid_it_the_file_is_as_before(format: str, tmp_path: Path) -> None:
    write_labels(format, [SMALL], CLASSES, tmp_path)
    before = files(tmp_path)

    def images() -> Iterator[LabelledImage]:
        yield SMALL._replace(name="b.png")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_labels(format, images(), CLASSES, tmp_path)
    assert files(tmp_path) == before
    assert IN_ONE_FILE[format] in before


@pytest.mark.parametrize("format", FORMATS)
def test_no_image_at_all_is_a_file_without_images(format: str, tmp_path: Path) -> None:
    paths = write_labels(format, [], CLASSES, tmp_path)
    assert all(path.exists() for path in paths)
    for path in tmp_path.rglob("*.json"):
        json.loads(path.read_text())


@pytest.mark.parametrize("format", [*IN_ONE_FILE, "voc"])
def test_parts_have_files_of_their_own(format: str, tmp_path: Path) -> None:
    images = varied(CLASSES)
    for part in (1, 2):
        write_labels(format, images[part - 1 :: 2], CLASSES, tmp_path, suffix=f"-{part}-of-2")
    there = [name for name in files(tmp_path) if "-of-2" in name]
    assert len(there) == 2


def test_ids_depend_on_the_image_alone(tmp_path: Path) -> None:
    """So files of parts can be joined, and a file with more images has the same ids."""
    images = varied(CLASSES)
    orders = {"all": images, "turned": images[::-1], "one": images[:1], "rest": images[1:]}
    found = {}
    for name, order in orders.items():
        write_labels("coco", order, CLASSES, tmp_path / name)
        top = json.loads((tmp_path / name / "coco.json").read_text())
        pictures = {entry["id"]: entry["file_name"] for entry in top["images"]}
        found[name] = pictures | {
            entry["id"]: (entry["image_id"], entry["category_id"]) for entry in top["annotations"]
        }
        assert len(found[name]) == len(top["images"]) + len(top["annotations"])
    assert found["all"] == found["turned"] == found["one"] | found["rest"]
    assert max(found["all"]) < 2**53  # what JavaScript keeps exactly


def test_several_files_of_parts_are_read_as_one_data_set(tmp_path: Path) -> None:
    images = varied(CLASSES)
    for part in (1, 2):
        write_labels("coco", images[part - 1 :: 2], CLASSES, tmp_path / "out", suffix=f"-{part}")
    data = reader("coco", tmp_path / "out", photos(tmp_path / "photos", images), CLASSES, place="")
    assert {entry.id for entry in data.entries} == {image.name for image in images}


# objects ------------------------------------------------------------------------------------------


def two_dogs() -> LabelledImage:
    """Two objects that overlap, the surer one on top, and pixels without a label."""
    low = np.zeros((6, 8), bool)
    low[1:5, 1:5] = True
    high = np.zeros((6, 8), bool)
    high[2:6, 3:8] = True
    labels = np.zeros((6, 8), np.uint8)
    labels[low] = 1
    labels[high] = 2
    labels[0] = 255
    objects = Objects((pack(high[2:6, 3:8], 3, 2), pack(low)), (2, 1), (0.9, 0.4))
    return LabelledImage("a.png", labels, 0.7, objects)


def test_objects_are_whole_and_have_their_scores(tmp_path: Path) -> None:
    image = two_dogs()
    regions = list(regions_of(image, CLASSES))
    assert [(one.name, one.layer, one.score) for one in regions] == [
        (IGNORED, 0, None),
        ("cat", 1, 0.4),
        ("dog", 2, 0.9),
    ]
    assert [int(one.mask.sum()) for one in regions] == [8, 16, 20]
    write_labels("coco", [image], CLASSES, tmp_path)
    top = json.loads((tmp_path / "coco.json").read_text())
    assert [(one["bbox"], one.get("score"), one["iscrowd"]) for one in top["annotations"]] == [
        ([0, 0, 8, 1], None, 1),
        ([1, 1, 4, 4], 0.4, 0),
        ([3, 2, 5, 4], 0.9, 0),
    ]


@pytest.mark.parametrize("format", ["png", "cvat", "cvat_masks", "datumaro", "voc"])
def test_where_files_have_layers_objects_are_painted_as_the_labels_are(
    format: str, tmp_path: Path
) -> None:
    image = two_dogs()
    np.testing.assert_array_equal(
        round_trip(format, [image], CLASSES, tmp_path)["a.png"], image.labels
    )


def test_an_object_without_a_pixel_is_none() -> None:
    nothing = np.zeros((2, 2), bool)
    image = SMALL._replace(objects=Objects((pack(nothing),), (1,), (0.9,)))
    assert [region.name for region in regions_of(image, CLASSES)] == [IGNORED]


# what is not there, or cannot be ------------------------------------------------------------------


@pytest.mark.parametrize("format", ["coco", "coco_polygons", "datumaro", "cvat_masks"])
def test_where_all_pixels_have_a_label_there_is_no_class_ignored(
    format: str, tmp_path: Path
) -> None:
    write_labels(format, [SMALL._replace(labels=SMALL.labels % 3)], CLASSES, tmp_path)
    assert IGNORED.encode() not in b"".join(files(tmp_path).values())
    write_labels(format, [SMALL], CLASSES, tmp_path)
    assert IGNORED.encode() in b"".join(files(tmp_path).values())


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([[0, 4]], np.uint8), "image a.png: labels should be from 0 to 3, or 255 .* is 4"),
        (np.zeros((0, 3), np.uint8), r"image a.png: labels should be uint8 \[H,W\], .* \[0, 3\]"),
        (np.zeros((2, 3)), r"image a.png: labels should be uint8 \[H,W\], .*float64 \[2, 3\]"),
    ],
)
def test_labels_that_are_none_are_refused(
    format: str, labels: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        write_labels(format, [LabelledImage("a.png", labels)], CLASSES, tmp_path)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "name", ["", "/a.png", "../a.png", "x/../../a.png", "a\nb.png", "\udce4.png"]
)
def test_a_name_that_leads_out_or_is_no_text_is_refused(
    format: str, name: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="the name of an image should be"):
        write_labels(format, [SMALL._replace(name=name)], CLASSES, tmp_path)


@pytest.mark.parametrize("format", FORMATS)
def test_two_images_need_names_of_their_own(format: str, tmp_path: Path) -> None:
    images = [SMALL, SMALL._replace(name="a.jpg")]
    with pytest.raises(ValueError, match=r"the labels of a\.png and a\.jpg would have the same"):
        write_labels(format, images, CLASSES, tmp_path)


@pytest.mark.parametrize("format", OBJECTS)
def test_a_class_called_like_pixels_without_a_label_is_refused(format: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no class should be called 'ignored', .*format=png"):
        write_labels(format, [SMALL], ("background", "ignored", "x"), tmp_path)


@pytest.mark.parametrize("format", WITH_LABELMAP)
@pytest.mark.parametrize("name", ["a:b", "#a", " a"])
def test_a_class_that_a_label_map_cannot_hold_is_refused(
    format: str, name: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=f"files of format={format} should be without a colon"):
        write_labels(format, [SMALL], ("background", "x", name), tmp_path)


@pytest.mark.parametrize("classes", [(), ("background", "a", "a"), ("background", ""), ("a\n",)])
def test_classes_that_are_none_are_refused(classes: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="class"):
        write_labels("coco", [SMALL], classes, tmp_path)


def test_a_format_that_there_is_not_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"format should be one of png, .*, but it is 'yolo'"):
        write_labels("yolo", [SMALL], CLASSES, tmp_path)


# masks --------------------------------------------------------------------------------------------


def test_masks_are_read_again_one_by_one(tmp_path: Path) -> None:
    images = varied(CLASSES)
    for image in images:
        write_png(tmp_path / png_of(image.name), image.labels, CLASSES)
    names = [image.name for image in images]
    scores = {image.name: image.score for image in images if image.score is not None}
    for found, image in zip(labels_of(tmp_path, names, scores), images, strict=True):
        assert (found.name, found.score, found.labels.dtype) == (image.name, image.score, np.uint8)
        np.testing.assert_array_equal(found.labels, image.labels)
    some = labels_of(tmp_path, ["a.jpg", "missing.jpg"])
    assert next(some).name == "a.jpg"
    with pytest.raises(FormatError, match=r"missing\.png: the image should be there"):
        next(some)
