"""What a constructor may be given, read from its signature."""

from __future__ import annotations

import dataclasses
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, Union

import pytest
from annotated_types import Ge, Le

from weakseg.config.schema import REQUIRED, arguments, filled, keys, make, validate
from weakseg.config.values import RecipeError, Text

if TYPE_CHECKING:
    from somewhere_else import Unknown


@dataclass(frozen=True)
class Inner:
    size: int = 3
    name: str = "inner"


@dataclass(frozen=True)
class Outer:
    width: float
    inner: Inner = Inner(size=9)
    maybe: Inner | None = None

    def __post_init__(self) -> None:
        if self.width < 0:
            raise ValueError(f"width should not be negative,\nbut it is {self.width}")


class Parent:
    def __init__(self, batch_size: int = 8, *, workers: int = 0) -> None:
        self.given = {"batch_size": batch_size, "workers": workers}


class Child(Parent):
    def __init__(self, root: str, batch_size: int = 2, **loading: Any) -> None:
        super().__init__(batch_size=batch_size, **loading)
        self.root = root


class Closed(Child):
    def __init__(self, split: str = "train") -> None:
        super().__init__("here")


class Inherits(Child):
    pass


class Bare:
    pass


def section(
    outer: Outer = Outer(width=1.0),
    other: Outer | None = None,
    copy: int = 0,
    model_config: str = "",
    json=3,
    *rest: int,
) -> Any:
    return outer, other, copy, model_config, json


def said(constructor: Any, **node: Any) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        validate(constructor, node)
    return caught.value.errors


def test_arguments_of_parents_count_as_far_as_keywords_are_handed_on() -> None:
    assert list(arguments(Child)) == ["root", "batch_size", "workers"]
    assert list(arguments(Inherits)) == list(arguments(Child))
    assert list(arguments(Closed)) == ["split"]
    assert list(arguments(Bare)) == []
    assert arguments(Child)["batch_size"] == (int, 2)  # the child's own default, not the parent's
    assert arguments(Child)["root"] == (str, REQUIRED)
    assert said(Bare, x=1) == ["x: no such key; there are no keys here"]


def test_arguments_of_torch_modules_end_where_types_do() -> None:
    from torch import nn

    class Net(nn.Module):
        def __init__(self, width: int = 4, **others: Any) -> None:
            super().__init__(**others)

    assert list(arguments(Net)) == ["width"]
    assert list(arguments(nn.Module)) == []


def test_names_that_pydantic_keeps_to_itself_are_names_like_others() -> None:
    assert validate(section, {"copy": "1", "model_config": "a", "json": Text("2")}) == {
        "copy": 1,
        "model_config": "a",
        "json": 2,
    }


def test_annotations_of_any_style() -> None:
    @dataclass
    class Styles:
        a: Optional[float] = None  # noqa: UP045
        b: Union[int, str] = 0  # noqa: UP007
        c: "Literal['x', 3]" = "x"  # noqa: UP037
        d: InitVar[int] = 1
        e: list[str] = field(default_factory=lambda: ["z"])
        f: int = field(default=0, init=False)
        g: Unknown | None = None
        h: bool = None  # type: ignore[assignment]

    values = validate(
        Styles,
        {
            key: Text(text)
            for key, text in {"a": "1", "b": "2", "c": "3", "d": "4", "e": "5", "h": "none"}.items()
        },
    )
    assert values == {"a": 1.0, "b": 2, "c": 3, "d": 4, "e": ["5"], "h": None}
    assert arguments(Styles)["e"].default == ["z"]
    assert arguments(Styles)["g"].hint == Optional[Any]  # noqa: UP045
    assert "f" not in arguments(Styles)


def test_untyped_arguments_take_what_the_text_looks_like() -> None:
    def loose(a, b=1, c: Any = None, d=None) -> None:  # type: ignore[no-untyped-def]
        pass

    texts = {
        "a": Text("1e-3"),
        "b": Text("[1, x, no]"),
        "c": Text("2008_000008"),
        "d": Text("null"),
    }
    assert validate(loose, texts) == {
        "a": 0.001,
        "b": [1, "x", False],
        "c": "2008_000008",
        "d": None,
    }


