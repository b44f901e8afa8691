"""Masks as Label Studio's `<BitmaskLabels>` keeps them: a PNG of the image's size in a data URL,
whose pixels are on the mask where they are not transparent."""

from __future__ import annotations

import binascii
import io

import numpy as np
from PIL import Image

from weakseg.data.formats.base import MOST_PIXELS
from weakseg.data.formats.runs import Runs, pack

HEAD = "data:image/png;base64,"
HALF = 128  # a pixel at the rim is inside if half of it or more is painted


def unpack_bitmask(url: str, width: int, height: int) -> Runs:
    """The mask of an image of this size; a ValueError if the data URL holds none. Nothing is
    decoded before its header is right."""
    if not url.startswith(HEAD):
        raise ValueError(f"no {HEAD} at its beginning")
    try:
        data = binascii.a2b_base64(url[len(HEAD) :])
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.size != (width, height) or width * height > MOST_PIXELS:
                came = f"{image.size[0]} by {image.size[1]}"
                raise ValueError(f"{came} instead of {width} by {height} pixels")
            alpha = np.array(image.convert("RGBA").getchannel("A"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"no PNG: {error}") from None
    return pack(alpha >= HALF)
