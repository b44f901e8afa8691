import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.layouts import HEIGHT, WIDTH, indexed, outlined, photo, square, text, voc_xml
from weakseg.data.files.folder import Folder
from weakseg.data.files.listing import share_of
from weakseg.data.formats.base import FormatError
from weakseg.data.formats.images import PHOTOS
from weakseg.reporting.dataset_check import check_dataset

NAMES = [f"{number}.jpg" for number in range(5)]
BOX = [[2.0, 1.0, 8.0, 7.0]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        photo(tmp_path / "images" / name, number)
    return tmp_path


def write(root: Path, format: str) -> dict[str, Any]:
    """The box 2 1 8 7 around a dog (a cat in 1.jpg), in the way of a format; returns the options
    that it needs."""
    place = root / "annotations"
    for number, image in enumerate(NAMES):
        name, stem = "cat" if number == 1 else "dog", str(number)
        if format == "voc_xml":
            text(place / f"{stem}.xml", voc_xml(name, (3, 2, 8, 7)))
        elif format == "yolo":
            text(place / f"{stem}.txt", f"{int(name == 'dog')} {5 / 12} 0.4 0.5 0.6\n")
        elif format == "labelme":
            shape = {"label": name, "points": [[2, 1], [8, 7]], "shape_type": "rectangle"}
            content = {
                "imagePath": image,
                "shapes": [shape],
                "imageWidth": WIDTH,
                "imageHeight": HEIGHT,
            }
            text(place / f"{stem}.json", json.dumps(content))
        elif format == "mask_png":
            indexed(place / f"{stem}.png", square(1 if name == "cat" else 2))
    names = list(enumerate(["cat" if number == 1 else "dog" for number in range(5)]))
    if format == "coco":
        objects = [
            outlined(number, 1 if name == "cat" else 2, 2, 1, 6, 6) | {"id": number}
            for number, name in names
        ]
        listed = [{"id": number, "file_name": image} for number, image in enumerate(NAMES)]
        categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
        text(
            place / "all.json",
            json.dumps({"images": listed, "annotations": objects, "categories": categories}),
        )
    elif format == "cvat":
        boxes = [
            f'<image name="{n}.jpg" width="12" height="10"><box label="{name}" xtl="2" ytl="1" '
            'xbr="8" ybr="7"/></image>'
            for n, name in names
        ]
        text(place / "all.xml", f"<annotations>{''.join(boxes)}</annotations>")
    elif format == "datumaro":
        items = [
            {
                "id": str(n),
                "image": {"path": f"{n}.jpg"},
                "annotations": [
                    {"type": "bbox", "label_id": int(name == "dog"), "bbox": [2, 1, 6, 6]}
                ],
            }
            for n, name in names
        ]
        labels = {"label": {"labels": [{"name": "cat"}, {"name": "dog"}]}}
        text(place / "all.json", json.dumps({"categories": labels, "items": items}))
    elif format == "label_studio":
        tasks = []
        for n, name in names:
            value = {
                "x": 100 / 6,
                "y": 10,
                "width": 50,
                "height": 60,
                "rotation": 0,
                "rectanglelabels": [name],
            }
            result = {
                "type": "rectanglelabels",
                "original_width": WIDTH,
                "original_height": HEIGHT,
                "value": value,
            }
            tasks.append(
                {
                    "data": {"image": f"/data/upload/1/{n}.jpg"},
                    "annotations": [{"result": [result]}],
                }
            )
        text(place / "all.json", json.dumps(tasks))
    elif format == "csv":
        text(place / "all.csv", "image,class\n" + "".join(f"{n}.jpg,{name}\n" for n, name in names))
    return {"classes": ["cat", "dog"]} if format in ("yolo", "mask_png") else {}


@pytest.mark.parametrize(
    "format",
    ["voc_xml", "coco", "yolo", "labelme", "cvat", "datumaro", "label_studio", "mask_png", "csv"],
)
def test_every_format_says_the_same(root: Path, format: str) -> None:
    data = Folder(root, format, val_share=0.4, **write(root, format))
    assert data.problems == []
    assert data.classes == ("background", "cat", "dog")
    assert (len(data), len(data.training), len(data.validation)) == (5, 3, 2)
    for index in range(5):
        evidence, truth = data.sample(index)
        evidence.check(3)
        label = 1 if evidence.id == "1.jpg" else 2
        if format == "mask_png":
            assert torch.equal(evidence.marks, torch.from_numpy(square(label)))
            assert torch.equal(truth, evidence.marks)
            continue
        assert truth is None
        assert evidence.tags.nonzero().flatten().tolist() == [0, label]
        if format != "csv":
            assert torch.allclose(evidence.boxes, torch.tensor(BOX), atol=1e-4)
            assert evidence.box_classes.tolist() == [label]
        if format == "coco":
            assert (evidence.marks[1:7, 2:8] == label).all()
            assert (evidence.marks != 255).sum() == 36
    assert pickle.loads(pickle.dumps(data)).sample(0)[0].id == data.sample(0)[0].id


def test_whole_outlines_are_the_truth(root: Path) -> None:
    data = Folder(root, "coco", whole=True, evidence="boxes", val_share=0, **write(root, "coco"))
    evidence, truth = data.sample(0)
    assert evidence.marks is None
    assert evidence.boxes.tolist() == BOX
    assert sorted(truth.unique().tolist()) == [0, 2]
    assert (truth == 2).sum() == 36
    simulated = Folder(
        root,
        "coco",
        whole=True,
        evidence="points",
        simulated=True,
        val_share=0,
        **write(root, "coco"),
    ).sample(0)[0]
    assert sorted(simulated.marks.unique().tolist()) == [0, 2, 255]


def test_masks_beside_the_annotations_are_the_truth(root: Path) -> None:
    write(root, "voc_xml")
    for number in range(5):
        indexed(root / "masks" / f"{number}.png", square(1))
    evidence, truth = Folder(root, "voc_xml", masks="masks", val_share=0).sample(0)
    assert torch.equal(truth, torch.from_numpy(square(1)))
    assert evidence.marks is None


def test_lists_decide_and_what_they_name_wrongly_is_noted(root: Path) -> None:
    write(root, "voc_xml")
    text(root / "mine.txt", "3.jpg\n\n1.jpg\n9.jpg\n1.jpg\n")
    text(root / "val.txt", "0.jpg\n")
    data = Folder(root, "voc_xml", train="mine.txt", val="val.txt")
    assert [entry.id for entry in data.entries] == ["1.jpg", "3.jpg", "0.jpg"]
    assert list(data.validation) == [2]
    assert [str(problem).partition("mine.txt, ")[2] for problem in data.problems] == [
        "line 4: every line should be the name of an image that is there, but it is '9.jpg'; did "
        "you mean 4.jpg?",
        "line 5: every line should be another image, but it is '1.jpg again'",
    ]
    with pytest.raises(
        ValueError, match=r"2 problems in the files; python -m weakseg.check data=\.\.\. shows all"
    ):
        data.setup("fit")
    assert len(Folder(root, "voc_xml", val="val.txt").training) == 4
    assert len(Folder(root, "voc_xml", train="val.txt").validation) == 0


def test_images_are_held_out_only_where_they_can_be_measured(root: Path) -> None:
    write(root, "voc_xml")

    def held_out(**options: Any) -> list[str]:
        data = Folder(root, "voc_xml", **options)
        return [data.entries[index].id for index in data.validation]

    assert len(held_out(val_share=0.4)) == 2  # measured by their boxes
    for number in (1, 3):
        indexed(root / "masks" / f"{number}.png", square(1))
    assert held_out(masks="masks", val_share=0.2) in (["1.jpg"], ["3.jpg"])
    assert held_out(masks="masks", val_share=0.99) == ["1.jpg", "3.jpg"]
    assert held_out(masks="masks", val_share=0) == []


@pytest.mark.parametrize("evidence", ["scribbles", "points"])
def test_masks_that_are_scribbles_are_marks_and_no_truth(root: Path, evidence: Any) -> None:
    values = np.full((HEIGHT, WIDTH), 255)
    values[2, 2:9], values[7, 1:5] = 2, 0
    for number in range(5):
        indexed(root / "annotations" / f"{number}.png", values)
    data = Folder(root, "mask_png", classes=["cat", "dog"], evidence=evidence)
    sample, truth = data.sample(0)
    assert sample.annotations == ("marks",)
    assert sample.marks is not None
    assert (sample.marks.numpy() == values).all()
    assert truth is None
    for number in range(5):
        indexed(root / "masks" / f"{number}.png", square(2))
    sample, truth = Folder(
        root, "mask_png", classes=["cat", "dog"], evidence=evidence, masks="masks"
    ).sample(0)
    assert sample.annotations == ("marks",)
    assert truth is not None
    assert (truth.numpy() == square(2)).all()
    simulated = Folder(
        root,
        "mask_png",
        classes=["cat", "dog"],
        evidence=evidence,
        annotations="masks",
        simulated=True,
    )
    assert simulated.sample(0)[0].annotations[0] == "marks"
    assert simulated.sample(0)[1] is not None


def test_an_image_in_both_lists_is_one_problem_among_others_and_is_not_trained_on(
    root: Path,
) -> None:
    write(root, "voc_xml")
    text(root / "train.txt", "1.jpg\n2.jpg\nno.jpg\n")
    text(root / "val.txt", "0.jpg\n2.jpg\n")
    data = Folder(root, "voc_xml", train="train.txt", val="val.txt", wrong="skip")
    told = [str(problem) for problem in data.problems]
    assert len(told) == 2
    assert (
        "the lists train.txt and val.txt: every image should be in one of the two, but it is in "
        "both, for 1 of them, such as 2.jpg" in told[1]
    )
    assert [data.entries[index].id for index in data.training] == ["1.jpg"]
    assert [data.entries[index].id for index in data.validation] == ["0.jpg", "2.jpg"]
    with pytest.raises(ValueError, match="every image should be in one of the two"):
        data.setup("fit")


def test_a_share_of_the_names_hardly_changes_with_more_images() -> None:
    names = [f"{number}.jpg" for number in range(200)]
    before, after = share_of(names[:190], 0.2), share_of(names, 0.2)
    assert (len(before), len(after)) == (38, 40)
    assert len(before & after) >= 30


def test_images_that_nobody_annotated_are_left_out(root: Path) -> None:
    write(root, "voc_xml")
    (root / "annotations" / "3.xml").unlink()
    data = Folder(root, "voc_xml", val_share=0)
    assert data.unannotated == ["3.jpg"]
    assert len(data) == 4


def test_an_image_searched_in_vain_has_an_empty_list_of_boxes(root: Path) -> None:
    write(root, "yolo")
    text(root / "annotations" / "0.txt", "")
    text(root / "data.yaml", "names: [cat, dog]\n")
    data = Folder(root, "yolo", val_share=0)
    assert data.sample(0)[0].boxes.shape == (0, 4)
    assert data.sample(0)[0].tags.tolist() == [True, False, False]
    assert data.sample(1)[0].box_classes.tolist() == [1]


def test_names_can_change_and_classes_be_left_out(root: Path) -> None:
    write(root, "voc_xml")
    data = Folder(root, "voc_xml", rename={"dog": "hound", "cat": None}, val_share=0)
    assert data.classes == ("background", "hound")
    assert data.sample(1)[0].boxes.shape == (0, 4)
    assert data.sample(0)[0].box_classes.tolist() == [1]
    some = Folder(root, "voc_xml", classes=["cat"], others="ignore", val_share=0)
    assert [len(some.sample(index)[0].boxes) for index in (0, 1)] == [0, 1]
    with pytest.raises(
        FormatError,
        match=r"0.xml.*the class should be one of the data set's, but it is 'dog'; the classes are",
    ):
        Folder(root, "voc_xml", classes=["cat"], val_share=0).sample(0)


def test_images_are_found_below_and_by_their_bare_name(root: Path) -> None:
    photo(root / "images" / "more" / "a.jpg")
    text(
        root / "annotations" / "t.csv",
        "image,class\nexport/a.jpg,cat\nmore/a.jpg,dog\nbb.jpg,cat\n../../x.jpg,cat\n0.jpg,cat\n",
    )
    data = Folder(root, "csv", val_share=0)
    assert [entry.id for entry in data.entries] == ["0.jpg", "more/a.jpg"]
    told = "\n".join(map(str, data.problems))
    assert (
        "'more/a.jpg': the image should be one that no other entry is about, but it is one that "
        "comes twice" in told
    )
    assert "'bb.jpg': the image should be in" in told
    assert "the name should be that of a file inside of the folder" in told


def test_files_without_an_image_and_files_that_cannot_be_read_are_noted(root: Path) -> None:
    write(root, "voc_xml")
    text(root / "annotations" / "x.xml", voc_xml("cat", (1, 1, 2, 2)))
    assert "x.xml: the image should be called x, like the file, but it is missing" in str(
        Folder(root, "voc_xml").problems[0]
    )
    write(root, "coco")
    text(root / "annotations" / "b.json", "{")
    assert "b.json: the file should be JSON" in str(Folder(root, "coco").problems[0])
    for file in (root / "annotations").glob("*.json"):
        text(file, "{")
    # and not that there is no class
    with pytest.raises(ValueError, match=r"json: the file should be JSON"):
        Folder(root, "coco")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "voc"}, "format should be one of voc_xml, coco, .* but it is 'voc'"),
        ({"format": "mask_png"}, "classes should name the values of the masks"),
        ({"format": "yolo"}, "yolo files number their classes: give classes"),
        ({"val_share": 1.5}, "val_share should lie from 0 to 1, a part"),
        ({"images": "pictures"}, "there should be a folder of images at .*pictures"),
        ({"annotations": "labels"}, "there should be annotations at .*labels"),
        ({"line_width": 0}, "line_width should be more than 0"),
        ({"train": "lst.txt"}, "there is no list .*lst.txt"),
    ],
)
def test_options_that_cannot_be(root: Path, options: dict[str, Any], message: str) -> None:
    write(root, "voc_xml")
    with pytest.raises(ValueError, match=message):
        Folder(root, **{"format": "voc_xml", **options})


