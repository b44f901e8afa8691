from pathlib import Path

import numpy as np
import pytest

from tests.data.formats.writing import assert_same, cvat, save
from weakseg.data.formats.base import FormatError, Place, Shape, box, line, mask, point, polygon
from weakseg.data.formats.cvat import read
from weakseg.data.formats.runs import Runs, pack

HERE = Place("drawn")

# in the form of CVAT's description of its XML, version 1.1; the mask is the one shown there
EXAMPLE = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><id>4</id><name>segmentation</name><mode>annotation</mode>
    <labels><label><name>car</name></label></labels></task></meta>
  <image id="0" name="filename000.jpg" width="1600" height="1200">
    <box label="plate" xtl="797.33" ytl="870.92" xbr="965.52" ybr="928.94" occluded="0"
      z_order="4"></box>
    <polygon label="car" points="561.30,916.23;561.30,842.77;554.72,761.63;553.62,716.67"
      occluded="0" z_order="1">
      <attribute name="model">renault</attribute>
    </polygon>
    <polyline label="wheel" points="1073.27,892.87;1062.92,901.53" occluded="0"
      z_order="2"></polyline>
    <points label="wheel" points="574.90,939.48;1170.16,907.90" occluded="0" z_order="5"></points>
    <tag label="good_frame" source="manual"></tag>
    <mask label="car" source="manual" occluded="0" left="707" top="888" width="13"
      height="15" z_order="0"
      rle="3, 5, 7, 7, 5, 9, 3, 11, 2, 11, 2, 12, 1, 12, 1, 26, 1, 12, 1, 12, 2, 11, 3, 9, 5, 7, 7,
      5, 3"></mask>
  </image>
  <image id="1" name="filename001.jpg" width="800" height="600"></image>
