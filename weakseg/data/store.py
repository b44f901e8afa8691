"""LabelStore: targets on disk, one file per image and content key, written whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
from collections.abc import Container, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo
from torch import Tensor

from weakseg.files import voc_palette, write_whole

FORMAT = 1  # raise it when the files change: it is part of every key
_DIGEST = "weakseg-digest"


class DamagedTarget(ValueError):
    """A stored target is missing, cut short or altered."""


class LabelStore:
    """Targets in a folder. Hard ones are indexed PNG that any viewer opens; soft ones keep only the classes that are not zero.
    Masks of boxes have a bit per pixel.

    A file's name holds the image's id and the content key, so several runs may share one folder, at the same time.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def path(self, id: str, key: str) -> Path:
        """Where the target of an image is, without its ending. The id is only a help for the eye: the key decides."""
        return self.folder / key[:2] / f"{re.sub(r'[^A-Za-z0-9_-]', '_', id)[:64]}-{key}"

    def write(self, id: str, key: str, target: Tensor) -> None:
        """Store a target: uint8 [H,W], float [C,H,W], or bool [N,H,W]."""
        if target.ndim == 2:
            data, suffix = _encode_hard(target), ".png"
        else:
            data, suffix = _encode_masks(target) if target.dtype == torch.bool else _encode_soft(target), ".npz"
        path = self.path(id, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path.with_name(path.name + suffix), data)

    def read(self, id: str, key: str) -> Tensor:
        """The target of an image; DamagedTarget if it is missing or not what was written."""
        path = self.path(id, key)
        for suffix, decode in ((".png", _decode_hard), (".npz", _decode_planes)):
            file = path.with_name(path.name + suffix)
            if file.exists():
                try:
                    return decode(file.read_bytes())
                except Exception as error:  # whatever a decoder says of damaged bytes
                    raise DamagedTarget(f"the target {file} is damaged ({error}); delete it to have it computed again") from error
        raise DamagedTarget(f"there is no target for image {id} in {self.folder} (key {key})")

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
        return sorted(file for file in self.folder.glob("??/*-*") if file.suffix in (".png", ".npz"))


def _digest(array: np.ndarray) -> str:
    head = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.blake2b(head + np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()


def _encode_hard(target: Tensor) -> bytes:
    array = target.cpu().numpy()
    image = Image.fromarray(array, mode="P")
    image.putpalette([value for colour in voc_palette() for value in colour])
    info = PngInfo()
    info.add_text(_DIGEST, _digest(array))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def _decode_hard(data: bytes) -> Tensor:
    image = Image.open(io.BytesIO(data))
    array = np.array(image)
    assert isinstance(image, PngImageFile)
    if image.text.get(_DIGEST) != _digest(array):
        raise ValueError("its digest does not match its pixels")
    return torch.from_numpy(array)


def _encode_soft(target: Tensor) -> bytes:
    array = target.float().cpu().numpy()
    classes = np.flatnonzero(array.reshape(len(array), -1).any(1))
    values = array[classes]
    head = json.dumps({"shape": array.shape, "classes": classes.tolist(), "digest": _digest(values)})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, head=np.array(head), values=values)
    return buffer.getvalue()


def _encode_masks(target: Tensor) -> bytes:
    values = np.packbits(target.cpu().numpy())
    head = json.dumps({"shape": target.shape, "digest": _digest(values)})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, head=np.array(head), values=values)
    return buffer.getvalue()


def _decode_planes(data: bytes) -> Tensor:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        head, values = json.loads(str(file["head"])), file["values"]
    if head["digest"] != _digest(values):
        raise ValueError("its digest does not match its values")
    if "classes" not in head:
        bits = np.unpackbits(values, count=math.prod(head["shape"])).astype(bool)
        return torch.from_numpy(bits.reshape(head["shape"]))
    target = torch.zeros(*head["shape"])
    target[torch.tensor(head["classes"], dtype=torch.long)] = torch.from_numpy(values)
    return target
