"""What the shares among a recipe's values are in pixels, for `--show`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from weakseg.config.lookup import Part
from weakseg.config.schema import arguments, make, nested
from weakseg.utils.lengths import SHARES, AreaShare, Share, area_in_pixels, in_pixels

USUAL = 500  # the long side of an image of which nothing is known, as in VOC 2012
SIDES = ("long_side", "size")  # arguments of data sets that say it


def pixels_of_shares(parts: Mapping[str, Part]) -> dict[str, str]:
    """By place of a recipe, such as strategy.crf.bilateral_xy, each share in pixels.

    They are those of an image with the data set's long side, where it has one, or else of an image
    of 500 pixels.
    """
    long_side = _long_side(parts.get("data"))
    return {
        f"{place}.{key}": _in_words(share, long_side)
        for place, part in parts.items()
        for key, share in _shares(_values(part))
    }


def _long_side(data: Part | None) -> int:
    values = dict(_values(data)) if data else {}
    known = [values[name] for name in SIDES if isinstance(values.get(name), int)]
    return known[0] if known else USUAL


def _values(part: Part) -> Iterator[tuple[str, Any]]:
    """The arguments of a part's class, those that are left out, too."""
    for name, (hint, default) in arguments(part.constructor).items():
        value = part.values.get(name, default)
        section = nested(hint)
        yield name, make(section, value, default) if section and isinstance(value, dict) else value


def _shares(values: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Share | AreaShare]]:
    for name, value in values:
        if isinstance(value, SHARES):
            yield name, value
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            below = (
                (field.name, getattr(value, field.name)) for field in dataclasses.fields(value)
            )
            yield from ((f"{name}.{key}", share) for key, share in _shares(below))


def _in_words(share: Share | AreaShare, long_side: int) -> str:
    """In pixels at a long side, or of an area at the usual 4 to 3."""
    height = round(long_side * 3 / 4)
    if isinstance(share, Share):
        return f"{_counted(in_pixels(share, height, long_side))} at {long_side}"
    return f"{_counted(area_in_pixels(share, height, long_side))} at {long_side} x {height}"


def _counted(pixels: float) -> str:
    return f"{pixels:.3g} pixels" if pixels >= 1 else "less than a pixel"
