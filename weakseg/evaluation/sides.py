"""The sides of a comparison: evaluations of trained networks, each with its recipe and the cost of
its annotation. A run that has no evaluation yet is evaluated."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from weakseg.config.recipe import Recipe, RecipeError, load, resolve, to_yaml
from weakseg.config.values import plain, read_yaml, written
from weakseg.evaluation.annotation_cost import AnnotationCost, seconds_per_image
from weakseg.evaluation.model import evaluate_model
from weakseg.evaluation.results import CONFUSIONS, SUMMARY, Evaluation, read_evaluation
from weakseg.networks.parts.weights import read_weights
from weakseg.trained.checkpoint import checkpoint_of, run_of
from weakseg.utils.files import digest
from weakseg.utils.paths import run_inside
from weakseg.utils.secrets import scrub

MOST = len(ascii_uppercase)
HUB = "model.safetensors"  # the weights in a published folder


@dataclass(frozen=True)
class Side:
    """One of the networks that are compared."""

    letter: str
    """what it is called in tables: A, B, ..."""
    name: str
    """the end of its path, as much as tells it from the others"""
    evaluation: Evaluation
    weights: Path
    """the file of the network"""
    recipe: Mapping[str, str]
    """every key of its recipe with its value as text, defaults too; empty where it is not known"""
    given: frozenset[str]
    """those keys that the recipe itself says"""
    cost: AnnotationCost

    @property
    def unchanged(self) -> bool:
        """Whether the file of the network is still the one that was evaluated."""
        return self.weights.is_file() and digest(self.weights) == self.evaluation.model["sha256"]


def paths_of(runs: Sequence[Path | str]) -> list[Path]:
    """The places of what is compared, links followed; a RecipeError where something is wrong with
    them."""
    if not 2 <= len(runs) <= MOST:
        raise RecipeError(
            f"runs: expected two or more, at most {MOST}, such as runs=[runs/boxes/latest,"
            f"runs/tags/latest], but it is {len(runs)}"
        )
    paths = [Path(os.path.realpath(run)) for run in runs]
    for path, run in zip(paths, runs, strict=True):
        if not path.exists():
            raise RecipeError(f"runs: there is no {run}; expected a run or an evaluation of one")
    for path, run in zip(paths, runs, strict=True):
        if paths.count(path) > 1:
            raise RecipeError(f"runs: {run} is given twice; expected different ones")
    return paths


def open_sides(paths: Sequence[Path], device: str = "auto") -> list[Side]:
    """The sides of a comparison.

    Args:
        paths: of run folders, folders that `evaluate` has written, or whatever else it takes.
        device: for those that have to be evaluated first.
    """
    evaluations = _evaluations(paths, device)
    return [
        _side(letter, name, evaluation)
        for letter, name, evaluation in zip(
            ascii_uppercase, short_names(paths), evaluations, strict=False
        )
    ]


def short_names(paths: Sequence[Path]) -> list[str]:
    """The ends of paths, two parts or as many as it takes to tell them apart; the folder
    `evaluation` of a run goes by the name of the run, and others in it by both names.

    >>> short_names([Path("runs/boxes/1"), Path("runs/tags/1/evaluation"), Path("onnx-on-voc")])
    ['boxes/1', 'tags/1', 'onnx-on-voc']
    >>> short_names([Path("runs/boxes/1/evaluation-test"), Path("runs/tags/1/evaluation-test")])
    ['boxes/1/evaluation-test', 'tags/1/evaluation-test']
    """
    named = [path.parent if path.name == "evaluation" else path for path in paths]
    parts = [[part for part in path.parts if part != path.anchor] for path in named]
    within_runs = any(path.name.startswith("evaluation-") for path in paths)
    for count in range(3 if within_runs else 2, max(map(len, parts)) + 1):
        names = ["/".join(each[-count:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _evaluations(paths: Sequence[Path], device: str) -> list[Evaluation]:
    """The evaluation of each. Those of exported networks come last, as these know no data set: they
    are measured on that of the first one that does."""
    found: dict[Path, Evaluation] = {}
    data: dict[str, Any] | None = None
    for path in sorted(paths, key=_is_exported):
        found[path] = _evaluation(path, device, data if _is_exported(path) else None)
        data = data or found[path].data or None
    return [found[path] for path in paths]


def _evaluation(path: Path, device: str, data: dict[str, Any] | None) -> Evaluation:
    """The evaluation in a folder, or that of a network: the one that was made of these weights, or
    else a new one."""
    if _is_evaluation(path):
        return read_evaluation(path)
    if path.is_dir() and not _is_run(path) and not (path / HUB).is_file():
        raise RecipeError(
            f"runs: expected a run, or a folder that weakseg.evaluate has written, but {path} is "
            f"neither{run_inside(path)}"
        )
    weights, folder = _weights_and_folder(path)
    if _is_evaluation(folder):
        evaluation = read_evaluation(folder)
        if evaluation.model["sha256"] == digest(weights):
            return evaluation
    print(f"{path} has no evaluation of these weights: it is evaluated first", file=sys.stderr)
    return evaluate_model(path, data, folder, device=device)


def _weights_and_folder(path: Path) -> tuple[Path, Path]:
    """The file of a network, and where its evaluation is."""
    if _is_run(path):
        return checkpoint_of(path, "best"), path / "evaluation"
    if path.suffix == ".ckpt":
        return path, run_of(path) / f"evaluation-{path.stem}"
    if path.is_dir():
        return path / HUB, path.with_name(f"{path.name}-evaluation")
    return path, path.with_name(f"{path.stem}-evaluation")


def _is_run(path: Path) -> bool:
    return (path / "recipe.yaml").is_file()


def _is_exported(path: Path) -> bool:
    return not _is_evaluation(path) and not _is_run(path) and path.suffix != ".ckpt"


def _is_evaluation(folder: Path) -> bool:
    return (folder / SUMMARY).is_file() and (folder / CONFUSIONS).is_file()


def _side(letter: str, name: str, evaluation: Evaluation) -> Side:
    weights = _weights(evaluation)
    recipe = _recipe(weights)
    everything = {} if recipe is None else _with_defaults(recipe)
    data = everything.get("data", {})
    seconds = seconds_per_image(data)
    return Side(
        letter,
        name,
        evaluation,
        weights,
        _flat(everything),
        frozenset() if recipe is None else frozenset(_flat(recipe.sections | {"seed": 0})),
        AnnotationCost(seconds, *_training(weights)),
    )


def _weights(evaluation: Evaluation) -> Path:
    """The file of the network, also after its run folder was moved with the evaluation in it."""
    path = Path(evaluation.model["path"])
    if evaluation.folder is not None:
        inside = evaluation.folder.parent / "checkpoints" / path.name
        if evaluation.model["kind"] == "checkpoint" and inside.is_file():
            return inside
    return path


def _recipe(weights: Path) -> Recipe | None:
    """The recipe in the folder of the run that a network comes from; None for a network elsewhere,
    and where the folder is gone."""
    for folder in weights.absolute().parents[:3]:
        if _is_run(folder):
            try:
                return load([f"resume={folder}"])
            except RecipeError:
                return None
    return None


def _with_defaults(recipe: Recipe) -> dict[str, Any]:
    """All sections of a recipe with the defaults of their classes; as they are written where a
    class of one's own is not at hand."""
    everything: dict[str, Any] = {"seed": recipe.seed}
    for section, node in recipe.sections.items():
        try:
            text = to_yaml(resolve(recipe, [section]), defaults=True)
            everything[section] = read_yaml(text.encode(), section)[0].get(section, {})
        except RecipeError:
            everything[section] = node
    return everything


