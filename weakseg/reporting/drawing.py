"""Pictures of labels and evidence, drawn so that a person sees what is wrong."""

from __future__ import annotations

import base64
import io
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.utils.files import voc_palette

SMALLEST = 288  # sides below this are enlarged
WHITE = 255
FIRST = (36, 88, 197)  # where two predictions differ: the one that is right
SECOND = (240, 150, 30)
WRONG = (232, 76, 34)  # no class has this colour
FEW = 256  # colours; photographs, in grey and partly coloured too, have more
QUALITY = 86  # of a JPEG


class Case(NamedTuple):
    """One image with everything there is to show of it; labels are uint8 [H,W], 255 = no label."""

    evidence: Evidence
    target: Tensor | None = None
    prediction: Tensor | None = None
    truth: Tensor | None = None
    score: float | None = None
    """of this image alone; None or nan for none"""
    score_name: str = "IoU"
    """what the score is: mean IoU, or without truth, agreement with the image's evidence"""
    note: str = ""
    """a line of its own below its name"""


def palette(classes: int) -> Tensor:
    """Colours of the classes, uint8 [C,3]: those of PASCAL VOC, which the stored targets have too.
    Background is black.

    >>> palette(3).tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    """
    return torch.tensor(voc_palette()[:classes], dtype=torch.uint8)


