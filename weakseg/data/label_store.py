"""LabelStore: targets on disk, one file per image and content key, written whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo
from torch import Tensor

from weakseg.utils.files import voc_palette, write_whole
from weakseg.utils.remote_path import expect_local

FORMAT = 3  # raise it when the files or the keys change: it is part of every key
_DIGEST = "weakseg-digest"
_FIGURES = "weakseg-figures"


class DamagedTarget(ValueError):
    """A stored target is missing, cut short or altered."""


class Stored(NamedTuple):
    """The target of an image, and the figures that its strategy has returned with it."""

    target: Tensor
    figures: dict[str, float]


class KeyOfId(Protocol):
    """Content keys by the ids of images: a dict, or anything that takes less room."""

    def __getitem__(self, id: str, /) -> str:
        """The key of an image's target."""
        ...


class Stamp(NamedTuple):
    """Which file a target was in when it was last read: another stamp means that it may have
    changed."""

    ending: str
    size: int
    """bytes"""
    time: int
    """of the last change, in nanoseconds"""


class LabelStore:
    """Targets in a folder. Hard ones are indexed PNG that any viewer opens; soft ones keep only the
    classes that are not zero. Masks of boxes have a bit per pixel.

    A file's name holds the image's id and the content key, so several runs may share one folder, at
    the same time. Its digest binds it to
    both: the file of another image in its place is a damaged one.
    """

    def __init__(self, folder: Path | str) -> None:
        expect_local("rounds.folder", folder)
        self.folder = Path(folder)

    def path(self, id: str, key: str) -> Path:
        """Where the target of an image is, without its ending. The id is only a help for the eye:
        the key decides."""
        return self.folder / key[:2] / f"{re.sub(r'[^A-Za-z0-9_-]', '_', id)[:64]}-{key}"

    def write(
        self,
        id: str,
        key: str,
        target: Tensor,
        figures: Mapping[str, float] | None = None,
        durable: bool = True,
    ) -> None:
        """Store a target: uint8 [H,W], float [C,H,W], or bool [N,H,W]; and figures about it.

        Args:
            id: of the image.
            key: of its target.
            target: what is stored.
            figures: that are stored with it.
            durable: whether it has to outlive a failing power; not if it can be made again.
        """
        name = _Name(id, key, json.dumps(dict(figures or {})))
        if target.ndim == 2:
            data = _encode_hard(target, name)
            suffix = ".png"
        else:
            data = (
                _encode_masks(target, name)
                if target.dtype == torch.bool
                else _encode_soft(target, name)
            )
            suffix = ".npz"
        for place in self._places(id, key):
            if place.is_dir():
                raise IsADirectoryError(
                    f"{place} is a folder, where a target should be; move it away"
                )
            if place.suffix != suffix:
                place.unlink(missing_ok=True)  # it would be read in place of this one
        place = self.path(id, key)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place.with_name(place.name + suffix), data, durable=durable)

    def read(self, id: str, key: str) -> Tensor:
        """The target of an image; DamagedTarget if it is missing or not what was written."""
        return self.load(id, key).target

    def load(self, id: str, key: str) -> Stored:
        """The target of an image with its figures; DamagedTarget if it is missing or not what was
        written."""
        for file in self._places(id, key):
            if os.path.lexists(file):
                try:
                    return _decode(file, id, key)
                except Exception as error:  # whatever a decoder raises for damaged bytes
                    raise DamagedTarget(
                        f"the target {file} is damaged ({error}); delete it to have it computed "
                        "again"
                    ) from error
        raise DamagedTarget(f"there is no target for image {id} in {self.folder} (key {key})")

    def stamp(self, id: str, key: str) -> Stamp | None:
        """The stamp of the file that `load` would read; None if there is none."""
        for file in self._places(id, key):
            try:
                found = file.lstat()
            except OSError:
                continue
            return Stamp(file.suffix, found.st_size, found.st_mtime_ns)
        return None

    def _places(self, id: str, key: str) -> list[Path]:
        path = self.path(id, key)
        return [path.with_name(path.name + suffix) for suffix in (".png", ".npz")]

    def verify(self, id: str, key: str) -> bool:
        """Whether the target is there and undamaged."""
        try:
            self.read(id, key)
        except DamagedTarget:
            return False
        return True

    def keys(self) -> Iterator[str]:
        """The keys of all targets in the folder."""
        for file in self._files():
            yield file.stem.rsplit("-", 1)[1]

    def prune(self, keep: Container[str]) -> int:
        """Delete every target whose key is not in `keep`; returns how many."""
        gone = [file for file in self._files() if file.stem.rsplit("-", 1)[1] not in keep]
        for file in gone:
            file.unlink(missing_ok=True)
        return len(gone)

    def _files(self) -> list[Path]:
        return sorted(
            file for file in self.folder.glob("??/*-*") if file.suffix in (".png", ".npz")
        )


