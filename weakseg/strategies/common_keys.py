"""The keys that every strategy has beside the arguments of its constructor, unless they make no
sense for it: a recipe sets them below `strategy:`, Python code sets attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from math import isfinite
from typing import Any, ClassVar, Literal

from torch import nn

from weakseg.functional.regions.merging import Merging
from weakseg.utils.limits import NotNegative, check_limits

ClassWeights = dict[str, float] | Literal["auto"] | None
"""weights by names of classes, 1 for those without; auto for what makes up for rare classes; None
for all alike"""


@dataclass(frozen=True)
class LossTerms:
    """What the loss with targets consists of, and the term that needs boxes alone. Each term is
    multiplied by its weight and logged under its name; one of weight 0 is not computed.

    Args:
        cross_entropy: weight of the mean cross-entropy.
        dice: weight of 1 - Dice, the mean over the classes that a batch shows. However few pixels a
            class has, it counts as much as any other.
        tversky: weight of 1 - Tversky index (Salehi, Erdogmus and Gholipour 2017): as Dice, but
            pixels too many and pixels too few have weights of their own.
        alpha: of pixels that are wrongly given to a class, in the Tversky index.
        beta: of pixels of a class that are missed.
        focal: the exponent gamma of the focal loss (Lin and others, ICCV 2017): a pixel's
            cross-entropy is multiplied by (1 - probability of its class) to the power of this; 0
            for plain cross-entropy.
        projection: weight of the projection loss of boxes: each row and column of a box contains
            the object. For every strategy, where images have boxes.
    """

    cross_entropy: NotNegative = 1.0
    dice: NotNegative = 0.0
    tversky: NotNegative = 0.0
    alpha: NotNegative = 0.3
    beta: NotNegative = 0.7
    focal: NotNegative = 0.0
    projection: NotNegative = 0.0

    def __post_init__(self) -> None:
        check_limits(self, "{} of terms")
        if not (self.cross_entropy or self.dice or self.tversky):
            raise ValueError(
                "cross_entropy, dice and tversky of terms are all 0, so nothing would learn the "
                "targets; give one of them a weight"
            )
        if self.focal and not self.cross_entropy:
            raise ValueError("focal of terms changes the cross-entropy, whose weight is 0")
        if self.tversky and not (self.alpha or self.beta):
            raise ValueError("alpha and beta of terms are both 0; give one of them a weight")


ONLY_CROSS_ENTROPY = LossTerms()
COMMON_KEYS = ("class_weights", "terms", "regions")


class CommonKeys(nn.Module):
    """Attributes of every strategy that a recipe may set without an argument in the constructor.

    A further one is an attribute here with type and default, its name in COMMON_KEYS, and, if its
    values can be wrong in a way that their type does not tell, a row in `_EXPECT`.
    """

    takes: ClassVar[tuple[str, ...]] = COMMON_KEYS
    """the common keys that apply to a strategy, with dots for parts of them; others are refused. A
    class that leaves this out and has a `loss` of its own takes all but those terms that only
    `target_loss` computes; one that estimates nothing has no `regions`"""
    class_weights: ClassWeights = None
    """how much a pixel of each class counts in the loss with targets: `batch.class_weights` has the
    numbers"""
    terms: LossTerms = ONLY_CROSS_ENTROPY
    """what the loss with targets consists of"""
    regions: Merging | None = None
    """whether, and how, targets are made to follow superpixels after `estimate`; part of the key of
    every target"""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in COMMON_KEYS:
            expect_common_key(type(self), name, value)
        super().__setattr__(name, value)


def left_of(takes: tuple[str, ...], own_loss: bool, estimates: bool) -> tuple[str, ...]:
    """What applies of the common keys of a class to one that derives from it.

    Args:
        takes: of the class above.
        own_loss: whether it has a loss that may do something else than `target_loss`.
        estimates: whether it estimates targets.

    >>> left_of(("class_weights", "terms", "regions"), own_loss=True, estimates=False)
    ('class_weights', 'terms.projection')
    """
    kept = [key for key in takes if estimates or key != "regions"]
    return tuple("terms.projection" if own_loss and key == "terms" else key for key in kept)


def check_common_keys(cls: type[CommonKeys]) -> None:
    """Raise an error if a class declares what cannot be."""
    takes = cls.takes
    if isinstance(takes, str) or any(key.partition(".")[0] not in COMMON_KEYS for key in takes):
        raise TypeError(
            f"strategy {cls.__name__}: takes should be a tuple of {', '.join(COMMON_KEYS)} or "
            f"parts of them, such as terms.projection, but it is {takes!r}"
        )
    for name in COMMON_KEYS:
        value = getattr(cls, name)
        if not isinstance(value, property | cached_property):
            expect_common_key(cls, name, value)


def expect_common_key(cls: type[CommonKeys], name: str, value: Any) -> None:
    """Raise a ValueError if a strategy of this class cannot have this value."""
    if name in _EXPECT:
        _EXPECT[name](value)
    if name in cls.takes or value == getattr(CommonKeys, name):
        return
    parts = [key.partition(".")[2] for key in cls.takes if key.startswith(f"{name}.")]
    refused = [f"{name}.{part}" for part in _changed_parts(name, value) if part not in parts]
    if refused or not parts:
        raise ValueError(not_taken(cls.__name__, (refused or [name])[0]))


def not_taken(strategy: str, key: str) -> str:
    """What to say of a common key that does not apply."""
    return f"{key} does not apply to {strategy}: leave it out"


def _changed_parts(name: str, value: Any) -> list[str]:
    default = getattr(CommonKeys, name)
    if type(value) is not type(default):
        return []
    return [
        part.name
        for part in fields(default)
        if getattr(value, part.name) != getattr(default, part.name)
    ]


def _expect_class_weights(weights: ClassWeights) -> None:
    """A ValueError if a loss cannot be multiplied by one of the weights."""
    if weights is not None and weights != "auto" and not isinstance(weights, Mapping):
        raise ValueError(
            f"class_weights should be numbers by names of classes, such as {{cat: 5}}, auto or "
            f"null, but it is {weights!r}"
        )
    for name, weight in weights.items() if isinstance(weights, Mapping) else ():
        if not (isfinite(weight) and weight >= 0):
            raise ValueError(
                f"class_weights.{name} should be 0 or more, how much its pixels count, but it is "
                f"{weight}"
            )


def _expect_terms(terms: LossTerms) -> None:
    if not isinstance(terms, LossTerms):
        raise ValueError(
            f"terms should be LossTerms, such as LossTerms(dice=0.5), but it is {terms!r}"
        )


_EXPECT: dict[str, Callable[[Any], None]] = {
    "class_weights": _expect_class_weights,
    "terms": _expect_terms,
}
