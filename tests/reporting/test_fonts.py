"""Names in pictures can be read, whatever their script and whatever fonts the machine has."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from weakseg.reporting.fonts import font_files, letter


def test_plain_names_stay_in_the_font_that_is_always_there(tmp_path: Path) -> None:
    assert letter("traffic light_7", 14, [tmp_path]).text == "traffic light_7"


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("Müsli", "Musli"),
        ("crème brûlée", "creme brulee"),
        ("猫", "U+732B"),
        ("cat 猫", "cat U+732B"),
        ("ß", "U+00DF"),
    ],
)
def test_without_a_font_names_are_spelled_in_letters_that_all_have(
    name: str, read: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    assert letter(name, 14, [tmp_path]).text == read


def test_no_letter_is_drawn_as_an_empty_square() -> None:
    text, font = letter("Müsli 猫 кот ☃ \U0001f600", 16)
    square = bytes(font.getmask("\U0010fffd"))
    assert all(bytes(font.getmask(character)) != square for character in text if character != " ")


def test_a_font_of_the_machine_is_used_where_it_has_more_letters() -> None:
    text, font = letter("Müsli", 14)
    if text == "Müsli":  # a font with it was found, so it is drawn with its dots
        dots, plain = (Image.new("L", (40, 30)) for _ in range(2))
        ImageDraw.Draw(dots).text((4, 4), "ü", 255, font)
        ImageDraw.Draw(plain).text((4, 4), "u", 255, font)
        assert dots.tobytes() != plain.tobytes()
    else:
        assert text == "Musli"


def test_likely_fonts_come_first(tmp_path: Path) -> None:
    for name in ("Aaa.ttf", "DejaVuSans.ttf", "sub/NotoSansCJK-Regular.ttc", "readme.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in font_files((tmp_path,))] == [
        "NotoSansCJK-Regular.ttc",
        "DejaVuSans.ttf",
        "Aaa.ttf",
    ]
