"""What a name in a recipe means, a class of ours or one from any module of the user's, and the
object that is made of it."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import sysconfig
import traceback
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from weakseg.config.common_keys import with_common_keys
from weakseg.config.schema import Constructor, make, validate
from weakseg.config.values import RecipeError
from weakseg.utils.messages import did_you_mean, one_line, quoted, suggest


@dataclass(frozen=True)
class Part:
    """A class or function that a recipe names, and arguments that have the right types."""

    where: str  # the key of its section
    constructor: Constructor
    values: dict[str, Any]
    base: type | None = None  # what has to come of it
    auto: tuple[str, ...] = ()  # arguments that a plan is to give

    def construct(self, **given: Any) -> Any:
        """The object; what is wrong with it is raised as one RecipeError."""
        try:
            made = make(self.constructor, self.values, **given)
        except RecipeError:
            raise
        except Exception as error:
            # what a constructor refuses, and a package that is not there, is the recipe's mistake;
            # anything else is a mistake in the code
            refused = isinstance(error, (ValueError, OSError, ImportError))
            if refused or type(error).__name__ == "MisconfigurationException":
                raise RecipeError(f"{self.where}: {one_line(error)}") from error
            raise
        if self.base is not None and not isinstance(made, self.base):
            came = f"{self.constructor.__qualname__} makes a {type(made).__name__}"
            wrong = f"expected a {self.base.__qualname__}, but {came}"
            raise RecipeError(f"{self.where}.name: {wrong}")
        return made


def build(
    node: Mapping[str, Any], where: str, home: str, *, base: type | None = None, **given: Any
) -> Any:
    """The object that a node such as {"name": "fcn8s", "classes": 5} describes.

    Args:
        node: `name`, bare for one in the home's NAMES or dotted for any other, and arguments of
            that class or function.
        where: the key of the node in the recipe, for error messages.
        home: the package whose NAMES are known.
        base: what a class of the user's has to be.
        given: arguments that the program supplies, if there are such and the node does not have
            them.
    """
    constructor = lookup(node.get("name"), where, home, base)
    own = {key: value for key, value in node.items() if key != "name"}
    values = validate(constructor, own, given, above=f"{where}.")
    return Part(where, constructor, values, base).construct(**given)


def lookup(name: Any, where: str, home: str, base: type | None = None) -> Constructor:
    """The class or function of a name: bare ones from the home package's list, dotted ones from any
    module of the user's."""
    names: dict[str, str] = importlib.import_module(home).NAMES
    errors = wrong_name(name, names)
    if errors:
        raise RecipeError(f"{where}.name: {errors}")
    found = imported(names.get(name, name), f"{where}.name")
    if name not in names and base and isinstance(found, type) and not issubclass(found, base):
        raise RecipeError(
            f"{where}.name: {name} is not a subclass of {base.__module__}.{base.__qualname__}"
        )
    return with_common_keys(found, home)


def wrong_name(name: Any, names: Mapping[str, str]) -> str:
    """What is wrong with the `name:` of a section, as far as that can be known without an import;
    nothing for a right one."""
    known = ", ".join(names)
    if name is None:
        return f"missing; there are {known}"
    if not isinstance(name, str):
        return f"expected a name, but it is {quoted(name)}; there are {known}"
    if name in names:
        return ""
    if "." not in name:
        return f"there is no {name}{suggest(name, list(names))}"
    right = all(part.isidentifier() for part in name.split("."))
    return "" if right else f"{name} is no module and class; write my_module.MyClass"


def imported(dotted: str, key: str) -> Constructor:
    """What a dotted name means, with the current folder as a place for modules; a RecipeError says
    why there is nothing."""
    module, _, attribute = dotted.rpartition(".")
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())
    try:
        holder = importlib.import_module(module)
        found = getattr(holder, attribute, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise RecipeError(_broken(module, key, error)) from error
        raise RecipeError(
            f"{key}: there is no module {error.name}{_near_module(error.name)}"
        ) from None
    except (Exception, SystemExit) as error:
        raise RecipeError(_broken(module, key, error)) from error
    if found is None:
        classes = [name for name, value in vars(holder).items() if isinstance(value, type)]
        raise RecipeError(
            f"{key}: the module {module} has no {attribute}{did_you_mean(attribute, classes)}"
        )
    if not callable(found):
        raise RecipeError(
            f"{key}: {dotted} is neither a class nor a function, but {quoted(found)[:60]}"
        )
    return typing.cast(Constructor, found)


def _broken(module: str, key: str, error: BaseException) -> str:
    frame = _where(traceback.extract_tb(error.__traceback__))
    at = (
        ""
        if isinstance(error, SyntaxError)
        else f" ({os.path.basename(frame.filename)} line {frame.lineno})"
    )
    return f"{key}: importing {module} failed with {type(error).__name__}: {one_line(error)}{at}"


def _where(frames: Sequence[traceback.FrameSummary]) -> traceback.FrameSummary:
    """The last line of the user's own code, which may have called a library that raised, or hooked
    into what it called."""
    libraries = (
        "<",
        __file__,
        *{sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")},
    )
    own = [frame for frame in frames if not frame.filename.startswith(libraries)]
    return [*frames, *own][-1]


def _near_module(name: str) -> str:
    parent, dot, last = name.rpartition(".")
    path = getattr(sys.modules[parent], "__path__", []) if parent else None
    close = get_close_matches(last, [found.name for found in pkgutil.iter_modules(path)], n=1)
    return f"; did you mean {parent}{dot}{close[0]}?" if close else ""
