import numpy as np
import pytest
import torch

from tests.data.formats.writing import CLASSES, drawn
from weakseg.data.formats.base import (
    FormatError,
    Place,
    Shape,
    box,
    line,
    mask,
    oval,
    point,
    polygon,
)
from weakseg.data.formats.evidence import to_evidence
from weakseg.data.formats.runs import pack

IMAGE = torch.zeros(3, 6, 8, dtype=torch.uint8)
HERE = Place("drawn", "a.jpg", 1)


def square(name: str, left: int, top: int, side: int, layer: int = 0) -> Shape:
    ring = np.array(
        [[left, top], [left + side, top], [left + side, top + side], [left, top + side]], float
    )
    return polygon(name, HERE, [ring], layer)


def marks_of(*shapes: Shape, **options: object) -> list[str]:
    evidence = to_evidence(drawn(*shapes, size=(8, 6)), IMAGE, CLASSES, **options)
    evidence.check(len(CLASSES))
    assert evidence.boxes is None
    return [
        "".join("." if value == 255 else str(value) for value in row)
        for row in evidence.marks.tolist()
    ]


def test_the_smaller_area_lies_on_top_in_whatever_order_they_come() -> None:
    large, small = square("cat", 1, 1, 5), square("dog", 2, 2, 2)
    expected = ["........", ".11111..", ".12211..", ".12211..", ".11111..", ".11111.."]
    assert marks_of(large, small) == marks_of(small, large) == expected


def test_of_equal_areas_the_later_one_and_of_layers_the_higher_one() -> None:
    first, second = square("cat", 0, 0, 2), square("dog", 1, 1, 2)
    assert marks_of(first, second)[1] == "122....."
    assert marks_of(second, first)[1] == "112....."
    assert (
        marks_of(square("cat", 1, 1, 5, layer=2), square("dog", 2, 2, 2, layer=1))[2] == ".11111.."
    )


def test_a_whole_mask_is_background_elsewhere() -> None:
    assert marks_of(square("dog", 1, 1, 1), whole=True) == [
        "00000000",
        "02000000",
        *["00000000"] * 4,
    ]
    assert marks_of(whole=True) == ["00000000"] * 6


def test_masks_lines_and_points_of_any_class_background_too() -> None:
    shapes = [
        mask("cat", HERE, pack(np.array([[True, False], [True, True]]), 1, 3)),
        line("background", HERE, np.array([[0.5, 0.5], [7.5, 0.5]])),
        point("dog", HERE, np.array([[7.0, 5.0], [4.2, 2.9]])),
    ]
    assert marks_of(*shapes, line_width=1) == [
        "00000000",
        "........",
        "....2...",
        ".1......",
        ".11.....",
        ".......2",
    ]
    assert marks_of(shapes[2], point_radius=1) == [
        "........",
        "....2...",
        "...222..",
        "....2...",
        ".......2",
        "......22",
    ]


def test_boxes_are_cut_off_at_the_rim() -> None:
    boxes = [box("cat", HERE, -2, 1, 3, 8), box("traffic light", HERE, 1.5, 2, 4, 5.25)]
    evidence = to_evidence(drawn(*boxes, size=None), IMAGE, CLASSES)
    evidence.check(len(CLASSES))
    assert evidence.boxes.tolist() == [[0, 1, 3, 6], [1.5, 2, 4, 5.25]]
    assert evidence.box_classes.tolist() == [1, 3]
    assert evidence.kinds == ("boxes",)


def test_tags_name_the_classes_of_all_shapes() -> None:
    shapes = [Shape("cat", "tag", HERE), box("dog", HERE, 1, 1, 2, 2)]
    assert to_evidence(drawn(*shapes, size=None), IMAGE, CLASSES).tags.tolist() == [
        True,
        True,
        True,
        False,
    ]
    assert to_evidence(drawn(shapes[1], size=None), IMAGE, CLASSES).tags is None
    assert to_evidence(
        drawn(shapes[1], size=None), IMAGE, CLASSES, kinds=["tag"]
    ).tags.tolist() == [True, False, True, False]


