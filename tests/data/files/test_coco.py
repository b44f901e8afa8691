import json
from pathlib import Path

import pytest
import torch

from tests.data.layouts import coco, outlined, text
from weakseg.data.files.coco import Coco
from weakseg.data.formats.base import FormatError

OBJECTS = [outlined(0, 18, 2, 1, 6, 6), outlined(0, 25, 9, 0, 2, 3), outlined(1, 5, 0, 0, 4, 4)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    coco(tmp_path, "val2017", [outlined(0, 18, 1, 1, 2, 2)], images=1)
    return coco(tmp_path, "train2017", OBJECTS)


def test_all_classes_in_the_order_of_the_files(root: Path) -> None:
    data = Coco(root)
    assert data.classes == ("background", "dog", "giraffe", "airplane")
    assert [entry.id for entry in data.entries] == [
        "train2017/000.jpg",
        "train2017/001.jpg",
        "val2017/000.jpg",
    ]
    assert list(data.validation) == [2]
    evidence, truth = data.sample(0)
    evidence.check(4)
    assert evidence.boxes.tolist() == [[2, 1, 8, 7], [9, 0, 11, 3]]
    assert evidence.tags.tolist() == [True, True, True, False]
    assert evidence.marks is None
    expected = torch.zeros(10, 12, dtype=torch.uint8)
    expected[1:7, 2:8], expected[0:3, 9:11] = 1, 2
    assert torch.equal(truth, expected)


@pytest.mark.parametrize(("others", "value"), [("background", 0), ("ignore", 255)])
def test_classes_of_voc(root: Path, others: str, value: int) -> None:
    data = Coco(root, evidence="masks", classes=["aeroplane", "dog"], voc_names=True, others=others)
    evidence, truth = data.sample(0)
    assert (truth[2, 3], truth[1, 10], truth[9, 0]) == (2, value, 0)
    assert torch.equal(evidence.marks, truth)
    assert (data.sample(1)[1] == 1).sum() == 16
    assert (
        len(
            Coco(root, classes=["aeroplane", "dog"], voc_names=True, others=others)
            .sample(0)[0]
            .boxes
        )
        == 1
    )


def test_a_renamed_and_a_left_out_class(root: Path) -> None:
    data = Coco(root, rename={"giraffe": None, "dog": "animal"})
    assert data.classes == ("background", "animal", "airplane")
    assert data.sample(0)[1][1, 10] == 0
    with pytest.raises(
        FormatError,
        match=r"object 2: the class should be one of the data set's, but it is 'giraffe'",
    ):
        Coco(root, classes=["dog"]).sample(0)


@pytest.mark.parametrize("kind", ["points", "scribbles", "tags"])
def test_simulated_from_the_outlines(root: Path, kind: str) -> None:
    evidence, truth = Coco(root, evidence=kind, simulated=True).sample(0)
    evidence.check(4)
    assert evidence.tags.tolist() == [True, True, True, False]
    if kind != "tags":
        marked = evidence.marks != 255
        assert torch.equal(evidence.marks[marked], truth[marked])


def test_a_missing_file_and_a_missing_image(root: Path) -> None:
    with pytest.raises(
        ValueError, match=r"there should be a file .*instances_train.json, but there is none"
    ):
        Coco(root, train="train")
    (root / "train2017" / "001.jpg").unlink()
    data = Coco(root)
    assert "'001.jpg': the image should be in" in str(data.problems[0])
    assert len(data) == 2


@pytest.mark.parametrize(
    "content", ["", "{", "[" * 200_000, '{"images": [{"id": "\\ud800"}]}', "[]", '{"images": 5}']
)
def test_a_damaged_file_is_named_in_one_line(root: Path, content: str) -> None:
    for part in ("train2017", "val2017"):
        text(root / "annotations" / f"instances_{part}.json", content)
    with pytest.raises(ValueError, match=r"instances_train2017.json: ") as caught:
        Coco(root)
    assert "\n" not in str(caught.value)
    assert "254" not in str(caught.value)
    with pytest.raises(
        ValueError, match=r"there is no image in the data set; .*instances_train2017.json"
    ):
        Coco(root, classes=["dog"])


def test_files_without_any_object_ask_for_the_classes(root: Path) -> None:
    coco(root, "train2017", [])
    with pytest.raises(
        ValueError, match=r"no object of any class is in the files: name them with data.classes"
    ):
        Coco(root, val=None)


def test_images_that_nobody_annotated_are_left_out_and_counted(root: Path) -> None:
    file = root / "annotations" / "instances_val2017.json"
    top = json.loads(file.read_text())
    del top["annotations"]
    text(file, json.dumps(top))
    data = Coco(root)
    assert (len(data.training), len(data.validation)) == (2, 0)
    assert data.remarks == [f"{file}: 1 image is left out, since nobody has annotated them"]
