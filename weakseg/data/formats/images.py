"""Images and masks from unchecked files: the size is read from the header before a pixel is
decoded.

A photo is turned upright as its camera noted it, since that is how annotation tools and browsers
show it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from weakseg.data.formats.base import MOST_PIXELS, FormatError, Place
from weakseg.data.formats.opening import read_remote
from weakseg.evidence import IGNORE
from weakseg.utils.remote_path import RemotePath

# Pillow knows more, among them some that start other programs, or have no signature;
# older versions do not read AVIF
AVIF = ("AVIF",) if find_spec("PIL.AvifImagePlugin") else ()
PHOTOS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", *AVIF)
# JPEG changes values a little, which makes other classes of them
EXACT = ("PNG", "TIFF", "BMP", "GIF")
ORIENTATION = 0x0112  # the number of the field in EXIF
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow spreads the values of grey PNGs of 2 and 4 bits over 0 to 255
SPREAD = {"L;2": 85, "L;4": 17}

DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners have
# Pillow keeps the upper byte of colours of 16 bits; with the other order of bytes it gives the
# lower one
LOWER_BYTES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}

Colour = tuple[int, int, int]
Window = tuple[float, float]


def image_size(path: Path, most_pixels: int = MOST_PIXELS) -> tuple[int, int]:
    """Width and height of the image as `read_image` gives it, from the header alone."""
    with _opened(path, PHOTOS, most_pixels) as image:
        width, height = image.size
        return (height, width) if orientation(image) >= 5 else (width, height)


def read_image(path: Path, most_pixels: int = MOST_PIXELS, window: Window | None = None) -> Tensor:
    """The image as uint8 [3,H,W] in true colours, upright; the first one of an animation.

    Grey and indexed images get their colours, CMYK becomes RGB, and what is transparent lies on
    white. Of images of 16 bits, as cameras and scanners of 10, 12 or 14 bits write them, the upper
    8 of those bits are kept that the image uses: 10, 12, 14 or all 16.

    Args:
        path: of the file.
        most_pixels: larger images are refused by their header.
        window: the values of an image of 16 bits that become black and white, with what is between
            them spread evenly; None for the above.
    """
    with _opened(path, PHOTOS, most_pixels) as image:
        turn = TURNS.get(orientation(image))
        raw = _raw_mode(image)
        image.load()
        if raw in LOWER_BYTES:
            image = _deep_colours(path, np.array(image), raw, window)
        return _pixels(_coloured(image, Place(str(path)), window), turn)


def read_opened(image: Image.Image, name: str) -> Tensor:
    """The same of an image that another program has opened, and that may have no file. Of one of 16
    bits in colours the upper 8 are kept.

    Args:
        image: as Pillow has it.
        name: for error messages.
    """
    turn = TURNS.get(orientation(image))
    return _pixels(_coloured(image, Place(name), None), turn)


def _pixels(coloured: Image.Image, turn: Image.Transpose | None) -> Tensor:
    pixels = np.array(coloured if turn is None else coloured.transpose(turn))
    # a view: putting the channels apart would take a quarter of the time of decoding
    return torch.from_numpy(pixels).permute(2, 0, 1)


def read_small(path: Path, side: int, window: Window | None = None) -> Tensor:
    """The same image with its longer side at most that long; of a JPEG no more is decoded than that
    needs.

    Args:
        path: of the file.
        side: pixels.
        window: as in `read_image`.
    """
    with _opened(path, PHOTOS, MOST_PIXELS) as image:
        if image.format == "JPEG":
            turn = TURNS.get(orientation(image))
            image.draft("RGB", (2 * side, 2 * side))
            image.load()
            small = _coloured(image, Place(str(path)), window)
            small.thumbnail((side, side))
            pixels = np.array(small if turn is None else small.transpose(turn))
            return torch.from_numpy(pixels).permute(2, 0, 1)
    whole = Image.fromarray(read_image(path, window=window).permute(1, 2, 0).numpy())
    whole.thumbnail((side, side))
    return torch.from_numpy(np.array(whole)).permute(2, 0, 1)


def changes(path: Path, window: Window | None = None) -> list[str]:
    """What `read_image` changes of the image beside its decoding, in words that can be counted."""
    with _opened(path, PHOTOS, MOST_PIXELS) as image:
        found = []
        if orientation(image) > 1:
            found.append("images turned upright, as their cameras noted")
        if getattr(image, "n_frames", 1) > 1:
            found.append("images of several frames, of which the first is read")
        if image.has_transparency_data:
            found.append("images with transparency, which lies on white")
        if image.mode in ("CMYK", "LAB", "HSV"):
            found.append(f"images converted from {image.mode}")
        if (bits := _bits(path, image)) is not None:
            found.append(
                f"images of 16 bits, read as {bits} bits"
                if window is None
                else "images of 16 bits, read through data.window"
            )
        return found


def _bits(path: Path, image: Image.Image) -> int | None:
    """How many bits an image of 16 bits uses; None for other images."""
    raw = _raw_mode(image)
    if raw in LOWER_BYTES:
        return depth(_both_bytes(path, np.array(image), raw))
    return depth(np.array(image)) if image.mode.startswith("I") else None


def depth(values: NDArray[Any]) -> int:
    """The smallest of 8, 10, 12, 14 and 16 bits that hold these values, none of which is negative.

    >>> depth(np.array([0, 4095])), depth(np.array([4096]))
    (12, 14)
    """
    return next((bits for bits in DEPTHS if int(values.max()) < 1 << bits), DEPTHS[-1])


def read_mask(
    path: Path, colours: Mapping[Colour, int] | None = None, most_pixels: int = MOST_PIXELS
) -> Tensor:
    """The class of every pixel as uint8 [H,W], 255 where there is none: the indices of an indexed
    image, or the values of a grey one.

    A mask in true colours, or in indexed ones, is read with a table of the classes of colours, if
    there is one.
    """
    with _opened(path, EXACT, most_pixels) as image:
        spread = SPREAD.get(_raw_mode(image), 1)
        image.load()
        if colours is not None and image.mode in ("P", "RGB", "RGBA"):
            return torch.from_numpy(
                _classes_of(np.array(image.convert("RGB")), colours, Place(str(path)))
            )
        values = np.array(image)
        if image.mode not in ("P", "L", "1", "I") and not image.mode.startswith("I;16"):
            found = f"one in colours ({image.mode})"
            raise FormatError(
                Place(str(path)),
                "the mask",
                "an indexed or grey image of classes, or else a table of its colours",
                found,
            )
        if values.size and not 0 <= int(values.min()) <= int(values.max()) <= IGNORE:
            raise FormatError(
                Place(str(path)),
                "the mask",
                "values from 0 to 255",
                f"one of {values.min()} to {values.max()}",
            )
        return torch.from_numpy((values // spread).astype(np.uint8))


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, from 1 (upright) to 8; 1 where the header has none that can be read."""
    # Pillow turns TIFF by itself; a note behind the pixels of a PNG would be found only after
    # decoding them
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:
        # damaged notes, in any of the ways a file can be damaged; its pixels may be whole
        return 1
    return value if value in TURNS else 1


