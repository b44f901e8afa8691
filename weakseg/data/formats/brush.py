"""Masks painted with Label Studio's brush: the bytes of a picture with four channels, the last of
which is the paint, as a stream of bits.

The stream begins with the number of bytes (32 bits), the bits per byte less one (5) and four
lengths less one (4 each). Packets follow: one bit for whether one byte is repeated, two bits that
choose one of the lengths, the number of bytes less one in as many bits, and the byte itself, or all
of the bytes. (This is `rle-pack` of thi.ng/umbrella.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weakseg.data.formats.base import MOST_PIXELS
from weakseg.data.formats.runs import Runs, pack

HALF = 128  # a pixel at the rim is inside if half of it or more is painted


def unpack_brush(stream: NDArray[np.uint8], width: int, height: int) -> Runs:
    """The mask of an image of this size; a ValueError if the stream holds none. Nothing is
    allocated before its header is right."""
    bits = _Bits(stream)
    total = bits.number(32)
    if total != 4 * width * height or width * height > MOST_PIXELS:
        raise ValueError(f"{total} bytes instead of 4 for each of {width} by {height} pixels")
    if (word := bits.number(5) + 1) != 8:
        raise ValueError(f"{word} bits per byte")
    lengths = [bits.number(4) + 1 for _ in range(4)]
    picture = np.empty(total, np.uint8)
    start = 0
    while start < total:
        repeated = bits.number(1)
        end = start + 1 + bits.number(lengths[bits.number(2)])
        if end > total:
            raise ValueError(f"more than {total} bytes")
        picture[start:end] = bits.number(8) if repeated else bits.bytes(end - start)
        start = end
    return pack(picture[3::4].reshape(height, width) >= HALF)


class _Bits:
    """Reads numbers of any length from a stream, highest bit first."""

    def __init__(self, stream: NDArray[np.uint8]) -> None:
        self.data = stream.tobytes()
        self.at = 0

    def number(self, length: int) -> int:
        first, end = self._next(length)
        return int.from_bytes(self.data[first >> 3 : (end + 7) >> 3], "big") >> (-end % 8) & (
            (1 << length) - 1
        )

    def bytes(self, count: int) -> NDArray[np.uint8]:
        first, end = self._next(8 * count)
        bits = np.unpackbits(np.frombuffer(self.data[first >> 3 : (end + 7) >> 3], np.uint8))
        return np.packbits(bits[first % 8 : first % 8 + 8 * count])

    def _next(self, length: int) -> tuple[int, int]:
        first = self.at
        self.at = self.at + length
        if self.at > 8 * len(self.data):
            raise ValueError("bits that are cut off at the end")
        return first, self.at
