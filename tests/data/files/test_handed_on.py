"""What a plan has found in files is handed on to the run, once, and only if nothing has changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.data.layouts import photo
from weakseg.data.files import handed_on
from weakseg.data.files.entries import EntryTable
from weakseg.data.files.folder import Folder
from weakseg.data.files.handed_on import keep_parsed
from weakseg.data.formats import coco


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(4):
        photo(tmp_path / "images" / f"{number}.png", number)
    write(tmp_path, 5)
    return tmp_path


def write(root: Path, width: int) -> None:
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(4)]
    objects = [
        {"image_id": number, "category_id": 1, "bbox": [1, 1, width, 4]} for number in (0, 2)
    ]
    content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "cat"}]}
    (root / "all.json").write_text(json.dumps(content))


class Counting:
    """How often files are parsed and folders are listed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parsed = self.listed = 0
        read, find = coco.read, handed_on.find_pictures

        def reading(*words: object) -> object:
            self.parsed += 1
            return read(*words)  # type: ignore[arg-type]

        def finding(*words: object) -> object:
            self.listed += 1
            return find(*words)  # type: ignore[arg-type]

        from weakseg.data.files import folder

        monkeypatch.setitem(folder.MANY, "coco", (reading, ".json"))
        monkeypatch.setattr(handed_on, "find_pictures", finding)


def boxes(data: Folder) -> list[object]:
    return [repr(data.sample(index)[0].boxes) for index in range(len(data))]


def test_a_run_parses_nothing_that_its_plan_has_parsed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch)
    with keep_parsed():
        planned = Folder(root, "coco")
    run = Folder(root, "coco", val_share=0.5)
    assert (counting.parsed, counting.listed) == (1, 1)
    assert sorted(boxes(run)) == sorted(boxes(planned))
    Folder(root, "coco")  # it was given away
    assert (counting.parsed, counting.listed) == (2, 2)


def test_a_file_that_has_changed_meanwhile_is_parsed_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch)
    with keep_parsed():
        Folder(root, "coco")
    write(root, 10)
    assert "11." in "".join(map(str, boxes(Folder(root, "coco"))))
    assert counting.parsed == 2


def test_problems_are_handed_on_too(root: Path) -> None:
    content = json.loads((root / "all.json").read_text())
    content["annotations"].append({"image_id": 9, "category_id": 1, "bbox": [1, 1, 3, 3]})
    (root / "all.json").write_text(json.dumps(content))
    with keep_parsed():
        planned = Folder(root, "coco")
    run = Folder(root, "coco")
    assert list(map(str, run.problems)) == list(map(str, planned.problems))
    assert len(run.problems) == 1


def test_a_plan_makes_no_table_of_many_images(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weakseg.data.files.entries.MANY", 1)
    with keep_parsed():
        assert isinstance(Folder(root, "coco").entries, list)
    assert isinstance(Folder(root, "coco").entries, EntryTable)


def test_another_working_folder_is_another_data_set(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    for name in ("one", "two"):
        (other / name).mkdir(parents=True)
        os.symlink(root / "all.json", other / name / "all.json")
    for number in range(4):
        photo(other / "one" / "images" / f"{number}.png", number)
        photo(other / "two" / "images" / f"{number}.png", number + 9)
    monkeypatch.chdir(other / "one")
    with keep_parsed():
        one = Folder(Path("."), "coco")
    image = one.sample(0)[0].image
    monkeypatch.chdir(other / "two")
    two = Folder(Path("."), "coco")
    assert two.pictures is not one.pictures
    assert two.sample(0)[0].image.tolist() != image.tolist()