def _raw_mode(image: Image.Image) -> str:
    """How a PNG holds its values, before they are decoded."""
    tiles = getattr(image, "tile", None)
    return str(tiles[0][3]) if image.format == "PNG" and tiles else ""


@contextmanager
def _opened(path: Path, formats: tuple[str, ...], most_pixels: int) -> Iterator[Image.Image]:
    place = Place(str(path))
    try:
        with Image.open(source_of(path), formats=formats) as image:
            width, height = image.size
            if width * height > most_pixels:
                raise FormatError(
                    place,
                    "the image",
                    f"one of at most {most_pixels} pixels",
                    f"{width} by {height}",
                )
            yield image
    except FormatError:
        raise
    except UnidentifiedImageError:
        raise FormatError(
            place,
            "the image",
            f"one of {', '.join(formats)}",
            "something else, or damaged at its beginning",
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise FormatError(
            place, "the image", f"one of at most {most_pixels} pixels", f"larger: {error}"
        ) from None
    except Exception as error:  # a decoder may fail on foreign bytes in any way
        raise FormatError(place, "the image", "whole", f"damaged or cut off: {error}") from None


def source_of(path: Path) -> Path | io.BytesIO:
    """What Pillow opens: a file, or the content of one that is at a URL; a FormatError if there is
    none."""
    if isinstance(path, RemotePath):
        return io.BytesIO(read_remote(path, "the image"))
    if not path.is_file():
        came = "missing" if not path.exists() else "no ordinary file"
        raise FormatError(Place(str(path)), "the image", "there", came)
    return path


def _coloured(image: Image.Image, place: Place, window: Window | None) -> Image.Image:
    if image.mode.startswith("I") or (image.mode == "F" and window is not None):
        values = np.array(image)
        if window is None and (values.min() < 0 or values.max() > 65535):
            found = (
                f"one of values from {values.min()} to {values.max()}; "
                "data.window=[darkest,brightest] says how to read it"
            )
            raise FormatError(place, "a grey image", "one of 8 or 16 bits", found)
        return Image.fromarray(_windowed(values, window)).convert("RGB")
    if image.mode == "F":
        found = "one of fractions; data.window=[darkest,brightest] says how to read it"
        raise FormatError(place, "the image", "one of 8 or 16 bits", found)
    if image.has_transparency_data:
        paint = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), paint)
    return image if image.mode == "RGB" else image.convert("RGB")


