"""Entries of many images, in a file that processes share."""

from __future__ import annotations

import gc
import os
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.data.layouts import photo, text, voc_xml
from tests.small import Squares
from weakseg.data.files import entries
from weakseg.data.files.entries import Entry, EntryTable, content_key, in_memory, kept, named
from weakseg.data.files.folder import Folder
from weakseg.data.files.photos import NOT_READING
from weakseg.data.formats.base import Annotation, Place, box


def an_entry(number: int, folder: Path = Path("photos")) -> Entry:
    place = Place("all.json", f"{number}.png", 1)
    shapes = [box("cat", place, 1, 2, 3 + number, 4)] * (number % 3)
    annotation = Annotation(f"{number}.png", shapes, (20, 20), place)
    read = partial(in_memory, annotation) if number % 4 else None
    return Entry(f"{number}.png", folder / f"{number}.png", read, None)


def text_of(entry: Entry) -> str:
    return repr(entry._replace(read=None if entry.read is None else entry.read(None)))


def test_a_table_holds_what_a_list_holds() -> None:
    plain = list(map(an_entry, range(9)))
    table = EntryTable(plain)
    assert list(map(text_of, table)) == list(map(text_of, plain))
    assert text_of(table[-1]) == text_of(plain[-1])
    assert list(map(text_of, table[2:8:3])) == list(map(text_of, plain[2:8:3]))
    assert named(table, 5) == plain[5]._replace(read=None)
    assert len(table) == 9
    with pytest.raises(IndexError, match="no entry 9 among 9"):
        table[9]


def test_another_process_opens_the_same_file_and_nothing_is_left_of_it() -> None:
    table = EntryTable(map(an_entry, range(9)))
    path = table._path
    data = pickle.dumps(table)
    assert len(data) < 700 + 9 * 17
    copy = pickle.loads(data)
    assert text_of(copy[7]) == text_of(table[7])
    del copy
    gc.collect()
    assert os.path.exists(path)  # a copy does not take it away
    del table
    gc.collect()
    assert not os.path.exists(path)


def test_few_images_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(kept(map(an_entry, range(9))), list)
    monkeypatch.setattr(entries, "MANY", 9)
    assert isinstance(kept(map(an_entry, range(9))), EntryTable)


def test_a_data_set_is_the_same_with_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        photo(tmp_path / "images" / f"{number}.png", number)
        text(tmp_path / "annotations" / f"{number}.xml", voc_xml("cat", (1, 1, 4, 5 + number % 3)))
    found = []
    for many in (1000, 1):
        monkeypatch.setattr(entries, "MANY", many)
        own = Folder(tmp_path, "voc_xml", val_share=0.25)
        data = pickle.loads(pickle.dumps(own))
        assert isinstance(data.entries, EntryTable) == (many == 1)
        samples = [data.sample(index) for index in range(len(data))]
        keys = [data.content_key(index) for index in range(len(data))]
        found.append((repr(samples), keys, data.training, list(data.validation)))
    assert found[0] == found[1]


Change = Callable[[Path], object]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda root: None, True),
        (lambda root: photo(root / "images" / "0.png", 1, width=30), False),
        (lambda root: text(root / "annotations" / "0.xml", voc_xml("cat", (1, 1, 4, 6))), False),
        (lambda root: os.utime(root / "images" / "0.png", (1, 1)), False),
        (lambda root: (root / "images" / "0.png").unlink(), None),
        (lambda root: text(root / "annotations" / "1.xml", voc_xml("cat", (1, 1, 9, 9))), True),
    ],
)
def test_the_key_of_an_image_changes_with_its_own_files(
    tmp_path: Path, change: Change, same: bool | None
) -> None:
    for number in range(3):
        photo(tmp_path / "images" / f"{number}.png")
        text(tmp_path / "annotations" / f"{number}.xml", voc_xml("cat", (1, 1, 4, 5)))
    before = Folder(tmp_path, "voc_xml", val_share=0)
    key = before.content_key(0)
    assert key is not None
    change(tmp_path)
    after = before.content_key(0)
    assert (after == key if same is not None else after is None) is (same is not False)


def test_the_key_changes_with_all_that_decides_how_files_are_read(tmp_path: Path) -> None:
    for number in range(3):
        photo(tmp_path / "images" / f"{number}.png")
        text(tmp_path / "annotations" / f"{number}.xml", voc_xml("cat", (1, 1, 4, 5)))
    chosen: list[dict[str, object]] = [
        {},
        {"long_side": 5},
        {"wrong": "cut"},
        {"evidence": "tags"},
        {"rename": {"cat": "dog"}},
        {"classes": ["cat", "dog"]},
        {"others": "ignore"},
    ]
    keys = [Folder(tmp_path, "voc_xml", val_share=0, **each).content_key(0) for each in chosen]  # type: ignore[arg-type]
    assert len(set(keys)) == len(chosen)
    for alike in ({"batch_size": 2}, {"crop": 4}, {"annotated": 0.5}):
        data = Folder(tmp_path, "voc_xml", val_share=0, **alike)  # type: ignore[arg-type]
        assert data.content_key(0) == keys[0]


def test_what_a_data_set_needs_to_load_images_in_training_changes_no_key() -> None:
    own = {"count", "validation"}
    assert vars(Squares()).keys() - own <= NOT_READING


def reads_somewhere(path: Path, problems: object) -> Annotation:
    return Annotation(path.stem, [], None, Place(str(path)))


@pytest.mark.parametrize("many", [1, 1000])
def test_a_reader_that_does_not_name_its_file_has_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(entries, "MANY", many)
    image = photo(tmp_path / "a.png")
    lines = text(tmp_path / "a.txt", "duck")
    read = partial(reads_somewhere, lines)
    assert content_key(kept([Entry("a", image, read)]), 0, (), "") is None
    named_one = kept([Entry("a", image, read, annotations=lines)])
    before = content_key(named_one, 0, (), "")
    text(lines, "heron")
    assert None is not before != content_key(named_one, 0, (), "")


def test_a_missing_file_has_no_key() -> None:
    assert content_key([an_entry(1, Path("not there"))], 0, (), "") is None
