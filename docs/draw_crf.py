"""Draws the pictures of docs/explanation/dense-crf.md, beside it: python docs/draw_crf.py

One photo with one box. What a tile shows in colour is what the dense CRF takes for the object; the
rest is grey.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from weakseg.functional.boxes import box_unary
from weakseg.functional.crf import DenseCRF, dense_crf

PICTURES = Path(__file__).parent / "explanation" / "pictures"
BOX = (76, 16, 480, 390)  # x1 y1 x2 y2 around the cup with its saucer
WHOLE = (46, 0, 510, 400)
RIGHT = (330, 40, 500, 240)  # where the red of the saucer is most like the wood
WIDTH = 960  # of a picture, in pixels
GAP = 4
CAPTION = 24
COLOURS = 128  # of the palette, to keep the files small

Area = tuple[int, int, int, int]
Tiles = Sequence[Sequence[tuple[str, DenseCRF]]]
IN_PIXELS = DenseCRF(smooth_xy=1, bilateral_xy=67)  # reaches as the text has them, of DeepLab v2


class Scene(NamedTuple):
    """A photo uint8 [3,H,W] with a box, and what the box alone says: float [2,H,W], background and
    object."""

    photo: Tensor
    box: Area
    probs: Tensor


def figures() -> Iterator[tuple[str, Area, Tiles]]:
    """Every picture but the first: its name, the part of the photo that it shows, its rows of
    captions and CRFs."""
    bandwidths = [
        [
            (
                f"bilateral_rgb={rgb}  bilateral_xy={xy}",
                replace(IN_PIXELS, bilateral_rgb=rgb, bilateral_xy=xy),
            )
            for xy in (20, 67, 121)
        ]
        for rgb in (3, 5, 13, 30)
    ]
    yield "bandwidths", WHOLE, bandwidths
    yield (
        "iterations",
        RIGHT,
        [
            [
                (f"iterations={count}", replace(IN_PIXELS, iterations=count))
                for count in (1, 2, 5, 10)
            ]
        ],
    )
    smooth = [("smooth_weight=0", replace(IN_PIXELS, smooth_weight=0))]
    yield (
        "smooth",
        RIGHT,
        [
            smooth
            + [
                (f"smooth_weight=3  smooth_xy={xy}", replace(IN_PIXELS, smooth_xy=xy))
                for xy in (1, 3, 6)
            ]
        ],
    )
    weights = [
        (f"bilateral_weight={weight}", replace(IN_PIXELS, bilateral_weight=weight))
        for weight in (1, 4, 10, 35)
    ]
    yield "weights", RIGHT, [weights]
    normalizations = [
        (
            f"{how}  weight {weight}  rgb 13",
            replace(IN_PIXELS, bilateral_weight=weight, bilateral_rgb=13, normalization=how),
        )
        for weight in (4, 10)
        for how in ("symmetric", "after")
    ]
    yield "normalizations", RIGHT, [normalizations]


def coffee() -> Scene:
    """The photo of all pictures."""
    return scene(torch.from_numpy(data.coffee()).permute(2, 0, 1).contiguous(), BOX)


def scene(photo: Tensor, box: Area) -> Scene:
    """A photo with a box, scored as the strategy boxes_crf does."""
    probs = box_unary(torch.tensor([box]).float(), torch.tensor([1]), 2, *photo.shape[1:])
    return Scene(photo, box, probs)


def draw(scene: Scene, area: Area, tiles: Tiles) -> Image.Image:
    """Rows of tiles, one per CRF: what it takes for the object."""
    return grid(
        [
            [
                (text, tile(scene, dense_crf(scene.photo, scene.probs, crf).argmax(0), area))
                for text, crf in row
            ]
            for row in tiles
        ]
    )


def draw_start(scene: Scene, area: Area) -> Image.Image:
    """From the box to the mask, in three tiles."""
    everything = torch.ones_like(scene.probs[1])
    lit = scene._replace(
        photo=(0.3 * scene.photo.float().mean(0) + 178 * scene.probs[1])
        .to(torch.uint8)
        .expand_as(scene.photo)
    )
    steps = [
        ("the photo and its box", tile(scene, everything, area)),
        ("what the box says: lighter is likelier", tile(lit, everything, area)),
        (
            "what the dense CRF makes of it",
            tile(scene, dense_crf(scene.photo, scene.probs, IN_PIXELS).argmax(0), area),
        ),
    ]
    return grid([steps])


def tile(scene: Scene, mask: Tensor, area: Area) -> Image.Image:
    """An area of the photo with the box, in colour where the mask [H,W] is 1 and dark grey where it
    is 0."""
    grey = 0.3 * scene.photo.float().mean(0) + 15
    picture = to_pil_image(torch.where(mask > 0, scene.photo, grey.to(torch.uint8)))
    ImageDraw.Draw(picture).rectangle(scene.box, outline="white", width=2)
    return picture.crop(area)


def grid(
    tiles: Sequence[Sequence[tuple[str, Image.Image]]], colours: int = COLOURS, passes: int = 0
) -> Image.Image:
    """Rows of captions and tiles of one size, scaled so that a row fills the width. More passes
    find better colours."""
    columns = max(map(len, tiles))
    first = tiles[0][0][1]
    width = (WIDTH - GAP * (columns - 1)) // columns
    height = round(first.height * width / first.width)
    picture = Image.new(
        "RGB", (columns * (width + GAP) - GAP, len(tiles) * (CAPTION + height + GAP) - GAP), "white"
    )
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(15)
    for row, line in enumerate(tiles):
        for column, (caption, shown) in enumerate(line):
            x = column * (width + GAP)
            y = row * (CAPTION + height + GAP)
            pen.text((x + 2, y + CAPTION // 2), caption, "black", font, anchor="lm")
            picture.paste(shown.resize((width, height), Image.Resampling.LANCZOS), (x, y + CAPTION))
    return picture.quantize(colours, kmeans=passes, dither=Image.Dither.NONE)


def main() -> None:
    shown = coffee()
    PICTURES.mkdir(exist_ok=True)
    draw_start(shown, WHOLE).save(PICTURES / "crf-start.png", optimize=True)
    for name, area, tiles in figures():
        draw(shown, area, tiles).save(PICTURES / f"crf-{name}.png", optimize=True)


if __name__ == "__main__":
    main()
