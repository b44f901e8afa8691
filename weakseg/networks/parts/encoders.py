"""Encoders of segmentation-models-pytorch with random weights, or those of ImageNet or of a local
file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from segmentation_models_pytorch.encoders import get_encoder_names
from torch import nn

from weakseg.networks.parts.weights import load_state, read_weights
from weakseg.networks.parts.weights_origin import from_file, from_smp, note_origin
from weakseg.utils.messages import did_you_mean

_CLASSIFIERS = ("fc.", "classifier.")  # what an image classifier has beyond its encoder


def build_model(
    kind: Callable[..., nn.Module], encoder: str, weights: str | Path | None, **arguments: Any
) -> nn.Module:
    """A model of segmentation-models-pytorch on an encoder by the name it has there (`tu-<name>`
    for one of timm)."""
    names: list[str] = get_encoder_names()
    if not encoder.startswith("tu-") and encoder not in names:
        raise ValueError(f"there is no encoder {encoder!r}{did_you_mean(encoder, names)}")
    if str(weights) == "imagenet":
        return _with_imagenet_weights(kind, encoder, arguments)
    model = kind(encoder, encoder_weights=None, **arguments)
    if weights is not None:
        load_state(
            model.get_submodule("encoder"),
            without_classifier(read_weights(Path(weights))),
            Path(weights),
        )
        note_origin(model.get_submodule("encoder"), from_file(Path(weights)))
    return model


def without_classifier(state: dict[str, Any]) -> dict[str, Any]:
    """The part of an image classifier's state dict that its encoder has too."""
    return {name: value for name, value in state.items() if not name.startswith(_CLASSIFIERS)}


def _with_imagenet_weights(
    kind: Callable[..., nn.Module], encoder: str, arguments: dict[str, Any]
) -> nn.Module:
    try:
        model = kind(
            encoder, encoder_weights=True if encoder.startswith("tu-") else "imagenet", **arguments
        )
    except Exception as error:  # the hub's many kinds of failure
        raise ValueError(
            f"the ImageNet weights of {encoder} could not be fetched ({type(error).__name__}: "
            f"{error}); without a network give weights=<path of a local state dict>, or "
            "weights=null to start from random ones"
        ) from error
    note_origin(model.get_submodule("encoder"), from_smp(encoder))
    return model
