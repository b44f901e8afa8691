"""Text and YAML, and the values that they become."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from weakseg.config.values import Text, describe, read, read_yaml, written


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (float, "5", 5.0),
        (float, "-.5e1", -5.0),
        (float, "inf", float("inf")),
        (float, "1_0", "1_0"),
        (int, "+7", 7),
        (int, "2.0", 2),
        (int, "1e400", "1e400"),
        (int | float, "2", 2),
        (int | float, "2.0", 2.0),
        (str | int, "007", 7),
        (str | int, "2008_000008", "2008_000008"),
        (str | float, "1e-3", 0.001),
        (str, "true", "true"),
        (str | None, "None", None),
        (Literal["none"] | None, "none", "none"),
        (bool | Literal["warn"], "warn", "warn"),
        (bool | int, "1", 1),
        (bool, "ON", True),
        (Path, "1", "1"),
        (list[bool], "yes,no", [True, False]),
        (tuple[int, str], "1,2", [1, "2"]),
        (tuple[float, ...], "1,", [1.0]),
        (list[list[int]], "[[1,2],[3]]", [[1, 2], [3]]),
        (list[str], '["a,b", c]', ["a,b", "c"]),
        (list[str] | str, "a,b", "a,b"),
        (list[str] | str, "[a,b]", ["a", "b"]),
        (str, "[a", "[a"),
        (dict[str, list[int]], "{a: [1, 2]}", {"a": [1, 2]}),
        (dict[int, bool], "{1: no}", {1: False}),
        (Any, "0.5", 0.5),
        (Any, "off", False),
    ],
)
def test_text_of_the_command_line(hint: Any, text: str, value: Any) -> None:
    found = read(hint, Text(text))
    assert found == value
    assert type(found) is type(value) or isinstance(found, list)


def test_text_of_yaml_is_text_where_text_may_be() -> None:
    assert read(str | int, "2") == "2"
    assert read(str | None, "none") == "none"
    assert read(Any, "2") == "2"
    assert read(int | None, "2") == 2
    assert read(list[float], "1e-3,2") == [0.001, 2.0]


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int | float | None, "a number or none"),
        (None | str, "text or none"),
        (Literal["a", 2] | bool, "a or 2 or true or false"),
        (tuple[int, ...], "a list (each entry a whole number)"),
        (tuple[int, str], "2 values (a whole number, text)"),
        (dict[str, int], "keys with values below it"),
        (list[Any], "a list (each entry any value)"),
        (object, "object, an object that no recipe can write"),
    ],
)
def test_types_in_words(hint: Any, words: str) -> None:
    assert describe(hint) == words


@pytest.mark.parametrize(
    "text",
    [
        "1e-3",
        "1E5",
        ".5e3",
        "1.e4",
        "2008_000008",
        "yes",
        "null",
        "~",
        "",
        " a ",
        "a\nb",
        "a\u2028b",
        "é",
        "'",
        "1:30",
        "- a",
        "{",
        "#",
    ],
)
def test_written_text_is_read_as_the_same_text(text: str) -> None:
    line = written({"key": [text]})
    assert "\n" not in line
    data, lines = read_yaml(f"a:\n  b: {written(text)}\n".encode(), "file")
    assert data == {"a": {"b": text}}
    assert lines == {("a",): 1, ("a", "b"): 2}
    assert yaml.safe_load(line) == {"key": [text]}


def test_keys_are_read_as_written() -> None:
    data, _ = read_yaml(b"on: 1\n1e3: 2e3\nnull: {no: no}\n", "file")
    assert data == {"on": 1, "1e3": 2000.0, "null": {"no": False}}
