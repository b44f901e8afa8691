from __future__ import annotations

import pytest

from weakseg.data.names import tags_named

CLASSES = ("background", "aeroplane", "cat", "Dog")


def test_names_in_any_order_and_twice() -> None:
    assert tags_named(["Dog", "aeroplane", "Dog"], CLASSES).tolist() == [True, True, False, True]
    assert tags_named((name for name in ["cat"]), CLASSES).tolist() == [True, False, True, False]


def test_background_need_not_be_named() -> None:
    assert tags_named([], CLASSES).tolist() == [True, False, False, False]
    assert tags_named(["background"], CLASSES).tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("name", "near"),
    [("airplane", "aeroplane"), ("dog", "Dog"), ("CAT", "cat"), ("backgroud", "background")],
)
def test_the_nearest_name_is_offered(name: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"^there is no class '{name}'; did you mean {near}\\?$"):
        tags_named(["cat", name], CLASSES)


def test_without_a_near_one_all_are_listed() -> None:
    with pytest.raises(
        ValueError,
        match="there is no class 'zeppelin'; the classes are background, aeroplane, cat, Dog",
    ):
        tags_named(["zeppelin"], CLASSES)


def test_a_text_is_not_a_list_of_letters() -> None:
    with pytest.raises(
        TypeError,
        match=r"names should be a list of names, but it is the text 'cat'; write \['cat'\]",
    ):
        tags_named("cat", CLASSES)
