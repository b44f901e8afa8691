"""Whether classes are so unlike in size that the loss should make up for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import median_low
from typing import NamedTuple

from weakseg.planning.class_areas import shares_of
from weakseg.utils.messages import counted

# of what the middle class covers: where the rarest one covers less, classes are weighed. Of the
# drawn pictures, those whose rarest class covers a quarter gain by weights, and those whose classes
# are alike lose
RARE = 1 / 3


class Weighing(NamedTuple):
    """What is decided of `strategy.class_weights`."""

    value: str | None
    reason: str


def class_weights(areas: Sequence[Mapping[str, float]], background: str) -> Weighing | None:
    """By frequency where a class is rare beside the others; none where classes are alike, since
    weights cost accuracy there. Nothing where fewer than two classes are annotated.

    Args:
        areas: of images, which share of it each class covers.
        background: its name, which is nothing that could be missed.
    """
    shares = shares_of(areas, background)
    if len(shares.keys() - {background}) < 2:
        return None
    middle = median_low(list(shares.values()))
    rarest = min((name for name in shares if name != background), key=shares.__getitem__)
    images = sum(rarest in image for image in areas)
    # of a class in few of the images that were looked at, the others may show more
    most = shares[rarest] * (1 + 2 / sqrt(images))
    has = (
        f"{rarest}, the rarest class, covers {shares[rarest]:.1%} (in "
        f"{counted(images, 'image')}), the middle one {middle:.1%}"
    )
    if most < RARE * middle:
        return Weighing("auto", f"{has}; weights by the targets of each round")
    return Weighing(None, f"{has}: alike enough")
