"""Masks of Label Studio's `<BitmaskLabels>`."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from weakseg.data.formats.base import FormatError
from weakseg.data.formats.bitmask import HEAD, unpack_bitmask
from weakseg.data.formats.label_studio import read
from weakseg.data.formats.writing.bitmask import pack_bitmask


def url(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return HEAD + base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize("seed", range(4))
def test_what_is_packed_is_unpacked(seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = random.random(random.integers(1, 40, 2).tolist()) < 0.5
    height, width = mask.shape
    np.testing.assert_array_equal(unpack_bitmask(pack_bitmask(mask), width, height).unpack(), mask)


def test_colours_do_not_matter_and_half_transparent_rims_are_inside() -> None:
    pixels = np.zeros((1, 4, 4), np.uint8)
    pixels[0] = [[0, 0, 0, 255], [255, 255, 255, 255], [0, 0, 0, 128], [0, 0, 0, 127]]
    runs = unpack_bitmask(url(Image.fromarray(pixels)), 4, 1)
    assert runs.unpack().tolist() == [[True, True, True, False]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no data:image/png;base64, at its beginning"),
        ("data:text/html,x", "at its beginning"),
        ("https://example.com/a.png", "at its beginning"),
        (HEAD, "no PNG"),
        (HEAD + "AAAA", "no PNG"),
        (HEAD + "%%%", "no PNG"),
        (url(Image.new("LA", (2, 2)))[:60], "no PNG|padding"),
        (url(Image.new("LA", (3, 2))), "3 by 2 instead of 2 by 2 pixels"),
    ],
)
def test_what_is_none_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        unpack_bitmask(text, 2, 2)


def export(tmp_path: Path, address: str) -> Path:
    result = {
        "type": "bitmasklabels",
        "original_width": 3,
        "original_height": 2,
        "value": {"imageDataURL": address, "bitmasklabels": ["cat"]},
    }
    task = {"data": {"image": "a.png"}, "annotations": [{"result": [result]}]}
    path = tmp_path / "export.json"
    path.write_text(json.dumps([task]))
    return path


def test_an_export_with_bitmasks_is_read(tmp_path: Path) -> None:
    mask = np.array([[True, False, True], [False, True, True]])
    [image] = read(export(tmp_path, pack_bitmask(mask)))
    [shape] = image.shapes
    assert (shape.name, shape.kind) == ("cat", "mask")
    assert shape.runs is not None
    np.testing.assert_array_equal(shape.runs.unpack(), mask)


def test_a_broken_bitmask_is_named_with_its_image(tmp_path: Path) -> None:
    with pytest.raises(
        FormatError, match=r"image 'a.png', object 1: imageDataURL should be a mask"
    ):
        read(export(tmp_path, HEAD + "AAAA"))
