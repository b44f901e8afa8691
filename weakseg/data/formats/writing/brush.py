"""Masks as Label Studio's brush keeps them; `weakseg.data.formats.brush` says how."""

from __future__ import annotations

from functools import lru_cache

from weakseg.data.formats.runs import pack
from weakseg.data.formats.writing.labels import Bools

LENGTHS = (3, 4, 8, 16)  # bits that the length of a packet may take
LONGEST = 1 << LENGTHS[-1]
PAINT = 255


def pack_brush(mask: Bools) -> list[int]:
    """The bytes of a mask [H,W] of a whole image: four channels, all painted alike.

    >>> import numpy as np
    >>> pack_brush(np.array([[True]]))
    [0, 0, 0, 4, 57, 27, 252, 127, 224]
    """
    header = [f"{4 * mask.size:032b}", f"{8 - 1:05b}", *(f"{length - 1:04b}" for length in LENGTHS)]
    counts = pack(mask).counts.tolist()
    packets = [_repeated(PAINT * (number % 2), 4 * count) for number, count in enumerate(counts)]
    bits = "".join([*header, *packets])
    bits += "0" * (-len(bits) % 8)
    return list(int(bits, 2).to_bytes(len(bits) // 8, "big"))


# the same short runs come again in every row
@lru_cache(maxsize=2**14)
def _repeated(value: int, count: int) -> str:
    """Packets of one byte, repeated."""
    packets = _packet(value, LONGEST) * (count // LONGEST)
    return packets + _packet(value, count % LONGEST) if count % LONGEST else packets


def _packet(value: int, count: int) -> str:
    choice = next(choice for choice, length in enumerate(LENGTHS) if count <= 1 << length)
    return f"1{choice:02b}{count - 1:0{LENGTHS[choice]}b}{value:08b}"
