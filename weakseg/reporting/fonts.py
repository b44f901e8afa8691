"""Names in pictures: a font of the machine that has their letters, or else letters that everybody
can read."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
ENDINGS = (".ttf", ".otf", ".ttc")
# parts of names of upright fonts, those with many scripts first; others are tried after them
LIKELY = (
    "NotoSansCJK-Regular",
    "SourceHanSans",
    "wqy",
    "DroidSansFallback",
    "PingFang",
    "msyh",
    "Hiragino",
    "ArialUnicode",
    "DejaVuSans.",
)
MOST = 400  # font files that are opened
# no font has this one, so each draws what it draws for letters that it lacks
MISSING = "\U0010fffd"


class Lettering(NamedTuple):
    """A text as it can be drawn, and the font to draw it with."""

    text: str
    font: Font


def letter(text: str, size: int, folders: Sequence[Path] | None = None) -> Lettering:
    """The text in the font that comes with Pillow, or in one of this machine if that has more of
    its letters.

    Letters that none has lose their accents; without these, or in a script that no font of the
    machine has, they are spelled as U+ and their number.

    Args:
        text: of one line.
        size: height of the letters, in pixels.
        folders: where fonts are searched; None for where this system keeps them.
    """
    font: Font = ImageFont.load_default(size)
    if lacking := _lacking(font, text):
        for path in font_files(tuple(_folders() if folders is None else folders)):
            other = _opened(path, size)
            if other is not None and len(less := _lacking(other, text)) < len(lacking):
                font = other
                lacking = less
            if not lacking:
                break
    return Lettering(
        "".join(
            _spelled(font, character) if character in lacking else character for character in text
        ),
        font,
    )


def _lacking(font: Font, text: str) -> set[str]:
    """The letters of a text that a font draws as an empty square."""
    square = _drawn(font, MISSING)
    return {
        character
        for character in set(text)
        if not character.isspace() and _drawn(font, character) == square
    }


def _drawn(font: Font, character: str) -> bytes:
    mask = font.getmask(character)
    return repr(mask.size).encode() + bytes(mask)


def _spelled(font: Font, character: str) -> str:
    plain = "".join(
        part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part)
    )
    return plain if plain and not _lacking(font, plain) else f"U+{ord(character):04X}"


@lru_cache(maxsize=4)
def font_files(folders: tuple[Path, ...]) -> tuple[Path, ...]:
    """Font files in these folders and those below, likely ones first."""
    found = sorted(
        path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in ENDINGS
    )

    def rank(path: Path) -> int:
        name = path.name.replace(" ", "")
        return next(
            (place for place, part in enumerate(LIKELY) if part.lower() in name.lower()),
            len(LIKELY),
        )

    return tuple(sorted(found, key=rank)[:MOST])


def _opened(path: Path, size: int) -> Font | None:
    try:
        return ImageFont.truetype(str(path), size)
    except OSError:  # no font, or one that FreeType cannot read
        return None


def _folders() -> Iterator[Path]:
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        places = [
            Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts",
            home / "AppData/Local/Microsoft/Windows/Fonts",
        ]
    elif sys.platform == "darwin":
        places = [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    else:
        places = [
            Path("/usr/share/fonts"),
            Path("/usr/local/share/fonts"),
            home / ".local/share/fonts",
            home / ".fonts",
        ]
    return (place for place in places if place.is_dir())
