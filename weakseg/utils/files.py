"""Files that are written whole or not at all and know whether they are damaged, and folders that
one process holds."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import shutil
import tempfile
import time
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from weakseg.utils.remote_path import RemotePath, is_remote

try:
    import fcntl
except ImportError:  # Windows, where a folder is then not locked
    fcntl = None  # type: ignore[assignment]


_END = b"PK\x05\x06"  # begins the last record of a zip file, 22 bytes and then a comment
_END_SIZE = 22
_MARK = b"weakseg-blake2b:"
_SEAL_SIZE = len(_MARK) + 64


class DamagedFile(ValueError):
    """A file is not what was written."""


def write_whole(path: Path, data: bytes, mode: int = 0o666, durable: bool = True) -> None:
    """Write a file so that a reader, or a kill at any moment, sees all of it or what was there
    before.

    Args:
        path: of the file.
        data: what is in it.
        mode: who may read and write it, less what the umask takes away.
        durable: whether that is so when the power fails, too, for which a disk is waited for. What
            can be made again, and shows whether it is damaged, does without.
    """
    if isinstance(path, RemotePath):
        path.write_bytes(data)
        return
    with names(path):
        while not _wrote(path, data, mode, durable):
            pass  # `remove_leftovers` of another process took the part before it was locked


@contextmanager
def names(path: Path) -> Iterator[None]:
    """Have an error say which file could not be written: of a disk that gets full amid it, the
    system does not."""
    try:
        yield
    except OSError as error:
        # without a number, the message would be lost to the name
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


@contextmanager
def writing_whole(path: Path, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """The same bit by bit: a file to write to, which comes to its place when the block ends, and
    does not after an error."""
    if isinstance(path, RemotePath):
        with tempfile.NamedTemporaryFile() as whole:
            yield whole.file
            whole.flush()
            path.write_from(Path(whole.name))
        return
    with names(path):
        file, part = _open_part(path, mode)
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _open_part(path: Path, mode: int) -> tuple[IO[bytes], Path]:
    while True:
        part = _part_of(path)
        opener = functools.partial(os.open, mode=mode)
        file = open(part, "xb", opener=opener)  # noqa: SIM115
        if not _hold(file):
            time.sleep(0.1)  # `remove_leftovers` of another process has it, and takes it away
        if part.exists():
            return file, part
        file.close()


def _part_of(path: Path) -> Path:
    return path.with_name(f".{path.name[-100:]}.{uuid.uuid4().hex[:8]}.part")


def _wrote(path: Path, data: bytes, mode: int, durable: bool) -> bool:
    part = _part_of(path)
    try:
        with open(part, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            _hold(file)  # if it is `remove_leftovers` that holds it, the part will be gone below
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
            if not part.exists():
                return False
            part.replace(path)
            return True
    finally:
        part.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> int:
    """Delete the parts, in a folder and below it, that `write_whole` of killed processes has left;
    returns how many.

    A part that is being written is locked by its process, so several runs may share the folder. A
    store has none: it shows files as they are whole.
    """
    if is_remote(folder):
        return 0
    return sum(_removed(part) for part in folder.rglob(".*.part"))


def _removed(part: Path) -> bool:
    try:
        with part.open("r+b") as file:
            if _hold(file):
                part.unlink()
                return True
    except OSError:  # it has just been moved to its place, or belongs to another user
        pass
    return False


def _hold(file: IO[Any], shared: bool = False) -> bool:
    """Whether this process now holds a file or folder, until it closes it; a kill lets go of it,
    too."""
    if fcntl is None:
        return True
    try:
        # not flock: forked loader processes would hold on to that
        fcntl.lockf(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _hold_soon(file: IO[Any], shared: bool, patience: float) -> bool:
    """Whether this process holds a file before its patience, in seconds, is over."""
    end = time.monotonic() + patience
    while not (held := _hold(file, shared)) and time.monotonic() < end:
        time.sleep(0.01)
    return held


def remove_folder(folder: Path) -> None:
    """Delete a folder and all below it, as far as that is possible."""
    if isinstance(folder, RemotePath):
        for file in folder.rglob("*"):
            if file.is_file():
                file.unlink(missing_ok=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(file: io.BytesIO) -> None:
    """Add to a zip file, such as torch writes, a digest of all its bytes. It is the zip's comment,
    so any program reads the file."""
    content = file.getbuffer()[:-2]  # all but the length of the comment
    mark = _MARK + hashlib.blake2b(content, digest_size=32).hexdigest().encode()
    content.release()
    file.seek(-2, io.SEEK_END)
    file.write(len(mark).to_bytes(2, "little") + mark)


def check_seal(path: Path) -> None:
    """DamagedFile if a sealed file is not what was written. Of zip files without a seal the
    checksums of their entries are compared."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _END_SIZE - _SEAL_SIZE))
        tail = file.read()
        end = tail[:-_SEAL_SIZE]
        mark = tail[-_SEAL_SIZE:]
        if mark.startswith(_MARK) or end.startswith(_END):  # one of the two may be what is damaged
            if end[-2:] != _SEAL_SIZE.to_bytes(2, "little") or mark != _MARK + _digest(
                file, path.stat().st_size - _SEAL_SIZE - 2
            ):
                raise DamagedFile(f"{path} is damaged: its digest does not match its content")
        elif zipfile.is_zipfile(file):
            _check_entries(path, file)


