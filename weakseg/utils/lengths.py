"""Lengths in pixels, or as a share of the size of the image, whatever that is.

A bare number is a number of pixels. `Share(0.13)`, in recipes and on the command line `13%`, is a
share of the long side of the image, so that one setting is right for an image of 64 pixels and for
one of 4000. Of an area, such as that of the smallest superpixel, `AreaShare(0.001)`, also written
`0.1%`, is a share of all pixels of the image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, TypeVar

Kind = TypeVar("Kind", bound="_Part")
_PERCENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?%")


@dataclass(frozen=True, order=True)
class _Part:
    """More than nothing of an image, and at most all of it."""

    of: float
    """0.13 for 13 %"""

    meaning: ClassVar[str]
    example: ClassVar[str]

    def __post_init__(self) -> None:
        number = isinstance(self.of, (int, float)) and not isinstance(self.of, bool)
        if not (number and 0 < self.of <= 1):
            came = str(self) if number else repr(self.of)
            raise ValueError(
                f"{self.meaning} should be more than 0% and at most 100%, but it is {came}; "
                "a number without % means pixels"
            )

    def __str__(self) -> str:
        """As it is written in a recipe: 13%."""
        percent = (Decimal(repr(float(self.of))) * 100).normalize()
        return f"{percent:f}%"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """A recipe gives it as text, which `parse` reads, and not as keys below it."""
        from pydantic_core import core_schema

        return core_schema.is_instance_schema(cls)


@dataclass(frozen=True, order=True)
class Share(_Part):
    """A share of the long side of an image.

    >>> Share(0.13), str(Share(0.13)), in_pixels(Share(0.13), 200, 256)
    (Share(of=0.13), '13%', 33.28)
    """

    meaning: ClassVar[str] = "a share of the image's long side"
    example: ClassVar[str] = "13%"


@dataclass(frozen=True, order=True)
class AreaShare(_Part):
    """A share of the pixels of an image.

    >>> AreaShare(0.001), str(AreaShare(0.001)), area_in_pixels(AreaShare(0.001), 200, 250)
    (AreaShare(of=0.001), '0.1%', 50.0)
    """

    meaning: ClassVar[str] = "a share of the image's pixels"
    example: ClassVar[str] = "0.1%"


SHARES = (Share, AreaShare)
Length = float | Share
Area = float | AreaShare


def in_pixels(length: Length, height: int, width: int, least: float = 0.0) -> float:
    """A length in an image of this size; of a share so many pixels at least.

    >>> in_pixels(67, 200, 256), in_pixels(Share(0.25), 200, 256), in_pixels(Share(0.1), 8, 6, 1)
    (67.0, 64.0, 1.0)
    """
    if isinstance(length, Share):
        return float(max(least, length.of * max(height, width)))
    return float(length)


def area_in_pixels(area: Area, height: int, width: int, least: float = 0.0) -> float:
    """An area in an image of this size; of a share so many pixels at least.

    >>> area_in_pixels(30, 200, 256), area_in_pixels(AreaShare(0.25), 200, 256)
    (30.0, 12800.0)
    """
    if isinstance(area, AreaShare):
        return max(least, area.of * height * width)
    return float(area)


def is_percent(text: str) -> bool:
    """Whether a text is a number followed by a % sign, in range or not."""
    return _PERCENT.fullmatch(text) is not None


def parse(text: str, kind: type[Kind]) -> Kind:
    """A share from `13%`; a ValueError says what is wrong with it.

    >>> parse("0.5%", Share)
    Share(of=0.005)
    """
    if not is_percent(text):
        raise ValueError(f"expected {kind.meaning}, such as {kind.example}, but it is {text!r}")
    return kind(float(Decimal(text.removesuffix("%")) / 100))
