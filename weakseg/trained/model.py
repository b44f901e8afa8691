"""TrainedModel, what every verb works with, and where it came from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import Instances
from weakseg.functional.resolution import downsample
from weakseg.inference.multiscale import Inference, infer
from weakseg.utils.files import digest as digest

Kind = Literal["checkpoint", "onnx", "torch", "hub"]


class Origin(NamedTuple):
    """Where a trained network comes from, as it stands in every summary."""

    path: str
    """of the file with its weights"""
    kind: Kind
    sha256: str
    """of that file"""
    recipe: str
    """the name of the recipe that it was trained with; empty where that is not known"""
    step: int | None
    """of the training; None where that is not known"""
    weights: str
    """its initial weights, with their licence where that is known"""


class TrainedModel(ABC):
    """A network that was trained, with the names of its classes and the way in which it predicts.

    A subclass defines `logits`; everything else follows from it. Which of them it is, a checkpoint
    or an exported graph, makes no difference for the verbs.

    Args:
        classes: names of the classes; class 0 is the background.
        long_side: images with a longer side are shrunk to this one first, as in training; None for
            images at their own size.
        inference: scales, mirror image, windows and CRF of predictions.
        origin: where the network comes from.
        recipe: what is known of the recipe, its sections by name.
    """

    device: torch.device = torch.device("cpu")
    """where the network is"""
    finds_objects: bool = False
    """whether it is a network for instance segmentation, which answers `objects`"""

    def __init__(
        self,
        classes: tuple[str, ...],
        long_side: int | None,
        inference: Inference,
        origin: Origin,
        recipe: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.classes = classes
        self.long_side = long_side
        self.inference = inference
        self.origin = origin
        self._recipe = recipe

    @abstractmethod
    def logits(self, images: Tensor) -> Tensor:
        """Logits float32 [B,C,H,W] of images uint8 [B,3,H,W] at the images' own resolution, on the
        device of the network."""

    def probabilities(self, image: Tensor) -> Tensor:
        """Probabilities float32 [C,H,W], on the CPU, of one image uint8 [3,H,W] at its own
        size."""
        seen = downsample(image, self.long_side)
        probs = infer(seen, self.logits, self.inference)
        size = image.shape[-2:]
        if probs.shape[-2:] == size:
            return probs
        return F.interpolate(probs[None], size, mode="bilinear")[0]

    def objects(self, image: Tensor) -> Instances | None:
        """The objects on one image uint8 [3,H,W], from a network for instance segmentation; None
        from any other."""
        return None

    def recipe_section(self, name: str) -> dict[str, Any]:
        """What is known of a section of the recipe, such as `data`; nothing where it is not. Of a
        run on this machine it may hold secrets: `weakseg.utils.secrets.scrub` it before it is
        shown."""
        return dict(self._recipe.get(name, {}))
