from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.data.corrections.events import ACCEPT, UNDO, click, correct, stroke, tag
from weakseg.data.corrections import folder as module
from weakseg.data.corrections.events import Event
from weakseg.data.corrections.folder import Conflict, CorrectionsFolder, DamagedCorrection

ODD_IDS = (
    "a.png",
    "a b.png",
    "sub/a.png",
    "sub/deeper/a.png",
    "..",
    "../a.png",
    "../../../a.png",
    "/etc/passwd",
    "//a",
    "a//b",
    "a/../b",
    "",
    ".",
    "./a",
    ".hidden",
    "a.",
    "a...",
    "a/",
    "A.PNG",
    "a",
    "a.json",
    "a.json/b",
    "a.json.json",
    "a%2Fb",
    "%",
    "%2E",
    "C:\\windows\\a",
    "con",
    "a\nb\0c",
    "<b>&amp;#+%20?.png",
    "ä ö 猫.jpg",
    "\N{COMBINING DIAERESIS}",
    "\udcff.png",  # a file name that is no text
    "x" * 500,
    "x" * 499 + "y",
    "猫" * 80,
    "猫" * 79 + "犬",
    "/".join(["x" * 300] * 3),
)


def test_any_id_has_a_file_of_its_own_in_the_folder(tmp_path: Path) -> None:
    corrections = CorrectionsFolder(tmp_path / "corrections")
    for number, image in enumerate(ODD_IDS):
        corrections.add(image, tag(str(number)), 0, (4, 3), {})
    inside = (tmp_path / "corrections" / "images").resolve()
    files = {image: corrections.file(image) for image in ODD_IDS}
    assert len({str(file).casefold() for file in files.values()}) >= len(ODD_IDS) - 1  # a, A
    for image, file in files.items():
        assert inside in file.resolve().parents, image
        assert file.is_file(), image
        assert all(len(os.fsencode(part)) <= 255 for part in file.parts)
        assert not any(part.endswith((".", " ")) for part in file.relative_to(inside).parts)
    assert [path.name for path in tmp_path.iterdir()] == ["corrections"]
    found = corrections.read_each()
    assert found.damaged == {}
    assert {image: each.edits[0].label for image, each in found.sound.items()} == {
        image: str(number) for number, image in enumerate(ODD_IDS)
    }
    assert corrections.images() == sorted(ODD_IDS)


def test_an_event_per_line(tmp_path: Path) -> None:
    before = {
        "tags": ["background", "cat"],
        "boxes": [{"class": "cat", "points": [[1, 2], [3, 4]]}],
    }
    corrections = CorrectionsFolder(tmp_path)
    event = Event("click", "猫", ((1, 2),), 3, "2026-01-01T00:00:00Z", "ada", 4.5)
    corrections.add("a.png", event, 0, (12, 8), before)
    corrections.add("a.png", ACCEPT, 1, (12, 8), {"tags": ["later"]})
    assert (
        corrections.file("a.png").read_text()
        == """{
 "format": "weakseg correction 1",
 "image": "a.png",
 "size": [12, 8],
 "status": "accepted",
 "seconds": 4.5,
 "before": {"tags": ["background", "cat"], "boxes": [{"class": "cat", "points": [[1, 2], [3, 4]]}]},
 "events": [
  {"action": "click", "class": "猫", "points": [[1.0, 2.0]], "width": 3.0, "when": \
"2026-01-01T00:00:00Z", "who": "ada", "seconds": 4.5},
  {"action": "accept", "when": "", "who": "", "seconds": 0.0}
 ]
}"""
    )


def test_what_is_returned_is_what_will_be_read(tmp_path: Path) -> None:
    corrections = CorrectionsFolder(tmp_path)
    event = stroke("cat", (1.23456, 2.34567), (3, 4), width=1.23456, seconds=1.23456)
    made = corrections.add("a", event, 0, (4, 3), {})
    assert corrections.read("a") == made


def test_a_wrong_event_is_not_written(tmp_path: Path) -> None:
    corrections = CorrectionsFolder(tmp_path)
    for event in (UNDO, Event("explode"), click("", 1, 1), click("cat", float("nan"), 1)):
        with pytest.raises(ValueError, match=r"nothing to undo|should be"):
            corrections.add("a", event, 0, (4, 3), {})
    assert corrections.files() == []


