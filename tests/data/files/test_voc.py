from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.layouts import HEIGHT, WIDTH, indexed, photo, scribble, square, text, voc
from weakseg.data.files.voc import CLASSES, VOC
from weakseg.data.formats.base import FormatError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return voc(tmp_path)


def checked(data: VOC, index: int = 0) -> tuple:
    evidence, truth = data.sample(index)
    evidence.check(len(data.classes))
    evidence.check_truth(truth, len(data.classes))
    return evidence, truth


def test_lists_ids_and_classes(root: Path) -> None:
    for place in (root, root / "VOCdevkit", root / "VOCdevkit" / "VOC2012", str(root)):
        data = VOC(place)
        assert [entry.id for entry in data.entries] == [
            "2007_000001",
            "2007_000002",
            "2007_000003",
            "2007_000004",
        ]
        assert (data.training, list(data.validation)) == ([0, 1], [2, 3])
    assert len(data.classes) == 21
    assert (data.classes[0], data.classes[8], data.classes[15]) == ("background", "cat", "person")
    assert len(VOC(root, val=None)) == 2


def test_masks_are_truth_and_by_option_evidence(root: Path) -> None:
    evidence, truth = checked(VOC(root, evidence="masks"))
    assert evidence.id == "2007_000001"
    assert evidence.kinds == ("marks",)
    assert torch.equal(truth, torch.from_numpy(square(8)))
    assert torch.equal(evidence.marks, truth)


def test_boxes_are_in_pixel_edges_with_the_tags_and_sizes_of_the_mask(root: Path) -> None:
    evidence, _ = checked(VOC(root))
    assert evidence.boxes.tolist() == [[2, 1, 8, 7]]
    assert evidence.box_classes.tolist() == [8]
    assert evidence.tags.nonzero().flatten().tolist() == [0, 8]
    assert evidence.large.nonzero().flatten().tolist() == [0, 8]
    assert evidence.marks is None


def test_clicks_of_both_files(root: Path) -> None:
    evidence, _ = checked(VOC(root, evidence="points"))
    marked = (evidence.marks != 255).nonzero().tolist()
    assert marked == [[3, 4], [9, 11]]
    assert (evidence.marks[3, 4], evidence.marks[9, 11]) == (8, 0)
    assert evidence.tags.nonzero().flatten().tolist() == [0, 8]
    one = VOC(root, evidence="points", points=["Points/whats_the_point.json"])
    assert (checked(one)[0].marks != 255).sum() == 1


def test_scribbles_go_through_the_middles_of_pixels(root: Path) -> None:
    folder = root / "VOCdevkit" / "VOC2012" / "Scribbles"
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
    strokes = scribble("cat", (3, 3), (6, 3)) + scribble("background", (0, 9), (11, 9))
    text(folder / "2007_000001.xml", f"<annotation>{size}{strokes}</annotation>")
    evidence, _ = checked(VOC(root, evidence="scribbles"))
    rows, columns = np.nonzero(evidence.marks.numpy() == 8)
    # three pixels wide, with round ends
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 4, 2, 7)
    assert (evidence.marks[2:5, 3:7] == 8).all()
    assert (evidence.marks[8:] == 0).all()
    with pytest.raises(
        FormatError, match=r"2007_000002.xml: the file should be there, but it is missing"
    ):
        VOC(root, evidence="scribbles").sample(1)


def test_without_scribbles_it_says_what_is_expected(root: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"no scribbles in .*Scribbles: expected the XML files of ScribbleSup.*simulated=true",
    ):
        VOC(root, evidence="scribbles")
    evidence, truth = checked(VOC(root, evidence="scribbles", simulated=True, annotation_seed=3))
    marked = evidence.marks != 255
    assert 0 < marked.float().mean() < 0.7
    assert torch.equal(evidence.marks[marked], truth[marked])
    again, _ = VOC(
        root, evidence="scribbles", simulated=True, annotation_seed=3, train="train_pets", val=None
    ).sample(0)
    assert torch.equal(evidence.marks, again.marks)


def test_simulated_boxes_are_tight_ones(root: Path) -> None:
    evidence, _ = checked(VOC(root, simulated=True))
    assert evidence.boxes.tolist() == [[2, 1, 8, 7]]


def test_some_classes_only(root: Path) -> None:
    options = {"train": "train_pets", "val": "val_pets", "classes_used": ["dog", "cat"]}
    data = VOC(root, **options)
    assert data.classes == ("background", "dog", "cat")
    evidence, truth = checked(data, 0)
    assert evidence.box_classes.tolist() == [2]
    assert sorted(truth.unique().tolist()) == [0, 2, 255]
    assert evidence.tags.tolist() == [True, False, True]


