import pytest
import torch

from tests.data.formats.writing import drawn
from weakseg.data.class_names import Naming
from weakseg.data.formats.base import FormatError, Place, Shape, box
from weakseg.evidence import Evidence

HERE = Place("a.png", "a")
VALUES = torch.tensor([[0, 1, 2], [3, 255, 4]], dtype=torch.uint8)
NAMES = ["background", "cat", "giraffe", "hound", None]
RENAME = {"hound": "dog"}


@pytest.mark.parametrize(("others", "strange"), [("background", 0), ("ignore", 255)])
def test_values_become_classes(others: str, strange: int) -> None:
    labels = Naming(("background", "dog", "cat"), others, RENAME).labels(VALUES, NAMES, HERE)
    assert labels.dtype == torch.uint8
    assert labels.tolist() == [[0, 2, strange], [1, 255, 255]]


def test_a_name_left_out_is_background_even_where_others_are_an_error() -> None:
    labels = Naming(("background", "dog", "cat"), "error", {**RENAME, "giraffe": None}).labels(
        VALUES, NAMES, HERE
    )
    assert labels.tolist() == [[0, 2, 0], [1, 255, 255]]


def test_a_value_of_another_class_or_of_none_is_an_error() -> None:
    naming = Naming(("background", "dog", "cat"), "error", RENAME)
    with pytest.raises(
        FormatError,
        match=(
            r"a.png, image 'a': every value of the mask should be one of a class .* but it is 2, "
            r"giraffe; the"
        ),
    ):
        naming.labels(VALUES, NAMES, HERE)
    with pytest.raises(
        FormatError, match="should be the number of a class, 0 to 1, or 255, but it is 2"
    ):
        naming.labels(VALUES, NAMES[:2], HERE)


def test_shapes_get_their_new_names_or_are_left_out() -> None:
    shapes = [Shape(name, "tag", HERE) for name in ("hound", "cat", "giraffe")]
    renamed = Naming(("background", "dog"), rename={**RENAME, "giraffe": None}).renamed(
        drawn(*shapes)
    )
    assert [shape.name for shape in renamed.shapes] == ["dog", "cat"]
    assert Naming(("background", "dog")).renamed(drawn(*shapes)).shapes == shapes


def test_evidence_in_more_classes_is_cut_down() -> None:
    naming = Naming(("background", "cat"), "ignore")
    annotation = drawn(
        box("zebra", HERE, 0, 0, 1, 1), box("cat", HERE, 0, 0, 1, 1), box("ape", HERE, 0, 0, 1, 1)
    )
    assert naming.wide(annotation) == ("background", "cat", "ape", "zebra")
    assert Naming(("background", "cat")).wide(annotation) == ("background", "cat")
    wide = Evidence(
        "a",
        torch.zeros(3, 1, 4, dtype=torch.uint8),
        tags=torch.tensor([True, False, True, True]),
        boxes=torch.tensor([[0.0, 0, 1, 1], [1, 0, 2, 1], [2, 0, 3, 1]]),
        box_classes=torch.tensor([3, 1, 2]),
        marks=torch.tensor([[0, 1, 2, 255]], dtype=torch.uint8),
    )
    narrow = naming.narrowed(wide)
    narrow.check(2)
    assert narrow.tags.tolist() == [True, False]
    assert narrow.boxes.tolist() == [[1, 0, 2, 1]]
    assert narrow.marks.tolist() == [[0, 1, 255, 255]]
    assert Naming(("background", "cat"), "background").narrowed(wide).marks.tolist() == [
        [0, 1, 0, 255]
    ]


@pytest.mark.parametrize("others", ["error", "background", "ignore"])
def test_the_rim_of_voc_as_datumaro_calls_it_counts_as_nothing(others: str) -> None:
    naming = Naming(("background", "cat"), others)
    wide = naming.wide(drawn(*(Shape(name, "tag", HERE) for name in ("ignored", "cat"))))
    assert wide == ("background", "cat", "ignored")
    evidence = Evidence(
        "a",
        torch.zeros(3, 1, 4, dtype=torch.uint8),
        marks=torch.tensor([[0, 1, 2, 255]], dtype=torch.uint8),
    )
    assert naming.narrowed(evidence, wide).marks.tolist() == [[0, 1, 255, 255]]
    assert Naming(("background", "ignored")).wide(drawn(Shape("ignored", "tag", HERE))) == (
        "background",
        "ignored",
    )
