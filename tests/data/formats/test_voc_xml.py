from pathlib import Path

import numpy as np
import pytest

from tests.data.formats.writing import assert_same, save, voc, voc_object
from weakseg.data.formats.base import FormatError, Place, box
from weakseg.data.formats.voc_xml import read

HERE = Place("drawn")

# in the form of the files of VOC 2012, parts of people included
PEOPLE = """<annotation>
	<filename>2011_003213.jpg</filename>
	<folder>VOC2012</folder>
	<object>
		<name>person</name>
		<actions><jumping>0</jumping><other>1</other></actions>
		<bndbox><xmax>333.43</xmax><xmin>45.70</xmin><ymax>375</ymax><ymin>1</ymin></bndbox>
		<difficult>0</difficult>
		<pose>Unspecified</pose>
		<part><name>head</name>
		<bndbox><xmin>169</xmin><ymin>104</ymin><xmax>209</xmax><ymax>146</ymax></bndbox></part>
	</object>
	<segmented>0</segmented>
	<size><depth>3</depth><height>375</height><width>500</width></size>
	<source><annotation>PASCAL VOC2012</annotation>
		<database>The VOC2012 Database</database><image>flickr</image></source>
</annotation>
"""


def test_a_file_of_voc_2012(tmp_path: Path) -> None:
    annotation = read(save(tmp_path, "2011_003213.xml", PEOPLE))
    assert (annotation.image, annotation.size) == ("2011_003213.jpg", (500, 375))
    assert_same(annotation.shapes, [box("person", HERE, 44.7, 0, 333.43, 375)])
    assert annotation.shapes[0].place == Place(
        str(tmp_path / "2011_003213.xml"), "2011_003213.jpg", 1
    )


def test_the_whole_image_and_a_single_pixel(tmp_path: Path) -> None:
    annotation = read(
        save(tmp_path, "a.xml", voc(voc_object(1, 1, 100, 120), voc_object(5, 6, 5, 6)))
    )
    assert_same(annotation.shapes, [box("dog", HERE, 0, 0, 100, 120), box("dog", HERE, 4, 5, 5, 6)])


def test_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        corners = rng.integers(0, 60, (rng.integers(0, 5), 2))
        shapes = [
            box("cat", HERE, x, y, x + w, y + h)
            for (x, y), (w, h) in zip(corners, rng.integers(1, 40, corners.shape), strict=True)
        ]
        edges = [[int(value) for value in shape.parts[0].ravel()] for shape in shapes]
        text = voc(*(voc_object(x1 + 1, y1 + 1, x2, y2, "cat") for x1, y1, x2, y2 in edges))
        assert_same(read(save(tmp_path, "a.xml", text)).shapes, shapes)


def test_without_name_and_size(tmp_path: Path) -> None:
    for size in ("", "<width>0</width><height>0</height><depth>3</depth>"):
        text = voc(voc_object(1, 2, 3, 4), size=size).replace(
            "<filename>a.jpg</filename>", "<filename/>"
        )
        annotation = read(save(tmp_path, "beach.xml", text))
        assert (annotation.image, annotation.size, len(annotation.shapes)) == ("beach", None, 1)


WRONG = {
    "inverted": (
        voc_object(40, 51, 31, 70),
        r"a box should be wider and higher than 0, .*, but it is \[39.0, 50.0, 31.0, 70.0\]",
    ),
    "NaN": (
        voc_object("nan", 51, 40, 70),
        r"a bndbox of xmin, ymin, xmax, ymax should be 4 finite numbers .*, but it is \['nan', "
        r"'51'",
    ),
    "far": (voc_object(1, 51, "1e300", 70), "finite numbers"),
    "text": (voc_object(1, 51, "forty", 70), "finite numbers"),
    "missing": (
        "<object><name>dog</name></object>",
        r"finite numbers .*, but it is \['', '', '', ''\]",
    ),
    "nameless": (voc_object(1, 2, 3, 4, ""), "the field 'name' should be text, but it is None"),
}


@pytest.mark.parametrize(("element", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_and_the_rest_can_be_kept(
    element: str, message: str, tmp_path: Path
) -> None:
    path = save(tmp_path, "a.xml", voc(voc_object(1, 1, 2, 2), element, voc_object(3, 3, 4, 4)))
    with pytest.raises(FormatError, match=f"a.xml, image 'a.jpg', object 2: .*{message}"):
        read(path)
    problems: list[FormatError] = []
    assert [shape.place.number for shape in read(path, problems).shapes] == [1, 3]
    assert [problem.place.number for problem in problems] == [2]


def test_a_size_that_is_none(tmp_path: Path) -> None:
    path = save(
        tmp_path, "a.xml", voc(voc_object(1, 1, 2, 2), size="<width>-5</width><height>9</height>")
    )
    with pytest.raises(FormatError, match="the size of the image should be two numbers above 0"):
        read(path)
    problems: list[FormatError] = []
    assert len(read(path, problems).shapes) == len(problems) == 1
