"""What a Segmenter is given, checked before anything long begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from weakseg.functional.class_matching import none_of
from weakseg.networks.base import Adapter
from weakseg.strategies.base import Strategy, estimates
from weakseg.strategies.common_keys import ONLY_CROSS_ENTROPY

NAMED = 5  # images that a message names


def check_parts(network: Adapter, strategy: Strategy, classes: Sequence[str]) -> None:
    if not isinstance(strategy, Strategy):
        raise TypeError(
            f"strategy should be a weakseg.Strategy, but it is {type(strategy).__name__}"
        )
    if not hasattr(strategy, "_modules"):
        raise TypeError(
            f"the constructor of {type(strategy).__name__} must begin with super().__init__()"
        )
    if isinstance(classes, str) or len(classes) < 2:
        raise ValueError(
            f"classes should be at least two names, the background first, but it is {classes!r}; "
            "set it in your WeakData"
        )
    if network.has_losses and not strategy.wants.box_masks:
        raise TypeError(
            f"{network.name} learns from a mask for each box, but "
            f"{type(strategy).__name__} makes none; take a strategy that does, such as "
            "strategy=boxes_instances"
        )
    for key, default in (("class_weights", None), ("terms", ONLY_CROSS_ENTROPY)):
        if network.has_losses and getattr(strategy, key) != default:
            raise TypeError(
                f"{key} counts in the cross-entropy, but {network.name} has losses of its own; "
                "leave it out"
            )
    if strategy.class_weights == "auto" and not estimates(strategy):
        raise ValueError(
            f"class_weights=auto weighs classes by their shares in the targets, but "
            f"{type(strategy).__name__} estimates none; give numbers, such as {{{classes[-1]}: 5}}"
        )
    if isinstance(strategy.class_weights, Mapping):
        _check_class_weights(strategy.class_weights, classes)
    if strategy.wants.intermediate and (problem := network.lacks("intermediate_features")):
        raise TypeError(
            f"{type(strategy).__name__} wants intermediate features of the network's encoder, but "
            f"{problem}; take a network that has it, such as network=deeplabv3plus"
        )
    if strategy.wants.features_in_loss and (problem := network.lacks("features")):
        raise TypeError(
            f"{type(strategy).__name__} learns from the network's features in each step, but "
            f"{problem}; take a network that has it, such as network=deeplabv3plus"
        )
    if strategy.wants.features and (problem := network.lacks("features")):
        raise TypeError(f"{type(strategy).__name__} wants features, but {problem}")


def _check_class_weights(weights: Mapping[str, float], classes: Sequence[str]) -> None:
    unknown = [name for name in weights if name not in classes]
    if unknown:
        raise ValueError(
            f"class_weights names a class that there is not: {none_of(unknown, classes)}"
        )
    if not any(weights.get(name, 1) for name in classes):
        raise ValueError(
            "class_weights is 0 for every class, so nothing would be learned; give a number above "
            f"0 to those that count, such as {{{classes[-1]}: 1}}"
        )


def check_image(image: object) -> None:
    """A ValueError for what networks cannot be given, from a program that was not checked by
    types."""
    if (
        isinstance(image, Tensor)
        and image.dtype == torch.uint8
        and image.ndim == 3
        and image.shape[0] == 3
    ):
        return
    hint = (
        "torchvision.io.read_image(path, 'RGB') reads one, and pil_to_tensor or "
        "torch.from_numpy(array).permute(2, 0, 1) makes one"
    )
    came = type(image).__name__
    if isinstance(image, Tensor):
        came = f"{str(image.dtype).removeprefix('torch.')} {list(image.shape)}"
    elif isinstance(image, np.ndarray):
        came = f"a numpy array, {image.dtype} {list(image.shape)}"
    raise ValueError(
        f"image should be a tensor, uint8 [3,H,W] in true colours, but it is {came}; {hint}"
    )
