"""Images without annotation as further images of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.pseudo import write_photo
from tests.small import SIZE, Squares
from weakseg.data.label_store import LabelStore
from weakseg.data.loader import Extra, TrainLoader
from weakseg.data.unlabelled import in_folder


class OnFile(Squares):
    """The first image is in a file."""

    file: Path

    def image_file(self, index: int) -> Path | None:
        return self.file if index == 0 else None


def photos(folder: Path, count: int = 3) -> Path:
    for number in range(count):
        image = Squares().sample(100 + number)[0].image
        write_photo(folder / "more" / f"{'sub/' * (number % 2)}{number}.png", image)
    return folder / "more"


def test_a_part_of_the_images_is_annotated_and_a_small_part_is_in_a_larger_one() -> None:
    few = Squares(train=20, annotated=0.2).training
    more = Squares(train=20, annotated=0.5).training
    assert len(few) == 4
    assert len(more) == 10
    assert set(few) < set(more)
    assert more == sorted(more)
    assert Squares(train=20).training == list(range(20))
    assert len(Squares(train=20, annotated=0.001).training) == 1


def test_the_others_are_its_own_unlabelled_images_and_come_without_evidence() -> None:
    data = Squares(train=20, annotated=0.2, unlabelled="own")
    images = data.unlabelled_images
    assert images is not None
    assert sorted([*images.sources, *data.training]) == list(range(20))  # type: ignore[type-var]
    evidence = data.unlabelled_evidence(3)
    assert evidence.kinds == ()
    assert torch.equal(evidence.image, data.sample(images.sources[3])[0].image)  # type: ignore[arg-type]
    assert evidence.id == images.ids[3] == data.id_of(images.sources[3])  # type: ignore[arg-type]


def test_images_of_a_folder_come_without_those_of_the_data_set(tmp_path: Path) -> None:
    folder = photos(tmp_path)
    data = OnFile(unlabelled=folder)
    data.file = folder / "2.png"
    images = data.unlabelled_images
    assert images is not None
    assert images.ids == ["more/0.png", "more/sub/1.png"]
    assert images.counts == "2 images to train on, 1 left out that the data set has itself"
    assert data.unlabelled_evidence(1).image.shape == (3, SIZE, SIZE)
    text: Any = {"unlabelled": str(folder)}
    assert len(Squares(**text).unlabelled_images or ()) == 3


def test_they_are_shrunk_as_those_of_the_data_set(tmp_path: Path) -> None:
    data = Squares(unlabelled=photos(tmp_path))
    data.long_side = 12  # type: ignore[attr-defined]
    assert data.unlabelled_evidence(0).image.shape == (3, 12, 12)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"unlabelled": Path("nowhere")}, "expected own or a folder of images"),
        ({"unlabelled": "own"}, r"no image without annotation in own; .* give data\.annotated"),
        ({"unlabelled": "own", "batch_size": 1}, "2 or more with unlabelled"),
        ({"unlabelled": "own", "pseudo": Path("x")}, "leave one out"),
        ({"annotated": 0.0}, "annotated"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Squares(**given).unlabelled_images  # noqa: B018


def test_a_folder_without_further_images_is_refused(tmp_path: Path) -> None:
    folder = photos(tmp_path, 1)
    with pytest.raises(ValueError, match=r"without annotation in .*more, 1 left"):
        in_folder(folder, [folder / "0.png"])


class ItsTrainer:
    world_size = 2
    global_rank = 1


def batches(waits: bool) -> list[list[tuple[int, int]]]:
    loader: TrainLoader[Any] = TrainLoader(
        [],  # type: ignore[arg-type]
        8,
        4,
        0,
        0,
        list,
        ItsTrainer(),  # type: ignore[arg-type]
        extra=Extra(16, 2),
        waits=lambda: waits,
    )
    found = loader.batches(0)
    assert len(found) == len(loader) == 3
    return found


def test_others_take_the_places_of_images_that_wait_for_labels() -> None:
    for batch in batches(True):
        assert len(batch) == 4
        assert all(index < 8 for _, index in batch)
    for batch in batches(False):
        assert [index >= 8 for _, index in batch] == [False, False, True, True]


def test_their_soft_labels_are_augmented_and_collated(tmp_path: Path) -> None:
    data = Squares(train=4, annotated=0.5, unlabelled="own", batch_size=4)
    images = data.unlabelled_images
    assert images is not None
    assert data.waits()
    store = LabelStore(tmp_path)
    labels = []
    for number, id in enumerate(images.ids):
        label: Tensor = torch.zeros(3, SIZE, SIZE)
        label[number, :, : SIZE // 2] = 0.5
        store.write(id, "key", label)
        labels.append(label)
    data.use_predictions(store, dict.fromkeys(images.ids, "key"))
    assert not data.waits()
    item = data.training_item(0, 3)
    assert item.target is not None
    assert any(torch.equal(item.target, each) for each in (labels[1], labels[1].flip(-1)))
    assert data.training_item(0, 0).target is None
