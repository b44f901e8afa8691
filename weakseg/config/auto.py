"""The word `auto`: which keys of a recipe may be left to the data and the machine.

What becomes of them is decided in weakseg.planning, which has a rule for each key here; a data set
class may say itself what suits it (`WeakData.known_settings`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from weakseg.config.schema import Constructor, arguments
from weakseg.config.values import choices
from weakseg.utils.messages import one_line

AUTO = "auto"
# in the order in which they are resolved: later ones may depend on earlier ones
KEYS = (
    "data.format",
    "data.val_share",
    "data.long_side",
    "data.crop",
    "data.scale",
    "data.workers",
    "network.width",
    "network.encoder",
    "network.weights",
    "data.batch_size",
    "optimizer.lr",
    "optimizer.head_multiplier",
    "optimizer.freeze_batchnorm",
    "strategy.together",
    "strategy.prior_sigma",
    "strategy.shrink",
    "trainer.max_steps",
    "strategy.warmup",
    "rounds.every",
    "trainer.check_val_every_n_epoch",
    "trainer.log_every_n_steps",
)
# keys that stay auto where a word names another class of ours, or any other data set
STAY = {
    "data": ("format", "val_share", "long_side", "crop", "scale", "workers", "batch_size"),
    "network": ("weights",),
    "optimizer": ("lr", "head_multiplier", "freeze_batchnorm"),
}


def is_auto(value: object) -> bool:
    """Whether a value is the word."""
    return isinstance(value, str) and value == AUTO


def keys_of(section: str) -> list[str]:
    """The keys of a section that may be auto."""
    return [key.partition(".")[2] for key in KEYS if key.startswith(f"{section}.")]


def left_to_plan(place: str, constructor: Constructor, node: Mapping[str, Any]) -> list[str]:
    """The keys of a section that are to be planned: a class that takes the word as a value of its
    own gets it.

    Args:
        place: of the section in the recipe.
        constructor: its class.
        node: what the recipe says.
    """
    known = arguments(constructor)
    found = [key for key in keys_of(place) if is_auto(node.get(key))]
    return [key for key in found if key not in known or AUTO not in choices(known[key].hint)]


def with_keys_that_may(
    errors: Iterable[str], place: str, constructor: Constructor, node: Mapping[str, Any]
) -> list[str]:
    """Lines about keys of a section; those about the word say which keys may have it."""
    known = arguments(constructor)
    planned = [key for key in keys_of(place) if key in known]
    own = [key for key, each in known.items() if AUTO in choices(each.hint)]
    able = [*planned, *(key for key in own if key not in planned)]
    names = [f"{place}.{key}" for key in able]
    hint = f"; auto is for {_listed(names)}" if names else "; no key here may be auto"
    return [line + hint * _is_about_auto(line, place, node) for line in errors]


def _is_about_auto(line: str, place: str, node: Mapping[str, Any]) -> bool:
    key, _, said = line.partition(": ")
    value: Any = node
    for part in key.removeprefix(f"{place}.").split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return is_auto(value) and not said.startswith("no such key")


def _listed(names: Collection[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def known_value(settings: Mapping[str, Any], key: str, names: Mapping[str, str]) -> Iterator[Any]:
    """What a data set class knows to suit it for a key of a recipe: one value, or none.

    Args:
        settings: its `known_settings`.
        key: of the recipe, with its section.
        names: of the recipe and of what its sections name, by `recipe` and section.

    >>> settings = {"optimizer.lr": 6e-3, "network=maskrcnn": {"optimizer.lr": 1e-3}}
    >>> list(known_value(settings, "optimizer.lr", {"network": "maskrcnn"}))
    [0.001]
    >>> list(known_value(settings, "optimizer.lr", {"network": "fcn8s"}))
    [0.006]
    """
    special = [
        settings[f"{section}={name}"]
        for section, name in names.items()
        if key in settings.get(f"{section}={name}", {})
    ]
    if special:
        yield special[0][key]
    elif key in settings:
        yield settings[key]


def reason(text: str) -> str:
    """The origin of a planned value, for --show."""
    return f"{AUTO}: {one_line(text)}"
