"""Keys that all classes of one kind have beside the arguments of their constructors: annotated
attributes of a class that they derive from. They are set on an object when it has been made, so no
constructor has to hand them on, and classes of the user's have them too."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from weakseg.config.schema import Argument, Constructor, arguments
from weakseg.config.signatures import attributes, class_value
from weakseg.utils.limits import resolve_hint

TAKES = "takes"
"""the attribute that says which of these keys apply to a class, with dots for parts of them"""


def holder_of(home: str) -> str:
    """The dotted name of the class whose attributes are keys of all classes of a package; empty
    where there is none."""
    name: str = getattr(importlib.import_module(home), "COMMON_KEYS", "") if home else ""
    return name


def with_common_keys(constructor: Constructor, home: str) -> Constructor:
    """The same class or function, which takes the keys that are common to its kind, too."""
    dotted = holder_of(home)
    if not dotted:
        return constructor
    module, _, name = dotted.rpartition(".")
    holder = getattr(importlib.import_module(module), name)
    keys = {
        key: Argument(hint, _default(constructor, key, default))
        for key, (hint, default) in _attributes(holder).items()
        if not isinstance(getattr(constructor, key, None), property | cached_property)
    }
    takes = getattr(constructor, TAKES, None)
    return _extended(constructor, keys, takes)


def sketch_with_common_keys(sketch: Constructor, dotted: str, home: str) -> Constructor:
    """The same for a stand-in of a class that is not imported.

    Args:
        sketch: the stand-in.
        dotted: the name of its class.
        home: the package that has the classes of its kind.
    """
    holder = holder_of(home)
    if not holder:
        return sketch
    sketch.__qualname__ = dotted.rpartition(".")[2]
    return _extended(sketch, attributes(holder), class_value(dotted, TAKES))


def _extended(
    constructor: Constructor, keys: Mapping[str, Argument], takes: Sequence[str] | None
) -> Constructor:
    own = arguments(constructor)
    further = {key: argument for key, argument in keys.items() if key not in own}
    applies = {key: takes is None or _is_among(key, takes) for key in further}

    def construct(**values: Any) -> Any:
        made = constructor(**{key: values[key] for key in values if key not in further})
        for key in further.keys() & values.keys():
            # an attribute that is set, even to its default, is part of the keys of targets
            if getattr(made, key, None) != values[key]:
                setattr(made, key, values[key])
        return made

    functools.update_wrapper(construct, constructor, updated=())
    construct.read_from_source = own | {  # type: ignore[attr-defined]
        key: argument for key, argument in further.items() if applies[key]
    }
    why = f"does not apply to {constructor.__qualname__}: leave it out"
    construct.refused = {  # type: ignore[attr-defined]
        key: why for key in further if not applies[key]
    }
    return construct


def _is_among(key: str, takes: Sequence[str]) -> bool:
    return any(taken.partition(".")[0] == key for taken in takes)


def _attributes(holder: type) -> dict[str, Argument]:
    """The annotated attributes of a class but for those that belong to the class alone."""
    names = vars(sys.modules[holder.__module__])
    return {
        key: Argument(resolve_hint(text, names), getattr(holder, key))
        for key, text in holder.__annotations__.items()
        if not str(text).startswith("ClassVar")
    }


def _default(constructor: Constructor, key: str, default: Any) -> Any:
    """A class may have another default than its kind."""
    return getattr(constructor, key, default) if isinstance(constructor, type) else default
