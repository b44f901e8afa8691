"""The corrections that a run began with, in its checkpoints: a resumed run goes on with these,
whatever a person has corrected since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from weakseg.data.corrections.history import History, read_history, written_history


def kept(histories: Mapping[str, History]) -> str:
    """Histories as text, without the evidence before them."""
    return json.dumps(
        [written_history(history._replace(before={})) for history in histories.values()]
    )


def read_kept(text: str) -> dict[str, History]:
    """The counterpart of `kept`; no text is none of them."""
    histories = map(read_history, json.loads(text or "[]"))
    return {history.image: history for history in histories}


def changed_images(one: Mapping[str, History], other: Mapping[str, History]) -> list[str]:
    """The images whose evidence is not the same with either, or that are trained on with one
    alone."""
    return [
        image
        for image in dict.fromkeys([*one, *other])
        if _effect(one.get(image)) != _effect(other.get(image))
    ]


def _effect(history: History | None) -> Any:
    """All that training depends on; when, by whom and how fast something was corrected is not."""
    if history is None:
        return [], None, False
    marks = [(event.action, event.label, event.points, event.width) for event in history.edits]
    return marks, history.size if marks else None, history.status == "excluded"