def _flat(node: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Keys with dots, and values as text, without secrets."""
    flat: dict[str, str] = {}
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{above}{key}.")
        else:
            flat[f"{above}{key}"] = written(plain(scrub(value, str(key))))
    return flat


def _training(weights: Path) -> tuple[int | None, float | None]:
    """How many images a checkpoint was trained on, and for how many seconds a person had corrected
    them; None where it does not say."""
    if weights.suffix != ".ckpt" or not weights.is_file():
        return None, None
    known = read_weights(weights).get("weakseg", {})
    images = known.get("training_images")
    corrections = known.get("corrections")
    return (
        None if images is None else int(images),
        None if corrections is None else float(corrections["seconds"]),
    )


def differing_keys(sides: Sequence[Side]) -> dict[str, list[str]]:
    """The keys of recipes in which the sides differ, with the value of each; "-" where a side has
    no such key, or no recipe. Of those that some recipe says itself: defaults follow from these."""
    known = [side for side in sides if side.recipe]
    said = {key for side in known for key in side.given}
    order = list(dict.fromkeys(key for side in known for key in side.recipe if key in said))
    sections = list(dict.fromkeys(key.partition(".")[0] for key in order))
    order.sort(key=lambda key: sections.index(key.partition(".")[0]))
    rows = {key: [side.recipe.get(key, "-") for side in sides] for key in order}
    return {
        key: values
        for key, values in rows.items()
        if len({value for value, side in zip(values, sides, strict=True) if side.recipe}) > 1
    }
