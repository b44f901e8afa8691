"""What a session reviews: a data set, the strategies that may estimate its targets, perhaps a
trained network, and the folder of the corrections."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from weakseg.config.recipe import Recipe, RecipeError, resolve
from weakseg.config.recipe import load as load_recipe
from weakseg.config.schema import arguments
from weakseg.data.base import WeakData
from weakseg.data.label_store import LabelStore
from weakseg.labelling.source import prepare, source_of_run, with_words
from weakseg.networks.parts.weights import read_weights
from weakseg.planning.plan import planned
from weakseg.strategies.base import Strategy
from weakseg.trained.checkpoint import run_of
from weakseg.trained.loading import choose_device
from weakseg.training.building import build_run
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter
from weakseg.utils.paths import without_link
from weakseg.utils.remote_path import is_url
from weakseg.utils.secrets import scrub_words

Sections = Mapping[str, Mapping[str, Any]]
FOLDER = "corrections"  # the name of the folder in a run, or in the root of a data set
USUAL = "mixed"  # the recipe where none is named: it takes any mixture of evidence
SPREADING = {"marks": "graphcut"}  # with it, so that a line on a bare photo has a target around it


@dataclass
class Material:
    """What is reviewed.

    Args:
        name: of the recipe; of the folder of the images where none is named.
        data: the images.
        corrections: the folder of the corrections.
        strategy_name: of the strategy, as a recipe has it.
        strategy: estimates the targets.
        train: the words that train with the corrections.
        store: of targets, whose folder also keeps what joint strategies have fitted.
        segmenter: a network with the strategy; None where no network is needed.
        trained: whether that network is trained, so that it has predictions worth looking at.
        number: of the round whose targets are shown: in a later one, strategies query the network.
        table: the numbers that classes of the data set have in the network; None for the same.
        run: the folder of the run; None if there is none.
        fitted: by a joint strategy in the last round of the run, to all images together; None if
            it is to be fitted anew.
        queue: a file with the order of the images; None for that of the run, if it has left one.
    """

    name: str
    data: WeakData
    corrections: Path
    strategy_name: str
    strategy: Strategy
    train: list[str]
    store: LabelStore
    segmenter: Segmenter | None = None
    trained: bool = False
    number: int = 0
    table: Tensor | None = None
    run: Path | None = None
    fitted: Tensor | None = None
    queue: Path | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, by their numbers in all labels that are shown."""
        return tuple(self.data.classes) if self.segmenter is None else self.segmenter.classes

    @property
    def train_command(self) -> str:
        """What a person types to train with the corrections."""
        return shlex.join(["python", "-m", "weakseg.fit", *scrub_words(self.train)])


def material_of_run(
    run: str, checkpoint: str, corrections: Path | None, sections: Sections, device: str
) -> Material:
    """The data set of a run, with its strategy and its trained network."""
    folder = _folder_of_run(run)
    written = load_recipe([f"resume={folder}"])
    named = with_words(written, {"data": sections.get("data", {})}).sections["data"]
    place = corrections or _path(named.get("corrections")) or folder / FOLDER
    below = {**sections.get("data", {}), "corrections": str(place)}
    source = source_of_run(run, checkpoint, {**sections, "data": below}, device)
    train = [f"recipe={folder / 'recipe.yaml'}", *_words({"data": below})]
    return Material(
        source.name,
        source.data,
        place,
        str(written.sections["strategy"]["name"]),
        source.segmenter.strategy,
        train,
        source.store,
        source.segmenter,
        True,
        source.number or 0,
        source.table,
        folder,
        None if source.number or source.origin is None else _fitted(Path(source.origin.path)),
    )


def material_of_recipe(
    recipe: str | None, corrections: Path | None, sections: Sections, device: str
) -> Material:
    """The data set and the strategy of a recipe, before any training."""
    name = recipe or USUAL
    if recipe is None and "name" not in sections.get("strategy", {}):
        sections = {**sections, "strategy": {**SPREADING, **sections.get("strategy", {})}}
    written = with_words(load_recipe([f"recipe={name}"]), sections)
    place = corrections or _path(written.sections["data"].get("corrections")) or _usual(written)
    resolved = resolve(written)
    if "corrections" in arguments(resolved.parts["data"].constructor):
        resolved = resolved.with_values("data", corrections=place)
    resolved = planned(resolved)
    pl.seed_everything(resolved.seed, verbose=False)  # as a run does before it makes its network
    data: WeakData = resolved.build("data")
    strategy: Strategy = resolved.build("strategy", classes=max(2, len(data.classes)))
    segmenter = None
    if strategy.wants.intermediate:  # of the network's encoder, before any training
        data, segmenter, _ = build_run(resolved)
        segmenter.long_side = getattr(data, "long_side", None)
        segmenter.to(choose_device(device)).eval()
        strategy = segmenter.strategy
    data.corrections = place
    prepare(data)
    root = Path(resolved.sections["trainer"].get("default_root_dir") or "runs")
    store = LabelStore(_path(resolved.sections["rounds"].get("folder")) or root / "labels")
    below = {**sections.get("data", {}), "corrections": str(place)}
    train = [f"recipe={name}", *_words({**sections, "data": below})]
    strategy_name = str(resolved.sections["strategy"]["name"])
    images = written.sections["data"].get("root")
    title = resolved.name if recipe or images is None else Path(str(images)).resolve().name
    return Material(title, data, place, strategy_name, strategy, train, store, segmenter)


def _fitted(checkpoint: Path) -> Tensor | None:
    """What a joint strategy has fitted in the only round of a run. What it fits to features of the
    network belongs to the weights of another time, and is not taken."""
    state = read_weights(checkpoint).get("callbacks", {}).get(Rounds.__name__, {})
    fitted = state.get("fitted")
    return fitted if isinstance(fitted, Tensor) and not state.get("queried") else None


def _folder_of_run(run: str) -> Path:
    """The folder of a run, from itself or from a checkpoint in it. Whatever else it is,
    `source_of_run` refuses with its reasons."""
    # `latest` leads elsewhere as soon as somebody trains with the corrections
    path = without_link(Path(run))
    if path.suffix == ".ckpt":
        return without_link(run_of(path))
    if (path / "recipe.yaml").is_file():
        return path
    raise RecipeError(
        f"run: expected a run folder or a checkpoint in one, but {run} is none of them; a network "
        "alone has no data set"
    )


def _usual(recipe: Recipe) -> Path:
    """The folder of the corrections where none is named: beside the images if they are files of
    this machine."""
    root = recipe.sections["data"].get("root")
    if root is not None and not is_url(str(root)):
        return Path(str(root)) / FOLDER
    runs = recipe.sections["trainer"].get("default_root_dir") or "runs"
    return Path(str(runs)) / FOLDER / Path(recipe.name).stem


def _path(value: Any) -> Path | None:
    return None if value is None else Path(str(value))


def _words(sections: Sections) -> list[str]:
    """The words of a command line for the values of sections, a name first."""
    return [
        f"{section}={value}" if key == "name" else f"{section}.{key}={value}"
        for section, values in sections.items()
        if section != "predict"
        for key, value in sorted(values.items(), key=lambda item: item[0] != "name")
    ]
