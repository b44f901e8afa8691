"""Files that are whole or absent, know whether they are damaged, and leave nothing behind."""

from __future__ import annotations

import errno
import io
import multiprocessing
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from weakseg.utils.files import (
    DamagedFile,
    check_seal,
    remove_leftovers,
    seal,
    write_whole,
    writing_whole,
)


def sealed(path: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.arange(40.0), "step": 3}, buffer)
    seal(buffer)
    path.write_bytes(buffer.getvalue())
    return buffer.getvalue()


def test_a_sealed_file_is_read_by_torch_and_by_any_program_for_zip(tmp_path: Path) -> None:
    sealed(tmp_path / "a.ckpt")
    check_seal(tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert content["step"] == 3
    assert torch.equal(content["weight"], torch.arange(40.0))
    with zipfile.ZipFile(tmp_path / "a.ckpt") as archive:
        assert archive.testzip() is None


def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    whole = sealed(tmp_path / "a.ckpt")
    for place in range(len(whole)):
        (tmp_path / "a.ckpt").write_bytes(
            whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        )
        with pytest.raises(DamagedFile, match=r"a\.ckpt is damaged"):
            check_seal(tmp_path / "a.ckpt")


def test_of_a_checkpoint_without_a_seal_the_checksums_are_compared(tmp_path: Path) -> None:
    torch.save({"weight": torch.arange(40.0)}, tmp_path / "old.ckpt")
    check_seal(tmp_path / "old.ckpt")
    whole = (tmp_path / "old.ckpt").read_bytes()
    place = whole.index(torch.arange(40.0).numpy().tobytes())
    (tmp_path / "old.ckpt").write_bytes(whole[:place] + b"x" + whole[place + 1 :])
    with pytest.raises(DamagedFile, match=r"old\.ckpt is damaged: the checksum of"):
        check_seal(tmp_path / "old.ckpt")


@pytest.mark.parametrize("content", [b"", b"x", b"PK", b"some text that is no archive" * 30])
def test_what_is_no_archive_has_no_seal_to_check(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    check_seal(tmp_path / "other")


def _write_and_wait(folder: Path, ready: object, go: object) -> None:
    def wait(_: int) -> None:
        ready.set()  # type: ignore[attr-defined]
        go.wait(30)  # type: ignore[attr-defined]

    os.fsync = wait
    write_whole(folder / "file", b"new")


@pytest.mark.parametrize("killed", [True, False])
def test_leftovers_of_killed_processes_go_and_those_of_living_ones_stay(
    tmp_path: Path, killed: bool
) -> None:
    context = multiprocessing.get_context("fork")
    ready, go = context.Event(), context.Event()
    (tmp_path / "deep").mkdir()
    process = context.Process(target=_write_and_wait, args=(tmp_path / "deep", ready, go))
    process.start()
    assert ready.wait(30)
    assert len(list(tmp_path.rglob(".*.part"))) == 1
    if killed:
        process.kill()
        process.join()
    assert remove_leftovers(tmp_path) == killed
    if not killed:
        go.set()
    process.join(30)
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == (
        [] if killed else ["file"]
    )


def test_a_part_that_is_taken_away_too_early_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = []
    sync = os.fsync

    def remove_once(file: int) -> None:
        sync(file)
        if not removed:
            removed.extend(tmp_path.glob(".*.part"))
            removed[0].unlink()

    monkeypatch.setattr(os, "fsync", remove_once)
    write_whole(tmp_path / "file", b"new")
    assert removed
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_disk_that_gets_full_is_told_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("weakseg.utils.files.os.fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/figures.bin'"):
        write_whole(tmp_path / "figures.bin", b"12345")
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_bit_by_bit_is_there_when_all_is(tmp_path: Path) -> None:
    path = tmp_path / "figures.bin"
    path.write_bytes(b"old")
    with writing_whole(path) as file:
        file.write(b"one ")
        file.write(b"two")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"one two"
    assert list(tmp_path.iterdir()) == [path]


def _stop_amid(path: Path) -> None:
    with writing_whole(path) as file:
        file.write(b"new")
        raise ValueError("stop")


def test_after_an_error_amid_it_the_file_is_as_before(tmp_path: Path) -> None:
    path = tmp_path / "figures.bin"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="stop"):
        _stop_amid(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def _stream_and_wait(folder: Path, ready: Any, go: Any) -> None:
    with writing_whole(folder / "file") as file:
        file.write(b"new")
        ready.set()
        go.wait(30)


@pytest.mark.parametrize("killed", [True, False])
def test_leftovers_of_a_killed_stream_go_and_those_of_a_living_one_stay(
    tmp_path: Path, killed: bool
) -> None:
    context = multiprocessing.get_context("fork")
    ready, go = context.Event(), context.Event()
    process = context.Process(target=_stream_and_wait, args=(tmp_path, ready, go))
    process.start()
    assert ready.wait(30)
    if killed:
        process.kill()
        process.join()
    assert remove_leftovers(tmp_path) == killed
    if not killed:
        go.set()
    process.join(30)
    assert [file.name for file in tmp_path.iterdir()] == ([] if killed else ["file"])


def test_a_part_that_is_taken_away_at_once_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[Path] = []

    def remove_once(_: Any) -> bool:
        if not removed:
            removed.extend(tmp_path.glob(".*.part"))
            removed[0].unlink()
            return False
        return True

    monkeypatch.setattr("weakseg.utils.files._hold", remove_once)
    with writing_whole(tmp_path / "file") as file:
        file.write(b"new")
    assert removed
    assert (tmp_path / "file").read_bytes() == b"new"