@pytest.mark.parametrize(("others", "value"), [("ignore", 255), ("background", 0)])
def test_other_classes_by_rule(root: Path, others: str, value: int) -> None:
    evidence, truth = checked(VOC(root, classes_used=["dog", "cat"], others=others), 2)
    assert evidence.boxes.shape == (0, 4)
    assert truth[2, 3] == value
    assert sorted(truth.unique().tolist()) == [0, 255]
    clicks, _ = checked(VOC(root, evidence="points", classes_used=["dog", "cat"], others=others), 2)
    assert clicks.marks[3, 4] == value


def test_other_classes_are_an_error_otherwise(root: Path) -> None:
    data = VOC(root, classes_used=["dog", "cat"])
    with pytest.raises(
        FormatError,
        match=(
            r"2007_000003.*every value of the mask should be one of a class .* but it is 15, "
            r"person"
        ),
    ):
        data.sample(2)
    problems: list[FormatError] = []
    data.read_files(2, problems)
    assert [problem.what for problem in problems] == ["the class", "every value of the mask"]


def test_masks_of_sbd_count_where_voc_has_none(root: Path) -> None:
    home = root / "VOCdevkit" / "VOC2012"
    photo(home / "JPEGImages" / "2008_000009.jpg")
    indexed(home / "SegmentationClassAug" / "2008_000009.png", square(10))
    indexed(home / "SegmentationClassAug" / "2007_000001.png", square(1))
    text(home / "ImageSets" / "Segmentation" / "train_aug.txt", "2007_000001\n2008_000009\n")
    data = VOC(root, evidence="masks", train="train_aug")
    assert [int(data.sample(index)[1].unique()[1]) for index in (0, 1)] == [8, 10]


def test_a_mask_of_another_size(root: Path) -> None:
    indexed(
        root / "VOCdevkit" / "VOC2012" / "SegmentationClass" / "2007_000001.png", np.zeros((9, 12))
    )
    with pytest.raises(
        FormatError,
        match="the size of the mask should be that of the image, 12 by 10, but it is 12 by 9",
    ):
        VOC(root).sample(0)


def test_a_missing_mask_is_named_where_it_is_the_evidence(root: Path) -> None:
    (root / "VOCdevkit" / "VOC2012" / "SegmentationClass" / "2007_000001.png").unlink()
    with pytest.raises(
        FormatError, match=r"2007_000001.png: the image should be there, but it is missing"
    ):
        VOC(root, evidence="masks").sample(0)
    evidence, truth = VOC(root).sample(0)
    assert truth is None
    assert evidence.tags.nonzero().flatten().tolist() == [0, 8]  # from the boxes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": "trian"}, r"there is no list .*trian.txt; did you mean train.txt\?"),
        (
            {"train": "val", "mask_share": 0.5},
            "mask_share=0.5 asks for masks of 1 training images, but 0 of them have one",
        ),
        ({"classes_used": ["cat", "dgo"]}, r"'dgo' is none; did you mean dog\?"),
        ({"classes_used": ["cat", "cat"]}, "cat comes twice"),
        ({"evidence": "box"}, "evidence should be one of masks, boxes, .* but it is 'box'"),
        (
            {"evidence": "points", "points": ["clicks.json"]},
            r"there are no clicks in .*clicks.json: expected the JSON file",
        ),
        (
            {"others": "drop"},
            "others should be one of error, background, ignore, but it is 'drop'",
        ),
        ({"long_side": 0}, "long_side should be a number of pixels, at least 1"),
    ],
)
def test_options_that_cannot_be(root: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VOC(root, **options)


def test_a_folder_that_is_no_voc(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="root should be the folder VOCdevkit"):
        VOC(tmp_path)
    assert len(set(CLASSES)) == 21


ENTITY = "<!DOCTYPE a [<!ENTITY b 'c'>]><annotation>&b;</annotation>"


@pytest.mark.parametrize("content", ["", "<annotation>", "{}", "<annotation>" * 1000, ENTITY])
def test_a_damaged_annotation_is_named(root: Path, content: str) -> None:
    path = text(root / "VOCdevkit" / "VOC2012" / "Annotations" / "2007_000001.xml", content)
    with pytest.raises(FormatError, match=f"{path}: the "):
        VOC(root).sample(0)


@pytest.mark.parametrize("content", ["", "{", "[" * 200_000, "[]", '{"2007_000001": 5}'])
def test_damaged_clicks_are_named(root: Path, content: str) -> None:
    path = text(root / "VOCdevkit" / "VOC2012" / "Points" / "whats_the_point.json", content)
    data = VOC(root, evidence="points")
    assert str(data.problems[0]).startswith(str(path))
    with pytest.raises(ValueError, match=f"1 problem in the files.*\n.*{path}"):
        data.setup("fit")
