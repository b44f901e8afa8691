"""Strategy, the one class to subclass: which pseudo-labels has an image, and how do they train the
network?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple, TypeGuard

import torch
from torch import Tensor, nn

from weakseg.evidence import IGNORE, Batch, Evidence, Prediction
from weakseg.foundation.frozen_encoder import FrozenEncoder
from weakseg.strategies.common_keys import CommonKeys, check_common_keys, left_of
from weakseg.strategies.label_loss import label_loss
from weakseg.utils.array_cache import ArrayCache
from weakseg.utils.limits import CountFromZero, check_limits, require

Resolution = Literal["image", "scores"]
Figures = Mapping[str, Tensor | float]
NO_FIGURES: Figures = {}


@dataclass(frozen=True)
class Wants:
    """What a strategy wants of the network, and what kind of labels it makes.

    Args:
        features: whether `context.prediction.features` is there: of the last layer before the
            classifier, in rounds that query the network.
        intermediate: the long side of the image in pixels at which the encoder sees it for
            `context.prediction.intermediate`, in round 0, too; 0 for not at all.
        features_in_loss: whether `batch.features` is there in `loss`, with gradients: of the last
            layer before the classifier, for the images of the batch.
        resolution: of the logits that `loss` is given. image: enlarged to the image; scores: as the
            network makes them, at its stride.
        box_masks: whether `estimate` returns a mask for each box, bool [N,H,W], from which networks
            such as Mask R-CNN learn single objects. Of these a loss on classes gets the classes of
            the masks, the smallest on top.
        encoder: a model of others that sees each image before it is estimated, whose `encoding` of
            the image `estimate` then finds at no cost.
    """

    features: bool = False
    intermediate: CountFromZero = 0
    resolution: Resolution = "image"
    box_masks: bool = False
    features_in_loss: bool = False
    encoder: FrozenEncoder | None = None

    def __post_init__(self) -> None:
        check_limits(self, "{} of wants")
        for name in ("features", "box_masks", "features_in_loss"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(
                    f"{name} of wants should be True or False, but it is {getattr(self, name)!r}"
                )
        if not isinstance(self.encoder, FrozenEncoder | None):
            raise ValueError(
                f"encoder of wants should be a FrozenEncoder or None, but it is {self.encoder!r}"
            )


class Context(NamedTuple):
    """What `estimate` is given beside the evidence of an image."""

    prediction: Prediction | None = None
    """of the network for this image. None in round 0, in which there is no trained network; with
    `Wants.intermediate` there is one, in which every class has the same probability"""
    fitted: Tensor | None = None
    """what `JointStrategy.fit` has returned in this round; None before it has"""
    cache: ArrayCache = ArrayCache()
    """for arrays that depend on the image alone and need not be computed again in later rounds"""
    classes: Sequence[str] = ()
    """names of the classes of the data set, the background first, as `check` is given them"""


class Estimate(NamedTuple):
    """What `estimate` returns if there is more to log than the labels."""

    labels: Tensor
    figures: Figures = NO_FIGURES
    """the mean of each over the images of a round is logged as estimate/<name>"""


class Loss(NamedTuple):
    """What `loss` returns if there is more to log than its terms."""

    terms: dict[str, Tensor]
    labels: Tensor | None = None
    """pseudo-labels that were estimated in this step: integers [B,H,W] with 255 = ignored, or float
    [B,C,H,W]. The shares of their classes are logged as estimate/share/<class>, and after an epoch
    a warning names the classes that should be found, but were not"""
    named: Tensor | None = None
    """bool [B,C]: the classes that should be found in each image; None for those that its tags and
    boxes name"""
    figures: Figures = NO_FIGURES
    """logged as estimate/<name>"""


class Strategy(CommonKeys):
    """A method of weak supervision: pseudo-label estimation, a loss, or both. Override `estimate`,
    `loss` or both.

    >>> class EveryPixelIsBackground(Strategy):
    ...     def estimate(self, evidence, context):
    ...         return torch.zeros(evidence.image.shape[1:], dtype=torch.uint8)
    """

    needs: ClassVar[tuple[str, ...]] = ()
    """fields of evidence that every training image must have; checked before training starts"""
    not_in_key: ClassVar[tuple[str, ...]] = ("class_weights", "terms")
    """attributes that change no target, such as options of the loss and counters. A change of any
    other attribute computes new targets, as does an edit of the strategy's code or of code that it
    imports from weakseg or from files beside it. The names of base classes are left out as well;
    `child.name` is an attribute of a child"""
    tunable: ClassVar[Mapping[str, Sequence[Any]]] = {}
    """values that `python -m weakseg.tune` tries where none are given, by key as a recipe has them:
    {"crf.bilateral_rgb": (3, 4, 5)}"""
    wants: Wants = Wants()
    """of the network; an instance may have its own"""

    def __init_subclass__(cls, *, abstract: bool = False) -> None:
        super().__init_subclass__()
        if abstract:
            return
        _check_names(cls)
        if "takes" not in vars(cls):
            cls.takes = left_of(cls.takes, "loss" in vars(cls), estimates(cls))
        _check_declarations(cls)
        _check_kind(cls)
        if not estimates(cls) and cls.loss is Strategy.loss:
            raise TypeError(
                f"strategy {cls.__name__} overrides neither estimate nor loss; it would teach "
                "nothing"
            )

    def __setattr__(self, name: str, value: Any) -> None:
        expected = _own(type(self)).get(name, "a value")
        if expected != "a value":
            raise TypeError(
                f"strategy {type(self).__name__} sets self.{name}, but {name} is {expected} of "
                "Strategy; call yours otherwise"
            )
        if name == "wants":
            _check_wants(type(self), value)
        if isinstance(value, nn.Module | nn.Parameter) and "_modules" not in vars(self):
            raise TypeError(
                f"the constructor of {type(self).__name__} must begin with super().__init__()"
            )
        super().__setattr__(name, value)

    def estimate(self, evidence: Evidence, context: Context) -> Tensor | Estimate:
        """The target of one image: uint8 [H,W] (255 = ignored), or float [C,H,W] whose sum at a
        pixel is its weight; with `Wants.box_masks` bool [N,H,W], a mask for each box.

        Pure: the same input gives the same output, and nothing outside is read or changed. All
        attributes count as parameters but those that `not_in_key` names.
        """
        return torch.full(evidence.image.shape[-2:], IGNORE, dtype=torch.uint8)

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor] | Loss:
        """Named terms, logged one by one and summed: logits [B,C,H,W] against a batch. Default:
        cross-entropy with its targets, or what `terms` say."""
        return target_loss(logits, batch, self)

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Raise a ValueError if nothing can be learned from this evidence, although it is well
        formed. Called before training starts."""


