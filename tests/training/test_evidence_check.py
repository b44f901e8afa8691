"""What is found in the evidence of all images before anything long begins."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.data.layouts import photo, text
from tests.small import Squares
from weakseg.data.files.folder import Folder
from weakseg.evidence import Evidence
from weakseg.fit import main
from weakseg.strategies import BoxesRect
from weakseg.training.evidence_check import check_evidence


class Emptied(Squares):
    """Searched for boxes: none was found on the first few images."""

    def __init__(self, empty: int, **fields: Tensor) -> None:
        super().__init__()
        self.empty, self.fields = empty, fields

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        none = evidence._replace(
            boxes=torch.zeros(0, 4), box_classes=torch.zeros(0, dtype=torch.int64), **self.fields
        )
        return (none if index < self.empty else evidence), truth


def test_images_without_an_object_are_background_but_not_all_of_them() -> None:
    data = Emptied(11)
    assert len(check_evidence(data, BoxesRect(), data.classes, 0, 1)) == 12
    data = Emptied(12)
    with pytest.raises(
        ValueError, match=r"none of the 12 training images has a box.*data\.evidence=masks"
    ):
        check_evidence(data, BoxesRect(), data.classes, 0, 1)


def test_marks_tell_of_objects_too_but_tags_of_images_without_boxes_do_not() -> None:
    marked = Emptied(12, marks=torch.full((24, 24), 2, dtype=torch.uint8))
    assert len(check_evidence(marked, BoxesRect(), marked.classes, 0, 1)) == 12
    tagged = Emptied(12, tags=torch.tensor([True, False, True]))
    with pytest.raises(ValueError, match="none of the 12 training images has a box"):
        check_evidence(tagged, BoxesRect(), tagged.classes, 0, 1)


def test_a_folder_without_the_kind_of_the_recipe_is_not_trained_as_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    for folder in ("images", "annotations"):
        (tmp_path / folder).mkdir()
    for index in range(3):
        Image.new("RGB", (32, 32), (index, 90, 9)).save(f"images/{index}.png")
        shape = '{"label": "cat", "shape_type": "polygon", "points": [[4, 4], [20, 4], [20, 20]]}'
        text = (
            f'{{"imagePath": "../images/{index}.png", "imageWidth": 32, "imageHeight": 32, '
            f'"shapes": [{shape}]}}'
        )
        (tmp_path / "annotations" / f"{index}.json").write_text(text)
    words = [
        "data=folder",
        "data.root=.",
        "data.format=labelme",
        "network=tests.small.TinyNet",
        "network.classes=2",
        "rounds.workers=0",
    ]
    with pytest.raises(
        Exception,
        match=r"none of the 3 training images has a box.*The files hold masks: write recipe=full",
    ):
        main(["recipe=boxes_rect", *words, "trainer.max_steps=1"])


def test_a_data_set_without_an_image_to_train_on_is_refused_before_anything_is_estimated() -> None:
    data = Squares(train=0, val=3)
    with pytest.raises(ValueError, match="no image to train on: all 3 images are only measured on"):
        check_evidence(data, BoxesRect(), data.classes, 0, 1)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (
            "image,x,y,class\n0.png,3,3,cat\n1.png,4,4,cat\n",
            "The files hold points: write recipe=points ",
        ),
        ("image,class\n0.png,cat\n1.png,cat\n", "The files hold tags: write recipe=tags "),
    ],
)
def test_what_the_files_hold_in_place_of_what_is_wanted_is_said(
    table: str, says: str, tmp_path: Path
) -> None:
    for index in range(2):
        photo(tmp_path / "images" / f"{index}.png", index)
    text(tmp_path / "table.csv", table)
    data = Folder(tmp_path, "csv", evidence="boxes", val_share=0)
    with pytest.raises(ValueError, match=f"all would be background. {says}"):
        check_evidence(data, BoxesRect(), data.classes, 0, 1)
