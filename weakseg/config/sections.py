"""What a recipe consists of: its sections, what each describes, and values as they were written."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Ge, Gt

from weakseg.config.schema import OURS
from weakseg.config.values import Lines


@dataclass(frozen=True)
class Section:
    """What a section of a recipe describes."""

    home: str = ""  # the package in whose NAMES its `name:` is looked up ...
    target: str = ""  # ... or the one class that it always means
    base: str = ""  # what a class of the user's has to be
    default: str = ""  # the name, where a recipe gives none
    given: tuple[str, ...] = ()  # arguments that the program supplies where the recipe does not
    # arguments that only the program supplies; as a mapping, with what to write instead
    fixed: Collection[str] = ()
    kept: tuple[str, ...] = ()  # keys of the recipe that another name leaves as they are
    # what null is called by keys that have a value of their own for it
    none: Mapping[str, Any] = field(default_factory=dict)
    # ranges of numbers for arguments of a class that is not ours
    limits: Mapping[str, Any] = field(default_factory=dict)
    several: bool = False  # any number of objects, each below a key of its own


SECTIONS = {
    "strategy": Section(
        "weakseg.strategies", base="weakseg.strategies.base.Strategy", given=("classes",)
    ),
    "network": Section("weakseg.networks", base="torch.nn.Module", given=("classes",)),
    "data": Section(
        "weakseg.data", base="weakseg.data.base.WeakData", kept=("evidence", "mask_share")
    ),
    "rounds": Section(target="weakseg.training.rounds.Rounds"),
    "optimizer": Section(
        "weakseg.optimizers", base="weakseg.optimizers.Optimizer", default="adamw"
    ),
    "predict": Section(target="weakseg.inference.multiscale.Inference"),
    "trainer": Section(
        target="pytorch_lightning.Trainer",
        given=("default_root_dir",),
        fixed={
            "logger": "write logger=<name>, a section of its own",
            "callbacks": "write callbacks.<name>.<key>=<value>, a section of its own",
            "plugins": OURS,
            "use_distributed_sampler": OURS,
        },
        none={"max_steps": -1},
        limits={
            "val_check_interval": Annotated[float, Gt(0)],
            "check_val_every_n_epoch": Annotated[int, Ge(1)],
            "accumulate_grad_batches": Annotated[int, Ge(1)],
            "gradient_clip_val": Annotated[float, Ge(0)],
            "log_every_n_steps": Annotated[int, Ge(0)],
        },
    ),
    "callbacks": Section(
        "weakseg.training.callbacks", base="pytorch_lightning.Callback", several=True
    ),
    "logger": Section(
        "weakseg.reporting.loggers", base="weakseg.reporting.loggers.View", default="none"
    ),
}


NAMED = [name for name, section in SECTIONS.items() if section.home and not section.several]
SEVERAL = [name for name, section in SECTIONS.items() if section.several]


@dataclass(frozen=True)
class Recipe:
    """A recipe file with the command line's words on top; values still as they were written."""

    name: str
    sections: dict[str, dict[str, Any]]
    seed: int = 0
    resume: str | None = None
    init_from: str | None = None
    processes: int | None = None  # with which a run may go on that was begun with another number
    # of every key that is not a default: "recipe" or "command line"
    origins: dict[str, str] = field(default_factory=dict)
    file: str = ""
    lines: Lines = field(default_factory=dict)  # of the recipe's keys in that file
    words: tuple[str, ...] = ()  # of the command line

    def located(self, errors: Iterable[str]) -> list[str]:
        """Lines about a key, with the line of the file where the value came from there."""
        return [self._located(line) for line in errors]

    def _located(self, line: str) -> str:
        key = line.partition(": ")[0]
        at = next((line for place, line in self.lines.items() if ".".join(place) == key), None)
        below = [self.origins[path] for path in self.origins if f"{path}.".startswith(f"{key}.")]
        if at is None or "command line" in below:
            return line
        section = key.partition(".")[0]
        drop = ""
        if self.origins.get(f"{section}.name") == "command line" and "no such key" in line:
            name = self.sections[section]["name"]
            drop = f"; {section}={name} without .name drops the recipe's keys"
        return f"{line}{drop} ({self.file} line {at})"


def names_of(place: str) -> Mapping[str, str]:
    """The names that a section knows; none for a section that has no choice."""
    home = meaning_of(place).home
    names: Mapping[str, str] = importlib.import_module(home).NAMES if home else {}
    return names


def meaning_of(place: str) -> Section:
    """What is described at a place of a recipe, such as strategy or callbacks.mine."""
    return SECTIONS[place.partition(".")[0]]


def nodes_of(sections: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The place and the arguments of every object that sections describe."""
    for section, node in sections.items():
        if SECTIONS[section].several:
            yield from ((f"{section}.{key}", below) for key, below in node.items())
        else:
            yield section, node
