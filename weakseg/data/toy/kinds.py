"""The kinds of drawn picture that `data.kind` names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from weakseg.data.toy import crowded, drawing, grey, patchwork
from weakseg.data.toy.canvas import Scene

PictureKind = Literal["shapes", "grey", "crowded", "patchwork"]


class Kind(NamedTuple):
    """One kind of drawn picture."""

    classes: tuple[str, ...]
    draw: Callable[[np.random.Generator, int], Scene]
    """a picture of that size from a random stream"""


KINDS: dict[PictureKind, Kind] = {
    "shapes": Kind(drawing.CLASSES, drawing.draw_scene),
    "grey": Kind(grey.CLASSES, grey.draw_scan),
    "crowded": Kind(crowded.CLASSES, crowded.draw_crowd),
    "patchwork": Kind(patchwork.CLASSES, patchwork.draw_patchwork),
}
