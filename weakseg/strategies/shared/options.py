"""Types of the arguments that several strategies have, with the ranges of their values."""

from __future__ import annotations

from math import inf
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt, doc

from weakseg.utils.lengths import Share

ShareOfPixels = Annotated[float, Ge(0), Le(1), doc("a share of the pixels")]
CoreShare = Annotated[float, Gt(0), Le(1), doc("the part of a box that is its middle")]
Slack = Annotated[float, Ge(0), doc("a number of logits")]
Bias = Annotated[float, Ge(0), Lt(inf), doc("a number of logits")]
InverseTemperature = Annotated[float, Gt(0), Lt(inf), doc("1 leaves the logits as they are")]
PriorSigma = Annotated[float, Gt(0), Lt(inf), doc("in half sides of the image")]
LossWeight = Annotated[float, Ge(0), Lt(inf), doc("what a loss is multiplied by")]
Influence = Annotated[float, Ge(0), Lt(inf), doc("what log odds are multiplied by")]
LongSide = Annotated[int, Ge(32), doc("a number of pixels")]
Reach = Annotated[float, Gt(0), Lt(inf), doc("how far a pixel reaches")]
LengthOfReach = Reach | Share
TagsWarmup = Annotated[int, Ge(0), doc("how many batches teach classification alone")]
MarksWarmup = Annotated[int, Ge(0), doc("how many batches learn the marks alone")]


def expect_ordered(name: str, lower: float, upper: float) -> None:
    """Raise a ValueError if <name>_lower is more than <name>_upper."""
    if lower > upper:
        raise ValueError(
            f"{name}_lower should be at most {name}_upper, but they are {lower} and {upper}"
        )
