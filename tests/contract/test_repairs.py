"""Nothing that a person annotated is clipped, dropped or shrunk in silence: the check counts it, or
it is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.layouts import HEIGHT, WIDTH, photo
from weakseg.data.class_names import Naming, Others
from weakseg.data.files.entries import Entry, in_memory
from weakseg.data.files.photos import KINDS_OF, Photos
from weakseg.data.formats.base import Annotation, Place, Shape, box, line, mask, point, polygon
from weakseg.data.formats.runs import pack
from weakseg.reporting.dataset_check import DatasetCheck, check_dataset

HERE = Place("drawn.json", "a.png", 1)
KINDS = ("box", "polygon", "line", "point", "mask")


def shape(
    kind: str,
    name: str = "cat",
    left: float = 2,
    top: float = 2,
    right: float = 6,
    bottom: float = 6,
) -> Shape:
    """A shape of this kind between these edges."""
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
    if kind == "box":
        return box(name, HERE, left, top, right, bottom)
    if kind == "polygon":
        return polygon(name, HERE, [corners])
    if kind == "line":
        return line(name, HERE, corners[[0, 2]])
    if kind == "point":
        return point(name, HERE, corners[[0, 2]])
    pixels = np.ones((max(1, int(bottom - top)), max(1, int(right - left))), bool)
    return mask(name, HERE, pack(pixels, int(left), int(top)))


def check(
    folder: Path,
    *shapes: Shape,
    evidence: Any = None,
    rename: Any = None,
    others: Others = "error",
    **options: Any,
) -> DatasetCheck:
    data = Photos(others=others, **options)
    data.evidence = evidence
    entry = Entry(
        "a.png",
        photo(folder / "a.png"),
        partial(in_memory, Annotation("a.png", list(shapes), None, HERE)),
    )
    data.take(Naming(("background", "cat", "dog"), others, rename or {}), [entry], [])
    return check_dataset(data)


def told(found: DatasetCheck) -> str:
    """All that the check says of what it met, classes that never come apart."""
    lines = [str(problem) for problem in found.problems if problem.what != "every class"]
    return "\n".join(lines + [f"{what}: {count}" for what, count in found.repairs.items()])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_right_is_not_mentioned(kind: str, tmp_path: Path) -> None:
    assert told(check(tmp_path, shape(kind))) == ""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", ["error", "skip"])
def test_far_outside_is_an_error_whatever_becomes_of_it(
    kind: str, wrong: str, tmp_path: Path
) -> None:
    found = check(tmp_path, shape(kind, right=WIDTH + 540), wrong=wrong)
    assert found.errors == 1
    assert f"a {kind} should be inside of the image" in told(found)


@pytest.mark.parametrize("kind", ["box", "polygon", "line"])
@pytest.mark.parametrize(("over", "wrong"), [(1.5, "error"), (540, "cut")])
def test_what_is_cut_off_is_counted(kind: str, over: float, wrong: str, tmp_path: Path) -> None:
    found = check(tmp_path, shape(kind, right=WIDTH + over), wrong=wrong)
    assert found.errors == 0
    assert (
        sum(
            count
            for what, count in found.repairs.items()
            if "cut off at the rim of the image" in what
        )
        == 1
    )


@pytest.mark.parametrize("kind", KINDS)
def test_objects_of_other_classes_are_counted(kind: str, tmp_path: Path) -> None:
    for others in ("background", "ignore"):
        found = check(tmp_path, shape(kind), shape(kind, "cow"), others=others)
        assert found.errors == 0
        assert "left out, whose class the data set does not have" in told(found)
    assert "objects left out, as data.rename says: 1" in told(
        check(tmp_path, shape(kind), shape(kind, "cow"), rename={"cow": None})
    )
    assert "the class should be one of the data set's" in told(
        check(tmp_path, shape(kind), shape(kind, "cow"))
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("evidence", [word for word in KINDS_OF if word != "tags"])
def test_kinds_that_are_not_used_are_counted_and_none_at_all_is_an_error(
    kind: str, evidence: str, tmp_path: Path
) -> None:
    usable = KINDS_OF[evidence][0]
    if kind in KINDS_OF[evidence]:
        assert told(check(tmp_path, shape(kind), evidence=evidence)) == ""
        return
    assert "not used, as data.evidence wants other kinds: 1" in told(
        check(tmp_path, shape(kind), shape(usable), evidence=evidence)
    )
    found = check(tmp_path, shape(kind), evidence=evidence)
    assert found.errors == 1
    assert f"for data.evidence={evidence}, but it is 1 {kind} alone" in told(found)


@pytest.mark.parametrize("kind", KINDS)
def test_what_shrinks_out_of_sight_is_counted(kind: str, tmp_path: Path) -> None:
    found = check(
        tmp_path, shape(kind, "dog", 4, 4, 5, 5), shape(kind, "cat", 4.2, 4.2, 5, 5), long_side=3
    )
    assert found.errors == 0
    assert "narrower than a pixel of the image as it is read: 2" in told(
        found
    ) or "too small to be seen: 1" in told(found)


def test_what_covers_no_pixel_is_counted(tmp_path: Path) -> None:
    assert "polygons too small to cover the middle of a pixel: 1" in told(
        check(tmp_path, shape("polygon", right=2.4, bottom=2.4))
    )


def image(folder: Path, name: str, **options: Any) -> DatasetCheck:
    data = Photos(**options)
    data.take(Naming(("background", "cat")), [Entry(name, folder / name)], [])
    return check_dataset(data)


def test_what_is_changed_of_images_is_counted(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 4096, (HEIGHT, WIDTH), dtype=np.uint16)
    grey = Image.fromarray((noise >> 4).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    grey.save(tmp_path / "turned.jpg", exif=exif)
    grey.convert("RGB").convert("CMYK").save(tmp_path / "cmyk.jpg")
    grey.convert("LA").save(tmp_path / "clear.png")
    grey.save(tmp_path / "moving.gif", save_all=True, append_images=[grey.rotate(180)])
    Image.fromarray(noise).save(tmp_path / "deep.png")
    expected = {
        "turned.jpg": "images turned upright, as their cameras noted: 1",
        "cmyk.jpg": "images converted from CMYK: 1",
        "clear.png": "images with transparency, which lies on white: 1",
        "moving.gif": "images of several frames, of which the first is read: 1",
        "deep.png": "images of 16 bits, read as 12 bits: 1",
    }
    for name, said in expected.items():
        assert told(image(tmp_path, name)) == said
    assert (
        told(image(tmp_path, "deep.png", window=(0, 4095)))
        == "images of 16 bits, read through data.window: 1"
    )


def test_an_image_of_practically_one_grey_is_pointed_out(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (HEIGHT, WIDTH), dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert "practically one grey" not in told(image(tmp_path, "deep.png"))
    assert "practically one grey or colour; images of 16 bits may need data.window" in told(
        image(tmp_path, "deep.png", window=(0, 10**6))
    )
