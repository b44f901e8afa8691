"""What there is at a path."""

from __future__ import annotations

import os
import stat

# unlike Path's, it answers for names that no file can have
from os.path import isfile
from pathlib import Path


def kind_of(path: Path) -> str:
    """What there is in place of a file: a folder, a device, a pipe or a socket; nothing for a file,
    and where there is nothing."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # there is none, or no file can have such a name
        return ""
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "")


def run_inside(folder: Path) -> str:
    """The end of a message about a folder that is not that of a run: the latest run in it, or
    nothing."""
    files = [*folder.glob("*/recipe.yaml"), *folder.glob("*/*/recipe.yaml")]
    runs = [str(file.parent) for file in files if not file.parent.is_symlink()]
    return f"; did you mean {max(runs)}?" if runs else ""


def point_to(folder: Path, name: str = "latest") -> None:
    """Have a link of this name beside a folder lead to it, whatever it led to before. Where links
    are not possible, there is none."""
    link = folder.with_name(name)
    if link.exists() and not link.is_symlink():
        return  # a file or folder of the user's that is called so
    new = folder.with_name(f".{name}.{folder.name}")
    try:
        new.unlink(missing_ok=True)
        new.symlink_to(folder.name)
        new.replace(link)  # there is a link at every moment
    except OSError:
        new.unlink(missing_ok=True)


def without_link(folder: Path) -> Path:
    """The folder that a link such as runs/boxes/latest leads to now, in the same place; any other
    as it is."""
    return folder.parent / os.readlink(folder) if folder.is_symlink() else folder


WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CARD = "README.md"


def is_published(path: Path) -> bool:
    """Whether a path is a folder that `format=hub` of `weakseg.export` has written."""
    return isfile(path / WEIGHTS) and isfile(path / CONFIG)


def checkpoint_in(folder: Path) -> Path | None:
    """The best checkpoint of a run folder, or its last one; None for none, and for other
    folders."""
    there = (folder / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    return next((path for path in there if isfile(path)), None)
