"""Strokes and painted pixels of a correction, laid into labels: a stroke carries on to the pixels
around that belong to it."""

from __future__ import annotations

from torch import Tensor

from weakseg.evidence import IGNORE
from weakseg.functional.regions.superpixels import felzenszwalb, spread_marks

SCALE = 150.0


def spread(labels: Tensor, strokes: Tensor | None, painted: Tensor | None, image: Tensor) -> Tensor:
    """Labels with corrections: uint8 [H,W].

    Args:
        labels: uint8 [H,W], 255 = ignored.
        strokes: uint8 [H,W], 255 elsewhere; None for none.
        painted: uint8 [H,W], 255 elsewhere; None for none.
        image: uint8 [3,H,W].
    """
    found = labels
    if strokes is not None:
        wrong = (strokes != IGNORE) & (strokes != labels)
        if bool(wrong.any()):
            pieces = felzenszwalb(image, SCALE)
            reached = spread_marks(strokes.where(wrong, IGNORE), pieces)
            found = reached.where(reached != IGNORE, found)
            found = strokes.where(strokes != IGNORE, found)
    if painted is not None:
        found = painted.where(painted != IGNORE, found)
    return found