class JointStrategy(Strategy, abstract=True):
    """A strategy that fits something to all training images together before it estimates the target
    of each. Override `describe`, `fit` and `estimate`.

    At the beginning of each round, every image is described, and `fit` is called once, for all
    processes; this is done `iterations` times. All three methods are pure, and what was fitted is
    part of the key of every target.
    """

    iterations: CountFromZero = 1
    """how often images are described and fitted before a round; `describe` finds in
    `context.fitted` what was fitted in the iteration before, at first None. 0: nothing is fitted,
    and each image is estimated by itself, as by any other Strategy"""

    def __init_subclass__(cls, *, abstract: bool = False) -> None:
        super().__init_subclass__(abstract=abstract)
        if not isinstance(cls.iterations, property | cached_property):
            require(f"strategy {cls.__name__}: iterations", CountFromZero, cls.iterations)
        if not abstract and (cls.fit is JointStrategy.fit or not estimates(cls)):
            raise TypeError(
                f"strategy {cls.__name__} should override fit, which is called before images are "
                "estimated, and estimate; one that needs no fit is a Strategy"
            )

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "iterations":
            require(name, CountFromZero, value)
        super().__setattr__(name, value)

    def describe(self, evidence: Evidence, context: Context) -> dict[str, Tensor]:
        """What `fit` has to know of one image: little, since the descriptions of all images are
        held in memory."""
        return {}

    def fit(self, descriptions: Sequence[dict[str, Tensor]]) -> Tensor | None:
        """What `estimate` finds in `context.fitted`, from the descriptions of all training images
        in the order of the images' ids."""
        return None

    def continue_fit(self, before: Tensor | None, fitted: Tensor | None) -> Tensor | None:
        """What `context.fitted` is after an iteration: by default what `fit` has returned in it.

        Args:
            before: what it was until now; None in the first iteration.
            fitted: what `fit` has returned.
        """
        return fitted


