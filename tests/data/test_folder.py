import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.layouts import HEIGHT, WIDTH, indexed, outlined, photo, square, text, voc_xml
from weakseg.data.folder import Folder
from weakseg.data.formats.base import FormatError
from weakseg.data.listing import share_of

NAMES = [f"{number}.jpg" for number in range(5)]
BOX = [[2.0, 1.0, 8.0, 7.0]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        photo(tmp_path / "images" / name, number)
    return tmp_path


def write(root: Path, format: str) -> dict[str, Any]:
    """The box 2 1 8 7 around a dog (a cat in 1.jpg), in the way of a format; returns the options that it needs."""
    place = root / "annotations"
    for number, image in enumerate(NAMES):
        name, stem = "cat" if number == 1 else "dog", str(number)
        if format == "voc_xml":
            text(place / f"{stem}.xml", voc_xml(name, (3, 2, 8, 7)))
        elif format == "yolo":
            text(place / f"{stem}.txt", f"{int(name == 'dog')} {5 / 12} 0.4 0.5 0.6\n")
        elif format == "labelme":
            shape = {"label": name, "points": [[2, 1], [8, 7]], "shape_type": "rectangle"}
            content = {"imagePath": image, "shapes": [shape], "imageWidth": WIDTH, "imageHeight": HEIGHT}
            text(place / f"{stem}.json", json.dumps(content))
        elif format == "mask_png":
            indexed(place / f"{stem}.png", square(1 if name == "cat" else 2))
    names = list(enumerate(["cat" if number == 1 else "dog" for number in range(5)]))
    if format == "coco":
        objects = [outlined(number, 1 if name == "cat" else 2, 2, 1, 6, 6) | {"id": number} for number, name in names]
        listed = [{"id": number, "file_name": image} for number, image in enumerate(NAMES)]
        categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
        text(place / "all.json", json.dumps({"images": listed, "annotations": objects, "categories": categories}))
    elif format == "cvat":
        boxes = [
            f'<image name="{n}.jpg" width="12" height="10"><box label="{name}" xtl="2" ytl="1" xbr="8" ybr="7"/></image>'
            for n, name in names
        ]
        text(place / "all.xml", f"<annotations>{''.join(boxes)}</annotations>")
    elif format == "datumaro":
        items = [
            {
                "id": str(n),
                "image": {"path": f"{n}.jpg"},
                "annotations": [{"type": "bbox", "label_id": int(name == "dog"), "bbox": [2, 1, 6, 6]}],
            }
            for n, name in names
        ]
        labels = {"label": {"labels": [{"name": "cat"}, {"name": "dog"}]}}
        text(place / "all.json", json.dumps({"categories": labels, "items": items}))
    elif format == "label_studio":
        tasks = []
        for n, name in names:
            value = {"x": 100 / 6, "y": 10, "width": 50, "height": 60, "rotation": 0, "rectanglelabels": [name]}
            result = {"type": "rectanglelabels", "original_width": WIDTH, "original_height": HEIGHT, "value": value}
            tasks.append({"data": {"image": f"/data/upload/1/{n}.jpg"}, "annotations": [{"result": [result]}]})
        text(place / "all.json", json.dumps(tasks))
    elif format == "csv":
        text(place / "all.csv", "image,class\n" + "".join(f"{n}.jpg,{name}\n" for n, name in names))
    return {"classes": ["cat", "dog"]} if format in ("yolo", "mask_png") else {}


@pytest.mark.parametrize("format", ["voc_xml", "coco", "yolo", "labelme", "cvat", "datumaro", "label_studio", "mask_png", "csv"])
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
    simulated = Folder(root, "coco", whole=True, evidence="points", simulated=True, val_share=0, **write(root, "coco")).sample(0)[0]
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
        "object 3: every line should be the name of an image that is there, but it is '9.jpg'",
        "object 4: every line should be another image, but it is '1.jpg again'",
    ]
    with pytest.raises(ValueError, match=r"2 problems in the files; python -m weakseg.check data=\.\.\. shows all"):
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
    sample, truth = Folder(root, "mask_png", classes=["cat", "dog"], evidence=evidence, masks="masks").sample(0)
    assert sample.annotations == ("marks",)
    assert truth is not None
    assert (truth.numpy() == square(2)).all()
    simulated = Folder(root, "mask_png", classes=["cat", "dog"], evidence=evidence, annotations="masks", simulated=True)
    assert simulated.sample(0)[0].annotations[0] == "marks"
    assert simulated.sample(0)[1] is not None


def test_an_image_in_both_lists_is_one_problem_among_others_and_is_not_trained_on(root: Path) -> None:
    write(root, "voc_xml")
    text(root / "train.txt", "1.jpg\n2.jpg\nno.jpg\n")
    text(root / "val.txt", "0.jpg\n2.jpg\n")
    data = Folder(root, "voc_xml", train="train.txt", val="val.txt", wrong="skip")
    told = [str(problem) for problem in data.problems]
    assert len(told) == 2
    assert (
        "the lists train.txt and val.txt: every image should be in one of the two, but it is in both, for 1 of them, such as 2.jpg"
        in told[1]
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
    with pytest.raises(FormatError, match=r"0.xml.*the class should be one of the data set's, but it is 'dog'; the classes are"):
        Folder(root, "voc_xml", classes=["cat"], val_share=0).sample(0)


def test_images_are_found_below_and_by_their_bare_name(root: Path) -> None:
    photo(root / "images" / "more" / "a.jpg")
    text(root / "annotations" / "t.csv", "image,class\nexport/a.jpg,cat\nmore/a.jpg,dog\nbb.jpg,cat\n../../x.jpg,cat\n0.jpg,cat\n")
    data = Folder(root, "csv", val_share=0)
    assert [entry.id for entry in data.entries] == ["0.jpg", "more/a.jpg"]
    told = "\n".join(map(str, data.problems))
    assert "'more/a.jpg': the image should be one that no other entry is about, but it is one that comes twice" in told
    assert "'bb.jpg': the image should be in" in told
    assert "the name should be that of a file inside of the folder" in told


def test_files_without_an_image_and_files_that_cannot_be_read_are_noted(root: Path) -> None:
    write(root, "voc_xml")
    text(root / "annotations" / "x.xml", voc_xml("cat", (1, 1, 2, 2)))
    assert "x.xml: the image should be called x, like the file, but it is missing" in str(Folder(root, "voc_xml").problems[0])
    write(root, "coco")
    text(root / "annotations" / "b.json", "{")
    assert "b.json: the file should be JSON" in str(Folder(root, "coco").problems[0])
    for file in (root / "annotations").glob("*.json"):
        text(file, "{")
    with pytest.raises(ValueError, match=r"json: the file should be JSON"):  # and not that there is no class
        Folder(root, "coco")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "voc"}, "format should be one of voc_xml, coco, .* but it is voc"),
        ({"format": "mask_png"}, "classes should name the values of the masks"),
        ({"format": "yolo"}, "yolo files number their classes: give classes"),
        ({"val_share": 1}, "val_share should be from 0 to less than 1"),
        ({"images": "pictures"}, "there should be a folder of images at .*pictures"),
        ({"annotations": "labels"}, "there should be annotations at .*labels"),
        ({"line_width": 0}, "line_width should be above 0"),
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
