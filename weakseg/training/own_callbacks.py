"""The callbacks of a recipe's section `callbacks`, checked before the training: what cannot work
with rounds, checkpoints and resume= is refused in a line."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer, callbacks
from torch import Tensor

from weakseg.functional.agreement import CHOOSES
from weakseg.utils.messages import did_you_mean

TUNERS = (callbacks.BatchSizeFinder, callbacks.LearningRateFinder)
PLAIN = (str, int, float, bool, bytes, type(None), Tensor, torch.dtype)


def refused_callbacks(own: Mapping[str, Callback]) -> list[str]:
    """What is wrong with callbacks before there is a trainer, one line each.

    Args:
        own: by their keys in the recipe.
    """
    errors = []
    seen: dict[str, str] = {}
    for key, callback in own.items():
        where = f"callbacks.{key}"
        if isinstance(callback, TUNERS):
            errors.append(
                f"{where}: {type(callback).__name__} trains before the run and starts over, which "
                "checkpoints and rounds cannot follow; try a few values in runs of their own"
            )
        state = type(callback).state_dict is not Callback.state_dict
        if state and callback.state_key in seen:
            errors.append(
                f"{where}: it has the same state_key as {seen[callback.state_key]}, so that a "
                "resumed run could not tell their states apart; give its class a property "
                "state_key that differs"
            )
        elif state:
            seen[callback.state_key] = where
            wrong = unreadable(callback.state_dict())
            errors += [f"{where}: {state_message(type(callback).__name__, wrong)}"] if wrong else []
    return errors


def refused_with_trainer(
    own: Mapping[str, Callback], names: Mapping[str, str], trainer: Trainer, data: Any
) -> list[str]:
    """What is wrong with callbacks on this data set and trainer, one line each.

    Args:
        own: by their keys in the recipe.
        names: of their classes, in the recipe.
        trainer: of the run.
        data: of the run.
    """
    errors = []
    figures = _figures(data) if all("." not in name for name in names.values()) else ()
    validates = len(data.validation) > 0 and trainer.limit_val_batches != 0
    for key, callback in own.items():
        where = f"callbacks.{key}"
        monitor = getattr(callback, "figure", getattr(callback, "monitor", None))
        measured = monitor.startswith("val/") if isinstance(monitor, str) else False
        stops = isinstance(callback, callbacks.EarlyStopping)
        if (measured or (stops and monitor is None)) and not validates:
            errors.append(
                f"{where}: there is no validation that would measure {monitor or 'anything'}: the "
                "data set has no validation images, or trainer.limit_val_batches is 0; monitor "
                "loss/total instead"
            )
        elif measured and figures and monitor not in figures:
            near = did_you_mean(str(monitor), figures) or f"; there are {', '.join(figures)}"
            errors.append(f"{where}.monitor: no validation measures {monitor}{near}")
        if getattr(callback, "save_on_exception", False) and trainer.world_size > 1:
            errors.append(
                f"{where}.save_on_exception: with several processes the others wait for ever for "
                "the one that failed; leave it out, as resume= goes on from last.ckpt"
            )
    return errors


def _figures(data: Any) -> Sequence[str]:
    """The figures that a validation may have."""
    per_class = [f"val/iou/{name}" for name in data.classes]
    agreement = [f"{figure}/{name}" for figure in CHOOSES[1:] for name in data.classes]
    return [*CHOOSES, "val/mask_ap", "val/box_ap", *per_class, *agreement]


def unreadable(state: Any) -> str:
    """What in a callback's state no checkpoint can be read back with; nothing if there is none.
    Checkpoints are read as data, which runs no code."""
    buffer = io.BytesIO()
    try:
        torch.save(state, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except Exception:  # of whatever pickles itself in its own way
        return _strange(state, "its state") or f"a {type(state).__name__}"
    return ""


def _strange(state: Any, name: str) -> str:
    """The first thing that is neither a number nor a text, a tensor, a list or a dictionary."""
    if isinstance(state, Mapping):
        pairs: Iterable[tuple[str, Any]] = ((f"{name}[{key!r}]", state[key]) for key in state)
    elif isinstance(state, list | tuple):
        pairs = ((f"{name}[{place}]", item) for place, item in enumerate(state))
    else:
        return "" if type(state) in PLAIN else f"{name} is a {type(state).__name__}"
    return next((wrong for path, item in pairs if (wrong := _strange(item, path))), "")


def state_message(name: str, wrong: str) -> str:
    """What to say of a callback's state that cannot be read back."""
    return (
        f"the state of {name} cannot be read back from a checkpoint: {wrong}; return numbers, "
        "texts, tensors, lists and dicts of them from state_dict"
    )


def leave_out_unreadable(states: dict[str, Any]) -> None:
    """Take what could not be read back out of the callbacks' states of a checkpoint, with a
    warning: all else of the run can go on."""
    for key, state in list(states.items()):
        if wrong := unreadable(state):
            del states[key]
            warnings.warn(
                f"{state_message(key, wrong)}; it is left out, and begins anew where the run is "
                "resumed",
                stacklevel=2,
            )


def place_checkpoints(own: Mapping[str, Callback], folder: Path) -> None:
    """Give Lightning's ModelCheckpoint a folder of its own in the run's, beside last.ckpt and
    best.ckpt."""
    for key, callback in own.items():
        if isinstance(callback, callbacks.ModelCheckpoint) and callback.dirpath is None:
            callback.dirpath = str(folder / "checkpoints" / key)