def test_whoever_saw_another_revision_gets_a_conflict(tmp_path: Path) -> None:
    corrections = correct(tmp_path, "a", tag("cat"))
    with pytest.raises(Conflict, match=r"changed elsewhere.* at revision 1") as error:
        corrections.add("a", tag("dog"), 0, (4, 3), {})
    assert [event.label for event in error.value.history.edits] == ["cat"]
    assert corrections.read("a") == error.value.history


def test_threads_add_one_after_another(tmp_path: Path) -> None:
    corrections = CorrectionsFolder(tmp_path)

    def add(number: int) -> int:
        while True:
            known = corrections.read("a")
            try:
                corrections.add("a", tag(str(number)), known.revision if known else 0, (4, 3), {})
            except Conflict:
                continue
            return number

    with ThreadPoolExecutor(4) as pool:
        numbers = set(pool.map(add, range(12)))
    history = corrections.read("a")
    assert history is not None
    assert {int(event.label or -1) for event in history.edits} == numbers == set(range(12))


ADDING = """
import sys
from weakseg.data.corrections.events import Event
from weakseg.data.corrections.folder import Conflict, CorrectionsFolder
folder, own, count = CorrectionsFolder(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("begun", flush=True)
conflicts = added = 0
while added < count:
    known = folder.read("a")
    revision = known.revision if known else 0
    try:
        folder.add("a", Event("add_tag", f"{own}{added}"), revision, (4, 3), {})
        added += 1
    except Conflict:
        conflicts += 1
"""


def adding(folder: Path, own: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ADDING, str(folder), own, str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    processes = [adding(tmp_path, own, 25) for own in "xy"]
    assert [process.wait(60) for process in processes] == [0, 0]
    history = CorrectionsFolder(tmp_path).read("a")
    assert history is not None
    labels = [event.label for event in history.edits]
    for own in "xy":
        assert [label for label in labels if (label or "").startswith(own)] == [
            f"{own}{number}" for number in range(25)
        ]


def test_a_kill_amid_writing_leaves_what_was_whole(tmp_path: Path) -> None:
    process = adding(tmp_path, "x", 10**6)
    assert process.stdout is not None
    process.stdout.readline()
    corrections = CorrectionsFolder(tmp_path)
    while not corrections.files():
        time.sleep(0.01)
    time.sleep(0.05)
    process.kill()
    process.wait()
    history = corrections.read("a")
    assert history is not None
    assert [event.label for event in history.edits] == [f"x{i}" for i in range(history.revision)]
    # nobody holds the folder any more
    assert correct(tmp_path, "a", tag("later")).read_each().damaged == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe\x00",
        b'{"format": "weakseg correction 1", "image": "a"}',
        b"[" * 100_000,
        b'{"format": "weakseg correction 1", "image": "other", "size": [4, 3], "events": []}',
    ],
)
def test_a_damaged_file_is_named_and_left_as_it_is(content: bytes, tmp_path: Path) -> None:
    corrections = correct(tmp_path, "b", tag("cat"))
    file = corrections.file("a")
    file.write_bytes(content)
    with pytest.raises(DamagedCorrection) as error:
        corrections.read("a")
    assert str(file) in str(error.value)
    with pytest.raises(DamagedCorrection):
        corrections.add("a", tag("cat"), 0, (4, 3), {})
    assert file.read_bytes() == content
    found = corrections.read_each()
    assert list(found.sound) == ["b"]
    assert str(file) in str(found.damaged["a"])


def test_a_file_that_is_too_large_is_not_read_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corrections = correct(tmp_path, "a", tag("cat"))
    monkeypatch.setattr(module, "MOST_BYTES", 300)
    with pytest.raises(ValueError, match="would have more than 300 bytes"):
        corrections.add("a", tag("x" * 200), 1, (4, 3), {})
    assert corrections.read("a") is not None
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    with pytest.raises(DamagedCorrection, match="more than 100 bytes"):
        corrections.read("a")


