"""The trained network of a run folder: from its recipe and one of its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from weakseg.config.recipe import Recipe, RecipeError, Resolved, changed, resolve
from weakseg.config.recipe import load as load_recipe
from weakseg.evidence import Instances
from weakseg.inference.multiscale import Inference
from weakseg.networks.parts.weights import load_state, read_weights
from weakseg.trained.model import Origin, TrainedModel, digest
from weakseg.training.average_precision import detect
from weakseg.training.segmenter import Segmenter
from weakseg.utils.messages import did_you_mean
from weakseg.utils.secrets import scrub_text

NAMED = ("best", "last")


class CheckpointModel(TrainedModel):
    """The network of a checkpoint, in evaluation mode."""

    def __init__(
        self, segmenter: Segmenter, recipe: Recipe, origin: Origin, device: torch.device
    ) -> None:
        super().__init__(
            segmenter.classes,
            segmenter.long_side,
            segmenter.inference,
            origin,
            recipe.sections,
        )
        self.device = device
        self.seed = recipe.seed
        self.finds_objects = segmenter.adapter.has_instances
        self.segmenter = segmenter.to(device).eval()

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """As in the base class."""
        logits: Tensor = self.segmenter(images.to(self.device))
        return logits.float()

    def objects(self, image: Tensor) -> Instances | None:
        """As in the base class."""
        return detect(self.segmenter, image) if self.finds_objects else None


def load_checkpoint(
    path: Path, inference: Inference | Mapping[str, Any] | None, device: torch.device
) -> CheckpointModel:
    """The trained network of a checkpoint file that stands in the folder of its run."""
    folder = run_of(path)
    segmenter, recipe, step = read_segmenter(folder, path, inference)
    weights = segmenter.initial_weights
    origin = Origin(str(path), "checkpoint", digest(path), recipe.name, step, weights)
    return CheckpointModel(segmenter, recipe, origin, device)


def checkpoint_of(folder: Path, checkpoint: str) -> Path:
    """The file that `best`, `last` or a path means in a run folder; the last one where `best` is
    wanted and nothing was ever measured."""
    inside = folder / "checkpoints"
    if checkpoint not in NAMED:
        path = Path(checkpoint)
        found = path if path.is_file() else inside / checkpoint
        if found.is_file():
            return found
        hint = did_you_mean(checkpoint, [*NAMED, *(file.stem for file in inside.glob("*.ckpt"))])
        raise RecipeError(
            f"checkpoint: expected best, last or a file, but there is no {checkpoint}{hint}"
        )
    wanted = inside / f"{checkpoint}.ckpt"
    last = inside / "last.ckpt"
    if wanted.is_file() or (checkpoint == "best" and last.is_file()):
        return wanted if wanted.is_file() else last
    raise RecipeError(f"run: the run {folder} has no {checkpoint}.ckpt{_others(folder)}")


def _others(folder: Path) -> str:
    """What a run has instead of a checkpoint that is not there."""
    there = sorted(file.name for file in (folder / "checkpoints").glob("*.ckpt"))
    if there:
        return f"; there is {', '.join(there)}"
    way = f"python -m weakseg.fit resume={folder}"
    return f" nor any other checkpoint: it stopped before its first one; go on with it by {way}"


def run_of(checkpoint: Path) -> Path:
    """The run folder that a checkpoint stands in."""
    for folder in checkpoint.absolute().parents[:2]:
        if (folder / "recipe.yaml").is_file():
            return folder
    raise RecipeError(
        f"run: {checkpoint} stands in no run folder: expected {checkpoint.parent.parent}/"
        "recipe.yaml, which says how its network is built; copy the whole folder of the run, or "
        "export it: python -m weakseg.export run=<run folder> format=hub"
    )


def read_segmenter(
    folder: Path, path: Path, inference: Inference | Mapping[str, Any] | None
) -> tuple[Segmenter, Resolved, int | None]:
    """The segmenter of a run with the weights of a checkpoint, its recipe and its step. The data
    set may be gone."""
    written = load_recipe([f"resume={folder}"])
    if isinstance(inference, Mapping):
        written = changed(written, "predict", inference)
    recipe = resolve(written, ["network", "strategy", "predict"])
    content = read_weights(path)
    if "weakseg" not in content:
        raise ValueError(
            f"{path} is no checkpoint of weakseg: it does not say which classes its weights know"
        )
    classes = content["weakseg"]["classes"]
    # the first weights are those that nobody needs any more
    untrained = recipe.with_random_weights()
    network, strategy = (
        untrained.build(section, classes=len(classes)) for section in ("network", "strategy")
    )
    how = inference if isinstance(inference, Inference) else recipe.build("predict")
    segmenter = Segmenter(network, strategy, classes, None, how)
    load_state(segmenter, content["state_dict"], path)
    # older checkpoints do not say
    segmenter.long_side = content["weakseg"].get(
        "long_side", recipe.sections["data"].get("long_side")
    )
    segmenter.initial_weights = content["weakseg"].get(
        "initial_weights", scrub_text(str(recipe.sections["network"].get("weights") or "random"))
    )
    return segmenter.eval(), recipe, content.get("global_step")
