"""The words of a command line: key=value, the recipe that they name, and what to write instead of a
word that is neither."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from importlib.resources.abc import Traversable

# unlike Path's, these answer for names that no file can have
from os.path import exists, isdir, isfile
from pathlib import Path
from typing import NamedTuple

from weakseg.config.values import BOOLS, DEEPEST, RecipeError, Text
from weakseg.utils.messages import did_you_mean, suggest
from weakseg.utils.paths import checkpoint_in, is_published, kind_of, run_inside
from weakseg.utils.remote_path import is_url
from weakseg.utils.secrets import scrub_message

# a key and a value with = between them, in two or three words
SPACED = re.compile(r"[^-=\0][^=\0]*(\0=\0|(=\0|\0=)(?!-))[^=\0]+")
FLAGS = ("--help", "--list", "--show")
EXAMPLE = "trainer.max_steps=2000"
OTHERS = ("recipe", "resume", "init_from", "processes")  # keys that are no sections
# of a run that goes on
MAY_CHANGE = "trainer.*, callbacks.*, logger.*, predict.* and rounds.workers"
USAGE = """\
usage: python -m weakseg.fit recipe=<name or file> [key=value ...]

  strategy=boxes_crf           a section's name, or my_module.MyClass; drops the recipe's keys
                               there, but the kind of evidence stays
  trainer.max_steps=2000       a key of a section (strategy, network, data, rounds, optimizer,
                               predict, trainer, logger)
  callbacks.mine=my_module.It  a callback of your own, with callbacks.mine.<key>=<value>; one of
                               Lightning's: callbacks.early_stopping.patience=5
  data.scale=0.5,2             a list; null for none; seed=3 for the random seed
  resume=<run folder>          goes on with a run; trainer.*, callbacks.*, logger.*, predict.*
                               and rounds.workers may change. resume=auto: with the run that a
                               scheduler's job has begun before
  processes=2                  with resume=, where the run was begun with another number of
                               processes; results then differ
  init_from=<checkpoint>       starts a new run from its weights; also a run folder, whose best
                               ones they are, or one that weakseg.export format=hub has written

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
        hidden = f"the folder {Path('weakseg').resolve()} may hide it, so start in another one, or "
        way = f"{hidden if isdir('weakseg') else ''}install it again"
        raise RecipeError(f"the recipes of weakseg are missing: {way}")
    return found


def list_recipes() -> dict[str, str]:
    """The built-in recipes and what each says of itself in its first line, a comment."""
    firsts = {name: file.read_text("utf-8").split("\n")[0] for name, file in recipe_files().items()}
    return {name: line.lstrip("# ") if line[:1] == "#" else "" for name, line in firsts.items()}


def usage() -> str:
    """What the program says when no word is given."""
    recipes = list_recipes()
    width = max(map(len, recipes))
    return "\n".join([USAGE, *(f"  {name:{width}}  {recipes[name]}".rstrip() for name in recipes)])


class Grammar(NamedTuple):
    """Which words a command knows."""

    sections: Collection[str]
    named: Collection[str] = ()
    """the sections of which a word may say the name: data=voc for data.name=voc"""
    others: Collection[str] = OTHERS
    """keys that are no sections"""
    several: Collection[str] = ()
    """sections of which each key below is such a one: callbacks.mine=my_module.Mine"""
    flags: Collection[str] = FLAGS
    example: str = EXAMPLE


class Words(NamedTuple):
    """What a command line says."""

    values: dict[str, Text]  # by key; `data=voc` as `data.name`
    switched: set[str]  # the sections, and those of several objects, named in that short way
    errors: list[str]


def parse(argv: Sequence[str], grammar: Grammar) -> Words:
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
            has_value = rest and not rest[0].startswith("-") and "=" not in rest[0]
            if has_value and not equals and not _flag(word, grammar):
                value = rest.pop(0)
            errors.append(_dashes(word, key.lstrip("-"), value, grammar))
        elif wrong := _wrong_word(word, grammar):
            errors.append(wrong)
        else:
            short = key in grammar.named or _is_name_of_one(key, value, grammar.several)
            full = f"{key}.name" if short else key
            switched |= {key} if short else set()
            if full in words:
                errors.append(f"{full}: given twice, as {words[full]} and as {value}; keep one")
            words[full] = Text(value)
    pairs = [(key, below) for key in words for below in words if below.startswith(f"{key}.")]
    errors += [
        f"{key}: given as a value, and with a key below it ({below}); keep one"
        for key, below in pairs
        if key not in grammar.others
    ]
    return Words(words, switched, errors)


