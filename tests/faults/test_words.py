"""Hostile words and recipes: every one ends in lines that say what is wrong, or in a recipe that
can be written and read again."""

from __future__ import annotations

import os
import random
import socket
import time
from pathlib import Path

import pytest

from weakseg.check import main as check_data
from weakseg.config.recipe import (
    SECTIONS,
    RecipeError,
    Resolved,
    list_recipes,
    load,
    resolve,
    show,
    to_yaml,
)
from weakseg.utils.messages import LONGEST

RECIPES = Path(__file__).parents[2] / "recipes"
KEYS = [
    *(
        f"{section}.{key}"
        for section in SECTIONS
        for key in ("name", "crf", "crf.iterations", "weights", "lr", "classes", "x", "0", "")
    ),
    *SECTIONS,
    *(
        "recipe",
        "resume",
        "init_from",
        "seed",
        "trainer.max_steps",
        "trainer.max_time",
        "trainer.devices",
        "trainer.callbacks",
    ),
    *(
        "data.scale",
        "data.annotator",
        "data.shares.masks",
        "optimizer.betas",
        "rounds.when",
        "predict.scales",
        "__class__",
        "trainer.__init__",
    ),
]
TAKEN = [
    "seed",
    "trainer.max_steps",
    "trainer.max_time",
    "trainer.profiler",
    "data.scale",
    "data.annotator.point_spread",
    "optimizer.betas",
]
VALUES = [
    *(
        "null",
        "true",
        "5",
        "-1",
        "1e999",
        "nan",
        "inf",
        ".nan",
        "0x10",
        "1_0",
        "1" * 5000,
        "9" * 400,
        "a,b",
        ",",
        "[]",
        "{}",
        "''",
    ),
    *(
        "[" * 100_000,
        "{a: " * 300,
        "[" * 50 + "]" * 50,
        "[1, [2, [3]]]",
        "[&a [*a]]",
        "{a: &a [1], b: *a}",
        "{? [1] : 2}",
        "[1",
        "]",
    ),
    *(
        "!!python/name:os.system",
        "!!int",
        "a\0b",
        "a\nb",
        "\x1b[2J",
        "\udcff",
        "é" * 50_000,
        " ",
        "=",
        "==",
        "os.system",
        "os.path",
        "..",
        ".",
    ),
    *(
        "os..path",
        "weakseg.Strategy",
        "weakseg.config.recipe.load",
        "torch.nn.Module",
        "__main__.x",
        "boxes",
        "toy",
        "voc",
        "folder",
        "fcn8s",
        "sgd",
    ),
    *(
        "/dev/zero",
        "/dev/stdin",
        "/dev/null/x",
        "/",
        "~",
        "x" * 300,
        "x/" * 5000,
        "*",
        "a.yaml",
        "wandb",
    ),
]
SNIPPETS = [
    *(
        "[" * 100_000,
        "a: " + "[" * 200,
        "&a [*a]",
        "*a",
        "!!int ''",
        "!!bool x",
        "!!timestamp x",
        "!!float x",
        "!!set {a}",
        "!!omap [a]",
    ),
    *(
        "!!binary x",
        "!!python/object:os.system {}",
        "2020-13-45",
        "'",
        '"',
        "\t",
        "\0",
        "\x85",
        "\ud7ff",
        "? [a]\n: b",
        "<<: {name: x}",
        "- x",
    ),
    *(
        "name: {a: b}",
        "name: [boxes]",
        "name: 1e999",
        "12:30:00",
        "0o17",
        "1" * 5000,
        ": :",
        "{",
        "}",
        "|",
        ">",
        "---",
        "%YAML 9.9",
        "seed: {}",
        "~: ~",
    ),
]


def random_words(draw: random.Random) -> list[str]:
    """A few words, most of them wrong."""
    words = [
        f"{draw.choice(KEYS)}{draw.choice(['=', '=', '=', '.x=', ' = ', ''])}{draw.choice(VALUES)}"
        for _ in range(draw.randint(1, 4))
    ]
    if draw.random() < 0.3:
        return ["recipe=boxes", f"{draw.choice(TAKEN)}={draw.choice(VALUES)}"]
    start = draw.choice(
        [
            ["recipe=boxes"],
            [f"recipe={draw.choice(list(list_recipes()))}"],
            [],
            ["--shw"],
            ["a." * 5000 + "a=1"],
        ]
    )
    return [*start, *words]


def random_recipe(draw: random.Random) -> bytes:
    """A built-in recipe with some damage."""
    text = draw.choice(sorted(RECIPES.glob("*.yaml"))).read_text()
    for _ in range(draw.randint(1, 3)):
        lines = text.splitlines()
        place = draw.randrange(len(lines))
        key, colon, value = lines[place].partition(": ")
        lines[place] = draw.choice(
            [
                lines[place],
                f"{key}{colon}{draw.choice(SNIPPETS)}",
                f"  {draw.choice(SNIPPETS)}",
                f"{lines[place]}\n{value}",
                "",
            ]
        )
        text = "\n".join(lines)
    content = bytearray(text.encode("utf-8", "surrogatepass"))
    for _ in range(draw.choice([0, 0, 1, 5])):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content)


def refused(words: list[str]) -> tuple[list[str], Resolved | None]:
    """What is wrong with words, or the recipe."""
    try:
        recipe = resolve(load(words))
    except RecipeError as error:
        return error.errors, None
    return [], recipe


