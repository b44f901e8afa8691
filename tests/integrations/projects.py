"""Projects and tasks as Label Studio 1.23 sends them to a machine learning backend."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.prediction.fakes import save_photo

CONFIG = """<View>
  <Image name="photo" value="$picture" zoom="true"/>
  <BrushLabels name="mask" toName="photo">
    <Label value="Green" background="green"/>
    <Label value="sky" predicted_values="azure, blue" background="blue"/>
    <Label value="cloud" background="white"/>
  </BrushLabels>
  <KeyPointLabels name="click" toName="photo" smart="true">
    <Label value="Green"/><Label value="sky" predicted_values="blue"/><Label value="red"/>
  </KeyPointLabels>
  <RectangleLabels name="frame" toName="photo" smart="true">
    <Label value="Green"/><Label value="sky" predicted_values="blue"/>
  </RectangleLabels>
</View>"""
"""for the networks of tests.prediction.fakes, whose classes are red (background), green and blue"""


def request(
    tasks: Iterable[dict[str, Any]], config: str = CONFIG, drawn: list[Any] | None = None
) -> dict[str, Any]:
    """The body of /predict; `drawn` is what a person has just drawn with a smart tool."""
    return {
        "tasks": list(tasks),
        "project": "3.1764460000",
        "label_config": config,
        "params": {
            "login": "",
            "password": "",
            "context": None if drawn is None else {"result": drawn},
        },
    }


def task(number: int, address: str) -> dict[str, Any]:
    """A task with its image at an address."""
    return {"id": number, "data": {"picture": address}, "project": 3, "predictions": []}


def local(name: str) -> str:
    """The address of a local file."""
    return f"/data/local-files/?d={name}"


def photos(folder: Path, count: int = 3, height: int = 16, width: int = 24) -> list[dict[str, Any]]:
    """Photographs below a folder, as tasks."""
    names = [f"north/{number}.png" for number in range(count)]
    for number, name in enumerate(names):
        save_photo(folder / name, height, width, seed=number)
    return [task(10 + number, local(name)) for number, name in enumerate(names)]


def region(kind: str, tag: str, label: str, **value: Any) -> dict[str, Any]:
    """A region of a smart tool, by places in per cent of the image."""
    return {
        "id": "AbC123xyz0",
        "type": kind,
        "from_name": tag,
        "to_name": "photo",
        "original_width": 24,
        "original_height": 16,
        "image_rotation": 0,
        "origin": "manual",
        "value": {**value, kind: [label]},
    }
