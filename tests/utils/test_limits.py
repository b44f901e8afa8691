"""Ranges that stand in types: refused with one sentence from the command line and in Python."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf, nan
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from annotated_types import Ge, Gt, Le, Lt, doc

from weakseg.config.schema import validate
from weakseg.config.signatures import sketched
from weakseg.config.values import RecipeError
from weakseg.utils.limits import Count, CountFromZero, NotNegative, ZeroToOne, check_limits, limited

SIDE = Annotated[int, doc("a number of pixels"), Ge(1), doc("or null for whole images")]
CASES: list[tuple[Any, Any, str]] = [
    (Annotated[float, Gt(0)], -1, "should be more than 0, but it is -1"),
    (Annotated[float, Gt(0), Le(1)], 2, "should be more than 0 and at most 1, but it is 2"),
    (Annotated[float, Ge(0), Lt(1)], 1, "should be at least 0 and less than 1, but it is 1"),
    (Annotated[float, Ge(0.5)], 0.25, "should be 0.5 or more, but it is 0.25"),
    (NotNegative, inf, "should be 0 or more and finite, but it is inf"),
    (ZeroToOne, 1.5, "should lie from 0 to 1, but it is 1.5"),
    (
        Annotated[ZeroToOne, doc("a share of the pixels")],
        2,
        "from 0 to 1, a share of the pixels, but",
    ),
    (Count, 0, "should be at least 1, but it is 0"),
    (CountFromZero | None, -1, "should be at least 0, but it is -1"),
    (SIDE | None, 0, "should be a number of pixels, at least 1, or null for whole images, but it"),
]


@pytest.mark.parametrize(("hint", "value", "sentence"), CASES)
def test_the_command_line_and_python_say_the_same(hint: Any, value: Any, sentence: str) -> None:
    def make(key: Any = 1, *, other: int = 0) -> Any:
        return key

    make.__annotations__["key"] = hint
    for arguments in ({"key": value}, {"key": value, "other": -5}):
        with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
            limited(make)(**arguments)
        with pytest.raises(RecipeError) as told:
            validate(make, arguments)
        assert told.value.errors == [f"key: it {str(caught.value).removeprefix('key ')}"]
    with pytest.raises(ValueError, match=re.escape(sentence)):
        limited(make)(value)
    assert limited(make)() == 1


@dataclass(frozen=True)
class Options:
    lr: Annotated[float, Gt(0)] = 0.1
    size: Count | None = None
    rule: Literal["fill", "shrink"] = "fill"
    several: Literal[8, 16, 32] | None = None
    free: str = ""

    def __post_init__(self) -> None:
        check_limits(self, "{} of the options")


@dataclass(frozen=True)
class More(Options):
    share: ZeroToOne = 0.5


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"lr": 0}, "lr of the options should be more than 0, but it is 0"),
        ({"lr": nan}, "lr of the options should be more than 0, but it is nan"),
        ({"lr": "1"}, "lr of the options should be a number, more than 0, but it is '1'"),
        ({"lr": None}, "lr of the options should be a number, more than 0, but it is None"),
        ({"lr": True}, "lr of the options should be a number, more than 0, but it is True"),
        ({"size": 2.5}, "size of the options should be a whole number, at least 1, but it is 2.5"),
        ({"rule": "fil"}, "rule of the options should be fill or shrink, but it is 'fil'"),
        ({"several": 4}, "several of the options should be one of 8, 16, 32, but it is 4"),
        ({"share": -1}, "share of the options should lie from 0 to 1, but it is -1"),
    ],
)
def test_dataclasses_refuse_what_lies_outside(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        More(**given)


def test_what_lies_inside_is_taken_as_it_is() -> None:
    assert More(np.float32(0.5), np.int64(3), "shrink", 16, "x", 1).size == 3
    assert Options(size=None, several=None) == Options()


def test_errors_of_python_stay_those_of_python() -> None:
    @limited
    def make(key: Count) -> None:
        """What it makes."""

    assert make.__doc__ == "What it makes."
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'key'"):
        make()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        make(1, 2)  # type: ignore[call-arg]


def test_limits_are_read_from_source_before_anything_is_imported() -> None:
    optimizer = sketched("weakseg.optimizers.SGD")
    network = sketched("weakseg.networks.refinenet.RefineNet")
    predict = sketched("weakseg.inference.multiscale.Inference")
    assert optimizer is not None
    assert network is not None
    assert predict is not None
    for stand_in, node, line in (
        (optimizer, {"lr": "-1"}, "lr: it should be more than 0 and finite, but it is -1.0"),
        (network, {"pools": "0"}, "pools: it should be at least 1, but it is 0"),
        (predict, {"overlap": "2"}, "overlap: it should be a part of a window's side, from 0 to "),
        (predict, {"crf": {"smooth_xy": "0"}}, "crf.smooth_xy: it should be 0.001 or more and fin"),
    ):
        with pytest.raises(RecipeError) as caught:
            validate(stand_in, node, given=["classes"])
        assert caught.value.errors[0].startswith(line)
