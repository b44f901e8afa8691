"""Masks as Label Studio's `<BitmaskLabels>` keeps them; `weakseg.data.formats.bitmask` says how."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from weakseg.data.formats.bitmask import HEAD
from weakseg.data.formats.writing.labels import Bools


def pack_bitmask(mask: Bools) -> str:
    """The data URL of a mask [H,W] of a whole image: black on what is transparent."""
    pixels = np.zeros((*mask.shape, 2), np.uint8)
    pixels[..., 1] = mask * np.uint8(255)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return HEAD + base64.b64encode(file.getvalue()).decode()
