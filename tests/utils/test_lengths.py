"""Lengths and areas in pixels or as shares of an image."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from weakseg.utils.fingerprint import fingerprint
from weakseg.utils.lengths import AreaShare, Share, area_in_pixels, in_pixels, is_percent, parse


@pytest.mark.parametrize(("height", "width"), [(64, 48), (256, 192), (3000, 4000)])
def test_a_share_is_one_of_the_long_side_whichever_that_is(height: int, width: int) -> None:
    long_side = max(height, width)
    assert in_pixels(Share(0.25), height, width) == long_side / 4
    assert in_pixels(Share(0.25), width, height) == long_side / 4
    assert area_in_pixels(AreaShare(0.5), height, width) == height * width / 2


@pytest.mark.parametrize("number", [0, 30, 67.5])
def test_a_number_is_pixels_in_an_image_of_any_size(number: float) -> None:
    assert in_pixels(number, 64, 48) == in_pixels(number, 3000, 4000) == number
    assert area_in_pixels(number, 64, 48) == area_in_pixels(number, 3000, 4000) == number


@pytest.mark.parametrize("kind", [Share, AreaShare])
@pytest.mark.parametrize("text", ["13%", "7%", "0.5%", "0.107%", "100%", "33.3%", "0.00001%"])
def test_text_and_back(kind: type[Share] | type[AreaShare], text: str) -> None:
    share = parse(text, kind)
    assert type(share) is kind
    assert str(share) == text
    assert share.of == pytest.approx(float(text[:-1]) / 100, rel=1e-15)


@pytest.mark.parametrize("of", [1 / 3, 0.13, 0.07, 1e-6, 1])
def test_no_digit_is_lost_in_text(of: float) -> None:
    assert parse(str(Share(of)), Share) == Share(of)


@pytest.mark.parametrize("of", [0, -0.03, 1.3, float("nan"), float("inf"), True, "13%", None])
def test_what_is_no_share(of: Any) -> None:
    with pytest.raises(ValueError, match="should be more than 0% and at most 100%, but it is "):
        Share(of)


@pytest.mark.parametrize("text", ["13", "13 %", "%", "13%%", "67px", "", "thirteen%", " 13%"])
def test_what_is_no_percentage(text: str) -> None:
    assert not is_percent(text)
    with pytest.raises(ValueError, match="expected a share of the image's long side, such as 13%"):
        parse(text, Share)


def test_it_is_a_plain_value() -> None:
    share = Share(0.13)
    assert share == Share(0.13) != Share(0.14)
    assert share != AreaShare(0.13)
    assert len({share, Share(0.13), AreaShare(0.13)}) == 2
    assert pickle.loads(pickle.dumps(share)) == share
    assert fingerprint(share) == fingerprint(Share(0.13))
    assert len({fingerprint(each) for each in (share, Share(0.14), AreaShare(0.13), 0.13)}) == 4
    with pytest.raises(FrozenInstanceError):
        share.of = 0.2  # type: ignore[misc]