def test_long_sides_shrink_on_reading(root: Path) -> None:
    write(root, "voc_xml")
    evidence, _ = Folder(root, "voc_xml", long_side=6, val_share=0).sample(0)
    assert evidence.image.shape == (3, 5, 6)
    assert np.allclose(evidence.boxes, [[1, 0.5, 4, 3.5]])


def ids(data: Folder, indices: Any) -> list[str]:
    return [data.entries[index].id for index in indices]


def ultralytics(root: Path, yaml: str) -> Path:
    """Images 0 to 3 in images/train, 4 and 5 in images/val, 6 in images/test, with a dog in
    each."""
    for number, part in enumerate(["train"] * 4 + ["val"] * 2 + ["test"]):
        photo(root / "images" / part / f"{number}.jpg", number)
        text(root / "labels" / part / f"{number}.txt", f"1 {5 / 12} 0.4 0.5 0.6\n")
    text(root / "data.yaml", yaml)
    return root


TRAINED, MEASURED = [f"train/{number}.jpg" for number in range(4)], ["val/4.jpg", "val/5.jpg"]


@pytest.mark.parametrize(
    "yaml",
    [
        "names: [cat, dog]",
        "path: ../datasets/pets\n"
        "train: images/train\n"
        "val: images/val\n"
        "test: images/test\n"
        "names: {0: cat, 1: dog}",
        "train: ./images/train/\nval: [images/val]\nnames: [cat, dog]",
        "train: train.txt\nval: lists/val.txt\nnames: [cat, dog]",
        "train: no.txt\nval: ../../etc/passwd.txt\nnames: [cat, dog]",
        "train: 5\nval: {a: b}\nnames: [cat, dog]",
    ],
)
def test_the_split_of_a_yolo_set_is_its_own(tmp_path: Path, yaml: str) -> None:
    root = ultralytics(tmp_path, yaml)
    text(root / "train.txt", "".join(f"./images/train/{number}.jpg\n" for number in range(4)))
    text(root / "lists" / "val.txt", "/data/pets/images/val/4.jpg\n/data/pets/images/val/5.jpg\n")
    data = Folder(root, "yolo")
    assert (ids(data, data.training), ids(data, data.validation)) == (TRAINED, MEASURED)
    assert data.sample(0)[0].boxes.shape == (1, 4)
    assert data.problems == []
    assert len(data.remarks) == 1
    assert "4 images to train on, 2 to measure on" in data.remarks[0]


