"""Strategy, the one class to subclass: which labels do we believe now, and how do they train the
network?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from weakseg.evidence import IGNORE, Batch, Evidence, Prediction
from weakseg.functional.losses import cross_entropy

ClassWeights = dict[str, float] | Literal["auto"] | None
"""weights by names of classes, 1 for those without; auto for what makes up for rare classes; None
for all alike"""


def expect_class_weights(weights: ClassWeights) -> ClassWeights:
    """The weights; a ValueError if a loss cannot be multiplied by one of them."""
    if isinstance(weights, str) and weights != "auto":
        raise ValueError(
            f"class_weights should be numbers by names of classes, such as {{cat: 5}}, auto or "
            f"null, but it is {weights!r}"
        )
    for name, weight in weights.items() if isinstance(weights, dict) else ():
        if not (isfinite(weight) and weight >= 0):
            raise ValueError(
                f"class_weights.{name} should be 0 or more, how much its pixels count, but it is "
                f"{weight}"
            )
    return weights


class Shown(NamedTuple):
    """What a strategy has estimated in one step, or for one image."""

    target: Tensor
    """integers [B,H,W] with 255 = no opinion, or float [B,C,H,W]"""
    named: Tensor | None
    """bool [B,C]: the classes that should be found in each image; None for those that its tags and
    boxes name"""
    figures: dict[str, Tensor]


class Strategy(nn.Module):
    """Turns evidence into a training signal. Override `estimate`, `loss` or both.

    >>> class EveryPixelIsBackground(Strategy):
    ...     def estimate(self, evidence, prediction):
    ...         return torch.zeros(evidence.image.shape[1:], dtype=torch.uint8)
    """

    needs: ClassVar[tuple[str, ...]] = ()
    """fields of evidence that every training image must have; checked before training starts"""
    wants_features: ClassVar[bool] = False
    """whether `estimate` reads `prediction.features`"""
    makes_masks: ClassVar[bool] = False
    """whether `estimate` returns a mask for each box, bool [N,H,W], from which networks such as
    Mask R-CNN learn single objects"""
    version: ClassVar[int] = 1
    """raise it when something that no code says, such as a file that you read, changes what
    `estimate` returns: stored targets are then computed anew, as they are after any change of an
    attribute, of the strategy's code, or of code that it imports from weakseg or from files beside
    it"""
    not_in_key: ClassVar[tuple[str, ...]] = ("_shown", "_scratch", "_class_weights")
    """attributes that change no target, such as caches and counters: a change of any other one
    makes new targets. Those of base classes are left out as well; `child.name` is an attribute of a
    child"""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _check_names(cls)
        wrong = [field for field in cls.needs if field not in Evidence._fields]
        if isinstance(cls.needs, str) or wrong:
            raise TypeError(
                f"strategy {cls.__name__}: needs should be a tuple of "
                f"{', '.join(Evidence._fields[2:])}, but it is {cls.needs!r}"
            )
        if isinstance(cls.not_in_key, str):
            raise TypeError(
                f"strategy {cls.__name__}: not_in_key should be a tuple of names of attributes, "
                f"but it is {cls.not_in_key!r}"
            )
        if not (cls.estimates() or cls.loss is not Strategy.loss):
            raise TypeError(
                f"strategy {cls.__name__} overrides neither estimate nor loss; it would teach "
                "nothing"
            )
        if cls.learns() and not cls.estimates():
            raise TypeError(
                f"strategy {cls.__name__} overrides learn, which is asked before images are "
                "estimated, but not estimate"
            )

    wants_early: int = 0
    """the long side of the image, in pixels, at which the network's encoder looks at it for
    `prediction.early`; 0 for not at all"""
    looks: int = 1
    """how often `learn` is asked before a round; `sketch` finds in `self.learned` what was learned
    the last time, at first None"""
    at_scores: bool = False
    """whether `loss` is given the logits as the network makes them, at its stride, instead of
    enlarged to the image"""
    learned: Tensor | None = None
    """what `learn` returned in this round; None where nothing was learned, as when you call
    `estimate` by hand"""
    _class_weights: ClassWeights = None
    _shown: Shown | None = None
    _scratch: Path | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in OWN and (kind := _kind(Strategy.__dict__[name])) != "a value":
            raise TypeError(
                f"strategy {type(self).__name__} sets self.{name}, but {name} is {kind} of "
                "Strategy; call yours otherwise"
            )
        super().__setattr__(name, value)

    @property
    def class_weights(self) -> ClassWeights:
        """How much a pixel of each class counts in the default loss: `batch.class_weights` has the
        numbers."""
        return self._class_weights

    @classmethod
    def estimates(cls) -> bool:
        """Whether this strategy computes targets, so that training needs rounds."""
        return cls.estimate is not Strategy.estimate

    @classmethod
    def learns(cls) -> bool:
        """Whether rounds of this strategy begin with a look at all training images together."""
        return cls.learn is not Strategy.learn

    def estimate(self, evidence: Evidence, prediction: Prediction | None) -> Tensor:
        """The target of one image: uint8 [H,W] (255 = no opinion), or float [C,H,W] whose sum at a
        pixel is the trust in it.

        With `makes_masks` it is bool [N,H,W], a mask for each box. Of these a loss on classes gets
        uint8 [H,W], the smallest on top.

        `prediction` is None in round 0, when there is no network yet; a strategy with `wants_early`
        is given one, in which an untrained network gives every class the same chance. Must be pure:
        the same input gives the same output, and nothing outside is read or changed. All attributes
        count as parameters but those that `not_in_key` names.
        """
        return torch.full(evidence.image.shape[-2:], IGNORE, dtype=torch.uint8)

    def sketch(self, evidence: Evidence, prediction: Prediction | None) -> dict[str, Tensor]:
        """What `learn` has to know of one image: little, since the sketches of all images are held
        in memory. Pure, as `estimate`."""
        return {}

    def learn(self, sketches: Sequence[dict[str, Tensor]]) -> Tensor | None:
        """What `estimate` has to know of all training images together; it reads it from
        `self.learned`. Default: nothing.

        `Rounds` asks at the beginning of each round, `looks` times, once for all processes, with
        the sketches in the order of the images' ids. Pure, as `estimate`. What is learned is part
        of the key of every target.
        """
        return None

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Raise a ValueError if nothing can be learned from this evidence, although it is well
        formed. Asked before training starts."""

    @property
    def scratch(self) -> Path | None:
        """A folder for what later rounds need not compute again (`utils.array_cache`), if `Rounds`
        has given one. May be emptied."""
        return self._scratch

    def use_scratch(self, folder: Path | None) -> None:
        """Keep there what is costly and depends on the image alone."""
        self._scratch = folder

    def show(self, target: Tensor, named: Tensor | None = None, **figures: Tensor) -> None:
        """Tell the dashboard what was estimated, and figures about it.

        From `loss`: a target, hard [B,H,W] or soft [B,C,H,W]; the shares of its classes and the
        figures are logged as estimate/<name>. From
        `estimate`: the target of the image; the means of the figures over the images of a round are
            logged.

        A warning tells of classes that `loss` found nowhere in an epoch, although tags or boxes, or
        else `named`, bool [B,C], name them.
        """
        self._shown = Shown(
            target.detach(), named, {name: figure.detach() for name, figure in figures.items()}
        )

    @property
    def shown(self) -> Shown | None:
        """What `show` was told in this step, if anything."""
        return self._shown

    def forget_shown(self) -> None:
        """The step is over."""
        self._shown = None

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Named terms, logged one by one and summed: logits [B,C,H,W] against a batch. Default:
        cross-entropy with its targets."""
        if batch.target is None:
            raise ValueError(
                f"the images {', '.join(batch.ids)} have no targets: {type(self).__name__} learns "
                "from estimated targets, so give the trainer callbacks=[weakseg.Rounds()]"
            )
        return {"cross_entropy": cross_entropy(logits, batch.target, batch.class_weights)}


def _check_names(cls: type) -> None:
    """What a subclass calls like something of Strategy has to be of the same kind, or Strategy
    itself would break."""
    for name in set(vars(cls)) & OWN:
        expected = _kind(Strategy.__dict__[name])
        kind = _kind(vars(cls)[name])
        computed = expected == "a value" and kind == "a property"
        if kind != expected and not computed:
            raise TypeError(
                f"strategy {cls.__name__}: {name} is {expected} of Strategy, but here it is "
                f"{kind}; call yours otherwise"
            )


def _kind(attribute: object) -> str:
    """What an attribute of a class is."""
    if isinstance(attribute, classmethod):
        return "a class method"
    if isinstance(attribute, property | cached_property):
        return "a property"
    return "a method" if callable(attribute) else "a value"


OWN = frozenset(name for name in vars(Strategy) if not name.startswith("__"))
