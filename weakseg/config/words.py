"""The words of a command line: key=value, the recipe that they name, and what to write instead of a
word that is neither."""

from __future__ import annotations

import importlib.resources
import os
import stat
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from importlib.resources.abc import Traversable

# unlike Path's, these answer for names that no file can have
from os.path import exists, isdir, isfile
from pathlib import Path
from typing import NamedTuple

from weakseg.config.values import DEEPEST, RecipeError, Text, meant, nearest

FLAGS = ("--help", "--list", "--show")
OTHERS = ("recipe", "resume", "init_from", "processes")  # keys that are no sections
MAY_CHANGE = "trainer.*, logger.*, predict.* and rounds.workers"  # of a run that goes on
USAGE = """\
usage: python -m weakseg.fit recipe=<name or file> [key=value ...]

  strategy=boxes_crf           a section's name, or my_module.MyClass; drops the recipe's keys
                               there, but the kind of evidence stays
  trainer.max_steps=2000       a key of a section (strategy, network, data, rounds, optimizer,
                               predict, trainer, logger)
  data.scale=0.5,2             a list; null for none; seed=3 for the random seed
  resume=<run folder>          goes on with a run; trainer.*, logger.*, predict.* and
                               rounds.workers may change
  processes=2                  with resume=, where the run was begun with another number of
                               processes; results then differ
  init_from=<checkpoint>       starts a new run from its weights

  --help   this text
  --list   the recipes
  --show   the whole recipe with every default, and where each value comes from; trains nothing

recipes:"""


def built_in() -> Traversable:
    """The folder of the recipes that come with the package: inside it once installed, beside it in
    a checkout."""
    package = importlib.resources.files("weakseg")
    checkout = Path(str(package)).parent
    if (checkout / "pyproject.toml").is_file():
        return checkout / "recipes"
    return package / "recipes"


def recipe_files() -> dict[str, Traversable]:
    """The built-in recipes by name."""
    folder = built_in()
    files = sorted(folder.iterdir(), key=lambda file: file.name) if folder.is_dir() else []
    found = {file.name.removesuffix(".yaml"): file for file in files if file.name.endswith(".yaml")}
    if not found:
        hidden = (
            f"the folder {Path('weakseg').resolve()} may hide it, so start in another one, or "
            if isdir("weakseg")
            else ""
        )
        raise RecipeError([f"the recipes of weakseg are missing: {hidden}install it again"])
    return found


def list_recipes() -> dict[str, str]:
    """The built-in recipes and what each says of itself in its first line."""
    firsts = {
        name: file.read_text("utf-8").partition("\n")[0] for name, file in recipe_files().items()
    }
    return {
        name: first.lstrip("# ") if first.startswith("#") else "" for name, first in firsts.items()
    }


def usage() -> str:
    """What the program says when it is asked nothing."""
    recipes = list_recipes()
    width = max(map(len, recipes), default=0)
    return "\n".join(
        [USAGE, *(f"  {name:{width}}  {line}".rstrip() for name, line in recipes.items())]
    )


def next_step(data: str, folder: Path) -> str:
    """What to do after a run: to look at it, and then to train on images of one's own, or to use
    the network.

    >>> next_step("toy", Path("runs/boxes/1"))
    'next: open it in a browser; then images of your own: python -m weakseg.check data=folder
    data.root=<folder> data.format=coco'
    """
    look = "next: open it in a browser; then "
    if data == "toy":
        return (
            f"{look}images of your own: python -m weakseg.check data=folder data.root=<folder> "
            "data.format=coco"
        )
    return (
        f"{look}segment other images, in Python: from weakseg.run import load; "
        f"load({str(folder)!r}).predict(image)"
    )


class Words(NamedTuple):
    """What a command line says."""

    values: dict[str, Text]  # by key; `data=voc` as `data.name`
    switched: set[str]  # the sections whose name was given in that short way
    errors: list[str]