def test_the_layout_of_roboflow(tmp_path: Path) -> None:
    for number, part in enumerate(["train"] * 3 + ["valid"] + ["test"]):
        photo(tmp_path / part / "images" / f"{number}.jpg", number)
        text(tmp_path / part / "labels" / f"{number}.txt", f"0 {5 / 12} 0.4 0.5 0.6\n")
    text(tmp_path / "README.roboflow.txt", "pets - v1\n")
    text(
        tmp_path / "data.yaml",
        "train: ../train/images\n"
        "val: ../valid/images\n"
        "test: ../test/images\n"
        "nc: 1\n"
        "names: ['yes']\n",
    )
    data = Folder(tmp_path, "yolo")
    assert data.classes == ("background", "yes")
    assert data.problems == []
    assert (len(data.training), ids(data, data.validation)) == (3, ["valid/images/3.jpg"])


@pytest.mark.parametrize("format", ["coco", "voc_xml"])
def test_the_layout_of_roboflow_without_folders_of_images(format: Any, tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        photo(tmp_path / part / f"{part}.jpg")
        listed = [{"id": 0, "file_name": f"{part}.jpg"}]
        top = {
            "images": listed,
            "annotations": [outlined(0, 1, 2, 1, 6, 6)],
            "categories": [{"id": 1, "name": "cat"}],
        }
        text(tmp_path / part / "_annotations.coco.json", json.dumps(top))
        text(tmp_path / part / f"{part}.xml", voc_xml("cat", (3, 2, 8, 7)))
    data = Folder(tmp_path, format)
    assert data.problems == []
    assert (ids(data, data.training), ids(data, data.validation)) == (
        ["train/train.jpg"],
        ["valid/valid.jpg"],
    )


def test_words_for_held_out_images_win_over_the_split_of_the_set(tmp_path: Path) -> None:
    root = ultralytics(tmp_path, "names: [cat, dog]")
    text(root / "mine.txt", "train/0.jpg\ntest/6.jpg\n")
    for words, held_out in (
        ({"val": "mine.txt"}, ["train/0.jpg", "test/6.jpg"]),
        ({"val_share": 0}, []),
        ({"train": "mine.txt"}, []),
    ):
        data = Folder(root, "yolo", **words)
        assert ids(data, data.validation) == held_out
        assert data.remarks == []
    assert len(Folder(root, "yolo", val_share=0.5).validation) == 4


def test_a_set_without_images_to_measure_on_holds_out_some_of_those_to_train_on(
    tmp_path: Path,
) -> None:
    root = ultralytics(tmp_path, "names: [cat, dog]")
    shutil.rmtree(root / "images" / "val")
    shutil.rmtree(root / "labels" / "val")
    data = Folder(root, "yolo")
    assert (len(data.training), len(data.validation)) == (3, 1)
    assert set(ids(data, range(4))) == set(TRAINED)
    assert "3 images to train on, 1 to measure on, 1 of its test part left out" in data.remarks[0]


def test_a_folder_called_train_after_what_it_shows_is_no_split(tmp_path: Path) -> None:
    for number, kind in enumerate(["bus", "train", "train", "test"]):
        photo(tmp_path / "images" / kind / f"{number}.jpg", number)
        text(tmp_path / "annotations" / kind / f"{number}.xml", voc_xml(kind, (3, 2, 8, 7)))
    data = Folder(tmp_path, "voc_xml")
    assert len(data) == 4
    assert data.remarks == []


def test_the_same_images_for_both_parts_are_no_split(tmp_path: Path) -> None:
    for number in range(5):
        photo(tmp_path / "images" / f"{number}.jpg", number)
        text(tmp_path / "labels" / f"{number}.txt", f"1 {5 / 12} 0.4 0.5 0.6\n")
    text(tmp_path / "data.yaml", "train: images\nval: images\nnames: [cat, dog]")
    data = Folder(tmp_path, "yolo")
    assert (len(data.training), len(data.validation), data.remarks) == (4, 1, [])


def test_a_split_is_said_when_a_run_begins_and_by_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Folder(ultralytics(tmp_path, "names: [cat, dog]"), "yolo")
    data.setup("fit")
    assert "own split is used" in capsys.readouterr().err
    data.setup("validate")
    assert capsys.readouterr().err == ""
    assert check_dataset(data).remarks == data.remarks


@pytest.mark.parametrize("format", ["labelme", "voc_xml", "yolo"])
def test_annotations_beside_the_images(root: Path, format: str) -> None:
    options = write(root, format)
    for path in [*(root / "annotations").iterdir()]:
        path.rename(root / "images" / path.name)
    (root / "annotations").rmdir()
    assert len(Folder(root, format, val_share=0, **options)) == 5
    for path in [*(root / "images").iterdir()]:
        path.rename(root / path.name)
    (root / "images").rmdir()
    assert len(Folder(root, format, val_share=0, **options)) == 5


@pytest.mark.parametrize("format", ["coco", "cvat", "label_studio", "csv", "datumaro"])
def test_one_file_beside_the_folder_of_images(root: Path, format: str) -> None:
    write(root, format)
    (file,) = (root / "annotations").iterdir()
    file.rename(root / f"export{file.suffix}")
    assert len(Folder(root, format, val_share=0)) == 5


def test_images_of_newer_kinds_are_there(root: Path) -> None:
    write(root, "voc_xml")
    for name in NAMES:
        (root / "images" / name).unlink()
    for number, suffix in enumerate(
        [".jp2", ".j2k", ".webp", ".tif", ".avif" if "AVIF" in PHOTOS else ".png"]
    ):
        photo(root / "images" / f"{number}{suffix}", number)
    data = Folder(root, "voc_xml", val_share=0)
    assert [data.sample(index)[0].image.shape for index in range(5)] == [(3, HEIGHT, WIDTH)] * 5


NOTHING = "<annotation/>"
WHY = {
    "no file": (
        {},
        "there should be .xml files in .*annotations for format=voc_xml, but there are none at "
        "all; is it another format",
    ),
    "another format": (
        {"a.txt": "", "b.txt": ""},
        "there should be .xml files in .*, but there are 2 .txt; is it another format",
    ),
    "names of none": (
        {"x.xml": voc_xml("dog", (3, 2, 8, 7))},
        "x.xml: the image should be called x, like the file, but it is missing",
    ),
    "no object": (
        {"0.xml": NOTHING, "1.xml": NOTHING},
        r"no object of any class is in .*annotations \(2 files\): name the classes",
    ),
    "damaged": ({"0.xml": "<annotation>"}, "0.xml: the file should be XML, but it is not"),
    "damaged and empty": (
        {"0.xml": "<annotation>", "1.xml": NOTHING},
        "0.xml: the file should be XML, but it is not",
    ),
    "wrong objects": (
        {"0.xml": voc_xml("", (8, 2, 3, 7))},
        "0.xml, image '0', object 1: the field 'name' should be text",
    ),
}


@pytest.mark.parametrize(("files", "message"), WHY.values(), ids=WHY)
def test_why_there_is_no_class_has_a_reason_of_its_own(
    root: Path, files: dict[str, str], message: str
) -> None:
    (root / "annotations").mkdir()
    for name, content in files.items():
        text(root / "annotations" / name, content)
    with pytest.raises(ValueError, match=message) as caught:
        Folder(root, "voc_xml")
    assert "\n" not in str(caught.value)
    assert "254" not in str(caught.value)


def test_why_there_is_no_class_where_no_image_is_read_or_annotated(root: Path) -> None:
    for name in NAMES:
        (root / "images" / name).rename(root / "images" / f"{name}.heic")
    (root / "annotations").mkdir()
    with pytest.raises(
        ValueError,
        match=r"there should be images in .*images, but there are none of a kind that is read",
    ):
        Folder(root, "voc_xml")
    photo(root / "images" / "0.jpg")
    text(
        root / "annotations" / "a.json",
        json.dumps([{"data": {"image": "0.jpg"}, "annotations": []}]),
    )
    with pytest.raises(
        ValueError, match=r"no image is annotated: .*1 image is left out: 1 not annotated"
    ):
        Folder(root, "label_studio")


def test_a_label_map_for_masks_of_values(root: Path) -> None:
    text(
        root / "labelmap.txt",
        "# label:color_rgb:parts:actions\n"
        "background:0,0,0::\n"
        "ignored:9,9,9::\n"
        "cat:1,1,1::\n"
        "a:b:7,7,7::\n",
    )
    (root / "SegmentationClass").mkdir()
    for number in range(5):
        values = np.where(square(1) == 1, number % 4, 0).astype(np.uint8)
        Image.fromarray(values).save(root / "SegmentationClass" / f"{number}.png")
    data = Folder(root, "mask_png", val_share=0)
    assert data.classes == ("background", "cat", "a:b")
    truths = [sorted(data.sample(index)[1].unique().tolist()) for index in range(4)]
    assert truths == [[0], [0, 255], [0, 1], [0, 2]]
    assert [sorted(data.sample(index)[0].marks.unique().tolist()) for index in range(4)] == truths


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("cat", "line 1: a line should be name:red,green,blue:parts:actions, but it is 'cat'"),
        ("cat:1,2::", "red,green,blue should be 3 finite numbers"),
        ("cat:1,2,256::", "red,green,blue should be numbers from 0 to 255, but it is '1,2,256'"),
        (
            "cat:1,2,3::\ndog:1,2,3::",
            r"line 2: the colour should be of one class, but it is \(1, 2, 3\), which another one "
            r"has too",
        ),
        ("# nothing", "the file should be a list of 1 to 255 classes"),
    ],
)
def test_a_label_map_that_is_wrong(root: Path, content: str, message: str) -> None:
    write(root, "mask_png")
    text(root / "labelmap.txt", content)
    with pytest.raises(FormatError, match=f"labelmap.txt.*{message}"):
        Folder(root, "mask_png")


