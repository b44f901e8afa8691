"""Networks as folders in the form of the hubs: model.safetensors, config.json and a model card."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from weakseg.config.lookup import lookup
from weakseg.config.recipe import Recipe, RecipeError, build_section
from weakseg.inference.multiscale import Inference
from weakseg.networks.base import Adapter
from weakseg.networks.parts.weights import load_state, read_published
from weakseg.strategies.boxes_instances import BoxesInstances
from weakseg.strategies.full import Full
from weakseg.trained.checkpoint import CheckpointModel
from weakseg.trained.description import Description, read_description
from weakseg.trained.model import digest
from weakseg.training.segmenter import Segmenter
from weakseg.utils.files import write_whole
from weakseg.utils.messages import quoted
from weakseg.utils.paths import CARD, CONFIG, WEIGHTS
from weakseg.utils.secrets import scrub


def write_published(
    folder: Path,
    network: nn.Module,
    sections: Mapping[str, Mapping[str, Any]],
    description: Description,
    card: str,
) -> None:
    """Write the weights of a network, what is needed to build it anew, and a model card.

    Args:
        folder: which exists; other files in it stay.
        network: with the trained weights.
        sections: of the recipe.
        description: what is known beside the weights.
        card: the text of the model card.
    """
    named = scrub(network_arguments(sections.get("network", {})))
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    weights = safetensors.torch.save(_apart(state), metadata={"format": "pt"})
    write_whole(folder / WEIGHTS, weights)
    config = {
        "architectures": [description.network],
        "model_type": "weakseg",
        "id2label": dict(enumerate(description.classes)),
        "label2id": {name: place for place, name in enumerate(description.classes)},
        **description.values,
        "network": named,
        "network_class": description.network,
        "strategy": sections.get("strategy", {}).get("name"),
        "evidence": sections.get("data", {}).get("evidence"),
        "weights_sha256": digest(folder / WEIGHTS),
    }
    write_whole(folder / CARD, card.encode())
    text = json.dumps(config, indent=2, ensure_ascii=False)
    write_whole(folder / CONFIG, f"{text}\n".encode())


def network_arguments(section: Mapping[str, Any]) -> dict[str, Any]:
    """The section `network` of a recipe without its initial weights, which nobody needs any
    more."""
    return {key: value for key, value in section.items() if key not in ("weights", "classes")}


def _apart(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors that share no memory, as the format wants it."""
    seen: set[int] = set()
    apart = {}
    for name, value in state.items():
        place = value.untyped_storage().data_ptr()
        apart[name] = value.clone() if place in seen else value
        seen.add(place)
    return apart


def load_published(
    folder: Path, predict: Inference | Mapping[str, Any] | None, device: torch.device
) -> CheckpointModel:
    """The network of a folder that `format=hub` has written, on this machine or another.

    No code in the folder is run: a network that is not one of weakseg's has to be a module that
    this Python finds elsewhere.
    """
    config, state = read_published(folder)
    section: Any = config.get("network")
    description = read_description(
        {**config, "network": config.get("network_class")}, folder / CONFIG
    )
    network = _build(section, len(description.classes), folder)
    load_state(network, state, folder / WEIGHTS)
    adapter = Adapter(network, description.classes)
    # it trains nothing here; which one there is makes no difference for predictions
    strategy = BoxesInstances() if adapter.has_losses else Full()
    segmenter = Segmenter(
        network, strategy, description.classes, None, description.inference(predict)
    )
    segmenter.long_side = description.long_side
    segmenter.initial_weights = description.weights
    sections = {
        "network": dict(section),
        "predict": description.predict,
        "strategy": {"name": config.get("strategy")},
    }
    origin = description.origin(folder / WEIGHTS, "hub")
    return CheckpointModel(segmenter, Recipe(description.recipe, sections), origin, device)


def _build(section: Any, classes: int, folder: Path) -> nn.Module:
    """The network that a config.json describes, with random weights."""
    where = folder / CONFIG
    if not isinstance(section, dict) or not isinstance(section.get("name"), str):
        raise ValueError(f"{where} does not say which network it is: network is {quoted(section)}")
    check_class(section["name"], folder)
    try:
        network: nn.Module = build_section(
            "network", network_arguments(section), {}, classes=classes
        )
    except RecipeError as error:
        raise ValueError(f"{where}: {error}") from error
    return network


def check_class(name: str, folder: Path | None = None) -> None:
    """A ValueError for a network that a published folder may not name: anything that is no class of
    networks, and code that came with the folder."""
    top = name.partition(".")[0]
    if "." in name and folder is not None:
        found = importlib.util.find_spec(top)
        places = [] if found is None else [found.origin, *(found.submodule_search_locations or [])]
        inside = [place for place in places if place and _is_in(Path(place), folder)]
        if inside:
            raise ValueError(
                f"the network {name} would run code that came with the folder, {inside[0]}; read "
                "it, and if you trust it, move it to a folder of your own on PYTHONPATH"
            )
    constructor = lookup(name, "network", "weakseg.networks", nn.Module)
    if not isinstance(constructor, type):
        raise ValueError(
            f"network.name: a published folder can only name a class of networks, but {name} is "
            "none"
        )


def _is_in(path: Path, folder: Path) -> bool:
    return folder.resolve() in path.resolve().parents
