"""A task of CVAT without a server: what the SDK's own driver asks of one, and keeps what it
uploads."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from tests.prediction.fakes import squares


class Task:
    """A task with labels and frames.

    Args:
        labels: names, each with its type.
        frames: their numbers; deleted frames leave gaps.
    """

    def __init__(
        self, labels: Sequence[tuple[str, str]], frames: Sequence[int], size: tuple[int, int]
    ) -> None:
        models = pytest.importorskip("cvat_sdk.models")
        self.labels = [
            models.Label._from_openapi_data(
                name=name, id=100 + number, type=type, attributes=[], sublabels=[], color="#000000"
            )
            for number, (name, type) in enumerate(labels)
        ]
        self.pixels = {frame: squares(*size, seed=frame) for frame in frames}
        self.uploaded: Any = None

    @property
    def samples(self) -> list[Any]:
        return [
            SimpleNamespace(
                frame_name=f"{frame}.png",
                frame_index=frame,
                media=SimpleNamespace(load_image=lambda pixels=pixels: Image.fromarray(pixels)),
            )
            for frame, pixels in self.pixels.items()
        ]

    @property
    def client(self) -> Any:
        def upload(action: str, id: int, patched_labeled_data_request: Any) -> None:
            self.uploaded = patched_labeled_data_request

        api = SimpleNamespace(partial_update_annotations=upload)
        return SimpleNamespace(logger=logging.getLogger("cvat"), tasks=SimpleNamespace(api=api))


def annotate(
    task: Task, function: Any, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> list[Any]:
    """The shapes that CVAT's driver uploads to a task."""
    driver = pytest.importorskip("cvat_sdk.auto_annotation.driver")
    monkeypatch.setattr(driver, "TaskDataset", lambda *_, **__: task)
    driver.annotate_task(task.client, 137, function, **options)
    return list(task.uploaded.shapes)
