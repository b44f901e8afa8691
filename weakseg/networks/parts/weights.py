"""Weights from files, read safely; errors name each tensor that does not fit."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from weakseg.functional.class_matching import order_rows
from weakseg.utils.downloads import local_copy
from weakseg.utils.files import DamagedFile, check_seal
from weakseg.utils.paths import CONFIG, WEIGHTS

GRAPHS = (".onnx", ".pt2")  # endings of what is no file of weights alone
LARGEST_CONFIG = 2**20  # bytes; those that weakseg writes have some thousands


def read_weights(path: Path) -> dict[str, Any]:
    """What torch stored in a file: a state dict or a checkpoint. No code in it is run, and a
    damaged one is refused."""
    try:
        path = local_copy(path)
    except OSError as error:
        raise ValueError(f"the weights {error.filename}: {error.strerror}") from None
    if not path.is_file():
        raise ValueError(f"there is no weights file {path}")
    if path.suffix in GRAPHS:
        raise ValueError(
            f"{path} is an exported graph, in which weights have lost their names; expected a "
            "checkpoint, or a folder that weakseg.export has written with format=hub"
        )
    try:
        check_seal(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except DamagedFile:
        raise
    except Exception as error:  # whatever torch raises for a file that is not its own
        raise ValueError(
            f"{path} is not a file of weights that torch can read safely ({_why(error)})"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} should hold a state dict, names of tensors and the tensors, but it holds "
            f"{type(content).__name__}"
        )
    return content


def _why(error: Exception) -> str:
    """What torch says of a file, in a line."""
    if isinstance(error, pickle.UnpicklingError):
        # torch advises to run whatever stands in it
        return "it is none, or holds more than tensors, numbers and text"
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


def read_published(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config and the weights in a folder that `format=hub` of `weakseg.export` has written.
    Neither can hold code."""
    config = _read_config(folder / CONFIG)
    path = folder / WEIGHTS
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if config.get("weights_sha256") not in (None, found):
        raise DamagedFile(
            f"{path} is damaged, or not the file that {CONFIG} was written for: its SHA-256 differs"
        )
    try:
        return config, safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a file of weights: {error}") from error


def _read_config(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise ValueError(f"it has more than {LARGEST_CONFIG:,} bytes")
        config = json.loads(path.read_text("utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it has no names")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    return config


def load_state(module: nn.Module, state: dict[str, Any], source: Path) -> None:
    """Load a state dict; a ValueError names the tensors that do not fit."""
    if problems := _misfits(module.state_dict(), state):
        shown = "\n  ".join(
            problems[:10] + ([f"and {len(problems) - 10} more"] if len(problems) > 10 else [])
        )
        raise ValueError(f"the weights in {source} do not fit {type(module).__name__}:\n  {shown}")
    module.load_state_dict(
        {
            name: value.float() if value.is_floating_point() else value
            for name, value in state.items()
        }
    )


def reorder(
    state: dict[str, Any], wider: nn.Module | None, table: Tensor, classes: int, source: Path
) -> dict[str, Any]:
    """A state dict with the rows of its classes in another order.

    Args:
        wider: the same network for one class more: where its tensors are longer, there are rows of
            classes. None if there is none.
        table: where the row of each class goes.
        classes: how many.
        source: of the weights, for messages.
    """
    shapes = (
        {}
        if wider is None
        else {name: list(value.shape) for name, value in wider.state_dict().items()}
    )
    rows = {
        name
        for name, value in state.items()
        if name in shapes and shapes[name] != list(value.shape)
    }
    if not rows:
        raise ValueError(
            f"the weights in {source} have the classes in another order than the data set, and it "
            "cannot be told which rows of the network belong to classes; give the data set's "
            "classes in the order of the weights"
        )
    return {
        name: order_rows(value, shapes[name], table, classes) if name in rows else value
        for name, value in state.items()
    }


def _misfits(wanted: dict[str, Tensor], given: dict[str, Any]) -> list[str]:
    shapes = [
        f"{name} is {list(getattr(given[name], 'shape', []))}, expected {list(value.shape)}"
        for name, value in wanted.items()
        if name in given and getattr(given[name], "shape", None) != value.shape
    ]
    missing = [f"{name} is missing" for name in wanted if name not in given]
    unknown = [f"{name} is not known" for name in given if name not in wanted]
    return shapes + missing + unknown
