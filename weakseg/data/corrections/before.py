"""Whether the annotation is still the one that a person has corrected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from weakseg.data.corrections.history import History
from weakseg.data.corrections.overlay import NEAR, described
from weakseg.evidence import Evidence


def differences(
    history: History, evidence: Evidence, size: tuple[int, int], classes: Sequence[str]
) -> list[str]:
    """What has changed since a person began to correct an image, in words; nothing where it is as
    it was, or where nobody can tell.

    Args:
        history: of the corrections, with the evidence before them.
        evidence: of the image now, without any correction.
        size: width and height of its file now.
        classes: names of the classes.
    """
    if size != history.size:
        then, now = (f"{width} by {height}" for width, height in (history.size, size))
        return [f"the image was {then} pixels large, and is {now}"]
    found = described(evidence, size, classes)
    changed = [
        kind for kind, same in COMPARED.items() if _changed(history.before, found, kind, same)
    ]
    return [f"the annotation has had other {', '.join(changed)}"] if changed else []


def _changed(before: Mapping[str, Any], now: Mapping[str, Any], kind: str, same: Any) -> bool:
    if not before:  # nobody has written it down, or there was nothing
        return False
    try:
        return (kind in before) != (kind in now) or (
            kind in now and not same(before[kind], now[kind])
        )
    except (TypeError, ValueError, KeyError, IndexError):  # somebody has written something else
        return True


def _same_tags(before: Any, now: Any) -> bool:
    return set(before) == set(now)


def _same_boxes(before: Any, now: Any) -> bool:
    if [each["class"] for each in before] != [each["class"] for each in now]:
        return False
    edges = [np.array([each["points"] for each in boxes]) for boxes in (before, now)]
    # boxes of shrunk images are not exactly where they were
    return bool((np.abs(edges[0] - edges[1]) <= NEAR).all())


def _same_marks(before: Any, now: Any) -> bool:
    # at another resolution nobody can tell
    return bool(before["size"] != now["size"] or before["coco_runs"] == now["coco_runs"])


COMPARED = {"tags": _same_tags, "boxes": _same_boxes, "marks": _same_marks}
