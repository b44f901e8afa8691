"""The colours of classes on the page: bright ones, which stand out from photographs."""

from __future__ import annotations

from weakseg.utils.files import voc_palette

# neighbours differ in hue and in lightness; the background is a dark grey
BRIGHT = [
    "#3f4756",
    "#2f9e44",
    "#f08c00",
    "#1c7ed6",
    "#d6249f",
    "#e03131",
    "#7048e8",
    "#12b5a5",
    "#fcc419",
    "#a5673f",
    "#94d82d",
    "#f783ac",
    "#4dabf7",
    "#862e9c",
    "#5c940d",
    "#ff8787",
    "#0b7285",
    "#e8590c",
    "#b197fc",
    "#c0ca33",
    "#8d99ae",
]


def palette() -> list[list[int]]:
    """The colours of 256 classes as red, green and blue; from the 22nd on, those of PASCAL VOC.

    >>> palette()[0], palette()[255]
    ([63, 71, 86], [224, 224, 192])
    """
    bright = [[int(colour[place : place + 2], 16) for place in (1, 3, 5)] for colour in BRIGHT]
    return [*bright, *map(list, voc_palette()[len(bright) :])]


def as_css(colour: list[int]) -> str:
    """A colour as style sheets write it.

    >>> as_css([63, 71, 86])
    '#3f4756'
    """
    return "#" + "".join(f"{value:02x}" for value in colour)
