"""What stands in an exported network beside its weights: the names of its classes, how it predicts,
and where it comes from."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from weakseg.config.recipe import build_section
from weakseg.config.values import plain
from weakseg.inference.multiscale import Inference
from weakseg.trained.model import Kind, Origin, TrainedModel, digest
from weakseg.training.segmenter import IMAGENET_MEAN, IMAGENET_STD
from weakseg.utils.messages import quoted

FORMAT = 1
"""of the description; another number: this version cannot read it"""
LONGEST = 2000  # characters of a text
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Description:
    """What a reader of an exported network has to know, and what a person wants to."""

    classes: tuple[str, ...]
    """class 0 is the background"""
    long_side: int | None
    """of the images of the training; larger ones are shrunk to it first"""
    predict: dict[str, Any]
    """the section `predict` of the recipe"""
    network: str
    """the name of its class"""
    stride: int | None
    """pixels of the image per cell of the network's own logits"""
    recipe: str
    step: int | None
    weights: str
    """its initial weights"""
    licence: str
    """of the trained weights, as who exports them gives it"""
    checkpoint_sha256: str
    """of the file that was exported"""
    weakseg: str = importlib.import_module("weakseg").__version__
    """the version that exported it"""
    format: int = FORMAT
    image_mean: tuple[float, ...] = IMAGENET_MEAN
    """of red, green and blue from 0 to 1. Normalisation is part of an exported graph: this is for
    information, as is `image_std`"""
    image_std: tuple[float, ...] = IMAGENET_STD

    @property
    def values(self) -> dict[str, Any]:
        """As lists, dictionaries, text and numbers."""
        values: dict[str, Any] = plain(asdict(self))
        return values

    def inference(self, above: Inference | Mapping[str, Any] | None) -> Inference:
        """How it predicts, with other values above those that are stored."""
        if isinstance(above, Inference):
            return above
        inference: Inference = build_section("predict", self.predict, above or {})
        return inference

    def origin(self, path: Path, kind: Kind) -> Origin:
        """Where a network comes from that is read from a file."""
        return Origin(str(path), kind, digest(path), self.recipe, self.step, self.weights)

    def expect_classes(self, shape: Sequence[Any], path: Path) -> None:
        """A ValueError if a graph whose logits have this shape [B,C,H,W] has not one channel for
        each of the classes."""
        count = shape[1] if len(shape) == 4 else "no"
        if count != len(self.classes):
            raise ValueError(
                f"{path} should have logits of {len(self.classes)} classes, those that it names, "
                f"but it has {count} channels of them; export the run again"
            )

    @property
    def recipe_sections(self) -> dict[str, dict[str, Any]]:
        """What is known of the recipe."""
        return {"predict": self.predict, "network": {"name": self.network}}


def describe(model: TrainedModel, network: str, stride: int | None, licence: str) -> Description:
    """The description of a trained network that is exported."""
    return Description(
        classes=tuple(model.classes),
        long_side=model.long_side,
        predict=model.recipe_section("predict"),
        network=network,
        stride=stride,
        recipe=model.origin.recipe,
        step=model.origin.step,
        weights=without_folders(model.origin.weights),
        licence=licence,
        checkpoint_sha256=model.origin.sha256,
    )


def without_folders(weights: str) -> str:
    """Initial weights without the folders of the machine on which they were a file.

    >>> without_folders("file ../my weights/vgg.pth (SHA-256 9f0a, licence not known)")
    'file vgg.pth (SHA-256 9f0a, licence not known)'
    >>> without_folders("../mine/vgg.pth"), without_folders("timm's some/hub (licence MIT)")
    ('vgg.pth', "timm's some/hub (licence MIT)")
    """
    start = r"\b(?:file|run) |^(?!\S+'s )"
    return re.sub(rf"({start})[^()]*[/\\](?=[^/\\()])", r"\1", weights)


def read_description(values: Mapping[str, Any], source: Path) -> Description:
    """A description from a file that may be anyone's: whatever is wrong with it is a ValueError
    that names the file."""
    if not {"classes", "format"} <= values.keys():
        raise ValueError(
            f"{source} was not exported by weakseg: it does not say which classes it knows; export "
            "the run again, with python -m weakseg.export"
        )
    if values["format"] != FORMAT:
        raise ValueError(
            f"{source} was exported by another version of weakseg ({values.get('weakseg')}), whose "
            f"format is {quoted(values['format'])} and not {FORMAT}; export the run again"
        )
    wrong = [name for name, right in _CHECKS.items() if not right(values.get(name))]
    if wrong:
        shown = "; ".join(f"{name} is {quoted(values.get(name))}" for name in wrong)
        raise ValueError(f"what {source} says of its network cannot be right: {shown}")
    known = {name: values[name] for name in _CHECKS}
    lists = {name: tuple(values[name]) for name in ("classes", "image_mean", "image_std")}
    return Description(**known | lists | {"format": FORMAT})


def as_text(description: Description) -> dict[str, str]:
    """Its values as text: text as it is, everything else as JSON."""
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in description.values.items()
    }


def from_text(texts: Mapping[str, str], source: Path) -> Description:
    """The counterpart of `as_text`."""
    kept = [name for name, right in _CHECKS.items() if right is _is_text]
    return read_description(
        {name: text if name in kept else _parsed(text) for name, text in texts.items()}, source
    )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _is_side(value: object) -> bool:
    return value is None or (_is_count(value) and value != 0)


def _are_classes(value: object) -> bool:
    return (
        isinstance(value, list | tuple)
        and 2 <= len(value) <= 255
        and all(map(_is_text, value))
        and len(set(value)) == len(value)
    )


def _are_colours(value: object) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(isinstance(each, int | float) for each in value)
    )


_CHECKS = {
    "classes": _are_classes,
    "long_side": _is_side,
    "predict": lambda value: isinstance(value, dict),
    "network": _is_text,
    "stride": _is_side,
    "recipe": _is_text,
    "step": lambda value: value is None or _is_count(value),
    "weights": _is_text,
    "licence": _is_text,
    "checkpoint_sha256": _is_text,
    "weakseg": _is_text,
    "image_mean": _are_colours,
    "image_std": _are_colours,
}