def _is_name_of_one(key: str, value: str, several: Collection[str]) -> bool:
    """Whether a value names one of several objects, and does not switch it on or off."""
    section, dot, below = key.partition(".")
    switches = {*BOOLS, "null", "none"}
    return bool(dot) and section in several and "." not in below and value.lower() not in switches


def _wrong_word(word: str, grammar: Grammar) -> str:
    """What is wrong with a word as key=value; nothing with a right one."""
    key, equals, value = word.partition("=")
    if not equals:
        return f"{word or repr(word)}: not key=value{_suggest_word(word, grammar)}"
    if not key.strip():
        return f"{word}: there is no key before =; write key=value"
    write = "write section.key=value"
    if not all(part.strip() for part in key.split(".")):
        return f"{key}: a dot too many; {write}, such as {grammar.example}"
    if key.count(".") > DEEPEST:
        many = f"{key.count('.')} dots, but no key lies more than {DEEPEST} levels deep"
        return f"{key}: {many}; {write}"
    none = "" if key in grammar.others else f", or {key}=null for none"
    empty = f"there is nothing after =; write {key}=<value>{none}"
    return "" if value.strip() else f"{key}: {empty}"


def _spaced(rest: Sequence[str]) -> Sequence[str]:
    """The next words, if they are a `key = value` written with spaces."""
    for count in (3, 2):
        if len(rest) >= count and SPACED.fullmatch("\0".join(rest[:count])):
            return rest[:count]
    return ()


def _flag(word: str, grammar: Grammar) -> bool:
    return bool(get_close_matches(word, [*grammar.flags, "-h"], n=1))


def _dashes(word: str, body: str, value: str, grammar: Grammar) -> str:
    if "=" in word or value:
        return f"{word}: write {body}={value or '<value>'}, without dashes"
    others = f"; the flags are {', '.join(grammar.flags)}, and all else is written key=value"
    return f"{word}: no such flag{did_you_mean(word, grammar.flags) or others}"


def _suggest_word(word: str, grammar: Grammar) -> str:
    known: dict[str, str] = {}
    if "recipe" in grammar.others:
        if word.endswith((".yaml", ".yml")) or isfile(word):
            return f"; did you mean recipe={word}?"
        known = {name: f"recipe={name}" for name in recipe_files()}
    if "run" in grammar.others and isfile(f"{word}/recipe.yaml"):
        return f"; did you mean run={word}?"
    known |= {name: f"{name}=<name>" for name in [*grammar.sections, *grammar.others]}
    known |= {flag.strip("-"): flag for flag in grammar.flags}
    if close := get_close_matches(word, known, n=1):
        return f"; did you mean {known[close[0]]}?"
    is_key = "." in word.strip(".")
    return f"; write {word}=<value>" if is_key else f"; write key=value, such as {grammar.example}"


# where a run begins ----------------------------------------------------------------------


def source(words: dict[str, Text]) -> tuple[str, Traversable]:
    """The name and the file of the recipe that `recipe=` or `resume=` means."""
    if "resume" in words:
        return _run(words["resume"])
    files = recipe_files()
    if "recipe" not in words:
        way = f"write recipe=<name> or recipe=<path to a YAML file>; there are {', '.join(files)}"
        raise RecipeError(f"recipe: missing; {way}")
    wanted = str(words["recipe"])
    path = Path(wanted)
    if wanted in files:
        return wanted, files[wanted]
    if isfile(path):
        parts = [path.parent / part for part in ("metrics.csv", "checkpoints")]
        of_a_run = path.name == "recipe.yaml" and any(map(exists, parts))
        return (path.resolve().parent.parent.name if of_a_run else path.stem), path
    raise RecipeError(f"recipe: {_no_recipe(wanted, list(files))}")


