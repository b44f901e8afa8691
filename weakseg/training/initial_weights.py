"""The weights of another run, or published ones, as the first ones of this: their classes matched
by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from weakseg.config.recipe import RecipeError, Resolved
from weakseg.functional.class_matching import match_classes
from weakseg.networks.parts.weights import load_state, read_published, read_weights, reorder
from weakseg.networks.parts.weights_origin import from_run, note_origin, origin_of
from weakseg.utils.downloads import local_model
from weakseg.utils.paths import WEIGHTS, checkpoint_in, is_published


def load_initial_weights(recipe: Resolved, network: nn.Module, classes: Sequence[str]) -> list[str]:
    """Load the network's weights from a checkpoint, the best one of a run folder or a published
    folder, their classes matched by name; returns what is wrong with it."""
    try:
        source, state, known = _read(local_model(recipe.init_from or ""))
        theirs = known.get("classes", classes)
        if set(theirs) != set(classes):
            raise ValueError(
                f"the weights in {source} know the classes {', '.join(theirs)}, but the data set "
                f"has {', '.join(classes)}; expected the same names, in any order: see "
                "data.rename, data.classes and data.others"
            )
        table = match_classes(theirs, classes)
        if table is not None:
            state = reorder(state, _wider(recipe, len(classes)), table, len(classes), source)
        load_state(network, state, source)
        note_origin(network, from_run(source, known.get("initial_weights", "not known")))
    except ValueError as error:
        return [f"init_from: {error}"]
    return []


def _read(place: Path) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The file that has the weights of a checkpoint, a run folder or a published one; the weights
    of its network; and what it knows of them."""
    if is_published(place):
        config, state = read_published(place)
        return place / WEIGHTS, state, config | {"initial_weights": config.get("weights")}
    source = checkpoint_in(place) or place
    content = read_weights(source)
    state = {
        name.removeprefix("network."): value
        for name, value in content.get("state_dict", {}).items()
        if name.startswith("network.")
    }
    return source, state, content.get("weakseg", {})


def describe_initial_weights(network: nn.Module) -> str:
    """Where the weights of a network that is not trained yet come from, with their licence where
    that is known."""
    own = type(network).__module__.startswith("weakseg.networks.")
    return origin_of(network) or ("random" if own else f"as {type(network).__name__} makes them")


def _wider(recipe: Resolved, classes: int) -> nn.Module | None:
    """The recipe's network for one class more, whose tensors tell which rows belong to classes;
    None if it cannot be built."""
    try:
        wider = recipe.with_random_weights().with_values("network", classes=classes + 1)
        network: nn.Module = wider.build("network")
    except RecipeError:
        return None
    return network