def parse(argv: Sequence[str], sections: Collection[str], named: Collection[str]) -> Words:
    """The values by key, and one line for every word that is not right."""
    words, switched, errors = Words({}, set(), [])
    rest = list(argv)
    while rest:
        spaced = _spaced(rest)
        word = rest.pop(0)
        key, equals, value = word.partition("=")
        if spaced:
            del rest[: len(spaced) - 1]
            errors.append(f"{' '.join(spaced)}: write {''.join(spaced)} without spaces")
        elif word.startswith("-"):
            value = (
                rest.pop(0)
                if not equals
                and rest
                and "=" not in rest[0]
                and rest[0][:1] != "-"
                and not _flag(word)
                else value
            )
            errors.append(_dashes(word, key.lstrip("-"), value))
        elif not equals:
            errors.append(f"{word or repr(word)}: not key=value{_meant_word(word, sections)}")
        elif not key.strip():
            errors.append(f"{word}: there is no key before =; write key=value")
        elif not all(part.strip() for part in key.split(".")):
            errors.append(
                f"{key}: a dot too many; write section.key=value, such as trainer.max_steps=2000"
            )
        elif key.count(".") > DEEPEST:
            errors.append(
                f"{key}: {key.count('.')} dots, but no key lies more than {DEEPEST} levels deep; "
                "write section.key=value"
            )
        elif not value.strip():
            errors.append(
                f"{key}: there is nothing after =; write {key}=<value>"
                + ("" if key in OTHERS else f", or {key}=null for none")
            )
        else:
            full = f"{key}.name" if key in named else key
            switched |= {key} & set(named)
            if full in words:
                errors.append(f"{full}: given twice, as {words[full]} and as {value}; keep one")
            words[full] = Text(value)
    errors += [
        f"{key}: given as a value, and with a key below it ({below}); keep one"
        for key in words
        for below in words
        if below.startswith(f"{key}.") and key not in OTHERS
    ]
    return Words(words, switched, errors)


def _spaced(rest: Sequence[str]) -> list[str]:
    """The next words, if they are a `key = value` written with spaces."""
    for count in (3, 2):
        pieces = list(rest[:count])
        text = "".join(pieces)
        splits = (
            len(pieces) == count
            and all(pieces)
            and text.count("=") == 1
            and "=" not in (text[0], text[-1])
        )
        touches = (
            "=" in (pieces[1] if count == 3 else pieces[0][-1:] + pieces[1][:1])
            if splits
            else False
        )
        if (
            touches
            and (count == 2 or pieces[1] == "=")
            and not any(piece.startswith("-") for piece in pieces[:2])
        ):
            return pieces
    return []


def _flag(word: str) -> bool:
    return bool(get_close_matches(word, [*FLAGS, "-h"], n=1))


def _dashes(word: str, body: str, value: str) -> str:
    if "=" in word or value:
        return f"{word}: write {body}={value or '<value>'}, without dashes"
    others = f"; the flags are {', '.join(FLAGS)}, and all else is written key=value"
    return f"{word}: no such flag{meant(word, FLAGS) or others}"


def _meant_word(word: str, sections: Collection[str]) -> str:
    if word.endswith((".yaml", ".yml")) or isfile(word):
        return f"; did you mean recipe={word}?"
    known = {name: f"recipe={name}" for name in recipe_files()}
    known |= {name: f"{name}=<name>" for name in [*sections, *OTHERS]} | {
        flag.strip("-"): flag for flag in FLAGS
    }
    close = get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {known[close[0]]}?"
    return (
        f"; write {word}=<value>"
        if "." in word.strip(".")
        else "; write key=value, such as trainer.max_steps=2000"
    )


def source(words: dict[str, Text]) -> tuple[str, Traversable]:
    """The name and the file of the recipe that `recipe=` or `resume=` means."""
    if "resume" in words:
        return _run(words["resume"])
    files = recipe_files()
    there_are = f"; there are {', '.join(files)}"
    if "recipe" not in words:
        raise RecipeError(
            [f"recipe: missing; write recipe=<name> or recipe=<path to a YAML file>{there_are}"]
        )
    wanted = str(words["recipe"])
    path = Path(wanted)
    if wanted in files:
        return wanted, files[wanted]
    if isfile(path):
        run = path.name == "recipe.yaml" and any(
            exists(path.parent / part) for part in ("metrics.csv", "checkpoints")
        )
        return (path.resolve().parent.parent.name if run else path.stem), path
    if isdir(path) and isfile(path / "recipe.yaml"):
        raise RecipeError(
            [
                f"recipe: {wanted} is the folder of a run; write resume={wanted} to go on, or "
                f"recipe={path / 'recipe.yaml'}"
            ]
        )
    if kind := kind_of(path):
        raise RecipeError(
            [f"recipe: expected a YAML file, but {wanted} is {kind}{_recipes_in(path)}"]
        )
    if path.stem in files and path.suffix:
        raise RecipeError([f"recipe: there is no file {wanted}; did you mean recipe={path.stem}?"])
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        raise RecipeError([f"recipe: there is no file {wanted}{_near_file(path)}"])
    raise RecipeError(
        [f"recipe: there is no {wanted}{_near_file(path, '.yaml') or nearest(wanted, list(files))}"]
    )


