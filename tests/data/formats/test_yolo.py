from pathlib import Path

import numpy as np
import pytest

from tests.data.formats.writing import CLASSES, assert_same, save
from weakseg.data.formats.base import FormatError, Place, box, point, polygon
from weakseg.data.formats.yolo import read, read_header, read_names

HERE = Place("drawn")
SIZE = (640, 480)


def test_the_documented_form(tmp_path: Path) -> None:
    text = "1 0.481719 0.634028 0.690625 0.713278\n\n3 0.741094 0.524306 0.314750 0.933389\n"
    annotation = read(save(tmp_path, "a.txt", text), CLASSES, "images/a.jpg", SIZE)
    assert (annotation.image, annotation.size) == ("images/a.jpg", None)
    first = [
        (0.481719 - 0.690625 / 2) * 640,
        (0.634028 - 0.713278 / 2) * 480,
        (0.481719 + 0.690625 / 2) * 640,
        (0.634028 + 0.713278 / 2) * 480,
    ]
    assert annotation.shapes[0].name == "cat"
    np.testing.assert_allclose(annotation.shapes[0].parts[0].ravel(), first)
    assert [shape.place.number for shape in annotation.shapes] == [1, 3]


def test_an_empty_file_is_an_image_without_objects(tmp_path: Path) -> None:
    assert read(save(tmp_path, "a.txt", ""), CLASSES, "a.jpg", SIZE).shapes == []


def test_round_trip_to_a_hundredth_of_a_pixel(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines, shapes = [], []
    for _ in range(50):
        x1, y1, x2, y2 = np.sort(
            rng.integers(0, 480, (2, 2)) + np.array([[0, 0], [1, 1]]), axis=0
        ).ravel()
        shapes.append(box("dog", HERE, x1, y1, x2, y2))
        lines.append(
            f"2 {(x1 + x2) / 2 / 640:.6f} {(y1 + y2) / 2 / 480:.6f} {(x2 - x1) / 640:.6f} "
            f"{(y2 - y1) / 480:.6f}"
        )
        ring = rng.uniform(0, 480, (rng.integers(3, 9), 2))
        shapes.append(polygon("cat", HERE, [ring]))
        lines.append("1 " + " ".join(f"{value:.6f}" for value in (ring / SIZE).ravel()))
    assert_same(
        read(save(tmp_path, "a.txt", "\n".join(lines)), CLASSES, "a.jpg", SIZE).shapes,
        shapes,
        within=0.01,
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "4 0.5 0.5 0.1 0.1",
            "a line should be one that begins with the number of a class, 0 to 3, but it is '4'",
        ),
        ("-1 0.5 0.5 0.1 0.1", "the number of a class"),
        ("dog 0.5 0.5 0.1 0.1", "the number of a class"),
        ("\u0661 0.5 0.5 0.1 0.1", "the number of a class"),
        ("1 320 240 64 48", "every number should be a share of the image from 0 to 1"),
        ("1 0.5 0.5 0.1 nan", "a line should be a list of finite numbers"),
        ("1 0.5 0.5 0 0.1", "a box should be wider and higher than 0"),
        (
            "1 0.5 0.5 0.1 0.1 0.98",
            "a class and 4 numbers for a box, or 3 or more x y for a polygon, but it is 5 numbers",
        ),
        ("1", "but it is 0 numbers"),
    ],
)
def test_what_is_wrong_is_named(line: str, message: str, tmp_path: Path) -> None:
    path = save(tmp_path, "a.txt", f"1 0.5 0.5 0.1 0.1\n{line}\n")
    with pytest.raises(FormatError, match=f"a.txt, image 'a.jpg', line 2: .*{message}"):
        read(path, CLASSES, "a.jpg", SIZE)
    problems: list[FormatError] = []
    assert len(read(path, CLASSES, "a.jpg", SIZE, problems).shapes) == len(problems) == 1


def test_names(tmp_path: Path) -> None:
    assert read_names(save(tmp_path, "classes.txt", "cat\ntraffic light\n\n")) == [
        "cat",
        "traffic light",
    ]
    assert read_names(
        save(tmp_path, "data.yaml", "path: x\nnames:\n  0: cat\n  1: dog\nnc: 2\n")
    ) == ["cat", "dog"]
    assert read_names(save(tmp_path, "data.yaml", "names: [cat, dog]")) == ["cat", "dog"]
    names = (
        "names:\n"
        "  0: on\n"
        "  1: yes\n"
        "  2: 1\n"
        "  3: 007\n"
        "  4: 1e3\n"
        "  5: null\n"
        "  6: ünïcode\n"
        "  7: 'quoted'\n"
    )
    assert read_names(save(tmp_path, "data.yaml", names)) == [
        "on",
        "yes",
        "1",
        "007",
        "1e3",
        "null",
        "ünïcode",
        "quoted",
    ]
    for text in (
        "names: {0: cat, 2: dog}",
        "names: []",
        "x",
        "names: [",
        "names: !!python/object/apply:os.getcwd []",
    ):
        with pytest.raises(FormatError, match=r"data.yaml: (names|the file) should be"):
            read_names(save(tmp_path, "data.yaml", text))


def test_what_a_data_yaml_says_about_all_files(tmp_path: Path) -> None:
    text = "train: ../train/images\nval: [a, b]\ntest:\nnames: [cat, dog]\nkpt_shape: [17, 3]\n"
    header = read_header(save(tmp_path, "data.yaml", text))
    assert header == (["cat", "dog"], {"train": ["../train/images"], "val": ["a", "b"]}, (17, 3))
    for shape in ("[17]", "[17, 4]", "[0, 2]", "many", "[1.5, 2]"):
        with pytest.raises(FormatError, match="kpt_shape should be"):
            read_header(save(tmp_path, "data.yaml", f"names: [cat]\nkpt_shape: {shape}\n"))


def test_poses_are_boxes_with_points_and_no_polygons(tmp_path: Path) -> None:
    expected = [box("cat", HERE, 256, 180, 384, 300), point("cat", HERE, np.array([[320.0, 240]]))]
    path = save(tmp_path, "a.txt", "1 0.5 0.5 0.2 0.25 0.5 0.5 2 0 0 0\n")
    assert_same(read(path, CLASSES, "a.jpg", SIZE, key_points=(2, 3)).shapes, expected)
    path = save(tmp_path, "a.txt", "1 0.5 0.5 0.2 0.25 0.5 0.5 0 0\n1 0.5 0.5 0.2 0.25 0 0 0 0\n")
    assert_same(
        read(path, CLASSES, "a.jpg", SIZE, key_points=(2, 2)).shapes, [*expected, expected[0]]
    )
    with pytest.raises(
        FormatError,
        match=(
            r"4 numbers for a box and 2 times 3 for key points, as kpt_shape .* a class and 8 "
            r"numbers"
        ),
    ):
        read(path, CLASSES, "a.jpg", SIZE, key_points=(2, 3))


def test_a_yaml_bomb_is_refused_unread(tmp_path: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdef", "bcdefg", strict=True)
    ]
    for text in (
        "\n".join([*lines, "names: *g"]),
        "names: &a [*a]",
        "names: " + "[" * 200_000,
        "names: " + "{a: " * 50 + "}" * 50,
    ):
        with pytest.raises(
            FormatError,
            match=(
                r"data.yaml: the file should be (YAML of lists|YAML without anchors .* one with "
                r"'a')"
            ),
        ):
            read_names(save(tmp_path, "data.yaml", text))