def test_a_full_disk_is_an_error_with_the_file_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corrections = correct(tmp_path, "a", tag("cat"))
    before = corrections.file("a").read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as error:
        corrections.add("a", tag("dog"), 1, (4, 3), {})
    assert error.value.filename == str(corrections.file("a"))
    assert corrections.file("a").read_bytes() == before
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["a.json"]
    monkeypatch.undo()
    correct(tmp_path, "a", tag("dog"))


def test_a_folder_that_cannot_be_written_to_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    corrections = CorrectionsFolder(tmp_path / "file" / "corrections")
    with pytest.raises(OSError, match="Not a directory") as error:
        corrections.add("a", tag("cat"), 0, (4, 3), {})
    assert str(tmp_path / "file") in str(error.value.filename)
    locked = CorrectionsFolder(tmp_path / "locked")
    (locked.path / module.LOCK).mkdir(parents=True)
    with pytest.raises(OSError, match=module.LOCK):
        locked.add("a", tag("cat"), 0, (4, 3), {})


def test_a_folder_that_another_process_holds_for_long_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    lock = f"import sys\nsys.path.insert(0, {os.getcwd()!r})\n" + (
        "from pathlib import Path\nfrom weakseg.utils.files import only_user\n"
        f"with only_user(Path({str(tmp_path)!r}), {module.LOCK!r}):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", lock]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(OSError, match="another process holds the corrections"):
            CorrectionsFolder(tmp_path).add("a", tag("cat"), 0, (4, 3), {})
        process.communicate(b"")
    correct(tmp_path, "a", tag("cat"))


@pytest.mark.parametrize(
    "name", ["", " ", " cat", "a\nb", "a\0b", "\ud800", "\u202ecat", "c" * 201]
)
def test_a_name_that_nobody_can_read_is_no_class(name: str, tmp_path: Path) -> None:
    corrections = CorrectionsFolder(tmp_path / "new")
    with pytest.raises(ValueError, match="name should be that of a class"):
        corrections.add_class(name)
    assert corrections.classes == []


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_ordinary_file_is_damaged_and_does_not_block(kind: str, tmp_path: Path) -> None:
    corrections = CorrectionsFolder(tmp_path)
    (tmp_path / "images").mkdir()
    for file in (corrections.file("a"), tmp_path / "classes.json"):
        if kind == "pipe":
            os.mkfifo(file)
        elif kind == "device":
            file.symlink_to("/dev/zero")  # has no end
        else:
            file.mkdir()
    with pytest.raises(DamagedCorrection, match="no ordinary file"):
        corrections.read("a")
    with pytest.raises(DamagedCorrection, match="no ordinary file"):
        _ = corrections.classes
    assert corrections.read_all() == {}


def test_classes_are_added_in_order_and_each_once(tmp_path: Path) -> None:
    corrections = CorrectionsFolder(tmp_path / "new")
    assert corrections.classes == []
    assert corrections.add_class("cat") == ["cat"]
    assert corrections.add_class("猫") == ["cat", "猫"]
    with pytest.raises(ValueError, match="there is a class 'cat' already"):
        corrections.add_class("cat")
    assert json.loads((tmp_path / "new" / "classes.json").read_bytes()) == {
        "classes": ["cat", "猫"]
    }


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"classes": "cat"}',
        '{"classes": [1]}',
        '{"classes": ["cat", "cat"]}',
        '{"classes": [""]}',
        '{"classes": ["a\\nb"]}',
        '{"classes": ["\\ud800"]}',
        json.dumps({"classes": [f"class {number}" for number in range(300)]}),
        '{"classes":' + "[" * 100_000,
    ],
)
def test_damaged_classes_are_named_and_left_as_they_are(content: str, tmp_path: Path) -> None:
    file = tmp_path / "classes.json"
    file.write_text(content)
    with pytest.raises(DamagedCorrection, match=r"classes\.json"):
        CorrectionsFolder(tmp_path).add_class("cat")
    assert file.read_text() == content


def test_a_folder_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    corrections = CorrectionsFolder(tmp_path / "new")
    assert corrections.read("a") is None
    assert corrections.read_all() == {}
    assert not corrections.path.exists()
