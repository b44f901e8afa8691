"""Formats of annotation files, told from their beginnings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.data.layouts import photo
from weakseg.data.files.recognition import format_of, recognise

FILES = {
    "voc_xml": ("a.xml", "<annotation><object/></annotation>"),
    "cvat": ("a.xml", "<?xml version='1.0'?><annotations></annotations>"),
    "coco": ("a.json", json.dumps({"info": {}, "images": [], "annotations": []})),
    "labelme": ("a.json", json.dumps({"version": "5", "shapes": [], "imagePath": "a.png"})),
    "datumaro": ("a.json", json.dumps({"info": {}, "categories": {}, "items": []})),
    "label_studio": ("a.json", json.dumps([{"annotations": []}])),
    "yolo": ("a.txt", "0 .5 .5 .1 .1"),
    "csv": ("a.csv", "image,class"),
    "": ("a.json", json.dumps({"label": 3})),
}


@pytest.mark.parametrize("name", FILES)
def test_each_format(name: str, tmp_path: Path) -> None:
    file, content = FILES[name]
    (tmp_path / file).write_text(content)
    assert format_of(tmp_path / file) == name


@pytest.mark.parametrize("name", [name for name in FILES if name])
def test_in_a_folder(name: str, tmp_path: Path) -> None:
    photo(tmp_path / "images" / "a.png")
    file, content = FILES[name]
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / file).write_text(content)
    assert recognise({"root": tmp_path}) == (name, f"as {file} begins")
    assert recognise({"root": tmp_path, "annotations": "annotations"})[0] == name
    assert recognise({"root": tmp_path, "annotations": f"annotations/{file}"})[0] == name


def test_images_alone(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    assert recognise({"root": tmp_path}) == (None, "there are no annotation files")


def test_what_cannot_be_told(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "a.png")
    (tmp_path / "images" / "a.json").write_text('{"label": 3}')
    with pytest.raises(ValueError, match="which cannot be told from it; write"):
        recognise({"root": tmp_path})


def test_a_long_file_that_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"images": [1, 2')
    assert format_of(tmp_path / "a.json") == "coco"