def _digest(file: BinaryIO, size: int) -> bytes:
    file.seek(0)
    digest = hashlib.blake2b(digest_size=32)
    while size > 0:
        piece = file.read(min(size, 2**20))
        if not piece:
            break
        digest.update(piece)
        size -= len(piece)
    return digest.hexdigest().encode()


def _check_entries(path: Path, file: BinaryIO) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            wrong = archive.testzip()
    # a flipped bit in a header may also name a compression that there is none of
    # (NotImplementedError) or a password (RuntimeError)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise DamagedFile(f"{path} is damaged: {error}") from error
    if wrong is not None:
        raise DamagedFile(f"{path} is damaged: the checksum of {wrong} in it does not match")


@functools.cache
def voc_palette() -> tuple[tuple[int, int, int], ...]:
    """The 256 colours that PASCAL VOC gives to indices: the bits of the index, spread over red,
    green and blue.

    >>> voc_palette()[:3]
    ((0, 0, 0), (128, 0, 0), (0, 128, 0))
    """
    bits = [(bit, channel) for bit in range(3) for channel in range(3) if 3 * bit + channel < 8]
    colours = [[0, 0, 0] for _ in range(256)]
    for index, colour in enumerate(colours):
        for bit, channel in bits:
            colour[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return tuple((red, green, blue) for red, green, blue in colours)


@contextmanager
def only_user(
    folder: Path,
    lock_name: str = ".lock",
    advice: str = "a run needs one that can",
    shared: bool = False,
    patience: float = 0.0,
) -> Iterator[None]:
    """Hold a folder for this process; a ValueError if another process holds it. A kill lets go of
    it.

    Args:
        folder: which is there.
        lock_name: of the file that is locked; another one for each part of the folder that has a
            process of its own.
        advice: the end of the message about a folder that cannot be written to.
        shared: whether other processes that share it, too, may hold it at the same time.
        patience: seconds to wait for another process.
    """
    if isinstance(folder, RemotePath):
        # nothing can be held on a store; the file tells all the same whose folder it is
        if not (folder / lock_name).is_file():
            (folder / lock_name).write_bytes(b"")
        yield
        return
    try:
        lock = (folder / lock_name).open("a+")  # to share it asks for reading, too
    except OSError as error:
        raise ValueError(
            f"the folder {folder} cannot be written to: {error.strerror}; {advice}"
        ) from error
    with lock as file:
        if not _hold_soon(file, shared, patience):
            raise ValueError(f"another process is working in {folder}; wait for it or stop it")
        yield