def answered(words: list[str], here: Path) -> bool:
    """Whether the words are right; what is wrong is told in lines."""
    errors, recipe = refused(words)
    assert all(line.isprintable() and 0 < len(line) < 8 * LONGEST for line in errors)
    if recipe is None:
        assert errors
        return False
    show(recipe)
    (here / "again.yaml").write_text(to_yaml(recipe), encoding="utf-8", newline="")
    again = resolve(load(["recipe=again.yaml"]))
    assert to_yaml(again).splitlines()[1:] == to_yaml(recipe).splitlines()[1:]
    return True


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_any_words_are_answered_in_lines(here: Path) -> None:
    draw = random.Random(0)
    assert 0 < sum(answered(random_words(draw), here) for _ in range(200)) < 200


@pytest.mark.slow
def test_any_file_is_answered_in_lines(here: Path) -> None:
    draw, right = random.Random(1), 0
    for _ in range(100):
        (here / "damaged.yaml").write_bytes(random_recipe(draw))
        right += answered(["recipe=damaged.yaml", "trainer.max_steps=3"], here)
    assert 0 < right < 100


@pytest.mark.slow
def test_the_hostile_values_one_by_one(here: Path) -> None:
    for value in VALUES:
        answered(
            [
                "recipe=boxes",
                f"trainer.plugins={value}",
                f"optimizer.betas={value}",
                f"strategy.share={value}",
            ],
            here,
        )


# what is no file


def told(word: str) -> str:
    """The one line that is said, at once."""
    begun = time.monotonic()
    with pytest.raises(RecipeError) as caught:
        load([word] if word.startswith(("recipe", "resume")) else ["recipe=boxes", word])
    assert time.monotonic() - begun < 5
    return caught.value.errors[0]


def special_files(here: Path) -> dict[str, str]:
    """Paths of what is no file, and what each is."""
    os.mkfifo(here / "queue.yaml")
    (here / "folder.yaml").mkdir()
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("socket.yaml")
    (here / "link.yaml").symlink_to("/dev/zero")
    return {
        "/dev/zero": "a device",
        "link.yaml": "a device",
        "queue.yaml": "a pipe",
        "folder.yaml": "a folder",
        "socket.yaml": "a socket",
    }


def test_a_special_file_is_called_what_it_is(here: Path) -> None:
    for path, kind in special_files(here).items():
        assert told(f"recipe={path}") == f"recipe: expected a YAML file, but {path} is {kind}"
        assert told(f"init_from={path}").startswith(
            f"init_from: expected the file of a checkpoint, but {path} is {kind}"
        )
        if kind != "a folder":
            assert (
                told(f"resume={path}")
                == f"resume: expected the folder of a run, but {path} is {kind}"
            )


def test_a_folder_with_recipes_names_one(here: Path) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "own.yaml").write_text("seed: 1")
    assert (
        told("recipe=mine")
        == "recipe: expected a YAML file, but mine is a folder; did you mean recipe=mine/own.yaml?"
    )


def test_a_file_of_a_gigabyte_is_not_read(here: Path) -> None:
    with (here / "large.yaml").open("wb") as file:
        file.truncate(2**30)
    assert (
        told("recipe=large.yaml")
        == "large.yaml: expected a recipe, a short text, but it has more than 1,048,576 bytes"
    )


def test_a_recipe_that_is_piped_in_is_refused_or_read(here: Path) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    assert (
        told(f"recipe=/dev/fd/{reading}")
        == f"recipe: expected a YAML file, but /dev/fd/{reading} is a pipe"
    )
    os.close(reading)


@pytest.mark.parametrize(
    "word",
    [
        "recipe=RUN/a",
        "init_from=RUN/a",
        "resume=RUN/a",
        f"recipe={'x' * 5000}",
        "recipe=a\0b",
        "init_from=a\0b",
        "resume=a\0b",
    ],
)
def test_a_name_that_no_file_has_is_answered(word: str, here: Path) -> None:
    assert told(word.replace("RUN", "/proc/1/fd")).startswith(
        f"{word.partition('=')[0]}: there is no "
    )


def test_what_is_nested_too_deeply_is_named_with_its_line(here: Path) -> None:
    (here / "deep.yaml").write_text("strategy:\n  name: " + "[" * 100_000)
    assert told("recipe=deep.yaml") == "deep.yaml line 2: nested more than 20 levels deep"
    (here / "deep.yaml").write_text("\n".join(" " * level + "a:" for level in range(900)))
    assert told("recipe=deep.yaml") == "deep.yaml line 20: nested more than 20 levels deep"
    assert "no key lies more than 20 levels deep" in told("a." * 100_000 + "a=1")


@pytest.mark.parametrize("word", ["sheet", "workers", "out"])
def test_the_words_of_the_check_are_answered_too(
    word: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "file").write_text("")
    for value in [
        "/dev/zero",
        "/",
        "x" * 300 + "/y",
        "x/" * 5000,
        "9" * 5000,
        "file/below",
        "[",
        "\x1b[2J/y",
    ]:
        with pytest.raises(SystemExit) as caught:
            check_data(["data=folder", "data.root=nowhere", "data.format=coco", f"{word}={value}"])
        assert caught.value.code == 2
        lines = capsys.readouterr().err.splitlines()
        assert lines
        assert all(line.isprintable() and len(line) < 8 * LONGEST for line in lines)