def _no_recipe(wanted: str, names: Sequence[str]) -> str:
    path = Path(wanted)
    if isdir(path) and isfile(path / "recipe.yaml"):
        ways = f"write resume={wanted} to go on, or recipe={path / 'recipe.yaml'}"
        return f"{wanted} is the folder of a run; {ways}"
    if kind := kind_of(path):
        inside = [name for name in _names_in(path) if name.endswith((".yaml", ".yml"))]
        hint = f"; did you mean recipe={path / inside[0]}?" if inside else ""
        return f"expected a YAML file, but {wanted} is {kind}{hint}"
    if path.stem in names and path.suffix:
        return f"there is no file {wanted}; did you mean recipe={path.stem}?"
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        return f"there is no file {wanted}{_near_file(path)}"
    same = f"{path}.yaml"
    hint = f"; did you mean {same}?" if path.name and isfile(same) else suggest(wanted, names)
    return f"there is no {wanted}{hint}"


def _names_in(folder: Path) -> list[str]:
    """What is in a folder, as far as one may look."""
    try:
        return sorted(file.name for file in folder.iterdir())
    except (OSError, ValueError):
        return []


def _near_file(path: Path) -> str:
    return did_you_mean(str(path), [str(path.parent / name) for name in _names_in(path.parent)])


def _run(folder: str) -> tuple[str, Traversable]:
    """The recipe that a run keeps in its folder."""
    if is_url(folder):
        raise RecipeError(
            f"resume: {scrub_message(folder)} is a URL; a run goes on in a folder of this machine, "
            "so copy it here"
        )
    path = Path(folder)
    if isfile(path / "recipe.yaml"):
        return path.resolve().parent.name, path / "recipe.yaml"
    if isdir(path):
        latest = run_inside(path).replace("did you mean ", "did you mean resume=")
        wrong = f"{folder} has no recipe.yaml, so it is not the folder of a run{latest}"
    elif isfile(path):
        owner = next((parent for parent in path.parents if isfile(parent / "recipe.yaml")), None)
        way = f"write the folder of the run{f', resume={owner}' if owner else ''}"
        wrong = f"{folder} is a file; {way}"
    elif kind := kind_of(path):
        wrong = f"expected the folder of a run, but {folder} is {kind}"
    else:
        wrong = f"there is no folder {folder}{_near_file(path)}"
    raise RecipeError(f"resume: {wrong}")


def _no_checkpoint(path: Path) -> str:
    kind = kind_of(path)
    if not kind:
        return f"there is no file {path}{_near_file(path)}"
    without = " with neither a checkpoint of a run nor published weights" if isdir(path) else ""
    hint = run_inside(path).replace("did you mean ", "did you mean init_from=")
    return f"expected the file of a checkpoint, but {path} is {kind}{without}{hint}"


def wrong_start(words: dict[str, Text]) -> list[str]:
    """What is wrong with how the words want the run to start: anew, from weights, or where another
    stopped."""
    errors = []
    start = words.get("init_from")
    if start is not None and not (
        is_url(start) or isfile(start) or is_published(Path(start)) or checkpoint_in(Path(start))
    ):
        errors.append(f"init_from: {_no_checkpoint(Path(start))}")
    if "resume" not in words:
        usual = "a new run has as many as trainer.devices and trainer.num_nodes make"
        return errors + [f"processes: belongs to resume=; {usual}"] * ("processes" in words)
    refused = {
        "recipe": "resume= reads the recipe of the run itself; leave one of them out",
        "init_from": "resume= goes on with the weights of the run; leave one of them out",
    }
    others = (
        f"resume= goes on with the same run, where only {MAY_CHANGE} may change; init_from= starts "
        "a new one from its weights"
    )
    may_change = ("trainer", "callbacks", "logger", "predict", "resume", "processes")
    for key in words:
        if key.partition(".")[0] not in may_change and key != "rounds.workers":
            errors.append(f"{key}: {refused.get(key, others)}")
    return errors
