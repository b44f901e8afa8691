"""What there is at a path."""

from __future__ import annotations

import os
import stat
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
    found = [*folder.glob("*/recipe.yaml"), *folder.glob("*/*/recipe.yaml")]
    return f"; did you mean {max(str(file.parent) for file in found)}?" if found else ""