def test_only_the_kinds_that_are_asked_for_and_these_even_if_there_is_none() -> None:
    both = drawn(square("dog", 0, 0, 2), box("dog", HERE, 0, 0, 2, 2), size=None)
    assert to_evidence(both, IMAGE, CLASSES).kinds == ("boxes", "marks")
    assert to_evidence(both, IMAGE, CLASSES, kinds=["polygon"]).kinds == ("marks",)
    nothing = to_evidence(drawn(size=None), IMAGE, CLASSES, kinds=["box", "point", "tag"])
    nothing.check(len(CLASSES))
    assert nothing.boxes.shape == (0, 4)
    assert (nothing.marks == 255).all()
    assert nothing.tags.tolist() == [True, False, False, False]
    assert to_evidence(drawn(size=None), IMAGE, CLASSES).kinds == ()


def test_an_ellipse_is_close_to_one() -> None:
    image = torch.zeros(3, 200, 300, dtype=torch.uint8)
    evidence = to_evidence(drawn(oval("dog", HERE, 140, 90.5, 120, 70), size=None), image, CLASSES)
    y, x = np.mgrid[:200, :300] + 0.5
    exact = ((x - 140) / 120) ** 2 + ((y - 90.5) / 70) ** 2 < 1
    assert (exact != (evidence.marks.numpy() == 2)).mean() < 0.001


FAR = {
    "box": box("cat", HERE, 1, 1, 9, 600),
    "polygon": polygon("cat", HERE, [np.array([[1, 1], [600, 1], [1, 4.0]])]),
    "line": line("cat", HERE, np.array([[1.0, 1], [-20, 1]])),
}
NEAR = {
    "box": box("cat", HERE, -2, 1, 3, 8),
    "polygon": polygon("cat", HERE, [np.array([[1, 1], [10, 1], [1, 4.0]])]),
    "line": line("cat", HERE, np.array([[1.0, 1], [1, -1.5]])),
}


@pytest.mark.parametrize("kind", FAR)
def test_what_reaches_far_over_the_rim_was_drawn_on_another_image_and_is_refused(kind: str) -> None:
    message = (
        f"a {kind} should be inside of the image, .* or at most 2 pixels over its rim "
        ".*data.wrong=cut.* but it is (594|592|20) over it"
    )
    with pytest.raises(FormatError, match=message):
        to_evidence(drawn(FAR[kind], size=None), IMAGE, CLASSES)
    to_evidence(drawn(NEAR[kind], size=None), IMAGE, CLASSES).check(len(CLASSES))
    whole = to_evidence(drawn(FAR[kind], size=None), IMAGE, CLASSES, rim=np.inf)
    whole.check(len(CLASSES))
    if kind == "box":
        assert whole.boxes.tolist() == [[1, 1, 8, 6]]


WRONG = {
    "unknown class": (
        square("dgo", 0, 0, 1),
        "the class should be one of the data set's, but it is 'dgo'; did you mean dog\\?",
    ),
    "box of background": (
        box("background", HERE, 0, 0, 1, 1),
        "the class of a box should be one that is not the background",
    ),
    "box outside": (
        box("cat", HERE, 8, 0, 9, 1),
        "a box should be inside of the image, which is 8 wide and 6 high, .* from 8 0 to 9 1",
    ),
    "polygon outside": (square("cat", 0, 6, 2), "a polygon should be inside of the image"),
    "line outside": (
        line("cat", HERE, np.array([[-3.0, -1], [9, -1]])),
        "a line should be inside of the image",
    ),
    "point outside": (
        point("cat", HERE, np.array([[1.0, 1], [8.5, 1]])),
        "a point should be inside of the image",
    ),
    "mask outside": (
        mask("cat", HERE, pack(np.ones((2, 2), bool), 7, 0)),
        "a mask should be inside of the image",
    ),
    "mask of another size": (
        mask("cat", HERE, pack(np.ones((2, 2), bool), by_columns=True)),
        "a mask should be of the size of the image, 8 by 6",
    ),
}


@pytest.mark.parametrize(("shape", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_named(shape: Shape, message: str) -> None:
    with pytest.raises(FormatError, match=f"^drawn, image 'a.jpg', object 1: {message}"):
        to_evidence(drawn(shape, size=None), IMAGE, CLASSES)


def test_an_image_of_another_size_than_the_file_says() -> None:
    with pytest.raises(
        FormatError,
        match=(
            "the size of the image should be as the image has it, 8 by 6, but it is 6 by 8; was "
            "it resized or turned"
        ),
    ):
        to_evidence(drawn(size=(6, 8)), IMAGE, CLASSES)
    with pytest.raises(
        ValueError, match=r"kinds should be some of box, polygon, .*, but one of them is 'boxes'"
    ):
        to_evidence(drawn(size=None), IMAGE, CLASSES, kinds=["boxes"])
