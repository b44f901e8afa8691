"""Trained networks at URLs: copied to this machine once, as files that are there whole or not at
all."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from weakseg.utils import object_store
from weakseg.utils.paths import CARD, CONFIG, WEIGHTS
from weakseg.utils.remote_path import RemotePath, as_path, version_of

PLACE = "WEAKSEG_CACHE"
"""the environment variable that names the folder for copies"""


def cache_folder() -> Path:
    """The folder that copies are kept in: that of WEAKSEG_CACHE, or weakseg in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(PLACE) or Path(home) / "weakseg")


def local_copy(given: Path | str) -> Path:
    """A file at a URL as one of this machine; any other path as it is.

    The copy is made anew when the store says that the file has changed.

    Args:
        given: the path or URL of the file.
    """
    path = as_path(given)
    if not isinstance(path, RemotePath):
        return path
    version = version_of(path)
    copy = _place_of(path) / hashlib.sha256(version.encode()).hexdigest()[:16] / path.name
    if not version or not copy.is_file():
        _download(path, copy)
    return copy


def local_model(given: Path | str, checkpoint: str = "best") -> Path:
    """A trained network at a URL as one of this machine: an exported file, a published folder, or
    of a run folder the recipe and a checkpoint. Any other path as it is.

    Args:
        given: the path or URL.
        checkpoint: of a run folder: best, last, or the name of a file.
    """
    path = as_path(given)
    if not isinstance(path, RemotePath):
        return path
    try:
        if path.suffix == ".ckpt":  # its recipe says how its network is built
            recipe = _first([path.parent.parent / "recipe.yaml", path.parent / "recipe.yaml"])
            folder = path.parent if recipe is None else recipe.parent
            return _copied(folder, [path, *([recipe] if recipe else [])]) / path.relative_to(folder)
        if path.suffix in (".onnx", ".pt2"):
            return local_copy(path)
        return _local_folder(path, checkpoint)
    except OSError as error:
        raise ValueError(f"run: {path}: {error.strerror or error}") from None


def _local_folder(path: RemotePath, checkpoint: str) -> Path:
    published = [path / name for name in (CONFIG, WEIGHTS)]
    if all(file.is_file() for file in published):
        card = path / CARD
        return _copied(path, [*published, *([card] if card.is_file() else [])])
    if not (path / "recipe.yaml").is_file():
        raise ValueError(
            f"run: {path} is neither the folder of a run, with a recipe.yaml, nor a published one, "
            f"with {CONFIG} and {WEIGHTS}, nor a file .ckpt, .onnx or .pt2"
        )
    inside = path / "checkpoints"
    name = checkpoint if checkpoint.endswith(".ckpt") else f"{checkpoint}.ckpt"
    wanted = [name, "last.ckpt"] if checkpoint == "best" else [name]
    found = _first([inside / each for each in wanted])
    if found is None:
        raise ValueError(f"run: there is no {' or '.join(wanted)} in {inside}")
    return _copied(path, [path / "recipe.yaml", found])


def _first(files: Iterable[RemotePath]) -> RemotePath | None:
    return next((file for file in files if file.is_file()), None)


def _copied(folder: RemotePath, files: Iterable[RemotePath]) -> Path:
    """Some files of a folder, in one of this machine that has its name; other versions of them have
    other folders."""
    versions = {file: version_of(file) for file in files}
    told = "\n".join(f"{file.name} {version}" for file, version in versions.items())
    known = all(versions.values())
    home = _place_of(folder) / hashlib.sha256(told.encode()).hexdigest()[:16] / folder.name
    for file in versions:
        copy = home / file.relative_to(folder)
        if not known or not copy.is_file():
            _download(file, copy)
    return home


def _place_of(path: RemotePath) -> Path:
    return cache_folder() / "models" / hashlib.sha256(str(path).encode()).hexdigest()[:16]


def _download(path: RemotePath, copy: Path) -> None:
    """Copy a file, which comes to its place when it is whole."""
    print(f"copying {path} to {copy}", file=sys.stderr)
    copy.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=copy.parent, prefix=".part-") as beside:
        part = Path(beside) / copy.name
        object_store.fetch(str(path), part)
        part.replace(copy)
