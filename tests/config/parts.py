"""A few small classes in place of the package's own, and a recipe for them."""

from __future__ import annotations

import pytest

from weakseg.config.recipe import RecipeError, Resolved, Section, check_spelling, load, resolve

PARTS = """
from __future__ import annotations
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Optional, Union

class Base:
    pass

@dataclass(frozen=True)
class Grid:
    size: int = 3
    offsets: tuple[float, float] = (0.5, 0.5)

@dataclass(frozen=True)
class CRF:
    srgb: float = 13.0
    bilateral_rgb: float = 5.0
    steps: int = 10
    grid: Grid = field(default_factory=Grid)

    def __post_init__(self) -> None:
        if self.srgb <= 0:
            raise ValueError(f"srgb should be above 0, but it is {self.srgb}")

class Boxes(Base):
    def __init__(self, crf: CRF = CRF(steps=7), share: float = 0.2,
                 rule: Literal["fill", "shrink"] = "fill", extra: CRF | None = None):
        self.crf, self.share, self.rule, self.extra = crf, share, rule, extra

class Tags(Base):
    def __init__(self, classes: int, images: list[str] = [],
                 weights: dict[str, float] | None = None, note: str | None = None):
        self.classes, self.images, self.weights, self.note = classes, images, weights, note

class Loads(Base):
    def __init__(self, batch_size: int = 8, scale: tuple[float, float] = (1.0, 1.0),
                 flip: bool = True):
        self.batch_size, self.scale, self.flip = batch_size, scale, flip

class VOC(Loads):
    def __init__(self, root: Path, split: str = "train", **loading: Any):
        super().__init__(**loading)
        self.root, self.split = root, split

class Toy(Loads):
    def __init__(self, images: int = 4, **loading: Any):
        super().__init__(**loading)
        self.images = images

def fcn(classes: int, rates: list[int] | None = None, name_of_weights: str = "imagenet") -> Base:
    made = Base()
    made.classes, made.rates, made.weights = classes, rates, name_of_weights
    return made

class Rounds:
    def __init__(self, when: Literal["once", "epochs"] = "once", workers: int | None = None):
        self.when, self.workers = when, workers

@dataclass(frozen=True)
class SGD:
    lr: float = 1e-3
    betas: tuple[float, ...] = (0.9,)

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError("lr should be above 0")

class Trainer:
    def __init__(self, *, logger: Any = None, max_steps: int = -1,
                 devices: Union[list[int], str, int] = "auto",
                 limit_train_batches: Optional[Union[int, float]] = None,
                 default_root_dir: str | None = None):
        self.logger = logger
        self.max_steps = max_steps
        self.devices = devices
        self.limit_train_batches = limit_train_batches
        self.default_root_dir = default_root_dir

class Quiet:
    pass

class Hook:
    pass

class Bell(Hook):
    def __init__(self, every: int = 1, tones: list[float] | None = None):
        self.every, self.tones = every, tones

class Book(Hook):
    def __init__(self, path: Path):
        self.path = path
"""

HOMES = {
    "strategies": {"boxes": "Boxes", "tags": "Tags"},
    "networks": {"fcn": "fcn"},
    "datasets": {"voc": "VOC", "toy": "Toy"},
    "optimizers": {"sgd": "SGD"},
    "loggers": {"none": "Quiet"},
    "callbacks": {"bell": "Bell", "book": "Book"},
}

PLAIN = """\
# boxes, painted and refined
strategy:
  name: boxes
  share: 0.3
network:
  name: fcn
  rates: [6, 12]
data:
  name: voc
  root: /data/voc
trainer:
  max_steps: 100
seed: 7
"""


SECTIONS = {
    "strategy": Section(
        "recipe_parts.strategies", base="recipe_parts.all.Base", given=("classes",)
    ),
    "network": Section("recipe_parts.networks", given=("classes",)),
    "data": Section("recipe_parts.datasets", base="recipe_parts.all.Loads"),
    "rounds": Section(target="recipe_parts.all.Rounds"),
    "optimizer": Section("recipe_parts.optimizers", default="sgd"),
    "trainer": Section(
        target="recipe_parts.all.Trainer", given=("default_root_dir",), fixed=("logger",)
    ),
    "logger": Section("recipe_parts.loggers", default="none"),
}


def errors(*words: str) -> list[str]:
    """What is said of a command line."""
    with pytest.raises(RecipeError) as caught:
        resolved(*words)
    return caught.value.errors


def resolved(*words: str) -> Resolved:
    """What becomes of a command line, as the program does it."""
    recipe = load(list(words))
    check_spelling(recipe)
    return resolve(recipe)


def ready(*words: str) -> Resolved:
    return resolved("recipe=boxes", *words)
