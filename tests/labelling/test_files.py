"""Labels as files that annotation tools read, and the summary."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.written import reader
from tests.labelling.conftest import label
from tests.pseudo import write_photo
from tests.small import SIZE, Squares
from weakseg.config.recipe import RecipeError
from weakseg.data.formats.images import read_image, read_mask
from weakseg.data.formats.writing.formats import FORMATS
from weakseg.fit import main as fit
from weakseg.labelling.dataset import label_dataset


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos with boxes in a COCO file; two of them in a folder below."""
    root = tmp_path_factory.mktemp("photos")
    images, annotations = [], []
    for number in range(6):
        evidence, _ = Squares().sample(number)
        name = f"{'sub/' * (number % 3 == 2)}{number}.png"
        write_photo(root / "images" / name, evidence.image)
        images.append({"id": number, "file_name": name, "width": SIZE, "height": SIZE})
        assert evidence.boxes is not None
        assert evidence.box_classes is not None
        x1, y1, x2, y2 = evidence.boxes[0].tolist()
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": int(evidence.box_classes[0]),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "iscrowd": 0,
            }
        )
    categories = [{"id": 1, "name": "bright"}, {"id": 2, "name": "dark"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(content))
    return root


def label_photos(photos: Path, out: Path, tmp_path: Path, **given: Any) -> dict[str, Any]:
    data = {"name": "folder", "root": str(photos), "format": "coco"}
    label(out, tmp_path, data=data, **given)
    content: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return content


def test_masks_have_the_names_of_the_photos(photos: Path, tmp_path: Path) -> None:
    content = label_photos(photos, tmp_path / "out", tmp_path)
    masks = sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.png"))
    assert [str(mask) for mask in masks] == ["0.png", "1.png", "3.png", "4.png"] + [
        f"sub/{number}.png" for number in (2, 5)
    ]
    folder = (tmp_path / "out" / content["images_folder"]).resolve()
    assert folder == (photos / "images").resolve()


def test_the_summary_has_the_most_suspicious_first(photos: Path, tmp_path: Path) -> None:
    content = label_photos(photos, tmp_path / "out", tmp_path)
    scores = [entry["score"] for entry in content["images"]]
    assert scores == sorted(scores)
    assert content["command"].startswith("python -m weakseg.label recipe=boxes_rect")
    assert content["classes"] == ["background", "bright", "dark"]
    assert content["broken"] == content["without_evidence"] == []
    for entry in content["images"]:
        assert (entry["width"], entry["height"]) == (SIZE, SIZE)
        assert sum(entry["shares"].values()) + entry["ignored"] == pytest.approx(1, abs=1e-5)
        assert 0 <= entry["score"] <= 1
        assert 0 <= entry["agreement"]["evidence"] <= 1
        assert entry["seconds"] > 0


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_holds_the_same_pixels(format: str, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    label_photos(photos, out, tmp_path, format=format)
    for path in out.glob("*.zip"):  # our reader takes folders
        with zipfile.ZipFile(path) as archive:
            archive.extractall(path.with_suffix(""))
    read = reader(format, out.resolve(), photos / "images", Squares.classes)
    assert len(read) == 6
    for index in range(6):
        evidence, truth = read.sample(index)
        assert truth is not None
        mask = read_mask((out / evidence.id).with_suffix(".png"))
        assert torch.equal(truth, mask), evidence.id


@pytest.mark.parametrize("strategy", ["boxes_rect", "boxes_instances"])
def test_labels_fit_the_files_whatever_size_they_were_estimated_at(
    strategy: str, photos: Path, tmp_path: Path
) -> None:
    data = {"name": "folder", "root": str(photos), "format": "coco", "long_side": str(SIZE // 2)}
    out = tmp_path / "out"
    label(out, tmp_path, data=data, strategy={"name": strategy}, format="coco", confidence=True)
    content = json.loads((out / "summary.json").read_text())
    coco = json.loads((out / "coco.json").read_text())
    assert content["long_side"] == SIZE // 2
    assert len(content["images"]) == len(coco["annotations"]) == 6
    for entry in content["images"]:
        assert (entry["width"], entry["height"]) == (SIZE, SIZE)
        mask = read_mask((out / entry["name"]).with_suffix(".png"))
        evidence, _ = Squares().sample(int(Path(entry["name"]).stem))
        assert evidence.boxes is not None
        x1, y1, x2, y2 = evidence.boxes[0].round().int().tolist()
        reach = mask.clone()
        reach[max(0, y1 - 1) : y2 + 1, max(0, x1 - 1) : x2 + 1] = 0
        assert not reach.any()  # nothing beyond the box, but for half a pixel of the smaller image
        assert mask[y1:y2, x1:x2].any()
    for annotation in coco["annotations"]:
        assert annotation["segmentation"]["size"] == [SIZE, SIZE]
    labels = Squares(pseudo=out).pseudo_labels
    assert labels is not None
    assert [labels.problem(place) for place in range(6)] == [""] * 6


@pytest.mark.parametrize("format", [each for each in FORMATS if each != "png"])
def test_a_name_that_the_format_cannot_hold_is_found_before_anything_is_estimated(
    format: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {"name": "folder", "root": str(photos), "format": "coco"}
    monkeypatch.setattr("weakseg.labelling.call.name_of", lambda *_: "new\nline.png")
    with pytest.raises(ValueError, match=r"control characters.*; rename the file"):
        label(tmp_path / "out", tmp_path, data=data, format=format, parts=6)
    assert not list((tmp_path / "out").rglob("*.png"))


def test_no_labels_among_images_that_lie_outside_of_the_root(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "annotations.json").write_bytes((photos / "annotations.json").read_bytes())
    pictures = tmp_path / "pictures"
    shutil.copytree(photos / "images", pictures)
    data = {"root": str(tmp_path / "root"), "images": str(pictures), "format": "coco"}
    with pytest.raises(RecipeError, match=r"lies inside of .*, where the images are"):
        label(pictures / "labels", tmp_path, data={"name": "folder", **data})
    assert not (pictures / "labels").exists()


def test_objects_stay_apart(photos: Path, tmp_path: Path) -> None:
    coco_mask = pytest.importorskip("pycocotools.mask")
    out = tmp_path / "out"
    strategy = {"name": "boxes_instances", "masks": "crf", "crf.iterations": "1"}
    label_photos(photos, out, tmp_path, strategy=strategy, format="coco")
    content = json.loads((out / "coco.json").read_text())
    assert len(content["annotations"]) == 6
    for entry in content["annotations"]:
        assert entry["segmentation"]["size"] == [SIZE, SIZE]
        assert coco_mask.area(entry["segmentation"]) == entry["area"] > 0


def test_label_studio_gets_the_worst_first(photos: Path, tmp_path: Path) -> None:
    content = label_photos(photos, tmp_path / "out", tmp_path, format="label_studio")
    (file,) = (
        path for path in (tmp_path / "out").glob("label_studio*.json") if "config" not in path.name
    )
    scores = [task["predictions"][0]["score"] for task in json.loads(file.read_text())]
    assert scores == pytest.approx([entry["score"] for entry in content["images"]], abs=1e-6)


def test_another_format_needs_no_second_estimation(photos: Path, tmp_path: Path) -> None:
    label_photos(photos, tmp_path / "out", tmp_path)
    content = label_photos(photos, tmp_path / "out", tmp_path, format="coco")
    assert (content["labelled"], content["skipped"]) == (0, 6)
    assert (tmp_path / "out" / "coco.json").is_file()


def test_a_photo_that_is_cut_off_does_not_stop_the_others(photos: Path, tmp_path: Path) -> None:
    copy = tmp_path / "photos"
    for file in photos.rglob("*.*"):
        (copy / file.relative_to(photos)).parent.mkdir(parents=True, exist_ok=True)
        (copy / file.relative_to(photos)).write_bytes(file.read_bytes())
    broken = copy / "images" / "3.png"
    broken.write_bytes(broken.read_bytes()[:60])
    content = label_photos(copy, tmp_path / "out", tmp_path)
    assert content["labelled"] == 5
    (failure,) = content["broken"]
    assert failure["name"] == "3.png"
    assert "damaged or cut off" in failure["reason"]


def test_labels_do_not_lie_among_the_photos(photos: Path, tmp_path: Path) -> None:
    for out in (photos / "labels", photos.parent):
        with pytest.raises(RecipeError, match=r"lies? inside of"):
            label_photos(photos, out, tmp_path)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecipeError, match="empty"):
        label_photos(tmp_path / "empty", tmp_path / "out", tmp_path)


def test_the_file_of_a_mask_is_one_that_any_viewer_opens(photos: Path, tmp_path: Path) -> None:
    label_photos(photos, tmp_path / "out", tmp_path)
    with Image.open(tmp_path / "out" / "0.png") as image:
        assert image.mode == "P"
        assert np.asarray(image.convert("RGB")).max() == 128  # the colour of class 1


def test_a_run_of_photos(photos: Path, tmp_path: Path) -> None:
    words = [f"data.root={photos}", "data.format=coco", "network=tests.small.TinyNet"]
    run = fit(
        [
            "recipe=boxes_rect",
            "data=folder",
            *words,
            "data.batch_size=2",
            "data.val_share=0.2",
            "rounds.workers=0",
            "trainer.max_steps=2",
            "trainer.accelerator=cpu",
            f"trainer.default_root_dir={tmp_path / 'runs'}",
        ]
    )
    done = label_dataset(run=str(run), out=tmp_path / "out", device="cpu")
    assert done.labelled == 6
    assert done.estimated == 1  # the one that was held out


def test_labels_are_pseudo_labels_of_another_run(photos: Path, tmp_path: Path) -> None:
    label_photos(photos, tmp_path / "out", tmp_path)
    labels = Squares(pseudo=tmp_path / "out").pseudo_labels
    assert labels is not None
    assert len(labels) == 6
    for place in range(6):
        assert labels.problem(place) == ""
    evidence, target = labels.sample(0, read_image, None)
    number = int(Path(labels.images[0].name).stem)
    assert torch.equal(evidence.image, Squares().sample(number)[0].image)
    assert torch.equal(target, read_mask(tmp_path / "out" / labels.images[0].name))
