"""What is wrong with the corrections of a data set."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from weakseg.data.base import WeakData
from weakseg.data.corrections.before import differences
from weakseg.data.corrections.folder import CorrectionsFolder, DamagedCorrection
from weakseg.evidence import Evidence
from weakseg.reporting.problem import Problem
from weakseg.utils.messages import counted

NAMED = 3  # images in a message


def look_at_corrections(
    data: WeakData, index: int, evidence: Evidence, size: tuple[int, int] | None = None
) -> tuple[Evidence, list[Problem]]:
    """The evidence of an image with its corrections, and what is wrong with these.

    Args:
        data: the data set.
        index: of the image.
        evidence: of the image, without corrections.
        size: width and height of its file; None for those of the image.
    """
    id = str(evidence.id)
    try:
        overlay = data.lay_over(evidence)
    except DamagedCorrection as error:
        return evidence, [Problem(f"image {id}", "its corrections", "whole", f"not: {error}")]
    history = data.histories.get(id)
    if history is None:
        return evidence, []
    height, width = evidence.image.shape[-2:]
    changed = differences(history, evidence, size or (width, height), data.classes)
    warnings = [(f"image {id}", "what was corrected", "as it was then", found) for found in changed]
    warnings += [
        (place, "each step of its corrections", "one that changes something", found)
        for place, _, found in (remark.partition(": ") for remark in overlay.remarks)
    ]
    if history.status == "excluded" and index in data.validation:
        warnings.append(
            (f"image {id}", "an excluded image", "one to train on", "one that is measured on still")
        )
    return overlay.evidence, [Problem(*each, "warning") for each in warnings]


def problems_of_folder(data: WeakData, ids: Collection[str]) -> list[Problem]:
    """What is wrong with a folder of corrections as such.

    Args:
        data: the data set.
        ids: of all its images.
    """
    folder = str(data.corrections)
    if not Path(folder).is_dir():
        return [Problem("data.corrections", "the folder", "there", f"missing: {folder}")]
    problems = []
    if lost := data.ids_without_image(ids):
        came = f"not, for those of {counted(len(lost), 'image')}: {', '.join(lost[:NAMED])}"
        problems.append(
            Problem(folder, "corrections", "of images of the data set", came, "warning")
        )
    try:
        CorrectionsFolder(folder).classes  # noqa: B018
    except DamagedCorrection as error:
        problems.append(Problem(folder, "its classes", "readable", f"not: {error}"))
    return problems