</annotations>
"""
BLOB = """
...#####.....
..#######....
.#########...
###########..
###########..
############.
############.
#############
#############
.############
.############
..###########
...#########.
....#######..
.....#####...
"""  # the runs of that mask, laid out by hand along rows of 13


def test_the_documented_form(tmp_path: Path) -> None:
    first, second = read(save(tmp_path, "annotations.xml", EXAMPLE))
    assert (first.image, first.size) == ("filename000.jpg", (1600, 1200))
    assert (second.image, second.size, second.shapes) == ("filename001.jpg", (800, 600), [])
    counts = [
        3,
        5,
        7,
        7,
        5,
        9,
        3,
        11,
        2,
        11,
        2,
        12,
        1,
        12,
        1,
        26,
        1,
        12,
        1,
        12,
        2,
        11,
        3,
        9,
        5,
        7,
        7,
        5,
        3,
    ]
    expected = [
        box("plate", HERE, 797.33, 870.92, 965.52, 928.94, layer=4),
        polygon(
            "car",
            HERE,
            [np.array([[561.30, 916.23], [561.30, 842.77], [554.72, 761.63], [553.62, 716.67]])],
            layer=1,
        ),
        line("wheel", HERE, np.array([[1073.27, 892.87], [1062.92, 901.53]]), layer=2),
        point("wheel", HERE, np.array([[574.90, 939.48], [1170.16, 907.90]]), layer=5),
        Shape("good_frame", "tag", HERE),
        mask("car", HERE, Runs(np.array(counts), 707, 888, 13, 15)),
    ]
    assert_same(first.shapes, expected)


def test_the_documented_mask_is_a_blob_along_the_rows(tmp_path: Path) -> None:
    picture = read(save(tmp_path, "annotations.xml", EXAMPLE))[0].shapes[-1].runs.unpack()
    assert ["".join(".#"[value] for value in row) for row in picture.astype(int)] == BLOB.split()


def test_a_turned_box_becomes_the_upright_one_around_it(tmp_path: Path) -> None:
    quarter = (
        '<box label="dog" xtl="10" ytl="20" xbr="30" ybr="26" rotation="90.00" z_order="0"></box>'
    )
    eighth = '<box label="dog" xtl="10" ytl="10" xbr="20" ybr="20" rotation="45.00"></box>'
    shapes = read(save(tmp_path, "a.xml", cvat(quarter + eighth)))[0].shapes
    half = 5 * 2**0.5
    assert_same(
        shapes,
        [
            box("dog", HERE, 17, 13, 23, 33),
            box("dog", HERE, 15 - half, 15 - half, 15 + half, 15 + half),
        ],
    )


def test_ellipses(tmp_path: Path) -> None:
    element = '<ellipse label="dog" cx="50" cy="60" rx="20" ry="10" rotation="{}"></ellipse>'
    straight, turned = read(
        save(tmp_path, "a.xml", cvat(element.format("0.00") + element.format("90.00")))
    )[0].shapes
    np.testing.assert_allclose(np.ptp(straight.parts[0], 0), [40, 20], atol=0.1)
    np.testing.assert_allclose(np.ptp(turned.parts[0], 0), [20, 40], atol=0.1)
    np.testing.assert_allclose(turned.parts[0].mean(0), [50, 60])


def test_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    elements, shapes = [], []
    for _ in range(30):
        points = rng.uniform(0, 99, (rng.integers(3, 9), 2)).round(2)
        listed = ";".join(f"{x:.2f},{y:.2f}" for x, y in points)
        runs = pack(rng.random(rng.integers(1, 9, 2)) < 0.5, 5, 6)
        elements.append(
            f'<polygon label="cat" points="{listed}" z_order="1"/><points label="dog" '
            f'points="{listed}"/>'
        )
        window = f'left="5" top="6" width="{runs.width}" height="{runs.height}"'
        elements.append(
            f'<mask label="dog" rle="{", ".join(map(str, runs.counts))}" {window} z_order="-2"/>'
        )
        shapes += [
            polygon("cat", HERE, [points], 1),
            point("dog", HERE, points),
            mask("dog", HERE, runs, -2),
        ]
    assert_same(read(save(tmp_path, "a.xml", cvat("".join(elements))))[0].shapes, shapes)


@pytest.mark.parametrize(
    ("element", "message"),
    [
        ("<cuboid label='dog'/>", "an object should be box, polygon, .*, but it is 'cuboid'"),
        (
            "<skeleton label='dog'><points label='1' points='1,2'/></skeleton>",
            "but it is 'skeleton'",
        ),
        ("<tag/>", "the attribute 'label' of <tag> should be text, but it is missing"),
        (
            "<box label='dog' xtl='5' ytl='1' xbr='3' ybr='2'/>",
            "a box should be wider and higher than 0, .* xtl < xbr",
        ),
        (
            "<box label='dog' xtl='5' ytl='1' xbr='inf' ybr='2'/>",
            "xtl, ytl, xbr, ybr should be 4 finite numbers",
        ),
        ("<polygon label='dog' points='1,2;3'/>", "points should be x and y in turn"),
        ("<polygon label='dog' points='1,2;;3,4'/>", "points should be a list of finite numbers"),
        (
            "<mask label='dog' rle='1, 2' left='0' top='0' width='2' height='2'/>",
            "a mask should be runs of 4 pixels together",
        ),
        (
            "<mask label='dog' rle='4' left='0' top='0' width='99999' height='99999'/>",
            "a mask should be at least one pixel",
        ),
        (
            "<mask label='dog' rle='0' left='0' top='0' width='0' height='5'/>",
            "a mask should be at least one pixel",
        ),
    ],
)
def test_what_is_wrong_is_named(element: str, message: str, tmp_path: Path) -> None:
    path = save(tmp_path, "a.xml", cvat('<tag label="dog"/>' + element))
    with pytest.raises(FormatError, match=f"a.xml, image 'a.jpg', object 2: .*{message}"):
        read(path)
    problems: list[FormatError] = []
    assert len(read(path, problems)[0].shapes) == len(problems) == 1


def test_videos_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(
        FormatError,
        match=r'should be an export as "CVAT for images 1.1", but it is one as "CVAT for video"',
    ):
        read(save(tmp_path, "a.xml", '<annotations><track id="0" label="dog"/></annotations>'))


def test_a_broken_image_leaves_the_others(tmp_path: Path) -> None:
    text = (
        '<annotations><image id="0" width="5" height="5"/><image id="1" name="b.jpg" width="5" '
        'height="5"/></annotations>'
    )
    problems: list[FormatError] = []
    assert [image.image for image in read(save(tmp_path, "a.xml", text), problems)] == ["b.jpg"]
    assert "the attribute 'name' of <image> should be text" in str(problems[0])


def test_parts_of_the_data_set_are_its_subsets(tmp_path: Path) -> None:
    images = "".join(
        f'<image name="{part}.jpg" width="9" height="9" subset="{part}"/>'
        for part in ("Train", "validation", "test", "default")
    )
    found = read(
        save(
            tmp_path,
            "a.xml",
            f"<annotations>{images}<image name='x.jpg' width='9' height='9'/></annotations>",
        )
    )
    assert [one.part for one in found] == ["train", "val", "test", None, None]