def test_where_images_and_annotations_are_looked_for_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match=(
            r"there should be images in .*, in images, JPEGImages, .*; name their folder with "
            r"data.images"
        ),
    ):
        Folder(tmp_path, "coco")
    photo(tmp_path / "images" / "a.jpg")
    with pytest.raises(
        ValueError,
        match=(
            r"there should be .txt files of annotations in .*, labels, or beside the images, but "
            r"there are none"
        ),
    ):
        Folder(tmp_path, "yolo")
    text(tmp_path / "a.xml", "")
    with pytest.raises(
        ValueError,
        match=(
            r"annotations should be a folder, with a .xml file for each image, but .*a.xml is a "
            r"file"
        ),
    ):
        Folder(tmp_path, "voc_xml", annotations="a.xml")


def test_two_versions_of_a_coco_file_are_not_joined(root: Path) -> None:
    write(root, "coco")
    top = json.loads((root / "annotations" / "all.json").read_text())
    top["annotations"][0]["bbox"] = [3, 1, 6, 6]
    text(root / "annotations" / "new.json", json.dumps(top))
    (problem,) = Folder(root, "coco").problems
    told = (
        "new.json, image '0.jpg': the image should be one that no other entry is about, but it is "
        "one that comes twice, in"
    )
    assert told in str(problem)
    assert "all.json too: name one of the files with data.annotations" in str(problem)
    assert Folder(root, "coco", annotations="annotations/new.json").problems == []


