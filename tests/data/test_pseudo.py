"""Pseudo-labelled images from a folder of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.pseudo import labelled_folder, write_confidence, write_photo, write_summary
from tests.small import SIZE, Squares
from weakseg.data.formats.images import read_image
from weakseg.data.pseudo import PseudoLabels
from weakseg.evidence import IGNORE

CLASSES = Squares.classes


def labels_of(folder: Path, **given: Any) -> PseudoLabels:
    usual: dict[str, Any] = {"images": None, "least": 0.0, "classes": CLASSES, "own": ()}
    return PseudoLabels(folder, **{**usual, **given})


def test_images_and_labels_are_those_of_the_files(tmp_path: Path) -> None:
    labels = labels_of(labelled_folder(tmp_path))
    assert len(labels) == 6
    for place in range(6):
        evidence, target = labels.sample(place, read_image, None)
        original, truth = Squares().sample(100 + place)
        assert torch.equal(evidence.image, original.image)
        assert truth is not None
        assert torch.equal(target, truth)
        assert evidence.kinds == ()
        assert labels.problem(place) == ""


def test_images_that_are_larger_than_those_of_the_data_set_shrink(tmp_path: Path) -> None:
    labels = labels_of(labelled_folder(tmp_path))
    evidence, target = labels.sample(0, read_image, 12)
    assert evidence.image.shape == (3, 12, 12)
    assert target.shape == (12, 12)


def test_unsure_images_are_left_out(tmp_path: Path) -> None:
    folder = labelled_folder(tmp_path, 3, sure=[0.9, 0.2, 0.6])
    labels = labels_of(folder, least=0.6)
    assert [image.name for image in labels.images] == ["0.png", "2.png"]
    assert labels.counts == "2 images to train on, 1 less sure than 0.6 left out"


def test_unsure_pixels_are_ignored_where_there_is_a_map(tmp_path: Path) -> None:
    folder = labelled_folder(tmp_path, 1, sure=[0.2])
    sure = np.full((SIZE, SIZE), 255)
    sure[:4] = 127  # a little less than a half
    write_confidence(folder, "0.png", sure)
    _, target = labels_of(folder, least=0.5).sample(0, read_image, None)
    assert bool((target[:4] == IGNORE).all())
    assert not bool((target[4:] == IGNORE).any())
    _, whole = labels_of(folder).sample(0, read_image, None)
    assert not bool((whole == IGNORE).any())


def test_classes_are_matched_by_their_names(tmp_path: Path) -> None:
    folder = labelled_folder(tmp_path, 2, classes=("background", "dark", "bright"))
    _, target = labels_of(folder).sample(0, read_image, None)
    _, truth = Squares().sample(100)
    assert truth is not None
    assert sorted(torch.unique(truth).tolist()) == [0, 1]
    assert sorted(torch.unique(target).tolist()) == [0, 2]
    unknown = labelled_folder(tmp_path / "b", 1, classes=("background", "bright", "drak"))
    with pytest.raises(ValueError, match=r"pseudo: of the classes of .*drak is none.*mean dark"):
        labels_of(unknown)


def test_images_of_the_data_set_itself_are_left_out(tmp_path: Path) -> None:
    folder = labelled_folder(tmp_path, 3)
    own = {tmp_path / "labels" / ".." / "photos" / "0.png"}
    labels = labels_of(folder, own=own)
    assert [image.name for image in labels.images] == ["sub/1.png", "2.png"]
    assert labels.counts == "2 images to train on, 1 left out that the data set has itself"
    everything = [image.image for image in labels_of(folder).images]
    with pytest.raises(ValueError, match=r"no image of .* is left to train on: 0 images"):
        labels_of(folder, own=everything)


def test_parts_are_joined(tmp_path: Path) -> None:
    folder = labelled_folder(tmp_path, 4)
    (folder / "summary.json").unlink()
    for part in (1, 2):
        names = [{"name": f"{'sub/' * (n % 2)}{n}.png"} for n in range(part - 1, 4, 2)]
        write_summary(folder / f"summary-{part}-of-2.json", names, CLASSES)
    assert len(labels_of(folder)) == 4
    write_summary(folder / "summary-2-of-2.json", [], ["background", "cat"])
    with pytest.raises(ValueError, match=r"parts of .* have different classes"):
        labels_of(folder)


def test_an_image_in_the_summary_of_a_part_and_in_that_of_all_is_one(tmp_path: Path) -> None:
    folder = labelled_folder(tmp_path, 4, sure=[0.9, 0.2, 0.8, 0.7])
    for part in (1, 2):
        names = [{"name": f"{'sub/' * (n % 2)}{n}.png"} for n in range(part - 1, 4, 2)]
        write_summary(folder / f"summary-{part}-of-2.json", names, CLASSES)
    assert len(labels_of(folder)) == 4
    assert [image.name for image in labels_of(folder, least=0.5).images] == [
        "0.png",
        "2.png",
        "sub/3.png",
    ]


def test_the_images_may_have_moved(tmp_path: Path) -> None:
    folder = labelled_folder(tmp_path, 2)
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    assert "missing" in labels_of(folder).problem(0)
    assert labels_of(folder, images=tmp_path / "elsewhere").problem(0) == ""
    write_summary(folder / "summary.json", [{"name": "0.png"}], CLASSES, images_folder=None)
    with pytest.raises(ValueError, match=r"does not say where its images are; give pseudo_images="):
        labels_of(folder)


def test_a_mask_of_another_size_is_named(tmp_path: Path) -> None:
    folder = labelled_folder(tmp_path, 1)
    image = tmp_path / "photos" / "0.png"
    write_photo(image, torch.zeros(3, 10, 12, dtype=torch.uint8))
    assert labels_of(folder).problem(0) == (
        f"{folder / '0.png'}: the size of the mask should be that of "
        f"{folder / '..' / 'photos' / '0.png'}, 12 by 10, but it is 24 by 24"
    )


def test_what_is_no_folder_of_labels(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such folder"):
        labels_of(tmp_path / "none")
    with pytest.raises(ValueError, match=r"there is no summary\.json in it"):
        labels_of(tmp_path)
    for content in ("", "[]", '{"images": [{"name": 3}], "classes": []}', '{"images": []}'):
        (tmp_path / "summary.json").write_text(content)
        with pytest.raises(ValueError, match=r"no summary of weakseg\.label or weakseg\.predict"):
            labels_of(tmp_path)


def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = labelled_folder(tmp_path, 1)
    write_summary(folder / "summary.json", [{"name": "../../secret.png"}], CLASSES)
    with pytest.raises(ValueError, match="inside of the folder of images"):
        labels_of(folder)
