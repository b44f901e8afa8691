"""The parts of a run from its recipe: data set, network with strategy, and rounds."""

from __future__ import annotations

from typing import Any

from weakseg.config.recipe import RecipeError, Resolved
from weakseg.strategies.base import Strategy
from weakseg.training.corrections_check import missing_folder
from weakseg.training.initial_weights import load_initial_weights
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter


def build_run(recipe: Resolved) -> tuple[Any, Segmenter, Rounds]:
    """Data, network with strategy, and rounds; what their constructors refuse is told for all of
    them at once. The first weights of the network depend on the random numbers of torch."""
    data: Any = recipe.build("data")
    if getattr(data, "bare", False) and len(data.classes) < 2:
        raise RecipeError(
            missing_folder(data)
            or f"data: there is no class but the {data.classes[0]}; add some with python -m "
            "weakseg.review, or name them with data.classes"
        )
    errors: list[str] = []
    parts: dict[str, Any] = {}
    for section in ("network", "strategy", "optimizer", "rounds", "predict"):
        try:
            parts[section] = recipe.build(section, classes=len(data.classes))
        except RecipeError as error:
            errors += error.errors
    if recipe.init_from and "network" in parts:
        errors += load_initial_weights(recipe, parts["network"], data.classes)
    if "strategy" in parts:
        errors += _wrong_model(parts["strategy"])
    if errors:
        raise RecipeError(errors)
    segmenter = Segmenter(
        parts["network"], parts["strategy"], data.classes, parts["optimizer"], parts["predict"]
    )
    return data, segmenter, parts["rounds"]


def _wrong_model(strategy: Strategy) -> list[str]:
    """What is wrong with the model that a strategy asks, if anything. A trained network needs it no
    more, so nobody looks for it where one is loaded."""
    if strategy.wants.encoder is None:
        return []
    try:
        strategy.wants.encoder.check()
    except ValueError as error:
        return [f"strategy: {error}"]
    return []
