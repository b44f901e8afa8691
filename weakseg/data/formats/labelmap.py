"""Label maps: the text file beside masks in colours with the class of each colour, as CVAT and
Datumaro write it.

A line is `name:red,green,blue:parts:actions`; `#` begins a remark. A class without a colour has
that of PASCAL VOC for its number.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from weakseg.data.class_names import VOID
from weakseg.data.formats.base import FormatError, Place, wholes
from weakseg.data.formats.images import Colour
from weakseg.data.formats.opening import read_text
from weakseg.evidence import IGNORE

RIM: Colour = (224, 224, 192)  # the colour of that rim, where the file does not give it to a class


class LabelMap(NamedTuple):
    """The classes of masks in the order of their values, and in colours."""

    names: list[str | None]
    """None for what is not counted"""
    colours: dict[Colour, int]


def read(path: Path) -> LabelMap:
    """Classes and colours of the file; a colour for two classes is refused."""
    place = Place(str(path))
    names: list[str | None] = []
    colours: dict[Colour, int] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, colour = _line(line, len(names), place._replace(number=number))
            if colour in colours:
                raise FormatError(
                    place._replace(number=number),
                    "the colour",
                    "of one class",
                    f"{colour}, which another one has too",
                )
            colours[colour] = IGNORE if name in VOID else len(names)
            names.append(None if name in VOID else name)
    counted = [value for value, name in enumerate(names) if name is not None]
    if not counted or counted[-1] >= IGNORE or len(names) > IGNORE + 1:
        raise FormatError(
            place,
            "the file",
            f"a list of 1 to {IGNORE} classes, name:red,green,blue in each line",
            f"one of {len(counted)}",
        )
    colours.setdefault(RIM, IGNORE)
    return LabelMap(names, colours)


def _line(line: str, value: int, place: Place) -> tuple[str, Colour]:
    name, *rest = line.strip().rsplit(":", 3)
    if len(rest) != 3 or not name:
        raise place.wrong("a line", "name:red,green,blue:parts:actions", line)
    if not rest[0].strip():
        return name, voc_colour(value)
    channels = wholes(rest[0].split(","), place, "red,green,blue", 3).tolist()
    if not 0 <= min(channels) <= max(channels) <= 255:
        raise place.wrong("red,green,blue", "numbers from 0 to 255", rest[0])
    red, green, blue = channels
    return name, (red, green, blue)


def voc_colour(number: int) -> Colour:
    """The colour of a class in PASCAL VOC: its bits in turn are the highest, then the next ones, of
    red, green and blue.

    >>> voc_colour(0), voc_colour(1), voc_colour(15)
    ((0, 0, 0), (128, 0, 0), (192, 128, 128))
    """
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= (number >> (3 * bit + channel) & 1) << (7 - bit)
    return channels[0], channels[1], channels[2]