def estimates(strategy: Strategy | type[Strategy]) -> bool:
    """Whether a strategy computes targets, so that training needs rounds."""
    cls = strategy if isinstance(strategy, type) else type(strategy)
    return cls.estimate is not Strategy.estimate


def fits_together(strategy: Strategy) -> TypeGuard[JointStrategy]:
    """Whether a strategy is fitted to all training images before it estimates any."""
    return isinstance(strategy, JointStrategy) and strategy.iterations > 0


def target_loss(logits: Tensor, batch: Batch, strategy: Strategy) -> dict[str, Tensor]:
    """The default loss: the mean cross-entropy with the targets of a batch, and what else the
    strategy's `terms` say."""
    if batch.target is None:
        raise ValueError(
            f"the images {', '.join(batch.ids)} have no targets: {type(strategy).__name__} learns "
            "from estimated targets, so give the trainer callbacks=[weakseg.Rounds()]"
        )
    return label_loss(logits, batch.target, strategy.terms, batch.class_weights)


def _check_declarations(cls: type[Strategy]) -> None:
    wrong = [field for field in cls.needs if field not in Evidence._fields]
    if isinstance(cls.needs, str) or wrong:
        raise TypeError(
            f"strategy {cls.__name__}: needs should be a tuple of "
            f"{', '.join(Evidence._fields[2:])}, but it is {cls.needs!r}"
        )
    if isinstance(cls.not_in_key, str):
        raise TypeError(
            f"strategy {cls.__name__}: not_in_key should be a tuple of names of attributes, but it "
            f"is {cls.not_in_key!r}"
        )
    check_common_keys(cls)
    _check_wants(cls, cls.wants)


def _check_kind(cls: type[Strategy]) -> None:
    """Nobody calls `describe` and `fit` of a strategy that is not a JointStrategy."""
    names = [name for name in ("describe", "fit") if hasattr(cls, name)]
    if names and not issubclass(cls, JointStrategy):
        raise TypeError(
            f"strategy {cls.__name__} has {' and '.join(names)}, which weakseg calls of a "
            "JointStrategy alone; derive it from weakseg.JointStrategy, or call yours otherwise"
        )


def _check_wants(cls: type[Strategy], wants: object) -> None:
    if not isinstance(wants, Wants | property | cached_property):
        raise TypeError(
            f"strategy {cls.__name__}: wants should be a Wants, such as Wants(features=True), but "
            f"it is {wants!r}"
        )


def _check_names(cls: type[Strategy]) -> None:
    """What a subclass calls like something of Strategy has to be of the same kind, or Strategy
    itself would break."""
    for name, expected in _own(cls).items():
        if name not in vars(cls):
            continue
        kind = _kind(vars(cls)[name])
        computed = expected == "a value" and kind == "a property"
        if kind != expected and not computed:
            raise TypeError(
                f"strategy {cls.__name__}: {name} is {expected} of Strategy, but here it is "
                f"{kind}; call yours otherwise"
            )


def _own(cls: type[Strategy]) -> dict[str, str]:
    """The names that Strategy uses itself, or JointStrategy for what derives from it, each with
    what it is."""
    return {
        name: _kind(value)
        for base in (CommonKeys, Strategy, JointStrategy)
        if issubclass(cls, base)
        for name, value in vars(base).items()
        if not name.startswith("_")
    }


def _kind(attribute: object) -> str:
    """What an attribute of a class is."""
    if isinstance(attribute, classmethod):
        return "a class method"
    if isinstance(attribute, property | cached_property):
        return "a property"
    return "a method" if callable(attribute) else "a value"
