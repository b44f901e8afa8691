"""What labels the images of a data set: the strategy of a recipe, that of a run with its trained
network, or the predictions of that network."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from weakseg.config.recipe import Recipe, RecipeError, Resolved, changed, resolve
from weakseg.config.recipe import load as load_recipe
from weakseg.data.base import WeakData
from weakseg.data.corrections.folder import beside
from weakseg.data.files.photos import Photos
from weakseg.data.label_store import LabelStore
from weakseg.evidence import Evidence
from weakseg.functional.class_matching import match_classes, renumber, renumber_evidence
from weakseg.planning.plan import planned
from weakseg.strategies.base import estimates
from weakseg.trained.checkpoint import CheckpointModel, run_of
from weakseg.trained.loading import choose_device, load_model
from weakseg.trained.model import Origin
from weakseg.training.building import build_run
from weakseg.training.image_work import Samples
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter

Sections = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Renumbered:
    """A data set with the numbers that its classes have in a network.

    Args:
        data: the images.
        table: the numbers of its classes there.
        classes: how many the network has.
    """

    data: WeakData
    table: Tensor
    classes: int

    def corrected(self, index: int) -> tuple[Evidence, Tensor | None]:
        """Evidence and truth of an image."""
        evidence, truth = self.data.corrected(index)
        renumbered = renumber_evidence(evidence, self.table, self.classes)
        return renumbered, None if truth is None else renumber(truth, self.table)


@dataclass(frozen=True)
class Source:
    """A data set, and what labels its images.

    Args:
        name: of the recipe.
        data: the images.
        segmenter: the strategy, with its network.
        rounds: how many processes estimate, and where targets are kept.
        store: where targets are kept: those that a run has estimated are there already.
        number: of the round whose targets the labels are; None for predictions of the network.
        origin: of the trained network; None if there is none.
        table: the numbers that classes of the data set have in the network; None for the same.
        options: of the strategy of a recipe, as they are planned.
    """

    name: str
    data: WeakData
    segmenter: Segmenter
    rounds: Rounds
    store: LabelStore
    number: int | None
    origin: Origin | None = None
    table: Tensor | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def samples(self) -> Samples:
        """The images alone, as workers are sent them."""
        if self.table is None:
            return self.data
        return Renumbered(self.data, self.table, len(self.segmenter.classes))

    def corrected(self, index: int) -> tuple[Evidence, Tensor | None]:
        """Evidence and truth of an image, with the numbers that classes have in the network."""
        return self.samples.corrected(index)

    @property
    def method(self) -> str:
        """What makes the labels, for summaries and messages."""
        strategy = type(self.segmenter.strategy).__name__
        if self.number is None:
            return f"predictions of the trained network ({strategy} estimates nothing)"
        if self.origin is None:
            return f"{strategy}, round 0: no network is trained yet"
        if self.number == 0:
            return f"{strategy}, round 0: the targets that the network was trained on"
        return f"{strategy}, a round with the trained network"


def source_of_recipe(
    recipe: str,
    sections: Sections,
    seed: int | None,
    init_from: Path | str | None,
    device: str,
    otherwise: str = "",
) -> Source:
    """Round 0 of a run of the recipe, before any training: with the same first weights, where the
    strategy wants features of the network's encoder.

    Args:
        recipe: its name or file.
        sections: what the words of a command say.
        seed: of the first weights; None for that of the recipe.
        init_from: a checkpoint with the first weights.
        device: to run the network on.
        otherwise: what to do with a strategy that estimates nothing; "" for what `label` can do.
    """
    written = load_recipe([f"recipe={recipe}", *([f"init_from={init_from}"] if init_from else [])])
    if seed is not None:
        written = replace(written, seed=seed)
    return source_of_round_0(resolve(with_words(written, sections)), device, otherwise)


def source_of_round_0(resolved: Resolved, device: str = "auto", otherwise: str = "") -> Source:
    """As `source_of_recipe`, of a recipe whose words are resolved."""
    resolved = planned(resolved)
    pl.seed_everything(resolved.seed, verbose=False)  # as a run does before it makes its network
    data, segmenter, rounds = build_run(resolved)
    prepare(data)
    if not estimates(segmenter.strategy):
        name = type(segmenter.strategy).__name__
        train = (
            f"train one with python -m weakseg.fit recipe={resolved.name}, and write "
            "run=<run folder> in place of recipe= for its predictions"
        )
        raise RecipeError(
            f"recipe: {name} estimates no pseudo-labels, it trains a network by its loss alone; "
            f"{otherwise or train}"
        )
    # as a run has it: shrunk images are what the strategy is given
    segmenter.long_side = getattr(data, "long_side", None)
    segmenter.to(choose_device(device)).eval()
    root = Path(resolved.sections["trainer"].get("default_root_dir") or "runs")
    store = LabelStore(rounds.folder or root / "labels")
    options = resolved.parts["strategy"].values
    return Source(resolved.name, data, segmenter, rounds, store, 0, options=options)


def source_of_run(run: str, checkpoint: str, sections: Sections, device: str) -> Source:
    """The strategy of a run, with its trained network where the strategy queries one: as the next
    round of that run would estimate."""
    model = load_model(run, checkpoint, predict=sections.get("predict"), device=device)
    # a published folder is a checkpoint, too, but neither recipe nor strategy stand in it
    if not isinstance(model, CheckpointModel) or model.origin.kind != "checkpoint":
        raise RecipeError(
            f"run: {run} is a network without the strategy that trained it; expected a run folder "
            "or a checkpoint in one; python -m weakseg.predict writes the predictions of any "
            "network"
        )
    folder = run_of(Path(model.origin.path))
    others = {name: node for name, node in sections.items() if name != "predict"}
    recipe = with_words(load_recipe([f"resume={folder}"]), others)
    resolved = resolve(with_own_corrections(recipe, folder, others), ["data", "strategy", "rounds"])
    data: WeakData = resolved.build("data")
    prepare(data)
    try:
        table = match_classes(data.classes, model.classes)
    except ValueError as error:
        raise RecipeError(
            f"data: the network cannot label this data set: {error}; give classes the names that "
            "the network knows (data.rename), or leave others out (data.others=ignore)"
        ) from None
    rounds: Rounds = resolved.build("rounds")
    segmenter = model.segmenter
    store = LabelStore(rounds.folder or folder.absolute().parents[1] / "labels")
    number = _round_of(segmenter, rounds)
    return Source(resolved.name, data, segmenter, rounds, store, number, model.origin, table)


def with_own_corrections(recipe: Recipe, folder: Path, sections: Sections) -> Recipe:
    """The recipe of a run with the corrections that a person has made in the folder of the run,
    where nothing else was said.

    Args:
        recipe: with the words of a command.
        folder: of the run.
        sections: these words alone; another data set has other images.
    """
    own = beside(folder)
    chosen = {"name", "root", "corrections"} & set(sections.get("data", {}))
    if own is None or chosen or recipe.sections["data"].get("corrections") is not None:
        return recipe
    print(
        f"corrections: those in {own} are laid over the data set; data.corrections=null does "
        "without them",
        file=sys.stderr,
    )
    return changed(recipe, "data", {"corrections": str(own)})


def prepare(data: WeakData) -> None:
    """What a trainer does with a data set before it takes images from it. Photos would refuse files
    that cannot be read; here these are named, and do not stop the others."""
    if isinstance(data, Photos):
        print("\n".join(data.remarks), end="\n" * bool(data.remarks), file=sys.stderr)
    else:
        data.prepare_data()
        data.setup("fit")


def _round_of(segmenter: Segmenter, rounds: Rounds) -> int | None:
    """The round that a trained network labels in: a later one where the strategy queries networks,
    and round 0 where it does not."""
    strategy = segmenter.strategy
    if not estimates(strategy):
        return None
    queries = rounds.count != 1 or strategy.wants.features or strategy.wants.intermediate
    return 1 if queries else 0


def with_words(recipe: Recipe, sections: Sections) -> Recipe:
    """The recipe with the words of a command in its sections."""
    errors: list[str] = []
    for section, values in sections.items():
        try:
            recipe = changed(recipe, section, values)
        except RecipeError as error:
            errors += error.errors
    if errors:
        raise RecipeError(errors)
    return recipe
