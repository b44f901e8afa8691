"""Draws the picture of docs/how-to/hard-pictures.md, beside it: python docs/draw_kinds.py"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from draw_crf import grid
from draw_scribbles import marked, painted
from PIL import Image

from weakseg.data.toy.dataset import Toy
from weakseg.data.toy.kinds import KINDS, PictureKind
from weakseg.evidence import Evidence

PICTURES = Path(__file__).parent / "how-to" / "pictures"
SHOWN = (1, 2)  # which images of each kind

Tile = tuple[str, Image.Image]


def draw_kinds() -> Image.Image:
    """A row for each kind of picture: two images, their scribbles and their truth."""
    return grid([list(_row(kind)) for kind in KINDS], 96, 3)


def _row(kind: PictureKind) -> Iterator[Tile]:
    data = Toy(kind=kind, evidence="scribbles")
    for index in SHOWN:
        evidence, truth = data.sample(index)
        yield f"data.kind={kind}", marked(Evidence("", evidence.image))
        yield "scribbles", marked(evidence)
        yield "truth", painted(evidence.image, truth)


def main() -> None:
    draw_kinds().save(PICTURES / "hard-kinds.png", optimize=True)


if __name__ == "__main__":
    main()