def magnify(picture: Tensor) -> Tensor:
    """An image [3,H,W] or labels [H,W], small ones enlarged by a whole number without blurring."""
    factor = -(-SMALLEST // max(picture.shape[-2:]))
    return picture.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


def overlay(image: Tensor, labels: Tensor, opacity: float = 0.55) -> Tensor:
    """The image in grey with its labels as colours, outlined; in its own colours and hatched where
    there is no label (255).

    In grey, since red through which a green meadow shines looks like the colour of another class.
    """
    image = magnify(image)
    labels = magnify(labels)
    colours = _colours(labels)
    drawn = torch.lerp(_grey(image), colours.float(), opacity).round().to(torch.uint8)
    outlines = _outlines(labels)
    # a light casing sets the outline off from what is dark
    drawn = torch.where(_beside(outlines) & (labels == 0), WHITE, drawn)
    drawn = torch.where(outlines, colours, drawn)
    return torch.where(labels == IGNORE, _hatched(image), drawn)


def draw_evidence(evidence: Evidence, classes: int) -> Tensor:
    """The image with boxes as frames, marks thick enough to see, and one square per tag in the
    lower left corner."""
    colours = palette(classes)
    drawn = magnify(evidence.image)
    factor = drawn.shape[-1] // evidence.image.shape[-1]
    if evidence.marks is not None:
        drawn = _draw_marks(drawn, evidence, factor)
    if evidence.boxes is not None and evidence.box_classes is not None:
        areas = (evidence.boxes[:, 2:] - evidence.boxes[:, :2]).prod(1)
        for index in areas.argsort(descending=True).tolist():  # small boxes on top
            corners = (evidence.boxes[index] * factor).round().int().tolist()
            drawn = _draw_frame(drawn, corners, colours[int(evidence.box_classes[index])])
    if evidence.tags is not None:
        _draw_tags(
            drawn, [colours[index] for index in evidence.tags.nonzero().flatten().tolist() if index]
        )
    return drawn


def draw_errors(image: Tensor, prediction: Tensor, truth: Tensor) -> Tensor:
    """The image in grey with the pixels where two maps of labels differ in red; hatched where one
    of them has no label (255)."""
    image = magnify(image)
    unknown = magnify((truth == IGNORE) | (prediction == IGNORE))
    wrong = magnify(prediction != truth)
    red = torch.tensor(WRONG, dtype=torch.float32)[:, None, None]
    grey = torch.lerp(_grey(image), torch.tensor(float(WHITE)), 0.25)
    drawn = torch.where(wrong, torch.lerp(grey, red, 0.8), grey).round().to(torch.uint8)
    return torch.where(unknown, _hatched(image), drawn)


def draw_disagreement(image: Tensor, first: Tensor, second: Tensor, truth: Tensor) -> Tensor:
    """The image in grey with the pixels where two predictions differ: in blue where the first is
    right, in orange where the second is, in black where neither is. Hatched where there is no truth
    (255)."""
    image = magnify(image)
    first, second, truth = magnify(first), magnify(second), magnify(truth)
    drawn = torch.lerp(_grey(image), torch.tensor(float(WHITE)), 0.4)
    for pixels, colour in (
        (first != second, (0, 0, 0)),
        ((first == truth) & (second != truth), FIRST),
        ((second == truth) & (first != truth), SECOND),
    ):
        painted = torch.lerp(drawn, torch.tensor(colour, dtype=torch.float32)[:, None, None], 0.8)
        drawn = torch.where(pixels, painted, drawn)
    return torch.where(truth == IGNORE, _hatched(image), drawn.round().to(torch.uint8))


def side_by_side(case: Case, classes: int) -> Tensor:
    """Evidence, target, prediction and truth in one row; what there is not is grey."""
    evidence = draw_evidence(case.evidence, classes)
    labels = (case.target, case.prediction, case.truth)
    panels = [
        torch.full_like(evidence, 128) if label is None else overlay(case.evidence.image, label)
        for label in labels
    ]
    gap = torch.full_like(evidence[:, :, :6], WHITE)
    return torch.cat([evidence, *(part for panel in panels for part in (gap, panel))], dim=2)


def picture_address(picture: Tensor, largest: int = 384) -> str:
    """A uint8 [3,H,W] picture as an address that holds all of it, `data:image/...`: a PNG if it has
    few colours, and else, like a photograph, a JPEG, a fraction of the size. Shrunk if a side is
    longer than `largest`."""
    small = _shrunk(picture, largest)
    few = _image(small).getcolors(FEW) is not None
    options = {"optimize": True} if few else {"quality": QUALITY, "subsampling": 0}
    kind = "png" if few else "jpeg"
    content = base64.b64encode(_file(small, kind, **options)).decode()
    return f"data:image/{kind};base64,{content}"


def _shrunk(picture: Tensor, largest: int) -> Tensor:
    scale = largest / max(picture.shape[-2:])
    if scale >= 1:
        return picture
    size = [max(1, round(side * scale)) for side in picture.shape[-2:]]
    return F.interpolate(picture[None].float(), size, mode="area")[0].round().to(torch.uint8)


def _file(picture: Tensor, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    _image(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def _image(picture: Tensor) -> Image.Image:
    return Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())


def _colours(labels: Tensor) -> Tensor:
    return palette(256)[labels.long()].permute(2, 0, 1)


def _grey(image: Tensor) -> Tensor:
    """The brightness of an image as people see it, float [3,H,W]."""
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    return (image.float() * weights).sum(0).expand(3, -1, -1)


def _beside(pixels: Tensor) -> Tensor:
    """Pixels and those that touch one of them, bool [H,W]."""
    return F.max_pool2d(pixels[None, None].float(), 3, stride=1, padding=1)[0, 0] > 0


def _outlines(labels: Tensor) -> Tensor:
    """The pixels of objects that touch a pixel of another class."""
    edges = torch.zeros_like(labels, dtype=torch.bool)
    below = labels[1:] != labels[:-1]
    beside = labels[:, 1:] != labels[:, :-1]
    edges[1:] |= below
    edges[:-1] |= below
    edges[:, 1:] |= beside
    edges[:, :-1] |= beside
    return edges & (labels != 0) & (labels != IGNORE)


def _hatched(image: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    diagonal = torch.arange(height)[:, None] + torch.arange(width)
    striped = torch.lerp(image.float(), torch.tensor(float(WHITE)), 0.65).round().to(torch.uint8)
    return torch.where(diagonal % 12 < 3, striped, image)


def _draw_marks(drawn: Tensor, evidence: Evidence, factor: int) -> Tensor:
    assert evidence.marks is not None
    if (evidence.marks != IGNORE).float().mean() > 0.3:  # areas, not points or strokes
        return overlay(evidence.image, evidence.marks)
    labels = evidence.marks.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
    reach = max(1, max(labels.shape) // 96 - factor // 2)
    thick = _thicken(labels, reach)
    casing = _thicken(labels, reach + 2)
    drawn = torch.where(casing != IGNORE, WHITE, drawn)
    return torch.where(thick != IGNORE, _colours(thick), drawn)


def _thicken(labels: Tensor, reach: int) -> Tensor:
    """Labels grown by `reach` pixels in every direction; where two classes meet, the higher one
    wins."""
    shifted = torch.where(labels == IGNORE, 0, labels.int() + 1)  # 0 loses against every class
    grown = F.max_pool2d(shifted[None, None].float(), 2 * reach + 1, stride=1, padding=reach)[
        0, 0
    ].int()
    grown = torch.where(shifted > 0, shifted, grown)
    return torch.where(grown == 0, IGNORE, grown - 1).to(torch.uint8)


def _draw_frame(drawn: Tensor, corners: list[int], colour: Tensor) -> Tensor:
    x1, y1, x2, y2 = corners
    width = max(2, max(drawn.shape[-2:]) // 140)
    casing = _frame(drawn, x1 - 1, y1 - 1, x2 + 1, y2 + 1, width + 2)
    drawn = torch.where(casing, WHITE, drawn)
    return torch.where(_frame(drawn, x1, y1, x2, y2, width), colour[:, None, None], drawn)


def _frame(drawn: Tensor, x1: int, y1: int, x2: int, y2: int, width: int) -> Tensor:
    frame = torch.zeros(drawn.shape[-2:], dtype=torch.bool)
    frame[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)] = True
    frame[max(0, y1 + width) : max(0, y2 - width), max(0, x1 + width) : max(0, x2 - width)] = False
    return frame


def _draw_tags(drawn: Tensor, colours: list[Tensor]) -> None:
    side = max(10, max(drawn.shape[-2:]) // 20)
    bottom = drawn.shape[-2] - 4
    for place, colour in enumerate(colours):
        left = 4 + place * (side + 4)
        drawn[:, bottom - side : bottom, left : left + side] = WHITE
        drawn[:, bottom - side + 2 : bottom - 2, left + 2 : left + side - 2] = colour[:, None, None]
