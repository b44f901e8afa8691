from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.small import Squares
from weakseg.evidence import Evidence
from weakseg.reporting.contact_sheet import CAPTION, COLUMNS, GAP, TILE, draw_sheet, write_sheet


def tile(sheet: Image.Image, place: int) -> np.ndarray:
    left, top = (
        GAP + place % COLUMNS * (TILE + GAP),
        GAP + place // COLUMNS * (TILE + CAPTION + GAP),
    )
    return np.asarray(sheet.crop((left, top, left + TILE, top + TILE))).astype(int)


def test_boxes_are_drawn_where_they_are(tmp_path: Path) -> None:
    data = Squares(train=5, val=2)
    write_sheet(data, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == COLUMNS * (TILE + GAP) + GAP
        evidence, _ = data.sample(0)
        x1, y1, x2, y2 = (evidence.boxes[0] * TILE / 24).round().int().tolist()
        pixels = tile(sheet, 0)
        # the colour of class 1 on the box's left edge
        assert (pixels[(y1 + y2) // 2, x1 + 2] == [128, 0, 0]).all()
        assert (pixels[y1 + 2, (x1 + x2) // 2] == [128, 0, 0]).all()
        assert tile(sheet, 6).std() > 5  # the seventh image begins the second row
        assert tile(sheet, 7).std() == 0


def test_many_images_are_spread_over_the_set() -> None:
    class Counting(Squares):
        drawn: list[int] = []  # noqa: RUF012

        def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
            self.drawn.append(index)
            return super().sample(index)

    data = Counting(train=90, val=10)
    draw_sheet(data, most=5)
    assert data.drawn == [0, 20, 40, 60, 80]


def test_an_image_that_cannot_be_drawn_leaves_an_empty_frame() -> None:
    class Broken(Squares):
        def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
            evidence, truth = super().sample(index)
            if index == 0:
                raise ValueError("no such file")
            return evidence._replace(image=torch.zeros(3, 600, 30, dtype=torch.uint8)), truth

    sheet = draw_sheet(Broken(train=2, val=1))
    assert (tile(sheet, 0)[1, 1] == [200, 60, 60]).all()
    assert (tile(sheet, 0)[100:200, 100:200] == 30).all()
    assert (tile(sheet, 1)[160, 160] == 0).all()
    # tall and narrow: the sides of its tile stay empty
    assert (tile(sheet, 1)[160, 100] == 30).all()


def test_images_that_are_only_measured_on_are_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    captions: list[str] = []
    monkeypatch.setattr(
        "weakseg.reporting.contact_sheet._short", lambda text: captions.append(text) or text
    )
    draw_sheet(Squares(train=1, val=1))
    assert captions[-2:] == ["disc/0", "disc/1, only measured on"]
