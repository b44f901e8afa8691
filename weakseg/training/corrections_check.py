"""The corrections that a run begins with: those of rank 0 on all ranks, and described in a line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from weakseg.data.base import WeakData
from weakseg.data.corrections.counts import count_corrections
from weakseg.utils.messages import counted, did_you_mean
from weakseg.utils.processes import gather

CHECK = "python -m weakseg.check shows all of them"


def missing_folder(data: Any) -> str:
    """That the folder of the corrections is not there, as it may be mistyped; nothing if it is, or
    if there should be none."""
    folder = getattr(data, "corrections", None)
    if folder is None or Path(folder).is_dir():
        return ""
    if Path(folder).exists():
        return f"data.corrections: expected a folder, but {folder} is a file"
    beside = (path.name for path in Path(folder).parent.glob("*") if path.is_dir())
    near = did_you_mean(Path(folder).name, beside)
    return f"data.corrections: there is no folder {folder}{near}"


def share_corrections(data: WeakData, world: int) -> None:
    """Have all ranks train with what rank 0 has read: a person may go on correcting while they
    read. All ranks must call it."""
    if data.corrections is not None and world > 1:
        data.use_corrections(gather(data.corrections_in_use)[0])


def report_corrections(
    data: WeakData, ids: Sequence[str], remarks: Sequence[str], rank: int
) -> None:
    """Say which corrections a run begins with, and which of them have no effect. All ranks must
    call it.

    Args:
        data: the data set.
        ids: of the images that this rank has read.
        remarks: on their corrections that have no effect.
        rank: this one.
    """
    if data.corrections is None:
        return
    read = [id for part in gather(list(ids)) for id in part]
    without_effect = [remark for part in gather(list(remarks)) for remark in part]
    if rank != 0:
        return
    print(f"{_title(data)}: {count_corrections(data.histories.values())}", file=sys.stderr)
    if lost := data.ids_without_image(read):
        many = counted(len(lost), "image")
        print(
            f"{_title(data)}: those of {many} are of none of the data set, such as {lost[0]}",
            file=sys.stderr,
        )
    if without_effect:
        many = (
            f"{counted(len(without_effect), 'step')} ha{'s' if len(without_effect) == 1 else 've'}"
        )
        print(
            f"{_title(data)}: {many} no effect, such as {without_effect[0]}; {CHECK}",
            file=sys.stderr,
        )


def _title(data: WeakData) -> str:
    return f"corrections of {data.corrections}"
