"""One picture of many images with their annotations on them, to show at a glance what a list of
numbers hides."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from weakseg.data.base import WeakData
from weakseg.reporting.drawing import draw_evidence, palette
from weakseg.reporting.fonts import letter
from weakseg.utils.files import write_whole

COLUMNS = 6
ROWS = 4
TILE = 320
GAP = 8
CAPTION = 22
DARK = (30, 30, 30)
PALE = (235, 235, 235)


def draw_sheet(data: WeakData, most: int = COLUMNS * ROWS) -> Image.Image:
    """Up to `most` images, spread evenly over the data set, each with its id, and the colours of
    the classes below."""
    chosen = (
        sorted({place * len(data) // most for place in range(most)})
        if len(data) > most
        else range(len(data))
    )
    rows = -(-len(chosen) // COLUMNS)
    legend = _legend(data.classes)
    width = COLUMNS * (TILE + GAP) + GAP
    sheet = Image.new("RGB", (width, rows * (TILE + CAPTION + GAP) + GAP + legend.height), DARK)
    for place, index in enumerate(chosen):
        left = GAP + place % COLUMNS * (TILE + GAP)
        top = GAP + place // COLUMNS * (TILE + CAPTION + GAP)
        _paste(sheet, data, index, left, top)
    sheet.paste(legend, (0, sheet.height - legend.height))
    return sheet


def write_sheet(data: WeakData, path: Path) -> None:
    """The same as a PNG file."""
    buffer = io.BytesIO()
    draw_sheet(data).save(buffer, "PNG")
    write_whole(path, buffer.getvalue())


def _paste(sheet: Image.Image, data: WeakData, index: int, left: int, top: int) -> None:
    pen = ImageDraw.Draw(sheet)
    try:
        evidence, _ = data.corrected(index)
        evidence.check(len(data.classes))
        tile = _fitted(draw_evidence(evidence, len(data.classes)))
        sheet.paste(tile, (left + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2))
        caption = f"{evidence.id}{', only measured on' * (index in data.validation)}"
    except Exception as error:
        # what cannot be drawn is reported in words; here its place stays empty
        pen.rectangle((left, top, left + TILE, top + TILE), outline=(200, 60, 60), width=3)
        caption = f"number {index}: {type(error).__name__}"
    text, font = letter(_short(caption), 13)
    pen.text((left, top + TILE + 3), text, PALE, font)


def _fitted(picture: Tensor) -> Image.Image:
    """A picture made as large as a tile allows, without blurring it where it grows."""
    scale = TILE / max(picture.shape[-2:])
    size = [max(1, round(side * scale)) for side in picture.shape[-2:]]
    mode = "area" if scale < 1 else "nearest"
    fitted = F.interpolate(picture[None].float(), size, mode=mode)[0].round()
    return Image.fromarray(np.ascontiguousarray(fitted.permute(1, 2, 0).numpy().astype(np.uint8)))


def _legend(classes: Sequence[str]) -> Image.Image:
    """A square of each class's colour with its name, in as many lines as that takes."""
    width = COLUMNS * (TILE + GAP) + GAP
    left = GAP
    line = 0
    places = []
    letterings = [letter(_short(name), 14) for name in classes]
    for text, font in letterings:
        needed = 30 + round(font.getlength(text))
        if left + needed > width:
            left = GAP
            line = line + 1
        places.append((left, line))
        left += needed
    legend = Image.new("RGB", (width, (line + 1) * 24 + GAP), DARK)
    pen = ImageDraw.Draw(legend)
    for (x, row), (text, font), colour in zip(
        places, letterings, palette(len(classes)).tolist(), strict=True
    ):
        pen.rectangle((x, row * 24 + 4, x + 14, row * 24 + 18), fill=tuple(colour), outline=PALE)
        pen.text((x + 20, row * 24 + 3), text, PALE, font)
    return legend


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 46 else f"...{line[-43:]}"
