"""Draws the picture of docs/explanation/corrections.md, beside it: python docs/draw_corrections.py

Nothing is painted by hand but the boxes and what a person draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from draw_crf import grid
from draw_scribbles import inked, painted
from PIL import Image, ImageDraw
from skimage import data
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from weakseg import Evidence
from weakseg.evidence import IGNORE
from weakseg.strategies import BoxesCRF, BoxesRect
from weakseg.strategies.base import Context, Strategy
from weakseg.training.targets import correct_target, target_of

PICTURE = Path(__file__).parent / "explanation" / "corrections.png"
OBJECT = 3  # the class of objects, for its colour
WIDTH = 6  # of strokes, in pixels
Lines = Sequence[Sequence[tuple[int, int]]]


class Scene(NamedTuple):
    """A photo with a box, and what a person draws on the target."""

    photo: Tensor
    box: tuple[int, int, int, int] | None
    strategy: Strategy
    label: int
    lines: Lines
    drawn: str


def scenes() -> list[Scene]:
    cat = torch.from_numpy(data.chelsea()).permute(2, 0, 1).contiguous()
    cup = torch.from_numpy(data.coffee()).permute(2, 0, 1).contiguous()
    small = cup[:, 40:340, 80:531].contiguous()
    return [
        Scene(
            cat,
            (110, 10, 340, 260),
            BoxesCRF(),
            OBJECT,
            [[(50, 30), (90, 80), (70, 150), (60, 210), (120, 280)]],
            "a scribble on what the box left out",
        ),
        Scene(
            small,
            (10, 4, 440, 296),
            BoxesRect(),
            0,
            [[(24, 30), (60, 24), (90, 14)]],
            "background in a filled box",
        ),
        Scene(
            small,
            None,
            BoxesRect(),
            OBJECT,
            [[(170, 120), (171, 120)]],
            "a click on a missed object",
        ),
    ]


def evidence_of(scene: Scene) -> Evidence:
    boxes = [] if scene.box is None else [scene.box]
    classes = torch.full((len(boxes),), OBJECT)
    corners = torch.tensor(boxes, dtype=torch.float32).view(-1, 4)
    return Evidence("scene", scene.photo, boxes=corners, box_classes=classes)


def strokes_of(scene: Scene) -> Tensor:
    """What is drawn: uint8 [H,W], 255 elsewhere."""
    height, width = scene.photo.shape[1:]
    layer = Image.new("L", (width, height), IGNORE)
    pen = ImageDraw.Draw(layer)
    for line in scene.lines:
        pen.line(line, scene.label, WIDTH, "curve")
        for x, y in (line[0], line[-1]):
            radius = WIDTH / 2
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), scene.label)
    return torch.frombuffer(bytearray(layer.tobytes()), dtype=torch.uint8).view(height, width)


def row(scene: Scene) -> list[tuple[str, Image.Image]]:
    """The photo with its box, the target with the stroke, and the corrected target."""
    evidence = evidence_of(scene)
    strokes = strokes_of(scene)
    target = target_of(scene.strategy, evidence, Context(), OBJECT + 1).labels
    found = correct_target(target, evidence._replace(strokes=strokes))
    boxed = to_pil_image(scene.photo)
    if scene.box is not None:
        ImageDraw.Draw(boxed).rectangle(scene.box, outline=(0, 130, 255), width=3)
    return [
        ("photo and box" if scene.box else "photo without a box", boxed),
        (f"target; {scene.drawn}", overdrawn(painted(scene.photo, target, 1), strokes)),
        ("the target after it", painted(scene.photo, found, 1)),
    ]


def overdrawn(picture: Image.Image, strokes: Tensor) -> Image.Image:
    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    image = pixels.view(picture.height, picture.width, 3).permute(2, 0, 1)
    return to_pil_image(inked(image, strokes, 4))


def main() -> None:
    grid([row(scene) for scene in scenes()], 96, 2).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
