"""load_model: a trained network from a run folder, a checkpoint, an exported graph or a published
folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from weakseg.config.recipe import RecipeError
from weakseg.inference.multiscale import Inference
from weakseg.trained.checkpoint import checkpoint_of, load_checkpoint
from weakseg.trained.model import TrainedModel
from weakseg.trained.onnx_graph import load_onnx
from weakseg.trained.published import load_published
from weakseg.trained.torch_program import load_program
from weakseg.utils.downloads import local_model
from weakseg.utils.messages import one_line
from weakseg.utils.paths import is_published, run_inside, without_link
from weakseg.utils.remote_path import as_path, expect_writable, is_url
from weakseg.utils.secrets import scrub_message

TAKES = "a run folder, a checkpoint (.ckpt), an exported graph (.onnx, .pt2) or a published folder"


def load_model(
    run: Path | str,
    checkpoint: str = "best",
    *,
    predict: Inference | Mapping[str, Any] | None = None,
    device: str = "auto",
) -> TrainedModel:
    """A trained network, ready to predict.

    Args:
        run: a run folder, a checkpoint file inside of one, or what `weakseg.export` has written: a
            graph (.onnx or .pt2) or a published folder. What is at a URL is copied to this machine
            once.
        checkpoint: of a run folder: best, last or a file. Where nothing was measured, there is no
            best one, and the last is taken.
        predict: how it predicts: an `Inference`, or values for keys of the section `predict`, such
            as {"scales": "0.75,1,1.25"}, above those that the run's recipe has.
        device: cpu, cuda, mps or the like; auto for a GPU where there is one.
    """
    path = without_link(local_model(run, checkpoint))
    where = choose_device(device)
    if path.suffix == ".ckpt" and path.is_file():
        return load_checkpoint(path, predict, where)
    if path.suffix == ".onnx" and path.is_file():
        return load_onnx(path, predict, where)
    if path.suffix == ".pt2" and path.is_file():
        return load_program(path, predict, where)
    if is_published(path):
        return load_published(path, predict, where)
    if (path / "recipe.yaml").is_file():
        return load_checkpoint(checkpoint_of(path, checkpoint), predict, where)
    if not path.exists():
        raise RecipeError(f"run: there is no {path}; expected {TAKES}")
    raise RecipeError(f"run: expected {TAKES}, but {path} is none of them{run_inside(path)}")


def expect_out(run: Path | str, out: Path | str | None) -> None:
    """A RecipeError if nobody says where the results of a network at a URL go, as those of one on
    this machine go beside it; or if they cannot go there."""
    if out is not None:
        try:
            expect_writable("out", as_path(out))
        except ValueError as error:
            raise RecipeError(one_line(error)) from None
    if out is None and is_url(str(run)):
        raise RecipeError(
            f"out: missing; {scrub_message(str(run))} is a URL, so name a folder or file for the "
            "results"
        )


def choose_device(name: str) -> torch.device:
    """The device of a name; auto is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        # torch's first sentence tells which device is missing, and why
        why = str(error).partition("\n")[0]
        raise RecipeError(f"device: {name} cannot be used here: {why}") from None
    return device
