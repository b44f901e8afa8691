import os
import pickle
from pathlib import Path

import pytest

from weakseg.data.formats.base import FormatError, Place, excerpt
from weakseg.data.formats.images import read_image
from weakseg.data.formats.opening import inside, read_bytes, read_json, read_text, read_xml


def test_names_inside(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert inside(tmp_path, "a/b.jpg") == (tmp_path / "a" / "b.jpg").resolve()
    assert inside(tmp_path, "a/../b.jpg") == (tmp_path / "b.jpg").resolve()
    assert inside(tmp_path, "..b/c") == (tmp_path / "..b" / "c").resolve()


@pytest.mark.parametrize(
    "name", ["../b.jpg", "a/../../b.jpg", "/etc/passwd", "link/b.jpg", "link", "nul\0.jpg"]
)
def test_names_that_lead_out(name: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(FormatError, match="the name should be that of a file"):
        inside(root, name)


@pytest.mark.parametrize("name", ["loop", "x" * 5000])
def test_names_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(FormatError):
        read_bytes(inside(tmp_path, name))
    with pytest.raises(FormatError):
        read_image(inside(tmp_path, name))


def test_a_neighbour_whose_name_begins_alike_is_outside(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root2").mkdir()
    with pytest.raises(FormatError, match="inside of the folder"):
        inside(tmp_path / "root", "../root2/a.jpg")


def test_a_root_that_is_itself_a_link_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert inside(tmp_path / "link", "a.jpg") == (tmp_path / "real" / "a.jpg").resolve()


def test_large_files_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.truncate(2**40)  # holes: a thousand gigabytes that take no place
    with pytest.raises(
        FormatError,
        match=f"the file should be at most 1000 bytes long, but it is {2**40} bytes long",
    ):
        read_json(path, most_bytes=1000)
    with pytest.raises(FormatError, match="at most"):
        read_bytes(path)


def test_what_is_no_ordinary_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, came in (
        (tmp_path / "pipe", "no ordinary file"),
        (tmp_path, "no ordinary file"),
        (tmp_path / "b", "missing"),
    ):
        with pytest.raises(FormatError, match=f"the file should be there, but it is {came}"):
            read_bytes(path)


def test_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfk\xc3\xa4se")
    assert read_text(path) == "käse"
    path.write_bytes(b"k\xe4se")
    with pytest.raises(FormatError, match="in UTF-8, but it is not, from byte 1 on"):
        read_text(path)


@pytest.mark.parametrize(
    "text", ["[1", "", "[" * 200_000, "[" + "9" * 5000 + "]", r'{"a": ["\ud800"]}']
)
def test_json_that_is_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(FormatError, match="should be JSON"):
        read_json(path)


LAUGHS = """<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;">]><annotation>&c;</annotation>"""
READS = """<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation>&b;</annotation>"""
TYPED = """<!DOCTYPE annotation SYSTEM "voc.dtd"><annotation/>"""


@pytest.mark.parametrize("text", [LAUGHS, READS, TYPED])
def test_xml_with_entities_or_a_document_type(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(FormatError, match="should be XML without entities or a document type"):
        read_xml(path, "annotation")


@pytest.mark.parametrize(
    "text", ["", "<annotation>", "<a>\0</a>", '<?xml version="1.0" encoding="none"?><annotation/>']
)
def test_xml_that_is_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(FormatError, match="the file should be XML, but it is not"):
        read_xml(path, "annotation")


def test_xml_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<svg/>")
    with pytest.raises(
        FormatError, match="the outermost element should be <annotation>, but it is 'svg'"
    ):
        read_xml(path, "annotation")


def test_errors_travel_between_processes_and_stay_short() -> None:
    error = Place("a.json", "b.jpg", 3).wrong("bbox", "4 numbers", "\x1b[31m\n" + "x" * 10**6)
    back = pickle.loads(pickle.dumps(error))
    assert str(back) == str(error)
    assert back.place == Place("a.json", "b.jpg", 3)
    assert len(str(error)) < 200
    assert "\n" not in str(error)
    assert "\x1b" not in str(error)
    assert len(excerpt([["x" * 1000] * 1000] * 1000)) < 2000