def test_the_rim_of_objects_is_no_class(root: Path) -> None:
    """As Datumaro writes PASCAL VOC: an area called ignored."""
    write(root, "coco")
    top = json.loads((root / "annotations" / "all.json").read_text())
    top["categories"].append({"id": 3, "name": "ignored"})
    top["annotations"].append(outlined(0, 3, 8, 1, 2, 6) | {"id": 9})
    text(root / "annotations" / "all.json", json.dumps(top))
    data = Folder(root, "coco", whole=True, val_share=0)
    assert data.classes == ("background", "cat", "dog")
    evidence, truth = data.sample(0)
    assert evidence.boxes.tolist() == BOX
    assert sorted(truth.unique().tolist()) == [0, 2, 255]
    assert (truth == 255).sum() == 12
    assert "ignored" in Folder(root, "coco", classes=["cat", "dog", "ignored"], val_share=0).classes


@pytest.mark.parametrize("key", ["images", "annotations", "masks"])
def test_a_folder_that_a_key_names_is_never_passed_over(key: str, tmp_path: Path) -> None:
    photo(tmp_path / "images" / "a.png")
    text(tmp_path / "annotations" / "a.xml", voc_xml("dog", (3, 2, 8, 7)))
    with pytest.raises(ValueError, match=f"(?s)should be .*{tmp_path / 'typo'}"):
        Folder(tmp_path, "voc_xml", **{key: "typo"})


