"""The folder of results: one process per part, a record that outlives a kill, nothing foreign
overwritten."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from weakseg.utils.files import only_user
from weakseg.utils.output_folder import OutputFolder, check_names

ONE = {"model": "1" * 64, "classes": ["background", "cat"]}
OTHER = {"model": "2" * 64, "classes": ["background", "cat"]}


def work(folder: OutputFolder, images: list[str], maker: dict[str, Any] = ONE) -> list[str]:
    """A whole call; returns the images that were done anew."""
    done = []
    with folder:
        folder.begin(maker)
        for name in folder.mine(images):
            if not folder.has(name, [folder.place(name)]):
                folder.write(folder.place(name), maker["model"].encode())
                folder.note({"name": name, "seconds": 1})
                done.append(name)
        folder.finish({"command": []}, folder.mine(images))
    return done


def listed(summary: Path) -> list[str]:
    return [image["name"] for image in json.loads(summary.read_text())["images"]]


def test_what_is_there_is_not_made_again_and_stays_in_the_summary(tmp_path: Path) -> None:
    images = ["b.jpg", "sub/a.jpg"]
    out = tmp_path / "out"
    assert work(OutputFolder(out), images) == images
    assert sorted(file.name for file in out.rglob("*.png")) == ["a.png", "b.png"]
    assert work(OutputFolder(out), [*images, "c.jpg"]) == ["c.jpg"]
    assert work(OutputFolder(out), []) == []
    assert listed(out / "summary.json") == [*images, "c.jpg"]
    assert work(OutputFolder(out, overwrite=True), images) == images
    assert listed(out / "summary.json") == [*images, "c.jpg"]


def test_a_result_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    work(OutputFolder(tmp_path / "out"), ["a.jpg", "b.jpg"])
    (tmp_path / "out" / "a.png").unlink()
    assert work(OutputFolder(tmp_path / "out"), ["a.jpg", "b.jpg"]) == ["a.jpg"]


@pytest.mark.parametrize("cut", [0, 1, 7])
def test_a_kill_loses_nothing_but_the_image_it_fell_into(tmp_path: Path, cut: int) -> None:
    killed = OutputFolder(tmp_path / "out")
    with killed:
        killed.begin(ONE)
        for name in ("a.jpg", "b.jpg"):
            killed.write(killed.place(name), b"")
            killed.note({"name": name})
        killed.write(killed.place("c.jpg"), b"")
    record = tmp_path / "out" / ".record.jsonl"
    record.write_bytes(record.read_bytes()[: -cut or None])
    (tmp_path / "out" / ".d.png.1234.part").write_bytes(b"half")
    again = work(OutputFolder(tmp_path / "out"), ["a.jpg", "b.jpg", "c.jpg"])
    assert again == (["b.jpg", "c.jpg"] if cut > 1 else ["c.jpg"])
    assert listed(tmp_path / "out" / "summary.json") == ["a.jpg", "b.jpg", "c.jpg"]
    hidden = {file.name for file in (tmp_path / "out").iterdir() if file.name.startswith(".")}
    assert hidden == {".results.lock"}


def test_a_folder_that_another_command_has_held_is_not_one_of_ours(tmp_path: Path) -> None:
    with only_user(tmp_path):  # as a run, or a comparison, does
        (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(ValueError, match="holds files that no earlier call has written, such as"):
        work(OutputFolder(tmp_path, overwrite=True), ["a.jpg"])
    assert (tmp_path / "summary.json").read_text() == "{}"


def test_the_parts_are_all_of_it_and_none_twice(tmp_path: Path) -> None:
    images = [f"{number:02}.jpg" for number in range(20)]
    done = [work(OutputFolder(tmp_path / "out", parts=3, part=part), images) for part in (1, 2, 3)]
    assert sorted(name for part in done for name in part) == images
    assert {len(part) for part in done} == {6, 7}
    assert listed(tmp_path / "out" / "summary-2-of-3.json") == done[1]
    # another split of the work finds what these have done
    assert work(OutputFolder(tmp_path / "out"), images) == []
    assert listed(tmp_path / "out" / "summary.json") == images


@pytest.mark.parametrize("part", [0, 4, -1])
def test_there_is_no_such_part(tmp_path: Path, part: int) -> None:
    with pytest.raises(ValueError, match=f"part should lie from 1 to 3, .* but it is {part}"):
        OutputFolder(tmp_path / "out", parts=3, part=part)


def test_results_of_another_model_are_not_mixed_with_these(tmp_path: Path) -> None:
    work(OutputFolder(tmp_path / "out"), ["a.jpg", "b.jpg"])
    expected = (
        f"out: {tmp_path}/out holds results that were made in another way, says summary.json: "
        f"model is {'1' * 37}... there and {'2' * 37}... now; overwrite=true makes them anew, or "
        "name another folder"
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        work(OutputFolder(tmp_path / "out"), ["a.jpg", "b.jpg", "c.jpg"], OTHER)
    assert work(OutputFolder(tmp_path / "out", overwrite=True), ["a.jpg"], OTHER) == ["a.jpg"]


def test_the_difference_is_named_by_its_key(tmp_path: Path) -> None:
    one, other = ({"predict": {"flip": flip, "window": None}} for flip in (False, True))
    work(OutputFolder(tmp_path / "out"), ["a.jpg"], {**ONE, **one})
    with pytest.raises(ValueError, match=r": predict\.flip is false there and true now; overwrite"):
        work(OutputFolder(tmp_path / "out"), ["a.jpg"], {**ONE, **other})


def test_names_that_are_no_text(tmp_path: Path) -> None:
    names = ["\udce9.jpg", "é.jpg"]
    assert work(OutputFolder(tmp_path / "out"), names) == names
    assert work(OutputFolder(tmp_path / "out"), names) == []
    assert "é.jpg" in (tmp_path / "out" / "summary.json").read_text()


def test_also_when_a_kill_has_left_a_record_alone(tmp_path: Path) -> None:
    killed = OutputFolder(tmp_path / "out")
    with killed:
        killed.begin(ONE)
        killed.note({"name": "a.jpg"})
    with pytest.raises(ValueError, match=r"says \.record\.jsonl: model"):
        work(OutputFolder(tmp_path / "out"), ["a.jpg"], OTHER)
    assert work(OutputFolder(tmp_path / "out", overwrite=True), ["a.jpg"], OTHER) == ["a.jpg"]
    assert work(OutputFolder(tmp_path / "out"), ["a.jpg"], OTHER) == []


def test_what_was_overwritten_in_other_parts_is_forgotten(tmp_path: Path) -> None:
    images = ["a.jpg", "b.jpg", "c.jpg"]
    for part in (1, 2):
        work(OutputFolder(tmp_path / "out", parts=2, part=part), images)
    assert work(OutputFolder(tmp_path / "out", overwrite=True), images, OTHER) == images
    assert work(OutputFolder(tmp_path / "out"), images, OTHER) == []
    assert [file.name for file in (tmp_path / "out").glob("*.json")] == ["summary.json"]


def test_results_do_not_lie_among_the_images(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to(photos)
    for out in (photos, photos / "masks", tmp_path / "link" / "masks", photos / "sub" / ".."):
        with pytest.raises(ValueError, match=r"lies inside of .*photos, where the images are"):
            OutputFolder(out, inputs=[photos])
    with pytest.raises(ValueError, match=f"photos would lie inside of {tmp_path}, among the"):
        OutputFolder(tmp_path, inputs=[photos])
    with pytest.raises(ValueError, match=r"the image .*a\.jpg would lie inside"):
        OutputFolder(photos, inputs=[photos / "sub" / "a.jpg"])
    OutputFolder(tmp_path / "photos2", inputs=[photos])
    OutputFolder(photos / "masks", inputs=[photos / "a.jpg"])


def test_files_of_unknown_origin_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "predict.log").write_text("a scheduler's")
    work(OutputFolder(tmp_path / "out"), [])
    (tmp_path / "mine" / "sub").mkdir(parents=True)
    (tmp_path / "mine" / "sub" / "a.png").write_bytes(b"my own")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=r"no earlier call has written, such as a\.png"):
            work(OutputFolder(tmp_path / "mine", overwrite=overwrite), ["sub/a.jpg"])
    assert (tmp_path / "mine" / "sub" / "a.png").read_bytes() == b"my own"


def test_a_file_and_a_place_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=f"out should be a folder, but {tmp_path}/file is a file"):
        OutputFolder(tmp_path / "file")
    with pytest.raises(ValueError, match="below cannot be made: Not a directory; name another"):
        work(OutputFolder(tmp_path / "file" / "below"), [])


def test_a_folder_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ValueError, match="cannot be written to: Read-only file system; name"):
        work(OutputFolder(tmp_path / "out"), [])


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.png'"):
        work(OutputFolder(tmp_path / "out"), ["a.jpg"])
    monkeypatch.undo()
    assert [file.name for file in (tmp_path / "out").glob("*a.png*")] == []
    assert work(OutputFolder(tmp_path / "out"), ["a.jpg"]) == ["a.jpg"]


def test_two_processes_do_not_do_the_same_part(tmp_path: Path) -> None:
    holder = (
        "import sys; from weakseg.utils.output_folder import OutputFolder\n"
        f"with OutputFolder({str(tmp_path / 'out')!r}, parts=2, part=1): print(1, flush=True); "
        "input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(ValueError, match=r"another process is working in .*out; wait for it"):
            work(OutputFolder(tmp_path / "out", parts=2, part=1), ["a.jpg"])
        with pytest.raises(ValueError, match=r"another process is working in .*out; wait for it"):
            work(OutputFolder(tmp_path / "out"), ["a.jpg"])  # the whole of the work
        beside = OutputFolder(tmp_path / "out", parts=2, part=2)
        assert work(beside, ["a.jpg", "b.jpg"]) == ["b.jpg"]
        process.kill()
    assert work(OutputFolder(tmp_path / "out", parts=2, part=1), ["a.jpg"]) == ["a.jpg"]


@pytest.mark.parametrize("name", ["../a.jpg", "/a.jpg", "sub/../../a.jpg"])
def test_no_result_leaves_the_folder(name: str) -> None:
    with pytest.raises(ValueError, match="should be a path within its folder"):
        OutputFolder("out").place(name)


def test_names_that_are_told_apart() -> None:
    check_names(["a.jpg", "sub/a.jpg", "a.b.jpg", "b", ".a.jpg", "a.jp.g"])


def test_an_old_or_foreign_summary_is_passed_over(tmp_path: Path) -> None:
    work(OutputFolder(tmp_path / "out"), ["a.jpg"])
    for text in ("", "[]", "{", '{"images": 3, "made_by": {}}'):
        (tmp_path / "out" / "summary.json").write_text(text)
        assert work(OutputFolder(tmp_path / "out"), ["a.jpg"]) == ["a.jpg"]
