"""Network, the protocol of what weakseg trains: one call from images to logits, and parts that a
network may have beside it.

Any `torch.nn.Module` whose call returns logits is a network. Every other part is optional; each is
a protocol below. `Adapter` finds out once which parts a module has, and checks what it returns.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from weakseg.evidence import Batch, Instances

# a network may pad images to whole cells of its coarsest stage, and return logits of the padding
LARGEST_CELL = 64

Output = Tensor | Mapping[str, Any]
"""logits [B,C,h,w], or as in torchvision {"out": logits, "aux": logits, or several in a list}"""


class Network(Protocol):
    """What every network has: images to logits."""

    def __call__(self, image: Tensor) -> Output:
        """Logits float [B,C,h,w] of normalised images float [B,3,H,W], of any size h, w."""


class WithStride(Network, Protocol):
    """Defines how logits lie on the image. Without it they are interpolated to the image's size."""

    @property
    def stride(self) -> int:
        """Pixels of the image per cell of the logits: cell i stands for the pixels from
        i * stride on, and the last cells may reach beyond the image."""


class WithFeatures(Network, Protocol):
    """Has features of each place, for strategies that want them in `prediction.features` or
    `batch.features`."""

    def features(self, image: Tensor) -> Tensor:
        """Features float [B,D,h,w] of normalised images, usually the input of the last layer."""


class WithClassifier(WithFeatures, Protocol):
    """Makes its logits of its features alone, so that strategies that want both in a step need one
    pass over the images. Others are called twice."""

    def classify(self, features: Tensor) -> Tensor:
        """The logits of `features(image)`: the same as those of the image."""


class WithIntermediateFeatures(Network, Protocol):
    """Has features of an earlier encoder stage, for strategies such as `cosegmentation`."""

    def intermediate_features(self, image: Tensor) -> Tensor:
        """Features float [B,D,h,w] of normalised images whose sides are multiples of 32, from a
        stage at which a cell still depends on its surroundings alone."""


class WithAuxiliaryLogits(Network, Protocol):
    """Returns {"out": logits, "aux": further logits} in training, and trains on both."""

    @property
    def auxiliary_weight(self) -> float:
        """Factor of the loss of the auxiliary logits; with 0 they are not used."""


class WithEncoder(Network, Protocol):
    """Separates its pretrained body from its head: `optimizer.head_multiplier` needs it, and
    `optimizer.freeze_batchnorm` is then for the body alone. It may be called `backbone`, too."""

    @property
    def encoder(self) -> nn.Module:
        """The part that may come pretrained."""