def _deep_colours(
    path: Path, upper: NDArray[np.uint8], raw: str, window: Window | None
) -> Image.Image:
    values = _both_bytes(path, upper, raw)
    pixels = _windowed(values[..., :3], window)
    if values.shape[-1] == 4:  # transparency has a scale of its own
        pixels = np.concatenate([pixels, upper[..., 3:]], -1)
    return Image.fromarray(pixels)


def _both_bytes(path: Path, upper: NDArray[np.uint8], raw: str) -> NDArray[np.int32]:
    """All 16 bits of a PNG in colours, from its upper bytes and the file."""
    with _opened(path, PHOTOS, MOST_PIXELS) as image:
        codec, extents, offset, _ = image.tile[0]  # type: ignore[attr-defined]
        image.tile = [(codec, extents, offset, LOWER_BYTES[raw])]  # type: ignore[attr-defined]
        image.load()
        lower = np.array(image)
    both: NDArray[np.int32] = upper.astype(np.int32) * 256 + lower
    return both


def _windowed(values: NDArray[Any], window: Window | None) -> NDArray[np.uint8]:
    """Values as 0 to 255."""
    if window is None:
        return (values >> (depth(values) - 8)).astype(np.uint8)
    dark, bright = window
    shares = (values.astype(np.float64) - dark) / (bright - dark)
    return (shares.clip(0, 1) * 255).round().astype(np.uint8)


def _classes_of(
    pixels: NDArray[np.uint8], colours: Mapping[Colour, int], place: Place
) -> NDArray[np.uint8]:
    codes = (pixels.astype(np.int32) * np.array([1 << 16, 1 << 8, 1], np.int32)).sum(-1)
    known, which = np.unique(codes, return_inverse=True)
    table = {
        (red << 16) + (green << 8) + blue: label for (red, green, blue), label in colours.items()
    }
    strange = [code for code in known.tolist() if code not in table]
    if strange:
        code = strange[0]
        raise FormatError(
            place,
            "every colour",
            "in the table of colours",
            f"not, such as {(code >> 16, code >> 8 & 255, code & 255)}",
        )
    classes = np.array([table[code] for code in known.tolist()], np.uint8)
    return classes[which.reshape(codes.shape)]