def kind_of(path: Path) -> str:
    """What there is in place of a file: a folder, a device, a pipe or a socket; nothing for a file,
    and where there is nothing."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # there is none, or no file can have such a name
        return ""
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "")


def _recipes_in(folder: Path) -> str:
    inside = [name for name in _names_in(folder) if name.endswith((".yaml", ".yml"))]
    return f"; did you mean recipe={folder / inside[0]}?" if inside else ""


def _names_in(folder: Path) -> list[str]:
    """What is in a folder, as far as one may look."""
    try:
        return sorted(file.name for file in folder.iterdir())
    except (OSError, ValueError):
        return []


def _near_file(path: Path, suffix: str = "") -> str:
    there = [str(path.parent / name) for name in _names_in(path.parent)]
    exact = [name for name in there if suffix and name == f"{path}{suffix}"]
    return f"; did you mean {exact[0]}?" if exact else "" if suffix else meant(str(path), there)


def _run(folder: str) -> tuple[str, Traversable]:
    """The recipe that a run keeps in its folder."""
    path = Path(folder)
    if isfile(path / "recipe.yaml"):
        return path.resolve().parent.name, path / "recipe.yaml"
    if isdir(path):
        runs = sorted(
            str(file.parent)
            for file in [*path.glob("*/recipe.yaml"), *path.glob("*/*/recipe.yaml")]
        )
        latest = f"; did you mean resume={runs[-1]}?" if runs else ""
        raise RecipeError(
            [f"resume: {folder} has no recipe.yaml, so it is not the folder of a run{latest}"]
        )
    if isfile(path):
        owner = next((parent for parent in path.parents if isfile(parent / "recipe.yaml")), None)
        raise RecipeError(
            [
                f"resume: {folder} is a file; write the folder of the run"
                + (f", resume={owner}" if owner else "")
            ]
        )
    if kind := kind_of(path):
        raise RecipeError([f"resume: expected the folder of a run, but {folder} is {kind}"])
    raise RecipeError([f"resume: there is no folder {folder}{_near_file(path)}"])


def _no_checkpoint(path: Path) -> str:
    kind = kind_of(path)
    inside = [
        path / "checkpoints" / name
        for name in _names_in(path / "checkpoints")
        if name.endswith(".ckpt")
    ]
    if not kind:
        return f"there is no file {path}{_near_file(path)}"
    return f"expected the file of a checkpoint, but {path} is {kind}" + (
        f"; did you mean init_from={inside[-1]}?" if inside else ""
    )


def wrong_start(words: dict[str, Text]) -> list[str]:
    """What is wrong with how the words want the run to start: anew, from weights, or where another
    stopped."""
    errors = []
    start = words.get("init_from")
    if start is not None and not isfile(start):
        errors.append(f"init_from: {_no_checkpoint(Path(start))}")
    if "resume" not in words:
        if "processes" in words:
            errors.append(
                "processes: belongs to resume=; a new run has as many as trainer.devices and "
                "trainer.num_nodes make"
            )
        return errors
    for key in words:
        section = key.partition(".")[0]
        if key == "recipe":
            errors.append(
                "recipe: resume= reads the recipe of the run itself; leave one of them out"
            )
        elif key == "init_from":
            errors.append(
                "init_from: resume= goes on with the weights of the run; leave one of them out"
            )
        elif (
            key not in ("resume", "processes")
            and section not in ("trainer", "logger", "predict")
            and key != "rounds.workers"
        ):
            only = f"only {MAY_CHANGE} may change"
            errors.append(
                f"{key}: resume= goes on with the same run, where {only}; init_from= starts a new "
                "one from its weights"
            )
    return errors