class _Name(NamedTuple):
    """What a digest covers beside the values."""

    id: str
    key: str
    figures: str
    """as JSON"""


def _digest(array: np.ndarray, name: _Name, *more: object) -> str:
    head = json.dumps([array.dtype.str, array.shape, *name, *more]).encode()
    return hashlib.blake2b(head + np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()


def _encode_hard(target: Tensor, name: _Name) -> bytes:
    array = target.cpu().numpy()
    image = Image.fromarray(array, mode="P")
    image.putpalette([value for colour in voc_palette() for value in colour])
    info = PngInfo()
    info.add_text(_DIGEST, _digest(array, name))
    info.add_text(_FIGURES, name.figures)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def _encode_soft(target: Tensor, name: _Name) -> bytes:
    array = target.float().cpu().numpy()
    classes = np.flatnonzero(array.reshape(len(array), -1).any(1))
    return _encode_planes(array[classes], name, list(array.shape), classes.tolist())


def _encode_masks(target: Tensor, name: _Name) -> bytes:
    return _encode_planes(np.packbits(target.cpu().numpy()), name, list(target.shape), None)


def _encode_planes(
    values: np.ndarray, name: _Name, shape: list[int], classes: list[int] | None
) -> bytes:
    head = {
        "shape": shape,
        "classes": classes,
        "figures": name.figures,
        "digest": _digest(values, name, shape, classes),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, head=np.array(json.dumps(head)), values=values)
    return buffer.getvalue()


def _decode(file: Path, id: str, key: str) -> Stored:
    if not file.is_file():
        raise ValueError("it is no file")  # to read from a pipe would be to wait for ever
    data = file.read_bytes()
    target, figures = (
        _decode_hard(data, id, key) if file.suffix == ".png" else _decode_planes(data, id, key)
    )
    return Stored(target, json.loads(figures))


def _decode_hard(data: bytes, id: str, key: str) -> tuple[Tensor, str]:
    image = Image.open(io.BytesIO(data))
    array = np.array(image)
    assert isinstance(image, PngImageFile)
    figures = image.text[_FIGURES]
    if image.text[_DIGEST] != _digest(array, _Name(id, key, figures)):
        raise ValueError(
            "its digest does not match its pixels, or it is the target of another image"
        )
    return torch.from_numpy(array), figures


def _decode_planes(data: bytes, id: str, key: str) -> tuple[Tensor, str]:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        head = json.loads(str(file["head"]))
        values = file["values"]
    shape = head["shape"]
    classes = head["classes"]
    figures = head["figures"]
    if head["digest"] != _digest(values, _Name(id, key, figures), shape, classes):
        raise ValueError(
            "its digest does not match its values, or it is the target of another image"
        )
    if classes is None:
        bits = np.unpackbits(values, count=math.prod(shape)).astype(bool)
        return torch.from_numpy(bits.reshape(shape)), figures
    target = torch.zeros(*shape)
    target[torch.tensor(classes, dtype=torch.long)] = torch.from_numpy(values)
    return target, figures
