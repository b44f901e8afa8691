"""Reads what an offline run of wandb has written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK = 32768  # bytes of LevelDB's log format


def chunks(log: bytes) -> Iterator[tuple[int, bytes]]:
    """The chunks of a log, each with its kind, behind a checksum (4 bytes), its length (2) and its
    kind (1)."""
    place = 7  # wandb's own header
    while place < len(log):
        left = BLOCK - place % BLOCK
        if left < 7:
            place += left
            continue
        length = int.from_bytes(log[place + 4 : place + 6], "little")
        yield log[place + 6], log[place + 7 : place + 7 + length]
        place += 7 + length


def records(folder: Path) -> list[Any]:
    """The records of the one offline run below a folder."""
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    found: list[Any] = []
    content = b""
    for kind, chunk in chunks(file.read_bytes()):
        content += chunk
        if kind in (1, 4):  # a whole one, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(content)
            found.append(record)
            content = b""
    return found


def history(folder: Path) -> list[dict[str, Any]]:
    """What was logged, a row per call; keys below a key behind a dot."""
    return [
        {
            pair.key or ".".join(pair.nested_key): json.loads(pair.value_json)
            for pair in record.history.item
        }
        for record in records(folder)
        if record.HasField("history")
    ]


def artifacts(folder: Path) -> list[Any]:
    """The artifacts, in the order in which they were logged."""
    return [each.artifact for each in records(folder) if each.HasField("artifact")]


def contents(artifact: Any) -> dict[str, Path]:
    """The files of an artifact, and where they wait for their upload."""
    return {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}


def tables(folder: Path) -> dict[str, list[list[list[Any]]]]:
    """The rows of each version of each table, by its name."""
    found: dict[str, list[list[list[Any]]]] = {}
    for artifact in artifacts(folder):
        for name, file in contents(artifact).items():
            if name.endswith(".table.json"):
                rows = json.loads(file.read_text())["data"]
                found.setdefault(name.removesuffix(".table.json"), []).append(rows)
    return found