def test_masks_that_are_called_otherwise_than_the_images_are_not_passed_over(
    tmp_path: Path,
) -> None:
    photo(tmp_path / "images" / "a.jpg")
    text(tmp_path / "annotations" / "a.xml", voc_xml("dog", (3, 2, 8, 7)))
    indexed(tmp_path / "masks" / "a_mask.png", square(1))
    with pytest.raises(
        ValueError,
        match=(
            r"masks should be called like the images, such as a\.png, but none in .*; there is "
            r"a_mask\.png"
        ),
    ):
        Folder(tmp_path, "voc_xml", masks="masks")
    indexed(tmp_path / "masks" / "a.png", square(1))
    assert Folder(tmp_path, "voc_xml", masks="masks", val_share=0).sample(0)[1] is not None


def test_a_folder_may_be_measured_on_as_a_whole_and_else_says_of_how_many_images_figures_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(5):
        photo(tmp_path / "images" / f"{number}.png", number)
        indexed(tmp_path / "masks" / f"{number}.png", square(1))

    def measured(share: float | None, *stages: str) -> tuple[int, str]:
        data = Folder(tmp_path, "mask_png", ["cat"], val_share=share)
        for stage in stages:
            data.setup(stage)
        return len(data.validation), capsys.readouterr().err

    assert measured(1, "validate") == (5, "")
    assert measured(None, "validate") == (
        1,
        "measured on 1 of the 5 images, the others are to train on; Folder(val_share=1) measures "
        "on all\n",
    )
    assert measured(None, "fit", "validate") == (1, "")  # the end of a run is no news
