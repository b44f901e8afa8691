"""Corrections in every data set that comes along, and in one of the user's own."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.data.corrections.events import (
    ACCEPT,
    EXCLUDE,
    UNDO,
    box,
    correct,
    outline,
    stroke,
    tag,
    unbox,
)
from tests.data.layouts import cityscapes, coco, outlined, voc
from tests.data.sets import FORMATS, write_set
from tests.pseudo import labelled_folder
from tests.small import SIZE, Everything, Squares
from weakseg.data.base import Shares, WeakData
from weakseg.data.corrections.events import Event
from weakseg.data.corrections.folder import DamagedCorrection
from weakseg.data.files.cityscapes import Cityscapes
from weakseg.data.files.coco import Coco
from weakseg.data.files.folder import Folder
from weakseg.data.files.voc import VOC
from weakseg.data.toy.dataset import Toy
from weakseg.evidence import IGNORE

Make = Callable[..., WeakData]
FOLDERS = [f"folder {format}" for format in FORMATS]
ALL = ["toy", "voc", "coco", "cityscapes", *FOLDERS, "of the user"]
CORNER = [(0.0, 0.0), (4.0, 0.0), (4.0, 2.0), (0.0, 2.0)]


def make(name: str, root: Path) -> Make:
    """A way to make a data set with further arguments."""
    kind, _, format = name.partition(" ")
    match kind:
        case "toy":
            return lambda **how: Toy(train=4, val=2, size=32, **how)
        case "voc":
            return lambda **how: VOC(voc(root), **how)
        case "coco":
            coco(root, "val2017", [outlined(0, 18, 1, 1, 2, 2)], images=1)
            coco(root, "train2017", [outlined(0, 18, 2, 1, 6, 6), outlined(1, 5, 0, 0, 4, 4)])
            return lambda **how: Coco(root, **how)
        case "cityscapes":
            cityscapes(root)
            return lambda **how: Cityscapes(root, **how)
        case "folder":
            write_set(root, format)
            return lambda **how: Folder(root, format, **how)  # type: ignore[arg-type]
    return Squares


@pytest.mark.parametrize("name", ALL)
def test_every_data_set_has_corrected_evidence(name: str, tmp_path: Path) -> None:
    made = make(name, tmp_path / "set")
    plain = made()
    first, other = plain.training[:2] if len(plain.training) > 1 else (0, 0)
    label = plain.classes[1]
    width, height = plain.sample(first)[0].image.shape[:0:-1]
    correct(
        tmp_path / "own",
        plain.id_of(first),
        outline(label, *CORNER),
        box(label, 1, 3, 9, 8),
        tag(label),
        size=(width, height),
    )
    data = made(corrections=tmp_path / "own")
    assert data.id_of(first) == plain.sample(first)[0].id
    before, truth = data.sample(first)
    after, same_truth = data.corrected(first)
    after.check(len(data.classes))
    assert before.painted is None
    painted = torch.full(after.image.shape[1:], IGNORE, dtype=torch.uint8)
    painted[:2, :4] = 1
    assert after.painted is not None
    assert torch.equal(after.painted, painted)
    assert after.marks is not None
    assert (after.marks[:2, :4] == 1).all()
    assert after.boxes is not None
    assert after.boxes[-1].tolist() == [1, 3, 9, 8]
    assert after.tags is not None
    assert after.tags[1]
    # the truth, the image and other images are what they were
    assert torch.equal(after.image, before.image)
    assert (truth is None) == (same_truth is None)
    assert truth is None or same_truth is None or torch.equal(truth, same_truth)
    if other != first:
        assert data.corrected(other)[0].painted is None
    # in a loader process, too
    again = pickle.loads(pickle.dumps(data)).corrected(first)[0]
    assert again.marks is not None
    assert torch.equal(again.marks, after.marks)


@pytest.mark.parametrize("name", ALL)
def test_excluded_images_are_not_trained_on_and_measured_on_all_the_same(
    name: str, tmp_path: Path
) -> None:
    made = make(name, tmp_path / "set")
    plain = made()
    for index in (plain.training[0], *plain.validation[:1]):
        correct(tmp_path / "own", plain.id_of(index), EXCLUDE)
    data = made(corrections=tmp_path / "own")
    assert data.training == plain.training[1:]
    assert list(data.validation) == list(plain.validation)
    correct(tmp_path / "own", plain.id_of(plain.training[0]), UNDO)
    assert made(corrections=tmp_path / "own").training == plain.training


def test_a_shrunk_photo_takes_coordinates_of_the_file(tmp_path: Path) -> None:
    write_set(tmp_path, "voc_xml")
    correct(tmp_path / "own", "0.jpg", outline("cat", *CORNER), size=(12, 10))
    data = Folder(
        tmp_path, "voc_xml", corrections=tmp_path / "own", long_side=6, rename={"cat": "pet"}
    )
    evidence = data.corrected(data.training[0])[0]
    if evidence.id != "0.jpg":
        evidence = next(data.corrected(i)[0] for i in range(5) if data.id_of(i) == "0.jpg")
    assert evidence.image.shape[1:] == (5, 6)
    painted = torch.full((5, 6), IGNORE, dtype=torch.uint8)
    # a class of the time before it was renamed here is the same class
    painted[:1, :2] = data.classes.index("pet")
    assert evidence.painted is not None
    assert torch.equal(evidence.painted, painted)


def test_evidence_that_is_made_from_masks_is_corrected_after_that(tmp_path: Path) -> None:
    voc(tmp_path)
    correct(tmp_path / "own", "2007_000001", outline("dog", *CORNER), size=(12, 10))
    for how in (dict[str, Any](evidence="points", simulated=True), {"mask_share": 1.0}):
        data = VOC(tmp_path, corrections=tmp_path / "own", **how)
        evidence = data.corrected(0)[0]
        assert evidence.marks is not None
        assert (evidence.marks[:2, :4] == data.classes.index("dog")).all()


def test_shares_count_what_an_image_has_with_its_corrections(tmp_path: Path) -> None:
    for index in (0, 1, 2):
        id = f"toy-{index:05d}"
        correct(tmp_path, id, stroke("leaf", (3, 3), (9, 9)), size=(32, 32))
    toy: dict[str, Any] = {"train": 6, "val": 0, "size": 32, "evidence": "tags"}
    data = Toy(**toy, corrections=tmp_path, shares=Shares(marks=0.5))
    assert [data.kind(index) for index in range(6)] == ["marks"] * 3 + ["tags"] * 3
    assert [group.images for group in data.groups] == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match="no training image is one with marks"):
        Toy(**toy, shares=Shares(marks=0.5)).groups  # noqa: B018


def test_a_damaged_file_is_that_of_its_image_alone(tmp_path: Path) -> None:
    corrections = correct(tmp_path, "disc/1", unbox("bright", 0, 0, 1, 1), size=(SIZE, SIZE))
    corrections.file("disc/0").write_text("{")
    data = Squares(corrections=tmp_path)
    with pytest.raises(DamagedCorrection, match=r"disc/0\.json cannot be read"):
        data.corrected(0)
    with pytest.raises(DamagedCorrection, match=r"disc/0\.json cannot be read"):
        data.corrected(0)
    assert data.corrected(1)[0].id == "disc/1"
    assert 0 in data.training


def test_what_is_of_no_image_is_found(tmp_path: Path) -> None:
    correct(tmp_path, "disc/1", ACCEPT)
    correct(tmp_path, "elsewhere.jpg", ACCEPT)
    data = Squares(corrections=tmp_path)
    assert data.ids_without_image([]) == ["elsewhere.jpg"]
    assert data.ids_without_image(["disc/1", "elsewhere.jpg"]) == []


def test_corrections_are_those_of_the_beginning(tmp_path: Path) -> None:
    data = Squares(corrections=tmp_path)
    assert data.corrected(0)[0].marks is None
    correct(tmp_path, "disc/0", Event("click", "dark", ((3, 3),)), EXCLUDE, size=(SIZE, SIZE))
    assert data.corrected(0)[0].marks is None
    assert 0 in data.training
    assert 0 not in Squares(corrections=tmp_path).training


def test_state_is_what_a_run_began_with(tmp_path: Path) -> None:
    correct(tmp_path, "disc/0", box("dark", 1, 1, 5, 5), size=(SIZE, SIZE))
    state = Everything(corrections=tmp_path).state_dict()
    same = Everything(corrections=tmp_path)
    same.load_state_dict(state)
    correct(tmp_path, "disc/1", EXCLUDE)
    correct(tmp_path, "disc/0", UNDO)
    later = Everything(corrections=tmp_path)
    assert later.training[1] == 2
    with pytest.warns(UserWarning, match=r"the corrections of 2 images have changed since") as seen:
        later.load_state_dict(state)
    assert len(seen) == 1
    assert later.training[1] == 1
    assert later.histories == same.histories
    # even if none are given any more
    without = Everything()
    with pytest.warns(UserWarning, match="of 1 image have changed"):
        without.load_state_dict(state)
    assert without.histories["disc/0"].edits == same.histories["disc/0"].edits
    # or none were then
    with pytest.warns(UserWarning, match="of 1 image have changed"):
        later.load_state_dict(Everything().state_dict())
    assert later.histories == {}


def test_beside_pseudo_labels(tmp_path: Path) -> None:
    labels = labelled_folder(tmp_path / "labels", 3)
    correct(tmp_path / "own", "disc/0", box("dark", 1, 1, 5, 5), size=(SIZE, SIZE))
    correct(tmp_path / "own", "disc/1", EXCLUDE)
    data = Squares(6, 2, pseudo=labels, corrections=tmp_path / "own", flip=False)
    first = data.training_item(0, 0).evidence
    assert first.boxes is not None
    assert len(first.boxes) == 2
    # pseudo-labelled images follow those that are trained on
    assert data.training_item(0, 4).evidence.id == "disc/5"
    assert data.training_item(0, 5).evidence.id.startswith(labels.name)