class WithLosses(Network, Protocol):
    """Makes its own loss from the boxes and masks of single objects (instance segmentation)."""

    def losses(self, image: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Named scalar terms, whose sum trains the network, for normalised images and their
        batch."""


class WithInstances(Network, Protocol):
    """Finds single objects, whose average precision is then measured."""

    def detect(self, image: Tensor) -> list[Instances]:
        """The objects in each of the normalised images [B,3,H,W], the most certain first."""


class Adapter:
    """One network for the rest of weakseg: which optional parts it has, found out once, and outputs
    that are checked against the protocols.

    Args:
        network: any module that maps images to logits.
        classes: names of the classes that its logits should have.
    """

    def __init__(self, network: nn.Module, classes: Sequence[str]) -> None:
        if not isinstance(network, nn.Module):
            raise TypeError(
                f"network should be a torch.nn.Module, but it is {type(network).__name__}"
            )
        self.network = network
        self.classes = tuple(classes)
        self.name = type(network).__name__
        self.stride = _stride(network)
        self.auxiliary_weight = _auxiliary_weight(network)
        self.has_classifier = _is_method(network, "classify")
        self.has_losses = _is_method(network, "losses")
        self.has_instances = _is_method(network, "detect")

    def logits(self, image: Tensor) -> list[Tensor]:
        """The logits of normalised images, and behind them the auxiliary ones, if they count."""
        return self._checked(self.network(image))

    def logits_and_features(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """The same, and the part `features`, which has to be there; in one pass, if the network can
        classify its features."""
        if self.has_classifier:
            features = self.features(image)
            return self._checked(self._part("classify")(features)), features
        return self.logits(image), self.features(image)

    def _checked(self, output: Any) -> list[Tensor]:
        found = [main_logits(output)]
        if self.auxiliary_weight and isinstance(output, Mapping) and "out" in output:
            auxiliary: Any = output.get("aux")
            if auxiliary is not None:
                found += [auxiliary] if isinstance(auxiliary, Tensor) else auxiliary
        for logits in found:
            _expect_map(self.name, "logits as one tensor [B,C,h,w]", logits)
            if logits.shape[1] != len(self.classes):
                raise ValueError(
                    f"{self.name} returns {logits.shape[1]} classes, but the data set has "
                    f"{len(self.classes)}: {', '.join(self.classes)}"
                )
        return found

    def upsample(self, logits: Tensor, image: Tensor) -> Tensor:
        """Logits at the resolution of the image: enlarged by `stride` and cut or, where the network
        names none, interpolated to its size."""
        height, width = image.shape[-2:]
        if self.stride is None or self.stride == 1:
            same = logits.shape[-2:] == image.shape[-2:]
            return logits if same else _interpolate(logits, (height, width))
        self._expect_stride(logits, self.stride, image)
        large = (logits.shape[-2] * self.stride, logits.shape[-1] * self.stride)
        return _interpolate(logits, large)[..., :height, :width]

    def features(self, image: Tensor) -> Tensor:
        """The part `features`, which has to be there."""
        return self._map_of("features", image)

    def intermediate_features(self, image: Tensor) -> Tensor:
        """The part `intermediate_features`, which has to be there."""
        return self._map_of("intermediate_features", image)

    def losses(self, image: Tensor, batch: Batch) -> Any:
        """What the part `losses` returns, which has to be there."""
        return self._part("losses")(image, batch)

    def detect(self, image: Tensor) -> list[Instances]:
        """The part `detect`, which has to be there."""
        found = self._part("detect")(image)
        right = isinstance(found, Sequence) and all(isinstance(each, Instances) for each in found)
        if not right or len(found) != len(image):
            raise TypeError(
                f"{self.name}.detect should return a list with one weakseg.evidence.Instances per "
                f"image, here {len(image)}, but it returned {_called(found)}"
            )
        return list(found)

    def lacks(self, part: str) -> str:
        """Why a method that is needed cannot be called, for a message; "" if it can.

        >>> Adapter(nn.Conv2d(3, 2, 1), ["background", "cat"]).lacks("features")
        'Conv2d has no method `features`'
        """
        if callable(found := getattr(self.network, part, None)):
            return ""
        what = "" if found is None else f" (its attribute {part} is {_called(found)})"
        return f"{self.name} has no method `{part}`{what}"

    def _part(self, name: str) -> Callable[..., Any]:
        if problem := self.lacks(name):
            raise TypeError(problem)
        part: Callable[..., Any] = getattr(self.network, name)
        return part

    def _map_of(self, part: str, image: Tensor) -> Tensor:
        found: Tensor = self._part(part)(image)
        _expect_map(f"{self.name}.{part}", "one tensor [B,D,h,w]", found)
        return found

    def _expect_stride(self, logits: Tensor, stride: int, image: Tensor) -> None:
        """A ValueError for logits that cannot be at the stride which the network names."""
        sides = [
            (cells * stride, pixels)
            for cells, pixels in zip(logits.shape[-2:], image.shape[-2:], strict=True)
        ]
        if all(pixels <= side < 2 * max(pixels, LARGEST_CELL) for side, pixels in sides):
            return
        height, width = image.shape[-2:]
        raise ValueError(
            f"{self.name} has stride {stride}, so its logits for an image of {height}x{width} "
            f"should be {-(-height // stride)}x{-(-width // stride)}, but they are "
            f"{logits.shape[-2]}x{logits.shape[-1]}; correct `stride`, or leave it out to have "
            "logits interpolated to the size of the image"
        )


def main_logits(output: Any) -> Any:
    """The logits in what a network returned: itself, or "out" as in torchvision."""
    return output["out"] if isinstance(output, Mapping) and "out" in output else output


def encoder_of(network: nn.Module) -> nn.Module | None:
    """The part of a network that may come pretrained, its `encoder` or `backbone`; None if it does
    not separate body and head."""
    found = (getattr(network, name, None) for name in ("encoder", "backbone"))
    return next((module for module in found if isinstance(module, nn.Module)), None)


def _stride(network: nn.Module) -> int | None:
    """The network's stride; None for none, and for what is no number, such as the pair that
    torch's own layers call so."""
    stride = getattr(network, "stride", None)
    if not isinstance(stride, Real):
        return None
    value = float(stride)
    if not value.is_integer() or value < 1:
        raise ValueError(
            f"the stride of {type(network).__name__} should be a whole number of pixels per cell "
            f"of its logits, at least 1, but it is {stride}"
        )
    return int(value)


def _auxiliary_weight(network: nn.Module) -> float:
    weight = getattr(network, "auxiliary_weight", 0)
    value = float(weight) if isinstance(weight, Real) else math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(
            f"the auxiliary_weight of {type(network).__name__} should be a number, 0 or more, by "
            f"which the loss of its auxiliary logits is multiplied, but it is {weight!r:.80}"
        )
    return value


def _is_method(network: nn.Module, name: str) -> bool:
    """Whether a network has a method of that name. A list or module that it calls so, as some do
    for their own use, is none."""
    return inspect.ismethod(getattr(network, name, None))


def _interpolate(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(logits, size, mode="bilinear")


def _expect_map(where: str, expected: str, found: object) -> None:
    if not isinstance(found, Tensor) or found.ndim != 4:
        raise TypeError(f"{where} should return {expected}, but it returned {_called(found)}")


def _called(value: object) -> str:
    return f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
