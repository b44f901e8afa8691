"""A tiny run of a recipe in this process, and what must be equal after any kill."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch

from weakseg.config.recipe import load, resolve
from weakseg.run import fit

TINY = (
    "data.val=2",
    "data.size=32",
    "network=tests.small.TinyNet",
    "network.classes=5",
    "rounds.workers=0",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
)


def start(root: Path, words: Sequence[str]) -> Path:
    """Train in this process, without a word on the screen; returns the folder of the run."""
    recipe = load(
        [*words, *(() if words[0].startswith("resume=") else (f"trainer.default_root_dir={root}",))]
    )
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return fit(resolve(recipe))


def go_on(root: Path, words: Sequence[str]) -> Path:
    """Go on with the run of a folder as a user would: resume it, or start it if it has not got so
    far as to have a recipe."""
    runs = [file.parent for file in root.glob("*/[0-9]*/recipe.yaml")]
    if not runs:
        return start(root, words)
    return start(root, [f"resume={runs[0]}", f"trainer.default_root_dir={root}"])


def outcome(run: Path) -> dict[str, Any]:
    """What a run leaves, as far as it must be the same whatever has happened to it: times and dates
    are left out."""
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    best = run / "checkpoints" / "best.ckpt"
    with (run / "metrics.csv").open(newline="") as file:
        rows = [
            {name: value for name, value in row.items() if not name.startswith("time/")}
            for row in csv.DictReader(file)
        ]
    return {
        "weights": _plain(last["state_dict"]),
        "optimizer": _plain(last["optimizer_states"]),
        "best": _plain(torch.load(best, weights_only=True)["state_dict"])
        if best.is_file()
        else None,
        "metrics": rows,
        "targets": {
            file.name: file.read_bytes()
            for file in sorted((run.parents[1] / "labels").glob("??/*"))
        },
        "queue": (run / "review.csv").read_text(),
        "files": sorted(str(file.relative_to(run)) for file in run.rglob("*") if file.is_file()),
        "leftovers": [file.name for file in run.parents[1].rglob("*.part")],
    }


def _plain(value: Any) -> Any:
    """Tensors as bytes, which == can compare."""
    if isinstance(value, torch.Tensor):
        return (
            value.dtype,
            tuple(value.shape),
            value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(),
        )
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The names of what is not the same, with the first row of metrics.csv that is not."""
    names = [name for name in one if one[name] != other[name]]
    if "metrics" in names:
        pairs = zip(one["metrics"], other["metrics"], strict=False)
        first = next(
            (pair for pair in pairs if pair[0] != pair[1]),
            f"{len(one['metrics'])} and {len(other['metrics'])} rows",
        )
        names.append(f"metrics: {first}")
    return names