def test_dataclasses_are_keys_below() -> None:
    assert keys(section)[:8] == [
        "outer",
        "outer.width",
        "outer.inner",
        "outer.inner.size",
        "outer.inner.name",
        *keys(section)[5:8],
    ]
    values = validate(section, {"outer": {"inner": {"name": "x"}}, "other": {"width": Text("2")}})
    assert values == {"outer": {"inner": {"name": "x"}}, "other": {"width": 2.0}}
    outer, other, *_ = make(section, values)
    assert outer == Outer(1.0, Inner(9, "x"))  # all that was not said stays as in the default
    assert other == Outer(2.0, Inner(9))
    assert validate(section, {"other": Text("none")}) == {"other": None}
    assert validate(section, {"outer": Outer(5.0)}) == {"outer": Outer(5.0)}


def test_the_default_of_a_default() -> None:
    @dataclass
    class Top:
        outer: Outer = dataclasses.field(default_factory=lambda: Outer(1.0, Inner(1, "deep")))

    made = make(Top, validate(Top, {"outer": {"inner": {"size": 2}}}))
    assert made.outer == Outer(1.0, Inner(2, "deep"))


def test_filled_has_everything_that_has_a_value() -> None:
    everything = filled(section, {"outer": {"inner": {"size": 4}}}, leave=["json"])
    assert everything == {
        "outer": {"width": 1.0, "inner": {"size": 4, "name": "inner"}, "maybe": None},
        "other": None,
        "copy": 0,
        "model_config": "",
    }


def test_mistakes_name_their_key() -> None:
    assert said(section, outer={"width": -1}) == [
        "outer: width should not be negative, but it is -1.0"
    ]
    assert said(section, other={}) == ["other.width: missing; expected a number"]
    assert said(section, other={"maybe": {"sise": 1, "size": "x"}, "width": 1}) == [
        "other.maybe.size: expected a whole number, but it is 'x'",
        "other.maybe.sise: no such key; did you mean size?",
    ]
    assert said(section, outer=None) == [
        "outer: expected keys below it, such as width, but it is none"
    ]
    assert said(section, other=[1]) == [
        "other: expected keys below it, such as width, but it is [1]"
    ]
    assert said(Child) == ["root: missing; expected text"]
    assert said(Child, root=5) == [
        "root: expected text, but it is 5; write what is meant as text in quotes"
    ]


def test_limits_of_an_annotation_are_said() -> None:
    def limited(
        share: Annotated[float, Ge(0), Le(1)] = 0.5,
        pair: tuple[int, int] = (0, 0),
        rates: list[float] = [],  # noqa: B006
    ) -> None:
        pass

    assert said(limited, share=Text("2")) == ["share: it should lie from 0 to 1, but it is 2.0"]
    assert said(limited, rates=Text("1,nan")) == [
        "rates: expected a list (each entry a number), but it is '1,nan'"
    ]
    assert said(limited, pair=[1]) == [
        "pair: expected 2 values (a whole number, a whole number), but it is [1]"
    ]


def test_types_no_recipe_can_write() -> None:
    def holds(path: Path, place: Parent | None = None, call: Any = print) -> None:
        pass

    assert said(holds, path=Text("a"), place=Text("x")) == [
        "place: expected Parent, an object that no recipe can write or none, but it is 'x'"
    ]
    parent = Parent()
    assert validate(holds, {"path": Text("a/b"), "place": parent}) == {
        "path": Path("a/b"),
        "place": parent,
    }


def test_what_the_program_gives_and_what_only_it_gives() -> None:
    assert validate(Child, {}, given=["root"]) == {}
    assert make(Child, {}, root="r", other=1).root == "r"
    assert make(Child, {"root": "own"}, root="r").root == "own"
    with pytest.raises(RecipeError) as caught:
        validate(Child, {"root": "x", "rot": 1}, fixed=["root"])
    assert caught.value.errors == [
        "root: weakseg sets this itself; leave it out",
        "rot: no such key; the keys are batch_size, workers",
    ]
