"""Files that real tools wrote (`real/make.py` says how) are read as they come, with nothing said
but their format."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.data.layouts import photo
from weakseg.data.files.folder import Folder
from weakseg.evidence import Evidence
from weakseg.reporting.dataset_check import check_dataset

REAL = Path(__file__).parents[1] / "real"
BOX = [6.0, 5.0, 20.0, 15.0]
AREA = torch.full((24, 32), 255, dtype=torch.uint8)
AREA[5:15, 6:20] = 1
# name of the folder, format, further options, and the images to train on and to measure on
SPLIT = ([0, 1, 2], [3, 4])
SETS: list[tuple[str, str, tuple[list[int], list[int]] | None]] = [
    ("datumaro_coco", "coco", SPLIT),
    ("datumaro_voc_to_coco", "coco", SPLIT),
    ("datumaro_datumaro", "datumaro", SPLIT),
    ("datumaro_cvat", "cvat", SPLIT),
    ("datumaro_yolo", "yolo", SPLIT),
    ("datumaro_yolo_ultralytics", "yolo", SPLIT),
    ("datumaro_voc_segmentation", "mask_png", SPLIT),
    ("label_studio_json", "label_studio", None),
    ("label_studio_coco", "coco", None),
    ("label_studio_yolo", "yolo", None),
    ("labelme", "labelme", None),
    ("supervision_coco", "coco", None),
    ("supervision_yolo", "yolo", None),
    ("supervision_voc", "voc_xml", None),
]
IMAGES = {"labelme": 2}  # of sets whose tool writes no image; the others without a list have four


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a set with images of noise."""
    name = request.param
    root = tmp_path / name
    shutil.copytree(REAL / name, root)
    listed = (root / "images.lst").read_text().split()
    for image in listed or [f"images/img_{number}.png" for number in range(IMAGES.get(name, 4))]:
        photo(root / image, 0, 32, 24)
    return root


def number_of(id: str) -> int:
    return int(Path(id).stem.rpartition("_")[2])


def check(evidence: Evidence) -> None:
    """What `real/make.py` drew on the image: something of its class, at its place."""
    label = 1 + number_of(evidence.id) % 2
    shown = False
    if evidence.boxes is not None and len(evidence.boxes):
        torch.testing.assert_close(evidence.boxes[0], torch.tensor(BOX), rtol=0, atol=1e-3)
        assert evidence.box_classes[0] == label
        shown = True
    if evidence.marks is not None and (evidence.marks[5:15, 6:20] != 255).any():
        marked = evidence.marks == label
        assert marked[6:14, 7:19].all()
        assert int(marked.sum()) <= 141  # a key point lies among it
        shown = True
    assert shown or number_of(evidence.id) in (2, 3)  # which somebody may have searched in vain


@pytest.mark.parametrize(
    ("place", "format", "split"), SETS, ids=[name for name, *_ in SETS], indirect=["place"]
)
def test_it_is_read_as_it_comes(
    place: Path, format: Any, split: tuple[list[int], list[int]] | None
) -> None:
    data = Folder(place, format)
    assert data.classes == ("background", "cat", "dog")
    assert data.problems == []
    assert check_dataset(data).errors == 0
    for index in range(len(data)):
        check(data.sample(index)[0])
    if split is not None:
        trained = [number_of(data.entries[index].id) for index in data.training]
        assert (trained, [number_of(data.entries[index].id) for index in data.validation]) == split
        assert len(data.remarks) == 1
        assert "own split" in data.remarks[0]
        assert (
            "3 images to train on, 2 to measure on, 1 of its test part left out" in data.remarks[0]
        )


@pytest.mark.parametrize("place", ["datumaro_coco"], indirect=True)
def test_several_files_about_one_image_say_everything_once(place: Path) -> None:
    first = Folder(place, "coco").sample(0)[0]
    assert first.boxes.tolist() == [BOX, [1, 1, 5, 5]]
    assert first.marks[7, 7] == 1
    assert first.tags.tolist() == [True, True, False]


@pytest.mark.parametrize("place", ["datumaro_voc_to_coco"], indirect=True)
def test_ids_of_annotations_may_repeat(place: Path) -> None:
    assert Folder(place, "coco").sample(0)[0].boxes.tolist() == [BOX, [1, 1, 5, 5]]


@pytest.mark.parametrize("place", ["labelme"], indirect=True)
def test_masks_of_labelme(place: Path) -> None:
    marks = Folder(place, "labelme", val_share=0).sample(0)[0].marks
    expected = AREA.clone()
    expected[5, 6] = 255
    assert torch.equal(marks, expected)


@pytest.mark.parametrize("place", ["datumaro_voc_segmentation"], indirect=True)
def test_masks_in_colours_are_those_of_the_label_map(place: Path) -> None:
    evidence, truth = Folder(place, "mask_png").sample(0)
    assert torch.equal(evidence.marks, AREA.where(AREA == 1, 0))
    assert torch.equal(truth, evidence.marks)
    some = Folder(place, "mask_png", classes=["dog"], others="ignore")
    assert [sorted(some.sample(index)[1].unique().tolist()) for index in (0, 1)] == [
        [0, 255],
        [0, 1],
    ]


@pytest.mark.parametrize("place", ["label_studio_json"], indirect=True)
def test_skipped_and_unannotated_tasks_are_left_out_and_counted(place: Path) -> None:
    data = Folder(place, "label_studio", val_share=0)
    assert [entry.id for entry in data.entries] == ["img_0.png", "img_3.png"]
    assert data.unannotated == ["img_1.png", "img_2.png"]
    assert data.remarks == [
        f"{place / 'result.json'}: 2 images are left out: 1 not annotated, 1 skipped"
    ]
